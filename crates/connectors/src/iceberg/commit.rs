//! One change of a table: the steps from its present state to the catalog's answer.
//!
//! ```text
//! load ──> look (done already?) ──> write manifests ──> Catalog::commit ──> done
//!   ^                                                        │
//!   ├── rejected: remove what this try wrote, wait ──────────┤
//!   └── no answer: look for this try's snapshot first ───────┘
//! ```
//!
//! INVARIANT: whether a change is in the table is decided by looking at the table as it is now, inside
//! each try. So a change whose answer was lost may be begun again at any time: by the same call, by a
//! later one, by another process.
//!
//! What a try has written is removed only after it is proven that nothing refers to it. Data files
//! belong to the caller and are never removed here.

mod append;
mod expire;
mod replace;

pub use append::{AddedFile, Append, Appended, Mark, WriterName, mark_of};
pub use expire::{Expire, Expired};
pub use replace::{RemovedFile, Replace, Replaced};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iceberg::table::Table;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use millstream_core::env::Env;
use millstream_core::{Error, ErrorKind, Result};

use super::blocking::block_on;
use super::catalog::{Catalog, Committed};
use super::snapshot::ancestors;

/// Tries of one change before its caller is told to come back later.
const TRIES: u32 = 12;
/// The first wait between two tries; doubles up to `WAIT_MAX`, each less a random part.
const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Waits between tries.
pub trait Wait: Send + Sync {
    /// Returns after `time`, or at once where time is not real.
    fn wait(&self, time: Duration);
}

/// For tests and simulations: time does not pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWait;

impl Wait for NoWait {
    fn wait(&self, _: Duration) {}
}

/// Makes snapshots of the tables of one catalog.
pub struct Commits {
    catalog: Arc<dyn Catalog>,
    env: Arc<dyn Env>,
    wait: Arc<dyn Wait>,
    /// One change of a table at a time within this process, so that maintenance and sinks do not
    /// reject each other.
    turns: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Commits {
    /// Changes tables of `catalog`; does not wait between tries (see [`Commits::with_wait`]).
    pub fn new(catalog: Arc<dyn Catalog>, env: Arc<dyn Env>) -> Self {
        Self {
            catalog,
            env,
            wait: Arc::new(NoWait),
            turns: Mutex::default(),
        }
    }

    /// The same, waiting by `wait`.
    #[must_use]
    pub fn with_wait(self, wait: Arc<dyn Wait>) -> Self {
        Self { wait, ..self }
    }

    /// The catalog of its tables.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }

    /// Its clock and chance.
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }

    /// The table as it is now. `InvalidInput` if there is none.
    pub fn load(&self, table: &TableIdent) -> Result<Table> {
        let found = self.catalog.load(table)?;
        found.ok_or_else(|| Error::invalid(format!("there is no lake table `{table}`")))
    }

    /// Adds files in one snapshot, exactly once for each mark of a writer.
    ///
    /// `Conflict`: others were first in all tries, nothing changed. `Unavailable`: catalog or storage
    /// are down, or the answer was lost and cannot be had. After any error the same append can be
    /// called again later.
    pub fn append(&self, table: &TableIdent, append: &Append) -> Result<Appended> {
        self.run(table, &mut append::Appending { append })
    }

    /// Takes files out and puts others with the same rows in.
    ///
    /// After `Conflict` nothing was changed; after other errors it is not known whether the added
    /// files are in the table.
    pub fn replace(&self, table: &TableIdent, replace: &Replace) -> Result<Replaced> {
        self.run(table, &mut replace::Replacing { replace })
    }

    /// Removes old snapshots from the table's metadata; `None` if there are none. Deletes no file.
    pub fn expire(&self, table: &TableIdent, expire: &Expire) -> Result<Option<Expired>> {
        self.run(table, &mut expire::Expiring::new(expire))
    }

