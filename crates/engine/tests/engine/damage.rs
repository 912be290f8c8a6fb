//! Damage and loss on start: what is wrong is named, and the checkpoint from which to go on.

use std::sync::{Arc, Mutex};

use millstream_core::connector::Connectors;
use millstream_core::memory::{MemorySink, MemoryStorage};
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::sink::{EpochMark, Held, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::source::{Decoder, Source};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, Result, ShardIndex};
use millstream_engine::{JobConfig, StepJob};

use crate::world::{Random, World, config, world};

/// 60 records, 10 ms apart. With 5 in an epoch, the first window of 100 ms is complete in epoch 3,
/// the next ones in 5, 7 and so on.
fn sixty() -> World {
    let records = (0..60).map(|i| format!("{},k", i * 10)).collect();
    world(&[("s".to_owned(), records)])
}

fn five_an_epoch(world: &World, storage: &MemoryStorage) -> JobConfig {
    JobConfig {
        batch_rows: 5,
        ..config(world, storage, &mut Random(5))
    }
}

fn run_epochs(config: &JobConfig, epochs: u64) {
    let mut job = StepJob::open(config.clone()).unwrap();
    for _ in 0..epochs {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
}

fn from_epoch(config: &JobConfig, epoch: u64) -> JobConfig {
    JobConfig {
        from_epoch: Some(Epoch(epoch)),
        ..config.clone()
    }
}

#[track_caller]
fn refused(config: &JobConfig) -> Error {
    StepJob::open(config.clone()).map(drop).unwrap_err()
}

fn flip(storage: &MemoryStorage, path: &str) {
    let mut bytes = storage.read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    storage.put(path, &bytes).unwrap();
}

/// The segment that was written in `epoch`.
fn segment(storage: &MemoryStorage, epoch: u64) -> String {
    let segments = storage.list("pipelines/test/state/").unwrap();
    let of_epoch = format!("/{epoch:020}-");
    let found = segments.into_iter().find(|path| path.contains(&of_epoch));
    found.expect("rows of every epoch stay in open windows")
}

#[track_caller]
fn check_offer(error: &Error, damaged: &str, offer: Option<u64>) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
    assert!(text.contains(damaged), "{text}");
    let expected = match offer {
        Some(epoch) => format!(
            "; the newest sound checkpoint is epoch {epoch}: `millstream run FILE --from-epoch {epoch}`"
        ),
        None => "; no older checkpoint is sound: restore the data directory from a backup".into(),
    };
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_damaged_manifest_is_named_and_a_sound_checkpoint_offered() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let manifests = storage.list("pipelines/test/manifests/").unwrap();
    flip(&storage, &manifests[2]);
    check_offer(&refused(&config), &manifests[2], Some(3));
    // A sound manifest is of no use without its segments.
    flip(&storage, &segment(&storage, 3));
    check_offer(&refused(&config), &manifests[2], Some(2));
    flip(&storage, &manifests[0]);
    check_offer(&refused(&config), &manifests[2], None);
}

#[test]
fn a_damaged_or_missing_segment_is_named_and_a_sound_checkpoint_offered() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let newest = segment(&storage, 4);
    flip(&storage, &newest);
    check_offer(&refused(&config), &newest, Some(3));
    storage.delete(&newest).unwrap();
    let error = refused(&config);
    check_offer(&error, &format!("`{newest}` is missing"), Some(3));
    // What is offered is what works.
    let job = StepJob::open(from_epoch(&config, 3)).unwrap();
    assert_eq!((job.status().incarnation, job.status().epoch), (1, 3));
    drop(job);

    let older = segment(&storage, 3);
    storage.delete(&older).unwrap();
    check_offer(&refused(&config), "is missing", Some(2));
    check_offer(&refused(&from_epoch(&config, 3)), &older, Some(2));
    flip(&storage, &segment(&storage, 2));
    check_offer(&refused(&config), "segment", None);
    check_offer(&refused(&from_epoch(&config, 2)), "is damaged", None);
}

#[test]
fn every_kept_manifest_has_all_its_segments() {
    let records = (0..120).map(|i| format!("{},k{i}", i / 4)).collect();
    let world = world(&[("s".to_owned(), records)]);
    let storage = MemoryStorage::default();
    let config = five_an_epoch(&world, &storage);
    // Long enough for segments to be merged, twice.
    for epoch in 1..=20 {
        run_epochs(&config, 1);
        let kept = storage.list("pipelines/test/manifests/").unwrap();
        assert_eq!(kept.len() as u64, epoch.min(3));
        for older in epoch.saturating_sub(2).max(1)..=epoch {
            drop(StepJob::open(from_epoch(&config, older)).unwrap());
        }
    }
}

