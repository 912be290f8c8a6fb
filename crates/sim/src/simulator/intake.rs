//! How far the input has come in: what a client has had acknowledged by the topic log, or what the
//! service far away shows.
//!
//! The client sends the records of a partition in order. When it gets no answer it asks for the end of
//! the partition before it goes on, as a client of any log must, and finds its records there as a whole
//! or not at all. What a process could not append, and could not cut off again before it died, may still
//! come to light; so each of its attempts counts until one succeeds.

use std::collections::{BTreeMap, BTreeSet};

use super::input::Input;
use super::query::Pipeline;

/// A partition of a table.
pub type PartitionId = (&'static str, usize);

/// How far a partition has come in.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Records that were acknowledged, or can be seen.
    pub count: usize,
    /// How many records were sent after them without success, in each attempt.
    pub in_flight: BTreeSet<usize>,
    /// The process that they were sent to.
    pub sent_to: usize,
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
    /// Takes where the log of `process` ends. An error if it holds what it must not, or has lost
    /// something.
    pub fn resolve(&mut self, end: usize, process: usize) -> Result<(), String> {
        let sent = end.checked_sub(self.count);
        if !sent.is_some_and(|sent| sent == 0 || self.in_flight.contains(&sent)) {
            let (count, sent) = (self.count, &self.in_flight);
            return Err(format!(
                "the log ends at {end}; {count} records were acknowledged, then sent without an answer: \
                 {sent:?}"
            ));
        }
        if end > self.count || process != self.sent_to {
            self.in_flight.clear();
        }
        (self.count, self.sent_to) = (end, process);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(end: usize, process: usize) -> Result<Progress, String> {
        let mut progress = Progress {
            count: 5,
            in_flight: [2, 3].into(),
            sent_to: 0,
            total: 10,
        };
        progress.resolve(end, process).map(|()| progress)
    }

    #[test]
    fn what_was_sent_is_there_as_a_whole_or_not_at_all() {
        for right in [5, 7, 8] {
            assert_eq!(resolve(right, 0).unwrap().count, right);
        }
        for wrong in [4, 6, 9, 10] {
            assert!(resolve(wrong, 0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_attempt_counts_as_long_as_its_process_lives() {
        assert_eq!(resolve(5, 0).unwrap().in_flight.len(), 2);
        assert!(resolve(5, 1).unwrap().in_flight.is_empty());
        assert!(resolve(8, 0).unwrap().in_flight.is_empty());
    }
}
