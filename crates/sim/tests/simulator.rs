//! The seeds that CI runs.
//!
//! `MILLSTREAM_SEED=s` begins at that seed, `MILLSTREAM_SEEDS=n` runs so many; one seed alone prints its
//! trace.

use millstream_sim::simulator::{Config, run, run_seeds};

const SEEDS: u64 = 500;
const THREADS: usize = 2;

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
    let summary = run_seeds(from..from + seeds, THREADS, &|_| ());
    println!("{}", summary.text());
    if seeds == 1 {
        println!("{}", run(&Config::random(from), true).trace.text());
    }
    let failures: Vec<&str> = summary.failures.iter().map(|(_, text)| &**text).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
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
