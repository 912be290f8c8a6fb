//! The sessions of all keys as intervals: joining, merging, firing. What they hold is with [`Groups`].
//!
//! The sessions of a key are a chain from the latest to the earliest. INVARIANT: those that are open do
//! not touch one another, so the chain is in order of starts and ends. Stragglers (see
//! [`session`](super)) wait apart, by their moment and key.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;

use millstream_core::Watermark;

use super::groups::Groups;
use super::keys::KeyTable;
use super::wheel::{NO_BUCKET, Wheel};
use super::{NONE, Span, index};
use crate::state::dirty::DirtySet;

/// See the module.
#[derive(Debug)]
pub struct Sessions {
    /// 1 if sessions must overlap to be one, 0 if it is enough that they touch.
    overlap_ms: i64,
    slots: Vec<Session>,
    free: Vec<u32>,
    wheel: Wheel,
    waiting: BTreeMap<(Watermark, u32), Vec<u32>>,
    /// The moment of each straggler that waits.
    moments: BTreeMap<u32, Watermark>,
    changed: DirtySet,
}

/// A session, or a straggler that waits. PERF: half a cache line.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// From its first row to the gap after its last.
    pub span: Span,
    /// Its key; none if the slot is free.
    pub key: u32,
    /// What [`Groups`] knows it by.
    pub content: u32,
    next: u32,
    /// The bucket of the wheel that it is in, or [`WAITING`], or [`FIRED`].
    due: u32,
}

/// It is a straggler that waits.
const WAITING: u32 = NO_BUCKET;
/// It is on its way out.
const FIRED: u32 = NO_BUCKET - 1;

/// Where a span belongs in the chain of its key.
enum Spot {
    /// In this session.
    In(u32),
    /// After this one, or first.
    After(u32),
}

impl Sessions {
    /// None yet. `touching`: whether it is enough that two touch to be one.
    pub fn new(gap_ms: i64, touching: bool) -> Self {
        Self {
            overlap_ms: i64::from(!touching),
            slots: vec![],
            free: vec![],
            wheel: Wheel::new(gap_ms),
            waiting: BTreeMap::new(),
            moments: BTreeMap::new(),
            changed: DirtySet::default(),
        }
    }

    /// A session.
    pub fn get(&self, at: u32) -> &Session {
        &self.slots[at as usize]
    }

    /// Of a straggler that waits: its moment.
    pub fn moment(&self, at: u32) -> Option<Watermark> {
        let is_waiting = self.get(at).due == WAITING;
        is_waiting.then(|| self.moments[&at])
    }

    /// Makes room for so many in all.
    pub fn reserve(&mut self, sessions: usize) {
        let more = sessions.saturating_sub(self.slots.len());
        self.slots.reserve(more);
    }

    /// PERF: asks for the memory of the first sessions of many keys at once, which then is at hand.
    pub fn look_ahead(&self, keys: &KeyTable, of: &[u32]) {
        let sessions = of
            .iter()
            .filter_map(|key| self.slots.get(keys.heads(*key).sessions as usize));
        black_box(sessions.fold(0, |all, session| all ^ session.next));
    }

    fn touches(&self, a: Span, b: Span) -> bool {
        a.start <= b.end.saturating_sub(self.overlap_ms)
            && b.start <= a.end.saturating_sub(self.overlap_ms)
    }

    /// Adds a row, or rows whose spans are connected, to the sessions that it touches, or makes one.
    pub fn join(
        &mut self,
        keys: &mut KeyTable,
        (key, span): (u32, Span),
        groups: &mut Groups,
    ) -> u32 {
        match self.spot(keys, (key, span), Watermark::MIN) {
            Spot::In(at) => {
                self.extend(at, span, groups);
                at
            }
            Spot::After(previous) => {
                let at = self.make((key, span), groups.make());
                self.link(keys, previous, at);
                at
            }
        }
    }

