//! A job on threads: the coordinator's loop, and the handle that users hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use millstream_core::{Error, ErrorKind, Result};

use super::config::{JobConfig, StartOptions};
use super::coordinator::Coordinator;
use super::progress::initial_status;
use super::recovery::{self, Recovered};
use super::threads::{Event, ThreadPool};
use crate::protocol::{RestartPolicy, Verdict};
use crate::status::{JobState, JobStatus};

/// Room for events: more than one of each shard adds nothing.
const EVENTS: usize = 64;

/// A pipeline on threads of its own.
pub struct Job;

impl Job {
    /// Recovers from the newest manifest and starts reading. Errors that the user can fix
    /// (damaged manifest, another plan's state) come back from here; with a full disk the job waits,
    /// as it does later on.
    pub fn start(config: JobConfig) -> Result<JobHandle> {
        let opened = match recovery::open(&config) {
            Err(error) if error.kind() != ErrorKind::StorageFull => return Err(error),
            opened => opened,
        };
        let (events, inbox) = sync_channel(EVENTS);
        let handle = JobHandle {
            shared: Arc::new(Shared {
                status: Mutex::new(initial_status(&config.plan, config.parallelism)),
                changed: Condvar::new(),
                error: Mutex::new(None),
                stopping: AtomicBool::new(false),
            }),
            events: events.clone(),
        };
        let body = JobLoop {
            config: config.clone(),
            shared: handle.shared.clone(),
            events,
            inbox,
            policy: RestartPolicy::new(config.plan.options.restart),
        };
        let name = format!("job-{}", config.plan.options.name);
        let _detached = config.env.spawn(&name, Box::new(move || body.run(opened)));
        Ok(handle)
    }
}

struct Shared {
    status: Mutex<JobStatus>,
    changed: Condvar,
    error: Mutex<Option<Error>>,
    stopping: AtomicBool,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, JobStatus> {
        self.status.lock().expect("no panic while locked")
    }

    fn set(&self, change: impl FnOnce(&mut JobStatus)) {
        change(&mut self.status());
        self.changed.notify_all();
    }
}

/// A running job. Cheap to clone.
#[derive(Clone)]
pub struct JobHandle {
    shared: Arc<Shared>,
    events: SyncSender<Event>,
}

impl JobHandle {
    /// How it is doing.
    pub fn status(&self) -> JobStatus {
        self.shared.status().clone()
    }

    /// Asks it to commit a last epoch and stop. Returns at once.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // A full queue wakes the job as well, and it looks at the flag.
        let _full = self.events.try_send(Event::Stop);
    }

    /// Whether it has ended: finished, stopped or failed.
    pub fn is_ended(&self) -> bool {
        is_ended(self.shared.status().state)
    }

    /// Waits until it has ended. The error that ended it, if one did.
    pub fn wait(&self) -> Result<JobStatus> {
        let mut status = self.shared.status();
        while !is_ended(status.state) {
            status = self
                .shared
                .changed
                .wait(status)
                .expect("no panic while locked");
        }
        let status = status.clone();
        match self
            .shared
            .error
            .lock()
            .expect("no panic while locked")
            .clone()
        {
            Some(error) => Err(error),
            None => Ok(status),
        }
    }
}

fn is_ended(state: JobState) -> bool {
    matches!(
        state,
        JobState::Finished | JobState::Stopped | JobState::Failed
    )
}

struct JobLoop {
    config: JobConfig,
    shared: Arc<Shared>,
    events: SyncSender<Event>,
    inbox: Receiver<Event>,
    policy: RestartPolicy,
}

/// A panic is our bug; whoever waits for the job must not wait for ever.
impl Drop for JobLoop {
    fn drop(&mut self) {
        if !is_ended(self.shared.status().state) {
            self.fail(Error::bug("the job's thread has panicked"));
        }
    }
}

