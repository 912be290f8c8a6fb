//! Random input, random cuts, random crashes: the windows that come out are those of the whole input,
//! each once, whatever the parallelism, batch size and epochs.

use std::sync::Arc;

use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{Operator, WindowKind};
use millstream_engine::{Job, StepJob};

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
