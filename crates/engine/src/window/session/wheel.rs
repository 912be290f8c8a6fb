//! When to look at what: intervals by the time of their end, so that nothing is scanned at a barrier.
//!
//! Ends only grow, so an entry is not moved when its interval does: it is looked at when its old end has
//! passed, and put in again. Each interval has one valid entry, in the bucket that it remembers.

use std::collections::BTreeMap;

use millstream_core::Watermark;

/// See the module.
#[derive(Debug)]
pub struct Wheel {
    bucket_ms: i64,
    buckets: BTreeMap<i64, Vec<u32>>,
}

/// No bucket: larger than every short number.
pub const NO_BUCKET: u32 = u32::MAX;

/// The number of a bucket as intervals remember it: two of one number are 2^31 buckets apart, and for an
/// interval that is in both the worst is that it is looked at twice.
fn short(bucket: i64) -> u32 {
    u32::try_from(bucket & i64::from(u32::MAX >> 1)).expect("masked to 31 bits")
}

/// Buckets that a session is spread over while it waits for its gap to pass.
const BUCKETS_PER_GAP: i64 = 64;

impl Wheel {
    /// For intervals at least as long as the gap.
    pub fn new(gap_ms: i64) -> Self {
        Self {
            bucket_ms: (gap_ms / BUCKETS_PER_GAP).max(1),
            buckets: BTreeMap::new(),
        }
    }

    /// Looks at `slot` again when `end` has passed. The bucket, by its short number.
    pub fn push(&mut self, end: i64, slot: u32) -> u32 {
        let bucket = end.div_euclid(self.bucket_ms);
        self.buckets.entry(bucket).or_default().push(slot);
        short(bucket)
    }

    /// Takes out the buckets of which some ends have passed.
    pub fn take(&mut self, watermark: Watermark) -> Vec<(u32, Vec<u32>)> {
        let last = watermark.0.saturating_add(1).div_euclid(self.bucket_ms);
        let later = match last.checked_add(1) {
            Some(first) if watermark != Watermark::MAX => self.buckets.split_off(&first),
            _ => BTreeMap::new(),
        };
        std::mem::replace(&mut self.buckets, later)
            .into_iter()
            .map(|(bucket, slots)| (short(bucket), slots))
            .collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.clear();
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let buckets = self.buckets.values();
        let slots: usize = buckets.map(|slots| slots.capacity() + 8).sum();
        slots * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_come_out_once_their_first_end_may_have_passed() {
        let mut wheel = Wheel::new(640);
        let last = NO_BUCKET >> 1;
        let buckets = [5, 9, 10, -1].map(|end| wheel.push(end, 0));
        assert_eq!(buckets, [0, 0, 1, last]);
        let taken = |wheel: &mut Wheel, watermark: i64| -> Vec<u32> {
            let taken = wheel.take(Watermark(watermark));
            taken.into_iter().map(|(bucket, _)| bucket).collect()
        };
        assert_eq!(taken(&mut wheel, -12), [0_u32; 0]);
        assert_eq!(taken(&mut wheel, -2), [last]);
        assert_eq!(taken(&mut wheel, 8), [0]);
        assert_eq!(taken(&mut wheel, i64::MAX), [1]);
    }
}
