//! The epoch protocol, searched exhaustively: the machine that the runtime drives, two owners, two sinks,
//! an input of three rows, and a crash or an unclear answer at every step.
//!
//! In every state that can be reached: no sink shows a row twice, or one that no manifest covers, or half
//! an epoch; and however the runs go on once faults have stopped, every sink ends with every row.
//!
//! `MILLSTREAM_MODEL=N` allows N faults instead of the default.

mod search;
mod world;

use search::{Found, search};
use world::{Limits, Mutant};

/// States that the default search must reach at least: fewer, and it looks at less than it claims.
const STATES_MIN: usize = 1_000_000;

#[test]
fn every_interleaving_keeps_every_row_once() {
    let faults = std::env::var("MILLSTREAM_MODEL").ok();
    let faults = faults.map(|faults| faults.parse().expect("a number"));
    let is_default = faults.is_none();
    let limits = Limits {
        faults: faults.unwrap_or(LIMITS.faults),
        ..LIMITS
    };
    match search(limits, None) {
        Found::Nothing { faulty, healing } => {
            println!("{faulty} states while faults strike, {healing} from there to the end");
            let states = faulty + healing;
            assert!(states >= STATES_MIN || !is_default, "only {states} states");
        }
        Found::Violation { path, what } => panic!("{what}:\n{}", path.join("\n")),
    }
}

/// Each of these takes a rule of the protocol out. The search must notice.
#[test]
fn without_any_of_its_rules_the_protocol_fails() {
    for mutant in Mutant::ALL {
        let found = search(LIMITS, Some(mutant));
        let Found::Violation { path, what } = found else {
            panic!("{mutant:?} is not noticed");
        };
        println!("{mutant:?}: {what} after {} moves", path.len());
    }
}

const LIMITS: Limits = Limits {
    faults: 3,
    starts: 4,
};
