//! Grouped aggregation per window, in two phases.
//!
//! Rows update the shard's own partial slices. At a barrier, slices that the watermark has passed are
//! closed; with several shards their partial states go to the shard that owns each key, which merges
//! them; results are then emitted once. No row is ever sent to another shard. Where a slice is in
//! several windows, its owner keeps it until the last of them has fired ([`Sliding`]).
//!
//! INVARIANT: a window is emitted once: it closes at the first barrier whose watermark has passed
//! its end, and rows for it that come later are late (see [`Slicing::open_end`]). With an allowed lateness
//! it takes rows in for longer, and what they change is emitted again. With early results ([`Early`]) it is
//! emitted before, too.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_core::plan::{AggregateCall, WindowAggregate};
use millstream_core::{EventTime, Result, Watermark, types};

use super::batch::{Batch, Origin};
use super::late::{LateRow, LateRows, Missed};
use super::stateful::{Absorb, Barrier, ByShard, Emit, StateBatch, Stateful, collected};
use crate::state::Input;
use crate::state::accumulator::RunKey;
use crate::window::assigner::to_millis;
use crate::window::pane::PaneInput;
use crate::window::sliding::Fired;
use crate::window::window_state::{ClosedWindow, Coalesced, Place};
use crate::window::{Early, Pane, Slicing, Sliding, StateShape, WindowState};

/// See the module.
pub struct WindowAggregateOperator {
    plan: WindowAggregate,
    query: Arc<str>,
    slicing: Slicing,
    shape: Arc<StateShape>,
    state: WindowState,
    closed: Vec<ClosedWindow>,
    sliding: Option<Sliding>,
    early: Option<Early>,
    shards: usize,
    fired: Watermark,
    /// Up to where windows had fired at the barrier before.
    fired_before: Watermark,
    schema: SchemaRef,
}

/// Rows of a batch by their slice and their phase.
type RowsByWindow = Vec<((Place, i64), Option<Vec<u32>>)>;

/// Rows that are not late.
struct OnTime {
    rows: Vec<u32>,
    /// The first window that each of them counts in.
    open_ends: Vec<i64>,
}

/// The phase of each row of a batch: how many slices had ended by its split's watermark before it.
enum Phases {
    All(i64),
    Each(Vec<i64>),
}

impl Phases {
    fn of(&self, row: usize) -> i64 {
        match self {
            Self::All(phase) => *phase,
            Self::Each(phases) => phases[row],
        }
    }
}

fn run_key(batch: &Batch, phase: i64) -> Option<RunKey> {
    let origin = batch.origin.as_ref()?;
    Some(origin.source.run_key(phase))
}

impl WindowAggregateOperator {
    /// The operator for `plan` over rows of `input`, giving rows of `schema`.
    pub fn new(plan: &WindowAggregate, input: &Schema, schema: SchemaRef) -> Result<Self> {
        let slicing = Slicing::new(&plan.window.kind);
        let shape = Arc::new(StateShape::new(plan, input)?);
        Ok(Self {
            plan: plan.clone(),
            query: Arc::from(plan.query.as_str()),
            state: WindowState::new(shape.clone())?,
            sliding: match slicing.is_single() && plan.allowed_lateness_ms == 0 {
                true => None,
                false => {
                    let lateness = plan.allowed_lateness_ms;
                    Some(Sliding::new(slicing, lateness, shape.clone())?)
                }
            },
            early: match plan.early_delay_ms {
                Some(delay_ms) => Some(Early::new(slicing, delay_ms, shape.clone())?),
                None => None,
            },
            shards: 1,
            slicing,
            shape,
            closed: vec![],
            fired: Watermark::MIN,
            fired_before: Watermark::MIN,
            schema,
        })
    }

    /// The open windows.
    pub fn state(&self) -> &WindowState {
        &self.state
    }

    fn aggregate(&mut self, batch: &Batch, late: &mut LateRows) -> Result<()> {
        let times = to_millis(batch.rows.column(self.plan.window.time_column))?;
        let ends = self.slicing.ends(times.values());
        let on_time = self.on_time(batch.origin.as_ref(), &ends, late);
        let phases = self.phases(batch);
        let windows = rows_by_window(&ends, &phases, on_time);
        let keys = self.plan.keys.iter();
        let keys: Vec<ArrayRef> = keys.map(|key| batch.rows.column(*key).clone()).collect();
        let is_ordered = |call: &AggregateCall| call.function.is_ordered();
        let ordered = self.plan.aggregates.iter().any(is_ordered);
        let order = ordered.then(|| batch.order_keys(times.values()));
        let inputs = self.inputs(&batch.rows, order.as_ref());
        for set in 0..self.plan.grouping_sets.len() {
            let encoded = self.state.encode(&keys, set, batch.rows.num_rows())?;
            for ((place, phase), rows) in &windows {
                let input = PaneInput {
                    rows: &batch.rows,
                    keys: &encoded,
                    selection: rows.as_deref(),
                    run: run_key(batch, *phase),
                };
                self.state.update((*place, set), &input, &inputs)?;
            }
        }
        Ok(())
    }

