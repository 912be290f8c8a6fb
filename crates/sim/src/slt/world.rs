//! One pipeline with everything around it: storage in memory that can crash, the topic log and the
//! hot tables on it, a virtual clock, and the job that is driven step by step.
//!
//! ```text
//! input -> topic log -> StepJob (poll, checkpoint) -> hot tables -> query
//! ```
//!
//! A world that crashes does so after every step, and before that reads one round, commits an
//! epoch and reads the rest: so what is lost is always the tail of a step, and what is restored is
//! state from the middle of it.
//!
//! INVARIANT: at every look at the tables, on time + late + undecodable = read, for each source.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;
use millstream_connectors::Embedded;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::topic::{RecordSet, TopicLog, TopicLogConfig};
use millstream_core::Offset;
use millstream_core::env::Env;
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::Plan;
use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::storage::Storage;
use millstream_engine::status::{JobStatus, SourceStatus};
use millstream_engine::{JobConfig, StartOptions, StepJob};

use super::answer;
use super::connectors::{EndOfInput, Files, SimConnectors};
use super::query::select;
use super::script::Action;
use crate::env::{SimEnv, SplitMix};
use crate::faults::FaultyStorage;

/// Rounds of reading after which a job that still finds something is taken for broken.
const ROUNDS_MAX: usize = 1_000_000;

/// What may not change any answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Number of shards.
    pub parallelism: u32,
    /// Most rows decoded at once.
    pub batch_rows: usize,
    /// Whether the world crashes after every step.
    pub is_crashing: bool,
}

/// A pipeline and its surroundings.
pub struct World {
    setup: Setup,
    plan: Arc<Plan>,
    env: Arc<SimEnv>,
    end: EndOfInput,
    files: Files,
    storage: FaultyStorage,
    is_ended: bool,
    /// `None` only if it could not start.
    running: Option<Running>,
}

struct Running {
    job: StepJob,
    topics: Arc<TopicLog>,
    tables: Arc<HotTables>,
}

impl World {
    /// Starts `plan` on empty storage.
    pub fn open(plan: Arc<Plan>, setup: Setup) -> Result<Self> {
        Self::open_with(plan, setup, Files::default())
    }

    /// The same with files that are there from the start.
    pub fn open_with(plan: Arc<Plan>, setup: Setup, files: Files) -> Result<Self> {
        let mut world = Self {
            setup,
            plan,
            env: Arc::new(SimEnv::new(1)),
            end: EndOfInput::default(),
            files,
            storage: FaultyStorage::new(MemoryStorage::default()),
            is_ended: false,
            running: None,
        };
        world.start()?;
        Ok(world)
    }

    /// Takes one step. What it shows, for those that ask for something.
    pub fn step(&mut self, action: &Action) -> Result<Option<Vec<String>>> {
        let answer = self.act(action)?;
        if self.setup.is_crashing {
            let job = &mut self.running().job;
            if !job.is_finished() {
                job.poll()?;
                job.checkpoint()?;
                self.poll_all()?;
            }
            self.crash()?;
        }
        Ok(answer)
    }

    /// From the next restart on.
    pub fn set_setup(&mut self, setup: Setup) {
        self.setup = setup;
    }

    /// Maybe reads, commits, crashes or stops, with other shards from the next start on: as chance has it.
    ///
    /// # Errors
    /// Those of the step.
    pub fn random_step(&mut self, random: &mut SplitMix) -> anyhow::Result<()> {
        if random.below(3) == 0 {
            let shards = [1, 2, 3, 5];
            let at = usize::try_from(random.below(4)).expect("small");
            self.set_parallelism(shards[at]);
        }
        match random.below(8) {
            0 => self.step(&Action::Poll)?,
            1 => self.step(&Action::Checkpoint)?,
            2 => self.step(&Action::Crash)?,
            3 => self.step(&Action::Stop)?,
            4 | 5 => self.round().map(|_| None)?,
            _ => None,
        };
        Ok(())
    }

    /// One round of reading and an epoch. Whether anything was read.
    pub fn round(&mut self) -> Result<bool> {
        let job = &mut self.running().job;
        if job.is_finished() {
            return Ok(false);
        }
        let has_read = job.poll()?;
        job.checkpoint()?;
        Ok(has_read)
    }

    /// All records of a topic, by partition and offset.
    pub fn records(&mut self, topic: &str) -> Result<Vec<String>> {
        let topics = &self.running().topics;
        let mut records = vec![];
        for partition in 0..topics.end_offsets(topic)?.len() {
            let partition = u32::try_from(partition).context("a partition number")?;
            let mut reader = topics.reader(topic, partition, Offset(0))?;
            let limit = ReadLimit {
                rows: 1_000,
                bytes: 1 << 20,
            };
            while let Read::Records(batch) = reader.read(limit)? {
                let texts = (0..batch.len()).map(|index| batch.record(index));
                records.extend(texts.map(|text| String::from_utf8_lossy(text).into_owned()));
            }
        }
        Ok(records)
    }

    /// How the job is doing.
    pub fn status(&mut self) -> JobStatus {
        self.running().job.status().clone()
    }

    /// From the next start on there are so many shards.
    pub fn set_parallelism(&mut self, parallelism: u32) {
        self.setup.parallelism = parallelism;
    }

