//! Random input, random cuts, random crashes: the windows that come out are those of the whole input,
//! each once, whatever the parallelism, batch size and epochs.

use std::sync::Arc;

use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{Plan, WindowKind};
use millstream_engine::{Job, StepJob};

use crate::world::{
    Random, World, committed, committed_with, config, expected, expected_in, input, plan,
    plan_with, world,
};

/// Runs to the end, dying at random moments; parallelism and batch size change at each restart.
fn run_with_crashes(world: &World, plan: Plan, random: &mut Random) -> StepJob {
    let storage = MemoryStorage::default();
    let plan = Arc::new(plan);
    loop {
        let mut config = config(world, &storage, random);
        config.plan = plan.clone();
        let mut job = StepJob::open(config).unwrap();
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
        let job = run_with_crashes(&world, plan(), &mut random);
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
fn sliding_and_growing_windows_hold_what_is_in_them() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let slice_ms = 1 + i64::try_from(random.below(9)).unwrap();
        let slices = [1, 2, 3, 5, 9, 12, 30][usize::try_from(random.below(7)).unwrap()];
        let (size_ms, offset_ms) = (slice_ms * slices, 2);
        let first_of =
            |time: i64| ((time - offset_ms).div_euclid(slice_ms) + 1) * slice_ms + offset_ms;
        let grows = random.below(2) == 0;
        let kind = match grows {
            true => WindowKind::Cumulate {
                size_ms,
                step_ms: slice_ms,
                offset_ms,
            },
            false => WindowKind::Hop {
                size_ms,
                slide_ms: slice_ms,
                offset_ms,
            },
        };
        let ends_of = |time: i64| -> Vec<i64> {
            let first = first_of(time);
            let last = match grows {
                true => ((time - offset_ms).div_euclid(size_ms) + 1) * size_ms + offset_ms,
                false => first + size_ms - slice_ms,
            };
            (0..)
                .map(|number| first + number * slice_ms)
                .take_while(|end| *end <= last)
                .collect()
        };
        let input = input(&mut random);
        let lateness = match grows {
            true => 0,
            false => [0, 0, 5, 40][usize::try_from(random.below(4)).unwrap()],
        };
        let expected = expected_in(&input, &ends_of, lateness);
        let world = world(&input);
        run_with_crashes(&world, plan_with(kind.clone(), lateness), &mut random);
        let (counts, late, dead) = committed_with(&world, lateness > 0);
        assert_eq!(counts, expected.0, "seed {seed} {kind:?} {lateness}");
        assert_eq!((late, dead), (expected.1, expected.2), "seed {seed}");
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
fn before_anything_is_read_there_is_no_state() {
    let mut random = Random(1);
    let world = world(&input(&mut random));
    let storage = MemoryStorage::default();
    let mut first = config(&world, &storage, &mut random);
    drop(StepJob::open(first.clone()).unwrap());
    let kind = |size_ms| WindowKind::Tumble {
        size_ms,
        offset_ms: 0,
    };
    // So even another watermark is nothing to refuse.
    let mut other = plan_with(kind(8), 0);
    other.sources[0].event_time.as_mut().unwrap().delay_ms += 1;
    first.plan = Arc::new(other);
    drop(StepJob::open(first).unwrap());
}
