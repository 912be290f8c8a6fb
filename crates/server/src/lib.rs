//! The millstream binary: command line, HTTP, jobs, queries. It wires the other crates together;
//! nothing imports it.
//!
//! ```text
//! cli (one file a command) -> instance (data directory, topics, tables, jobs) -> http
//! ```

pub mod background;
pub mod backup;
pub mod cli;
pub mod client;
pub mod config;
pub mod http;
pub mod instance;
pub mod jobs;
pub mod lake;
pub mod logs;
pub mod metrics;
pub mod progress;
pub mod query;
pub mod savepoints;
pub mod summary;

pub use millstream::{env, usage};
