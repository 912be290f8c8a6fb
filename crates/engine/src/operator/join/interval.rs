//! Interval join: right time - left time is between two bounds.
//!
//! A shard collects the rows that it reads; at each barrier they go to the owner of their key, which
//! keeps them as long as a partner can come. A pair comes out at the first barrier at which both rows
//! are there; a row that matched nothing, if the join keeps such rows, at the barrier at which no
//! partner can come any more.
//!
//! A row is late once its split's watermark has passed the last moment at which a partner could be on
//! time (Flink keeps no such row either, `TimeIntervalJoin`): its own time plus how long it waits
//! ([`Join::waits_ms`]). All rows that are not late meet, whatever the order in which they came: a
//! row is kept until the watermark is both waits past it.
//!
//! INVARIANT: what comes out is not older than the watermark less both waits, so windows after the
//! join, whose watermark is held back by as much, are open.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use millstream_core::plan::{Join, JoinOn};
use millstream_core::{Error, EventTime, Result, Watermark};

use super::super::batch::Batch;
use super::super::chain::rows_of;
use super::super::late::{LateRow, LateRows};
use super::super::stateful::{Absorb, Barrier, ByShard, StateBatch, Stateful};
use super::rows::{state_schema, taken, with_until, without_until};
use super::{Joiner, PAIRS, Side};
use crate::window::assigner::to_millis;
use crate::window::window_state::Coalesced;

/// A row: its chunk and its place there.
type Place = (u64, u32);

/// See the module.
pub struct IntervalJoinOperator {
    joiner: Joiner,
    query: Arc<str>,
    times: [usize; 2],
    /// What other time - own time can be, for each side.
    bounds: [(i64, i64); 2],
    /// How long rows of each side wait for a partner that is on time, in ms.
    waits_ms: [i64; 2],
    states: [SchemaRef; 2],
    /// Rows that were read since the last barrier.
    pending: [Vec<RecordBatch>; 2],
    kept: [Kept; 2],
    /// Chunks that no checkpoint has.
    fresh: Vec<(Side, u64)>,
    next_chunk: u64,
    fired: Watermark,
    fired_before: Watermark,
}

/// Rows of one side.
#[derive(Default)]
struct Kept {
    chunks: BTreeMap<u64, Chunk>,
    /// By key, in order of time.
    by_key: HashMap<Box<[u8]>, Vec<(i64, Place)>>,
    bytes: usize,
}

/// Rows that came together.
struct Chunk {
    rows: RecordBatch,
    times: Int64Array,
    newest: i64,
}

/// Pairs of a row that is looked at and a row of the other side.
#[derive(Default)]
struct Pairs {
    own: Vec<u32>,
    others: Vec<Place>,
}

impl Kept {
    /// Rows of the key whose time is between the bounds.
    fn within(&self, key: Option<&[u8]>, from: i64, to: i64) -> &[(i64, Place)] {
        let Some(rows) = key.and_then(|key| self.by_key.get(key)) else {
            return &[];
        };
        let start = rows.partition_point(|(time, _)| *time < from);
        let end = rows.partition_point(|(time, _)| *time <= to);
        &rows[start..end.max(start)]
    }

    fn rows(&self) -> usize {
        self.chunks
            .values()
            .map(|chunk| chunk.rows.num_rows())
            .sum()
    }
}

impl IntervalJoinOperator {
    /// The operator for `plan` over rows of `sides`, giving rows of `schema`.
    pub fn new(plan: &Join, sides: [SchemaRef; 2], schema: SchemaRef) -> Result<Self> {
        let JoinOn::Interval {
            left,
            right,
            lower_ms,
            upper_ms,
        } = plan.on
        else {
            return Err(Error::bug("an interval join needs bounds"));
        };
        let back = (upper_ms.saturating_neg(), lower_ms.saturating_neg());
        Ok(Self {
            states: [state_schema(&sides[0]), state_schema(&sides[1])],
            joiner: Joiner::new(plan, sides, schema)?,
            query: Arc::from(plan.query.as_str()),
            times: [left, right],
            bounds: [(lower_ms, upper_ms), back],
            waits_ms: plan.waits_ms(),
            pending: [vec![], vec![]],
            kept: [Kept::default(), Kept::default()],
            fresh: vec![],
            next_chunk: 0,
            fired: Watermark::MIN,
            fired_before: Watermark::MIN,
        })
    }

