//! The real [`Env`]: the machine's clock, chance and threads. The only place that touches them;
//! everything else takes an `Env`, so that a simulation can stand in for it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use millstream_core::env::{Env, Task};

use crate::usage::Usage;

/// A thread's stack: expressions as deep as SQL lets them be are computed by recursion. Memory is
/// only taken as far as a stack is used.
const STACK_BYTES: usize = 16 << 20;

/// The machine.
#[derive(Debug)]
pub struct RealEnv {
    started: Instant,
}

impl RealEnv {
    /// Its monotonic clock begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the real clock is read"
    )]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for RealEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for RealEnv {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the real clock is read"
    )]
    fn now_ms(&self) -> i64 {
        // A clock set before 1970 counts as 1970: nothing here can do better.
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn random(&self) -> u64 {
        // Each `RandomState` has keys of its own, drawn from the operating system.
        RandomState::new().build_hasher().finish()
    }

    fn spawn(&self, name: &str, task: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.stack_size(STACK_BYTES);
        let handle = thread.spawn(task);
        Box::new(Thread(handle.expect(
            "the system has threads left for a bounded number of tasks",
        )))
    }

    fn cpu_time(&self) -> Duration {
        Usage::of_process().cpu
    }
}

struct Thread(JoinHandle<()>);

impl Task for Thread {
    fn join(self: Box<Self>) -> bool {
        self.0.join().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_says_so_when_joined() {
        let env = RealEnv::new();
        assert!(env.spawn("fine", Box::new(|| ())).join());
        assert!(!env.spawn("fails", Box::new(|| panic!("on purpose"))).join());
    }

    #[test]
    fn clocks_and_chance_move() {
        let env = RealEnv::new();
        assert!(
            env.now_ms() > 1_700_000_000_000,
            "wall clock in ms since 1970"
        );
        assert!(env.monotonic() <= env.monotonic());
        assert_ne!(env.random(), env.random());
    }
}