    /// Adds a straggler, which waits.
    pub fn wait(
        &mut self,
        keys: &mut KeyTable,
        (key, span, moment): (u32, Span, Watermark),
        groups: &mut Groups,
    ) -> u32 {
        // Two that touch at one moment will be in one session, whichever it is.
        let waiting = self.waiting.entry((moment, key)).or_default();
        let (mut waiting, mut known) = (std::mem::take(waiting), None);
        let mut span = span;
        waiting.retain(|at| {
            let other = self.slots[*at as usize];
            if !self.touches(other.span, span) {
                return true;
            }
            span = span.cover(other.span);
            let Some(first) = known else {
                known = Some(*at);
                return true;
            };
            let content = self.slots[first as usize].content;
            self.slots[first as usize].content = groups.merge(content, other.content);
            self.free(*at);
            keys.settle(key, 1);
            false
        });
        let at = known.unwrap_or_else(|| {
            let at = self.make((key, span), groups.make());
            self.slots[at as usize].due = WAITING;
            self.moments.insert(at, moment);
            waiting.push(at);
            keys.wait(key, 1);
            at
        });
        self.slots[at as usize].span = span;
        self.mark(at);
        self.waiting.insert((moment, key), waiting);
        at
    }

    /// The place of `span` among the sessions that `watermark` has not passed.
    fn spot(&self, keys: &KeyTable, (key, span): (u32, Span), watermark: Watermark) -> Spot {
        let (mut previous, mut at) = (NONE, keys.heads(key).sessions);
        while at != NONE {
            let session = &self.slots[at as usize];
            if session.span.is_passed(watermark) {
                break;
            }
            if self.touches(session.span, span) {
                return Spot::In(at);
            }
            if session.span.end < span.end {
                break;
            }
            previous = at;
            at = session.next;
        }
        Spot::After(previous)
    }

    /// Makes a session longer, and one with those before it that it touches then. None of them is
    /// passed: they were open to the same row.
    fn extend(&mut self, at: u32, span: Span, groups: &mut Groups) {
        let session = self.slots[at as usize];
        let mut span = session.span.cover(span);
        let (mut content, mut next) = (session.content, session.next);
        while next != NONE {
            let before = self.slots[next as usize];
            if !self.touches(before.span, span) {
                break;
            }
            span = span.cover(before.span);
            content = groups.merge(content, before.content);
            self.free(next);
            next = before.next;
        }
        let session = &mut self.slots[at as usize];
        session.span = span;
        session.content = content;
        session.next = next;
        self.mark(at);
    }

