//! The real [`Storage`](millstream_core::storage::Storage): a directory of the machine.
//!
//! [`LocalStorage`] reads and writes files below a root. [`DataDirectory`] is the root that a
//! process owns: locked, of a known version, writable. `Staging` keeps the records that sinks
//! stage until their epoch is committed.
//!
//! INVARIANT: a file appears under its final name only whole and synced, except files that are
//! appended to. Temporary files are called `.tmp-…`, are never listed, and are removed when the
//! data directory is opened.

mod data_directory;
mod gate;
mod local;
mod staging;

pub use data_directory::DataDirectory;
pub use gate::{GatedStorage, Snapshot};
pub use local::LocalStorage;
pub(crate) use staging::{STAGING, Staging, StagingWriter, is_before, run_name, staged_records};
