//! Takes the steps of the protocol out, one at a time: the simulator must notice each within 500 seeds.
//!
//! The steps can be taken out only in a build with the feature `mutants`. So without it this test builds
//! itself with it, and runs that; the code of a normal build does not have them.

#[cfg(not(feature = "mutants"))]
#[test]
fn the_simulator_notices_each_step_that_is_taken_out() {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    // Of the whole workspace, so that it is built with the dependencies that are there already.
    cargo.args([
        "test",
        "--workspace",
        "--features",
        "millstream-sim/mutants",
    ]);
    cargo.args(["--test", "mutants", "--", "--nocapture"]);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    let status = status.expect("cargo is there, as it runs this test");
    assert!(status.success(), "{status}");
}

#[cfg(feature = "mutants")]
mod with_mutants {
    use std::sync::atomic::{AtomicU64, Ordering};

    use millstream_core::mutant::{Mutant, take_out};
    use millstream_sim::simulator::fault::Rates;
    use millstream_sim::simulator::shrink::smallest;
    use millstream_sim::simulator::{Config, run};

    /// Seeds within which each must be noticed.
    const SEEDS: u64 = 500;
    const THREADS: u64 = 2;
    /// Three runs have to meet in one order of many for these to do harm: the search through all orders
    /// (`crates/engine/tests/protocol`) finds them, 500 seeds need not.
    const LEFT_TO_THE_MODEL: [Mutant; 2] = [Mutant::DiscardFirst, Mutant::DiscardAll];

    #[test]
    fn the_simulator_notices_each_step_that_is_taken_out() {
        let mut missed = vec![];
        let mutants = Mutant::ALL.into_iter();
        for mutant in mutants.filter(|mutant| !LEFT_TO_THE_MODEL.contains(mutant)) {
            take_out(Some(mutant));
            match first_failure() {
                Some((seed, what)) => {
                    let what = what.lines().next().unwrap_or_default();
                    println!("{mutant:?}: seed {seed}: {what}");
                }
                None => {
                    println!("{mutant:?}: not noticed");
                    missed.push(mutant);
                }
            }
        }
        take_out(Some(Mutant::NoCounters));
        a_failure_is_made_smaller();
        take_out(None);
        assert!(missed.is_empty(), "not noticed: {missed:?}");
    }

    /// Once a job starts again its counters are wrong: no fault is needed for that, and one query.
    fn a_failure_is_made_smaller() {
        let (seed, _) = first_failure().expect("it fails");
        let (config, outcome) = smallest(&Config::random(seed));
        assert!(outcome.violation.is_some());
        assert!(!outcome.trace.text().is_empty());
        assert_eq!(config.rates, Rates::default(), "{config}");
        assert_eq!(config.pipeline.queries.len(), 1, "{config}");
        assert_eq!(config.parallelism, [1], "{config}");
    }

    /// The first seed that fails, and what is wrong.
    fn first_failure() -> Option<(u64, String)> {
        let end = AtomicU64::new(SEEDS);
        let end = &end;
        let search = |thread: u64| {
            let seeds = (0..SEEDS).filter(|seed| seed % THREADS == thread);
            for seed in seeds.take_while(|seed| *seed < end.load(Ordering::SeqCst)) {
                if let Some(what) = run(&Config::random(seed), false).violation {
                    end.fetch_min(seed, Ordering::SeqCst);
                    return Some((seed, what));
                }
            }
            None
        };
        let search = &search;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| scope.spawn(move || search(thread)))
                .collect();
            let found = threads.into_iter().map(|thread| thread.join());
            found.flat_map(|found| found.expect("no panic")).min()
        })
    }
}
