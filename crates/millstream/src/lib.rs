//! Millstream in a program of your own: a pipeline in Flink's SQL, run on threads of the process,
//! with sources, sinks and functions written in Rust.
//!
//! ```text
//! Pipeline (SQL, variables, sources, sinks, functions) -> plan -> start -> Running -> wait or stop
//! ```
//!
//! A table of the program is declared `WITH ('connector' = 'rust')` and given by its name
//! ([`Pipeline::source`], [`Pipeline::sink`]); all other connectors work as in the `millstream`
//! command. Without a data directory everything is kept in memory.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{Int64Array, RecordBatch};
//! use arrow::datatypes::Int64Type;
//! use arrow::array::AsArray;
//! use millstream::{MemorySink, Pipeline, Rows};
//!
//! let numbers = Int64Array::from_iter_values(1..=10);
//! let numbers = RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)])?;
//! let large = MemorySink::default();
//! Pipeline::from_sql(
//!     "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'rust');
//!      CREATE TABLE large (n BIGINT) WITH ('connector' = 'rust');
//!      INSERT INTO large SELECT n * n FROM numbers WHERE n > 8;",
//! )
//! .source("numbers", Rows::new(vec![numbers]))
//! .sink("large", large.clone())
//! .run()?;
//! let rows = large.rows();
//! assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().values(), &[81, 100]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connectors;
pub mod env;
mod pipeline;
mod rows;
pub mod usage;
pub mod verify;

pub use millstream_core::function::{AggregateFunction, GroupState, ScalarFunction};
pub use millstream_core::memory::MemorySink;
pub use millstream_core::{
    Epoch, Error, ErrorKind, Offset, Result, ShardIndex, SplitId, sink, source,
};
pub use millstream_engine::status::{JobState, JobStatus};
pub use pipeline::{Pipeline, Running};
pub use rows::Rows;