    /// After how long nothing that is on time can match a row any more, in ms.
    fn waits_both_ms(&self) -> i64 {
        self.waits_ms[0].saturating_add(self.waits_ms[1])
    }

    /// Until when a row is needed, as the end of a window. A join that keeps rows without a partner
    /// looks at the other side again when it lets them go.
    fn until(&self, time: i64) -> i64 {
        let kind = self.joiner.kind;
        let keeps = kind.keeps_left() || kind.keeps_right() || !kind.has_right();
        let waits = self.waits_both_ms();
        let waits = if keeps {
            waits.saturating_mul(2)
        } else {
            waits
        };
        time.saturating_add(waits).saturating_add(1)
    }

    /// The rows that are not late.
    fn on_time(&self, side: Side, batch: &Batch, late: &mut LateRows) -> Result<Vec<u32>> {
        let times = to_millis(batch.rows.column(self.times[side as usize]))?;
        let (from, to) = self.bounds[side as usize];
        let mut on_time = vec![];
        for row in (0..times.len()).filter(|row| times.is_valid(*row)) {
            let time = times.value(row);
            let last = time.saturating_add(self.waits_ms[side as usize]);
            // A window ends when its last moment has passed.
            let end = EventTime(last.saturating_add(1));
            if let Some(origin) = &batch.origin
                && origin.is_late(row, end, self.fired)
            {
                let source_row = origin.source_row(row);
                let before = origin.source.watermark_before(source_row as usize);
                late.push(LateRow {
                    row: source_row,
                    query: self.query.clone(),
                    window_start: EventTime(time.saturating_add(from)),
                    window_end: EventTime(time.saturating_add(to)),
                    watermark: before.advanced_to(self.fired),
                });
                continue;
            }
            on_time.push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
        }
        Ok(on_time)
    }

    /// Rows as state, by the shard that owns their key.
    fn by_owner(&self, side: Side, rows: &RecordBatch, shards: usize) -> Result<Vec<Vec<u32>>> {
        let keys = self.joiner.keys(side, rows)?;
        let mut owned = vec![vec![]; shards];
        for row in 0..rows.num_rows() {
            let number = u32::try_from(row).expect("batches have fewer than 2^32 rows");
            owned[keys.owner(row, 0, shards)].push(number);
        }
        Ok(owned)
    }

    fn state(&self, side: Side, rows: &RecordBatch) -> Result<StateBatch> {
        let times = to_millis(rows.column(self.times[side as usize]))?;
        let until = times
            .values()
            .iter()
            .map(|time| self.until(*time))
            .collect();
        Ok(StateBatch {
            part: side as u32,
            rows: with_until(&self.states[side as usize], until, rows)?,
        })
    }

    /// Keeps rows. Their chunk.
    fn keep(&mut self, side: Side, rows: RecordBatch) -> Result<u64> {
        let times = to_millis(rows.column(self.times[side as usize]))?;
        let keys = self.joiner.keys(side, &rows)?;
        let number = self.next_chunk;
        self.next_chunk += 1;
        let kept = &mut self.kept[side as usize];
        kept.bytes += rows.get_array_memory_size();
        for row in 0..rows.num_rows() {
            let Some(key) = keys.get(row) else {
                continue;
            };
            let place = u32::try_from(row).expect("batches have fewer than 2^32 rows");
            let entry = (times.value(row), (number, place));
            let of_key = kept.by_key.entry_ref(key).or_default();
            let at = of_key.partition_point(|known| *known <= entry);
            of_key.insert(at, entry);
        }
        let chunk = Chunk {
            newest: times.values().iter().copied().max().unwrap_or(i64::MIN),
            times,
            rows,
        };
        kept.chunks.insert(number, chunk);
        Ok(number)
    }

