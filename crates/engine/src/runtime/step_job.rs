//! A job on the caller's thread, for tests and simulation.

use millstream_core::{Epoch, Result};

use super::config::JobConfig;
use super::coordinator::{Coordinator, HeldTime};
use super::pool::InlinePool;
use super::recovery;
use crate::operator::Again;
use crate::status::JobStatus;

/// A pipeline driven step by step on the caller's thread: the same code as
/// [`Job`](super::Job), without threads.
pub struct StepJob {
    coordinator: Coordinator<InlinePool>,
}

impl StepJob {
    /// Recovers from the newest manifest.
    pub fn open(config: JobConfig) -> Result<Self> {
        let recovered = recovery::open(&config)?;
        let job = Self {
            coordinator: Coordinator::new(config, recovered, InlinePool::new),
        };
        job.finish_sinks()?;
        Ok(job)
    }

    /// From now on time goes no further than that.
    pub(super) fn hold_time(&mut self, held: HeldTime) {
        self.coordinator.hold_time(held);
    }

    /// Lets every shard read one batch, and does what has to be done before the next epoch: more often
    /// than [`Job`](super::Job), at any time. `false` when none had anything to read.
    pub fn poll(&mut self) -> Result<bool> {
        let is_busy = self.coordinator.pool.poll()?;
        self.coordinator.run_barrier_if_full()?;
        self.coordinator.write_ahead(&Again::default())?;
        Ok(is_busy)
    }

    /// One whole epoch, if anything changed: barrier, windows that are complete, manifest, commit.
    /// The number of the last epoch.
    pub fn checkpoint(&mut self) -> Result<Epoch> {
        self.coordinator.run_epoch()?;
        self.finish_sinks()?;
        Ok(self.coordinator.epoch())
    }

    /// Once all input has ended; a run that died before it could leaves it to the next.
    fn finish_sinks(&self) -> Result<()> {
        match self.coordinator.is_finished() {
            true => self.coordinator.finish_sinks(),
            false => Ok(()),
        }
    }

    /// Whether all input was read and every window has fired.
    pub fn is_finished(&self) -> bool {
        self.coordinator.is_finished()
    }

    /// How it is doing.
    pub fn status(&self) -> JobStatus {
        self.coordinator.status().clone()
    }
}
