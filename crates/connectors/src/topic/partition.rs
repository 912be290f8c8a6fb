//! [`Partition`]: an ordered sequence of records. Appends from many threads share an fsync.
//!
//! Group commit: an append is queued; its thread waits while another is writing. The first that
//! finds the [`Writer`] free takes it with everything queued by then (up to 16 MiB), writes, syncs,
//! leaves the outcomes for the others, and puts the writer back. So while one fsync runs the next
//! round gathers, and no thread of its own is needed.
//!
//! INVARIANT: [`View`] changes only after an fsync: readers see what is acknowledged, nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use millstream_core::env::Env;
use millstream_core::storage::Storage;
use millstream_core::{Error, Offset, Result};

use super::acknowledged::{AcknowledgedFile, acknowledged_path};
use super::producer::{Mark, Producers};
use super::recovery::recover;
use super::segment::Segment;
use super::status::PartitionStatus;
use super::writer::{Outcome, Request, Writer};

/// A round ends with the append that reaches this.
const ROUND_BYTES: usize = 16 << 20;

/// One partition of a topic.
pub(super) struct Partition {
    /// `topic-partition`, for messages and as the split's name.
    pub name: String,
    /// Ends in `/`.
    folder: String,
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    state: Mutex<State>,
    /// A round has ended.
    changed: Condvar,
    /// Up to where the file `acknowledged` was synced.
    synced: AtomicU64,
}

struct State {
    /// `None` while a thread writes.
    writer: Option<Writer>,
    queue: VecDeque<(Ticket, Request)>,
    next_ticket: u64,
    outcomes: BTreeMap<Ticket, Outcome>,
    view: View,
    /// Of the writer, for those who ask while it is taken.
    producers: Producers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// What can be read.
#[derive(Debug, Default)]
struct View {
    /// Segments that hold records, by base offset.
    segments: BTreeMap<u64, Arc<Segment>>,
    /// The next record's offset.
    end: u64,
}

impl View {
    fn start(&self) -> u64 {
        self.segments.keys().next().copied().unwrap_or(self.end)
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.length()).sum()
    }
}

/// What a partition is made of.
pub(super) struct PartitionParts<'a> {
    pub storage: Arc<dyn Storage>,
    pub env: Arc<dyn Env>,
    pub name: String,
    /// Ends in `/`.
    pub folder: &'a str,
    pub segment_bytes: u64,
}