impl JobLoop {
    fn run(mut self, mut opened: Result<Recovered>) {
        loop {
            let ended = opened.and_then(|recovered| self.attempt(recovered));
            let error = match ended {
                Ok(state) => return self.shared.set(|status| status.state = state),
                Err(error) => error,
            };
            let (now, random) = (self.config.env.monotonic(), self.config.env.random());
            match self.policy.on_failure(error.kind(), now, random) {
                Verdict::GiveUp => return self.fail(error),
                Verdict::Exhausted(restarts) => {
                    let message = format!("given up after {restarts} restarts");
                    return self.fail(error.context(message));
                }
                Verdict::RestartAfter(pause) => {
                    tracing::warn!(%error, ?pause, "the job starts again from its last epoch");
                    let restarts = self.policy.restarts();
                    self.shared.set(|status| {
                        status.state = JobState::Stalled;
                        status.reason = Some(error.to_string());
                        status.restarts = restarts;
                    });
                    if self.pause(pause) {
                        return self.shared.set(|status| status.state = JobState::Stopped);
                    }
                }
            }
            opened = recovery::open(&self.config);
        }
    }

    fn fail(&self, error: Error) {
        // Whoever waits for the job says what it ended with.
        tracing::info!(%error, kind = %error.kind(), "the job has failed");
        *self.shared.error.lock().expect("no panic while locked") = Some(error.clone());
        self.shared.set(|status| {
            status.state = JobState::Failed;
            status.reason = Some(error.to_string());
        });
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst)
    }

    /// Whether it was asked to stop meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let until = self.config.env.monotonic() + pause;
        while let Some(left) = until.checked_sub(self.config.env.monotonic()) {
            if self.is_stopping() || left.is_zero() {
                break;
            }
            let _event = self.inbox.recv_timeout(left);
        }
        self.is_stopping()
    }

    /// Runs until it is finished, stopped, or fails.
    fn attempt(&mut self, recovered: Recovered) -> Result<JobState> {
        // Rewinding happens once; a restart goes on from what came after it.
        self.config.start = StartOptions::default();
        let (env, events) = (self.config.env.clone(), self.events.clone());
        let start = move |shards| ThreadPool::start(shards, &*env, &events);
        let mut coordinator = Coordinator::new(self.config.clone(), recovered, start);
        self.publish(coordinator.status());
        let interval = Duration::from_millis(self.config.epoch_interval_ms);
        let mut next = self.config.env.monotonic() + interval;
        loop {
            if coordinator.is_finished() {
                coordinator.finish_sinks()?;
                return Ok(JobState::Finished);
            }
            while !self.wait_until(next)? {
                coordinator.run_barrier_if_full()?;
            }
            let stopping = self.is_stopping();
            next = self.config.env.monotonic() + interval;
            if coordinator.run_epoch()? {
                self.policy.on_commit();
            }
            // Whatever it was that made the job start again, it is over.
            self.shared.set(|status| status.state = JobState::Running);
            self.publish(coordinator.status());
            if stopping && !coordinator.is_finished() {
                return Ok(JobState::Stopped);
            }
        }
    }

    fn publish(&self, status: &JobStatus) {
        let mut status = status.clone();
        status.restarts = self.policy.restarts();
        // What ends the job is said once its threads have ended.
        if status.state == JobState::Finished {
            status.state = JobState::Running;
        }
        // After a failure, only an epoch that was committed shows that the trouble is over.
        self.shared.set(|old| {
            if old.state == JobState::Stalled && status.epoch == old.epoch {
                status.state = JobState::Stalled;
                status.reason.clone_from(&old.reason);
            }
            *old = status;
        });
    }

    /// Waits for the end of the epoch, or for something that ends it early. `false`: for a barrier before
    /// that.
    fn wait_until(&self, deadline: Duration) -> Result<bool> {
        let left = deadline.saturating_sub(self.config.env.monotonic());
        if self.is_stopping() {
            return Ok(true);
        }
        match self.inbox.recv_timeout(left) {
            Ok(Event::Full) => Ok(false),
            // PERF: an epoch frees what is staged, but one right after the other would free nothing.
            Ok(Event::Throttled) => {
                let quarter = Duration::from_millis(self.config.epoch_interval_ms / 4);
                let until = self.config.env.monotonic() + quarter.min(left);
                while let Some(left) = until.checked_sub(self.config.env.monotonic()) {
                    match self.inbox.recv_timeout(left) {
                        Ok(Event::Throttled | Event::Full) => {}
                        _ => break,
                    }
                }
                Ok(true)
            }
            Ok(Event::Ended | Event::Failed | Event::Stop) | Err(RecvTimeoutError::Timeout) => {
                Ok(true)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::bug("the job's events have no sender"))
            }
        }
    }
}
