//! Simulation and the spec as text (development only).
//!
//! [`env::SimEnv`] is an outside world that a test decides: a clock that moves when told to and
//! chance from a seed; [`faults`] is storage that fails where it is told to. [`slt`] runs the files
//! of `tests/slt`: pipelines, input, and the rows that a user must see, the same over parallelism,
//! batch size and crashes. [`tidy`] holds the house rules.
//!
//! INVARIANT: nothing here reads a real clock, sleeps, or touches files other than `tests/slt`.

pub mod chance;
pub mod env;
pub mod faults;
pub mod simulator;
pub mod slt;
pub mod tidy;
