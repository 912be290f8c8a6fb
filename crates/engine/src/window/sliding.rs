//! What is kept of slices after their first window has fired, on the shard that owns their keys: for
//! HOP and CUMULATE because they are in several windows, with allowed lateness because more rows may
//! come.
//!
//! Slices arrive once they are complete, each with the first window that it counts in: rows that were
//! late for some of their slice's windows count in the others only. Windows then fire one after the
//! other. CUMULATE keeps one growing pane for each longest window; the others keep slices, and a window
//! of HOP is put together from three panes (see [`Blocks`]). With an allowed lateness CUMULATE keeps
//! slices too, as windows that have fired are made again, and the growing pane besides. Blocks and that
//! pane can be made anew from slices: only slices are written to checkpoints.
//!
//! Rows that come within the allowed lateness for windows that have fired are added to their slice, and
//! the groups that they are in are put out again for each of those windows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use millstream_core::{EventTime, Result, Watermark};

use super::blocks::{Blocks, merge};
use super::window_state::{ClosedWindow, Coalesced, Place};
use super::{Pane, Slicing, StateShape, WindowState};

/// A window that is put out.
pub struct Fired<'a> {
    /// Its end in ms.
    pub end: i64,
    /// Its panes by grouping set.
    pub panes: &'a [Pane],
    /// The groups of each pane that are put out.
    pub groups: Vec<Vec<u32>>,
}

/// Takes windows.
pub type Emit<'a> = dyn FnMut(&Fired<'_>) -> Result<()> + 'a;

impl<'a> Fired<'a> {
    /// All of it.
    pub fn whole(end: i64, panes: &'a [Pane]) -> Self {
        let groups = panes.iter().map(Pane::all_groups).collect();
        Self { end, panes, groups }
    }
}

/// See the module.
pub struct Sliding {
    slicing: Slicing,
    allowed_lateness_ms: i64,
    /// By slice. CUMULATE without an allowed lateness: by longest window, all its slices so far. With an
    /// allowed lateness also by the first window that rows count in ([`Sliding::place`]).
    kept: WindowState,
    /// Slices by the first window that they count in.
    arrived: BTreeMap<i64, Vec<ClosedWindow>>,
    blocks: Option<Blocks>,
    /// CUMULATE with an allowed lateness: the start of the window that fired last, and its panes.
    growing: Option<(i64, Vec<Pane>)>,
}

impl Sliding {
    /// Nothing kept.
    pub fn new(slicing: Slicing, allowed_lateness_ms: i64, shape: Arc<StateShape>) -> Result<Self> {
        Ok(Self {
            slicing,
            allowed_lateness_ms,
            kept: WindowState::new(shape)?,
            arrived: BTreeMap::new(),
            blocks: None,
            growing: None,
        })
    }

    /// What is kept.
    pub fn kept(&self) -> &WindowState {
        &self.kept
    }

    /// What is kept, to be written or restored. What was derived from it is forgotten.
    pub fn kept_mut(&mut self) -> &mut WindowState {
        self.forget_derived();
        &mut self.kept
    }

    fn forget_derived(&mut self) {
        self.blocks = None;
        self.growing = None;
    }

    /// What changed since the last call.
    pub fn changes(&mut self) -> Result<Vec<arrow::array::RecordBatch>> {
        self.kept.changes()
    }

    /// See [`WindowState::some_changes`].
    pub fn some_changes(&mut self, rows: &mut usize) -> Result<Vec<arrow::array::RecordBatch>> {
        self.kept.some_changes(rows)
    }

    /// See [`WindowState::begin_to_repeat`].
    pub fn begin_to_repeat(&mut self) {
        self.kept.begin_to_repeat();
    }

    /// See [`WindowState::repeat`].
    pub fn repeat(&mut self, rows: &mut usize) -> bool {
        self.kept.repeat(rows)
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let growing = self.growing.iter().flat_map(|(_, panes)| panes);
        let growing: usize = growing.map(Pane::size).sum();
        self.kept.size() + self.blocks.as_ref().map_or(0, Blocks::size) + growing
    }

    /// Takes a slice; `until` of its place is the first window that it counts in.
    pub fn arrive(&mut self, (place, panes): ClosedWindow) {
        self.arrived
            .entry(place.until)
            .or_default()
            .push((place, panes));
    }