    /// Calls `found` with pairs of a row of `rows` and a row of the other side, some at a time.
    fn probe(
        &self,
        side: Side,
        (rows, times): (&RecordBatch, &Int64Array),
        mut found: impl FnMut(Pairs) -> Result<()>,
    ) -> Result<()> {
        let keys = self.joiner.keys(side, rows)?;
        let (from, to) = self.bounds[side as usize];
        let other = &self.kept[side.other() as usize];
        let mut pairs = Pairs::default();
        for row in 0..rows.num_rows() {
            let time = times.value(row);
            let (from, to) = (time.saturating_add(from), time.saturating_add(to));
            for (_, place) in other.within(keys.get(row), from, to) {
                pairs
                    .own
                    .push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
                pairs.others.push(*place);
                if pairs.own.len() == PAIRS {
                    found(std::mem::take(&mut pairs))?;
                }
            }
        }
        match pairs.own.is_empty() {
            true => Ok(()),
            false => found(pairs),
        }
    }

    /// The columns of both sides, in their order, of pairs of `rows` of `side` and others.
    fn both(&self, side: Side, rows: &RecordBatch, pairs: &Pairs) -> Result<Vec<ArrayRef>> {
        let own = UInt32Array::from(pairs.own.clone());
        let columns = rows.columns().iter();
        let columns: Result<Vec<ArrayRef>> = columns
            .map(|column| Ok(take(column, &own, None)?))
            .collect();
        let own = columns?;
        let chunks = &self.kept[side.other() as usize].chunks;
        let mut used: BTreeMap<u64, usize> = BTreeMap::new();
        for (chunk, _) in &pairs.others {
            used.insert(*chunk, 0);
        }
        used.values_mut()
            .enumerate()
            .for_each(|(index, slot)| *slot = index);
        let places = pairs.others.iter();
        let places: Vec<(usize, usize)> = places
            .map(|(chunk, row)| (used[chunk], *row as usize))
            .collect();
        let width = self.joiner.side(side.other()).fields().len();
        let mut others: Vec<ArrayRef> = vec![];
        for column in 0..width {
            let arrays = used
                .keys()
                .map(|chunk| &**chunks[chunk].rows.column(column));
            let arrays: Vec<&dyn Array> = arrays.collect();
            others.push(interleave(&arrays, &places)?);
        }
        Ok(match side {
            Side::Left => own.into_iter().chain(others).collect(),
            Side::Right => others.into_iter().chain(own).collect(),
        })
    }

    /// Which of the pairs the condition lets pass.
    fn passing(
        &self,
        columns: &[ArrayRef],
        pairs: usize,
    ) -> Result<Option<arrow::array::BooleanArray>> {
        self.joiner
            .mask(pairs, |column| Ok(columns[column].clone()))
    }

    /// All pairs of rows of a chunk that has just come and the other side.
    fn pairs(&self, side: Side, chunk: u64, results: &mut Vec<RecordBatch>) -> Result<()> {
        let Chunk { rows, times, .. } = &self.kept[side as usize].chunks[&chunk];
        self.probe(side, (rows, times), |pairs| {
            let count = pairs.own.len();
            let columns = self.both(side, rows, &pairs)?;
            let mask = self.passing(&columns, count)?;
            let rows = rows_of(&self.joiner.schema, columns, count)?;
            let rows = match mask {
                Some(mask) => arrow::compute::filter_record_batch(&rows, &mask)?,
                None => rows,
            };
            results.push(rows);
            Ok(())
        })
    }

