//! Processing time: the wall clock as all shards of a job see it. It never goes back, also not when the
//! machine's clock does, and not over a restart: a manifest says how far it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use millstream_core::env::Env;

/// See the module.
pub struct ProcessingClock {
    env: Arc<dyn Env>,
    greatest_ms: AtomicI64,
}

impl ProcessingClock {
    /// A clock that has shown `from_ms` before.
    pub fn new(env: Arc<dyn Env>, from_ms: i64) -> Self {
        Self {
            env,
            greatest_ms: AtomicI64::new(from_ms),
        }
    }

    /// What time it is, in ms since 1970: no earlier than it ever was, on whatever thread.
    pub fn now_ms(&self) -> i64 {
        let now = self.env.now_ms();
        now.max(self.greatest_ms.fetch_max(now, Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millstream_core::env::Task;

    use super::*;

    /// Each look at it goes back by a second.
    struct Backwards(AtomicI64);

    impl Env for Backwards {
        fn now_ms(&self) -> i64 {
            self.0.fetch_sub(1_000, Ordering::SeqCst)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn random(&self) -> u64 {
            0
        }

        fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
            unreachable!("a clock has no threads")
        }
    }

    #[test]
    fn it_does_not_go_back() {
        let env = Arc::new(Backwards(AtomicI64::new(10_000)));
        let clock = ProcessingClock::new(env.clone(), 0);
        assert_eq!([clock.now_ms(), clock.now_ms()], [10_000, 10_000]);
        let later = ProcessingClock::new(env, 12_000);
        assert_eq!(later.now_ms(), 12_000);
    }
}
