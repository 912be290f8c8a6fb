//! An outside world that a test decides: time stands still until [`SimEnv::advance`], chance comes
//! from a seed, and a spawned task runs to its end before `spawn` returns.
//!
//! Two environments with the same seed that are asked the same things answer the same.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use millstream_core::env::{Env, Task};

/// Wall-clock time at which every simulation starts: 2025-06-15 15:00:00 UTC, in ms.
pub const START_MS: i64 = 1_749_999_600_000;

/// A simulated [`Env`].
#[derive(Debug)]
pub struct SimEnv {
    elapsed_ms: AtomicU64,
    /// How far the wall clock is from where it would be without [`SimEnv::jump`].
    jumped_ms: AtomicI64,
    random: Mutex<SplitMix>,
}

impl SimEnv {
    /// An environment at [`START_MS`] whose chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            elapsed_ms: AtomicU64::new(0),
            jumped_ms: AtomicI64::new(0),
            random: Mutex::new(SplitMix::new(seed)),
        }
    }

    /// Lets `ms` milliseconds pass.
    pub fn advance(&self, ms: u64) {
        self.elapsed_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Lets the wall clock jump, forwards or backwards. The monotonic one does not notice.
    pub fn jump(&self, ms: i64) {
        self.jumped_ms.fetch_add(ms, Ordering::SeqCst);
    }

    fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms.load(Ordering::SeqCst)
    }
}

impl Env for SimEnv {
    fn now_ms(&self) -> i64 {
        let now = START_MS.saturating_add_unsigned(self.elapsed_ms());
        now.saturating_add(self.jumped_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms())
    }

    fn random(&self) -> u64 {
        self.random.lock().expect("no panic while locked").next()
    }

    fn spawn(&self, _name: &str, task: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
        Box::new(Ended(outcome.is_ok()))
    }
}

/// A task that has run already: whether it ended without a panic.
struct Ended(bool);

impl Task for Ended {
    fn join(self: Box<Self>) -> bool {
        self.0
    }
}

/// SplitMix64: small, fast, the same on every platform.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// A sequence decided by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "an endless sequence")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_only_when_told_to() {
        let env = SimEnv::new(1);
        assert_eq!((env.now_ms(), env.monotonic()), (START_MS, Duration::ZERO));
        env.advance(1_500);
        assert_eq!(env.now_ms(), START_MS + 1_500);
        assert_eq!(env.monotonic(), Duration::from_millis(1_500));
        env.jump(-5_000);
        assert_eq!(env.now_ms(), START_MS - 3_500);
        assert_eq!(env.monotonic(), Duration::from_millis(1_500));
    }

    #[test]
    fn chance_is_decided_by_the_seed() {
        let draw = |seed| {
            let env = SimEnv::new(seed);
            [env.random(), env.random(), env.random()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        // The first outputs of the published generator for seed 0.
        assert_eq!(
            [SplitMix::new(0).next(), draw(0)[1]],
            [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]
        );
    }

    #[test]
    fn a_task_that_panics_says_so() {
        let env = SimEnv::new(1);
        assert!(env.spawn("fine", Box::new(|| ())).join());
        assert!(!env.spawn("not", Box::new(|| panic!("on purpose"))).join());
    }
}
