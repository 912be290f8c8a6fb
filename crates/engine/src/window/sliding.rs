//! HOP and CUMULATE: what is kept of slices that are in several windows, on the shard that owns their
//! keys.
//!
//! Slices arrive once they are complete, each with the first window that it counts in: rows that were
//! late for some of their slice's windows count in the others only. Windows then fire one after the
//! other. CUMULATE keeps one growing pane for each longest window; HOP keeps slices, and puts a window
//! together from three panes (see [`Blocks`]). Blocks can be made anew from slices: only slices are
//! written to checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::{EventTime, Result, Watermark};

use super::blocks::Blocks;
use super::window_state::{ClosedWindow, Coalesced, Place};
use super::{Pane, Slicing, StateShape, WindowState};

/// Takes a window's end and its panes.
pub type Emit<'a> = dyn FnMut(i64, &[Pane]) -> Result<()> + 'a;

/// See the module.
pub struct Sliding {
    slicing: Slicing,
    /// HOP: by slice. CUMULATE: by longest window, all its slices so far.
    kept: WindowState,
    /// Slices by the first window that they count in.
    arrived: BTreeMap<i64, Vec<ClosedWindow>>,
    blocks: Option<Blocks>,
}

impl Sliding {
    /// Nothing kept.
    pub fn new(slicing: Slicing, shape: Arc<StateShape>) -> Result<Self> {
        Ok(Self {
            slicing,
            kept: WindowState::new(shape)?,
            arrived: BTreeMap::new(),
            blocks: None,
        })
    }

    /// What is kept.
    pub fn kept(&self) -> &WindowState {
        &self.kept
    }

    /// What is kept, to be written or restored. What was derived from it is forgotten.
    pub fn kept_mut(&mut self) -> &mut WindowState {
        self.blocks = None;
        &mut self.kept
    }

    /// What changed since the last call.
    pub fn changes(&mut self) -> Result<Vec<arrow::array::RecordBatch>> {
        self.kept.changes()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        self.kept.size() + self.blocks.as_ref().map_or(0, Blocks::size)
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
        let first = from.0.saturating_add(1);
        let mut next = self.slicing.slices().end(first);
        loop {
            let arrived = self.arrived.keys().next().copied();
            let end = match (arrived, self.kept.is_empty()) {
                (None, true) => return Ok(()),
                (Some(arrived), true) => arrived,
                (arrived, false) => arrived.unwrap_or(next).min(next),
            };
            if !to.has_passed_end(EventTime(end)) {
                return Ok(());
            }
            let slices = self.arrived.remove(&end).unwrap_or_default();
            match self.slicing.is_growing() {
                true => self.fire_growing(end, slices, emit)?,
                false => self.fire_sliding(end, slices, emit)?,
            }
            self.kept.drop_fired(Watermark(end.saturating_sub(1)));
            next = self.slicing.following(end);
        }
    }

    fn fire_growing(
        &mut self,
        end: i64,
        slices: Vec<ClosedWindow>,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        for (place, panes) in slices {
            let longest = self.slicing.last_end(place.slice);
            self.kept.add(Place::single(longest), panes)?;
        }
        let longest = Place::single(self.slicing.last_end(end));
        match self.kept.get(longest) {
            Some(panes) => emit(end, panes),
            None => Ok(()),
        }
    }

    fn fire_sliding(
        &mut self,
        end: i64,
        slices: Vec<ClosedWindow>,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        let mut blocks = match self.blocks.take() {
            Some(blocks) => blocks,
            None => Blocks::new(self.slicing, &self.kept)?,
        };
        blocks.advance(end, &self.kept)?;
        for (place, panes) in slices {
            blocks.add(place.slice, &panes, &self.kept)?;
            let until = self.slicing.last_end(place.slice);
            let slice = place.slice;
            self.kept.add(Place { until, slice }, panes)?;
        }
        emit(end, &blocks.window(&self.kept)?)?;
        self.blocks = Some(blocks);
        Ok(())
    }
}
