//! Splits that appear while a job runs, and splits that have ended.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use millstream_core::connector::Connectors;
use millstream_core::memory::{MemorySource, MemoryStorage};
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::sink::Sink;
use millstream_core::source::{Decoder, Source, Split, SplitReader};
use millstream_core::{Offset, Result, SplitId};
use millstream_engine::{JobConfig, StepJob};

use crate::world::{Random, TestEnv, World, config, world};

/// A folder that is watched: splits appear, each ends, and how often each was opened is counted.
#[derive(Clone)]
struct Folder {
    world: World,
    splits: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    opened: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Folder {
    fn new() -> Self {
        Self {
            world: world(&[]),
            splits: Arc::default(),
            opened: Arc::default(),
        }
    }

    fn add(&self, name: &str, records: &[&str]) {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        self.splits.lock().unwrap().insert(name.to_owned(), records);
    }

    fn source(&self) -> MemorySource {
        let splits = self.splits.lock().unwrap();
        MemorySource::new(splits.iter().map(|(name, records)| {
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            (name.as_str(), records)
        }))
    }

    fn opened(&self, name: &str) -> u32 {
        self.opened.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Source for Folder {
    fn splits(&self) -> Result<Vec<Split>> {
        Folder::source(self).splits()
    }
    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        *self
            .opened
            .lock()
            .unwrap()
            .entry(split.to_string())
            .or_default() += 1;
        Folder::source(self).open(split, from)
    }
    fn is_bounded(&self) -> bool {
        false
    }
}

impl Connectors for Folder {
    fn source(&self, _: &SourcePlan) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.clone()))
    }
    fn decoder(
        &self,
        plan: &SourcePlan,
        schema: &arrow::datatypes::SchemaRef,
    ) -> Result<Box<dyn Decoder>> {
        self.world.decoder(plan, schema)
    }
    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        self.world.sink(plan)
    }
}

struct Run {
    folder: Folder,
    env: Arc<TestEnv>,
    config: JobConfig,
}

impl Run {
    fn new() -> Self {
        let folder = Folder::new();
        let env = Arc::new(TestEnv::default());
        let config = config(&folder.world, &MemoryStorage::default(), &mut Random(1));
        let config = JobConfig {
            parallelism: 2,
            env: env.clone(),
            connectors: Arc::new(folder.clone()),
            ..config
        };
        Self {
            folder,
            env,
            config,
        }
    }

    /// Reads what is there, and lets the time pass after which new splits are looked for.
    fn read(&self, job: &mut StepJob) -> u64 {
        for _ in 0..3 {
            self.env.now.fetch_add(6_000, Ordering::SeqCst);
            job.checkpoint().unwrap();
            while job.poll().unwrap() {}
        }
        job.checkpoint().unwrap();
        job.status()
            .sources
            .first()
            .map_or(0, |source| source.rows_read)
    }
}

#[test]
fn a_folder_that_is_empty_at_first_is_read_once_it_is_not() {
    let run = Run::new();
    let mut job = StepJob::open(run.config.clone()).unwrap();
    assert_eq!(run.read(&mut job), 0);
    run.folder.add("a", &["1,k", "2,k"]);
    assert_eq!(run.read(&mut job), 2);
    assert_eq!(run.folder.opened("a"), 1);
}

#[test]
fn a_split_is_read_once_whether_or_not_a_manifest_names_it() {
    let run = Run::new();
    run.folder.add("a", &["1,k"]);
    let mut job = StepJob::open(run.config.clone()).unwrap();
    assert_eq!(run.read(&mut job), 1);
    drop(job);
    run.folder.add("b", &["2,k"]);
    let mut job = StepJob::open(run.config.clone()).unwrap();
    assert_eq!(run.read(&mut job), 2);
    assert_eq!(run.folder.opened("b"), 1);
    assert_eq!(
        run.folder.opened("a"),
        1,
        "a split that has ended is not opened again"
    );
}
