//! Runs a plan: shards read and aggregate, a coordinator cuts epochs and drives checkpoints and sinks.
//!
//! ```text
//! Job (thread) ─ Coordinator ─ ShardPool ─┬─ Shard 0 (thread): splits → chain → sink writers
//!                    │                    └─ Shard 1 (thread)
//!                    └─ CheckpointStore, Sinks
//! ```
//!
//! An epoch: all shards stop at a batch boundary (`Barrier`), complete windows are exchanged and
//! fired level by level (`Close`, `Fire`), each shard hands over what changed (`Finish`) and reads
//! on. The coordinator then makes outputs and segments durable, writes the manifest, and commits
//! the sinks. Between barriers shards share nothing.
//!
//! So that no barrier is long, most of its work is done before: once a shard has taken in enough, there
//! is a barrier between epochs (`Barrier`, `Close`, `Fire`, `Resume`), and before that of an epoch, shards
//! write down what changed in pieces, between batches (`Ahead`).
//!
//! [`StepJob`] drives the same coordinator and shards on the caller's thread.

mod adopt;
pub mod alignment;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod fullness;
pub mod job;
mod load;
pub mod memory;
mod pauses;
pub mod pool;
pub mod preview;
pub mod progress;
mod rebuild;
pub mod recovery;
mod rewrites;
pub mod shard;
pub mod step_job;
pub mod tables;
pub mod threads;
mod trail;
pub mod upgrade;
mod way_back;

pub use config::{JobConfig, StartOptions};
pub use job::{Job, JobHandle};
pub use step_job::StepJob;
