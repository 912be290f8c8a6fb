//! For each split and key, the sessions that the rows of this split alone make: which of its rows come
//! too late. Intervals only; they are with the shard that reads the split.
//!
//! INVARIANT: the open intervals of one split and key do not touch one another.

use std::hint::black_box;
use std::ops::Range;

use millstream_core::Watermark;

use super::keys::KeyTable;
use super::wheel::Wheel;
use super::{NONE, Span, index};
use crate::state::dirty::DirtySet;

/// See the module.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    free: Vec<u32>,
    wheel: Wheel,
    changed: DirtySet,
}

/// PERF: half a cache line.
#[derive(Debug, Clone, Copy)]
struct Lane {
    span: Span,
    /// The bucket of the wheel that it is in.
    due: u32,
    /// None if the lane is free.
    key: u32,
    next: u32,
    split: u32,
}

/// Of which split and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneKey {
    /// The key.
    pub key: u32,
    /// The split.
    pub split: u32,
}

impl Lanes {
    /// None yet.
    pub fn new(gap_ms: i64) -> Self {
        Self {
            lanes: vec![],
            free: vec![],
            wheel: Wheel::new(gap_ms),
            changed: DirtySet::default(),
        }
    }

    /// Makes room for so many in all.
    pub fn reserve(&mut self, lanes: usize) {
        let more = lanes.saturating_sub(self.lanes.len());
        self.lanes.reserve(more);
    }

    /// PERF: asks for the memory of the first lanes of many keys at once, which then is at hand.
    pub fn look_ahead(&self, keys: &KeyTable, of: &[u32]) {
        let lanes = of
            .iter()
            .filter_map(|key| self.lanes.get(keys.heads(*key).lanes as usize));
        black_box(lanes.fold(0, |all, lane| all ^ lane.next));
    }

    /// Takes a row; whether it is on time. `watermark` is its split's before it.
    pub fn accept(
        &mut self,
        keys: &mut KeyTable,
        of: LaneKey,
        (span, watermark): (Span, Watermark),
    ) -> bool {
        let (mut joined, mut spent) = (NONE, NONE);
        let (mut previous, mut at) = (NONE, keys.heads(of.key).lanes);
        while at != NONE {
            let lane = self.lanes[at as usize];
            if lane.split != of.split {
                previous = at;
            } else if lane.span.is_passed(watermark) {
                spent = at;
                previous = at;
            } else if !lane.span.touches(span) {
                previous = at;
            } else if joined == NONE {
                joined = at;
                previous = at;
                self.set(at, lane.span.cover(span));
            } else {
                // The row closes the gap between two.
                let covered = self.lanes[joined as usize].span.cover(lane.span);
                self.set(joined, covered);
                self.unlink(keys, previous, at);
            }
            at = lane.next;
        }
        if joined != NONE {
            return true;
        }
        if span.is_passed(watermark) {
            return false;
        }
        match spent {
            NONE => self.add(keys, of, span),
            spent => self.set(spent, span),
        }
        true
    }

    /// Puts an interval back, from a checkpoint or from another shard. Of those that touch, the one that
    /// reaches further is the newest: an interval only grows, and one that was opened when another had
    /// been passed ends later.
    pub fn put(&mut self, keys: &mut KeyTable, of: LaneKey, span: Span) {
        let newer = |a: Span, b: Span| (a.end, -a.start) >= (b.end, -b.start);
        let (mut kept, mut span) = (NONE, span);
        let (mut previous, mut at) = (NONE, keys.heads(of.key).lanes);
        while at != NONE {
            let lane = self.lanes[at as usize];
            if lane.split == of.split && lane.span.touches(span) {
                if newer(lane.span, span) {
                    span = lane.span;
                }
                if kept == NONE {
                    kept = at;
                    previous = at;
                } else {
                    self.unlink(keys, previous, at);
                }
            } else {
                previous = at;
            }
            at = lane.next;
        }
        match kept {
            NONE => self.add(keys, of, span),
            kept => self.set(kept, span),
        }
    }

    fn set(&mut self, at: u32, span: Span) {
        let lane = &mut self.lanes[at as usize];
        if lane.span != span {
            lane.span = span;
            self.changed.mark(&[at]);
        }
    }

    fn add(&mut self, keys: &mut KeyTable, of: LaneKey, span: Span) {
        let at = match self.free.pop() {
            Some(at) => at,
            None => index(self.lanes.len()),
        };
        let heads = keys.heads_mut(of.key);
        let lane = Lane {
            span,
            due: self.wheel.push(span.end, at),
            key: of.key,
            next: std::mem::replace(&mut heads.lanes, at),
            split: of.split,
        };
        match self.lanes.get_mut(at as usize) {
            Some(free) => *free = lane,
            None => self.lanes.push(lane),
        }
        self.changed.mark(&[at]);
    }

    fn unlink(&mut self, keys: &mut KeyTable, previous: u32, at: u32) {
        let Lane { key, next, .. } = self.lanes[at as usize];
        match previous {
            NONE => keys.heads_mut(key).lanes = next,
            previous => self.lanes[previous as usize].next = next,
        }
        self.lanes[at as usize].key = NONE;
        self.free.push(at);
    }

    /// Forgets what `watermark` has passed.
    pub fn expire(&mut self, keys: &mut KeyTable, watermark: Watermark) {
        for (bucket, lanes) in self.wheel.take(watermark) {
            for at in lanes {
                let lane = self.lanes[at as usize];
                if lane.key == NONE || lane.due != bucket {
                    continue;
                }
                if !lane.span.is_passed(watermark) {
                    self.lanes[at as usize].due = self.wheel.push(lane.span.end, at);
                    continue;
                }
                let (mut previous, mut next) = (NONE, keys.heads(lane.key).lanes);
                while next != at {
                    previous = next;
                    next = self.lanes[next as usize].next;
                }
                self.unlink(keys, previous, at);
                keys.release(lane.key);
            }
        }
    }

    /// What changed since the last call, by split.
    pub fn take_changed(&mut self) -> Vec<u32> {
        let changed = self.changed.take();
        self.live(changed)
    }

    /// About `max` of them.
    pub fn take_some_changed(&mut self, max: usize) -> Vec<u32> {
        let changed = self.changed.take_some(max);
        self.live(changed)
    }

    /// How many changed since they were taken.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    fn live(&self, mut changed: Vec<u32>) -> Vec<u32> {
        changed.retain(|at| self.lanes[*at as usize].key != NONE);
        changed.sort_by_key(|at| self.lanes[*at as usize].split);
        changed
    }

    /// An interval, and of what it is.
    pub fn get(&self, at: u32) -> (LaneKey, Span) {
        let Lane {
            key, split, span, ..
        } = self.lanes[at as usize];
        (LaneKey { key, split }, span)
    }

    /// How many places there are, free ones among them. What is there keeps its place.
    pub fn slots(&self) -> usize {
        self.lanes.len()
    }

    /// Makes the next `take_changed` give what is in these places.
    pub fn mark_slots(&mut self, slots: Range<usize>) {
        let end = slots.end.min(self.lanes.len());
        self.changed.mark_range(slots.start.min(end)..end);
    }

    /// Makes the next `take_changed` give everything, or nothing.
    pub fn mark_all(&mut self, changed: bool) {
        self.changed = DirtySet::default();
        if changed {
            self.changed.mark_all(self.lanes.len());
        }
    }

    /// Number of intervals.
    pub fn len(&self) -> usize {
        self.lanes.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        self.lanes.capacity() * size_of::<Lane>()
            + self.free.capacity() * size_of::<u32>()
            + self.changed.size()
            + self.wheel.size()
    }
}