    /// The states by the shard that owns each key.
    pub fn states_by_owner(&self, owners: &mut [Coalesced]) -> Result<()> {
        for (place, panes) in self.kept.slices() {
            self.kept.states_by_owner((place, panes), owners)?;
        }
        Ok(())
    }

    /// Gives all windows that pass between two watermarks to `emit`.
    pub fn fire(&mut self, from: Watermark, to: Watermark, emit: &mut Emit<'_>) -> Result<()> {
        self.update(from, emit)?;
        let first = from.0.saturating_add(1);
        let mut next = self.slicing.slices().end(first);
        loop {
            let arrived = self.arrived.keys().next().copied();
            let kept = self.last_end().filter(|last| next <= *last).map(|_| next);
            let end = match (arrived, kept) {
                (Some(arrived), Some(kept)) => arrived.min(kept),
                (arrived, kept) => arrived.or(kept).unwrap_or(i64::MAX),
            };
            if end == i64::MAX || !to.has_passed_end(EventTime(end)) {
                self.kept.drop_fired(to);
                return Ok(());
            }
            let slices = self.arrived.remove(&end).unwrap_or_default();
            match (self.slicing.is_growing(), self.allowed_lateness_ms) {
                (true, 0) => self.fire_growing(end, slices, emit)?,
                (true, _) => self.fire_growing_from_slices(end, slices, emit)?,
                (false, _) => self.fire_sliding(end, slices, emit)?,
            }
            self.kept.drop_fired(Watermark(end.saturating_sub(1)));
            next = self.slicing.following(end);
        }
    }

    /// Whether a window of what is kept passes between two watermarks.
    pub fn is_due(&self, from: Watermark, to: Watermark) -> bool {
        let next = self.slicing.slices().end(from.0.saturating_add(1));
        self.last_end().is_some_and(|last| next <= last) && to.has_passed_end(EventTime(next))
    }

    /// The last window that anything kept is in.
    pub(super) fn last_end(&self) -> Option<i64> {
        let mut last: Option<i64> = None;
        // PERF: places come in order of how long they are needed, and none less long than its last window.
        for (place, _) in self.kept.slices().rev() {
            if last.is_some_and(|last| place.until <= last.saturating_add(self.allowed_lateness_ms))
            {
                break;
            }
            last = last.max(Some(self.slicing.last_end(place.slice)));
        }
        last
    }

    /// Adds slices that came for windows which have fired at `fired`, and puts those out again.
    fn update(&mut self, fired: Watermark, emit: &mut Emit<'_>) -> Result<()> {
        let mut changed: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        let mut late: Vec<ClosedWindow> = vec![];
        while let Some(entry) = self.arrived.first_entry() {
            if !fired.has_passed_end(EventTime(*entry.key())) {
                break;
            }
            for (place, panes) in entry.remove() {
                let mut end = place.until;
                while end <= self.slicing.last_end(place.slice)
                    && fired.has_passed_end(EventTime(end))
                {
                    changed.entry(end).or_default().push(late.len());
                    end = self.slicing.following(end);
                }
                late.push((place, panes));
            }
        }
        if late.is_empty() {
            return Ok(());
        }
        self.forget_derived();
        for (place, panes) in &late {
            let mut copy = self.kept.empty_panes()?;
            merge(&mut copy, panes)?;
            self.keep(*place, copy)?;
        }
        for (end, slices) in changed {
            let panes = self.window(end)?;
            let groups = panes.iter().enumerate().map(|(set, pane)| {
                let slices = slices.iter().map(|slice| &late[*slice].1[set]);
                let mut groups: Vec<u32> = slices.flat_map(|s| pane.groups_of(s)).collect();
                groups.sort_unstable();
                groups.dedup();
                groups
            });
            let groups = groups.collect();
            let panes = &panes;
            emit(&Fired { end, panes, groups })?;
        }
        Ok(())
    }

    /// Adds a slice to what is kept; `until` of its place is the first window that it counts in.
    fn keep(&mut self, arrived: Place, panes: Vec<Pane>) -> Result<()> {
        self.kept.add(self.place(arrived), panes)
    }

