//! Window join: rows wait for the end of their window, on the shard that read them, as Arrow batches;
//! then they go to the owner of their key and are joined there, a block of pairs at a time.
//!
//! INVARIANT: a window is joined once: at the first barrier whose watermark has passed its end; rows
//! for it that come later are late, as for an aggregate.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use millstream_core::plan::{Join, JoinOn};
use millstream_core::{Error, EventTime, Result, Watermark};

use super::super::batch::Batch;
use super::super::late::{LateRow, LateRows, Missed};
use super::super::stateful::{Absorb, Barrier, ByShard, Emit, StateBatch, Stateful, collected};
use super::pairs::number;
use super::rows::{detached, state_schema, taken, with_until, without_until};
use super::{Indexed, Joiner, Side};
use crate::window::assigner::to_millis;
use crate::window::window_state::Coalesced;

/// Rows of both sides.
type Window = [Vec<RecordBatch>; 2];

/// See the module.
pub struct WindowJoinOperator {
    joiner: Joiner,
    query: Arc<str>,
    /// `window_start` and `window_end` of both sides.
    columns: [[usize; 2]; 2],
    states: [SchemaRef; 2],
    windows: BTreeMap<i64, Window>,
    closed: Vec<(i64, Window)>,
    /// Memory of `windows`.
    bytes: usize,
    /// What came since the last checkpoint: window, side, rows.
    fresh: Vec<(i64, Side, RecordBatch)>,
    fresh_bytes: usize,
    fired: Watermark,
}

impl WindowJoinOperator {
    /// The operator for `plan` over rows of `sides`, giving rows of `schema`.
    pub fn new(plan: &Join, sides: [SchemaRef; 2], schema: SchemaRef) -> Result<Self> {
        let JoinOn::Window { left, right } = plan.on else {
            return Err(Error::bug("a window join needs windows"));
        };
        Ok(Self {
            states: [state_schema(&sides[0]), state_schema(&sides[1])],
            joiner: Joiner::new(plan, sides, schema)?,
            query: Arc::from(plan.query.as_str()),
            columns: [left, right],
            windows: BTreeMap::new(),
            closed: vec![],
            bytes: 0,
            fresh: vec![],
            fresh_bytes: 0,
            fired: Watermark::MIN,
        })
    }

    fn add(&mut self, end: i64, side: Side, rows: RecordBatch) -> Result<()> {
        let batches = &mut self.windows.entry(end).or_default()[side as usize];
        self.bytes += rows.get_array_memory_size();
        batches.push(rows);
        // PERF: few large batches: neighbours of like size become one, so a row is copied a
        // logarithm of times.
        while let [.., before, last] = batches.as_slice()
            && before.num_rows() <= 2 * last.num_rows()
            && last.num_rows() < 4_096
        {
            let both = concat_batches(self.joiner.side(side), [before, last])?;
            self.bytes += both.get_array_memory_size();
            for merged in batches.drain(batches.len() - 2..) {
                self.bytes -= merged.get_array_memory_size();
            }
            batches.push(both);
        }
        Ok(())
    }

    fn note_fresh(&mut self, end: i64, side: Side, rows: RecordBatch) {
        self.fresh_bytes += rows.get_array_memory_size();
        self.fresh.push((end, side, rows));
    }

    /// The rows of each window that are not late.
    fn by_window(
        &self,
        side: Side,
        batch: &Batch,
        late: &mut LateRows,
    ) -> Result<BTreeMap<i64, Vec<u32>>> {
        let [start, end] = self.columns[side as usize];
        let starts = to_millis(batch.rows.column(start))?;
        let ends = to_millis(batch.rows.column(end))?;
        let mut windows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        let mut missed = Missed::default();
        for row in (0..ends.len()).filter(|row| ends.is_valid(*row)) {
            let window_end = EventTime(ends.value(row));
            if let Some(origin) = &batch.origin {
                let source_row = origin.source_row(row);
                if origin.is_late(row, window_end, self.fired) {
                    let before = origin.source.watermark_before(source_row as usize);
                    missed.push(LateRow {
                        row: source_row,
                        query: self.query.clone(),
                        window_start: EventTime(starts.value(row)),
                        window_end,
                        watermark: before.advanced_to(self.fired),
                    });
                    continue;
                }
                missed.counts_elsewhere(source_row);
            }
            windows.entry(window_end.0).or_default().push(number(row));
        }
        missed.give(late);
        Ok(windows)
    }

    fn take_closed(&mut self) -> Vec<(i64, Window)> {
        let open = match self.fired {
            Watermark::MAX => BTreeMap::new(),
            Watermark(ms) => self.windows.split_off(&ms.saturating_add(2)),
        };
        let closed = std::mem::replace(&mut self.windows, open);
        let batches = closed.values().flatten().flatten();
        self.bytes -= batches
            .map(RecordBatch::get_array_memory_size)
            .sum::<usize>();
        closed.into_iter().collect()
    }

