//! The engine from outside: plans over sources, sinks and storage in memory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod barriers;
mod clock;
mod damage;
mod faults;
mod pieces;
mod random_crashes;
mod savepoints;
mod splits;
mod takeover;
mod upgrades;
mod world;
