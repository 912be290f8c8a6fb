//! Calls with OVER: for each row, aggregates of the rows of its key up to it; and, without calls,
//! ORDER BY.
//!
//! Rows wait on the shard that read them until the watermark has reached their time; then they go to
//! the shard that owns their key. There they are taken in the order of time and arrival
//! ([`arrival`](super::arrival)), together with what earlier rows left behind: [`History`] for
//! bounded frames, [`Totals`] for unbounded ones.
//!
//! A row is late if its own split's watermark before it has reached its time: rows of that time may
//! be out already. Source: Apache Flink, `AbstractRowTimeUnboundedPrecedingOver`; Flink's bounded
//! frames take some rows that are later, which would depend on how fast other splits are read.

mod frames;
mod history;
mod moments;
mod slide;
mod totals;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use millstream_core::plan::{AggregateCall, Frame, OverAggregate, OverCall};
use millstream_core::{EventTime, Result, Watermark};

use super::arrival::RowOrder;
use super::batch::Batch;
use super::late::{LateRow, LateRows};
use super::stateful::{Absorb, Barrier, ByShard, StateBatch, Stateful};
use super::waiting::{self, WaitingRows};
use crate::state::row_codec::{RowCodec, owner};
use crate::window::assigner::to_millis;
use frames::{Keyed, is_running};
use history::{History, Key, Needed, until};
use totals::Totals;

/// Part of state: rows that wait.
const WAITING: u32 = 0;
/// Part of state: rows that later ones need.
const HISTORY: u32 = 1;
/// Part of state: accumulators of unbounded frames.
const TOTALS: u32 = 2;

/// See the module.
pub struct OverOperator {
    plan: OverAggregate,
    query: Arc<str>,
    waiting: WaitingRows,
    passed: Vec<RecordBatch>,
    order: RowOrder,
    keys: Arc<RowCodec>,
    /// The input columns that calls over bounded frames read.
    kept: Vec<usize>,
    history: History,
    totals: Totals,
    fired: Watermark,
    schema: SchemaRef,
}

impl OverOperator {
    /// The operator for `plan` over rows of `input`, giving rows of `schema`.
    pub fn new(plan: &OverAggregate, input: &Schema, schema: SchemaRef) -> Result<Self> {
        let waiting = WaitingRows::new(input);
        let types: Vec<DataType> = input
            .fields()
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        let fields = |(n, column): (usize, &usize)| {
            Field::new(format!("key_{n}"), types[*column].clone(), true)
        };
        let key_fields: Vec<Field> = plan.keys.iter().enumerate().map(fields).collect();
        let key_types = plan.keys.iter().map(|column| types[*column].clone());
        let keys = Arc::new(RowCodec::new(key_types)?);
        let kept = kept_columns(plan);
        let kept_types = kept.iter().map(|c| types[*c].clone());
        // After those, the running sums.
        let sums = std::iter::repeat_n(DataType::Float64, running(plan));
        let kept_types: Vec<DataType> = kept_types.chain(sums).collect();
        let history = History::new(keys.clone(), key_fields.clone(), &kept_types, needed(plan))?;
        let order = RowOrder::new(waiting.schema(), 1, &sort_keys(plan), false)?;
        Ok(Self {
            query: Arc::from(plan.query.as_str()),
            passed: vec![],
            order,
            kept,
            history,
            totals: Totals::new(
                keys.clone(),
                key_fields,
                (unbounded(plan), types),
                plan.ttl_ms,
            )?,
            keys,
            waiting,
            fired: Watermark::MIN,
            schema,
            plan: plan.clone(),
        })
    }

    /// Rows that are not late; none: all of them.
    fn on_time(&self, batch: &Batch, times: &[i64], late: &mut LateRows) -> Option<Vec<u32>> {
        let origin = batch.origin.as_ref()?;
        let newest = origin.source.after.advanced_to(self.fired);
        if times.iter().all(|time| newest.0 < *time) {
            return None;
        }
        let mut on_time = vec![];
        for (row, time) in times.iter().enumerate() {
            let source_row = origin.source_row(row);
            let before = origin.source.watermark_before(source_row as usize);
            let watermark = before.advanced_to(self.fired);
            if watermark.0 < *time {
                on_time.push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
                continue;
            }
            late.push(LateRow {
                row: source_row,
                query: self.query.clone(),
                window_start: EventTime(*time),
                window_end: EventTime(*time),
                watermark,
            });
        }
        Some(on_time)
    }

