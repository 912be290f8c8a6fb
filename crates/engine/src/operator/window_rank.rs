//! The best rows of each window and key, in two phases.
//!
//! Rows wait on the shard that read them; there may be at most a few more than the best of each
//! window and key, as others are dropped when they have become many. At a barrier the best rows of
//! complete windows go to the shard that owns their key, which ranks them and puts them out.
//!
//! Rows that come late for their window are dropped as by an aggregation (see
//! [`Origin::is_late`](super::batch::Origin::is_late)).

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_core::plan::WindowRank;
use millstream_core::{EventTime, Result, Watermark};

use super::arrival::RowOrder;
use super::batch::Batch;
use super::late::{LateRow, LateRows, Missed};
use super::stateful::{Absorb, Barrier, ByShard, StateBatch, Stateful};
use super::waiting::{self, WaitingRows};
use crate::state::row_codec::{EncodedRows, RowCodec, owner};
use crate::window::assigner::to_millis;

/// Fewer rows than this are not looked through for those that cannot be among the best.
const ROWS_MIN: usize = 4_096;

/// See the module.
pub struct WindowRankOperator {
    plan: WindowRank,
    query: Arc<str>,
    waiting: WaitingRows,
    /// Drop rows that cannot be among the best when there are so many.
    drop_at: usize,
    ranking: Ranking,
    passed: Vec<RecordBatch>,
    fired: Watermark,
    schema: SchemaRef,
}

impl WindowRankOperator {
    /// The operator for `plan` over rows of `input`, giving rows of `schema`.
    pub fn new(plan: &WindowRank, input: &Schema, schema: SchemaRef) -> Result<Self> {
        let waiting = WaitingRows::new(input);
        Ok(Self {
            plan: plan.clone(),
            query: Arc::from(plan.query.as_str()),
            ranking: Ranking::new(plan, waiting.schema())?,
            waiting,
            drop_at: ROWS_MIN,
            passed: vec![],
            fired: Watermark::MIN,
            schema,
        })
    }

    /// Rows that are not late; none: all of them.
    fn on_time(
        &self,
        batch: &Batch,
        ends: &[i64],
        late: &mut LateRows,
    ) -> Result<Option<Vec<u32>>> {
        let Some(origin) = &batch.origin else {
            return Ok(None);
        };
        let newest = origin.source.after.advanced_to(self.fired);
        let passed = |end: &i64| newest.has_passed_end(EventTime(*end));
        if !ends.iter().any(passed) {
            return Ok(None);
        }
        let starts = to_millis(batch.rows.column(self.plan.window[0]))?;
        let mut on_time = vec![];
        let mut missed = Missed::default();
        for (row, end) in ends.iter().enumerate() {
            let window_end = EventTime(*end);
            let source_row = origin.source_row(row);
            if !origin.is_late(row, window_end, self.fired) {
                missed.counts_elsewhere(source_row);
                on_time.push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
                continue;
            }
            let before = origin.source.watermark_before(source_row as usize);
            missed.push(LateRow {
                row: source_row,
                query: self.query.clone(),
                window_start: EventTime(starts.value(row)),
                window_end,
                watermark: before.advanced_to(self.fired),
            });
        }
        missed.give(late);
        Ok(Some(on_time))
    }

    fn drop_worse(&mut self) -> Result<()> {
        let ranking = &self.ranking;
        self.waiting.retain(|rows| {
            let mut chosen = vec![false; rows.num_rows()];
            for (row, _) in ranking.best(rows, 1)? {
                chosen[row as usize] = true;
            }
            Ok(BooleanArray::from(chosen))
        })?;
        self.drop_at = ROWS_MIN.max(self.waiting.rows() * 2);
        Ok(())
    }