    /// Where rows that came for `arrived` are kept. A window that comes out again must not show those that
    /// were too late for it, so they are kept apart: the later their first window, the longer.
    fn place(&self, arrived: Place) -> Place {
        let slice = arrived.slice;
        let until = self.slicing.last_end(slice);
        let until = until.saturating_add(self.allowed_lateness_ms);
        match self.allowed_lateness_ms {
            0 => Place { until, slice },
            _ => Place {
                until: until.saturating_add(arrived.until.saturating_sub(slice)),
                slice,
            },
        }
    }

    /// The first window that the rows of a place count in.
    fn first_end(&self, kept: Place) -> i64 {
        if self.slicing.is_single() {
            return kept.slice;
        }
        let until = self.slicing.last_end(kept.slice);
        let until = until.saturating_add(self.allowed_lateness_ms);
        kept.slice.saturating_add(kept.until.saturating_sub(until))
    }

    /// The window that ends at `end`, from its slices.
    fn window(&self, end: i64) -> Result<Vec<Pane>> {
        let mut window = self.kept.empty_panes()?;
        let start = self.slicing.start(end);
        for (place, panes) in self.kept.slices() {
            if place.slice > start && self.first_end(place) <= end {
                merge(&mut window, panes)?;
            }
        }
        Ok(window)
    }

    /// Adds what is kept of the window that ends at `end`, which has not passed.
    pub fn add_to(&self, end: i64, window: &mut [Pane]) -> Result<()> {
        if self.slicing.is_growing() && self.allowed_lateness_ms == 0 {
            let longest = Place::single(self.slicing.last_end(end));
            return match self.kept.get(longest) {
                Some(panes) => merge(window, panes),
                None => Ok(()),
            };
        }
        let start = self.slicing.start(end);
        for (place, panes) in self.kept.slices() {
            if place.slice > start && place.slice <= end {
                merge(window, panes)?;
            }
        }
        Ok(())
    }

    fn fire_growing(
        &mut self,
        end: i64,
        slices: Vec<ClosedWindow>,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        let mut complete: BTreeMap<i64, Vec<Pane>> = BTreeMap::new();
        for (place, panes) in slices {
            match complete.entry(place.slice) {
                Entry::Vacant(entry) => _ = entry.insert(panes),
                Entry::Occupied(mut entry) => merge(entry.get_mut(), &panes)?,
            }
        }
        for (slice, mut panes) in complete {
            panes.iter_mut().for_each(Pane::seal);
            let longest = self.slicing.last_end(slice);
            self.kept.add(Place::single(longest), panes)?;
        }
        let longest = Place::single(self.slicing.last_end(end));
        match self.kept.get(longest) {
            Some(panes) => emit(&Fired::whole(end, panes)),
            None => Ok(()),
        }
    }

    fn fire_growing_from_slices(
        &mut self,
        end: i64,
        slices: Vec<ClosedWindow>,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        let start = self.slicing.start(end);
        let mut growing = self.growing.take().filter(|(of, _)| *of == start);
        for (place, panes) in slices {
            if let Some((_, growing)) = &mut growing {
                merge(growing, &panes)?;
            }
            self.keep(place, panes)?;
        }
        let panes = match growing {
            Some((_, panes)) => panes,
            None => self.window(end)?,
        };
        emit(&Fired::whole(end, &panes))?;
        self.growing = Some((start, panes));
        Ok(())
    }

    fn fire_sliding(
        &mut self,
        end: i64,
        slices: Vec<ClosedWindow>,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        if self.slicing.is_single() {
            for (place, panes) in slices {
                self.keep(place, panes)?;
            }
            return emit(&Fired::whole(end, &self.window(end)?));
        }
        let mut blocks = match self.blocks.take() {
            Some(blocks) => blocks,
            None => Blocks::new(self.slicing, &self.kept)?,
        };
        blocks.advance(end, &self.kept)?;
        for (place, panes) in slices {
            blocks.add(place.slice, &panes, &self.kept)?;
            self.keep(place, panes)?;
        }
        emit(&Fired::whole(end, &blocks.window(&self.kept)?))?;
        self.blocks = Some(blocks);
        Ok(())
    }
}
