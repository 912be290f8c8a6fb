//! The simulator: one seed is one whole history of a pipeline with faults, decided to the byte.
//!
//! ```text
//! seed -> Config (pipeline, input, shards, rates of faults) -> History -> Outcome
//!                                                               │
//!            threads, one at a time ── Body (TopicLog, HotTables, StepJob: all real) ── World::call
//!                                                                                         │
//!                                                        Disk, RemoteTable, Intake ── faults, trace
//! ```
//!
//! Storage, clock, chance and a service far away are simulated; the engine, the topic log, the hot tables,
//! the formats and the SQL front are the real ones. Half of the histories and more are of one machine: a
//! data directory with one owner. The others are of storage that several processes share, any of which
//! may stop for a while and go on when another has taken over.
//!
//! What must hold: see [`check`] (at the end), [`process`] (after each epoch), [`remote`] and
//! [`connectors`] (at each commit), [`history`] (how processes may end, and that they do).

pub mod campaign;
pub mod check;
pub mod config;
pub mod connectors;
pub mod disk;
pub mod fault;
pub mod history;
pub mod input;
pub mod intake;
pub mod oracle;
pub mod process;
pub mod query;
pub mod remote;
pub mod shrink;
pub mod storage;
pub mod trace;
pub mod world;

pub use campaign::{Summary, run_seeds};
pub use config::Config;
pub use history::{Outcome, run};
