//! What a chain puts out besides rows to the next operator: rows for sinks, and late rows.

use arrow::array::RecordBatch;
use millstream_core::sink::SinkWriter;
use millstream_core::{Error, Result, SinkId};

use super::late::LateRows;

/// Collects what leaves a chain.
pub struct Output<'a> {
    /// The writer of each sink, on this shard.
    pub writers: &'a mut [Box<dyn SinkWriter>],
    /// Rows that a window dropped.
    pub late: &'a mut LateRows,
}

impl Output<'_> {
    /// Writes rows to a sink.
    pub fn write(&mut self, sink: SinkId, rows: &RecordBatch) -> Result<()> {
        let writer = self.writers.get_mut(sink.index());
        let writer = writer.ok_or_else(|| Error::bug(format!("sink {sink} has no writer")))?;
        match rows.num_rows() {
            0 => Ok(()),
            _ => writer.write(rows),
        }
    }
}
