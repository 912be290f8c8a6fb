//! [`Committer`]: the one that commits to a table in this process, for all sinks that write it.
//!
//! ```text
//! hand_over (each epoch) -> pending files -> tick: enough, or old enough -> merge -> append -> clean up
//! ```
//!
//! INVARIANT: pending epochs leave only after a snapshot was seen that holds them, in order of epochs.
//! What a commit has merged stays the same over its retries, so a lost answer is found again by its mark.
//!
//! CRASH: what a merge has written and no snapshot names is an orphan, which maintenance removes; so are
//! small data files whose rows a snapshot holds merged. Rest files are removed on the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ::iceberg::TableIdent;
use ::iceberg::table::Table;
use millstream_core::env::Env;
use millstream_core::storage::Storage;
use millstream_core::{Error, Result};

use super::commit::{Append, Appended, Commits, Mark, WriterName, mark_of};
use super::files::Files;
use super::merge::{Merged, merge};
use super::options::CommitSettings;
use super::pending::{Pending, PendingStore};
use super::staged::Payload;
use super::target::Target;
use super::writer::Names;

/// The longest pause after commits that fail.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Files below this part of the target size are merged in a commit.
const SMALL_PART: u64 = 16;

/// Commits to one table.
pub(super) struct Committer {
    pub ident: TableIdent,
    pub commits: Arc<Commits>,
    pub files: Files,
    storage: Arc<dyn Storage>,
    pub env: Arc<dyn Env>,
    writers: Mutex<BTreeMap<String, Arc<Writer>>>,
    /// Held while a commit is made: one at a time.
    committing: Mutex<()>,
}

/// What waits of one sink of one pipeline.
pub(super) struct Writer {
    name: WriterName,
    names: Names,
    store: PendingStore,
    state: Mutex<State>,
}

struct State {
    settings: CommitSettings,
    pending: BTreeMap<Mark, Waiting>,
    /// URIs of data files of the epoch that could not be handed over yet.
    offered: Vec<String>,
    /// The last epoch that the table was seen to hold.
    held: Option<Mark>,
    /// What was merged for a commit whose end is not known yet.
    ready: Option<Arc<Ready>>,
    tries: u32,
    /// Not before this moment after a failure.
    retry_at: Duration,
    error: Option<String>,
}

struct Waiting {
    created_ms: i64,
    bytes: u64,
    rows: u64,
    uris: Vec<String>,
    rest: Vec<String>,
}

/// A snapshot to be.
struct Ready {
    marks: Vec<Mark>,
    append: Append,
    garbage: Vec<String>,
    rest: Vec<String>,
}

/// What waits for a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingStatus {
    /// Epochs that no snapshot holds yet.
    pub epochs: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest was handed over, ms since 1970.
    pub oldest_ms: Option<i64>,
    /// Why the last commit failed, if it did.
    pub error: Option<String>,
}

impl Writer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// The last epoch that is handed over or in the table.
    pub fn last(&self) -> Option<Mark> {
        let state = self.state();
        let pending = state.pending.last_key_value().map(|(mark, _)| *mark);
        pending.max(state.held)
    }

    /// Paths of the rest files that wait.
    pub fn rest_paths(&self) -> BTreeSet<String> {
        let state = self.state();
        let rest = state
            .pending
            .values()
            .flat_map(|one| one.rest.iter().cloned());
        rest.collect()
    }

    /// Takes epochs up to `mark` for held: their pending files go.
    fn settle(&self, mark: Mark) -> Result<()> {
        let gone: Vec<Mark> = {
            let state = self.state();
            state
                .pending
                .range(..=mark)
                .map(|(mark, _)| *mark)
                .collect()
        };
        for one in gone {
            self.store.remove(one)?;
            self.state().pending.remove(&one);
        }
        let mut state = self.state();
        state.held = state.held.max(Some(mark));
        if state
            .ready
            .as_ref()
            .is_some_and(|ready| ready.append.mark <= mark)
        {
            state.ready = None;
        }
        Ok(())
    }

    fn is_due(&self, now_ms: i64, monotonic: Duration) -> bool {
        let state = self.state();
        let bytes: u64 = state.pending.values().map(|one| one.bytes).sum();
        let Some(oldest) = state.pending.values().map(|one| one.created_ms).min() else {
            return false;
        };
        let age_ms = u64::try_from(now_ms.saturating_sub(oldest)).unwrap_or(0);
        let is_enough = bytes >= state.settings.target_bytes || age_ms >= state.settings.max_age_ms;
        (is_enough || state.ready.is_some()) && monotonic >= state.retry_at
    }
}

impl Committer {
    pub fn new(
        ident: TableIdent,
        (commits, files): (Arc<Commits>, Files),
        storage: Arc<dyn Storage>,
        env: Arc<dyn Env>,
    ) -> Self {
        Self {
            ident,
            commits,
            files,
            storage,
            env,
            writers: Mutex::default(),
            committing: Mutex::default(),
        }
    }

