//! The lake: `'connector' = 'iceberg'`, tables of Apache Iceberg.
//!
//! ```text
//! maintenance compaction, expiry, orphans, how a table does
//! commit      one snapshot: what is written, guarded, tried again, read back
//! snapshot    the files of one: manifests, manifest list, summary
//! metrics     what a manifest says of a file's columns
//! catalog     which metadata file is a table's current one, and the step that changes it
//! read, added, metadata_tables, source   a table as of one snapshot: its rows, what was appended, its files
//! error, blocking   the crate's errors and futures as the rest of the code has them
//! ```
//!
//! The `iceberg` crate reads and writes the format; which snapshots there are is decided here,
//! because its transactions can neither replace files nor carry a guard that a commit checks.

mod added;
mod blocking;
pub mod catalog;
pub mod commit;
mod error;
pub mod maintenance;
mod metadata_tables;
pub mod metrics;
mod prune;
mod read;
mod rows;
mod snapshot;
mod source;
#[cfg(test)]
mod test_lake;

pub use metadata_tables::MetadataTable;
pub use read::{AsOf, LakePlan, LakeTable};
pub use source::{LakeRange, LakeSource, OPTIONS as SOURCE_OPTIONS};
