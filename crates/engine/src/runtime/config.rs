//! What a job needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::connector::Connectors;
use millstream_core::env::Env;
use millstream_core::plan::Plan;
use millstream_core::storage::Storage;

use crate::checkpoint::StartFrom;

/// Where a job starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// The checkpoint.
    pub from: StartFrom,
    /// Tables whose state is given up where a changed plan cannot take it over: of a source, its offsets
    /// and all that was computed from it; of a sink, the operators before it that have changed.
    pub drop_state: BTreeSet<String>,
}

/// What a job needs.
#[derive(Clone)]
pub struct JobConfig {
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// Number of shards, at least 1.
    pub parallelism: u32,
    /// Most rows decoded at once.
    pub batch_rows: usize,
    /// How long an epoch is, in ms.
    pub epoch_interval_ms: u64,
    /// Most bytes of state and staged output in memory before reading stops.
    pub memory_bytes_max: usize,
    /// Where to start from.
    pub start: StartOptions,
    /// Clock and threads.
    pub env: Arc<dyn Env>,
    /// The data directory: manifests and state segments.
    pub storage: Arc<dyn Storage>,
    /// Sources, decoders, sinks.
    pub connectors: Arc<dyn Connectors>,
}
