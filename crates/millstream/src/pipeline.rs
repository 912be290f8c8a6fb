//! [`Pipeline`]: what runs, and [`Running`]: it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_connectors::Embedded;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::storage::DataDirectory;
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::env::Env;
use millstream_core::function::{AggregateFunction, Functions, ScalarFunction};
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::Plan;
use millstream_core::sink::Sink;
use millstream_core::source::Source;
use millstream_core::storage::Storage;
use millstream_core::{Error, Result};
use millstream_engine::status::JobStatus;
use millstream_engine::{Job, JobConfig, JobHandle, StartOptions};
use millstream_sql::Script;

use crate::connectors::{Given, ProgramConnectors, catalog};
use crate::env::RealEnv;

/// Most state and staged output in memory before reading stops, unless told otherwise.
const MEMORY_BYTES_MAX: usize = 1 << 30;

/// A pipeline that is about to run.
pub struct Pipeline {
    file: String,
    sql: String,
    variables: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
    data_dir: Option<PathBuf>,
    memory_bytes_max: usize,
    given: Given,
    functions: Functions,
}

impl Pipeline {
    /// The pipeline of a script. Its name, under which state and sinks remember it, is `pipeline`
    /// unless the script says `SET 'pipeline.name'`.
    pub fn from_sql(sql: impl Into<String>) -> Self {
        Self::of("pipeline".into(), sql.into())
    }

    /// The pipeline of a file. Its name is the file's, without its ending, unless the script says
    /// another.
    ///
    /// # Errors
    /// `InvalidInput` if the file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let file = path.as_ref().display().to_string();
        let sql = std::fs::read_to_string(&path).map_err(|error| Error::io(&file, &error))?;
        Ok(Self::of(file, sql))
    }

    fn of(file: String, sql: String) -> Self {
        Self {
            file,
            sql,
            variables: BTreeMap::new(),
            settings: BTreeMap::new(),
            data_dir: None,
            memory_bytes_max: MEMORY_BYTES_MAX,
            given: Given::default(),
            functions: Functions::default(),
        }
    }

    /// The value of `${name}` in the script.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// As if `SET 'key' = 'value'` stood at the end of the script.
    #[must_use]
    pub fn setting(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// Keeps topics, tables and checkpoints in the folder `path`, which is made if it is not there.
    /// A pipeline that runs again goes on where it was. Without one everything is in memory and
    /// ends with the pipeline.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Most bytes of state and staged output in memory before reading stops; default 1 GiB.
    #[must_use]
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.memory_bytes_max = bytes;
        self
    }

    /// Reads the table `table`, which is declared with `'connector' = 'rust'`, from `source`. Its
    /// readers give [`Read::Rows`](crate::source::Read::Rows) with the columns of the table by
    /// name, in the types that the table declares; others are passed over.
    #[must_use]
    pub fn source(mut self, table: impl Into<String>, source: impl Source + 'static) -> Self {
        self.given.sources.insert(table.into(), Arc::new(source));
        self
    }

    /// Writes the table `table`, which is declared with `'connector' = 'rust'`, to `sink`.
    #[must_use]
    pub fn sink(mut self, table: impl Into<String>, sink: impl Sink + 'static) -> Self {
        self.given.sinks.insert(table.into(), Arc::new(sink));
        self
    }

    /// Lets the script call `name(…)` for the values of a row.
    #[must_use]
    pub fn scalar_function(mut self, name: &str, function: impl ScalarFunction + 'static) -> Self {
        self.functions.add_scalar(name, Arc::new(function));
        self
    }

    /// Lets the script call `name(…)` for the values of a group.
    #[must_use]
    pub fn aggregate_function(
        mut self,
        name: &str,
        function: impl AggregateFunction + 'static,
    ) -> Self {
        self.functions.add_aggregate(name, Arc::new(function));
        self
    }

    /// What it will do, as a plan; its `Display` is what EXPLAIN prints.
    ///
    /// # Errors
    /// `InvalidInput` for what is wrong with the script, with the place, and for a source or sink
    /// that no table is declared for.
    pub fn plan(&self) -> Result<Plan> {
        let script = Script {
            file: &self.file,
            text: &self.sql,
            variables: &self.variables,
            settings: &self.settings,
        };
        let plan = millstream_sql::plan_with(&script, &catalog(), &self.functions);
        let plan = plan.map_err(|diagnostic| Error::invalid(diagnostic.to_string()))?;
        self.given.check(&plan)?;
        Ok(plan)
    }

    /// Runs it on threads of its own.
    ///
    /// # Errors
    /// As [`Pipeline::plan`]; a data directory that is in use or damaged; a source or sink that
    /// cannot be opened.
    pub fn start(self) -> Result<Running> {
        let plan = Arc::new(self.plan()?);
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let directory = self.data_dir.map(DataDirectory::open).transpose()?;
        let storage: Arc<dyn Storage> = match &directory {
            Some(directory) => Arc::new(directory.storage()),
            None => Arc::new(MemoryStorage::default()),
        };
        let topics = TopicLog::open(storage.clone(), env.clone(), TopicLogConfig::default())?;
        let tables = HotTables::open(storage.clone())?;
        let embedded = Embedded::new(storage.clone(), topics, tables, env.clone());
        let given = self.given;
        let job = Job::start(JobConfig {
            parallelism: plan.options.parallelism.unwrap_or_else(cores),
            batch_rows: plan.options.batch_rows,
            epoch_interval_ms: plan.options.epoch_interval_ms,
            memory_bytes_max: self.memory_bytes_max,
            start: StartOptions::default(),
            env,
            storage,
            connectors: Arc::new(ProgramConnectors { given, embedded }),
            plan,
        })?;
        Ok(Running {
            job,
            _directory: directory,
        })
    }

    /// Runs it until all its sources have ended.
    ///
    /// # Errors
    /// As [`Pipeline::start`], and whatever ends it early.
    pub fn run(self) -> Result<JobStatus> {
        self.start()?.wait()
    }
}

/// A pipeline that runs. Dropped, it is stopped, as by [`Running::stop`].
pub struct Running {
    job: JobHandle,
    /// Holds the lock of the data directory.
    _directory: Option<DataDirectory>,
}

impl Running {
    /// How it is doing.
    pub fn status(&self) -> JobStatus {
        self.job.status()
    }

    /// Whether it has ended: finished, stopped or failed.
    pub fn is_ended(&self) -> bool {
        self.job.is_ended()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// What ended it, if it failed.
    pub fn wait(&self) -> Result<JobStatus> {
        self.job.wait()
    }

    /// Commits what has been read so far and ends. On the same data directory it goes on from there.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub fn stop(&self) -> Result<JobStatus> {
        self.job.stop();
        self.job.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The directory must not be let go of while the job writes to it.
        let _ended = self.stop();
    }
}

fn cores() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}
