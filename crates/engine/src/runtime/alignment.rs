//! Keeps shards close in event time while they catch up, so that a replay holds few windows open.
//!
//! Each shard publishes the watermark of the slowest split that has something to read. A shard
//! whose next split is further ahead than [`MAX_DRIFT_MS`] waits. Shards that have caught up
//! publish the end of time and hold nobody. Results do not depend on it: lateness is a matter of
//! each split alone.

use std::sync::atomic::{AtomicI64, Ordering};

use millstream_core::Watermark;

/// How far one shard may run ahead of another, in ms of event time.
const MAX_DRIFT_MS: i64 = 60_000;

/// The slowest split of each shard.
#[derive(Debug)]
pub struct Alignment {
    shards: Vec<AtomicI64>,
}

impl Alignment {
    /// For `shards` shards, none of which holds the others.
    pub fn new(shards: usize) -> Self {
        let free = |_| AtomicI64::new(i64::MAX);
        Self {
            shards: (0..shards).map(free).collect(),
        }
    }

    /// Says how far a shard is: [`Watermark::MAX`] if it has nothing to read.
    pub fn publish(&self, shard: usize, slowest: Watermark) {
        self.shards[shard].store(slowest.0, Ordering::Relaxed);
    }

    /// Whether `shard` has to wait before it reads a split at `watermark`.
    pub fn is_ahead(&self, shard: usize, watermark: Watermark) -> bool {
        let others = self
            .shards
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != shard);
        let slowest = others.map(|(_, other)| other.load(Ordering::Relaxed)).min();
        slowest.is_some_and(|slowest| watermark.0 > slowest.saturating_add(MAX_DRIFT_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_wait_for_the_slow() {
        let alignment = Alignment::new(2);
        assert!(!alignment.is_ahead(0, Watermark(1 << 40)));
        alignment.publish(1, Watermark(0));
        assert!(alignment.is_ahead(0, Watermark(60_001)));
        assert!(!alignment.is_ahead(0, Watermark(60_000)));
        assert!(
            !alignment.is_ahead(1, Watermark(1 << 40)),
            "nobody waits for itself"
        );
    }
}