impl Partition {
    /// Opens a partition that has these `files`; cuts a torn tail. `Corrupt` if acknowledged data
    /// is damaged.
    pub fn open(parts: PartitionParts<'_>, files: &[&str]) -> Result<Self> {
        let PartitionParts {
            storage,
            env,
            name,
            folder,
            segment_bytes,
        } = parts;
        let recovered = recover(&*storage, folder, files)?;
        let writer = Writer::new(storage.clone(), folder, segment_bytes, &recovered);
        let segments = recovered.segments.into_iter();
        let view = View {
            segments: segments.map(|segment| (segment.base, segment)).collect(),
            end: recovered.next,
        };
        let state = State {
            producers: writer.producers().clone(),
            writer: Some(writer),
            queue: VecDeque::new(),
            next_ticket: 0,
            outcomes: BTreeMap::new(),
            view,
        };
        Ok(Self {
            name,
            folder: folder.to_owned(),
            synced: AtomicU64::new(recovered.next),
            storage,
            env,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Appends, and returns once that is durable: the first record's offset, or `None` if the log
    /// held the producer's epoch already. Waits for appends before it.
    pub fn append(&self, request: Request) -> Outcome {
        let mut state = self.state();
        let ticket = Ticket(state.next_ticket);
        state.next_ticket += 1;
        state.queue.push_back((ticket, request));
        loop {
            if let Some(outcome) = state.outcomes.remove(&ticket) {
                return outcome;
            }
            state = match state.writer.take() {
                Some(writer) => self.run_round(state, writer),
                None => self.changed.wait(state).expect("no panic while locked"),
            };
        }
    }

    /// Writes what is queued, unlocked meanwhile.
    fn run_round<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut writer: Writer,
    ) -> MutexGuard<'a, State> {
        let (tickets, mut requests) = take_round(&mut state.queue);
        drop(state);
        let round = writer.write(&mut requests, self.env.now_ms());
        let mut state = self.state();
        match round {
            Ok(round) => {
                state
                    .outcomes
                    .extend(tickets.into_iter().zip(round.outcomes));
                state.view.end = round.end;
                if let Some(segment) = round.segment {
                    state.view.segments.insert(segment.base, segment);
                    state.producers = writer.producers().clone();
                }
                debug_assert_eq!(round.end, writer.next());
            }
            Err(error) => {
                let failed = tickets
                    .into_iter()
                    .map(|ticket| (ticket, Err(error.clone())));
                state.outcomes.extend(failed);
            }
        }
        state.writer = Some(writer);
        self.changed.notify_all();
        state
    }

    /// The first record that is still there, and the next that will be appended.
    pub fn range(&self) -> (u64, u64) {
        let view = &self.state().view;
        (view.start(), view.end)
    }

    /// The segment that holds `offset`, which is acknowledged. `InvalidInput` if retention has
    /// removed it, `Corrupt` if the log ends before it.
    pub fn segment_of(&self, offset: u64) -> Result<Arc<Segment>> {
        let state = self.state();
        self.check_offset(&state.view, offset)?;
        let segment = state.view.segments.range(..=offset).next_back();
        let segment = segment.map(|(_, segment)| segment.clone());
        segment.ok_or_else(|| Error::bug(format!("no segment of `{}` has {offset}", self.name)))
    }

    /// An error if reading cannot go on at `offset`: `InvalidInput` if retention has removed it,
    /// `Corrupt` if the log ends before it.
    pub fn check_readable(&self, offset: u64) -> Result<()> {
        self.check_offset(&self.state().view, offset)
    }

    fn check_offset(&self, view: &View, offset: u64) -> Result<()> {
        let (name, start, end) = (&self.name, view.start(), view.end);
        if offset < start {
            return Err(Error::invalid(format!(
                "offset {offset} of `{name}` is gone: retention has removed it, and the log begins \
                 at {start}; under a new `pipeline.name` a pipeline begins again, where \
                 `scan.startup.mode` says"
            )));
        }
        if offset > end {
            let folder = &self.folder;
            return Err(Error::corrupt(format!(
                "offset {offset} of `{name}` does not exist: the log ends at {end}, so records \
                 that were read before are missing: `{folder}` was damaged, removed or replaced; \
                 restore it from a backup, or go on from an epoch that had read no further with \
                 `run --from-epoch`, or begin again under a new `pipeline.name`"
            )));
        }
        Ok(())
    }

    /// The last epoch of the producer called `id`.
    pub fn last_epoch(&self, id: &str) -> Option<Mark> {
        self.state().producers.last(id)
    }

    /// Offsets and size.
    pub fn status(&self, partition: u32) -> PartitionStatus {
        let view = &self.state().view;
        PartitionStatus {
            partition,
            start: Offset(view.start()),
            end: Offset(view.end),
            bytes: view.bytes(),
        }
    }

    /// Removes old segments, never the active one; the number of bytes removed. A segment is too
    /// old once the first record of the one after it is.
    pub fn enforce_retention(
        &self,
        appended_before_ms: Option<i64>,
        bytes_max: Option<u64>,
    ) -> Result<u64> {
        let mut removed = 0;
        loop {
            let (oldest, second, bytes) = {
                let view = &self.state().view;
                let mut segments = view.segments.values().cloned();
                let (Some(oldest), Some(second)) = (segments.next(), segments.next()) else {
                    break;
                };
                (oldest, second, view.bytes())
            };
            let is_too_much = bytes_max.is_some_and(|max| bytes > max);
            let is_too_old = match appended_before_ms {
                Some(before_ms) if !is_too_much => {
                    second.first_time_ms(&*self.storage)? < before_ms
                }
                _ => false,
            };
            if !is_too_much && !is_too_old {
                break;
            }
            // CRASH: out of sight first, so nobody finds a file missing; a file that stays is
            // found on start and removed then.
            self.state().view.segments.remove(&oldest.base);
            self.storage.delete(&oldest.path)?;
            // What was once cut off its end.
            for kept in self.storage.list(&oldest.path)? {
                self.storage.delete(&kept)?;
            }
            removed += oldest.length();
        }
        Ok(removed)
    }

    /// Makes durable what is noted as acknowledged, if that has changed since the last time.
    pub fn sync_acknowledged(&self) -> Result<()> {
        let (_, end) = self.range();
        if self.synced.load(Ordering::Relaxed) == end {
            return Ok(());
        }
        AcknowledgedFile::sync(&*self.storage, &acknowledged_path(&self.folder))?;
        self.synced.store(end, Ordering::Relaxed);
        Ok(())
    }

    /// Appends that wait for a writer.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// Where its files are.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }
}

fn take_round(queue: &mut VecDeque<(Ticket, Request)>) -> (Vec<Ticket>, Vec<Request>) {
    let mut bytes = 0;
    let mut count = 0;
    while count < queue.len() && bytes < ROUND_BYTES {
        bytes += queue[count].1.bytes();
        count += 1;
    }
    queue.drain(..count).unzip()
}
