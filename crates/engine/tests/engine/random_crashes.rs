//! Random input, random cuts, random crashes: the windows that come out are those of the whole input,
//! each once, whatever the parallelism, batch size and epochs.

use std::sync::Arc;

use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{Operator, WindowKind};
use millstream_engine::{Job, JobConfig, StepJob};

use crate::world::{Random, World, committed, config, expected, input, plan, world};

/// Runs to the end, dying at random moments; parallelism and batch size change at each restart.
fn run_with_crashes(world: &World, random: &mut Random) -> StepJob {
    let storage = MemoryStorage::default();
    loop {
        let mut job = StepJob::open(config(world, &storage, random)).unwrap();
        let mut crashed = false;
        while !job.is_finished() && !crashed {
            match random.below(10) {
                0 => crashed = true,
                1..=3 => drop(job.checkpoint().unwrap()),
                _ => drop(job.poll().unwrap()),
            }
        }
        if !crashed {
            return job;
        }
        storage.crash();
    }
}

#[test]
fn every_row_counts_once() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let input = input(&mut random);
        let world = world(&input);
        let job = run_with_crashes(&world, &mut random);
        assert_eq!(committed(&world), expected(&input), "seed {seed}");

        let (_, late, dead) = expected(&input);
        let status = job.status();
        let source = &status.sources[0];
        let records: usize = input.iter().map(|(_, records)| records.len()).sum();
        assert_eq!(source.rows_read, records as u64, "seed {seed}");
        assert_eq!(source.rows_late, late.len() as u64, "seed {seed}");
        assert_eq!(source.rows_undecodable, dead as u64, "seed {seed}");
        assert_eq!(
            source.rows_read,
            source.rows_on_time + source.rows_late + source.rows_undecodable,
            "seed {seed}"
        );
    }
}

#[test]
fn threads_give_what_steps_give() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let input = input(&mut random);
        let world = world(&input);
        let config = config(&world, &MemoryStorage::default(), &mut random);
        let status = Job::start(config).unwrap().wait().unwrap();
        assert_eq!(committed(&world), expected(&input), "seed {seed}");
        assert_eq!(status.state, millstream_engine::status::JobState::Finished);
    }
}

#[test]
fn another_plans_state_is_refused() {
    let mut random = Random(1);
    let world = world(&input(&mut random));
    let storage = MemoryStorage::default();
    let mut first = config(&world, &storage, &mut random);
    StepJob::open(first.clone()).unwrap().checkpoint().unwrap();
    let mut changed = plan();
    if let Operator::WindowAggregate(aggregate) = &mut changed.nodes[0].operator {
        aggregate.window.kind = WindowKind::Tumble {
            size_ms: 7,
            offset_ms: 0,
        };
    }
    first.plan = Arc::new(changed);
    let error = StepJob::open(first).map(drop).unwrap_err();
    assert!(error.to_string().contains("another plan"), "{error}");
}

#[test]
fn damage_is_named_and_a_sound_manifest_offered() {
    use millstream_core::storage::Storage;
    let mut random = Random(3);
    let input: Vec<(String, Vec<String>)> = vec![(
        "s".into(),
        (0..50).map(|i| format!("{},k", i * 10)).collect(),
    )];
    let world = world(&input);
    let storage = MemoryStorage::default();
    let config = JobConfig {
        batch_rows: 5,
        ..config(&world, &storage, &mut random)
    };
    let mut job = StepJob::open(config.clone()).unwrap();
    for _ in 0..4 {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    drop(job);
    let newest = storage
        .list("pipelines/test/manifests/")
        .unwrap()
        .pop()
        .unwrap();
    let mut bytes = storage.read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    storage.put(&newest, &bytes).unwrap();

    let error = StepJob::open(config.clone())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&newest) && error.contains("--from-epoch 3"),
        "{error}"
    );
    let from = Some(millstream_core::Epoch(3));
    let rewound = JobConfig {
        from_epoch: from,
        ..config.clone()
    };
    let job = StepJob::open(rewound.clone()).unwrap();
    assert_eq!(job.status().incarnation, 1);
    drop(job);

    let segment = storage.list("pipelines/test/state/").unwrap();
    let segment = segment.iter().find(|s| s.contains("0003-")).unwrap();
    let mut bytes = storage.read(segment).unwrap();
    bytes[20] ^= 1;
    storage.put(segment, &bytes).unwrap();
    let error = StepJob::open(rewound).map(drop).unwrap_err();
    assert!(error.to_string().contains(segment), "{error}");
}

#[test]
fn going_back_leaves_everything_until_it_has_an_epoch_of_its_own() {
    let mut random = Random(5);
    let records = (0..60).map(|i| format!("{},k", i * 10)).collect();
    let input: Vec<(String, Vec<String>)> = vec![("s".into(), records)];
    let world = world(&input);
    let storage = MemoryStorage::default();
    let config = JobConfig {
        batch_rows: 5,
        ..config(&world, &storage, &mut random)
    };
    let mut job = StepJob::open(config.clone()).unwrap();
    for _ in 0..4 {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    drop(job);
    let back = JobConfig {
        from_epoch: Some(millstream_core::Epoch(3)),
        ..config.clone()
    };
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
