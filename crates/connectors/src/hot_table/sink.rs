//! The sink of a hot table: one staged part per shard and epoch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use millstream_core::sink::{EpochMark, Held, Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::{Epoch, Error, Incarnation, Result, ShardIndex};

use super::name::{Mark, staged_name, writer_name};
use super::part::part_path;
use super::part_file::PartWriter;
use super::table::HotTable;
use super::version::PartEntry;

const BATCH_ROWS: usize = 8192;

pub(super) struct HotTableSink {
    table: Arc<HotTable>,
}

impl HotTableSink {
    pub fn new(table: Arc<HotTable>) -> Self {
        Self { table }
    }
}

fn mark(context: &SinkContext, epoch: Epoch) -> Mark {
    Mark {
        incarnation: context.incarnation,
        epoch,
    }
}

impl Sink for HotTableSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(HotTableWriter {
            table: self.table.clone(),
            writer: writer_name(context)?,
            incarnation: context.incarnation,
            shard,
            schema: self.table.schema(),
            rows: vec![],
            bytes: 0,
        }))
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        let entry = |staged: &Staged| {
            serde_json::from_value::<PartEntry>(staged.payload.clone()).map_err(|error| {
                let (table, payload) = (self.table.name(), &staged.payload);
                let message = format!("table `{table}`: not a staged part: {error}; {payload}");
                Error::corrupt(message)
            })
        };
        let entries = staged.iter().map(entry).collect::<Result<Vec<_>>>()?;
        self.table
            .commit(&writer_name(context)?, mark(context, epoch), &entries)
    }

    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        let held = self.table.mark(&writer_name(context)?);
        Ok(held
            .filter(|held| held.incarnation == context.incarnation)
            .map(|held| held.epoch))
    }

    fn held(&self, context: &SinkContext) -> Result<Option<Held>> {
        let mark = self.table.mark(&writer_name(context)?);
        Ok(Some(Held {
            place: format!("table `{}` in `{}`", self.table.name(), self.table.folder),
            last: mark.map(|mark| EpochMark {
                incarnation: mark.incarnation,
                epoch: mark.epoch,
            }),
        }))
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        self.table
            .discard_through(&writer_name(context)?, mark(context, context.run))
    }
}

struct HotTableWriter {
    table: Arc<HotTable>,
    writer: String,
    incarnation: Incarnation,
    shard: ShardIndex,
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
    bytes: usize,
}

impl SinkWriter for HotTableWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        // The table's columns may all be null, whatever the plan knows of them.
        let columns = rows.columns().to_vec();
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.bytes += rows.get_array_memory_size();
        self.rows.push(rows);
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Prepared>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        self.bytes = 0;
        let rows = coalesced(&self.schema, std::mem::take(&mut self.rows))?;
        let mark = Mark {
            incarnation: self.incarnation,
            epoch,
        };
        let file = staged_name(&self.writer, mark, self.shard.0);
        let path = part_path(&self.table.folder, &file);
        let mut writer =
            PartWriter::create(self.table.storage.as_ref(), &path, self.schema.clone())?;
        for batch in &rows {
            writer.write(batch)?;
        }
        let (entry, output) = writer.finish(file)?;
        self.table.stage(&entry.file, rows.into());
        let payload = serde_json::to_value(&entry).expect("keys are strings");
        let staged = Staged {
            rows: entry.rows,
            bytes: entry.bytes,
            payload,
        };
        Ok(Some(Prepared {
            staged,
            files: vec![output],
        }))
    }

    fn buffered_bytes(&self) -> usize {
        self.bytes
    }
}

/// The same rows in few batches, without the slices' larger buffers behind them.
fn coalesced(schema: &SchemaRef, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
    // A coalescer reserves memory for all rows of a batch, so few rows ask for few.
    let mut coalescer = BatchCoalescer::new(schema.clone(), count.min(BATCH_ROWS));
    for batch in rows {
        coalescer.push_batch(batch)?;
    }
    coalescer.finish_buffered_batch()?;
    Ok(std::iter::from_fn(|| coalescer.next_completed_batch()).collect())
}
