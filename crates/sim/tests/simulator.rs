//! The simulator itself, and the seeds that CI runs: half by each thread.
//!
//! `MILLSTREAM_SEED=s` begins at that seed, `MILLSTREAM_SEEDS=n` runs so many; one seed alone prints its
//! trace.

use std::fmt::Write as _;

use millstream_sim::simulator::{Config, run};

const SEEDS: u64 = 60;
const THREADS: u64 = 2;

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_fails_every_event_counts_once() {
    let (from, seeds) = (
        number("MILLSTREAM_SEED", 0),
        number("MILLSTREAM_SEEDS", SEEDS),
    );
    let failures = |thread: u64| {
        let mut text = String::new();
        for seed in (from..from + seeds).filter(|seed| seed % THREADS == thread) {
            let config = Config::random(seed);
            let outcome = run(&config, seeds == 1);
            if seeds == 1 {
                println!("{}{config}", outcome.trace.text());
            }
            if let Some(violation) = &outcome.violation {
                writeln!(text, "seed {seed}: {violation}\n{config}").expect("text can always grow");
            }
        }
        text
    };
    let found: String = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || failures(thread)))
            .collect();
        let texts = threads.into_iter().map(|thread| thread.join());
        texts.map(|text| text.expect("no panic")).collect()
    });
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    let mut lines = 0;
    for seed in 0..12 {
        let config = Config::random(seed);
        let (first, second) = (run(&config, true), run(&config, true));
        assert_eq!(first.trace.text(), second.trace.text(), "seed {seed}");
        assert_eq!(first.trace.hash(), second.trace.hash());
        lines += first.trace.lines();
    }
    assert!(lines > 1_000, "the traces say little: {lines} lines");
}
