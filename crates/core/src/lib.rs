//! The vocabulary of Millstream: what the other crates say to each other.
//!
//! `sql` turns text into a [`plan::Plan`]; `engine` runs a plan over [`source::Source`]s and
//! [`sink::Sink`]s; `connectors` provides those; `server` wires them together. They meet only here.
//!
//! INVARIANT: this crate does no I/O, reads no clock and spawns no thread. Whatever touches the
//! outside goes through [`env::Env`] and [`storage::Storage`].

pub mod audit;
pub mod connector;
pub mod env;
pub mod error;
pub mod expr;
pub mod function;
pub mod ids;
pub mod memory;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod pattern;
pub mod plan;
pub mod quantity;
pub mod sink;
pub mod source;
pub mod storage;
pub mod surroundings;
pub mod time;
pub mod types;

pub use error::{Error, ErrorKind, Result, Subject};
pub use ids::{Epoch, Incarnation, NodeId, Offset, ShardIndex, SinkId, SourceId, SplitId, TableId};
pub use time::{EventTime, TimeDomain, Watermark};
