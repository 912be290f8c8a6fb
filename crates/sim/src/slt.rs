//! The product's spec as text: `tests/slt/*.slt`.
//!
//! ```text
//! text -> script::Script -> runner::run_case (8 worlds) -> answers -> compared with the file
//! ```
//!
//! [`script`] reads a file, [`world`] is one pipeline with its stores in memory and a virtual
//! clock, [`answer`] is what a query shows, [`runner`] runs each case over parallelism {1, 4} x
//! batch rows {1, 1024} x {no crash, a crash after every step} and reports every difference.
//! The format is described in `tests/slt/README.md`.
//!
//! INVARIANT: one file gives the same answers in all eight worlds, or the run fails.

pub mod answer;
pub mod connectors;
pub mod query;
pub mod runner;
pub mod script;
pub mod world;

pub use runner::check_file;
