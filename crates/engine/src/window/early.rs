//! Results of windows before they end: what open windows hold so far, of the groups that changed since
//! the last time.
//!
//! A slice that several windows share may be complete, and kept by the owners of its keys, before its last
//! changes were put out: what changed of it then goes along, and the owners remember it until it is time.
//!
//! Each shard gives the groups that changed in what it has read to the shards that own their keys; they
//! keep what each shard told last (a *lane*), put the lanes and the slices that they keep anyway together,
//! and put the changed groups out. Lanes are copies: what is written to checkpoints, and what comes out
//! when a window ends, is the same with early results and without. After a restart lanes are empty and
//! every group counts as changed, in slices that are kept too.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_core::{EventTime, Result, Watermark};

use super::blocks::merge;
use super::sliding::{Emit, Fired};
use super::window_state::{ClosedWindow, Coalesced};
use super::{Pane, Slicing, Sliding, StateShape, WindowState};

/// See the module.
pub struct Early {
    slicing: Slicing,
    shape: Arc<StateShape>,
    delay_ms: i64,
    /// When results were put out last, in processing time.
    shown_at_ms: Option<i64>,
    /// Whether this barrier puts them out.
    is_now: bool,
    /// Whether anything changed since.
    has_changed: bool,
    /// Whether slices that are kept were put back, so that nobody knows what was put out of them.
    is_restored: bool,
    /// By shard; empty with one shard, whose own state is what a lane would be.
    lanes: Vec<WindowState>,
    /// The groups that changed, of all shards, in slices that are open or kept.
    changed: WindowState,
}

impl Early {
    /// Results every `delay_ms`.
    pub fn new(slicing: Slicing, delay_ms: i64, shape: Arc<StateShape>) -> Result<Self> {
        Ok(Self {
            slicing,
            delay_ms,
            shown_at_ms: None,
            is_now: false,
            has_changed: false,
            is_restored: false,
            lanes: vec![],
            changed: WindowState::new(shape.clone())?,
            shape,
        })
    }

    /// State of open windows has changed.
    pub fn on_change(&mut self) {
        self.has_changed = true;
    }

    /// Slices that are kept were put back.
    pub fn on_restore(&mut self) {
        self.is_restored = true;
    }

    /// Whether a barrier at `now_ms` would put something out.
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.has_changed && self.is_time(now_ms)
    }

    fn is_time(&self, now_ms: i64) -> bool {
        self.shown_at_ms
            .is_none_or(|shown| now_ms.saturating_sub(shown) >= self.delay_ms)
    }

    /// First step of a barrier, after what is complete was taken out of `open`: the states of the groups
    /// that changed, by the shard that owns each key; none if it is not time.
    pub fn close(
        &mut self,
        open: &mut WindowState,
        (now_ms, fired): (i64, Watermark),
        shards: usize,
    ) -> Result<Vec<Vec<RecordBatch>>> {
        for lane in &mut self.lanes {
            lane.drop_fired(fired);
        }
        self.is_now = self.is_time(now_ms);
        if !self.is_now {
            return Ok(vec![]);
        }
        self.shown_at_ms = Some(now_ms);
        self.has_changed = false;
        let mut owners = vec![];
        owners.resize_with(shards, || Coalesced::new(self.shape.schema().clone()));
        open.unshown_by_owner(&mut owners)?;
        owners.into_iter().map(Coalesced::finish).collect()
    }

    /// The states of the groups that changed in slices that are complete now and will be kept, by the shard
    /// that owns each key.
    pub fn settle(
        &self,
        closed: &mut [ClosedWindow],
        open: &WindowState,
        shards: usize,
    ) -> Result<Vec<Vec<RecordBatch>>> {
        let mut owners = vec![];
        owners.resize_with(shards, || Coalesced::new(self.shape.schema().clone()));
        for (place, panes) in closed {
            if self.slicing.last_end(place.slice) > place.until {
                open.unshown_of((*place, panes), &mut owners)?;
            }
        }
        owners.into_iter().map(Coalesced::finish).collect()
    }

    /// Notes that these groups of slices that are kept have changed.
    pub fn note(&mut self, rows: &RecordBatch) -> Result<()> {
        self.changed.absorb(rows, false)
    }

    /// Takes what shard `lane` of `shards` gave.
    pub fn arrive(&mut self, rows: &RecordBatch, lane: usize, shards: usize) -> Result<()> {
        self.note(rows)?;
        if shards == 1 {
            return Ok(());
        }
        while self.lanes.len() < shards {
            self.lanes.push(WindowState::new(self.shape.clone())?);
        }
        self.lanes[lane].absorb(rows, true)
    }

    /// Second step: gives the windows that have not passed at `fired` and hold groups that changed to
    /// `emit`. `open` is what this shard has read, `kept` the slices that were complete before.
    pub fn fire(
        &mut self,
        (open, kept): (&WindowState, Option<&Sliding>),
        fired: Watermark,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        if !std::mem::take(&mut self.is_now) {
            return Ok(());
        }
        let changed = std::mem::replace(&mut self.changed, WindowState::new(self.shape.clone())?);
        let mut windows: BTreeMap<i64, Vec<&[Pane]>> = BTreeMap::new();
        let is_restored = std::mem::take(&mut self.is_restored);
        if let Some(last) = kept.and_then(Sliding::last_end).filter(|_| is_restored) {
            let mut end = self.slicing.slices().end(fired.0.saturating_add(1));
            while end <= last {
                windows.insert(end, vec![]);
                end = self.slicing.following(end);
            }
        }
        for (place, panes) in changed.slices() {
            let mut end = place.until;
            while end <= self.slicing.last_end(place.slice) {
                if !fired.has_passed_end(EventTime(end)) {
                    windows.entry(end).or_default().push(panes);
                }
                end = self.slicing.following(end);
            }
        }
        for (end, changed) in windows {
            let panes = self.window(end, open, kept)?;
            if is_restored {
                emit(&Fired::whole(end, &panes))?;
                continue;
            }
            let groups = panes.iter().enumerate().map(|(set, pane)| {
                let mut groups: Vec<u32> = changed
                    .iter()
                    .flat_map(|changed| pane.groups_of(&changed[set]))
                    .collect();
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

    /// What the window that ends at `end` holds so far.
    fn window(&self, end: i64, open: &WindowState, kept: Option<&Sliding>) -> Result<Vec<Pane>> {
        let mut window = self.changed.empty_panes()?;
        if let Some(kept) = kept {
            kept.add_to(end, &mut window)?;
        }
        let start = self.slicing.start(end);
        let lanes = match self.lanes.is_empty() {
            true => std::slice::from_ref(open),
            false => &self.lanes,
        };
        for (place, panes) in lanes.iter().flat_map(WindowState::slices) {
            // A row that was late for some windows of its slice counts in the others only.
            if place.until <= end && place.slice > start && place.slice <= end {
                merge(&mut window, panes)?;
            }
        }
        Ok(window)
    }

    /// Groups of all lanes, and those that wait to be put out.
    pub fn groups(&self) -> usize {
        let lanes = self.lanes.iter().map(WindowState::groups);
        lanes.sum::<usize>() + self.changed.groups()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let lanes = self.lanes.iter().map(WindowState::size);
        lanes.sum::<usize>() + self.changed.size()
    }
}