    /// The rows of `side` for which no partner can come any more and none came.
    fn unmatched(&self, side: Side, results: &mut Vec<RecordBatch>) -> Result<()> {
        let waits = self.waits_both_ms();
        let is_final = |time: i64, fired: Watermark| time.saturating_add(waits) <= fired.0;
        for Chunk {
            rows,
            times,
            newest,
        } in self.kept[side as usize].chunks.values()
        {
            if is_final(*newest, self.fired_before) {
                continue;
            }
            let now = |row: &u32| {
                let time = times.value(*row as usize);
                is_final(time, self.fired) && !is_final(time, self.fired_before)
            };
            let count = u32::try_from(rows.num_rows()).expect("batches have fewer than 2^32 rows");
            let ending: Vec<u32> = (0..count).filter(now).collect();
            if ending.is_empty() {
                continue;
            }
            let times: Int64Array = ending
                .iter()
                .map(|row| times.value(*row as usize))
                .collect();
            let rows = taken(rows, ending)?;
            let mut is_matched = vec![false; rows.num_rows()];
            self.probe(side, (&rows, &times), |pairs| {
                let columns = self.both(side, &rows, &pairs)?;
                let mask = self.passing(&columns, pairs.own.len())?;
                for (pair, row) in pairs.own.iter().enumerate() {
                    is_matched[*row as usize] |= mask.as_ref().is_none_or(|m| m.value(pair));
                }
                Ok(())
            })?;
            let left_over = (0..).zip(&is_matched).filter(|(_, matched)| !**matched);
            let rows = taken(&rows, left_over.map(|(row, _)| row).collect())?;
            results.push(self.alone(side, &rows)?);
        }
        Ok(())
    }

    /// Rows of `side` with nulls for the other side.
    fn alone(&self, side: Side, rows: &RecordBatch) -> Result<RecordBatch> {
        let other = self.joiner.side(side.other()).fields().iter();
        let nulls = other.map(|field| new_null_array(field.data_type(), rows.num_rows()));
        let own = rows.columns().iter().cloned();
        let columns = match side {
            Side::Left => own.chain(nulls).collect(),
            Side::Right => nulls.chain(own).collect(),
        };
        rows_of(&self.joiner.schema, columns, rows.num_rows())
    }

    fn is_needed(&self, time: i64) -> bool {
        !self.fired.has_passed_end(EventTime(self.until(time)))
    }

    fn drop_passed(&mut self) {
        for side in Side::BOTH {
            let chunks = &self.kept[side as usize].chunks;
            let passed = chunks
                .iter()
                .filter(|(_, chunk)| !self.is_needed(chunk.newest));
            let passed: Vec<u64> = passed.map(|(number, _)| *number).collect();
            let kept = &mut self.kept[side as usize];
            for number in passed {
                if let Some(chunk) = kept.chunks.remove(&number)
                    && let Ok(keys) = self.joiner.keys(side, &chunk.rows)
                {
                    kept.bytes -= chunk.rows.get_array_memory_size();
                    for row in 0..chunk.rows.num_rows() {
                        forget(&mut kept.by_key, keys.get(row), number);
                    }
                }
            }
        }
    }

    /// Rows of a chunk that are still needed, as state.
    fn needed(&self, side: Side, chunk: &Chunk) -> Result<StateBatch> {
        let times = chunk.times.values().iter();
        let rows = (0..).zip(times).filter(|(_, time)| self.is_needed(**time));
        let rows = taken(&chunk.rows, rows.map(|(row, _)| row).collect())?;
        self.state(side, &rows)
    }
}

/// Drops the rows of a chunk from those of a key.
fn forget(by_key: &mut HashMap<Box<[u8]>, Vec<(i64, Place)>>, key: Option<&[u8]>, chunk: u64) {
    let Some(key) = key else {
        return;
    };
    if let Some(rows) = by_key.get_mut(key) {
        rows.retain(|(_, (number, _))| *number != chunk);
        if rows.is_empty() {
            by_key.remove(key);
        }
    }
}

impl Stateful for IntervalJoinOperator {
    fn on_batch(&mut self, port: usize, batch: &Batch, late: &mut LateRows) -> Result<()> {
        let side = Side::of(port);
        let on_time = self.on_time(side, batch, late)?;
        if !on_time.is_empty() {
            self.pending[side as usize].push(taken(&batch.rows, on_time)?);
        }
        Ok(())
    }

    fn close(&mut self, barrier: Barrier) -> Result<ByShard> {
        self.fired_before = self.fired;
        self.fired = self.fired.advanced_to(barrier.watermark);
        if barrier.shards == 1 {
            return Ok(vec![]);
        }
        let mut by_shard: ByShard = vec![vec![]; barrier.shards];
        for side in Side::BOTH {
            for rows in std::mem::take(&mut self.pending[side as usize]) {
                let owned = self.by_owner(side, &rows, barrier.shards)?;
                for (owner, owned) in by_shard.iter_mut().zip(owned) {
                    if !owned.is_empty() {
                        owner.push(self.state(side, &taken(&rows, owned)?)?);
                    }
                }
            }
        }
        Ok(by_shard)
    }

