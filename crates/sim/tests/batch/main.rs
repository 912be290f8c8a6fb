//! Streaming is batch: what a pipeline gives is what DataFusion answers over the whole input.
//!
//! ```text
//! seed -> input + queries ─┬─> Flink SQL ──> a random world (shards, batches, epochs, crashes) ─┐
//!                          └─> batch SQL ──> DataFusion over the rows that are on time ─────────┴─ equal?
//! ```
//!
//! A query is described once ([`query`]) and written twice ([`flink`], [`batch`]). Each case is an
//! input, a world and some queries; its number is its seed. `MILLSTREAM_QUERIES=n` asks so many
//! queries, `MILLSTREAM_SEED=s` begins at that case. A failure is made smaller, and printed with both
//! texts and the input.

mod batch;
mod drive;
mod flink;
mod generate;
mod input;
mod query;
mod scalar;
mod shrink;

use drive::Case;
use generate::Generator;
use input::Input;
use millstream_sim::chance::Chance;

/// Queries in the normal run, and how many of them DataFusion must be able to answer.
const QUERIES: usize = 1_040;
const ANSWERED_MIN: usize = 1_000;

/// Failures after which no more are looked for.
const FAILURES_MAX: usize = 5;

/// Queries over one input.
const QUERIES_PER_CASE: usize = 4;

#[test]
fn a_pipeline_gives_what_the_batch_gives() {
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    let seed = number("MILLSTREAM_SEED");
    let queries = number("MILLSTREAM_QUERIES").unwrap_or(match seed {
        Some(_) => QUERIES_PER_CASE as u64,
        None => QUERIES as u64,
    });
    let first = seed.unwrap_or(0);
    let cases = queries.div_ceil(QUERIES_PER_CASE as u64);
    let (mut failures, mut answers): (Vec<String>, Vec<Option<usize>>) = (vec![], vec![]);
    for seed in first..first + cases {
        let case = case(seed);
        match case.run() {
            Ok(found) => answers.extend(found),
            Err(found) => failures.push(shrink::report(seed, case, found)),
        }
        if failures.len() >= FAILURES_MAX {
            break;
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
    let rows: Vec<usize> = answers.iter().filter_map(|rows| *rows).collect();
    let (answered, some) = (rows.len(), rows.iter().filter(|rows| **rows > 0).count());
    let (asked, all) = (answers.len(), rows.iter().sum::<usize>());
    println!("{answered} of {asked} queries answered by both, {some} with rows: {all}");
    if seed.is_none() && queries == QUERIES as u64 {
        assert!(answered >= ANSWERED_MIN, "DataFusion answers too few");
        assert!(
            some * 3 > answered * 2,
            "two thirds must have rows to compare"
        );
    }
}

fn case(seed: u64) -> Case {
    let mut chance = Chance::new(seed);
    let is_orderly = chance.one_in(2);
    let input = Input::random(&mut chance, is_orderly);
    let world = chance.seed();
    let is_idle = chance.one_in(3);
    let mut generator = Generator {
        chance: &mut chance,
        is_orderly,
    };
    let queries = (0..QUERIES_PER_CASE).map(|_| generator.query()).collect();
    Case {
        seed: world,
        input,
        is_idle,
        queries,
    }
}
