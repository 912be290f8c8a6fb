//! Which shards have taken in so much that the next barrier would be long: a number that shards set and the
//! coordinator looks at.

use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug)]
pub struct Fullness {
    shards: Vec<AtomicBool>,
}

impl Fullness {
    /// No shard has taken anything in.
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Says whether a shard is full.
    pub fn set(&self, shard: usize, is_full: bool) {
        self.shards[shard].store(is_full, Ordering::Relaxed);
    }

    /// Whether this shard is.
    pub fn is(&self, shard: usize) -> bool {
        self.shards[shard].load(Ordering::Relaxed)
    }

    /// Whether any is.
    pub fn is_any(&self) -> bool {
        (0..self.shards.len()).any(|shard| self.is(shard))
    }
}
