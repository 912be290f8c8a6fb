//! A process with its data directory: topics, tables, running pipelines and their upkeep.
//!
//! ```text
//! open(dir): lock -> topic log -> hot tables -> upkeep and commits to the lake in the background
//! start(plan) -> job        serve(port) -> HTTP        close(): upkeep ends, the lock is released
//! ```

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream_connectors::Embedded;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::iceberg::commit::Wait;
use millstream_connectors::iceberg::lake::{Lake, LakeConfig};
use millstream_connectors::storage::{DataDirectory, GatedStorage};
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::connector::Connectors;
use millstream_core::env::Env;
use millstream_core::plan::Plan;
use millstream_core::storage::Storage;
use millstream_core::{Error, EventTime, Result};
use millstream_engine::runtime::preview::{self, Preview};
use millstream_engine::runtime::progress::initial_status;
use millstream_engine::{Job, JobConfig, JobHandle, StartOptions};
use tokio::runtime::{Builder, Runtime};

use crate::background::Background;
use crate::config::Config;
use crate::http::{HttpServer, StateParts};
use crate::jobs::Jobs;
use crate::lake::LakeKeeper;
use crate::metrics::Metrics;
use crate::query::QueryEngine;

/// How often small parts are merged, old segments removed, and rates sampled.
const UPKEEP_PERIOD: Duration = Duration::from_secs(1);

/// How often it is looked whether a commit to the lake is due.
const LAKE_PERIOD: Duration = Duration::from_millis(100);

/// How often a little maintenance of lake tables is done.
const KEEP_PERIOD: Duration = Duration::from_secs(1);

/// A process with its data directory.
pub struct Instance {
    /// The clock, and threads.
    pub env: Arc<dyn Env>,
    /// The embedded topic log.
    pub topics: Arc<TopicLog>,
    /// The embedded tables.
    pub tables: Arc<HotTables>,
    /// What runs here.
    pub jobs: Arc<Jobs>,
    directory: DataDirectory,
    files: GatedStorage,
    storage: Arc<dyn Storage>,
    connectors: Arc<Embedded>,
    metrics: Arc<Metrics>,
    config: Config,
    /// Lake tables.
    pub lake: Arc<Lake>,
    keeper: Arc<LakeKeeper>,
    keeping: Background,
    upkeep: Background,
    commits: Background,
}

impl Instance {
    /// Takes the data directory at `path`, which is made if it is not there, and opens what it
    /// holds.
    ///
    /// # Errors
    /// `InvalidInput` if it is in use, not writable, or of a newer version; `Corrupt` if what it
    /// holds is damaged.
    pub fn open(path: &Path, config: Config, env: Arc<dyn Env>) -> Result<Self> {
        let directory = DataDirectory::open(path)?;
        let files = directory.gated_storage();
        let storage: Arc<dyn Storage> = Arc::new(files.clone());
        let topics = TopicLog::open(storage.clone(), env.clone(), TopicLogConfig::default())?;
        let tables = HotTables::open(storage.clone())?;
        let lake = open_lake(path, &config, (&storage, &env))?;
        let connectors =
            Embedded::new(storage.clone(), topics.clone(), tables.clone(), env.clone())
                .with_lake(lake.clone());
        let jobs = Arc::new(Jobs::new(env.clone()));
        let metrics = Arc::new(Metrics::new());
        let upkeep = {
            let (env, topics, tables) = (env.clone(), topics.clone(), tables.clone());
            let (jobs, metrics) = (jobs.clone(), metrics.clone());
            let tick = {
                let env = env.clone();
                move || {
                    jobs.sample();
                    metrics.upkeep();
                    let synced = topics.sync_acknowledged();
                    let retention = topics.enforce_retention(env.now_ms());
                    tables.maintain(EventTime(env.now_ms()))?;
                    retention.and(synced)
                }
            };
            Background::every(&env, "upkeep", UPKEEP_PERIOD, tick)
        };
        let commits = {
            let lake = lake.clone();
            Background::every(&env, "lake", LAKE_PERIOD, move || lake.tick())
        };
        let is_kept = config.iceberg_maintenance;
        let keeper = Arc::new(LakeKeeper::new(lake.clone(), env.clone(), is_kept));
        let keeping = {
            let keeper = keeper.clone();
            Background::every(&env, "lake-upkeep", KEEP_PERIOD, move || keeper.tick())
        };
        Ok(Self {
            env,
            topics,
            tables,
            jobs,
            directory,
            files,
            storage,
            connectors: Arc::new(connectors),
            metrics,
            config,
            lake,
            keeper,
            keeping,
            upkeep,
            commits,
        })
    }

