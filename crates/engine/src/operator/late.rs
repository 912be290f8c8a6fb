//! Rows that came too late for a window: counted once each, kept once for each query that dropped
//! them, with the whole row decoded again from its raw record.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{LateColumn, LateEvents};
use millstream_core::{Error, EventTime, Result, Watermark};

use super::batch::SourceBatch;
use super::shape::{ShapeDecoder, ShapedRows};
use super::source::SplitContext;

/// Late rows of one source batch.
#[derive(Debug, Default)]
pub struct LateRows {
    rows: Vec<LateRow>,
}

/// Rows of a batch that missed a window, until it is known whether they are in another.
#[derive(Debug, Default)]
pub struct Missed {
    rows: Vec<LateRow>,
    count: RowSet,
}

/// Rows of a batch, as bits.
#[derive(Debug, Default)]
struct RowSet(Vec<u64>);

impl RowSet {
    fn insert(&mut self, row: u32) {
        let word = (row / 64) as usize;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (row % 64);
    }

    fn contains(&self, row: u32) -> bool {
        let word = self.0.get((row / 64) as usize);
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

impl Missed {
    /// Adds a row that missed a window.
    pub fn push(&mut self, row: LateRow) {
        self.rows.push(row);
    }

    /// Row `row` of the source batch is in a window that is open.
    pub fn counts_elsewhere(&mut self, row: u32) {
        // PERF: most batches have no late rows; only what comes after one has to be remembered, as
        // the windows of a row come in order and those that passed are the first.
        if !self.rows.is_empty() {
            self.count.insert(row);
        }
    }

    /// Gives the rows that are in no window; of each the last that it missed.
    pub fn give(self, late: &mut LateRows) {
        let rows = self.rows.into_iter();
        let lost = rows.filter(|row| !self.count.contains(row.row));
        let mut lost = lost.peekable();
        while let Some(row) = lost.next() {
            if lost.peek().is_none_or(|next| next.row != row.row) {
                late.push(row);
            }
        }
    }
}

/// A row that a query dropped.
#[derive(Debug, Clone)]
pub struct LateRow {
    /// Row of the source batch.
    pub row: u32,
    /// The query, or queries with commas between, that dropped it.
    pub query: Arc<str>,
    /// Start of the window that it missed.
    pub window_start: EventTime,
    /// End of the window that it missed.
    pub window_end: EventTime,
    /// Watermark of its split before it.
    pub watermark: Watermark,
}

impl LateRows {
    /// Adds a row. What UNNEST and joins made of one row comes one after the other, and is one row.
    pub fn push(&mut self, row: LateRow) {
        let is_same = |last: &LateRow| {
            (last.row, last.window_end) == (row.row, row.window_end) && last.query == row.query
        };
        if !self.rows.last().is_some_and(is_same) {
            self.rows.push(row);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes them all, each once for a query and window: of several steps of a query each tells.
    pub fn take(&mut self) -> Vec<LateRow> {
        let mut rows = std::mem::take(&mut self.rows);
        // PERF: one step tells in the order of rows, so nothing has to be looked up.
        if !rows.is_sorted_by_key(|late| late.row) {
            let mut told = BTreeSet::new();
            rows.retain(|late| {
                let window = (late.window_start, late.window_end);
                told.insert((late.row, window, late.query.clone()))
            });
        }
        rows
    }
}

/// How many different rows these are.
pub fn distinct_rows(late: &[LateRow]) -> u64 {
    late.iter()
        .map(|late| late.row)
        .collect::<BTreeSet<_>>()
        .len() as u64
}

/// Builds the rows of a late-event table.
pub struct LateTable {
    plan: LateEvents,
    schema: SchemaRef,
    decoder: ShapeDecoder,
}

impl LateTable {
    /// For the table of `plan`, whose columns are `schema`.
    pub fn new(plan: &LateEvents, schema: SchemaRef, decoder: ShapeDecoder) -> Self {
        let plan = plan.clone();
        Self {
            plan,
            schema,
            decoder,
        }
    }

    /// The rows for `late`, which came with `batch`.
    pub fn rows(
        &mut self,
        batch: &SourceBatch,
        split: &SplitContext,
        late: &[LateRow],
    ) -> Result<RecordBatch> {
        let surroundings = &batch.surroundings();
        let source = match &batch.raw {
            Some(raw) => {
                let records = late.iter().map(|late| batch.record(late.row));
                let records: Vec<u32> = records.map(|r| r.expect("there are records")).collect();
                let shaped = self
                    .decoder
                    .decode(&raw.select(&records), split, surroundings)?;
                all_records(&shaped, late.len())?
            }
            None => {
                let generated = batch.generated.as_ref();
                let generated = generated.ok_or_else(|| Error::bug("rows without a record"))?;
                let rows: UInt32Array = late.iter().map(|late| late.row).collect();
                let rows = take_record_batch(generated, &rows)?;
                self.decoder.project(&rows, surroundings)?
            }
        };
        let columns = self.plan.columns.iter();
        let columns: Vec<ArrayRef> = columns
            .map(|column| late_column(column, &source, late))
            .collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// One row for each of `count` records. This table may decode columns that no query does, and find
/// there what is not of their type: such a record was on time for the format, so it is kept, with
/// nulls.
fn all_records(shaped: &ShapedRows, count: usize) -> Result<RecordBatch> {
    let Some(records) = &shaped.record_of_row else {
        return Ok(shaped.rows.clone());
    };
    let mut row_of_record = vec![None; count];
    for (row, record) in records.iter().enumerate() {
        row_of_record[*record as usize] = Some(u32::try_from(row).expect("rows fit u32"));
    }
    Ok(take_record_batch(
        &shaped.rows,
        &UInt32Array::from(row_of_record),
    )?)
}

fn late_column(column: &LateColumn, source: &RecordBatch, late: &[LateRow]) -> ArrayRef {
    let times = |time: fn(&LateRow) -> i64| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values(
            late.iter().map(time),
        ))
    };
    match column {
        LateColumn::Source(index) => source.column(*index).clone(),
        LateColumn::LateFor => {
            let names = late.iter().map(|late| &*late.query);
            Arc::new(StringArray::from_iter_values(names))
        }
        LateColumn::WindowStart => times(|late| late.window_start.0),
        LateColumn::WindowEnd => times(|late| late.window_end.0),
        LateColumn::Watermark => times(|late| late.watermark.0),
    }
}