    /// Encoded keys of rows of state, or of the input if `first` is 0.
    fn keys_of(&self, rows: &RecordBatch, first: usize) -> Result<Vec<Key>> {
        let columns = self
            .plan
            .keys
            .iter()
            .map(|c| rows.column(first + c).clone());
        let keys = self.keys.encode(&columns.collect::<Vec<_>>())?;
        Ok((0..rows.num_rows())
            .map(|row| keys.get(row).into())
            .collect())
    }

    fn sorted(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let rows = concat_batches(self.waiting.schema(), batches)?;
        let order = self.order.encode(&rows)?;
        let count = u32::try_from(rows.num_rows()).expect("fewer than 2^32 rows");
        let mut sorted: Vec<u32> = (0..count).collect();
        sorted.sort_unstable_by(|a, b| order.get(*a as usize).cmp(order.get(*b as usize)));
        Ok(take_record_batch(&rows, &UInt32Array::from(sorted))?)
    }

    /// `rows` of the input, in order, with the columns of the calls.
    fn results(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        if !self.plan.calls.is_empty() {
            let of_row = self.keys_of(rows, 0)?;
            let mut distinct: Vec<&[u8]> = of_row.iter().map(|key| &**key).collect();
            distinct.sort_unstable();
            distinct.dedup();
            let (mut keyed, remembered) = self.keyed(rows, (&of_row, &distinct))?;
            columns.extend(self.calls(&mut keyed, &distinct)?);
            self.remember(&keyed, &of_row, remembered)?;
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// The new rows after those that are remembered of their keys; how many those are.
    fn keyed(
        &self,
        rows: &RecordBatch,
        (of_row, distinct): (&[Key], &[&[u8]]),
    ) -> Result<(Keyed, usize)> {
        let mut times = vec![];
        let mut before = vec![];
        let mut of_key: Vec<Vec<u32>> = vec![];
        let number = |row: usize| u32::try_from(row).expect("fewer than 2^32 rows");
        for key in distinct {
            let first = times.len();
            for (time, row) in self.history.of(key) {
                times.push(time);
                before.push(row);
            }
            of_key.push((first..times.len()).map(number).collect());
        }
        let remembered = times.len();
        let decoded = self.history.values().decode(before)?;
        let mut columns = vec![];
        for (column, new) in rows.columns().iter().enumerate() {
            let kept = self.kept.iter().position(|kept| *kept == column);
            let old = match kept {
                Some(kept) => decoded[kept].clone(),
                None => arrow::array::new_null_array(new.data_type(), remembered),
            };
            columns.push(arrow::compute::concat(&[&*old, &**new])?);
        }
        let new_times = to_millis(rows.column(self.plan.time_column))?;
        times.extend(new_times.values());
        let mut new = vec![];
        for (row, key) in of_row.iter().enumerate() {
            let index = distinct.binary_search(&&**key).expect("made of these keys");
            new.push((number(index), number(of_key[index].len())));
            of_key[index].push(number(remembered + row));
        }
        let sums = decoded.iter().skip(self.kept.len()).map(|sums| {
            let mut sums = sums.as_primitive::<Float64Type>().values().to_vec();
            sums.resize(times.len(), 0.0);
            sums
        });
        let sums = sums.collect();
        let ttl_ms = self.plan.ttl_ms;
        let keyed = Keyed {
            sums,
            columns,
            times,
            of_key,
            new,
            ttl_ms,
        };
        Ok((keyed, remembered))
    }

    fn calls(&mut self, keyed: &mut Keyed, distinct: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        let totals = match unbounded(&self.plan).is_empty() {
            true => vec![],
            false => self.totals.aggregate(keyed, distinct)?,
        };
        let mut totals = totals.into_iter();
        let ttl_ms = self.plan.ttl_ms;
        let mut sums = 0..;
        let calls = self.plan.calls.iter();
        calls
            .map(|call| match call {
                OverCall::Aggregate(Frame::Rows(None) | Frame::Range(None), _) => {
                    Ok(totals.next().expect("a result of each unbounded call"))
                }
                OverCall::Aggregate(frame @ Frame::Rows(Some(rows)), call)
                    if is_running(*frame, call, ttl_ms) =>
                {
                    let index = sums.next().expect("as many numbers as needed");
                    keyed.running(index, (*rows, call))
                }
                OverCall::Aggregate(frame, call) => keyed.aggregate(*frame, call),
                OverCall::Lag {
                    argument,
                    rows,
                    default,
                } => keyed.lag(*argument, *rows, *default),
            })
            .collect()
    }

    fn remember(&mut self, keyed: &Keyed, of_row: &[Key], remembered: usize) -> Result<()> {
        if !has_bounded(&self.plan) {
            return Ok(());
        }
        let new = of_row.len();
        let kept = self.kept.iter();
        let kept = kept.map(|c| keyed.columns[*c].slice(remembered, new));
        let sums = keyed.sums.iter().map(|sums| -> ArrayRef {
            let sums = sums[remembered..].iter().copied();
            Arc::new(Float64Array::from_iter_values(sums))
        });
        let columns = kept.chain(sums);
        let encoded = self.history.values().encode(&columns.collect::<Vec<_>>())?;
        for (row, key) in of_row.iter().enumerate() {
            let time = keyed.times[remembered + row];
            self.history.push(key, time, encoded.get(row));
        }
        Ok(())
    }

    /// State of keys with the key of each row.
    fn changes_of_keys(&mut self) -> Result<Vec<(u32, Vec<Key>, RecordBatch)>> {
        let history = self
            .history
            .changes()?
            .map(|(keys, rows)| (HISTORY, keys, rows));
        let totals = self
            .totals
            .changes()?
            .map(|(keys, rows)| (TOTALS, keys, rows));
        Ok(history.into_iter().chain(totals).collect())
    }
}

impl Stateful for OverOperator {
    fn on_batch(&mut self, _: usize, batch: &Batch, late: &mut LateRows) -> Result<()> {
        let times = to_millis(batch.rows.column(self.plan.time_column))?;
        let on_time = self.on_time(batch, times.values(), late);
        let until = times.values().iter().map(|time| until(*time, 0));
        self.waiting.push(batch, until.collect(), on_time)
    }

    fn close(&mut self, barrier: Barrier) -> Result<ByShard> {
        self.fired = self.fired.advanced_to(barrier.watermark);
        self.passed = self.waiting.take_passed(self.fired)?;
        if barrier.shards == 1 {
            return Ok(vec![]);
        }
        let rows = concat_batches(self.waiting.schema(), &std::mem::take(&mut self.passed))?;
        let keys = self.keys_of(&rows, waiting::COLUMNS)?;
        by_owner(&rows, &keys, barrier.shards, WAITING)
    }

    fn fire(&mut self, states: &[StateBatch]) -> Result<Vec<RecordBatch>> {
        let mut rows = std::mem::take(&mut self.passed);
        rows.extend(states.iter().map(|state| state.rows.clone()));
        let mut results = vec![];
        if rows.iter().any(|rows| rows.num_rows() > 0) {
            let sorted = self.sorted(&rows)?;
            let of_input: Vec<usize> = (waiting::COLUMNS..sorted.num_columns()).collect();
            results.push(self.results(&sorted.project(&of_input)?)?);
        }
        self.history.drop_passed(self.fired);
        self.totals.drop_passed(self.fired)?;
        Ok(results)
    }

    fn changes(&mut self) -> Result<Vec<StateBatch>> {
        let waiting = self.waiting.changes()?.into_iter();
        let waiting = waiting.map(|rows| StateBatch {
            part: WAITING,
            rows,
        });
        let of_keys = self.changes_of_keys()?.into_iter();
        let of_keys = of_keys.map(|(part, _, rows)| StateBatch { part, rows });
        Ok(waiting.chain(of_keys).collect())
    }

    fn absorb(&mut self, state: &StateBatch, how: Absorb) -> Result<()> {
        let is_checkpoint = how == Absorb::Restore;
        match state.part {
            WAITING => {
                self.waiting.absorb(state.rows.clone(), is_checkpoint);
                Ok(())
            }
            HISTORY => self.history.absorb(&state.rows, is_checkpoint),
            _ => self.totals.absorb(&state.rows, is_checkpoint),
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
        self.history.drop_passed(self.fired);
        self.totals
            .drop_passed(self.fired)
            .expect("the state of an accumulator is of its types");
    }

    fn forget_checkpoints(&mut self) {
        self.waiting.forget_checkpoints();
        self.history.forget_checkpoints();
        self.totals.forget_checkpoints();
    }

    fn groups(&self) -> usize {
        self.waiting.rows() + self.history.rows() + self.totals.keys()
    }

    fn size(&self) -> usize {
        self.waiting.size() + self.history.size() + self.totals.size()
    }

    /// Rows that wait may lie anywhere, what is remembered of keys must be with their owners.
    fn rescaled(&mut self, lane: usize, shards: usize) -> Result<ByShard> {
        self.forget_checkpoints();
        let mut by_shard = vec![vec![]; shards];
        for rows in self.waiting.changes()? {
            let part = WAITING;
            by_shard[lane % shards].push(StateBatch { part, rows });
        }
        for (part, keys, rows) in self.changes_of_keys()? {
            let owners = by_owner(&rows, &keys, shards, part)?;
            for (shard, states) in by_shard.iter_mut().zip(owners) {
                shard.extend(states);
            }
        }
        Ok(by_shard)
    }
}

fn by_owner(rows: &RecordBatch, keys: &[Key], shards: usize, part: u32) -> Result<ByShard> {
    let mut owners = vec![vec![]; shards];
    for (row, key) in keys.iter().enumerate() {
        let row = u32::try_from(row).expect("fewer than 2^32 rows");
        owners[owner(key, shards)].push(row);
    }
    let states = owners.into_iter().map(|of_owner| {
        if of_owner.is_empty() {
            return Ok(vec![]);
        }
        let rows = take_record_batch(rows, &UInt32Array::from(of_owner))?;
        Ok(vec![StateBatch { part, rows }])
    });
    states.collect()
}

/// By time, then whatever ORDER BY says.
fn sort_keys(plan: &OverAggregate) -> Vec<millstream_core::plan::SortKey> {
    let time = millstream_core::plan::SortKey {
        column: plan.time_column,
        descending: false,
        nulls_first: true,
    };
    [time]
        .into_iter()
        .chain(plan.order.iter().cloned())
        .collect()
}

fn unbounded(plan: &OverAggregate) -> Vec<(Frame, AggregateCall)> {
    let calls = plan.calls.iter().filter_map(|call| match call {
        OverCall::Aggregate(frame @ (Frame::Rows(None) | Frame::Range(None)), call) => {
            Some((*frame, call.clone()))
        }
        _ => None,
    });
    calls.collect()
}

/// How many calls are running sums.
fn running(plan: &OverAggregate) -> usize {
    let calls = plan.calls.iter().filter(|call| match call {
        OverCall::Aggregate(frame, call) => is_running(*frame, call, plan.ttl_ms),
        OverCall::Lag { .. } => false,
    });
    calls.count()
}

fn has_bounded(plan: &OverAggregate) -> bool {
    plan.calls.len() > unbounded(plan).len()
}

/// The input columns that calls over bounded frames read of earlier rows.
fn kept_columns(plan: &OverAggregate) -> Vec<usize> {
    let mut kept = vec![];
    for call in &plan.calls {
        match call {
            OverCall::Aggregate(Frame::Rows(Some(_)) | Frame::Range(Some(_)), call) => {
                kept.extend(call.argument.iter().chain(&call.filter));
            }
            OverCall::Aggregate(..) => {}
            OverCall::Lag { argument, .. } => kept.push(*argument),
        }
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

fn needed(plan: &OverAggregate) -> Needed {
    let mut needed = Needed {
        rows: 0,
        ms: None,
        ttl_ms: plan.ttl_ms,
    };
    for call in &plan.calls {
        match call {
            // A running sum needs the row that leaves, too.
            OverCall::Aggregate(frame @ Frame::Rows(Some(rows)), call)
                if is_running(*frame, call, plan.ttl_ms) =>
            {
                let rows = usize::try_from(rows.saturating_add(1)).unwrap_or(usize::MAX);
                needed.rows = needed.rows.max(rows);
            }
            OverCall::Aggregate(Frame::Rows(Some(rows)), _) | OverCall::Lag { rows, .. } => {
                let rows = usize::try_from(*rows).unwrap_or(usize::MAX);
                needed.rows = needed.rows.max(rows);
            }
            OverCall::Aggregate(Frame::Range(Some(ms)), _) => needed.ms = needed.ms.max(Some(*ms)),
            OverCall::Aggregate(..) => {}
        }
    }
    needed
}

#[cfg(test)]
mod tests;
