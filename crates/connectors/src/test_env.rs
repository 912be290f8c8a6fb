//! An [`Env`] for tests: the clock stands where it is set, chance counts up, tasks run at once.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use millstream_core::env::{Env, Task};

/// A clock that tests set.
#[derive(Debug, Default)]
pub(crate) struct TestEnv {
    /// Wall-clock time in ms.
    pub now_ms: AtomicI64,
    drawn: AtomicU64,
}

impl Env for TestEnv {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now_ms().unsigned_abs())
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::SeqCst)
    }

    fn spawn(&self, _: &str, task: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
        task();
        Box::new(Done)
    }
}

struct Done;

impl Task for Done {
    fn join(self: Box<Self>) -> bool {
        true
    }
}
