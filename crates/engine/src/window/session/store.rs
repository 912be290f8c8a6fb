//! All that one shard knows of the sessions of one aggregation: keys, intervals, contents.
//!
//! Rows come in with [`SessionStore::update`], state of other shards and of checkpoints with
//! [`SessionStore::absorb`]. At a barrier [`SessionStore::fire`] gives the sessions that are complete, or
//! [`SessionStore::give_away`] all of them to the shards that own their keys.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{Int64Type, UInt32Type};
use millstream_core::{Error, Result, Watermark};

use super::groups::Member;
use super::keys::hash_of;
use super::lanes::LaneKey;
use super::shape::LANE_KEYS;
use super::{Groups, KeyTable, Lanes, SessionShape, Sessions, Span, index};
use crate::state::Input;
use crate::state::group_table::Keys;

/// See the module.
pub struct SessionStore {
    shape: Arc<SessionShape>,
    keys: KeyTable,
    sessions: Sessions,
    lanes: Lanes,
    groups: Groups,
    splits: Vec<Box<str>>,
    /// Sessions and lanes that checkpoints must be given once more.
    to_repeat: [Range<usize>; 2],
    /// PERF: the columns of state that mostly say nothing, once for all batches: `moment` of sessions, and
    /// `grouping_set` where there is one.
    blanks: [ArrayRef; 2],
}

/// A kind of state (see [`SessionShape`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Sessions.
    Sessions,
    /// Rows that wait for their moment.
    Stragglers,
    /// What makes rows late.
    Lanes,
}

/// Rows of a batch.
pub struct SessionRows<'a> {
    /// Their event times in ms.
    pub times: &'a [i64],
    /// The columns of GROUP BY.
    pub keys: &'a [ArrayRef],
    /// What their sessions are of, encoded, and the hash of each.
    pub sessions: (&'a Keys, &'a [u64]),
    /// Which of them to take, in order.
    pub chosen: &'a [u32],
    /// The split that they came from, and its watermark before each; `None`: results of windows, of
    /// which none is late.
    pub split: Option<(&'a str, &'a dyn Fn(usize) -> Watermark)>,
}

/// Lanes on their way in.
pub struct LaneRows<'a> {
    /// As they travel (see [`SessionShape`]).
    pub rows: &'a RecordBatch,
    /// What they are of, encoded, and the hash of each.
    pub keys: (&'a Keys, &'a [u64]),
    /// Which of them to take, in order.
    pub chosen: &'a [u32],
}

/// Takes a row that is late: its number, its own span, its split's watermark before it.
pub type OnLate<'a> = &'a mut dyn FnMut(usize, Span, Watermark);

/// Sessions that have fired, as columns.
pub struct Results {
    /// Their spans.
    pub spans: Vec<Span>,
    /// Their grouping sets.
    pub sets: Vec<usize>,
    /// The columns of GROUP BY, then one for each aggregate.
    pub columns: Vec<ArrayRef>,
}

/// How many keys are looked up before the first is needed. PERF: what hangs on so many fits into the cache
/// of a core.
const LOOK_AHEAD: usize = 1_024;
/// Most rows of a batch of state. PERF: a column of numbers is 64 KiB, which stays in the cache while it is
/// made, sent or compressed, and whose memory is used again for the next.
const STATE_ROWS: usize = 8_192;

impl SessionStore {
    /// Nothing yet.
    pub fn new(shape: Arc<SessionShape>) -> Result<Self> {
        Ok(Self {
            keys: KeyTable::default(),
            sessions: Sessions::new(shape.gap_ms(), shape.is_touching()),
            lanes: Lanes::new(shape.gap_ms()),
            groups: Groups::new(shape.clone())?,
            splits: vec![],
            to_repeat: [0..0, 0..0],
            blanks: [
                Arc::new(Int64Array::new_null(STATE_ROWS)),
                Arc::new(UInt32Array::from_value(0, STATE_ROWS)),
            ],
            shape,
        })
    }

    fn split(&mut self, name: &str) -> u32 {
        let known = self.splits.iter().position(|split| **split == *name);
        index(known.unwrap_or_else(|| {
            self.splits.push(name.into());
            self.splits.len() - 1
        }))
    }

