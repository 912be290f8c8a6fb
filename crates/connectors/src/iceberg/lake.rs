//! [`Lake`]: the catalogs and tables that a process has open, and what it does for them in the
//! background.
//!
//! ```text
//! open(config) -> sink(plan) …  tick: commits what is due     close: commits all that waits
//! ```
//!
//! Nothing is opened before a table needs it: a process without lake tables has no catalog.

mod open;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use ::iceberg::TableIdent;
use millstream_core::env::Env;
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::sink::Sink;
use millstream_core::source::Source;
use millstream_core::storage::Storage;
use millstream_core::{Error, ErrorKind, Result};

pub use self::open::OpenCatalog;
use super::commit::Commits;
use super::commit::Wait;
use super::committer::{Committer, PendingStatus};
use super::files::Files;
use super::options::{TableOptions, definition};
use super::sink::LakeSink;
use super::source::LakeSource;
use super::target::Target;

/// Where the id of a data directory is, among those that write the same tables.
const ID: &str = "lake/id";

/// What a process says of its lake, with nothing left to decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LakeConfig {
    /// The data directory, for the catalog and the warehouse that are the default. `None`: they are in
    /// the storage itself, under names that only this process understands.
    pub data_dir: Option<PathBuf>,
    /// `catalog-type`, `uri`, `warehouse`, `catalog-name`, `token`, `credential`, `scope`,
    /// `oauth2-server-uri`, `s3.endpoint`, `s3.region`, `s3.path-style-access`. What a table says wins.
    pub options: BTreeMap<String, String>,
}

/// The lake tables of a process.
pub struct Lake {
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    config: LakeConfig,
    wait: Option<Arc<dyn Wait>>,
    id: OnceLock<String>,
    /// By what was said of them.
    catalogs: Mutex<BTreeMap<BTreeMap<String, String>, OpenCatalog>>,
    committers: Mutex<Vec<Arc<Committer>>>,
}

/// A table that this process writes.
pub struct OpenTable {
    /// Its name.
    pub ident: TableIdent,
    /// How it is changed.
    pub commits: Arc<Commits>,
    /// Where its files are.
    pub files: Files,
    /// URIs of data files that wait for a commit: no snapshot names them, and they are no orphans.
    pub protected: BTreeSet<String>,
    /// What names of data files begin with whose writers are in this process: of those, all that wait
    /// are `protected`. Files of sinks with other names may wait in another process.
    pub prefixes: Vec<String>,
    /// What waits.
    pub pending: PendingStatus,
}

impl Lake {
    /// A lake whose pipelines keep what waits for commits in `storage`.
    pub fn open(config: LakeConfig, storage: Arc<dyn Storage>, env: Arc<dyn Env>) -> Self {
        Self {
            storage,
            env,
            config,
            wait: None,
            id: OnceLock::new(),
            catalogs: Mutex::default(),
            committers: Mutex::default(),
        }
    }

    /// The same, with real pauses between tries to commit.
    #[must_use]
    pub fn with_wait(mut self, wait: Arc<dyn Wait>) -> Self {
        self.wait = Some(wait);
        self
    }

    /// The catalog that tables have which name none.
    ///
    /// # Errors
    /// `InvalidInput` for a configuration that leads nowhere; `Unavailable` if it does not answer.
    pub fn catalog(&self) -> Result<OpenCatalog> {
        self.catalog_of(&BTreeMap::new())
    }

    /// [`Lake::catalog`], unless it would be made by that: then there are no tables yet.
    ///
    /// # Errors
    /// As [`Lake::catalog`].
    pub fn existing(&self) -> Result<Option<OpenCatalog>> {
        match self.is_there()? {
            true => self.catalog().map(Some),
            false => Ok(None),
        }
    }

    /// The catalog of a table with these options.
    pub(super) fn catalog_of(&self, options: &BTreeMap<String, String>) -> Result<OpenCatalog> {
        let mut resolved = self.config.options.clone();
        resolved.extend(options.clone());
        let mut catalogs = self.catalogs.lock().expect("no holder panics");
        if let Some(catalog) = catalogs.get(&resolved) {
            return Ok(catalog.clone());
        }
        let catalog = self.open_catalog(&resolved)?;
        catalogs.insert(resolved, catalog.clone());
        Ok(catalog)
    }

