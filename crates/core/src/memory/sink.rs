//! A [`Sink`] that keeps committed rows in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::ids::{Epoch, ShardIndex};
use crate::sink::{Prepared, Sink, SinkContext, SinkWriter, Staged};

/// Rows in memory. Clones share them, so a test can look at what an engine has committed.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    staged: BTreeMap<(Epoch, ShardIndex), Vec<RecordBatch>>,
    rows: Vec<RecordBatch>,
    committed: Option<Epoch>,
}

impl MemorySink {
    /// The rows that were committed, in order.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.state().rows.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }
}

impl Sink for MemorySink {
    fn writer(&self, _: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(MemoryWriter {
            sink: self.clone(),
            shard,
            rows: vec![],
        }))
    }

    fn commit(&self, _: &SinkContext, epoch: Epoch, _: &[Staged]) -> Result<()> {
        let mut state = self.state();
        if state.committed >= Some(epoch) {
            return Ok(());
        }
        let staged = std::mem::take(&mut state.staged);
        for ((of, _), rows) in staged {
            debug_assert_eq!(of, epoch, "staged for the epoch that is committed");
            state.rows.extend(rows);
        }
        state.committed = Some(epoch);
        Ok(())
    }

    fn committed(&self, _: &SinkContext) -> Result<Option<Epoch>> {
        Ok(self.state().committed)
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        let mut state = self.state();
        state.staged.retain(|(epoch, _), _| *epoch > context.run);
        Ok(())
    }
}

struct MemoryWriter {
    sink: MemorySink,
    shard: ShardIndex,
    rows: Vec<RecordBatch>,
}

impl SinkWriter for MemoryWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows.push(rows.clone());
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Prepared>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        let staged = Staged {
            rows: rows.iter().map(|batch| batch.num_rows() as u64).sum(),
            bytes: 0,
            payload: serde_json::Value::Null,
        };
        self.sink.state().staged.insert((epoch, self.shard), rows);
        let files = vec![];
        Ok(Some(Prepared { staged, files }))
    }
}