    /// Aggregates the rows that are on time.
    pub fn update(
        &mut self,
        rows: &SessionRows<'_>,
        inputs: &[Input<'_>],
        on_late: OnLate<'_>,
    ) -> Result<()> {
        let count = rows.chosen.len();
        let (encoded, hashes) = rows.sessions;
        let group_keys = self.group_keys(rows.keys, rows.times.len())?;
        let split = rows.split.map(|(name, at)| (self.split(name), at));
        let mut kept: Vec<u32> = Vec::with_capacity(count);
        let mut groups = vec![Vec::with_capacity(count); self.shape.sets()];
        let mut keys = vec![];
        for chosen in rows.chosen.chunks(LOOK_AHEAD) {
            let chosen = chosen.iter().map(|row| *row as usize);
            let before = kept.len();
            let of_rows = chosen.clone().map(|row| (hashes[row], encoded.get(row)));
            self.look_up(of_rows, &mut keys);
            self.lanes.look_ahead(&self.keys, &keys);
            for (row, key) in chosen.zip(&keys) {
                let (time, key) = (rows.times[row], *key);
                let split = split.map(|(split, watermark)| (split, watermark(row)));
                let Some(content) = self.content(key, time, split) else {
                    let (_, watermark) = split.expect("only rows of a split are late");
                    on_late(row, self.span(time), watermark);
                    continue;
                };
                for (set, groups) in groups.iter_mut().enumerate() {
                    let key = group_keys.get(set).map_or(&[][..], |keys| keys.get(row));
                    groups.push(self.groups.group(content, (set, key)));
                }
                kept.push(index(row));
            }
            if kept.len() - before < keys.len() {
                // Nothing may hang on the keys of late rows.
                keys.iter().for_each(|key| self.keys.release(*key));
            }
        }
        let rows = (kept.len() < rows.times.len()).then_some(kept.as_slice());
        let inputs: Vec<Input<'_>> = inputs
            .iter()
            .map(|input| Input { rows, ..*input })
            .collect();
        for groups in &groups {
            self.groups.update(&inputs, groups)?;
        }
        Ok(())
    }

    /// The numbers of keys, each given with its hash, and their sessions brought close.
    fn look_up<'a>(
        &mut self,
        keys: impl Iterator<Item = (u64, &'a [u8])> + Clone,
        numbers: &mut Vec<u32>,
    ) {
        self.keys.intern_all(keys, numbers);
        self.sessions.look_ahead(&self.keys, numbers);
    }

    fn span(&self, time: i64) -> Span {
        Span {
            start: time,
            end: time.saturating_add(self.shape.gap_ms()),
        }
    }

    /// What the session of a row holds; none if the row is late. `split` is its split, and the split's
    /// watermark before it.
    fn content(&mut self, key: u32, time: i64, split: Option<(u32, Watermark)>) -> Option<u32> {
        let span = self.span(time);
        if let Some((split, watermark)) = split {
            let of = LaneKey { key, split };
            if !self.lanes.accept(&mut self.keys, of, (span, watermark)) {
                return None;
            }
        }
        let moment = split.map(|(_, watermark)| watermark);
        // A row ahead of the watermark finds nothing that is passed.
        let moment = moment.filter(|moment| time <= moment.0.saturating_add(1));
        Some(self.place(key, span, moment))
    }

    /// The encoded columns of GROUP BY by grouping set; none where they are those of the session.
    fn group_keys(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<Keys>> {
        if self.shape.is_single() {
            return Ok(vec![]);
        }
        let sets = 0..self.shape.sets();
        sets.map(|set| self.shape.encode_groups(keys, set, rows))
            .collect()
    }

    /// What the session holds that a span goes to.
    fn place(&mut self, key: u32, span: Span, moment: Option<Watermark>) -> u32 {
        let (keys, groups) = (&mut self.keys, &mut self.groups);
        let session = match moment {
            None => self.sessions.join(keys, (key, span), groups),
            Some(moment) => self.sessions.wait(keys, (key, span, moment), groups),
        };
        self.sessions.get(session).content
    }

    /// Takes state in: adds it, or puts it back from a checkpoint (`restore`), oldest first.
    pub fn absorb(&mut self, part: Part, rows: &RecordBatch, restore: bool) -> Result<()> {
        match part {
            Part::Sessions | Part::Stragglers => self.absorb_sessions(rows, restore),
            Part::Lanes => {
                let count = rows.num_rows();
                let keys = self
                    .shape
                    .encode_lanes(&rows.columns()[LANE_KEYS..], count)?;
                let hashes: Vec<u64> = (0..count).map(|row| hash_of(keys.get(row))).collect();
                let chosen: Vec<u32> = (0..index(count)).collect();
                let (keys, chosen) = ((&keys, &hashes[..]), &chosen[..]);
                self.absorb_lanes(&LaneRows { rows, keys, chosen }, restore)
            }
        }
    }

    fn absorb_sessions(&mut self, rows: &RecordBatch, restore: bool) -> Result<()> {
        let shape = self.shape.clone();
        let keys = shape.keys_of(rows);
        let count = rows.num_rows();
        let encoded = shape.encode_sessions(keys, count)?;
        let group_keys = self.group_keys(keys, count)?;
        let spans = spans(rows);
        let moments = rows.column(3).as_primitive::<Int64Type>();
        let sets = rows.column(4).as_primitive::<UInt32Type>().values();
        let mut groups = Vec::with_capacity(count);
        let mut numbers = vec![];
        for (chunk, spans) in spans.chunks(LOOK_AHEAD).enumerate() {
            let first = chunk * LOOK_AHEAD;
            let of_rows = (first..first + spans.len()).map(|row| encoded.get(row));
            let hashes: Vec<u64> = of_rows.clone().map(hash_of).collect();
            self.look_up(hashes.into_iter().zip(of_rows), &mut numbers);
            for (at, (key, span)) in numbers.iter().zip(spans).enumerate() {
                let row = first + at;
                let moment = moments.is_valid(row).then(|| Watermark(moments.value(row)));
                let of = (*key, *span, moment);
                let content = match restore {
                    false => self.place(*key, *span, moment),
                    true => {
                        let session = self.sessions.replace(&mut self.keys, of, &mut self.groups);
                        self.sessions.get(session).content
                    }
                };
                let set = sets[row] as usize;
                let key = group_keys.get(set).map_or(&[][..], |keys| keys.get(row));
                groups.push(self.groups.group(content, (set, key)));
            }
        }
        self.groups
            .absorb(shape.states_of(rows), &groups, restore)?;
        if restore {
            self.sessions.mark_all(false);
        }
        Ok(())
    }

    /// Takes lanes in: adds them, or puts them back from a checkpoint (`restore`).
    pub fn absorb_lanes(&mut self, lanes: &LaneRows<'_>, restore: bool) -> Result<()> {
        let (splits, spans) = (self.splits_of(lanes.rows)?, spans(lanes.rows));
        let (encoded, hashes) = lanes.keys;
        let mut keys = vec![];
        for chosen in lanes.chosen.chunks(LOOK_AHEAD) {
            let chosen = chosen.iter().map(|row| *row as usize);
            let of_rows = chosen.clone().map(|row| (hashes[row], encoded.get(row)));
            self.keys.intern_all(of_rows, &mut keys);
            self.lanes.look_ahead(&self.keys, &keys);
            for (row, key) in chosen.zip(&keys) {
                let (key, split) = (*key, splits[row]);
                let of = LaneKey { key, split };
                self.lanes.put(&mut self.keys, of, spans[row]);
            }
        }
        if restore {
            self.lanes.mark_all(false);
        }
        Ok(())
    }

    /// The number of each lane's split.
    fn splits_of(&mut self, lanes: &RecordBatch) -> Result<Vec<u32>> {
        let mut last = None;
        let names = lanes.column(3).as_string::<i32>().iter();
        let splits = names.map(|name| {
            last = name.map(|name| self.split(name)).or(last);
            last.ok_or_else(|| Error::bug("the first lane names no split"))
        });
        splits.collect()
    }

    /// Makes room for so many sessions or lanes.
    pub fn reserve(&mut self, part: Part, rows: usize) {
        self.keys.reserve(rows);
        match part {
            Part::Sessions => self.sessions.reserve(rows),
            Part::Stragglers => {}
            Part::Lanes => self.lanes.reserve(rows),
        }
    }

    /// The sessions that `watermark` has passed. [`Self::drop`] forgets them.
    pub fn fire(&mut self, watermark: Watermark) -> Result<Vec<u32>> {
        self.sessions
            .settle(&mut self.keys, watermark, &mut self.groups);
        self.groups.settle()?;
        Ok(self.sessions.fire(watermark))
    }

    /// What these sessions come to.
    pub fn results(&mut self, sessions: &[u32]) -> Result<Results> {
        let members = self.members(sessions);
        let spans = members.iter().map(|m| self.sessions.get(m.session).span);
        let spans = spans.collect();
        let sets = members.iter().map(|member| member.set).collect();
        let groups: Vec<u32> = members.iter().map(|member| member.group).collect();
        let mut columns = self.key_columns(&members)?;
        columns.extend(self.groups.finish(&groups)?);
        Ok(Results {
            spans,
            sets,
            columns,
        })
    }

    /// Forgets sessions.
    pub fn drop(&mut self, sessions: &[u32]) {
        self.sessions
            .drop(&mut self.keys, sessions, &mut self.groups);
    }

    /// Forgets what makes no row late any more.
    pub fn expire(&mut self, watermark: Watermark) {
        self.lanes.expire(&mut self.keys, watermark);
    }

    /// Gives the memory of groups that are gone back, if there are many.
    pub fn pack(&mut self) -> Result<()> {
        self.groups.settle()?;
        self.groups.pack(self.sessions.contents_mut())
    }

    fn members(&self, sessions: &[u32]) -> Vec<Member> {
        let mut members = Vec::with_capacity(sessions.len());
        for session in sessions {
            let content = self.sessions.get(*session).content;
            self.groups.members((*session, content), &mut members);
        }
        members
    }

    fn key_columns(&self, members: &[Member]) -> Result<Vec<ArrayRef>> {
        let keys = members.iter().map(|member| match self.groups.key(member) {
            Some(key) => key,
            None => self.keys.bytes(self.sessions.get(member.session).key),
        });
        self.shape.decode_groups(keys)
    }

    /// Rows of state for these sessions and stragglers.
    fn states(&mut self, sessions: &[u32]) -> Result<Vec<(Part, RecordBatch)>> {
        let is_session = |at: &u32| self.sessions.moment(*at).is_none();
        let (settled, waiting): (Vec<u32>, Vec<u32>) =
            sessions.iter().copied().partition(is_session);
        let mut batches = vec![];
        for (part, sessions) in [(Part::Sessions, settled), (Part::Stragglers, waiting)] {
            for sessions in sessions.chunks(STATE_ROWS) {
                for members in self.members(sessions).chunks(STATE_ROWS) {
                    batches.push((part, self.state_rows(members)?));
                }
            }
        }
        Ok(batches)
    }

    fn state_rows(&mut self, members: &[Member]) -> Result<RecordBatch> {
        let sessions = members.iter().map(|m| self.sessions.get(m.session));
        let starts = Int64Array::from_iter_values(sessions.clone().map(|s| s.span.start));
        let ends = Int64Array::from_iter_values(sessions.clone().map(|s| s.span.end));
        let ends: ArrayRef = Arc::new(ends);
        let moment = |member: &Member| self.sessions.moment(member.session);
        let is_waiting = members.iter().any(|member| moment(member).is_some());
        let blank = |column: usize| self.blanks[column].slice(0, members.len());
        let (needed_until, moments): (ArrayRef, ArrayRef) = match is_waiting {
            // Sessions and stragglers are not in one batch.
            false => (ends.clone(), blank(0)),
            true => {
                let moments = members.iter().map(|m| moment(m).map(|moment| moment.0));
                // Passed by the first watermark after it: then it has settled.
                let until = moments.clone().flatten();
                let until = Int64Array::from_iter_values(until.map(|ms| ms.saturating_add(2)));
                (Arc::new(until), Arc::new(moments.collect::<Int64Array>()))
            }
        };
        let sets: ArrayRef = match self.shape.sets() {
            1 => blank(1),
            _ => Arc::new(UInt32Array::from_iter_values(
                members.iter().map(|m| index(m.set)),
            )),
        };
        let mut columns: Vec<ArrayRef> = vec![needed_until, Arc::new(starts), ends, moments, sets];
        columns.extend(self.key_columns(members)?);
        let groups: Vec<u32> = members.iter().map(|member| member.group).collect();
        columns.extend(self.groups.states(&groups)?);
        Ok(RecordBatch::try_new(self.shape.schema().clone(), columns)?)
    }

    fn lane_rows(&self, lanes: &[u32]) -> Result<RecordBatch> {
        let lanes = lanes.iter().map(|at| self.lanes.get(*at));
        let starts = Int64Array::from_iter_values(lanes.clone().map(|(_, span)| span.start));
        let ends = Int64Array::from_iter_values(lanes.clone().map(|(_, span)| span.end));
        let ends: ArrayRef = Arc::new(ends);
        // PERF: names are long, and mostly the same.
        let mut last = None;
        let splits = lanes.clone().map(|(of, _)| {
            let is_other = last.replace(of.split) != Some(of.split);
            is_other.then(|| &*self.splits[of.split as usize])
        });
        let mut columns: Vec<ArrayRef> = vec![
            ends.clone(),
            Arc::new(starts),
            ends,
            Arc::new(StringArray::from_iter(splits)),
        ];
        let keys = lanes.map(|(of, _)| self.keys.bytes(of.key));
        columns.extend(self.shape.decode_sessions(keys)?);
        let schema = self.shape.lane_schema().clone();
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// All sessions, by the shard that owns their key; they are gone from here.
    pub fn give_away(&mut self, shards: usize) -> Result<Vec<Vec<(Part, RecordBatch)>>> {
        self.groups.settle()?;
        let mut owned = vec![vec![]; shards];
        for session in self.sessions.all() {
            let key = self.sessions.get(session).key;
            owned[self.keys.owner(key, shards)].push(session);
        }
        let states: Result<_> = owned.iter().map(|sessions| self.states(sessions)).collect();
        self.sessions.clear(&mut self.keys);
        self.groups.clear()?;
        states
    }

    /// What changed since the last call: what a checkpoint must add.
    pub fn changes(&mut self) -> Result<Vec<(Part, RecordBatch)>> {
        self.groups.settle()?;
        let changed = self.sessions.take_changed();
        let mut changes = self.states(&changed)?;
        let lanes = self.lanes.take_changed();
        changes.extend(self.lane_batches(&lanes)?);
        Ok(changes)
    }

    /// About `rows` rows of what changed since they were given, and takes them off `rows`.
    pub fn some_changes(&mut self, rows: &mut usize) -> Result<Vec<(Part, RecordBatch)>> {
        self.groups.settle()?;
        let changed = self.sessions.take_some_changed(*rows);
        *rows = rows.saturating_sub(changed.len());
        let mut changes = self.states(&changed)?;
        changes.extend(self.some_lanes(rows)?);
        Ok(changes)
    }

    /// The same of lanes alone.
    pub fn some_lanes(&mut self, rows: &mut usize) -> Result<Vec<(Part, RecordBatch)>> {
        let changed = self.lanes.take_some_changed(*rows);
        *rows = rows.saturating_sub(changed.len());
        self.lane_batches(&changed)
    }

    fn lane_batches(&self, lanes: &[u32]) -> Result<Vec<(Part, RecordBatch)>> {
        let chunks = lanes.chunks(STATE_ROWS);
        chunks
            .map(|lanes| Ok((Part::Lanes, self.lane_rows(lanes)?)))
            .collect()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many sessions, and how many lanes, changed since they were given.
    pub fn changed(&self) -> (usize, usize) {
        (self.sessions.changed(), self.lanes.changed())
    }

    /// All that makes rows late.
    pub fn all_lanes(&mut self) -> Result<Vec<(Part, RecordBatch)>> {
        self.lanes.mark_all(true);
        let lanes = self.lanes.take_changed();
        self.lane_batches(&lanes)
    }

    /// Drops what had fired, settled or expired at `watermark`: checkpoints may still hold it.
    pub fn drop_fired(&mut self, watermark: Watermark) {
        self.sessions
            .drop_stragglers(&mut self.keys, watermark, &mut self.groups);
        let fired = self.sessions.fire(watermark);
        self.drop(&fired);
        self.lanes.expire(&mut self.keys, watermark);
    }

    /// Makes the next `changes` carry everything.
    pub fn forget_checkpoints(&mut self) {
        self.sessions.mark_all(true);
        self.lanes.mark_all(true);
    }

    /// Begins to give everything once more, in pieces, while changes go on.
    pub fn begin_to_repeat(&mut self) {
        self.to_repeat = [0..self.sessions.slots(), 0..self.lanes.slots()];
    }

    /// Lets the next `changes` carry a piece of it, and takes its rows off `rows`. Whether it was the last.
    pub fn repeat(&mut self, rows: &mut usize) -> bool {
        let mut pieces = self.to_repeat.iter_mut().map(|to_repeat| {
            let piece = to_repeat.len().min(*rows);
            *rows -= piece;
            let start = to_repeat.start;
            to_repeat.start += piece;
            start..to_repeat.start
        });
        let mut next = || pieces.next().expect("there are two");
        let (sessions, lanes) = (next(), next());
        self.sessions.mark_slots(sessions);
        self.lanes.mark_slots(lanes);
        self.to_repeat.iter().all(|to_repeat| to_repeat.is_empty())
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        self.keys.size() + self.sessions.size() + self.lanes.size() + self.groups.size()
    }
}

fn spans(rows: &RecordBatch) -> Vec<Span> {
    let starts = rows.column(1).as_primitive::<Int64Type>().values();
    let ends = rows.column(2).as_primitive::<Int64Type>().values();
    let spans = starts.iter().zip(ends);
    spans
        .map(|(start, end)| Span {
            start: *start,
            end: *end,
        })
        .collect()
}
