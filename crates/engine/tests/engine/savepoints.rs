//! Savepoints: what they keep, going back to them, and what is left if a process ends in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use millstream_core::memory::MemoryStorage;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, ErrorKind, Result};
use millstream_engine::checkpoint::{Manifest, Savepoint, Savepoints};
use millstream_engine::runtime::preview::{self, Rewind};
use millstream_engine::{JobConfig, StartFrom, StartOptions, StepJob};

use crate::damage::{five_an_epoch, flip, run_epochs, sixty};
use crate::world::World;

fn savepoints(storage: &MemoryStorage) -> Savepoints {
    Savepoints::new(Arc::new(storage.clone()), "test")
}

fn names(savepoints: &Savepoints) -> Vec<String> {
    let found = savepoints.list().unwrap().into_iter();
    found.map(|(name, _)| name).collect()
}

fn from_savepoint(config: &JobConfig, name: &str) -> JobConfig {
    JobConfig {
        start: StartOptions {
            from: StartFrom::Savepoint(name.to_owned()),
            ..StartOptions::default()
        },
        ..config.clone()
    }
}

fn rewind(config: &JobConfig) -> Option<Rewind> {
    let place = (&config.storage, &config.env);
    let preview = preview::preview(&config.plan, place, &config.start);
    preview.unwrap().rewind
}

fn to_the_end(config: &JobConfig) -> StepJob {
    let mut job = StepJob::open(config.clone()).unwrap();
    while !job.is_finished() {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    job
}

/// Rows of the first sink: how many by the end of the window.
fn counts(world: &World) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    for rows in world.sinks[0].rows() {
        let ends = rows.column(1).as_primitive::<TimestampMillisecondType>();
        let n = rows.column(4).as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let before = counts.insert(ends.value(row), n.value(row));
            assert_eq!(before, None, "a window came out twice");
        }
    }
    counts
}

fn segments(manifest: &Manifest) -> BTreeSet<String> {
    let segments = manifest.segments.iter();
    segments.map(|segment| segment.file.clone()).collect()
}

/// State files that are there.
fn files(storage: &MemoryStorage) -> BTreeSet<String> {
    let files = storage.list("pipelines/test/state/").unwrap();
    files.into_iter().collect()
}

/// Every manifest and savepoint has all its segments, and there are no others.
#[track_caller]
fn check_kept(storage: &MemoryStorage) {
    let mut named = BTreeSet::new();
    for path in storage.list("pipelines/test/manifests/").unwrap() {
        let manifest = Manifest::decode(&path, &storage.read(&path).unwrap()).unwrap();
        named.extend(segments(&manifest));
    }
    for (_, savepoint) in savepoints(storage).list().unwrap() {
        named.extend(segments(&savepoint.unwrap().manifest));
    }
    assert_eq!(files(storage), named);
}

#[test]
fn a_savepoint_keeps_its_state_until_it_is_dropped() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let made = savepoints(&storage).create("a", 77).unwrap();
    assert_eq!((made.manifest.epoch.0, made.created_ms), (5, 77));
    // The group of the window that is open, as two epochs have changed it.
    assert_eq!(made.state_rows(), 2);
    drop(to_the_end(&config));
    drop(StepJob::open(config.clone()).unwrap());
    let kept = segments(&made.manifest);
    assert!(!kept.is_empty() && files(&storage).is_superset(&kept));
    check_kept(&storage);
    assert_eq!(savepoints(&storage).load("a").unwrap(), made);
    savepoints(&storage).drop("a").unwrap();
    assert!(
        files(&storage).is_disjoint(&kept),
        "their windows have fired"
    );
    check_kept(&storage);
    assert_eq!(names(&savepoints(&storage)), Vec::<String>::new());
}

#[test]
fn what_others_name_stays_when_a_savepoint_is_dropped() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    for name in ["a", "b"] {
        savepoints(&storage).create(name, 0).unwrap();
    }
    run_epochs(&config, 1);
    savepoints(&storage).drop("a").unwrap();
    check_kept(&storage);
    let emptied = JobConfig {
        connectors: Arc::new(sixty()),
        ..from_savepoint(&config, "b")
    };
    drop(to_the_end(&emptied));
    savepoints(&storage).drop("b").unwrap();
    check_kept(&storage);
}