    fn state(&self, end: i64, side: Side, rows: &RecordBatch) -> Result<StateBatch> {
        let schema = &self.states[side as usize];
        let until = vec![end; rows.num_rows()];
        Ok(StateBatch {
            part: side as u32,
            rows: with_until(schema, until, rows)?,
        })
    }

    fn join(&self, [left, right]: &Window, emit: &mut Emit<'_>) -> Result<()> {
        let right = Indexed::new(&self.joiner, right)?;
        let keeps_right = self.joiner.keeps(Side::Right);
        let none = |chunk: &RecordBatch| vec![false; chunk.num_rows()];
        let mut matched = keeps_right.then(|| right.chunks.iter().map(none).collect());
        for left in left {
            self.joiner
                .pairs(left, &right, matched.as_mut(), &mut |rows, _| emit(rows))?;
        }
        for (chunk, matched) in right.chunks.iter().zip(matched.into_iter().flatten()) {
            let unmatched = arrow::compute::not(&BooleanArray::from(matched))?;
            let rows = filter_record_batch(chunk, &unmatched)?;
            if rows.num_rows() > 0 {
                emit(self.joiner.alone(Side::Right, &rows)?)?;
            }
        }
        Ok(())
    }

    fn batches(&self) -> impl Iterator<Item = &RecordBatch> {
        self.windows.values().flatten().flatten()
    }
}

impl Stateful for WindowJoinOperator {
    fn on_batch(&mut self, port: usize, batch: &Batch, late: &mut LateRows) -> Result<()> {
        let side = Side::of(port);
        for (end, rows) in self.by_window(side, batch, late)? {
            let rows = match rows.len() == batch.rows.num_rows() {
                true => detached(batch.rows.clone())?,
                false => taken(&batch.rows, rows)?,
            };
            self.note_fresh(end, side, rows.clone());
            self.add(end, side, rows)?;
        }
        Ok(())
    }

    fn close(&mut self, barrier: Barrier) -> Result<ByShard> {
        self.fired = self.fired.advanced_to(barrier.watermark);
        let closed = self.take_closed();
        if barrier.shards == 1 {
            self.closed = closed;
            return Ok(vec![]);
        }
        let mut by_shard: ByShard = vec![vec![]; barrier.shards];
        for (end, window) in closed {
            for side in Side::BOTH {
                for rows in &window[side as usize] {
                    let owned = self.joiner.by_owner(side, rows, (end, barrier.shards))?;
                    for (owner, owned) in by_shard.iter_mut().zip(owned) {
                        if !owned.is_empty() {
                            owner.push(self.state(end, side, &taken(rows, owned)?)?);
                        }
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
        let mut windows: BTreeMap<i64, Window> =
            std::mem::take(&mut self.closed).into_iter().collect();
        for state in states {
            let side = Side::of(state.part as usize);
            let rows = without_until(self.joiner.side(side), &state.rows)?;
            let ends = state.rows.column(0).as_primitive::<Int64Type>();
            // Each batch is of one window.
            if let Some(end) = ends.values().first() {
                windows.entry(*end).or_default()[side as usize].push(rows);
            }
        }
        while let Some((_, window)) = windows.pop_first() {
            self.join(&window, emit)?;
        }
        Ok(())
    }

    fn changes(&mut self) -> Result<Vec<StateBatch>> {
        let mut parts = self.states.clone().map(Coalesced::new);
        self.fresh_bytes = 0;
        for (end, side, rows) in std::mem::take(&mut self.fresh) {
            if !self.fired.has_passed_end(EventTime(end)) {
                parts[side as usize].push(self.state(end, side, &rows)?.rows)?;
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
        let ends = state.rows.column(0).as_primitive::<Int64Type>();
        let mut windows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, end) in (0..).zip(ends.values()) {
            windows.entry(*end).or_default().push(row);
        }
        for (end, which) in windows {
            let rows = taken(&rows, which)?;
            if how == Absorb::Merge {
                self.note_fresh(end, side, rows.clone());
            }
            self.add(end, side, rows)?;
        }
        Ok(())
    }

    fn is_due(&self, watermark: Watermark) -> bool {
        let first = self.windows.keys().next();
        first.is_some_and(|end| watermark.has_passed_end(EventTime(*end)))
    }

    fn set_fired(&mut self, fired: Watermark) {
        self.fired = fired;
    }

    fn drop_fired(&mut self) {
        drop(self.take_closed());
    }

    fn forget_checkpoints(&mut self) {
        self.fresh = vec![];
        self.fresh_bytes = self.bytes;
        for (end, window) in &self.windows {
            for side in Side::BOTH {
                let rows = window[side as usize].iter().cloned();
                self.fresh.extend(rows.map(|rows| (*end, side, rows)));
            }
        }
    }

    fn groups(&self) -> usize {
        self.batches().map(RecordBatch::num_rows).sum()
    }

    fn size(&self) -> usize {
        self.bytes + self.fresh_bytes
    }
}