    /// The writer of this name, with what an earlier process has left of it. `table`: as it is now.
    pub fn writer(
        &self,
        (name, names): (WriterName, Names),
        settings: CommitSettings,
        table: &Table,
    ) -> Result<Arc<Writer>> {
        let key = format!("{}/{}", names.pipeline, names.sink);
        let mut writers = self.writers();
        if let Some(writer) = writers.get(&key) {
            writer.state().settings = settings;
            return Ok(writer.clone());
        }
        let writer = Writer {
            store: PendingStore::new(self.storage.clone(), &names),
            name,
            names,
            state: Mutex::new(State {
                settings,
                pending: BTreeMap::new(),
                offered: vec![],
                held: None,
                ready: None,
                tries: 0,
                retry_at: Duration::ZERO,
                error: None,
            }),
        };
        let held = mark_of(table, &writer.name)?;
        for mark in writer.store.list()? {
            let pending = writer.store.read(mark)?;
            if Some(mark) <= held {
                // CRASH: between the snapshot and this. Its data files may be in the table.
                self.remove_rest(&pending.shards)?;
            }
            writer.state().pending.insert(mark, waiting(&pending));
        }
        if let Some(held) = held {
            writer.settle(held)?;
        }
        let writer = Arc::new(writer);
        writers.insert(key, writer.clone());
        Ok(writer)
    }

    fn remove_rest(&self, shards: &[Payload]) -> Result<()> {
        let rest = shards.iter().filter_map(|shard| shard.rest.as_ref());
        rest.into_iter()
            .try_for_each(|rest| self.storage.delete(&rest.path))
    }

    /// Makes an epoch durable as one that waits for a commit.
    ///
    /// # Errors
    /// `Unavailable` if too much waits already.
    pub fn hand_over(&self, writer: &Writer, mark: Mark, shards: Vec<Payload>) -> Result<()> {
        let pending = Pending {
            created_ms: self.env.now_ms(),
            shards,
        };
        {
            let mut state = writer.state();
            if Some(mark) <= state.held || state.pending.contains_key(&mark) {
                return Ok(());
            }
            // Until it is among those that wait; a manifest names them already.
            state.offered = waiting(&pending).uris;
            let waiting: u64 = state.pending.values().map(|one| one.bytes).sum();
            let bytes_max = state.settings.pending_bytes_max;
            if waiting > 0 && waiting + pending.bytes() > bytes_max {
                let why = state.error.as_deref().unwrap_or("commits are too slow");
                let message = format!(
                    "lake table `{}`: {waiting} bytes wait for a commit, expected at most \
                     {bytes_max}: {why}",
                    self.ident
                );
                return Err(Error::unavailable(message));
            }
        }
        writer.store.put(mark, &pending)?;
        let mut state = writer.state();
        state.pending.insert(mark, waiting(&pending));
        state.offered.clear();
        Ok(())
    }

    /// Commits what is due. The first error; others are kept with their writers.
    pub fn tick(&self) -> Result<()> {
        let (now_ms, monotonic) = (self.env.now_ms(), self.env.monotonic());
        let writers: Vec<Arc<Writer>> = self.writers().values().cloned().collect();
        let due = writers
            .iter()
            .filter(|writer| writer.is_due(now_ms, monotonic));
        let mut result = Ok(());
        for writer in due {
            result = result.and(self.flush(writer));
        }
        result
    }

    /// Commits all that waits.
    pub fn flush_all(&self) -> Result<()> {
        let writers: Vec<Arc<Writer>> = self.writers().values().cloned().collect();
        let mut result = Ok(());
        for writer in writers {
            result = result.and(self.flush(&writer));
        }
        result
    }

    /// Commits all that waits of a writer. After an error it waits still.
    pub fn flush(&self, writer: &Writer) -> Result<()> {
        let _one = self.committing.lock().expect("no holder panics");
        let flushed = self.commit_all(writer);
        let mut state = writer.state();
        match &flushed {
            Ok(()) => {
                state.tries = 0;
                state.error = None;
            }
            Err(error) => {
                let pause = Duration::from_millis(100) * (1 << state.tries.min(10));
                state.tries += 1;
                state.retry_at = self.env.monotonic() + pause.min(PAUSE_MAX);
                state.error = Some(error.to_string());
            }
        }
        flushed.map_err(|error| error.context(format!("lake table `{}`", self.ident)))
    }

    fn commit_all(&self, writer: &Writer) -> Result<()> {
        while let Some(ready) = self.ready(writer)? {
            let appended = match ready.append.files.is_empty() {
                // Rows that were all lost to a partition evolution cannot be: staged files have rows.
                true => return Err(Error::bug("a commit without files")),
                false => self.commits.append(&self.ident, &ready.append)?,
            };
            match appended {
                Appended::Done(_) => {
                    writer.settle(ready.append.mark)?;
                    self.clean_up(&ready);
                }
                Appended::AlreadyThere { found, .. } => {
                    // Which files the snapshot has is not known any more: rest files are ours alone.
                    writer.settle(found)?;
                    let rest = ready.rest.iter();
                    rest.into_iter()
                        .try_for_each(|path| self.storage.delete(path))?;
                }
                Appended::Partly { found, .. } => {
                    writer.state().ready = None;
                    writer.settle(found)?;
                }
            }
        }
        Ok(())
    }