    fn fire(&mut self, states: &[StateBatch]) -> Result<Vec<RecordBatch>> {
        let mut came = std::mem::take(&mut self.pending);
        for state in states {
            let side = Side::of(state.part as usize);
            let rows = without_until(self.joiner.side(side), &state.rows)?;
            came[side as usize].push(rows);
        }
        let mut results = vec![];
        // First the new rows of the left meet the old ones of the right, then those of the right
        // meet all of the left: each pair once.
        for (side, rows) in Side::BOTH.into_iter().zip(came) {
            if rows.is_empty() {
                continue;
            }
            let rows = arrow::compute::concat_batches(self.joiner.side(side), &rows)?;
            let chunk = self.keep(side, rows)?;
            self.fresh.push((side, chunk));
            self.pairs(side, chunk, &mut results)?;
        }
        if self.joiner.kind.keeps_left() {
            self.unmatched(Side::Left, &mut results)?;
        }
        if self.joiner.kind.keeps_right() {
            self.unmatched(Side::Right, &mut results)?;
        }
        self.drop_passed();
        results.retain(|rows| rows.num_rows() > 0);
        Ok(results)
    }

    fn changes(&mut self) -> Result<Vec<StateBatch>> {
        let mut parts = self.states.clone().map(Coalesced::new);
        for (side, chunk) in std::mem::take(&mut self.fresh) {
            if let Some(chunk) = self.kept[side as usize].chunks.get(&chunk) {
                parts[side as usize].push(self.needed(side, chunk)?.rows)?;
            }
        }
        let mut changes = vec![];
        for (part, rows) in (0..).zip(parts) {
            let rows = rows.finish()?.into_iter();
            changes.extend(rows.map(|rows| StateBatch { part, rows }));
        }
        Ok(changes)
    }

    fn absorb(&mut self, state: &StateBatch, how: Absorb) -> Result<()> {
        let side = Side::of(state.part as usize);
        let rows = without_until(self.joiner.side(side), &state.rows)?;
        let chunk = self.keep(side, rows)?;
        if how == Absorb::Merge {
            self.fresh.push((side, chunk));
        }
        Ok(())
    }

    fn set_fired(&mut self, fired: Watermark) {
        self.fired = fired;
    }

    fn drop_fired(&mut self) {
        self.drop_passed();
    }

    fn forget_checkpoints(&mut self) {
        self.fresh = vec![];
        for side in Side::BOTH {
            let chunks = self.kept[side as usize].chunks.keys();
            self.fresh.extend(chunks.map(|chunk| (side, *chunk)));
        }
    }

    fn groups(&self) -> usize {
        self.kept.iter().map(Kept::rows).sum()
    }

    fn size(&self) -> usize {
        let pending = self.pending.iter().flatten();
        let pending: usize = pending.map(RecordBatch::get_array_memory_size).sum();
        let entry = size_of::<(i64, Place)>();
        let kept = self.kept.iter().map(|kept| {
            // The index: a place for each row, a key and a list for each key.
            kept.bytes + kept.rows() * entry + kept.by_key.len() * 96
        });
        pending + kept.sum::<usize>()
    }

    fn rescaled(&mut self, _lane: usize, shards: usize) -> Result<ByShard> {
        let mut by_shard: ByShard = vec![vec![]; shards];
        for side in Side::BOTH {
            for chunk in self.kept[side as usize].chunks.values() {
                let state = self.needed(side, chunk)?;
                let rows = without_until(self.joiner.side(side), &state.rows)?;
                let owned = self.by_owner(side, &rows, shards)?;
                for (owner, owned) in by_shard.iter_mut().zip(owned) {
                    if !owned.is_empty() {
                        let rows = taken(&state.rows, owned)?;
                        let part = side as u32;
                        owner.push(StateBatch { part, rows });
                    }
                }
            }
        }
        Ok(by_shard)
    }
}