#[test]
fn going_back_gives_the_rows_after_the_savepoint_again() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    // 20 rows, up to 190 ms: the watermark is at 160, so the first window has fired.
    run_epochs(&config, 4);
    savepoints(&storage).create("a", 0).unwrap();
    drop(to_the_end(&config));
    let all = (1..=6).map(|window| (window * 100, 10)).collect();
    assert_eq!(counts(&world), all);

    for (parallelism, incarnation) in [(config.parallelism, 1), (config.parallelism + 2, 2)] {
        let emptied = sixty();
        let config = JobConfig {
            parallelism,
            connectors: Arc::new(emptied.clone()),
            ..from_savepoint(&config, "a")
        };
        let job = to_the_end(&config);
        let status = job.status();
        assert_eq!(
            (status.incarnation, status.sources[0].rows_read),
            (incarnation, 60)
        );
        let after = (2..=6).map(|window| (window * 100, 10)).collect();
        assert_eq!(counts(&emptied), after, "with {parallelism} shards");
    }
}

#[test]
fn the_newest_epoch_rewinds_nothing() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    savepoints(&storage).create("a", 0).unwrap();
    let back = from_savepoint(&config, "a");
    // Starts that read nothing change nothing of it.
    for epoch in [6, 7] {
        assert_eq!(rewind(&back), None);
        let job = StepJob::open(back.clone()).unwrap();
        assert_eq!((job.status().incarnation, job.status().epoch), (0, epoch));
    }
    run_epochs(&back, 1);
    let preview = rewind(&back).unwrap();
    assert_eq!(
        (preview.to.epoch.0, preview.newest.unwrap().epoch.0),
        (5, 9)
    );
    // 25 rows, up to 240 ms: the second window has fired since.
    let told: Vec<_> = preview
        .sinks
        .iter()
        .map(|it| (&*it.table, it.rows_since, it.is_keyed))
        .collect();
    assert_eq!(told, [("counts", Some(1), false)]);
    drop(StepJob::open(back).unwrap());
}

#[test]
fn names_are_refused_that_are_none_or_taken_or_unknown() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let savepoints = savepoints(&storage);
    let check = |name: &str, kind: ErrorKind, expected: &str| {
        let error = savepoints.create(name, 0).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let wrong = ErrorKind::InvalidInput;
    check("a", wrong, "pipeline `test` has no epoch yet");
    run_epochs(&five_an_epoch(&world, &storage), 1);
    for name in ["", ".a", "a/b", "ä", "a b", "../a", &"a".repeat(101)] {
        check(name, wrong, "expected 1 to 100 letters");
    }
    check("latest", wrong, "stands for the newest checkpoint");
    savepoints.create("a", 0).unwrap();
    check(
        "a",
        ErrorKind::Conflict,
        "savepoint `a` of pipeline `test` is there already",
    );
    for error in [
        savepoints.load("b").unwrap_err(),
        savepoints.drop("b").unwrap_err(),
    ] {
        assert_eq!(error.kind(), wrong);
        let expected = "pipeline `test` has no savepoint `b`; there are: `a`";
        assert_eq!(error.to_string(), expected);
    }
    let config = five_an_epoch(&world, &storage);
    let error = StepJob::open(from_savepoint(&config, "b"))
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("there are: `a`"), "{error}");
}

#[test]
fn a_damaged_savepoint_is_named_and_nothing_is_removed_until_it_is_dropped() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let made = savepoints(&storage).create("a", 0).unwrap();
    flip(&storage, "pipelines/test/savepoints/a");
    let error = savepoints(&storage).load("a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .to_string()
            .contains("savepoint `pipelines/test/savepoints/a` is damaged")
    );
    assert!(savepoints(&storage).list().unwrap()[0].1.is_err());
    let refused = StepJob::open(from_savepoint(&config, "a"))
        .map(drop)
        .unwrap_err();
    assert_eq!(refused.to_string(), error.to_string());
    drop(to_the_end(&config));
    drop(StepJob::open(config.clone()).unwrap());
    assert!(files(&storage).is_superset(&segments(&made.manifest)));
    savepoints(&storage).drop("a").unwrap();
    drop(StepJob::open(config).unwrap());
    check_kept(&storage);
}

#[test]
fn a_savepoint_without_all_its_state_is_refused() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let made = savepoints(&storage).create("a", 0).unwrap();
    drop(to_the_end(&config));
    storage.delete(&made.manifest.segments[0].file).unwrap();
    let error = StepJob::open(from_savepoint(&config, "a"))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("is missing"), "{error}");
}

/// Does something before an operation, counted from 0; ends before it, or does not.
#[derive(Clone)]
pub struct Interrupted {
    inner: MemoryStorage,
    left: Arc<Mutex<Option<usize>>>,
    then: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

impl Interrupted {
    /// Over `inner`; `then` is done before operation `at`, and its error ends the machine.
    pub fn new(
        inner: &MemoryStorage,
        at: usize,
        then: impl Fn() -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: inner.clone(),
            left: Arc::new(Mutex::new(Some(at))),
            then: Arc::new(then),
        }
    }

