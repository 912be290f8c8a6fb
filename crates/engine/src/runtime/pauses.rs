//! How long barriers were, as a histogram of fixed size.

use std::time::Duration;

use crate::status::PauseStatus;

/// Buckets of each power of two, as a power of two.
const STEPS_LOG2: u32 = 4;
const STEPS: usize = 1 << STEPS_LOG2;
const BUCKETS: usize = STEPS * (u64::BITS - STEPS_LOG2 + 1) as usize;

/// Counts pauses by their length in microseconds; each bucket is at most 1/16 wide.
#[derive(Debug, Clone)]
pub struct Pauses {
    buckets: Vec<u64>,
    count: u64,
    longest_us: u64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            longest_us: 0,
        }
    }
}

impl Pauses {
    /// Counts one.
    pub fn add(&mut self, pause: Duration) {
        let us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.longest_us = self.longest_us.max(us);
    }

    /// What they come to.
    pub fn status(&self) -> PauseStatus {
        PauseStatus {
            count: self.count,
            p50_ms: ms(self.quantile_us(50)),
            p99_ms: ms(self.quantile_us(99)),
            max_ms: ms(self.longest_us),
        }
    }

    /// The least length that `percent` of all do not exceed: the middle of its bucket.
    fn quantile_us(&self, percent: u64) -> u64 {
        let wanted = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return middle(bucket).min(self.longest_us);
            }
        }
        0
    }
}

/// Lengths below 16 µs have buckets of their own; from there on each power of two has 16.
fn bucket(us: u64) -> usize {
    let power = us.max(1).ilog2().saturating_sub(STEPS_LOG2);
    let step = usize::try_from(us >> power).expect("less than 32");
    power as usize * STEPS + step
}

fn middle(bucket: usize) -> u64 {
    let power = (bucket / STEPS).saturating_sub(1);
    let least = ((bucket - power * STEPS) as u64) << power;
    least + ((1 << power) - 1) / 2
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_as_wide_as_a_sixteenth_of_what_is_in_it() {
        let mut last = 0;
        for us in (0..5_000).chain([1 << 20, 10_000_000, u64::MAX / 3, u64::MAX]) {
            let bucket = bucket(us);
            assert!(bucket >= last && bucket < BUCKETS, "{us}");
            last = bucket;
            assert!(
                middle(bucket).abs_diff(us) <= us / 32 + 1,
                "{us}: {}",
                middle(bucket)
            );
        }
        assert_eq!(
            (bucket(15), bucket(16), bucket(31), bucket(32)),
            (15, 16, 31, 32)
        );
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.status(), PauseStatus::default());
        for ms in 1..=1_000 {
            pauses.add(Duration::from_millis(ms));
        }
        let PauseStatus {
            count,
            p50_ms,
            p99_ms,
            max_ms,
        } = pauses.status();
        assert_eq!(count, 1_000);
        assert!((p50_ms - 500.0).abs() < 500.0 / 25.0, "{p50_ms}");
        assert!((p99_ms - 990.0).abs() < 990.0 / 25.0, "{p99_ms}");
        assert!((max_ms - 1_000.0).abs() < 1e-9, "{max_ms}");
    }
}