    fn inputs<'a>(&self, rows: &'a RecordBatch, order: Option<&'a ArrayRef>) -> Vec<Input<'a>> {
        let calls = self.plan.aggregates.iter();
        calls
            .map(|call| Input {
                values: call.argument.map(|column| rows.column(column)),
                rows: None,
                filter: call.filter.map(|column| rows.column(column).as_boolean()),
                order: order.filter(|_| call.function.is_ordered()),
                run: None,
            })
            .collect()
    }

    fn phases(&self, batch: &Batch) -> Phases {
        let Some(origin) = &batch.origin else {
            return Phases::All(0);
        };
        // Before its first row a split has passed nothing: the first run begins with that row.
        let start = origin.source.first_watermark();
        let phase = |watermark: Watermark| {
            let passed = watermark.advanced_to(start).0.saturating_add(1);
            let slices = self.slicing.slices();
            let passed = passed.saturating_sub(slices.offset_ms);
            passed.div_euclid(slices.size_ms)
        };
        let (first, last) = (phase(origin.source.before), phase(origin.source.after));
        if first == last {
            return Phases::All(first);
        }
        let rows = (0..batch.rows.num_rows()).map(|row| origin.source_row(row) as usize);
        Phases::Each(
            rows.map(|row| phase(origin.source.watermark_before(row)))
                .collect(),
        )
    }

    /// The rows that are not late; `None`: all of them.
    fn on_time(
        &self,
        origin: Option<&Origin>,
        ends: &[i64],
        late: &mut LateRows,
    ) -> Option<OnTime> {
        let origin = origin?;
        // PERF: mostly even the oldest window is open after the last row, so no row is looked at.
        let newest = self.closed_at(origin.source.after.advanced_to(self.fired));
        let oldest = ends.iter().min()?;
        if !newest.has_passed_end(EventTime(*oldest)) {
            return None;
        }
        let mut on_time = OnTime {
            rows: Vec::with_capacity(ends.len()),
            open_ends: Vec::with_capacity(ends.len()),
        };
        let mut missed = Missed::default();
        for (row, slice) in ends.iter().enumerate() {
            let source_row = origin.source_row(row);
            let watermark = origin.source.watermark_before(source_row as usize);
            let watermark = watermark.advanced_to(self.fired);
            let closed_at = self.closed_at(watermark);
            if let Some(end) = self.slicing.open_end(*slice, closed_at) {
                let row = u32::try_from(row).expect("batches have fewer than 2^32 rows");
                on_time.rows.push(row);
                on_time.open_ends.push(end);
                missed.counts_elsewhere(source_row);
                continue;
            }
            let last = self.slicing.last_end(*slice);
            missed.push(LateRow {
                row: source_row,
                query: self.query.clone(),
                window_start: EventTime(self.slicing.start(last)),
                window_end: EventTime(last),
                watermark,
            });
        }
        missed.give(late);
        Some(on_time)
    }

    /// Windows that have passed at this watermark take no more rows in at `watermark`.
    fn closed_at(&self, watermark: Watermark) -> Watermark {
        match watermark {
            Watermark::MIN | Watermark::MAX => watermark,
            Watermark(ms) => Watermark(ms.saturating_sub(self.plan.allowed_lateness_ms)),
        }
    }

    /// Gives the groups of slices that are kept from now on and changed; and, if it is time, those of open
    /// windows.
    fn close_early(
        &mut self,
        barrier: Barrier,
        settled: Vec<Vec<RecordBatch>>,
        by_shard: &mut ByShard,
    ) -> Result<()> {
        self.shards = barrier.shards;
        let Some(early) = &mut self.early else {
            return Ok(());
        };
        let at = (barrier.now_ms, self.fired);
        let changed = early.close(&mut self.state, at, barrier.shards)?;
        if barrier.shards == 1 {
            let mut settled = settled.iter().flatten();
            settled.try_for_each(|rows| early.note(rows))?;
            let mut changed = changed.iter().flatten();
            return changed.try_for_each(|rows| early.arrive(rows, 0, 1));
        }
        let lane = u32::try_from(barrier.shard).expect("few shards");
        for (owner, rows) in by_shard.iter_mut().zip(settled) {
            owner.extend(part(SETTLED, rows));
        }
        for (owner, rows) in by_shard.iter_mut().zip(changed) {
            owner.extend(part(EARLY + lane, rows));
        }
        Ok(())
    }