    fn turn(&self, table: &TableIdent) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().expect("no holder panics");
        Arc::clone(turns.entry(table.to_string()).or_default())
    }

    /// Waits before the next try: twice as long each time, less up to half of it by chance.
    fn back_off(&self, tried: u32) {
        let full = WAIT_MAX.min(WAIT_MIN.saturating_mul(1 << tried.min(10)));
        let spread = u64::try_from(full.as_millis() / 2).unwrap_or(1).max(1);
        let less = Duration::from_millis(self.env.random() % spread);
        self.wait.wait(full - less);
    }

    fn run<C: Change>(&self, ident: &TableIdent, change: &mut C) -> Result<C::Output> {
        let turn = self.turn(ident);
        // A thread that panicked with its turn has left nothing half done in memory.
        let _turn = turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut doubts = Doubts::default();
        let mut last = Error::bug("no try was made");
        for tried in 0..TRIES {
            match self.attempt(ident, change, &mut doubts) {
                Ok(Tried::Done(output)) => return Ok(output),
                Ok(Tried::Again(error)) => last = error,
                // What is not known cannot become an error that says that nothing happened.
                Err(error) if !doubts.is_empty() => last = error,
                Err(error) => return Err(error),
            }
            self.back_off(tried);
        }
        let kind = match doubts.is_empty() {
            true => ErrorKind::Conflict,
            false => ErrorKind::Unavailable,
        };
        let context = format!("table `{ident}`: gave up after tries={TRIES}");
        Err(Error::new(kind, format!("{context}: {last}")))
    }

    fn attempt<C: Change>(
        &self,
        ident: &TableIdent,
        change: &mut C,
        doubts: &mut Doubts,
    ) -> Result<Tried<C::Output>> {
        let base = self.load(ident)?;
        if doubts.is_answered(&base)
            && let Some(output) = change.found(&base)
        {
            return Ok(Tried::Done(output));
        }
        let prepared = match change.prepare(&base, &*self.env, !doubts.is_empty())? {
            Step::Done(output) => return Ok(Tried::Done(output)),
            Step::Commit(prepared) => prepared,
        };
        let requirements = requirements(&base);
        match self.catalog.commit(&base, requirements, prepared.updates) {
            Committed::Done(table) => {
                remove_old_metadata(&base, &table);
                Ok(Tried::Done(change.done(&base, table)))
            }
            Committed::Rejected(error) => {
                remove(&base, prepared.written);
                Ok(Tried::Again(error))
            }
            Committed::Failed(error) => {
                remove(&base, prepared.written);
                Err(error)
            }
            Committed::Unknown(error) => {
                doubts.add(prepared.snapshot_id);
                Ok(Tried::Again(error))
            }
        }
    }
}

/// A change of a table, as steps of one try.
pub(super) trait Change {
    /// What its caller gets.
    type Output;

    /// Decides by the fresh table what is to be done, and writes manifests for it. `is_in_doubt`: an
    /// earlier try got no answer and may still take effect.
    fn prepare(
        &mut self,
        base: &Table,
        env: &dyn Env,
        is_in_doubt: bool,
    ) -> Result<Step<Self::Output>>;

    /// A try that got no answer is in the table.
    fn found(&mut self, table: &Table) -> Option<Self::Output>;

    /// The catalog said yes.
    fn done(&mut self, base: &Table, table: Box<Table>) -> Self::Output;
}

/// What a try comes to.
pub(super) enum Step<T> {
    /// Nothing to do any more.
    Done(T),
    /// To be committed.
    Commit(Prepared),
}

/// A commit with its files written.
pub(super) struct Prepared {
    pub updates: Vec<TableUpdate>,
    /// Files to remove if it is rejected.
    pub written: Vec<String>,
    /// The snapshot that it makes.
    pub snapshot_id: Option<i64>,
}

enum Tried<T> {
    Done(T),
    Again(Error),
}

/// Tries whose answer was lost.
#[derive(Default)]
struct Doubts {
    snapshots: Vec<i64>,
    others: bool,
}

impl Doubts {
    fn add(&mut self, snapshot: Option<i64>) {
        match snapshot {
            Some(id) => self.snapshots.push(id),
            None => self.others = true,
        }
    }

    fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && !self.others
    }

    /// One of their snapshots is an ancestor of the table's present state.
    fn is_answered(&self, table: &Table) -> bool {
        let mut ancestors = ancestors(table.metadata());
        !self.snapshots.is_empty()
            && ancestors.any(|snapshot| self.snapshots.contains(&snapshot.snapshot_id()))
    }
}

/// The table is the same one, and nobody has moved its main branch.
fn requirements(base: &Table) -> Vec<TableRequirement> {
    let uuid = base.metadata().uuid();
    let main = TableRequirement::RefSnapshotIdMatch {
        r#ref: iceberg::spec::MAIN_BRANCH.to_owned(),
        snapshot_id: base.metadata().current_snapshot_id(),
    };
    vec![TableRequirement::UuidMatch { uuid }, main]
}

/// Removes files that nothing refers to. Best effort: what stays is an orphan.
pub(super) fn remove(table: &Table, paths: Vec<String>) {
    for path in paths {
        if let Err(error) = block_on(table.file_io().delete(&path)) {
            tracing::debug!(%path, %error, "an unused lake file stays until orphans are removed");
        }
    }
}

/// Metadata files that the commit has pushed out of the log, if the table asks for it.
fn remove_old_metadata(base: &Table, now: &Table) {
    const ASKED: &str = "write.metadata.delete-after-commit.enabled";
    if now
        .metadata()
        .properties()
        .get(ASKED)
        .is_none_or(|value| value != "true")
    {
        return;
    }
    let kept = now.metadata().metadata_log();
    let is_kept = |path: &str| {
        kept.iter().any(|log| log.metadata_file == path) || now.metadata_location() == Some(path)
    };
    let old = base.metadata().metadata_log().iter();
    let old = old
        .map(|log| log.metadata_file.clone())
        .filter(|path| !is_kept(path));
    remove(now, old.collect());
}

#[cfg(test)]
mod tests;