    /// What is to be committed next; `None` if nothing waits.
    fn ready(&self, writer: &Writer) -> Result<Option<Arc<Ready>>> {
        if let Some(ready) = &writer.state().ready {
            return Ok(Some(ready.clone()));
        }
        let settings = writer.state().settings;
        // As much as makes full files; the rest comes with the next snapshot.
        let mut marks = vec![];
        let mut bytes = 0;
        for (mark, waiting) in &writer.state().pending {
            marks.push(*mark);
            bytes += waiting.bytes;
            if bytes >= settings.target_bytes.saturating_mul(4) {
                break;
            }
        }
        let Some(mark) = marks.last().copied() else {
            return Ok(None);
        };
        let mut shards = vec![];
        for mark in &marks {
            shards.extend(writer.store.read(*mark)?.shards);
        }
        let merged = self.merged(writer, mark, &shards, settings)?;
        let ready = Arc::new(Ready {
            append: Append {
                writer: writer.name.clone(),
                first: marks[0],
                mark,
                files: merged.files,
                properties: BTreeMap::new(),
            },
            garbage: merged.replaced,
            rest: merged.rest,
            marks,
        });
        writer.state().ready = Some(ready.clone());
        Ok(Some(ready))
    }

    fn merged(
        &self,
        writer: &Writer,
        mark: Mark,
        shards: &[Payload],
        settings: CommitSettings,
    ) -> Result<Merged> {
        let table = self.commits.load(&self.ident)?;
        let target = Arc::new(Target::new(&table, &self.files, settings.target_bytes)?);
        let Mark { incarnation, epoch } = mark;
        // Chance keeps apart what two processes have merged of the same epochs.
        let chance = self.env.random();
        let prefix = format!(
            "{}-c{incarnation}.{epoch}-{chance:016x}",
            writer.names.files
        );
        let small = settings.target_bytes / SMALL_PART;
        merge((&table, &target), &*self.storage, shards, (prefix, small))
    }

    /// Removes what no snapshot will ever name. Best effort: maintenance finds what stays.
    fn clean_up(&self, ready: &Ready) {
        for uri in &ready.garbage {
            if let Err(error) = self.files.delete(uri) {
                tracing::debug!(%uri, %error, "a merged file stays");
            }
        }
        for path in &ready.rest {
            if let Err(error) = self.storage.delete(path) {
                tracing::debug!(%path, %error, "a merged file stays");
            }
        }
        let (epochs, files) = (ready.marks.len(), ready.append.files.len());
        tracing::debug!(table = %self.ident, epochs, files, "committed to the lake");
    }

    /// URIs of data files that wait for a commit: no snapshot names them, and they are no orphans.
    pub fn protected(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for writer in self.writers().values() {
            let state = writer.state();
            found.extend(
                state
                    .pending
                    .values()
                    .flat_map(|one| one.uris.iter().cloned()),
            );
            found.extend(state.offered.iter().cloned());
            if let Some(ready) = &state.ready {
                let files = ready.append.files.iter();
                found.extend(files.map(|added| added.file.file_path().to_owned()));
            }
        }
        found
    }

    /// What names of data files begin with that writers of this process have made: of those, the ones
    /// that wait are known.
    pub fn prefixes(&self) -> Vec<String> {
        let writers = self.writers();
        writers
            .values()
            .map(|writer| format!("{}-", writer.names.files))
            .collect()
    }

    /// What waits of all writers.
    pub fn status(&self) -> PendingStatus {
        let mut status = PendingStatus::default();
        for writer in self.writers().values() {
            let state = writer.state();
            for waiting in state.pending.values() {
                status.epochs += 1;
                status.rows += waiting.rows;
                status.bytes += waiting.bytes;
                let oldest = status.oldest_ms.unwrap_or(i64::MAX);
                status.oldest_ms = Some(oldest.min(waiting.created_ms));
            }
            if status.error.is_none() {
                status.error.clone_from(&state.error);
            }
        }
        status
    }

    fn writers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Writer>>> {
        self.writers.lock().expect("no holder panics")
    }
}

fn waiting(pending: &Pending) -> Waiting {
    let files = pending.shards.iter().flat_map(|shard| &shard.files);
    let rest = pending
        .shards
        .iter()
        .filter_map(|shard| shard.rest.as_ref());
    Waiting {
        created_ms: pending.created_ms,
        bytes: pending.bytes(),
        rows: pending.rows(),
        uris: files.map(|file| file.uri.clone()).collect(),
        rest: rest.map(|rest| rest.path.clone()).collect(),
    }
}
