//! The head of a chain: raw records to rows with event times, dead letters, and the split's
//! watermark.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::array_value_to_string;
use millstream_core::plan::{DeadLetterColumn, DeadLetters, EventTimeSpec, SourcePlan};
use millstream_core::source::{RawBatch, Read, Rejected, Split};
use millstream_core::{Error, Result, SourceId, Watermark};

use super::batch::SourceBatch;
use super::shape::ShapeDecoder;
use crate::expr::Surroundings;
use crate::window::assigner::to_millis;

/// What is known of a split while it is read.
#[derive(Debug, Clone)]
pub struct SplitContext {
    /// Its source.
    pub source: SourceId,
    /// Name and metadata.
    pub split: Split,
    /// Its own watermark: newest event time minus the delay, over all rows read.
    pub watermark: Watermark,
}

/// What came of one read.
#[derive(Debug)]
pub struct SourceRows {
    /// The rows, with event times and watermarks.
    pub batch: SourceBatch,
    /// Rows for the dead-letter table.
    pub dead: Option<RecordBatch>,
    /// Records read.
    pub rows_read: u64,
    /// Records that were not accepted.
    pub rows_undecodable: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Rows that have an event time, the times in ms, and the rows' records.
type TimedRows = (RecordBatch, Vec<i64>, Option<Arc<[u32]>>);

/// Decodes the records of one source on one shard.
pub struct SourceOperator {
    id: SourceId,
    table: String,
    shape: ShapeDecoder,
    event_time: Option<EventTimeSpec>,
    /// The columns that the event time is computed from, if it is.
    time_inputs: Vec<usize>,
    dead: Option<(DeadLetters, SchemaRef)>,
}

impl SourceOperator {
    /// The head for `plan`; `dead_schema` are the columns of its dead-letter table.
    pub fn new(plan: &SourcePlan, shape: ShapeDecoder, dead_schema: Option<SchemaRef>) -> Self {
        Self {
            id: plan.id,
            table: plan.table.clone(),
            shape,
            event_time: plan.event_time.clone(),
            time_inputs: time_inputs(plan),
            dead: plan.dead_letters.clone().zip(dead_schema),
        }
    }

    /// Takes what a split gave and advances the split's watermark. `None` for no rows at all.
    /// `surroundings` are those at which it was read.
    pub fn accept(
        &mut self,
        read: Read,
        split: &mut SplitContext,
        surroundings: &Surroundings<'_>,
    ) -> Result<Option<SourceRows>> {
        match read {
            Read::Records(raw) => self.accept_records(raw, split, surroundings).map(Some),
            Read::Rows(rows) => self.accept_rows(&rows, split, surroundings).map(Some),
            Read::Pending | Read::End => Ok(None),
        }
    }

    fn accept_records(
        &mut self,
        raw: RawBatch,
        split: &mut SplitContext,
        surroundings: &Surroundings<'_>,
    ) -> Result<SourceRows> {
        let shaped = self.shape.decode(&raw, split, surroundings)?;
        let bytes_read = raw.records.iter().map(|r| u64::from(r.end - r.start)).sum();
        let rows_read = raw.len() as u64;
        let mut rejected = shaped.rejected;
        let (rows, times, records) =
            self.event_times(shaped.rows, shaped.record_of_row, &mut rejected)?;
        let dead = self.dead_letters(&raw, &rejected, split)?;
        let batch = self.batch((rows, Some(raw), records), times, split);
        Ok(SourceRows {
            batch,
            dead,
            rows_read,
            rows_undecodable: rejected.len() as u64,
            bytes_read,
        })
    }

    fn accept_rows(
        &mut self,
        rows: &RecordBatch,
        split: &mut SplitContext,
        surroundings: &Surroundings<'_>,
    ) -> Result<SourceRows> {
        let mut rejected = vec![];
        let rows_read = rows.num_rows() as u64;
        let shaped = self.shape.project(rows, surroundings)?;
        let (shaped, times, kept) = self.event_times(shaped, None, &mut rejected)?;
        let generated = match kept {
            Some(kept) => take_record_batch(rows, &UInt32Array::from(kept.to_vec()))?,
            None => rows.clone(),
        };
        let bytes_read = rows.get_array_memory_size() as u64;
        let mut batch = self.batch((shaped, None, None), times, split);
        batch.generated = Some(generated);
        Ok(SourceRows {
            batch,
            dead: None,
            rows_read,
            rows_undecodable: rejected.len() as u64,
            bytes_read,
        })
    }

    fn batch(
        &self,
        rows: (RecordBatch, Option<RawBatch>, Option<Arc<[u32]>>),
        times: Vec<i64>,
        split: &mut SplitContext,
    ) -> SourceBatch {
        let delay_ms = self.event_time.as_ref().map_or(0, |spec| spec.delay_ms);
        let place = (self.id, split.split.id.clone());
        let batch = SourceBatch::new(place, rows, (times, delay_ms, split.watermark));
        split.watermark = batch.after;
        batch
    }

