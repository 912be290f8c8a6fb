//! The life of a process: it opens the data directory, runs the job, takes input in, looks after the
//! tables; starts the job again after an error, as [`RestartPolicy`] says; and ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_connectors::Embedded;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::iceberg::lake::{Lake, LakeConfig};
use millstream_connectors::iceberg::maintenance::Budget;
use millstream_connectors::iceberg::maintenance::upkeep::{Tended, Upkeep, UpkeepSettings};
use millstream_connectors::topic::{RecordSet, TopicLog, TopicLogConfig};
use millstream_core::env::Env;
use millstream_core::plan::Plan;
use millstream_core::storage::Storage;
use millstream_core::{ErrorKind, EventTime, Result};
use millstream_engine::protocol::{RestartPolicy, Verdict};
use millstream_engine::{JobConfig, StartOptions, StepJob};

use super::check::Expected;
use super::config::{AMPLE_BYTES, Config};
use super::connectors::ProcessConnectors;
use super::storage::SimStorage;
use super::world::{AskedFor, End, World};
use crate::chance::Chance;

/// Steps within which a process has to end once no more faults strike.
const CALM_STEPS_MAX: usize = 400;
/// Steps without an end after which somebody gives the job more memory.
const STUCK_STEPS: usize = 40;
/// Records that a client sends at once, at most.
const PIECE_MAX: usize = 12;
/// How much a job may hold beyond its budget: what it reads before it looks again.
const BEYOND_BUDGET: usize = 6 << 20;

/// What a process is started with.
pub struct Body {
    /// Everything outside.
    pub world: Arc<World>,
    /// Its number.
    pub number: usize,
    /// What it runs.
    pub plan: Arc<Plan>,
    /// Decides its steps.
    pub chance: Chance,
}

/// The parts of a process that live as long as it does.
struct Instance {
    storage: Arc<dyn Storage>,
    topics: Arc<TopicLog>,
    tables: Arc<HotTables>,
    lake: Arc<Lake>,
    upkeep: Mutex<Upkeep>,
}

/// Maintenance of lake tables, as often as it can be.
const UPKEEP: UpkeepSettings = UpkeepSettings {
    is_on: true,
    compact_every: Duration::from_secs(1),
    expire_every: Duration::from_secs(2),
    orphans_every: Duration::from_secs(3),
    budget: Budget {
        bytes: 64 << 10,
        files: 7,
    },
};

impl Instance {
    /// A little maintenance of each lake table that is open.
    fn keep_lake(&self) -> Result<()> {
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = self.lake.open_tables();
        let done = tables.iter().map(|table| {
            upkeep.tick(&Tended {
                commits: &table.commits,
                ident: &table.ident,
                listing: &table.files,
                is_protected: &|path| table.protected.contains(path),
            })
        });
        done.fold(Ok(()), Result::and)
    }
}

