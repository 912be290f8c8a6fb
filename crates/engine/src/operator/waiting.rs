//! Rows that wait on the shard that read them until the watermark has passed them.
//!
//! As state a row is: `needed_until` (BIGINT, see [`StateBatch`](super::stateful::StateBatch)), when
//! it arrived ([`arrival`]), the operator's input columns. Rows are added and taken away, never
//! changed, so a checkpoint adds those that came since the last.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_core::{EventTime, Result, Watermark};

use super::arrival;
use super::batch::Batch;
use crate::window::window_state::Coalesced;

/// Columns of state before those of the input.
pub const COLUMNS: usize = 1 + arrival::COLUMNS;

/// See the module.
pub struct WaitingRows {
    schema: SchemaRef,
    kept: Vec<Chunk>,
    /// Not yet in a checkpoint.
    fresh: Vec<Chunk>,
}

struct Chunk {
    rows: RecordBatch,
    /// The first row to pass.
    first: i64,
    bytes: usize,
}

impl Chunk {
    fn new(rows: RecordBatch) -> Option<Self> {
        let until = rows.column(0).as_primitive::<Int64Type>().values();
        let first = *until.iter().min()?;
        let bytes = rows.get_array_memory_size();
        Some(Self { rows, first, bytes })
    }
}

impl WaitingRows {
    /// No rows of `input`.
    pub fn new(input: &Schema) -> Self {
        let mut fields = vec![Arc::new(Field::new("needed_until", DataType::Int64, false))];
        fields.extend(arrival::fields().map(Arc::new));
        fields.extend(input.fields().iter().cloned());
        Self {
            schema: Arc::new(Schema::new(fields)),
            kept: vec![],
            fresh: vec![],
        }
    }

    /// Columns of state.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds `rows` of `batch` (none: all), each needed until the end of a window in ms.
    pub fn push(&mut self, batch: &Batch, until: Vec<i64>, rows: Option<Vec<u32>>) -> Result<()> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(until))];
        columns.extend(arrival::columns(batch));
        columns.extend(batch.rows.columns().iter().cloned());
        let mut state = RecordBatch::try_new(self.schema.clone(), columns)?;
        if let Some(rows) = rows {
            state = take_record_batch(&state, &UInt32Array::from(rows))?;
        }
        self.fresh.extend(Chunk::new(state));
        Ok(())
    }

    /// Whether it has passed any.
    pub fn has_passed(&self, watermark: Watermark) -> bool {
        let mut chunks = self.kept.iter().chain(&self.fresh);
        chunks.any(|chunk| watermark.has_passed_end(EventTime(chunk.first)))
    }

    /// Takes out the rows that `watermark` has passed.
    pub fn take_passed(&mut self, watermark: Watermark) -> Result<Vec<RecordBatch>> {
        let mut passed = vec![];
        for chunks in [&mut self.kept, &mut self.fresh] {
            for mut chunk in std::mem::take(chunks) {
                if watermark.has_passed_end(EventTime(chunk.first)) {
                    let until = chunk.rows.column(0).as_primitive::<Int64Type>().values();
                    let has_passed = |until: &i64| watermark.has_passed_end(EventTime(*until));
                    let mask = BooleanArray::from_iter(until.iter().map(|u| Some(has_passed(u))));
                    passed.push(filter_record_batch(&chunk.rows, &mask)?);
                    let rest = arrow::compute::not(&mask)?;
                    match Chunk::new(filter_record_batch(&chunk.rows, &rest)?) {
                        Some(rest) => chunk = rest,
                        None => continue,
                    }
                }
                chunks.push(chunk);
            }
        }
        Ok(passed)
    }

    /// Drops the rows that `watermark` has passed.
    pub fn drop_passed(&mut self, watermark: Watermark) {
        self.take_passed(watermark)
            .expect("each row has one place in the mask");
    }

    /// Keeps the rows that `choose` chooses among all of them.
    pub fn retain(
        &mut self,
        choose: impl FnOnce(&RecordBatch) -> Result<BooleanArray>,
    ) -> Result<()> {
        let kept = self.kept.iter().map(|chunk| chunk.rows.num_rows()).sum();
        let all = self.kept.iter().chain(&self.fresh).map(|chunk| &chunk.rows);
        let all = concat_batches(&self.schema, all)?;
        let mask = choose(&all)?;
        let part = |start: usize, count: usize| {
            let rows = filter_record_batch(&all.slice(start, count), &mask.slice(start, count))?;
            Ok::<_, millstream_core::Error>(Chunk::new(rows).into_iter().collect())
        };
        let fresh = all.num_rows() - kept;
        (self.kept, self.fresh) = (part(0, kept)?, part(kept, fresh)?);
        Ok(())
    }

    /// The rows that came since the last call.
    pub fn changes(&mut self) -> Result<Vec<RecordBatch>> {
        let mut rows = Coalesced::new(self.schema.clone());
        for chunk in std::mem::take(&mut self.fresh) {
            rows.push(chunk.rows)?;
        }
        let rows = rows.finish()?;
        let kept = rows.iter().cloned().filter_map(Chunk::new);
        self.kept.extend(kept);
        Ok(rows)
    }

    /// Takes rows of state; `is_checkpoint`: they need not be written again.
    pub fn absorb(&mut self, rows: RecordBatch, is_checkpoint: bool) {
        match is_checkpoint {
            true => self.kept.extend(Chunk::new(rows)),
            false => self.fresh.extend(Chunk::new(rows)),
        }
    }

    /// Makes the next `changes` give everything.
    pub fn forget_checkpoints(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        self.fresh = std::mem::take(&mut self.kept);
        self.fresh.extend(fresh);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        let chunks = self.kept.iter().chain(&self.fresh);
        chunks.map(|chunk| chunk.rows.num_rows()).sum()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let chunks = self.kept.iter().chain(&self.fresh);
        chunks.map(|chunk| chunk.bytes).sum()
    }
}
