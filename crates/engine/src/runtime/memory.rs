//! The memory budget of a job: what shards hold, and when reading has to stop.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes held by each shard, against a limit for all.
#[derive(Debug)]
pub struct MemoryBudget {
    shards: Vec<AtomicUsize>,
    shared: AtomicUsize,
    bytes_max: usize,
}

impl MemoryBudget {
    /// A budget of `bytes_max` for `shards` shards.
    pub fn new(shards: usize, bytes_max: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            shared: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Says what is held for all shards together.
    pub fn set_shared(&self, bytes: usize) {
        self.shared.store(bytes, Ordering::Relaxed);
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Says what a shard holds.
    pub fn set(&self, shard: usize, bytes: usize) {
        self.shards[shard].store(bytes, Ordering::Relaxed);
    }

    /// What all shards hold.
    pub fn used(&self) -> usize {
        let of_shards = self.shards.iter().map(|s| s.load(Ordering::Relaxed));
        of_shards.sum::<usize>() + self.shared.load(Ordering::Relaxed)
    }

    /// Whether reading has to stop.
    pub fn is_exhausted(&self) -> bool {
        self.used() >= self.bytes_max
    }

    /// The limit.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}
