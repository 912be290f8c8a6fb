//! How far the input has come in: what a client has had acknowledged by the topic log, or what the
//! service far away shows.
//!
//! The client sends the records of a partition in order. When it gets no answer it asks for the end of
//! the partition before it goes on, as a client of any log must, and finds its records there as a whole
//! or not at all.

use std::collections::BTreeMap;

use super::input::Input;
use super::query::Pipeline;

/// A partition of a table.
pub type PartitionId = (&'static str, usize);

/// How far a partition has come in.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Records that were acknowledged, or can be seen.
    pub count: usize,
    /// Records that were sent after them, without an answer.
    pub in_flight: usize,
    /// All that there will be.
    pub total: usize,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Intake {
    /// By table and partition.
    pub partitions: BTreeMap<PartitionId, Progress>,
    /// Whether there is no more input.
    pub is_ended: bool,
}

impl Intake {
    /// Nothing has come in.
    pub fn new(input: &Input, pipeline: &Pipeline) -> Self {
        let sources = pipeline.sources();
        let tables = input.tables.iter();
        let tables = tables.filter(|table| sources.contains(table.name));
        let partitions = tables.flat_map(|table| {
            let partitions = table.partitions.iter().enumerate();
            partitions.map(|(partition, records)| {
                let progress = Progress {
                    total: records.len(),
                    ..Progress::default()
                };
                ((table.name, partition), progress)
            })
        });
        Self {
            partitions: partitions.collect(),
            is_ended: false,
        }
    }

    /// Partitions of which there is more to come.
    pub fn open(&self) -> Vec<PartitionId> {
        let partitions = self.partitions.iter();
        let open = partitions.filter(|(_, progress)| progress.count < progress.total);
        open.map(|(partition, _)| *partition).collect()
    }

    /// A partition.
    pub fn of(&mut self, partition: PartitionId) -> &mut Progress {
        self.partitions.entry(partition).or_default()
    }
}

impl Progress {
    /// Takes where the log ends. An error if the log holds what it must not, or has lost something.
    pub fn resolve(&mut self, end: usize) -> Result<(), String> {
        let in_flight = std::mem::take(&mut self.in_flight);
        if end == self.count {
            return Ok(());
        }
        if in_flight > 0 && end == self.count + in_flight {
            self.count = end;
            return Ok(());
        }
        Err(format!(
            "the log ends at {end}; {} records were acknowledged, and {in_flight} more were sent",
            self.count
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_there_as_a_whole_or_not_at_all() {
        let resolve = |end| {
            let mut progress = Progress {
                count: 5,
                in_flight: 3,
                total: 10,
            };
            progress.resolve(end).map(|()| progress.count)
        };
        assert_eq!(resolve(5), Ok(5));
        assert_eq!(resolve(8), Ok(8));
        for wrong in [4, 6, 9] {
            assert!(resolve(wrong).is_err(), "{wrong}");
        }
    }
}
