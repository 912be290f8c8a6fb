//! `millstream sim`: whole histories with faults, each decided by a seed.

use clap::Args;
use millstream_sim::simulator::{Config, run as run_one, run_seeds};

use super::{Failure, Outcome, print, say};

const EXAMPLES: &str = "\
Examples:
  millstream sim                            500 seeds
  millstream sim --seeds 10000 --from 500
  millstream sim --from 17 --seeds 1 --trace";

/// Seeds between two lines of progress.
const PROGRESS_SEEDS: u64 = 100;

/// Arguments of `sim`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimArguments {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub seeds: u64,
    /// The first
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub from: u64,
    /// How many at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Print what the first seed picks, and its trace; no other seed is run
    #[arg(long)]
    pub trace: bool,
}

/// Runs the seeds and prints what they came to.
pub fn run(arguments: &SimArguments) -> Outcome {
    if arguments.trace {
        return trace(arguments.from);
    }
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    let count = arguments.seeds;
    let summary = run_seeds(seeds, arguments.jobs, &|done| {
        if done.is_multiple_of(PROGRESS_SEEDS) {
            say(&format!("{done} of {count} seeds"));
        }
    });
    for (_, report) in &summary.failures {
        say(report);
    }
    print(&summary.text())?;
    match summary.failures.as_slice() {
        [] => Ok(()),
        [(seed, _), ..] => Err(Failure::runtime(format!("seed {seed} fails"))),
    }
}

fn trace(seed: u64) -> Outcome {
    let config = Config::random(seed);
    let outcome = run_one(&config, true);
    let (pipeline, trace) = (config.pipeline.text(), outcome.trace.text());
    print(&format!("{config}\n{pipeline}\n{trace}"))?;
    match outcome.violation {
        None => Ok(()),
        Some(what) => Err(Failure::runtime(format!("seed {seed} fails: {what}"))),
    }
}