    /// Whether it came to that operation.
    pub fn has_struck(&self) -> bool {
        self.left.lock().unwrap().is_none()
    }

    fn step(&self) -> Result<()> {
        let mut left = self.left.lock().unwrap();
        match *left {
            // A machine that has ended stays so.
            Some(0) | None => {
                let is_first = left.take().is_some();
                drop(left);
                let done = (self.then)();
                if is_first || done.is_err() {
                    done
                } else {
                    Ok(())
                }
            }
            Some(more) => {
                *left = Some(more - 1);
                Ok(())
            }
        }
    }
}

impl Storage for Interrupted {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.step()?;
        self.inner.read(path)
    }
    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.step()?;
        self.inner.read_range(path, offset, length)
    }
    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.step()?;
        self.inner.length(path)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.step()?;
        self.inner.list(prefix)
    }
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.step()?;
        self.inner.put_if_absent(path, bytes)
    }
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.step()?;
        self.inner.put(path, bytes)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.step()?;
        self.inner.rename(from, to)
    }
    fn delete(&self, path: &str) -> Result<()> {
        self.step()?;
        self.inner.delete(path)
    }
    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        self.step()?;
        self.inner.append(path)
    }
}

/// Four epochs, a savepoint `old`, one epoch more.
fn two_points() -> (World, MemoryStorage, JobConfig) {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    savepoints(&storage).create("old", 0).unwrap();
    run_epochs(&config, 1);
    (world, storage, config)
}

/// Ends the machine before each step of `work` in turn: `check` sees what is there then, and again after
/// the pipeline was started.
fn end_at_every_step(work: impl Fn(&Savepoints), check: impl Fn(&[String])) {
    for step in 0.. {
        let (_world, storage, config) = two_points();
        let ended = Interrupted::new(&storage, step, || Err(Error::unavailable("the end")));
        work(&Savepoints::new(Arc::new(ended.clone()), "test"));
        storage.crash();
        let there = savepoints(&storage);
        check(&names(&there));
        for (_, savepoint) in there.list().unwrap() {
            let named = segments(&savepoint.unwrap().manifest);
            assert!(files(&storage).is_superset(&named), "step {step}");
        }
        drop(StepJob::open(config).unwrap());
        check(&names(&there));
        check_kept(&storage);
        if !ended.has_struck() {
            assert!(step > 3, "it takes some steps");
            return;
        }
    }
}

#[test]
fn an_end_while_one_is_made_leaves_all_of_it_or_nothing() {
    let work = |savepoints: &Savepoints| drop(savepoints.create("new", 0));
    end_at_every_step(work, |there| {
        assert!(there == ["old"] || there == ["new", "old"], "{there:?}");
    });
}

#[test]
fn an_end_while_one_is_dropped_leaves_all_of_it_or_nothing() {
    let work = |savepoints: &Savepoints| drop(savepoints.drop("old"));
    end_at_every_step(work, |there| {
        assert!(there.is_empty() || there == ["old"], "{there:?}");
    });
}

/// While a savepoint is made or dropped, the pipeline commits epochs, between any two steps.
fn run_at_every_step(work: impl Fn(&Savepoints) -> Result<Option<Savepoint>>) {
    for step in 0.. {
        let (_world, storage, config) = two_points();
        let job = Arc::new(Mutex::new(StepJobs(StepJob::open(config).unwrap())));
        let running = job.clone();
        let meanwhile = Interrupted::new(&storage, step, move || running.lock().unwrap().epochs(5));
        let made = work(&Savepoints::new(Arc::new(meanwhile.clone()), "test")).unwrap();
        if let Some(made) = made {
            let named = segments(&made.manifest);
            assert!(files(&storage).is_superset(&named), "step {step}");
        }
        job.lock().unwrap().epochs(5).unwrap();
        check_kept(&storage);
        if !meanwhile.has_struck() {
            assert!(step > 3, "it takes some steps");
            return;
        }
    }
}

/// A job that a test hands from thread to thread.
struct StepJobs(StepJob);

impl StepJobs {
    /// As many epochs as the input gives.
    fn epochs(&mut self, epochs: u64) -> Result<()> {
        for _ in 0..epochs {
            self.0.poll()?;
            self.0.checkpoint()?;
        }
        Ok(())
    }
}

#[test]
fn one_is_made_while_epochs_are_committed_and_collected() {
    run_at_every_step(|savepoints| savepoints.create("new", 0).map(Some));
}

#[test]
fn one_is_dropped_while_epochs_are_committed_and_collected() {
    run_at_every_step(|savepoints| savepoints.drop("old").map(|()| None));
}