    fn make(&mut self, (key, span): (u32, Span), content: u32) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| index(self.slots.len()));
        let session = Session {
            span,
            key,
            content,
            next: NONE,
            due: FIRED,
        };
        match self.slots.get_mut(at as usize) {
            Some(free) => *free = session,
            None => self.slots.push(session),
        }
        self.mark(at);
        at
    }

    fn free(&mut self, at: u32) {
        self.stop_waiting(at);
        self.slots[at as usize].key = NONE;
        self.free.push(at);
    }

    fn stop_waiting(&mut self, at: u32) {
        if self.slots[at as usize].due == WAITING {
            self.slots[at as usize].due = FIRED;
            self.moments.remove(&at);
        }
    }

    /// Puts a session into the chain of its key, after `previous`, and on the wheel.
    fn link(&mut self, keys: &mut KeyTable, previous: u32, at: u32) {
        self.stop_waiting(at);
        let Session { key, span, .. } = self.slots[at as usize];
        let next = match previous {
            NONE => &mut keys.heads_mut(key).sessions,
            previous => &mut self.slots[previous as usize].next,
        };
        let next = std::mem::replace(next, at);
        self.slots[at as usize].next = next;
        self.slots[at as usize].due = self.wheel.push(span.end, at);
    }

    fn unlink(&mut self, keys: &mut KeyTable, at: u32) {
        let Session { key, next, .. } = self.slots[at as usize];
        let head = &mut keys.heads_mut(key).sessions;
        if *head == at {
            *head = next;
            return;
        }
        let mut previous = *head;
        while self.slots[previous as usize].next != at {
            previous = self.slots[previous as usize].next;
        }
        self.slots[previous as usize].next = next;
    }

    fn mark(&mut self, at: u32) {
        self.changed.mark(&[at]);
    }

    /// Lets the stragglers whose moment is before `watermark` join, in order: everything that comes
    /// before them is there now.
    pub fn settle(&mut self, keys: &mut KeyTable, watermark: Watermark, groups: &mut Groups) {
        let later = match watermark {
            Watermark::MAX => BTreeMap::new(),
            watermark => self.waiting.split_off(&(watermark, 0)),
        };
        let due = std::mem::replace(&mut self.waiting, later);
        for ((moment, key), mut stragglers) in due {
            keys.settle(key, index(stragglers.len()));
            // Of those of one moment, one may have come to its session only through another.
            while !stragglers.is_empty() {
                let before = stragglers.len();
                stragglers.retain(|at| !self.settle_one(keys, (*at, moment), groups));
                if stragglers.len() == before {
                    // Only rows that are on time come here, so each has a session that is open.
                    for at in stragglers.drain(..) {
                        self.link(keys, NONE, at);
                    }
                }
            }
        }
    }

    /// Whether the straggler is open at its moment, or has found a session that is.
    fn settle_one(
        &mut self,
        keys: &mut KeyTable,
        (at, moment): (u32, Watermark),
        groups: &mut Groups,
    ) -> bool {
        let Session {
            key, span, content, ..
        } = self.slots[at as usize];
        match self.spot(keys, (key, span), moment) {
            Spot::In(into) => {
                let session = self.slots[into as usize];
                let content = groups.merge(session.content, content);
                self.slots[into as usize].content = content;
                self.free(at);
                self.extend_open(into, (span, moment), groups);
            }
            Spot::After(_) if span.is_passed(moment) => return false,
            Spot::After(previous) => {
                self.mark(at);
                self.link(keys, previous, at);
            }
        }
        true
    }

    /// As [`Self::extend`], where sessions before it may be passed at `moment`: they stay.
    fn extend_open(&mut self, at: u32, (span, moment): (Span, Watermark), groups: &mut Groups) {
        let mut last = at;
        loop {
            let next = self.slots[last as usize].next;
            if next == NONE || self.slots[next as usize].span.is_passed(moment) {
                break;
            }
            last = next;
        }
        // The passed ones lie behind all that are open: they are cut off while the others merge.
        let passed = std::mem::replace(&mut self.slots[last as usize].next, NONE);
        self.extend(at, span, groups);
        let mut last = at;
        while self.slots[last as usize].next != NONE {
            last = self.slots[last as usize].next;
        }
        self.slots[last as usize].next = passed;
    }

    /// Takes out the sessions that `watermark` has passed. Their keys are released by [`Self::drop`].
    pub fn fire(&mut self, watermark: Watermark) -> Vec<u32> {
        let mut fired = vec![];
        for (bucket, sessions) in self.wheel.take(watermark) {
            for at in sessions {
                let Session { span, due, key, .. } = self.slots[at as usize];
                if key == NONE || due != bucket {
                    continue;
                }
                if span.is_passed(watermark) {
                    // No bucket has this number, so a second entry for it is passed over.
                    self.slots[at as usize].due = FIRED;
                    fired.push(at);
                } else {
                    self.slots[at as usize].due = self.wheel.push(span.end, at);
                }
            }
        }
        fired
    }

    /// Forgets these sessions.
    pub fn drop(&mut self, keys: &mut KeyTable, sessions: &[u32], groups: &mut Groups) {
        for at in sessions {
            let Session { key, content, .. } = self.slots[*at as usize];
            self.unlink(keys, *at);
            groups.release(content);
            self.free(*at);
            keys.release(key);
        }
    }

    /// Forgets stragglers whose moment `watermark` has passed: checkpoints may still hold them.
    pub fn drop_stragglers(
        &mut self,
        keys: &mut KeyTable,
        watermark: Watermark,
        groups: &mut Groups,
    ) {
        let later = match watermark {
            Watermark::MAX => BTreeMap::new(),
            watermark => self.waiting.split_off(&(watermark, 0)),
        };
        for ((_, key), stragglers) in std::mem::replace(&mut self.waiting, later) {
            keys.settle(key, index(stragglers.len()));
            for at in stragglers {
                groups.release(self.slots[at as usize].content);
                self.free(at);
            }
            keys.release(key);
        }
    }

    /// The session, or straggler, of exactly this span, in the place of all that it touches: state
    /// from a checkpoint, newer than what is there.
    pub fn replace(
        &mut self,
        keys: &mut KeyTable,
        (key, span, moment): (u32, Span, Option<Watermark>),
        groups: &mut Groups,
    ) -> u32 {
        let of_moment = moment.map(|moment| (moment, key));
        let known: Vec<u32> = match of_moment {
            Some(of_moment) => self.waiting.get(&of_moment).cloned().unwrap_or_default(),
            None => self.chain(keys, key).collect(),
        };
        let mut touched: Vec<u32> = known
            .into_iter()
            .filter(|at| self.touches(self.get(*at).span, span))
            .collect();
        if let [at] = touched[..]
            && self.get(at).span == span
        {
            return at;
        }
        if let Some(of_moment) = of_moment {
            let waiting = self.waiting.entry(of_moment).or_default();
            waiting.retain(|at| !touched.contains(at));
            keys.settle(key, index(touched.len()));
            for at in touched.drain(..) {
                groups.release(self.slots[at as usize].content);
                self.free(at);
            }
            return self.wait(keys, (key, span, of_moment.0), groups);
        }
        if touched.is_empty() {
            // PERF: mostly, where all state is put back.
            return self.join(keys, (key, span), groups);
        }
        // The key must not go with its last session.
        keys.wait(key, 1);
        self.drop(keys, &touched, groups);
        keys.settle(key, 1);
        self.join(keys, (key, span), groups)
    }

    fn chain(&self, keys: &KeyTable, key: u32) -> impl Iterator<Item = u32> {
        let first = Some(keys.heads(key).sessions).filter(|at| *at != NONE);
        std::iter::successors(first, |at| {
            Some(self.slots[*at as usize].next).filter(|at| *at != NONE)
        })
    }

    /// Everything, by number.
    pub fn all(&self) -> Vec<u32> {
        let live = self.slots.iter().enumerate();
        live.filter(|(_, session)| session.key != NONE)
            .map(|(at, _)| index(at))
            .collect()
    }

    /// What each session holds, to be renamed.
    pub fn contents_mut(&mut self) -> impl Iterator<Item = &mut u32> {
        let live = self.slots.iter_mut();
        let live = live.filter(|session| session.key != NONE);
        live.map(|session| &mut session.content)
    }

    /// Forgets everything; what it held must be forgotten by the caller.
    pub fn clear(&mut self, keys: &mut KeyTable) {
        keys.settle_all();
        for at in self.all() {
            let key = self.slots[at as usize].key;
            keys.heads_mut(key).sessions = NONE;
            keys.release(key);
        }
        self.slots.clear();
        self.free.clear();
        self.wheel.clear();
        self.waiting.clear();
        self.moments.clear();
        self.changed = DirtySet::default();
    }

    /// What changed since the last call and is still there.
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
        changed.retain(|at| self.slots[*at as usize].key != NONE);
        changed
    }

    /// How many places there are, free ones among them. What is there keeps its place.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Makes the next `take_changed` give what is in these places.
    pub fn mark_slots(&mut self, slots: Range<usize>) {
        let end = slots.end.min(self.slots.len());
        self.changed.mark_range(slots.start.min(end)..end);
    }

    /// Makes the next `take_changed` give everything, or nothing.
    pub fn mark_all(&mut self, changed: bool) {
        self.changed = DirtySet::default();
        if changed {
            self.changed.mark_all(self.slots.len());
        }
    }

    /// Number of sessions, stragglers included.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let indices = self.free.capacity() + 8 * self.waiting.len() + 4 * self.moments.len();
        self.slots.capacity() * size_of::<Session>()
            + indices * size_of::<u32>()
            + self.changed.size()
            + self.wheel.size()
    }
}
