//! What a running job says of itself: one plain struct, filled at every epoch and between.

use serde::Serialize;

/// A job as seen from outside. Counters count since the pipeline's first epoch ever, restarts
/// included, and cover what is committed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobStatus {
    /// The pipeline's name.
    pub pipeline: String,
    /// What it is doing.
    pub state: JobState,
    /// Why, if it failed or stalls.
    pub reason: Option<String>,
    /// How often it was started again after a failure, since the process started.
    pub restarts: u64,
    /// How often it was rewound.
    pub incarnation: u64,
    /// The last committed epoch.
    pub epoch: u64,
    /// Number of shards.
    pub parallelism: u32,
    /// How long shards stood still for the last barrier, in ms.
    pub barrier_ms: f64,
    /// The same of all barriers since it was started last.
    pub pauses: PauseStatus,
    /// From the barrier to the end of the commit of the last epoch, in ms.
    pub epoch_ms: f64,
    /// When the last epoch was committed, ms since the Unix epoch.
    pub committed_at_ms: Option<i64>,
    /// Bytes of window state in memory.
    pub state_bytes: u64,
    /// Bytes of live state segments in the checkpoint store.
    pub checkpoint_bytes: u64,
    /// Its sources.
    pub sources: Vec<SourceStatus>,
    /// Its operators.
    pub operators: Vec<OperatorStatus>,
    /// Its sinks.
    pub sinks: Vec<SinkStatus>,
}

/// How long shards stood still at barriers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct PauseStatus {
    /// How many barriers there were.
    pub count: u64,
    /// Half of them were not longer, in ms; to within 4 %, as the next.
    pub p50_ms: f64,
    /// 99 of 100 were not longer, in ms.
    pub p99_ms: f64,
    /// The longest, in ms.
    pub max_ms: f64,
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Recovering.
    Starting,
    /// Reading.
    Running,
    /// Not reading, for a reason that may pass: storage full, memory budget reached.
    Stalled,
    /// All input read, every window fired.
    Finished,
    /// Stopped on request, at an epoch.
    Stopped,
    /// Ended by an error.
    Failed,
}

/// A source of a job. `rows_on_time + rows_late + rows_undecodable = rows_read`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceStatus {
    /// The table's name.
    pub table: String,
    /// Records read.
    pub rows_read: u64,
    /// Rows that no query dropped as late.
    pub rows_on_time: u64,
    /// Rows that at least one query dropped as late.
    pub rows_late: u64,
    /// Records that could not be decoded.
    pub rows_undecodable: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Minimum over the live splits, ms since the Unix epoch.
    pub watermark_ms: Option<i64>,
    /// Its splits.
    pub splits: Vec<SplitStatus>,
}

/// A split of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitStatus {
    /// Its name.
    pub split: String,
    /// The first record not yet read.
    pub offset: u64,
    /// Its own watermark, ms since the Unix epoch.
    pub watermark_ms: Option<i64>,
    /// Whether it has no rows for the idle timeout.
    pub idle: bool,
    /// Whether it has ended.
    pub ended: bool,
    /// What is known to wait, in the unit of the offset.
    pub backlog: Option<u64>,
}

/// An operator of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorStatus {
    /// Its node in the plan.
    pub node: u32,
    /// One line about it.
    pub description: String,
    /// Rows that went in.
    pub rows_in: u64,
    /// Rows that came out.
    pub rows_out: u64,
    /// Groups in memory.
    pub groups: u64,
    /// Bytes of state in memory.
    pub state_bytes: u64,
}

/// A sink of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SinkStatus {
    /// The table's name.
    pub table: String,
    /// `results`, `late-events` or `dead-letters`.
    pub role: String,
    /// Rows committed.
    pub rows: u64,
    /// Bytes committed, as staged.
    pub bytes: u64,
}
