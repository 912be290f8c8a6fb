//! Epochs on storage: manifests that decide, segments that hold window state.
//!
//! ```text
//! pipelines/<name>/manifests/<incarnation>-<epoch>   decides epoch; written with put-if-absent
//! pipelines/<name>/savepoints/<savepoint>            a manifest that is kept by name
//! pipelines/<name>/state/<epoch>-<node>-<random>.arrow   what changed in that epoch
//! ```

pub mod audit;
pub mod compaction;
pub mod description;
pub mod envelope;
pub mod lineage;
pub mod manifest;
pub mod savepoint;
pub mod segment;
pub mod store;

pub use manifest::{
    Manifest, SegmentRef, SinkProgress, SourceCounters, SourceProgress, SplitProgress,
};
pub use savepoint::{Savepoint, Savepoints};
pub use segment::StateRows;
pub use store::{CheckpointStore, SegmentReader, StartFrom};
