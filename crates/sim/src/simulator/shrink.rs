//! Makes a history that fails smaller, as long as it fails: fewer faults, less input, fewer queries, one
//! shard.

use super::config::{AMPLE_BYTES, Config};
use super::fault::FaultKind;
use super::history::{Outcome, run};

/// How many smaller ones are tried.
const TRIES_MAX: usize = 150;

/// The smallest configuration that still fails, and what it comes to, with its trace.
pub fn smallest(config: &Config) -> (Config, Outcome) {
    let mut best = config.clone();
    let mut tries = 0;
    'again: loop {
        for smaller in candidates(&best) {
            if tries == TRIES_MAX {
                break 'again;
            }
            tries += 1;
            if run(&smaller, false).violation.is_some() {
                best = smaller;
                continue 'again;
            }
        }
        break;
    }
    let outcome = run(&best, true);
    (best, outcome)
}

/// The same with something left out, what tells most first.
fn candidates(config: &Config) -> Vec<Config> {
    let mut made = vec![];
    let mut push = |change: &dyn Fn(&mut Config)| {
        let mut smaller = config.clone();
        change(&mut smaller);
        made.push(smaller);
    };
    for kind in FaultKind::ALL {
        if let Some(rates) = config.rates.without(kind) {
            push(&|smaller| smaller.rates = rates.clone());
        }
    }
    for query in 0..config.pipeline.queries.len() {
        if config.pipeline.queries.len() > 1 {
            push(&|smaller| _ = smaller.pipeline.queries.remove(query));
        }
    }
    for calls in [config.armed_calls / 2, config.armed_calls * 7 / 8] {
        if calls < config.armed_calls && calls > 0 {
            push(&|smaller| smaller.armed_calls = calls);
        }
    }
    for records in [config.shape.records_max / 2, config.shape.records_max - 1] {
        if records > 0 && records < config.shape.records_max {
            push(&|smaller| smaller.shape.records_max = records);
        }
    }
    if config.pipeline.partitions > 1 {
        push(&|smaller| {
            smaller.pipeline.partitions -= 1;
            smaller.shape.partitions -= 1;
        });
    }
    if config.parallelism != [1] {
        push(&|smaller| smaller.parallelism = vec![1]);
    }
    if config.batch_rows != [1024] {
        push(&|smaller| smaller.batch_rows = vec![1024]);
    }
    if config.memory_bytes < AMPLE_BYTES {
        push(&|smaller| smaller.memory_bytes = AMPLE_BYTES);
    }
    made
}
