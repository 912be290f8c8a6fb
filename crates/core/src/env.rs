//! The outside world as the engine sees it: time, chance, threads. The real one is in `server`;
//! a simulation decides all of them from a seed.

use std::time::Duration;

/// Clock, randomness and threads.
pub trait Env: Send + Sync {
    /// Wall-clock time, ms since the Unix epoch. May jump.
    fn now_ms(&self) -> i64;

    /// Time since some fixed moment. Never goes back.
    fn monotonic(&self) -> Duration;

    /// A random number.
    fn random(&self) -> u64;

    /// Runs `task` on a thread of its own called `name`.
    fn spawn(&self, name: &str, task: Box<dyn FnOnce() + Send>) -> Box<dyn Task>;

    /// CPU time (user and system) of the process so far, where that is known.
    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// A running thread.
pub trait Task: Send {
    /// Waits for it to end. `false` if it panicked.
    fn join(self: Box<Self>) -> bool;
}
