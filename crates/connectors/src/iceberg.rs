//! The lake: `'connector' = 'iceberg'`, tables of Apache Iceberg.
//!
//! ```text
//! maintenance compaction, expiry, orphans, how a table does
//! lake        the catalogs and tables that a process has open
//! sink, writer, spread, data_file, staged    rows of an epoch as files that no snapshot names yet
//! pending, committer, merge    many epochs as one snapshot, once there are enough
//! options, schema, target      what a table says, and what its writers need to know of it
//! commit      one snapshot: what is written, guarded, tried again, read back
//! snapshot    the files of one: manifests, manifest list, summary
//! metrics     what a manifest says of a file's columns
//! catalog     which metadata file is a table's current one, and the step that changes it
//! read, added, metadata_tables, source   a table as of one snapshot: its rows, what was appended, its files
//! files       where files are: the data directory, the disk, object stores
//! error, blocking   the crate's errors and futures as the rest of the code has them
//! ```
//!
//! The `iceberg` crate reads and writes the format; which snapshots there are is decided here,
//! because its transactions can neither replace files nor carry a guard that a commit checks.

mod added;
mod blocking;
pub mod catalog;
pub mod commit;
mod committer;
mod data_file;
mod error;
pub mod files;
pub mod lake;
pub mod maintenance;
mod merge;
mod metadata_tables;
pub mod metrics;
mod options;
mod pending;
mod prune;
mod read;
mod rows;
mod schema;
mod sink;
mod snapshot;
mod source;
mod spread;
mod staged;
mod target;
#[cfg(test)]
mod test_lake;
#[cfg(test)]
mod tests;
mod writer;

pub use committer::PendingStatus;
pub use metadata_tables::MetadataTable;
pub use options::INFO;
pub(crate) use options::check_sink;
pub use read::{AsOf, LakePlan, LakeTable};
pub(crate) use source::check_source;
pub use source::{LakeRange, LakeSource};