#[test]
fn going_back_leaves_everything_until_it_has_an_epoch_of_its_own() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let back = from_epoch(&config, 3);
    // It dies before its first epoch: the newest manifest still has all its segments.
    drop(StepJob::open(back.clone()).unwrap());
    drop(StepJob::open(config.clone()).unwrap());
    // The same command may be given again, also after it has gone on.
    for incarnation in [1, 2] {
        let mut job = StepJob::open(back.clone()).unwrap();
        assert_eq!(job.status().incarnation, incarnation);
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    let mut job = StepJob::open(config).unwrap();
    while !job.is_finished() {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    assert_eq!(job.status().sources[0].rows_read, 60);
}

/// A world whose first sink says what the test wants of what it holds.
struct Remembering {
    world: World,
    last: Mutex<Option<EpochMark>>,
}

impl Connectors for Remembering {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        self.world.source(plan)
    }
    fn decoder(
        &self,
        plan: &SourcePlan,
        schema: &arrow::datatypes::SchemaRef,
    ) -> Result<Box<dyn Decoder>> {
        self.world.decoder(plan, schema)
    }
    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        if plan.id.index() > 0 {
            return self.world.sink(plan);
        }
        let inner = self.world.sinks[0].clone();
        let last = *self.last.lock().unwrap();
        Ok(Box::new(RememberingSink { inner, last }))
    }
}

struct RememberingSink {
    inner: MemorySink,
    last: Option<EpochMark>,
}

impl Sink for RememberingSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        self.inner.writer(context, shard)
    }
    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        self.inner.commit(context, epoch, staged)
    }
    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        self.inner.committed(context)
    }
    fn held(&self, _: &SinkContext) -> Result<Option<Held>> {
        Ok(Some(Held {
            place: "table `x` in `tables/x/`".into(),
            last: self.last,
        }))
    }
    fn discard_after(&self, context: &SinkContext, last: Epoch) -> Result<()> {
        self.inner.discard_after(context, last)
    }
}

/// A run of so many epochs over a sink that holds nothing yet.
fn remembering(epochs: u64) -> (JobConfig, Arc<Remembering>) {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let connectors = Arc::new(Remembering {
        world: world.clone(),
        last: Mutex::new(None),
    });
    let config = JobConfig {
        connectors: connectors.clone(),
        ..five_an_epoch(&world, &storage)
    };
    run_epochs(&config, epochs);
    (config, connectors)
}

fn mark(incarnation: u64, epoch: u64) -> EpochMark {
    EpochMark {
        incarnation: Incarnation(incarnation),
        epoch: Epoch(epoch),
    }
}

#[test]
fn a_sink_that_holds_less_than_was_committed_is_noticed() {
    // Epochs 3 and 5 had rows, 6 had none.
    let (config, sink) = remembering(6);
    let set = |last| *sink.last.lock().unwrap() = last;
    set(Some(mark(0, 5)));
    drop(StepJob::open(config.clone()).unwrap());
    set(Some(mark(0, 4)));
    let error = refused(&config);
    let expected = "table `x` in `tables/x/` holds epoch 4 of pipeline `test`, expected epoch 5 or \
                    later: ";
    check_offer(&error, expected, Some(4));
    drop(StepJob::open(from_epoch(&config, 4)).unwrap());
    check_offer(&refused(&from_epoch(&config, 5)), expected, Some(4));
    set(None);
    check_offer(&refused(&config), "holds nothing of pipeline `test`", None);
}

#[test]
fn a_sink_may_lack_the_newest_epoch_and_need_not_have_rows() {
    // No window is complete yet.
    let (config, _) = remembering(2);
    drop(StepJob::open(config).unwrap());
    // The manifest of epoch 3 was written and its rows were not committed yet.
    let (config, _) = remembering(3);
    drop(StepJob::open(config).unwrap());
    // Of epoch 5, and the sink holds what came before.
    let (config, sink) = remembering(5);
    *sink.last.lock().unwrap() = Some(mark(0, 3));
    drop(StepJob::open(config).unwrap());
}

#[test]
fn what_a_sink_held_before_going_back_counts_afterwards() {
    let (config, sink) = remembering(6);
    *sink.last.lock().unwrap() = Some(mark(0, 5));
    // Epoch 4 again, which has no rows, in incarnation 1.
    run_epochs(&from_epoch(&config, 4), 0);
    let mut job = StepJob::open(from_epoch(&config, 4)).unwrap();
    job.poll().unwrap();
    job.checkpoint().unwrap();
    job.poll().unwrap();
    job.checkpoint().unwrap();
    assert_eq!((job.status().incarnation, job.status().epoch), (1, 6));
    drop(job);
    // Epoch 5 of incarnation 1 had rows: that of incarnation 0 is not it.
    let expected = "holds epoch 5 of pipeline `test`, expected epoch 5 of incarnation 1 or later";
    check_offer(&refused(&config), expected, Some(4));
    *sink.last.lock().unwrap() = Some(mark(1, 5));
    drop(StepJob::open(config).unwrap());
}

#[test]
fn a_sink_that_holds_more_than_was_decided_is_noticed() {
    let (config, sink) = remembering(6);
    *sink.last.lock().unwrap() = Some(mark(0, 7));
    let error = refused(&config);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let expected = "table `x` in `tables/x/` holds epoch 7 of pipeline `test`, whose newest \
                    checkpoint is epoch 6: files in `pipelines/test/manifests/`";
    assert!(error.to_string().starts_with(expected), "{error}");
    // A first start over a table that holds epochs of a pipeline of that name.
    let fresh = JobConfig {
        storage: Arc::new(MemoryStorage::default()),
        ..config
    };
    let error = refused(&fresh);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.to_string().contains("which has no checkpoint"),
        "{error}"
    );
}
