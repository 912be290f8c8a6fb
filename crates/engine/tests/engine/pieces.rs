//! State that is written once more in pieces, over several epochs: a crash between any two of them loses
//! nothing, and what the pieces replace goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{Plan, WindowKind};
use millstream_core::storage::Storage;
use millstream_engine::{JobConfig, StepJob};

use crate::world::{Random, World, committed, config, plan_with, world};

/// More than two pieces of the least size.
const KEYS: u64 = 20_000;
const RECORDS: u64 = 45_000;

fn records(random: &mut Random) -> Vec<(String, Vec<String>)> {
    let record = |number| {
        let key = match number < KEYS {
            true => number,
            false => random.below(KEYS),
        };
        // A visit of a user now and then ends before the next.
        format!("{},k{key}", number / 9)
    };
    vec![("split".into(), (0..RECORDS).map(record).collect())]
}

fn settings(world: &World, storage: &MemoryStorage, plan: &Arc<Plan>) -> JobConfig {
    JobConfig {
        plan: plan.clone(),
        parallelism: 1,
        batch_rows: 1_024,
        ..config(world, storage, &mut Random(1))
    }
}

/// What comes out if everything is read before the first epoch.
fn at_once(input: &[(String, Vec<String>)], plan: &Arc<Plan>) -> impl PartialEq + std::fmt::Debug {
    let world = world(input);
    let mut job = StepJob::open(settings(&world, &MemoryStorage::default(), plan)).unwrap();
    while job.poll().unwrap() {}
    job.checkpoint().unwrap();
    assert!(job.is_finished());
    committed(&world).0
}

fn check(kind: WindowKind) {
    let mut random = Random(3);
    let input = records(&mut random);
    let plan = Arc::new(plan_with(kind, 0));
    let (world, storage) = (world(&input), MemoryStorage::default());
    let mut lives = 0;
    let mut replaced = 0;
    'lives: loop {
        lives += 1;
        let mut job = StepJob::open(settings(&world, &storage, &plan)).unwrap();
        let mut known: BTreeSet<String> = segments(&storage);
        // Some lives are over before all pieces are written, some go on for longer.
        for _ in 0..2 + random.below(9) {
            let _ = (job.poll().unwrap(), job.poll().unwrap());
            job.checkpoint().unwrap();
            if job.is_finished() {
                break 'lives;
            }
            let now = segments(&storage);
            replaced += known.difference(&now).count();
            known = now;
        }
        storage.crash();
    }
    assert!(
        lives > 2 && replaced > 10,
        "{lives} lives, {replaced} segments replaced"
    );
    let found: &dyn std::fmt::Debug = &committed(&world).0;
    let expected = at_once(&input, &plan);
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

fn segments(storage: &MemoryStorage) -> BTreeSet<String> {
    let files = storage.list("pipelines/test/state/").unwrap();
    files.into_iter().collect()
}

#[test]
fn windows_are_whole_after_a_crash_between_pieces() {
    check(WindowKind::Tumble {
        size_ms: 1_000_000,
        offset_ms: 0,
    });
}

#[test]
fn sessions_are_whole_after_a_crash_between_pieces() {
    check(WindowKind::Session {
        gap_ms: 1_500,
        partition: vec![1],
        touching: true,
    });
}
