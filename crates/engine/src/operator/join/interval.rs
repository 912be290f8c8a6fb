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

mod kept;

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{Join, JoinOn};
use millstream_core::{Error, EventTime, Result, Watermark};

use super::super::batch::Batch;
use super::super::late::{LateRow, LateRows};
use super::super::stateful::{Absorb, Barrier, ByShard, Emit, StateBatch, Stateful, collected};
use super::super::width;
use super::pairs::{Picked, Place, number};
use super::rows::{grouped, state_schema, taken, with_until, without_until};
use super::{Joiner, Side};
use crate::window::assigner::to_millis;
use crate::window::window_state::Coalesced;
use kept::{Chunk, Kept};

/// Rows that come within so many parts of the time that they are needed for are kept together.
const PARTS: i64 = 8;

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
    pending_bytes: usize,
    kept: [Kept; 2],
    /// Chunks that no checkpoint has.
    fresh: Vec<(Side, u32)>,
    next_chunk: u32,
    fired: Watermark,
    fired_before: Watermark,
}

impl IntervalJoinOperator {
    /// The operator for `plan` over rows of `sides`, giving rows of `schema`.
    pub fn new(plan: &Join, sides: [SchemaRef; 2], schema: SchemaRef) -> Result<Self> {
        let JoinOn::Interval {
            left,
            right,
            lower_ms,
            upper_ms,
            ..
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
            pending_bytes: 0,
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
            on_time.push(number(row));
        }
        Ok(on_time)
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

    /// Keeps rows, those of about one time together. Their chunks.
    fn keep(&mut self, side: Side, batches: &[RecordBatch]) -> Result<Vec<u32>> {
        let mut chunks = vec![];
        for rows in grouped(self.joiner.side(side), batches)? {
            let times = to_millis(rows.column(self.times[side as usize]))?;
            let part_ms = (self.until(0) / PARTS).max(1_000);
            let keys = self.joiner.keys(side, &rows)?;
            let is_kept = |row: usize| self.joiner.keeps(side) || keys.get(row).is_some();
            for part in kept::parts(times.values(), part_ms, is_kept) {
                let rows = match part.len() == rows.num_rows() {
                    true => rows.clone(),
                    false => taken(&rows, part)?,
                };
                chunks.push(self.keep_chunk(side, rows)?);
            }
        }
        Ok(chunks)
    }

    fn keep_chunk(&mut self, side: Side, rows: RecordBatch) -> Result<u32> {
        let times = to_millis(rows.column(self.times[side as usize]))?;
        let keys = self.joiner.keys(side, &rows)?;
        let number = self.next_chunk;
        self.next_chunk = number.checked_add(1).expect("fewer than 2^32 chunks");
        self.kept[side as usize].add(number, Chunk::new(rows, times), &keys);
        Ok(number)
    }

    /// Rows of the other side that match a row of `side` by key and time.
    fn candidates(&self, side: Side, key: Option<&[u8]>, time: i64) -> &[(i64, Place)] {
        let (from, to) = self.bounds[side as usize];
        let (from, to) = (time.saturating_add(from), time.saturating_add(to));
        self.kept[side.other() as usize].within(key, from, to)
    }

    fn others(&self, side: Side, places: &[Option<Place>]) -> Picked<'_> {
        let chunks = &self.kept[side.other() as usize].chunks;
        Picked::at(places, |number| &chunks[&number].rows)
    }

    /// All pairs of rows of a chunk that has just come and the other side.
    fn pairs(&self, side: Side, chunk: u32, emit: &mut Emit<'_>) -> Result<()> {
        let Chunk {
            rows,
            times,
            widest,
            ..
        } = &self.kept[side as usize].chunks[&chunk];
        let keys = self.joiner.keys(side, rows)?;
        let block = width::block_rows(widest + self.kept[side.other() as usize].widest);
        let (mut own, mut others) = (vec![], vec![]);
        for row in 0..rows.num_rows() {
            for (_, place) in self.candidates(side, keys.get(row), times.value(row)) {
                own.push(number(row));
                others.push(Some(*place));
                if own.len() >= block {
                    self.put_out(side, rows, (&mut own, &mut others), emit)?;
                }
            }
        }
        self.put_out(side, rows, (&mut own, &mut others), emit)
    }

    fn put_out(
        &self,
        side: Side,
        rows: &RecordBatch,
        (own, others): (&mut Vec<u32>, &mut Vec<Option<Place>>),
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        let pair = |own, others| match side {
            Side::Left => (own, others),
            Side::Right => (others, own),
        };
        let picked = Picked::of(rows, std::mem::take(own));
        let (left, right) = pair(picked, self.others(side, others));
        others.clear();
        let mask = self.joiner.mask(&left, &right)?;
        let (left, right) = (left.only(mask.as_ref())?, right.only(mask.as_ref())?);
        match left.len() {
            0 => Ok(()),
            _ => emit(self.joiner.rows(&left, &right)?),
        }
    }

