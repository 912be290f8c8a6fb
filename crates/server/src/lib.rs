//! The millstream binary: command line, HTTP, jobs, queries. It wires the other crates together;
//! nothing imports it.
//!
//! ```text
//! cli (one file a command) -> instance (data directory, topics, tables, jobs) -> http
//! ```

pub mod background;
// pub mod cli;
pub mod config;
pub mod env;
pub mod logs;
pub mod usage;
