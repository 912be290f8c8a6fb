//! `'connector' = 'blackhole'`: takes rows and drops them; for measuring and trying things out.
//!
//! Rows are counted for the manifest, nothing is staged. Which epoch is committed is remembered in
//! memory only: there are no rows that a second commit could double.

use std::sync::Mutex;

use arrow::array::RecordBatch;
use millstream_core::connector::{ConnectorInfo, Whole};
use millstream_core::sink::{Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::{Epoch, Result, ShardIndex};

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "blackhole",
    is_source: false,
    is_sink: true,
    is_upsert: true,
    whole: Whole::Never,
    needs_format: false,
    options: &[],
    metadata: &[],
};

/// A sink that drops every row.
pub fn sink() -> Box<dyn Sink> {
    Box::new(Blackhole::default())
}

#[derive(Debug, Default)]
struct Blackhole {
    committed: Mutex<Option<Epoch>>,
}

impl Sink for Blackhole {
    fn writer(&self, _: &SinkContext, _: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(Counter::default()))
    }

    fn commit(&self, _: &SinkContext, epoch: Epoch, _: &[Staged]) -> Result<()> {
        let mut committed = self.committed.lock().expect("no panic while locked");
        *committed = Some(epoch).max(*committed);
        Ok(())
    }

    fn committed(&self, _: &SinkContext) -> Result<Option<Epoch>> {
        Ok(*self.committed.lock().expect("no panic while locked"))
    }

    fn discard_before(&self, _: &SinkContext) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Counter {
    rows: u64,
}

impl SinkWriter for Counter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    fn prepare(&mut self, _: Epoch) -> Result<Option<Prepared>> {
        let rows = std::mem::take(&mut self.rows);
        let staged = Staged {
            rows,
            bytes: 0,
            payload: serde_json::Value::Null,
        };
        Ok((rows > 0).then_some(Prepared {
            staged,
            files: vec![],
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use millstream_core::Incarnation;

    use super::*;

    #[test]
    fn rows_are_counted_and_gone() {
        let context = SinkContext {
            pipeline: "p".into(),
            incarnation: Incarnation(0),
            sink: "s".into(),
            run: Epoch(1),
        };
        let sink = sink();
        let mut writer = sink.writer(&context, ShardIndex(0)).unwrap();
        assert!(writer.prepare(Epoch(1)).unwrap().is_none());
        let column = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("n", column as _)]).unwrap();
        writer.write(&rows).unwrap();
        writer.write(&rows).unwrap();
        let prepared = writer.prepare(Epoch(2)).unwrap().unwrap();
        assert_eq!((prepared.staged.rows, prepared.files.len()), (6, 0));
        sink.commit(&context, Epoch(2), &[prepared.staged]).unwrap();
        assert_eq!(sink.committed(&context).unwrap(), Some(Epoch(2)));
        assert!(writer.prepare(Epoch(3)).unwrap().is_none());
    }
}
