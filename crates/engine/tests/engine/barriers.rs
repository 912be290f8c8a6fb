//! What is done ahead of the barrier of an epoch: barriers between epochs, and changes that are written down
//! before. What comes out does not depend on it.

use std::sync::Arc;

use millstream_core::memory::MemoryStorage;
use millstream_core::plan::WindowKind;
use millstream_engine::{JobConfig, StepJob};

use crate::world::{Random, committed, config, expected, plan_with, world};

fn records(count: u64) -> Vec<(String, Vec<String>)> {
    let mut random = Random(5);
    let mut split = |name: &str| {
        let record = |number: u64| format!("{},k{}", number / 3, random.below(500));
        (name.to_owned(), (0..count).map(record).collect())
    };
    vec![split("a"), split("b")]
}

/// Two epochs over all of it: the first stops half way, the second begins with a restart.
fn pauses_of(batch_rows: usize) -> (u64, u64) {
    let input = records(4_000);
    let (world, storage) = (world(&input), MemoryStorage::default());
    let settings = JobConfig {
        parallelism: 2,
        batch_rows,
        ..config(&world, &storage, &mut Random(1))
    };
    let mut job = StepJob::open(settings.clone()).unwrap();
    for _ in 0..2_000 / batch_rows {
        job.poll().unwrap();
    }
    job.checkpoint().unwrap();
    let first = job.status().pauses.count;
    drop(job);
    let mut job = StepJob::open(settings).unwrap();
    while job.poll().unwrap() {}
    job.checkpoint().unwrap();
    assert!(job.is_finished());
    assert_eq!(committed(&world), expected(&input));
    (first, job.status().pauses.count)
}

#[test]
fn there_are_barriers_between_epochs_once_enough_was_read() {
    // 16 batches of each shard. At the last barrier of a run that ends nothing is left to read.
    assert_eq!(pauses_of(1_000), (1, 0));
    assert_eq!(pauses_of(50), (3, 2));
}

/// A window that has ended is put out before the epoch is over, and seen with it.
#[test]
fn what_comes_out_between_epochs_is_seen_with_the_epoch() {
    let input = records(1_000);
    let (world, storage) = (world(&input), MemoryStorage::default());
    let kind = WindowKind::Session {
        gap_ms: 20,
        partition: vec![1],
        touching: true,
    };
    let mut job = StepJob::open(JobConfig {
        plan: Arc::new(plan_with(kind, 0)),
        parallelism: 2,
        batch_rows: 8,
        ..config(&world, &storage, &mut Random(1))
    })
    .unwrap();
    while job.poll().unwrap() {}
    assert!(committed(&world).0.is_empty());
    job.checkpoint().unwrap();
    let status = job.status();
    assert!(status.pauses.count > 10, "{:?}", status.pauses);
    let rows: i64 = committed(&world).0.values().map(|(rows, _)| rows).sum();
    assert_eq!((status.epoch, rows), (2, 2_000));
}
