//! Two runs of a pipeline on storage that both can reach.

use std::sync::{Arc, Mutex};

use millstream_core::memory::MemoryStorage;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{ErrorKind, Result};
use millstream_engine::{JobConfig, StepJob};

use crate::world::{Random, committed, config, expected, world};

type Then = Box<dyn FnOnce() + Send>;

/// Does something, once, after it has listed manifests.
#[derive(Clone, Default)]
struct Watched {
    inner: MemoryStorage,
    then: Arc<Mutex<Option<Then>>>,
}

impl Storage for Watched {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.inner.read(path)
    }
    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner.read_range(path, offset, length)
    }
    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.inner.length(path)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let found = self.inner.list(prefix);
        let then = self.then.lock().unwrap().take();
        if let Some(then) = then {
            then();
        }
        found
    }
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put_if_absent(path, bytes)
    }
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put(path, bytes)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path)
    }
    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        self.inner.append(path)
    }
}

/// The old run decides so many epochs while the new one starts that the manifest which the new one is
/// about to read has been removed.
#[test]
fn a_start_that_is_overtaken_begins_anew() {
    let records = (0..60).map(|i| format!("{},k{}", i * 20, i % 3)).collect();
    let input = [("s".to_owned(), records)];
    let world = world(&input);
    let watched = Watched::default();
    let config = JobConfig {
        batch_rows: 3,
        parallelism: 1,
        ..config(&world, &watched.inner, &mut Random(1))
    };
    let old = Arc::new(Mutex::new(StepJob::open(config.clone()).unwrap()));
    let go_on = |job: &Mutex<StepJob>| {
        let mut job = job.lock().unwrap();
        for _ in 0..5 {
            job.poll().unwrap();
            job.checkpoint().unwrap();
        }
    };
    go_on(&old);
    let other = old.clone();
    *watched.then.lock().unwrap() = Some(Box::new(move || go_on(&other)));
    let mut new = StepJob::open(JobConfig {
        storage: Arc::new(watched.clone()),
        ..config
    })
    .unwrap();
    assert!(watched.then.lock().unwrap().is_none(), "it was overtaken");

    while !new.is_finished() {
        new.poll().unwrap();
        new.checkpoint().unwrap();
    }
    assert_eq!(committed(&world), expected(&input));
    let mut old = old.lock().unwrap();
    old.poll().unwrap();
    let error = old.checkpoint().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}

/// The new run has come to its end and removed the segments that the old one is about to merge.
#[test]
fn what_another_run_has_removed_is_no_damage() {
    let records = (0..60).map(|i| format!("{i},k{}", i % 3)).collect();
    let world = world(&[("s".to_owned(), records)]);
    let storage = MemoryStorage::default();
    let config = JobConfig {
        batch_rows: 3,
        parallelism: 1,
        ..config(&world, &storage, &mut Random(1))
    };
    let mut old = StepJob::open(config.clone()).unwrap();
    for _ in 0..7 {
        old.poll().unwrap();
        old.checkpoint().unwrap();
    }
    let mut new = StepJob::open(config).unwrap();
    while !new.is_finished() {
        new.poll().unwrap();
        new.checkpoint().unwrap();
    }
    old.poll().unwrap();
    let error = old.checkpoint().unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}
