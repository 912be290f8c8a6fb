//! Rows on their way through a shard, and where they came from.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use millstream_core::source::RawBatch;
use millstream_core::{EventTime, Offset, SourceId, SplitId, Watermark};

use crate::expr::{Surroundings, Watermarks};
use crate::state::OrderKey;
use crate::state::accumulator::RunKey;

/// Rows, and which rows of the source they are. Windows lose the origin: their results are not
/// rows of a source.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The rows.
    pub rows: RecordBatch,
    /// Where they came from.
    pub origin: Option<Origin>,
}

/// Rows of one source batch.
#[derive(Debug, Clone)]
pub struct Origin {
    /// What was read.
    pub source: Arc<SourceBatch>,
    /// Row i of the batch is row `selection[i]` of the source batch; `None`: row i.
    pub selection: Option<Arc<[u32]>>,
}

/// A batch as it was read from a split, before filters.
#[derive(Debug)]
pub struct SourceBatch {
    /// The source.
    pub source: SourceId,
    /// The split.
    pub split: SplitId,
    /// The raw records, for rows that are decoded again; `None` for generators.
    pub raw: Option<RawBatch>,
    /// Record of each row; `None`: row i is record i.
    pub record_of_row: Option<Arc<[u32]>>,
    /// The decoded rows.
    pub rows: RecordBatch,
    /// What a generator made, row by row the same; `None` where there are raw records.
    pub generated: Option<RecordBatch>,
    /// Event time of each row in ms; empty if the source has no event time.
    pub times: Vec<i64>,
    /// How far the watermark follows behind.
    pub delay_ms: i64,
    /// The split's watermark before the first row.
    pub before: Watermark,
    /// The split's watermark after the last row.
    pub after: Watermark,
    /// The split's offset after the last row.
    pub end: Offset,
    /// Processing time at which it was read, in ms.
    pub read_ms: i64,
    running: OnceLock<Vec<i64>>,
    in_processing_time: OnceLock<Arc<Self>>,
}

impl SourceBatch {
    /// A batch whose running watermarks are computed when asked for.
    pub fn new(
        (source, split): (SourceId, SplitId),
        (rows, raw, record_of_row): (RecordBatch, Option<RawBatch>, Option<Arc<[u32]>>),
        (times, delay_ms, before): (Vec<i64>, i64, Watermark),
    ) -> Self {
        // The end of time is the watermark of input that has ended; no event can say that.
        let newest = times.iter().max().map(|time| time.saturating_sub(delay_ms));
        let newest = newest.map(|watermark| watermark.min(Watermark::MAX.0 - 1));
        let after = before.advanced_to(newest.map_or(Watermark::MIN, Watermark));
        let running = OnceLock::new();
        Self {
            source,
            split,
            raw,
            record_of_row,
            rows,
            generated: None,
            times,
            delay_ms,
            before,
            after,
            end: Offset(0),
            read_ms: 0,
            running,
            in_processing_time: OnceLock::new(),
        }
    }

    /// What was around when it was read, for rows that are decoded again.
    pub fn surroundings(&self) -> Surroundings<'_> {
        let seed = self.read_ms.cast_unsigned() ^ self.end.0;
        Surroundings::new(self.read_ms, seed, Watermarks::All(self.before))
    }

    /// The same rows, each at the time at which it was read: that is never late, and it is the split's
    /// watermark right after.
    fn in_processing_time(&self) -> Arc<Self> {
        let made = self.in_processing_time.get_or_init(|| {
            let place = (self.source, self.split.clone());
            let raw = self.raw.clone();
            let rows = (self.rows.clone(), raw, self.record_of_row.clone());
            let times = vec![self.read_ms; self.rows.num_rows()];
            let before = Watermark(self.read_ms.saturating_sub(1));
            let mut made = Self::new(place, rows, (times, 1, before));
            made.generated.clone_from(&self.generated);
            made.end = self.end;
            made.read_ms = self.read_ms;
            Arc::new(made)
        });
        made.clone()
    }

    /// The split's watermark as of the rows before `row`.
    pub fn watermark_before(&self, row: usize) -> Watermark {
        let running = self.running.get_or_init(|| {
            let mut watermark = self.before.0;
            let times = self.times.iter();
            times
                .map(|time| {
                    let before = watermark;
                    watermark = watermark.max(time.saturating_sub(self.delay_ms));
                    before
                })
                .collect()
        });
        Watermark(running[row])
    }

    /// The split's watermark after the first row, if that is its first row ever; else before it.
    pub fn first_watermark(&self) -> Watermark {
        match (self.before, self.times.first()) {
            (Watermark::MIN, Some(time)) => Watermark(time.saturating_sub(self.delay_ms)),
            (before, _) => before,
        }
    }

    /// The run of rows of this split that `phase` numbers, as a key. Every number is taken, so 0
    /// shares one.
    pub fn run_key(&self, phase: i64) -> RunKey {
        let split = xxhash_rust::xxh3::xxh3_64(self.split.as_str().as_bytes());
        let run = xxhash_rust::xxh3::xxh3_64_with_seed(&phase.to_le_bytes(), split);
        RunKey::new(run).unwrap_or(RunKey::MAX)
    }

    /// Where `row` is in its split; rows that came later are further on. Rows that were generated have
    /// no offset of their own: they are counted back from the batch's end.
    pub fn offset(&self, row: u32) -> u64 {
        let first = self.end.0.wrapping_sub(self.rows.num_rows() as u64);
        match (&self.raw, self.record(row)) {
            (Some(raw), Some(record)) => raw.offsets[record as usize],
            _ => first.wrapping_add(u64::from(row)),
        }
    }

    /// Where each of these rows stands among all rows of all splits.
    fn order_keys(&self, rows: impl Iterator<Item = (u32, i64)>) -> ArrayRef {
        let split = xxhash_rust::xxh3::xxh3_64(self.split.as_str().as_bytes());
        OrderKey::column(rows.map(|(row, time)| OrderKey {
            time,
            split,
            place: self.offset(row),
        }))
    }

    /// The raw record of `row`, if there are raw records.
    pub fn record(&self, row: u32) -> Option<u32> {
        self.raw.as_ref()?;
        match &self.record_of_row {
            Some(records) => Some(records[row as usize]),
            None => Some(row),
        }
    }
}

