//! What the seed picks before anything happens. A failure is made smaller by changing it.

use std::fmt;

use super::fault::{FaultKind, Rates};
use super::input::Shape;
use super::query::{Pipeline, QUERIES, SinkKind};
use crate::chance::Chance;

/// Memory that no history needs, in bytes.
pub const AMPLE_BYTES: usize = 256 << 20;

/// What a seed has picked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The seed: decides faults, and the order of steps.
    pub seed: u64,
    /// What is asked.
    pub pipeline: Pipeline,
    /// What is read.
    pub shape: Shape,
    /// Numbers of shards, of which each start picks one.
    pub parallelism: Vec<u32>,
    /// Most rows decoded at once; each start picks one.
    pub batch_rows: Vec<usize>,
    /// Memory budget of a job, in bytes.
    pub memory_bytes: usize,
    /// Batches that are read between two epochs, at most.
    pub epoch_reads: usize,
    /// A segment of a topic ends with so many bytes.
    pub segment_bytes: u64,
    /// Bytes of rows that a hot table keeps in memory.
    pub cache_bytes: usize,
    /// Calls for which faults strike.
    pub armed_calls: u64,
    /// How often which fault strikes.
    pub rates: Rates,
}

impl Config {
    /// What `seed` picks.
    pub fn random(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut rates = Rates::random(&mut chance);
        let is_remote = chance.one_in(3);
        if !is_remote {
            // The data directory has one owner: its lock sees to that.
            rates.set(FaultKind::Pause, 0);
            rates.set(FaultKind::Takeover, 0);
        }
        let pipeline = pipeline(&mut chance, is_remote);
        let shape = Shape {
            seed: chance.seed(),
            records_max: *chance.pick(&[8, 16, 30, 30]),
            partitions: pipeline.partitions,
            delay_ms: pipeline.delay_ms,
        };
        Self {
            seed,
            shape,
            parallelism: chance.pick(&[&[1][..], &[2], &[1, 2, 3], &[1, 4]]).to_vec(),
            batch_rows: chance
                .pick(&[&[1][..], &[3], &[1, 7, 64], &[1024]])
                .to_vec(),
            memory_bytes: *chance.pick(&[100_000, 400_000, AMPLE_BYTES, AMPLE_BYTES]),
            epoch_reads: *chance.pick(&[1, 4, 12]),
            segment_bytes: *chance.pick(&[500, 2_000, 1 << 20]),
            cache_bytes: *chance.pick(&[0, 1 << 20]),
            armed_calls: *chance.pick(&[150, 400, 800]),
            pipeline,
            rates,
        }
    }

    /// Whether several processes may own the storage at a time.
    pub fn is_shared(&self) -> bool {
        self.pipeline.is_remote
    }
}

fn pipeline(chance: &mut Chance, is_remote: bool) -> Pipeline {
    let lateness_ms = match chance.one_in(5) && !is_remote {
        true => *chance.pick(&[5_000, 20_000]),
        false => 0,
    };
    let mut left: Vec<usize> = (0..QUERIES.len()).collect();
    // What a row that is late can change must be replaced by key, and feeds nothing.
    left.retain(|query| lateness_ms == 0 || QUERIES[*query].takes_late_rows);
    let count = 1 + chance.below(3);
    let queries = (0..count).map(|_| {
        let query = left.swap_remove(chance.below(left.len()));
        let sink = match () {
            () if is_remote => SinkKind::Remote,
            () if lateness_ms > 0 => SinkKind::KeyedTable,
            () => *chance.pick(&[
                SinkKind::Table,
                SinkKind::Table,
                SinkKind::KeyedTable,
                SinkKind::Topic,
                SinkKind::Remote,
                SinkKind::Lake,
                SinkKind::Lake,
            ]),
        };
        (query, sink)
    });
    Pipeline {
        queries: queries.collect(),
        is_remote,
        partitions: 1 + chance.below(3),
        delay_ms: *chance.pick(&[0, 1_000, 5_000]),
        lateness_ms,
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queries = self.pipeline.queries();
        let queries: Vec<String> = queries
            .map(|(query, sink)| format!("{} -> {sink:?}", query.name))
            .collect();
        writeln!(f, "queries: {}", queries.join(", "))?;
        let Pipeline {
            is_remote,
            partitions,
            delay_ms,
            lateness_ms,
            ..
        } = &self.pipeline;
        let place = if *is_remote { "shared" } else { "local" };
        let records = self.shape.records_max;
        writeln!(
            f,
            "storage: {place}; input: {partitions} partitions of at most {records} records, watermark \
             {delay_ms} ms behind, allowed lateness {lateness_ms} ms"
        )?;
        writeln!(
            f,
            "shards {:?}, batch rows {:?}, memory {}, reads an epoch {}, segments of {} bytes, cache {}",
            self.parallelism,
            self.batch_rows,
            self.memory_bytes,
            self.epoch_reads,
            self.segment_bytes,
            self.cache_bytes
        )?;
        writeln!(
            f,
            "faults in the first {} calls, of 10,000: {}",
            self.armed_calls, self.rates
        )
    }
}