    /// The rows of `side` for which no partner can come any more and none came.
    fn unmatched(&self, side: Side, emit: &mut Emit<'_>) -> Result<()> {
        let waits = self.waits_both_ms();
        let is_final = |time: i64, fired: Watermark| time.saturating_add(waits) <= fired.0;
        for chunk in self.kept[side as usize].chunks.values() {
            if is_final(chunk.newest, self.fired_before) || !is_final(chunk.oldest, self.fired) {
                continue;
            }
            let times = (0..).zip(chunk.times.values());
            let ending = times.filter(|(_, time)| {
                is_final(**time, self.fired) && !is_final(**time, self.fired_before)
            });
            let (ending, times): (Vec<u32>, Vec<i64>) = ending.unzip();
            if ending.is_empty() {
                continue;
            }
            let rows = taken(&chunk.rows, ending)?;
            let has_partner = self.have_partners(side, &rows, &times)?;
            let mask = arrow::compute::not(&has_partner.into())?;
            let rows = filter_record_batch(&rows, &mask)?;
            if rows.num_rows() > 0 {
                emit(self.joiner.alone(side, &rows)?)?;
            }
        }
        Ok(())
    }

    fn have_partners(&self, side: Side, rows: &RecordBatch, times: &[i64]) -> Result<Vec<bool>> {
        let keys = self.joiner.keys(side, rows)?;
        let widest = width::widest(rows) + self.kept[side.other() as usize].widest;
        self.joiner.has_partner(
            (rows.num_rows(), widest),
            |row| {
                let candidates = self.candidates(side, keys.get(row), times[row]);
                candidates.iter().map(|(_, place)| *place)
            },
            |own, others| {
                let own = Picked::of(rows, own.to_vec());
                let others = self.others(side, others);
                match side {
                    Side::Left => self.joiner.mask(&own, &others),
                    Side::Right => self.joiner.mask(&others, &own),
                }
            },
        )
    }

    fn is_needed(&self, time: i64) -> bool {
        !self.fired.has_passed_end(EventTime(self.until(time)))
    }

    fn drop_passed(&mut self) -> Result<()> {
        for side in Side::BOTH {
            let chunks = &self.kept[side as usize].chunks;
            let passed = chunks
                .iter()
                .filter(|(_, chunk)| !self.is_needed(chunk.newest));
            let passed: Vec<u32> = passed.map(|(number, _)| *number).collect();
            let mut oldest = i64::MIN;
            for number in &passed {
                oldest = oldest.max(chunks[number].newest);
            }
            for number in passed {
                let keys = self
                    .joiner
                    .keys(side, &self.kept[side as usize].chunks[&number].rows)?;
                self.kept[side as usize].remove(number, &keys, oldest);
            }
        }
        Ok(())
    }

    /// Rows of a chunk that are still needed, as state.
    fn needed(&self, side: Side, chunk: &Chunk) -> Result<StateBatch> {
        if self.is_needed(chunk.oldest) {
            return self.state(side, &chunk.rows);
        }
        let times = chunk.times.values().iter();
        let rows = (0..).zip(times).filter(|(_, time)| self.is_needed(**time));
        let rows = taken(&chunk.rows, rows.map(|(row, _)| row).collect())?;
        self.state(side, &rows)
    }
}

impl Stateful for IntervalJoinOperator {
    fn on_batch(&mut self, port: usize, batch: &Batch, late: &mut LateRows) -> Result<()> {
        let side = Side::of(port);
        let on_time = self.on_time(side, batch, late)?;
        if !on_time.is_empty() {
            let rows = taken(&batch.rows, on_time)?;
            self.pending_bytes += rows.get_array_memory_size();
            self.pending[side as usize].push(rows);
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
                let owned = self.joiner.by_owner(side, &rows, (0, barrier.shards))?;
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
        collected(|emit| self.fire_into(states, emit))
    }

    fn fire_into(&mut self, states: &[StateBatch], emit: &mut Emit<'_>) -> Result<()> {
        let mut came = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        for state in states {
            let side = Side::of(state.part as usize);
            let rows = without_until(self.joiner.side(side), &state.rows)?;
            came[side as usize].push(rows);
        }
        // First the new rows of the left meet the old ones of the right, then those of the right
        // meet all of the left: each pair once.
        for (side, batches) in Side::BOTH.into_iter().zip(came) {
            let chunks = self.keep(side, &batches)?;
            drop(batches);
            for chunk in chunks {
                self.fresh.push((side, chunk));
                self.pairs(side, chunk, emit)?;
            }
        }
        for side in Side::BOTH {
            if self.joiner.keeps(side) {
                self.unmatched(side, emit)?;
            }
        }
        self.drop_passed()
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
        let chunks = self.keep(side, &[rows])?.into_iter();
        if how == Absorb::Merge {
            self.fresh.extend(chunks.map(|chunk| (side, chunk)));
        }
        Ok(())
    }

    fn set_fired(&mut self, fired: Watermark) {
        self.fired = fired;
    }

    fn drop_fired(&mut self) {
        self.drop_passed().expect("the keys were computed before");
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
        self.pending_bytes + self.kept.iter().map(Kept::size).sum::<usize>()
    }

    fn rescaled(&mut self, _lane: usize, shards: usize) -> Result<ByShard> {
        let mut by_shard: ByShard = vec![vec![]; shards];
        for side in Side::BOTH {
            for chunk in self.kept[side as usize].chunks.values() {
                let state = self.needed(side, chunk)?;
                let rows = without_until(self.joiner.side(side), &state.rows)?;
                let owned = self.joiner.by_owner(side, &rows, (0, shards))?;
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