    /// The rows of a hot table that are committed.
    pub fn rows(&mut self, table: &str) -> Result<Vec<RecordBatch>> {
        let tables = self.running().tables.all();
        let found = tables.iter().find(|other| other.name().table == table);
        let found = found.with_context(|| format!("no table `{table}`"))?;
        let rows = found.snapshot().scan(None, None)?;
        Ok(rows.collect::<millstream_core::Result<_>>()?)
    }

    /// The storage, to make it fail.
    pub fn storage(&self) -> &FaultyStorage {
        &self.storage
    }

    /// Starts again after an error: on the same storage, or on what is left of it if the machine
    /// has ended.
    pub fn restart(&mut self) -> Result<()> {
        if self.storage.is_off() {
            return self.crash();
        }
        self.running = None;
        self.start().context("restart after an error")
    }

    fn act(&mut self, action: &Action) -> Result<Option<Vec<String>>> {
        match action {
            Action::Input {
                topic,
                partition,
                records,
            } => {
                ensure!(!self.is_ended, "`input` after `end`");
                let records = RecordSet::from_records(records)?;
                let topics = &self.running().topics;
                topics.append(topic, Some(*partition), &records)?;
            }
            Action::File { path, lines } => self.files.put(path, lines),
            Action::Poll => self.poll_all()?,
            Action::Checkpoint => self.settle()?,
            Action::Advance(ms) => {
                self.poll_all()?;
                self.env.advance(*ms);
                self.settle()?;
            }
            Action::Crash => self.crash()?,
            Action::Stop => {
                self.settle()?;
                self.running = None;
                self.start()?;
            }
            Action::End => {
                self.is_ended = true;
                self.end.set();
                self.settle()?;
            }
            Action::Query { sql, is_sorted, .. } => {
                self.settle()?;
                let batches = select(&self.running().tables, sql)?;
                return answer::lines(&batches, *is_sorted).map(Some);
            }
            Action::Counters { table, .. } => {
                self.settle()?;
                return self.counters(table).map(Some);
            }
            Action::Refused(_) => bail!("the pipeline was not refused"),
        }
        Ok(None)
    }

    fn running(&mut self) -> &mut Running {
        let running = self.running.as_mut();
        running.expect("it is `None` only if it could not start")
    }

    fn start(&mut self) -> Result<()> {
        let storage: Arc<dyn Storage> = Arc::new(self.storage.clone());
        let env: Arc<dyn Env> = self.env.clone();
        let topics = TopicLog::open(storage.clone(), env.clone(), TopicLogConfig::default())?;
        let tables = HotTables::open(storage.clone())?;
        let embedded = Embedded::new(storage.clone(), topics.clone(), tables.clone(), env.clone());
        let connectors = SimConnectors::new(embedded, self.end.clone(), self.files.clone());
        let job = StepJob::open(JobConfig {
            plan: self.plan.clone(),
            parallelism: self.setup.parallelism,
            batch_rows: self.setup.batch_rows,
            start: StartOptions::default(),
            epoch_interval_ms: self.plan.options.epoch_interval_ms,
            memory_bytes_max: 256 << 20,
            env,
            storage,
            connectors: Arc::new(connectors),
        })?;
        self.running = Some(Running {
            job,
            topics,
            tables,
        });
        Ok(())
    }

    /// The machine loses power: only what was made durable is there afterwards. The old world goes
    /// on a copy of the storage, so nothing that it does while it is dropped can reach the new one.
    fn crash(&mut self) -> Result<()> {
        let survivor = self.storage.survivor();
        self.running = None;
        self.storage = survivor;
        self.start().context("restart after a crash")
    }

    fn poll_all(&mut self) -> Result<()> {
        let job = &mut self.running().job;
        for _ in 0..ROUNDS_MAX {
            if job.is_finished() || !job.poll()? {
                return Ok(());
            }
        }
        bail!("`poll` still finds something after {ROUNDS_MAX} rounds")
    }

    /// Reads everything and commits it; after `end`, until the job has finished.
    fn settle(&mut self) -> Result<()> {
        self.poll_all()?;
        if !self.running().job.is_finished() {
            self.running().job.checkpoint()?;
        }
        for _ in 0..8 {
            if !self.is_ended || self.running().job.is_finished() {
                return self.check_conservation();
            }
            self.poll_all()?;
            self.running().job.checkpoint()?;
        }
        bail!("the job has not finished after `end`")
    }

    fn check_conservation(&mut self) -> Result<()> {
        for source in self.running().job.status().sources {
            let parts = source.rows_on_time + source.rows_late + source.rows_undecodable;
            ensure!(
                parts == source.rows_read,
                "`{}`: the parts do not add up: {}",
                source.table,
                counters_line(&source)
            );
        }
        Ok(())
    }

    fn counters(&mut self, table: &str) -> Result<Vec<String>> {
        let sources = self.running().job.status().sources;
        let source = sources.iter().find(|source| source.table == table);
        let source = source.with_context(|| format!("no source table `{table}`"))?;
        Ok(vec![counters_line(source)])
    }
}

fn counters_line(source: &SourceStatus) -> String {
    format!(
        "read {}  on_time {}  late {}  undecodable {}",
        source.rows_read, source.rows_on_time, source.rows_late, source.rows_undecodable
    )
}