impl Origin {
    /// The source row of row `row` of the batch.
    pub fn source_row(&self, row: usize) -> u32 {
        match &self.selection {
            Some(selection) => selection[row],
            None => u32::try_from(row).expect("batches have fewer than 2^32 rows"),
        }
    }

    /// For these rows of the batch, in this order.
    #[must_use]
    pub fn chosen(&self, rows: &[u32]) -> Self {
        let rows = rows.iter().map(|row| self.source_row(*row as usize));
        Self {
            source: self.source.clone(),
            selection: Some(rows.collect()),
        }
    }

    /// Whether `row` is late for a window that ends at `end`: its own split had passed the window
    /// before the row, or (after idleness) the window has already fired.
    pub fn is_late(&self, row: usize, end: EventTime, fired: Watermark) -> bool {
        let before = self.source.watermark_before(self.source_row(row) as usize);
        before.advanced_to(fired).has_passed_end(end)
    }
}

impl Batch {
    /// The rows for which `mask` is true.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self, arrow::error::ArrowError> {
        if mask.null_count() == 0 && mask.true_count() == mask.len() {
            return Ok(self.clone());
        }
        let rows = arrow::compute::filter_record_batch(&self.rows, mask)?;
        let origin = self.origin.as_ref().map(|origin| {
            let kept = (0..mask.len()).filter(|row| mask.is_valid(*row) && mask.value(*row));
            Origin {
                source: origin.source.clone(),
                selection: Some(kept.map(|row| origin.source_row(row)).collect()),
            }
        });
        Ok(Self { rows, origin })
    }

    /// Where each row stands among all rows, `times` being its event time. Results of windows have no
    /// place: only their time counts.
    pub fn order_keys(&self, times: &[i64]) -> ArrayRef {
        match &self.origin {
            Some(origin) => {
                let rows = times.iter().enumerate();
                let rows = rows.map(|(row, time)| (origin.source_row(row), *time));
                origin.source.order_keys(rows)
            }
            None => OrderKey::column(times.iter().map(|time| OrderKey {
                time: *time,
                split: 0,
                place: 0,
            })),
        }
    }

    /// These rows, in this order, each as often as it is named.
    pub fn take(&self, rows: &[u32]) -> Result<Self, arrow::error::ArrowError> {
        let indices = arrow::array::UInt32Array::from(rows.to_vec());
        let origin = self.origin.as_ref().map(|origin| origin.chosen(rows));
        let rows = arrow::compute::take_record_batch(&self.rows, &indices)?;
        Ok(Self { rows, origin })
    }

    /// The same rows for an operator that goes by the time at which they were read.
    #[must_use]
    pub fn in_processing_time(&self) -> Self {
        let origin = self.origin.as_ref().map(|origin| Origin {
            source: origin.source.in_processing_time(),
            selection: origin.selection.clone(),
        });
        let rows = self.rows.clone();
        Self { rows, origin }
    }

    /// Other columns for the same rows.
    #[must_use]
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        let origin = self.origin.clone();
        Self { rows, origin }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatchOptions;
    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn each_row_sees_the_watermark_of_the_rows_before_it() {
        let options = RecordBatchOptions::new().with_row_count(Some(4));
        let schema = Arc::new(Schema::empty());
        let rows = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
        let batch = SourceBatch::new(
            (SourceId(0), SplitId::new("0")),
            (rows, None, None),
            (vec![100, 250, 90, 300], 10, Watermark(120)),
        );
        let before: Vec<i64> = (0..4).map(|row| batch.watermark_before(row).0).collect();
        assert_eq!(before, [120, 120, 240, 240]);
        assert_eq!(batch.after, Watermark(290));
    }
}