    /// Event times in ms. Rows without one are rejected.
    fn event_times(
        &self,
        rows: RecordBatch,
        records: Option<Arc<[u32]>>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<TimedRows> {
        let Some(spec) = &self.event_time else {
            return Ok((rows, vec![], records));
        };
        let times = to_millis(rows.column(spec.column))?;
        if times.null_count() == 0 {
            return Ok((rows, times.values().to_vec(), records));
        }
        let record = |row: usize| match &records {
            Some(records) => records[row],
            None => u32::try_from(row).expect("batches have fewer than 2^32 rows"),
        };
        let missing = (0..times.len()).filter(|row| times.is_null(*row));
        for row in missing {
            rejected.push(Rejected {
                record: record(row),
                error: self.why_no_time(&rows, spec.column, row)?,
            });
        }
        rejected.sort_by_key(|rejected| rejected.record);
        let present = arrow::compute::is_not_null(&times)?;
        let kept = (0..times.len()).filter(|row| times.is_valid(*row));
        let records = kept.clone().map(record).collect();
        let kept_times = kept.map(|row| times.value(row)).collect();
        let rows = filter_record_batch(&rows, &present)?;
        Ok((rows, kept_times, Some(records)))
    }

    /// Says why `row` has no event time: it is not in the record, or what is there is no time.
    fn why_no_time(&self, rows: &RecordBatch, time: usize, row: usize) -> Result<String> {
        let schema = rows.schema_ref();
        let mut why = format!("event time `{}` is null", schema.field(time).name());
        let inputs = &self.time_inputs;
        if inputs.is_empty() || inputs.iter().any(|input| rows.column(*input).is_null(row)) {
            return Ok(why);
        }
        for (index, input) in inputs.iter().enumerate() {
            let column = rows.column(*input);
            let value = array_value_to_string(column, row)?;
            let separator = if index == 0 { ": " } else { ", " };
            let name = schema.field(*input).name();
            write!(why, "{separator}`{name}` = {value}").expect("a String takes everything");
        }
        let is_number = |input: &usize| rows.column(*input).data_type().is_numeric();
        why.push_str(match inputs.iter().all(is_number) {
            true => " is out of range",
            false => " is not a time, or out of range",
        });
        Ok(why)
    }

    fn dead_letters(
        &self,
        raw: &RawBatch,
        rejected: &[Rejected],
        split: &SplitContext,
    ) -> Result<Option<RecordBatch>> {
        let Some((dead, schema)) = &self.dead else {
            return Ok(None);
        };
        if rejected.is_empty() {
            return Ok(None);
        }
        let columns = dead.columns.iter().zip(schema.fields());
        let columns: Vec<ArrayRef> = columns
            .map(|(column, field)| {
                let data_type = field.data_type();
                self.dead_column(*column, data_type, (raw, rejected, split))
            })
            .collect();
        Ok(Some(RecordBatch::try_new(schema.clone(), columns)?))
    }

    fn dead_column(
        &self,
        column: DeadLetterColumn,
        data_type: &DataType,
        (raw, rejected, split): (&RawBatch, &[Rejected], &SplitContext),
    ) -> ArrayRef {
        let bytes = rejected.iter().map(|r| raw.record(r.record as usize));
        let same = |text: &str| -> ArrayRef {
            let texts = std::iter::repeat_n(text, rejected.len());
            Arc::new(StringArray::from_iter_values(texts))
        };
        match column {
            DeadLetterColumn::Raw if *data_type == DataType::Binary => {
                Arc::new(BinaryArray::from_iter_values(bytes))
            }
            DeadLetterColumn::Raw => Arc::new(StringArray::from_iter_values(
                bytes.map(String::from_utf8_lossy),
            )),
            DeadLetterColumn::SourceTable => same(&self.table),
            DeadLetterColumn::Split => same(split.split.id.as_str()),
            DeadLetterColumn::Offset => {
                let offsets = rejected.iter().map(|r| raw.offsets[r.record as usize]);
                let offsets = offsets.map(|o| i64::try_from(o).unwrap_or(i64::MAX));
                Arc::new(Int64Array::from_iter_values(offsets))
            }
            DeadLetterColumn::Error => Arc::new(StringArray::from_iter_values(
                rejected.iter().map(|r| &r.error),
            )),
        }
    }
}

/// The columns that a computed event time reads.
fn time_inputs(plan: &SourcePlan) -> Vec<usize> {
    let first = plan.shape.decoded.fields().len() + plan.shape.metadata.len();
    let computed = plan.event_time.as_ref().and_then(|spec| {
        let index = spec.column.checked_sub(first)?;
        plan.shape.computed.get(index)
    });
    let mut inputs = vec![];
    if let Some((_, expr)) = computed {
        expr.for_each_column(&mut |index| inputs.push(index));
    }
    inputs.sort_unstable();
    inputs.dedup();
    inputs
}

/// Sources of one shard by id.
pub fn by_id(operators: &mut [SourceOperator], id: SourceId) -> Result<&mut SourceOperator> {
    let operator = operators.get_mut(id.index());
    operator.ok_or_else(|| Error::bug(format!("no source {id}")))
}