impl Body {
    /// Runs it on this thread, whenever the world lets it.
    pub fn run(mut self) {
        self.world.begin(self.number);
        let lived = catch_unwind(AssertUnwindSafe(|| self.live()));
        let end = match lived {
            Ok(end) => end,
            Err(panic) if panic.is::<AskedFor>() => End::Panicked,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let text = text.unwrap_or("no message");
                self.world
                    .violate(format_args!("p{} panicked: {text}", self.number));
                End::Panicked
            }
        };
        self.world.finish(self.number, end);
    }

    fn live(&mut self) -> End {
        let mut policy = RestartPolicy::new(self.plan.options.restart);
        let mut steps = 0;
        let mut instance = None;
        loop {
            let ran = self.open(&mut instance);
            let ran = ran.and_then(|()| {
                let instance = instance.as_ref().expect("it has just been opened");
                self.attempt(instance, &mut policy, &mut steps)
            });
            let Err(error) = ran else {
                return End::Finished;
            };
            if self.world.is_over(self.number) {
                return End::Killed;
            }
            // A server that cannot open its data directory ends, and whoever has started it sees why.
            let env = &self.world.env;
            let verdict = policy.on_failure(error.kind(), env.monotonic(), env.random());
            let Verdict::RestartAfter(pause) = verdict else {
                return End::GaveUp(error);
            };
            if instance.is_none() {
                return End::GaveUp(error);
            }
            let pause = u64::try_from(pause.as_millis()).expect("a pause is short");
            self.world.env.advance(pause);
            self.note(format_args!("starts again after {}: {error}", error.kind()));
            self.world.state().restarts += 1;
        }
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        let number = self.number;
        self.world
            .state()
            .trace
            .line(format_args!("p{number} {what}"));
    }

    fn config(&self) -> &Config {
        &self.world.config
    }

    fn open(&self, instance: &mut Option<Instance>) -> Result<()> {
        if instance.is_some() {
            return Ok(());
        }
        let storage: Arc<dyn Storage> = Arc::new(SimStorage {
            world: self.world.clone(),
            process: self.number,
        });
        let env: Arc<dyn Env> = self.world.env.clone();
        let config = TopicLogConfig {
            segment_bytes: self.config().segment_bytes,
            retention_ms: None,
            ..TopicLogConfig::default()
        };
        let topics = TopicLog::open(storage.clone(), env.clone(), config)?;
        let tables = HotTables::open_with_cache(storage.clone(), self.config().cache_bytes)?;
        let lake = Lake::open(LakeConfig::default(), storage.clone(), env);
        *instance = Some(Instance {
            storage,
            topics,
            tables,
            lake: Arc::new(lake),
            upkeep: Mutex::new(Upkeep::new(UPKEEP)),
        });
        Ok(())
    }

    /// Runs the job until it is finished.
    fn attempt(
        &mut self,
        instance: &Instance,
        policy: &mut RestartPolicy,
        steps: &mut usize,
    ) -> Result<()> {
        self.ensure_topics(instance)?;
        let mut job = self.start(instance, *steps)?;
        loop {
            let is_calm = !self.world.state().is_armed;
            let epoch = job.status().epoch;
            match is_calm {
                true => {
                    *steps += 1;
                    if *steps == STUCK_STEPS && self.config().memory_bytes < AMPLE_BYTES {
                        self.note(format_args!("gets more memory"));
                        job = self.start(instance, *steps)?;
                    }
                    self.calm_step(instance, &mut job)?;
                    if *steps > CALM_STEPS_MAX {
                        let what = "it does not come to its end, though no more faults strike";
                        self.world.violate(what);
                    }
                }
                false => self.step(instance, &mut job)?,
            }
            if job.status().epoch != epoch {
                policy.on_commit();
                self.check(&job);
            }
            if self.world.is_over(self.number) {
                return Err(millstream_core::Error::unavailable("the process has ended"));
            }
            if job.is_finished() {
                self.check_counters(&job);
                return Ok(());
            }
        }
    }

    fn ensure_topics(&self, instance: &Instance) -> Result<()> {
        if self.config().is_shared() {
            return Ok(());
        }
        let partitions = u32::try_from(self.config().pipeline.partitions).expect("few partitions");
        for topic in self.config().pipeline.sources() {
            instance.topics.ensure_topic(topic, Some(partitions))?;
        }
        Ok(())
    }

    fn start(&mut self, instance: &Instance, steps: usize) -> Result<StepJob> {
        let env: Arc<dyn Env> = self.world.env.clone();
        let embedded = Embedded::new(
            instance.storage.clone(),
            instance.topics.clone(),
            instance.tables.clone(),
            env.clone(),
        );
        let embedded = embedded.with_lake(instance.lake.clone());
        let connectors = ProcessConnectors {
            world: self.world.clone(),
            process: self.number,
            embedded,
        };
        let config = self.world.config.clone();
        let (parallelism, batch_rows) = (
            *self.chance.pick(&config.parallelism),
            *self.chance.pick(&config.batch_rows),
        );
        let memory_bytes_max = match steps {
            0..STUCK_STEPS => config.memory_bytes,
            _ => AMPLE_BYTES,
        };
        self.note(format_args!(
            "starts with {parallelism} shards, batches of {batch_rows}"
        ));
        StepJob::open(JobConfig {
            plan: self.plan.clone(),
            parallelism,
            batch_rows,
            start: StartOptions::default(),
            epoch_interval_ms: 1_000,
            memory_bytes_max,
            env,
            storage: instance.storage.clone(),
            connectors: Arc::new(connectors),
        })
    }

    /// A step while faults strike.
    fn step(&mut self, instance: &Instance, job: &mut StepJob) -> Result<()> {
        match self.chance.below(14) {
            0..=3 => self.take_in(instance)?,
            4..=7 => {
                for _ in 0..1 + self.chance.below(self.config().epoch_reads) {
                    job.poll()?;
                }
            }
            8..=10 => {
                job.checkpoint()?;
            }
            11 => self.world.env.advance(1 + self.chance.below(3_000) as u64),
            12 => self.look_after(instance)?,
            _ => {
                // A clean stop, and a start with other shards.
                job.checkpoint()?;
                *job = self.start(instance, 0)?;
            }
        }
        Ok(())
    }

    /// Reads and commits, and takes in whatever is left.
    fn calm_step(&mut self, instance: &Instance, job: &mut StepJob) -> Result<()> {
        self.take_in(instance)?;
        for _ in 0..8 {
            if !job.poll()? {
                break;
            }
        }
        job.checkpoint()?;
        Ok(())
    }

    /// What a server does in the background. It goes on where that fails.
    fn look_after(&self, instance: &Instance) -> Result<()> {
        let now = EventTime(self.world.env.now_ms());
        let steps = [
            instance.tables.maintain(now).map(drop),
            instance.lake.tick(),
            instance.keep_lake(),
            instance.topics.sync_acknowledged(),
        ];
        for step in steps {
            match step {
                Err(error) if error.kind() == ErrorKind::Corrupt => return Err(error),
                Err(error) => self.note(format_args!("goes on after: {error}")),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Some more input comes in.
    fn take_in(&mut self, instance: &Instance) -> Result<()> {
        let open = self.world.state().intake.open();
        if open.is_empty() {
            let mut state = self.world.state();
            state.intake.is_ended |= !state.is_armed;
            return Ok(());
        }
        let partition = *self.chance.pick(&open);
        let count = 1 + self.chance.below(PIECE_MAX);
        if self.config().is_shared() {
            let mut state = self.world.state();
            let progress = state.intake.of(partition);
            progress.count = (progress.count + count).min(progress.total);
            return Ok(());
        }
        let (topic, number) = partition;
        let end = instance.topics.end_offsets(topic)?[number].0;
        let end = usize::try_from(end).expect("few records");
        let mut progress = self.world.state().intake.of(partition).clone();
        if let Err(what) = progress.resolve(end, self.number) {
            self.world.violate(format_args!("{topic}-{number}: {what}"));
            return Ok(());
        }
        let records = &self.world.input.table(topic).partitions[number];
        let until = (progress.count + count).min(records.len());
        let records = &records[progress.count..until];
        progress.in_flight.insert(records.len());
        *self.world.state().intake.of(partition) = progress.clone();
        let set = RecordSet::from_records(records.iter().map(super::input::Record::text))?;
        let to = u32::try_from(number).expect("few partitions");
        match instance.topics.append(topic, Some(to), &set) {
            Ok(_) => {
                progress.count = until;
                progress.in_flight.clear();
                *self.world.state().intake.of(partition) = progress;
                self.note(format_args!("has taken in {topic}-{number} up to {until}"));
                Ok(())
            }
            // The client is told, and tries again.
            Err(error) if error.kind() != ErrorKind::Corrupt => {
                self.note(format_args!("has not taken in {topic}-{number}: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What must hold after each epoch.
    fn check(&self, job: &StepJob) {
        let status = job.status();
        self.world.state().epochs += 1;
        for source in &status.sources {
            let parts = source.rows_on_time + source.rows_late + source.rows_undecodable;
            if parts != source.rows_read {
                self.world.violate(format_args!(
                    "`{}`: {} on time + {} late + {} undecodable are not {} read",
                    source.table,
                    source.rows_on_time,
                    source.rows_late,
                    source.rows_undecodable,
                    source.rows_read
                ));
            }
        }
        let budget = self.config().memory_bytes.saturating_add(BEYOND_BUDGET);
        if status.state_bytes > budget as u64 {
            let (found, budget) = (status.state_bytes, self.config().memory_bytes);
            self.world.violate(format_args!(
                "the job holds {found} bytes, its budget is {budget}"
            ));
        }
    }

    /// How the rows must have been counted in the end.
    fn check_counters(&self, job: &StepJob) {
        for source in &job.status().sources {
            let expected = Expected::of(&self.world.config, &self.world.input, &source.table);
            let found = Expected {
                read: source.rows_read,
                late: source.rows_late,
                undecodable: source.rows_undecodable,
            };
            if found != expected {
                let table = &source.table;
                self.world.violate(format_args!(
                    "`{table}`: found {found:?}, expected {expected:?}"
                ));
            }
        }
    }
}
