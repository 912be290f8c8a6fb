//! The shape of every background task: a thread that does the same small piece of work again and
//! again until it is closed.
//!
//! ```text
//! every(period) -> tick, tick, tick … close() -> the tick under way ends (drain) -> thread ended
//! ```
//!
//! INVARIANT: a tick that fails is logged and tried again at the next; it never ends the task.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use millstream_core::Result;
use millstream_core::env::{Env, Task};

/// A background task. Dropping it stops it, without waiting.
pub struct Background {
    /// Nothing is ever sent: the thread sees that this end is gone.
    stop: Option<SyncSender<()>>,
    task: Option<Box<dyn Task>>,
}

impl Background {
    /// Runs `tick` each `period`, until it is closed.
    pub fn every(
        env: &Arc<dyn Env>,
        name: &'static str,
        period: Duration,
        mut tick: impl FnMut() -> Result<()> + Send + 'static,
    ) -> Self {
        let (stop, stopped) = sync_channel::<()>(0);
        let run = move || {
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = tick() {
                    tracing::warn!(task = name, %error, "background task failed; trying again");
                }
            }
        };
        Self {
            stop: Some(stop),
            task: Some(env.spawn(name, Box::new(run))),
        }
    }

    /// Waits for the end of the tick under way, if there is one; there is no other after it.
    pub fn close(mut self) {
        self.stop = None;
        if let Some(task) = self.task.take() {
            task.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use millstream_core::Error;

    use super::*;
    use crate::env::RealEnv;

    #[test]
    fn it_ticks_until_closed_whatever_a_tick_says() {
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let ticks = Arc::new(AtomicU32::new(0));
        let (seen, ticked) = sync_channel(64);
        let task = Background::every(&env, "test", Duration::from_millis(1), {
            let ticks = ticks.clone();
            move || {
                ticks.fetch_add(1, Ordering::SeqCst);
                let _ = seen.try_send(());
                Err(Error::unavailable("not now"))
            }
        });
        for _ in 0..3 {
            ticked
                .recv_timeout(Duration::from_secs(10))
                .expect("it goes on after errors");
        }
        task.close();
        let after = ticks.load(Ordering::SeqCst);
        assert!(after >= 3);
        assert_eq!(ticks.load(Ordering::SeqCst), after, "closed means ended");
    }

    #[test]
    fn closing_waits_for_the_tick_under_way() {
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let (begun, begin) = sync_channel(1);
        let (go_on, going_on) = sync_channel(1);
        let is_done = Arc::new(AtomicU32::new(0));
        let done = is_done.clone();
        let task = Background::every(&env, "test", Duration::from_millis(1), move || {
            if begun.try_send(()).is_ok() {
                going_on
                    .recv_timeout(Duration::from_secs(10))
                    .expect("it is told to");
            }
            done.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        begin
            .recv_timeout(Duration::from_secs(10))
            .expect("it ticks");
        go_on.send(()).expect("the tick waits");
        task.close();
        assert!(is_done.load(Ordering::SeqCst) >= 1);
    }

    #[test]
    fn closing_does_not_wait_for_the_next_tick() {
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let never = || unreachable!("it is closed long before");
        Background::every(&env, "test", Duration::from_secs(3600), never).close();
    }
}