    /// The results so far of open windows, of the groups that changed.
    fn fire_early(
        &mut self,
        states: &[&StateBatch],
        (results, emit): (&mut Coalesced, &mut Emit<'_>),
    ) -> Result<()> {
        let Some(mut early) = self.early.take() else {
            return Ok(());
        };
        for state in states {
            match state.part {
                SETTLED => early.note(&state.rows)?,
                part => early.arrive(&state.rows, (part - EARLY) as usize, self.shards)?,
            }
        }
        let held = (&self.state, self.sliding.as_ref());
        early.fire(held, self.fired, &mut |fired| {
            self.push_results(fired, (results, emit))
        })?;
        self.early = Some(early);
        Ok(())
    }

    fn push_results(
        &self,
        fired: &Fired<'_>,
        (results, emit): (&mut Coalesced, &mut Emit<'_>),
    ) -> Result<()> {
        for (set, (pane, groups)) in fired.panes.iter().zip(&fired.groups).enumerate() {
            if !groups.is_empty() {
                results.push(self.results((fired.end, set), pane, groups)?)?;
            }
        }
        results.full().try_for_each(emit)
    }

    fn results(
        &self,
        (end, set): (i64, usize),
        pane: &Pane,
        groups: &[u32],
    ) -> Result<RecordBatch> {
        let rows = groups.len();
        let time = |ms: i64| TimestampMillisecondArray::from_value(ms, rows);
        let time_type = self.schema.field(2).data_type();
        let window_time: ArrayRef = Arc::new(time(end - 1).with_timezone(types::TIME_ZONE));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(time(self.slicing.start(end))),
            Arc::new(time(end)),
            cast(&window_time, time_type)?,
        ];
        columns.extend(self.state.finish(pane, groups)?);
        if self.plan.grouping_id {
            let id = grouping_id(&self.plan.grouping_sets[set], self.plan.keys.len());
            columns.push(Arc::new(Int64Array::from_value(id, rows)));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Stateful for WindowAggregateOperator {
    /// Aggregates the rows that are on time, and notes the others.
    fn on_batch(&mut self, _: usize, batch: &Batch, late: &mut LateRows) -> Result<()> {
        if let Some(early) = &mut self.early {
            early.on_change();
        }
        self.aggregate(batch, late)
    }

    /// Closes the windows that are complete. With several shards: the partial states for each.
    fn close(&mut self, barrier: Barrier) -> Result<ByShard> {
        self.fired_before = self.fired;
        self.fired = self.fired.advanced_to(barrier.watermark);
        self.closed = self.state.close(self.fired);
        let settled = match &self.early {
            Some(early) => early.settle(&mut self.closed, &self.state, barrier.shards)?,
            None => vec![],
        };
        let mut owners: Vec<Coalesced> = vec![];
        if barrier.shards > 1 {
            owners.resize_with(barrier.shards, || {
                Coalesced::new(self.shape.schema().clone())
            });
            for (place, panes) in std::mem::take(&mut self.closed) {
                self.state.states_by_owner((place, &panes), &mut owners)?;
            }
        }
        let owners = owners.into_iter().map(Coalesced::finish);
        let owners = owners.map(|rows| Ok(part(OPEN, rows?)));
        let mut by_shard = owners.collect::<Result<ByShard>>()?;
        self.close_early(barrier, settled, &mut by_shard)?;
        Ok(by_shard)
    }

    /// The results of the closed windows whose keys this shard owns.
    fn fire(&mut self, states: &[StateBatch]) -> Result<Vec<RecordBatch>> {
        collected(|emit| self.fire_into(states, emit))
    }

    /// The same. A window of HOP repeats what was in the one before, so together they are far more than
    /// what is kept.
    fn fire_into(&mut self, states: &[StateBatch], emit: &mut Emit<'_>) -> Result<()> {
        let mut closed = std::mem::take(&mut self.closed);
        let (early, states): (Vec<&StateBatch>, _) =
            states.iter().partition(|state| state.part >= SETTLED);
        if !states.is_empty() {
            let mut merged = WindowState::new(self.shape.clone())?;
            for batch in states {
                merged.absorb(&batch.rows, false)?;
            }
            closed.extend(merged.close(Watermark::MAX));
        }
        let mut results = Coalesced::new(self.schema.clone());
        let Some(mut sliding) = self.sliding.take() else {
            for (place, panes) in closed {
                self.push_results(&Fired::whole(place.until, &panes), (&mut results, emit))?;
            }
            self.fire_early(&early, (&mut results, emit))?;
            return results.finish()?.into_iter().try_for_each(emit);
        };
        closed.into_iter().for_each(|slice| sliding.arrive(slice));
        sliding.fire(self.fired_before, self.fired, &mut |fired| {
            self.push_results(fired, (&mut results, emit))
        })?;
        self.sliding = Some(sliding);
        self.fire_early(&early, (&mut results, emit))?;
        results.finish()?.into_iter().try_for_each(emit)
    }

    fn changes(&mut self) -> Result<Vec<StateBatch>> {
        let mut changes = part(OPEN, self.state.changes()?);
        if let Some(sliding) = &mut self.sliding {
            changes.extend(part(KEPT, sliding.changes()?));
        }
        Ok(changes)
    }

    fn changed(&self) -> usize {
        let kept = self.sliding.as_ref().map_or(0, |s| s.kept().changed());
        self.state.changed() + kept
    }

    fn some_changes(&mut self, mut rows: usize) -> Result<Vec<StateBatch>> {
        let mut changes = part(OPEN, self.state.some_changes(&mut rows)?);
        if let Some(sliding) = &mut self.sliding {
            changes.extend(part(KEPT, sliding.some_changes(&mut rows)?));
        }
        Ok(changes)
    }

    fn absorb(&mut self, state: &StateBatch, how: Absorb) -> Result<()> {
        let restore = how == Absorb::Restore;
        if let Some(early) = &mut self.early {
            early.on_change();
            if state.part == KEPT {
                early.on_restore();
            }
        }
        match (&mut self.sliding, state.part) {
            (Some(sliding), KEPT) => sliding.kept_mut().absorb(&state.rows, restore),
            _ => self.state.absorb(&state.rows, restore),
        }
    }

    fn rescaled(&mut self, lane: usize, shards: usize) -> Result<ByShard> {
        self.state.forget_checkpoints();
        let mut by_shard = vec![vec![]; shards];
        by_shard[lane % shards] = part(OPEN, self.state.changes()?);
        if let Some(sliding) = &self.sliding {
            let mut owners: Vec<Coalesced> = vec![];
            owners.resize_with(shards, || Coalesced::new(self.shape.schema().clone()));
            sliding.states_by_owner(&mut owners)?;
            for (states, owner) in by_shard.iter_mut().zip(owners) {
                states.extend(part(KEPT, owner.finish()?));
            }
        }
        Ok(by_shard)
    }

    fn set_fired(&mut self, fired: Watermark) {
        self.fired = fired;
    }

    fn has_news(&self, now_ms: i64) -> bool {
        let early = self.early.as_ref();
        early.is_some_and(|early| early.is_due(now_ms))
    }

    fn is_due(&self, watermark: Watermark) -> bool {
        let open = self.state.slices().next();
        let open = open.is_some_and(|(place, _)| watermark.has_passed_end(EventTime(place.until)));
        let kept = self.sliding.as_ref();
        open || kept.is_some_and(|kept| kept.is_due(self.fired, watermark))
    }

    fn drop_fired(&mut self) {
        self.state.drop_fired(self.fired);
        if let Some(sliding) = &mut self.sliding {
            sliding.kept_mut().drop_fired(self.fired);
        }
    }

    fn forget_checkpoints(&mut self) {
        self.state.forget_checkpoints();
        if let Some(sliding) = &mut self.sliding {
            sliding.kept_mut().forget_checkpoints();
        }
    }

    fn begin_to_repeat(&mut self) {
        self.state.begin_to_repeat();
        if let Some(sliding) = &mut self.sliding {
            sliding.begin_to_repeat();
        }
    }

    fn repeat(&mut self, mut rows: usize) -> bool {
        let is_last = self.state.repeat(&mut rows);
        let sliding = self.sliding.as_mut();
        sliding.is_none_or(|sliding| sliding.repeat(&mut rows)) && is_last
    }

    fn groups(&self) -> usize {
        let kept = self.sliding.as_ref().map_or(0, |s| s.kept().groups());
        let early = self.early.as_ref().map_or(0, Early::groups);
        self.state.groups() + kept + early
    }

    fn size(&self) -> usize {
        let kept = self.sliding.as_ref().map_or(0, Sliding::size);
        let early = self.early.as_ref().map_or(0, Early::size);
        self.state.size() + kept + early
    }
}

/// Part of the state: what the shard itself has read.
const OPEN: u32 = 0;
/// Part of the state: slices of the keys that the shard owns, also after they were closed.
const KEPT: u32 = 1;
/// Groups that changed in slices that are complete now.
const SETTLED: u32 = 2;
/// Groups that changed in open windows, as told by shard 0; the shards after it follow.
const EARLY: u32 = 3;

fn part(part: u32, rows: Vec<RecordBatch>) -> Vec<StateBatch> {
    let rows = rows.into_iter();
    rows.map(|rows| StateBatch { part, rows }).collect()
}

/// Bit i, from the last key, is set when that key is not in the set.
pub(super) fn grouping_id(set: &[usize], keys: usize) -> i64 {
    (0..keys).fold(0, |id, key| id << 1 | i64::from(!set.contains(&key)))
}

/// Windows of a batch that are looked through before they are looked up.
const RECENT: usize = 4;

fn rows_by_window(ends: &[i64], phases: &Phases, on_time: Option<OnTime>) -> RowsByWindow {
    if ends.is_empty() {
        return vec![];
    }
    if let (Phases::All(phase), None) = (phases, &on_time)
        && ends.iter().all(|end| *end == ends[0])
    {
        // PERF: the common case copies nothing.
        return vec![((Place::single(ends[0]), *phase), None)];
    }
    let mut windows: Vec<((Place, i64), Vec<u32>)> = vec![];
    let mut index: BTreeMap<(Place, i64), usize> = BTreeMap::new();
    let all = || OnTime {
        rows: (0..u32::try_from(ends.len()).expect("batches have fewer than 2^32 rows")).collect(),
        open_ends: ends.to_vec(),
    };
    let on_time = on_time.unwrap_or_else(all);
    let mut last = 0;
    for (row, until) in on_time.rows.into_iter().zip(on_time.open_ends) {
        let slice = ends[row as usize];
        let place = (Place { until, slice }, phases.of(row as usize));
        if windows.get(last).is_none_or(|(of, _)| *of != place) {
            let next = windows.len();
            // PERF: rows mostly go back and forth between two or three windows.
            let recent = windows.iter().rev().take(RECENT);
            let recent = recent.map(|(of, _)| *of).position(|of| of == place);
            last = match recent {
                Some(back) => next - 1 - back,
                None if next <= RECENT => next,
                None => index.get(&place).copied().unwrap_or(next),
            };
            if last == next {
                windows.push((place, vec![]));
                index.insert(place, next);
            }
        }
        windows[last].1.push(row);
    }
    let some = windows.into_iter().map(|(of, rows)| (of, Some(rows)));
    some.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_by_window_and_phase() {
        let same = Phases::All(1);
        assert_eq!(
            rows_by_window(&[7, 7], &same, None),
            [((Place::single(7), 1), None)]
        );
        let split = rows_by_window(&[7, 9, 7, 8], &same, None);
        let at = Place::single;
        let expected = [
            ((at(7), 1), Some(vec![0, 2])),
            ((at(9), 1), Some(vec![1])),
            ((at(8), 1), Some(vec![3])),
        ];
        assert_eq!(split, expected);
        // More windows than are looked through, each met twice.
        let many: Vec<i64> = (0..20).chain(0..20).collect();
        for (end, (of, rows)) in (0..20).zip(rows_by_window(&many, &same, None)) {
            let row = u32::try_from(end).unwrap();
            assert_eq!((of, rows), ((at(end), 1), Some(vec![row, row + 20])));
        }
        let on_time = |rows: Vec<u32>, open_ends: Vec<i64>| Some(OnTime { rows, open_ends });
        let one = rows_by_window(&[7, 9], &same, on_time(vec![1], vec![9]));
        assert_eq!(one, [((at(9), 1), Some(vec![1]))]);
        assert_eq!(rows_by_window(&[7], &same, on_time(vec![], vec![])), []);
        let later = rows_by_window(&[7, 7], &same, on_time(vec![0, 1], vec![7, 9]));
        let place = Place { until: 9, slice: 7 };
        let expected = [((at(7), 1), Some(vec![0])), ((place, 1), Some(vec![1]))];
        assert_eq!(later, expected);
        let phases = Phases::Each(vec![1, 2]);
        let split = rows_by_window(&[7, 7], &phases, None);
        let expected = [((at(7), 1), Some(vec![0])), ((at(7), 2), Some(vec![1]))];
        assert_eq!(split, expected);
    }

    #[test]
    fn grouping_ids_count_from_the_last_key() {
        assert_eq!(grouping_id(&[0, 1], 2), 0);
        assert_eq!(grouping_id(&[0], 2), 1);
        assert_eq!(grouping_id(&[1], 2), 2);
        assert_eq!(grouping_id(&[], 2), 3);
    }
}
