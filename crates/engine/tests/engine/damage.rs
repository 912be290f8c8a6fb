//! Damage and loss on start: what is wrong is named, and the checkpoint from which to go on.

use std::sync::{Arc, Mutex};

use millstream_core::connector::Connectors;
use millstream_core::memory::{MemorySink, MemoryStorage};
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::sink::{EpochMark, Held, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::source::{Decoder, Source};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, Result, ShardIndex};
use millstream_engine::checkpoint::Manifest;
use millstream_engine::{JobConfig, StartFrom, StartOptions, StepJob};

use crate::world::{Random, World, config, world};

/// 60 records, 10 ms apart. A run begins with an epoch without rows, so the first is epoch 2. With 5 in
/// an epoch, the first window of 100 ms is complete in epoch 4, the next ones in 6, 8 and so on.
pub fn sixty() -> World {
    let records = (0..60).map(|i| format!("{},k", i * 10)).collect();
    world(&[("s".to_owned(), records)])
}

pub fn five_an_epoch(world: &World, storage: &MemoryStorage) -> JobConfig {
    JobConfig {
        batch_rows: 5,
        ..config(world, storage, &mut Random(5))
    }
}

pub fn run_epochs(config: &JobConfig, epochs: u64) {
    let mut job = StepJob::open(config.clone()).unwrap();
    for _ in 0..epochs {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
}

fn from_epoch(config: &JobConfig, epoch: u64) -> JobConfig {
    JobConfig {
        start: StartOptions {
            from: StartFrom::Epoch(Epoch(epoch)),
            ..StartOptions::default()
        },
        ..config.clone()
    }
}

#[track_caller]
fn refused(config: &JobConfig) -> Error {
    StepJob::open(config.clone()).map(drop).unwrap_err()
}

pub fn flip(storage: &MemoryStorage, path: &str) {
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
    check_offer(&refused(&config), &manifests[2], Some(4));
    // A sound manifest is of no use without its segments.
    flip(&storage, &segment(&storage, 4));
    check_offer(&refused(&config), &manifests[2], Some(3));
    flip(&storage, &manifests[0]);
    check_offer(&refused(&config), &manifests[2], None);
}

#[test]
fn a_damaged_or_missing_segment_is_named_and_a_sound_checkpoint_offered() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let newest = segment(&storage, 5);
    flip(&storage, &newest);
    check_offer(&refused(&config), &newest, Some(4));
    storage.delete(&newest).unwrap();
    let error = refused(&config);
    check_offer(&error, &format!("`{newest}` is missing"), Some(4));
    // What is offered is what works, and decides from then on.
    let job = StepJob::open(from_epoch(&config, 4)).unwrap();
    assert_eq!((job.status().incarnation, job.status().epoch), (1, 5));
    drop(job);
    drop(StepJob::open(config.clone()).unwrap());

    let older = segment(&storage, 4);
    storage.delete(&older).unwrap();
    check_offer(&refused(&config), "is missing", Some(3));
    check_offer(&refused(&from_epoch(&config, 4)), &older, Some(3));
    flip(&storage, &segment(&storage, 3));
    check_offer(&refused(&config), "segment", None);
    check_offer(&refused(&from_epoch(&config, 3)), "is damaged", None);
}

#[test]
fn every_kept_manifest_has_all_its_segments() {
    let records = (0..120).map(|i| format!("{},k{i}", i / 4)).collect();
    let world = world(&[("s".to_owned(), records)]);
    let storage = MemoryStorage::default();
    let config = five_an_epoch(&world, &storage);
    // Long enough for segments to be merged, twice.
    for runs in 1..=20 {
        run_epochs(&config, 1);
        // Starts that come to nothing push nothing out.
        run_epochs(&config, 0);
        run_epochs(&config, 0);
        let kept = storage.list("pipelines/test/manifests/").unwrap();
        assert_eq!(kept.len(), runs.min(3) + 1, "{kept:?}");
        for path in &kept {
            let manifest = Manifest::decode(path, &storage.read(path).unwrap()).unwrap();
            assert_eq!(manifest.is_claim, kept.last() == Some(path));
            for segment in manifest.segments {
                let length = storage.length(&segment.file).unwrap();
                assert_eq!(length, Some(segment.bytes), "{path} needs {}", segment.file);
            }
        }
    }
}

#[test]
fn going_back_can_be_repeated() {
    let (world, storage) = (sixty(), MemoryStorage::default());
    let config = five_an_epoch(&world, &storage);
    run_epochs(&config, 4);
    let back = from_epoch(&config, 4);
    // It dies before it reads anything.
    drop(StepJob::open(back.clone()).unwrap());
    drop(StepJob::open(config.clone()).unwrap());
    // The same command may be given again, also after it has gone on.
    for incarnation in [2, 3] {
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
    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        self.inner.discard_before(context)
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
    // Epochs 4 and 6 had rows, 7 had none.
    let (config, sink) = remembering(6);
    let set = |last| *sink.last.lock().unwrap() = last;
    set(Some(mark(0, 6)));
    drop(StepJob::open(config.clone()).unwrap());
    set(Some(mark(0, 5)));
    let error = refused(&config);
    let expected = "table `x` in `tables/x/` holds epoch 5 of pipeline `test`, expected epoch 6 or \
                    later: ";
    check_offer(&error, expected, Some(5));
    check_offer(&refused(&from_epoch(&config, 6)), expected, Some(5));
    drop(StepJob::open(from_epoch(&config, 5)).unwrap());
    set(None);
    check_offer(&refused(&config), "holds nothing of pipeline `test`", None);
}

#[test]
fn a_sink_may_lack_the_newest_epoch_and_need_not_have_rows() {
    // No window is complete yet.
    let (config, _) = remembering(2);
    drop(StepJob::open(config).unwrap());
    // The manifest of epoch 4 was written and its rows were not committed yet.
    let (config, _) = remembering(3);
    drop(StepJob::open(config).unwrap());
    // Of epoch 6, and the sink holds what came before.
    let (config, sink) = remembering(5);
    *sink.last.lock().unwrap() = Some(mark(0, 4));
    drop(StepJob::open(config).unwrap());
}

#[test]
fn what_a_sink_held_before_going_back_counts_afterwards() {
    let (config, sink) = remembering(6);
    *sink.last.lock().unwrap() = Some(mark(0, 6));
    // Epoch 5 again, which has no rows, in incarnation 1, then in 2.
    run_epochs(&from_epoch(&config, 5), 0);
    let mut job = StepJob::open(from_epoch(&config, 5)).unwrap();
    job.poll().unwrap();
    job.checkpoint().unwrap();
    job.poll().unwrap();
    job.checkpoint().unwrap();
    assert_eq!((job.status().incarnation, job.status().epoch), (2, 8));
    drop(job);
    // Epoch 7 of incarnation 2 had rows: what incarnation 0 wrote is not it.
    let expected = "holds epoch 6 of pipeline `test`, expected epoch 7 of incarnation 2 or later";
    check_offer(&refused(&config), expected, Some(6));
    *sink.last.lock().unwrap() = Some(mark(2, 7));
    drop(StepJob::open(config).unwrap());
}

#[test]
fn a_sink_that_holds_more_than_was_decided_is_noticed() {
    let (config, sink) = remembering(6);
    *sink.last.lock().unwrap() = Some(mark(0, 8));
    let error = refused(&config);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let expected = "table `x` in `tables/x/` holds epoch 8 of pipeline `test`, whose newest \
                    checkpoint is epoch 7: files in `pipelines/test/manifests/`";
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
