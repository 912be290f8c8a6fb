//! The lake: `'connector' = 'iceberg'`, tables of Apache Iceberg.
//!
//! ```text
//! commit      one snapshot: what is written, guarded, tried again, read back
//! catalog     which metadata file is a table's current one, and the step that changes it
//! error, blocking   the crate's errors and futures as the rest of the code has them
//! ```
//!
//! The `iceberg` crate reads and writes the format; which snapshots there are is decided here,
//! because its transactions can neither replace files nor carry a guard that a commit checks.

mod blocking;
pub mod catalog;
mod error;