    /// The sink that writes the table of `plan`, which is made if it is not there. Columns that it lacks
    /// are added.
    ///
    /// # Errors
    /// `InvalidInput` if it is there with columns or partitions that do not fit.
    pub fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        let opened = self.open_sink(plan);
        let sink = opened.map_err(|error| error.context(format!("table `{}`", plan.table)))?;
        Ok(Box::new(sink))
    }

    /// The table of `plan`, to be read.
    ///
    /// # Errors
    /// `InvalidInput` about an option that is wrong.
    pub fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        let opened = || {
            let options = TableOptions::new(&plan.table, &plan.connector)?;
            let catalog = self.catalog_of(&options.catalog)?;
            LakeSource::new(catalog.commits.catalog().clone(), options.ident()?, plan)
        };
        let source = opened().map_err(|error| error.context(format!("table `{}`", plan.table)))?;
        Ok(Box::new(source))
    }

    fn open_sink(&self, plan: &SinkPlan) -> Result<LakeSink> {
        let (options, schema) = definition(plan)?;
        let catalog = self.catalog_of(&options.catalog)?;
        let table = open::table(&catalog, (&options, schema), plan)?;
        let committer = self.committer(&catalog, table.identifier());
        let target = Target::new(&table, &catalog.files, options.commit.target_bytes)?;
        Ok(LakeSink {
            committer,
            target: Arc::new(target),
            table,
            storage: self.storage.clone(),
            settings: options.commit,
            lake_id: self.id()?.to_owned(),
            writers: Mutex::default(),
        })
    }

    fn committer(&self, catalog: &OpenCatalog, ident: &TableIdent) -> Arc<Committer> {
        let mut committers = self.committers();
        let is_it = |one: &&Arc<Committer>| {
            one.ident == *ident && Arc::ptr_eq(&one.commits, &catalog.commits)
        };
        if let Some(committer) = committers.iter().find(is_it) {
            return committer.clone();
        }
        let committer = Arc::new(Committer::new(
            ident.clone(),
            (catalog.commits.clone(), catalog.files.clone()),
            self.storage.clone(),
            self.env.clone(),
        ));
        committers.push(committer.clone());
        committer
    }

    /// Commits what is due. One table that fails does not keep the others from it; the first error.
    pub fn tick(&self) -> Result<()> {
        let committers = self.committers().clone();
        let ticks = committers.iter().map(|committer| committer.tick());
        ticks.fold(Ok(()), Result::and)
    }

    /// Commits all that waits, of all tables.
    pub fn close(&self) -> Result<()> {
        let committers = self.committers().clone();
        let flushed = committers.iter().map(|committer| committer.flush_all());
        flushed.fold(Ok(()), Result::and)
    }

    /// The tables that this process has opened to write, sorted by name.
    pub fn open_tables(&self) -> Vec<OpenTable> {
        let committers = self.committers().clone();
        let table = |committer: &Arc<Committer>| OpenTable {
            ident: committer.ident.clone(),
            commits: committer.commits.clone(),
            files: committer.files.clone(),
            protected: committer.protected(),
            prefixes: committer.prefixes(),
            pending: committer.status(),
        };
        let mut tables: Vec<OpenTable> = committers.iter().map(table).collect();
        tables.sort_by_key(|table| table.ident.to_string());
        tables
    }

    /// The data directory's id: random, and made when it is first needed.
    fn id(&self) -> Result<&str> {
        if let Some(id) = self.id.get() {
            return Ok(id);
        }
        let made = format!("{:016x}", self.env.random());
        let id = match self.storage.put_if_absent(ID, made.as_bytes()) {
            Ok(()) => made,
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let found = String::from_utf8(self.storage.read(ID)?).unwrap_or_default();
                if found.len() != 16 {
                    return Err(Error::corrupt(format!("`{ID}`: expected 16 hex digits")));
                }
                found
            }
            Err(error) => return Err(error),
        };
        Ok(self.id.get_or_init(|| id))
    }

    fn committers(&self) -> MutexGuard<'_, Vec<Arc<Committer>>> {
        self.committers.lock().expect("no holder panics")
    }
}
