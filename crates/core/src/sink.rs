//! Where rows go. A sink takes part in the epoch protocol: each shard has a [`SinkWriter`] that
//! stages rows invisibly; once the epoch's manifest is durable, [`Sink::commit`] makes them visible.
//!
//! Contract of `commit`: idempotent. The sink remembers in the same atomic step as the rows which
//! epoch it holds for a [`SinkContext`], and commits an epoch that it holds already as a no-op. So
//! the engine may repeat it after a crash or an unclear answer, any number of times.

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ids::{Epoch, Incarnation, ShardIndex};
use crate::storage::AppendFile;

/// Who writes. A sink remembers epochs by pipeline, incarnation and sink; the run tells what one
/// process has staged from what another has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SinkContext {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The sink table's name.
    pub sink: String,
    /// The epoch with which the run began that writes: it claimed that epoch, so nobody else did.
    pub run: Epoch,
}

/// An epoch of an incarnation. Ordered: a newer incarnation is later than any epoch of an older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EpochMark {
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The epoch.
    pub epoch: Epoch,
}

impl std::fmt::Display for EpochMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "epoch {}", self.epoch)?;
        match self.incarnation {
            Incarnation(0) => Ok(()),
            incarnation => write!(f, " of incarnation {incarnation}"),
        }
    }
}

/// What a sink says of itself on start. See [`Sink::held`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it is and where, for messages: a path that the user would recognise.
    pub place: String,
    /// The last epoch that it holds of the pipeline, of whichever incarnation.
    pub last: Option<EpochMark>,
}

/// A table that can be written.
///
/// ```
/// use millstream_core::memory::MemorySink;
/// use millstream_core::sink::{Sink, SinkContext};
/// use millstream_core::{Epoch, Incarnation, ShardIndex};
///
/// let sink = MemorySink::default();
/// let context = SinkContext {
///     pipeline: "p".into(),
///     incarnation: Incarnation(0),
///     sink: "t".into(),
///     run: Epoch(1),
/// };
/// let mut writer = sink.writer(&context, ShardIndex(0)).unwrap();
/// assert!(writer.prepare(Epoch(2)).unwrap().is_none(), "nothing written, nothing staged");
/// sink.commit(&context, Epoch(2), &[]).unwrap();
/// assert_eq!(sink.committed(&context).unwrap(), Some(Epoch(2)));
/// ```
pub trait Sink: Send + Sync {
    /// Opens the writer of one shard.
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>>;

    /// Makes what was staged for `epoch` visible, all of it or nothing. Called once the manifest
    /// is durable, in the order of epochs; skipped for an epoch in which nothing was staged.
    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()>;

    /// The last epoch that this sink holds for `context`, from data written with the rows.
    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>>;

    /// The last epoch that this sink holds of `context`'s pipeline and table, of whichever
    /// incarnation, so that rows that were lost are noticed on start. `None`: this sink does not
    /// remember over a restart, or somebody may rightly take away what it has written.
    fn held(&self, _context: &SinkContext) -> Result<Option<Held>> {
        Ok(None)
    }

    /// Called on start, once the run has claimed its epoch: removes what runs before `context.run`
    /// have staged. What counts of it has been committed, and they can decide no more. What later
    /// runs have staged must stay.
    fn discard_before(&self, context: &SinkContext) -> Result<()>;

    /// Called when all input has ended and its last epoch is committed: makes visible what this sink
    /// holds back to do more at a time. May be repeated.
    fn finish(&self, _context: &SinkContext) -> Result<()> {
        Ok(())
    }
}

/// Stages the rows of one shard.
pub trait SinkWriter: Send {
    /// Takes rows. They must not become visible.
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;

    /// Ends the epoch: everything written since the last call, or `None` if that was nothing.
    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Prepared>>;

    /// Bytes held in memory, for the memory budget.
    fn buffered_bytes(&self) -> usize {
        0
    }
}

/// Staged rows, and the files that must be synced before the manifest may name them.
pub struct Prepared {
    /// What goes into the manifest.
    pub staged: Staged,
    /// Synced by the engine, off the shard's thread.
    pub files: Vec<Box<dyn AppendFile>>,
}

/// What a manifest keeps of a shard's output in one epoch: enough to commit it after a crash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    /// Number of rows.
    pub rows: u64,
    /// Their size as staged, in bytes.
    pub bytes: u64,
    /// The sink's own description: names, lengths and checksums of staged files.
    pub payload: serde_json::Value,
}
