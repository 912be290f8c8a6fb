//! Faults that pass: the job stops reading, says why, goes on, and nothing is lost or counted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_core::memory::MemoryStorage;
use millstream_core::plan::RestartStrategy;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, ErrorKind, Result};
use millstream_engine::status::JobState;
use millstream_engine::{Job, JobConfig, JobHandle};

use crate::world::{Random, committed, config, expected, world};

/// A disk that can be full: writes fail, reads work.
#[derive(Clone, Default)]
struct FullableStorage {
    inner: MemoryStorage,
    full: Arc<AtomicBool>,
}

impl FullableStorage {
    fn space(&self, path: &str) -> Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(Error::new(
                ErrorKind::StorageFull,
                format!("`{path}`: no space left on device"),
            )),
            false => Ok(()),
        }
    }
}

impl Storage for FullableStorage {
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
        self.inner.list(prefix)
    }
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.space(path)?;
        self.inner.put_if_absent(path, bytes)
    }
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.space(path)?;
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

/// Waits until the job is in `state`; another state that it cannot leave fails the test.
fn until(job: &JobHandle, state: JobState) -> String {
    for _ in 0..200_000_000_u64 {
        let status = job.status();
        if status.state == state {
            return status.reason.unwrap_or_default();
        }
        std::thread::yield_now();
    }
    panic!("the job stays {:?}, expected {state:?}", job.status().state);
}

#[test]
fn a_full_disk_stops_reading_and_loses_nothing() {
    let mut random = Random(11);
    let records = (0..400).map(|i| format!("{},k{}", i * 7, i % 5)).collect();
    let input = vec![("split".to_owned(), records)];
    let world = world(&input);
    let storage = FullableStorage::default();
    storage.full.store(true, Ordering::SeqCst);
    let config = JobConfig {
        storage: Arc::new(storage.clone()),
        batch_rows: 3,
        epoch_interval_ms: 1,
        ..config(&world, &MemoryStorage::default(), &mut random)
    };
    let job = Job::start(config).unwrap();
    let reason = until(&job, JobState::Stalled);
    assert!(reason.contains("no space left"), "{reason}");
    storage.full.store(false, Ordering::SeqCst);
    let status = job.wait().unwrap();
    assert_eq!(status.state, JobState::Finished);
    assert!(status.restarts > 0);
    assert_eq!(committed(&world), expected(&input));
}

#[test]
fn a_job_that_may_not_start_again_says_how_often_it_did() {
    let world = world(&[("split".to_owned(), vec!["1,a".to_owned()])]);
    let storage = FullableStorage::default();
    storage.full.store(true, Ordering::SeqCst);
    let run = |restart| {
        let mut config = config(&world, &MemoryStorage::default(), &mut Random(13));
        let mut plan = (*config.plan).clone();
        plan.options.restart = restart;
        config.plan = Arc::new(plan);
        config.storage = Arc::new(storage.clone());
        let job = Job::start(config).unwrap();
        let error = job.wait().unwrap_err();
        let status = job.status();
        assert_eq!(status.state, JobState::Failed);
        assert_eq!(status.reason, Some(error.to_string()));
        (status.restarts, error.to_string())
    };
    let fixed = RestartStrategy::FixedDelay {
        attempts: 2,
        delay_ms: 1,
    };
    let (restarts, error) = run(fixed);
    assert_eq!(restarts, 2);
    assert!(error.starts_with("given up after 2 restarts: `"), "{error}");
    assert!(error.ends_with("no space left on device"), "{error}");
    let (restarts, error) = run(RestartStrategy::None);
    assert_eq!(restarts, 0);
    assert!(error.starts_with('`'), "{error}");
}

#[test]
fn the_memory_budget_stops_reading_and_says_so() {
    let mut random = Random(12);
    let records = (0..5_000).map(|i| format!("{},key-{i}", i % 50)).collect();
    let world = world(&[("split".to_owned(), records)]);
    let config = JobConfig {
        batch_rows: 100,
        epoch_interval_ms: 1,
        memory_bytes_max: 64 << 10,
        ..config(&world, &MemoryStorage::default(), &mut random)
    };
    let job = Job::start(config).unwrap();
    let reason = until(&job, JobState::Stalled);
    assert!(reason.contains("budget"), "{reason}");
    job.stop();
    let status = job.wait().unwrap();
    assert_eq!(status.state, JobState::Stopped);
    assert!(
        status.sources[0].rows_read < 5_000,
        "it had not read everything"
    );
}