    fn results(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let best = self.ranking.best(rows, self.plan.ranks.0)?;
        let (indices, numbers): (Vec<u32>, Vec<i64>) = best.into_iter().unzip();
        let rows = take_record_batch(rows, &UInt32Array::from(indices))?;
        let mut columns = rows.columns()[waiting::COLUMNS..].to_vec();
        if self.plan.number {
            columns.push(Arc::new(Int64Array::from(numbers)));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Stateful for WindowRankOperator {
    fn on_batch(&mut self, _: usize, batch: &Batch, late: &mut LateRows) -> Result<()> {
        let ends = to_millis(batch.rows.column(self.plan.window[1]))?;
        let ends = ends.values().to_vec();
        let on_time = self.on_time(batch, &ends, late)?;
        self.waiting.push(batch, ends, on_time)?;
        match self.waiting.rows() >= self.drop_at {
            true => self.drop_worse(),
            false => Ok(()),
        }
    }

    fn close(&mut self, barrier: Barrier) -> Result<ByShard> {
        self.fired = self.fired.advanced_to(barrier.watermark);
        self.passed = self.waiting.take_passed(self.fired)?;
        self.drop_at = ROWS_MIN.max(self.waiting.rows() * 2);
        if barrier.shards == 1 {
            return Ok(vec![]);
        }
        let passed = std::mem::take(&mut self.passed);
        let rows = concat_batches(self.waiting.schema(), &passed)?;
        let keys = self.ranking.partitions(&rows)?;
        let mut owners = vec![vec![]; barrier.shards];
        for (row, _) in self.ranking.best(&rows, 1)? {
            owners[owner(keys.get(row as usize), barrier.shards)].push(row);
        }
        let states = owners.into_iter().map(|of_owner| {
            if of_owner.is_empty() {
                return Ok(vec![]);
            }
            let rows = take_record_batch(&rows, &UInt32Array::from(of_owner))?;
            Ok(vec![StateBatch { part: 0, rows }])
        });
        states.collect()
    }

    fn fire(&mut self, states: &[StateBatch]) -> Result<Vec<RecordBatch>> {
        let mut rows = std::mem::take(&mut self.passed);
        rows.extend(states.iter().map(|state| state.rows.clone()));
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let rows = concat_batches(self.waiting.schema(), &rows)?;
        Ok(vec![self.results(&rows)?])
    }

    fn changes(&mut self) -> Result<Vec<StateBatch>> {
        let rows = self.waiting.changes()?.into_iter();
        Ok(rows.map(|rows| StateBatch { part: 0, rows }).collect())
    }

    fn absorb(&mut self, state: &StateBatch, how: Absorb) -> Result<()> {
        let rows = state.rows.clone();
        self.waiting.absorb(rows, how == Absorb::Restore);
        match self.waiting.rows() >= self.drop_at {
            true => self.drop_worse(),
            false => Ok(()),
        }
    }

    fn is_due(&self, watermark: Watermark) -> bool {
        self.waiting.has_passed(watermark)
    }

    fn set_fired(&mut self, fired: Watermark) {
        self.fired = fired;
    }

    fn drop_fired(&mut self) {
        self.waiting.drop_passed(self.fired);
    }

    fn forget_checkpoints(&mut self) {
        self.waiting.forget_checkpoints();
    }

    fn groups(&self) -> usize {
        self.waiting.rows()
    }

    fn size(&self) -> usize {
        self.waiting.size()
    }
}

/// Puts rows of state in their windows and in order.
struct Ranking {
    partition: Vec<usize>,
    partitions: RowCodec,
    order: RowOrder,
    last: u64,
}

impl Ranking {
    fn new(plan: &WindowRank, schema: &Schema) -> Result<Self> {
        let [start, end] = plan.window;
        let columns = [end, start].into_iter().chain(plan.keys.iter().copied());
        let partition: Vec<usize> = columns.map(|column| waiting::COLUMNS + column).collect();
        let types = partition.iter().map(|column| schema.field(*column));
        Ok(Self {
            partitions: RowCodec::new(types.map(|field| field.data_type().clone()))?,
            partition,
            order: RowOrder::new(schema, 1, &plan.order, plan.latest)?,
            last: plan.ranks.1,
        })
    }

    /// Window and key of each row.
    fn partitions(&self, rows: &RecordBatch) -> Result<EncodedRows> {
        let columns = self.partition.iter().map(|column| rows.column(*column));
        let columns: Vec<ArrayRef> = columns.cloned().collect();
        self.partitions.encode(&columns)
    }

    /// The rows of the ranks from `first` on, with their ranks, by window, key and rank.
    fn best(&self, rows: &RecordBatch, first: u64) -> Result<Vec<(u32, i64)>> {
        let partitions = self.partitions(rows)?;
        let order = self.order.encode(rows)?;
        let count = u32::try_from(rows.num_rows()).expect("fewer than 2^32 rows");
        let mut sorted: Vec<u32> = (0..count).collect();
        let key = |row: u32| (partitions.get(row as usize), order.get(row as usize));
        sorted.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)));
        let mut best = vec![];
        let (mut number, mut before) = (0u64, None);
        for row in sorted {
            let partition = partitions.get(row as usize);
            number = if before == Some(partition) {
                number + 1
            } else {
                1
            };
            before = Some(partition);
            if (first..=self.last).contains(&number) {
                best.push((
                    row,
                    i64::try_from(number).expect("below the number of rows"),
                ));
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMillisecondArray;
    use arrow::datatypes::{DataType, Field};
    use millstream_core::plan::SortKey;
    use millstream_core::types::timestamp;

    use super::*;

    fn batch(minute: i64, values: std::ops::Range<i64>) -> Batch {
        let count = usize::try_from(values.end - values.start).unwrap();
        let at = |minute: i64| -> ArrayRef {
            let time = TimestampMillisecondArray::from_value(minute * 60_000, count);
            Arc::new(time)
        };
        let rows = RecordBatch::try_new(
            input(),
            vec![
                at(minute),
                at(minute + 1),
                Arc::new(Int64Array::from_iter_values(values)),
            ],
        );
        Batch {
            rows: rows.unwrap(),
            origin: None,
        }
    }

    fn input() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("window_start", timestamp(3), true),
            Field::new("window_end", timestamp(3), true),
            Field::new("n", DataType::Int64, true),
        ]))
    }

    /// An hour of event time: what is remembered is what open windows need.
    #[test]
    fn state_does_not_grow() {
        let plan = WindowRank {
            window: [0, 1],
            keys: vec![],
            order: vec![SortKey {
                column: 2,
                descending: true,
                nulls_first: false,
            }],
            latest: false,
            ranks: (1, 2),
            number: false,
            query: "q".into(),
        };
        let mut operator = WindowRankOperator::new(&plan, &input(), input()).unwrap();
        for minute in 0..60 {
            for tenth in 0..10 {
                let batch = batch(minute, tenth * 1_000..(tenth + 1) * 1_000);
                operator
                    .on_batch(0, &batch, &mut LateRows::default())
                    .unwrap();
                operator.changes().unwrap();
                assert!(operator.groups() < ROWS_MIN + 1_000);
            }
            let barrier = Barrier {
                watermark: Watermark((minute + 1) * 60_000),
                now_ms: 0,
                shard: 0,
                shards: 1,
            };
            operator.close(barrier).unwrap();
            let fired = operator.fire(&[]).unwrap();
            let best = batch(minute, 9_998..10_000).rows;
            let best = take_record_batch(&best, &UInt32Array::from(vec![1, 0])).unwrap();
            assert_eq!(fired, [best]);
            assert_eq!((operator.groups(), operator.size()), (0, 0));
        }
    }
}
