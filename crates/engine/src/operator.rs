//! Operators: what happens to rows between a split and a sink, on one shard, synchronously.
//!
//! [`SourceOperator`] turns raw records into a [`Batch`] that knows its split's watermark before each
//! of its rows; [`Chain`] pushes batches through the operators of the plan to sinks. Operators that
//! remember rows are [`Stateful`]: what is complete leaves them at a barrier in two steps (see
//! [`Chain::close`] and [`Chain::fire`]), with an exchange by key between shards in the middle.
//!
//! Operators know nothing of epochs, manifests, threads or time: barriers come to them as calls.

pub mod arrival;
pub mod batch;
pub mod chain;
pub mod checker;
pub mod join;
pub mod late;
pub mod output;
pub mod over;
pub mod progress;
pub mod session_aggregate;
pub mod shape;
pub mod source;
pub mod stateful;
pub mod unnest;
pub mod waiting;
pub mod width;
pub mod window_aggregate;
pub mod window_rank;

pub use batch::{Batch, SourceBatch};
pub use chain::{Chain, Exchange};
pub use late::LateRows;
pub use output::Output;
pub use progress::{NodeProgress, SourceMark};
pub use source::{SourceOperator, SplitContext};
pub use stateful::{Absorb, Again, StateBatch, Stateful};
