//! placeholder: the public interface, its body is being written

use std::sync::Arc;

use millstream_core::connector::Connectors;
use millstream_core::env::Env;
use millstream_core::plan::Plan;
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, Result};

use crate::status::JobStatus;

/// What a job needs.
#[derive(Clone)]
pub struct JobConfig {
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// Number of shards.
    pub parallelism: u32,
    /// Most rows decoded at once.
    pub batch_rows: usize,
    /// How long an epoch is, in ms.
    pub epoch_interval_ms: u64,
    /// Most bytes of state and staged output in memory before reading stops.
    pub memory_bytes_max: usize,
    /// Clock and threads.
    pub env: Arc<dyn Env>,
    /// The data directory: manifests and state segments.
    pub storage: Arc<dyn Storage>,
    /// Sources, decoders, sinks.
    pub connectors: Arc<dyn Connectors>,
}

/// A pipeline on threads of its own.
pub struct Job;

impl Job {
    /// Recovers from the newest manifest and starts reading. Errors that the user can fix
    /// (damaged manifest, another plan's state) come back from here.
    pub fn start(_config: JobConfig) -> Result<JobHandle> {
        Err(Error::bug("not written yet"))
    }
}

/// A running job. Cheap to clone.
#[derive(Clone)]
pub struct JobHandle;

impl JobHandle {
    /// How it is doing.
    pub fn status(&self) -> JobStatus {
        unreachable!("not written yet")
    }

    /// Asks it to commit a last epoch and stop. Returns at once.
    pub fn stop(&self) {}

    /// Whether it has ended: finished, stopped or failed.
    pub fn is_ended(&self) -> bool {
        true
    }

    /// Waits until it has ended. The error that ended it, if one did.
    pub fn wait(&self) -> Result<JobStatus> {
        Err(Error::bug("not written yet"))
    }
}

/// A pipeline driven step by step on the caller's thread, for tests and simulation: the same
/// code as [`Job`], without threads.
pub struct StepJob;

impl StepJob {
    /// Recovers from the newest manifest.
    pub fn open(_config: JobConfig) -> Result<Self> {
        Err(Error::bug("not written yet"))
    }

    /// Lets every shard read one batch. `false` when none had anything to read.
    pub fn poll(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// One whole epoch: barrier, windows that are complete, manifest, commit. Its number.
    pub fn checkpoint(&mut self) -> Result<Epoch> {
        Err(Error::bug("not written yet"))
    }

    /// Whether all input was read and every window has fired.
    pub fn is_finished(&self) -> bool {
        true
    }

    /// How it is doing.
    pub fn status(&self) -> JobStatus {
        unreachable!("not written yet")
    }
}