    /// Whether every source of `plan` ends by itself.
    pub fn is_bounded(&self, plan: &Plan) -> Result<bool> {
        for source in &plan.sources {
            if !self.connectors.source(source)?.is_bounded() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What starting the pipeline so would do.
    pub fn preview(&self, plan: &Plan, start: &StartOptions) -> Result<Preview> {
        preview::preview(plan, (&self.storage, &self.env), start)
    }

    /// Starts the pipeline from where it was, or from an older checkpoint. It is there to be seen while its
    /// state is loaded.
    pub fn start(&self, plan: Plan, start: StartOptions) -> Result<JobHandle> {
        let plan = Arc::new(plan);
        let config = self.job_config(plan.clone(), start);
        let mut loading = initial_status(&plan, config.parallelism);
        loading.reason = Some("loading its state".into());
        let started: Arc<OnceLock<JobHandle>> = Arc::default();
        let seen = started.clone();
        let status = move || {
            seen.get()
                .map_or_else(|| loading.clone(), JobHandle::status)
        };
        self.jobs.add(&plan, Box::new(status));
        let job = Job::start(config).inspect_err(|_| self.jobs.remove(&plan.options.name))?;
        Ok(started.get_or_init(|| job).clone())
    }

    fn job_config(&self, plan: Arc<Plan>, start: StartOptions) -> JobConfig {
        let limits = &self.config.pipeline;
        let parallelism = plan.options.parallelism.or(limits.parallelism);
        JobConfig {
            parallelism: parallelism.unwrap_or_else(cores),
            batch_rows: plan.options.batch_rows,
            epoch_interval_ms: plan.options.epoch_interval_ms,
            memory_bytes_max: limits.memory_bytes_max,
            start,
            env: self.env.clone(),
            storage: self.storage.clone(),
            connectors: self.connectors.clone(),
            plan,
        }
    }

    /// Serves HTTP on `listener`, and tells other processes where.
    pub fn serve(
        &mut self,
        listener: std::net::TcpListener,
        runtime: &Runtime,
    ) -> Result<HttpServer> {
        let parts = StateParts {
            env: self.env.clone(),
            storage: self.storage.clone(),
            files: Some(self.files.clone()),
            topics: self.topics.clone(),
            tables: self.tables.clone(),
            lake: Some(self.keeper.clone()),
            queries: Arc::new(QueryEngine::new(
                self.tables.clone(),
                Some(self.lake.clone()),
                self.config.query.limits(),
            )?),
            jobs: self.jobs.clone(),
            metrics: self.metrics.clone(),
        };
        let collector = self.config.collector.clone();
        let server = HttpServer::start(listener, runtime.handle(), parts, collector)?;
        self.directory.announce(&server.url())?;
        Ok(server)
    }

    /// Ends the upkeep and releases the directory.
    pub fn close(self) {
        self.upkeep.close();
        self.commits.close();
        self.keeping.close();
        // What cannot be committed now waits in the data directory for the next start.
        if let Err(error) = self.lake.close() {
            tracing::warn!(%error, "rows wait for their commit to the lake");
        }
        // What cannot be synced now is durable in a while, or of no use any more.
        if let Err(error) = self.topics.sync_acknowledged() {
            tracing::warn!(%error, "cannot sync what the topics note as acknowledged");
        }
    }
}

/// The lake of a data directory. Opens nothing yet.
pub fn open_lake(
    path: &Path,
    config: &Config,
    (storage, env): (&Arc<dyn Storage>, &Arc<dyn Env>),
) -> Result<Arc<Lake>> {
    let folder =
        std::fs::canonicalize(path).map_err(|error| Error::io(&path.to_string_lossy(), &error))?;
    let config = LakeConfig {
        data_dir: Some(folder),
        options: config.iceberg.clone(),
    };
    let lake = Lake::open(config, storage.clone(), env.clone());
    Ok(Arc::new(lake.with_wait(Arc::new(Sleep))))
}

/// Real pauses between tries to commit to the lake.
struct Sleep;

impl Wait for Sleep {
    fn wait(&self, time: Duration) {
        // Nobody ever sends.
        let (_open, never) = sync_channel::<()>(0);
        let _timeout = never.recv_timeout(time);
    }
}

/// Threads for HTTP and signals.
pub fn runtime() -> Result<Runtime> {
    // More threads than cores: answers are written out here, too, and a long one takes a while.
    let threads = usize::try_from(cores()).unwrap_or(1).max(4);
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .max_blocking_threads(64)
        .thread_name("http")
        .enable_all();
    let built = builder.build();
    built.map_err(|error| Error::unavailable(format!("cannot start threads: {error}")))
}

/// Cores that this process may use.
pub fn cores() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}
