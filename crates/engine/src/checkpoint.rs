//! Epochs on storage: manifests that decide, segments that hold window state.
//!
//! ```text
//! pipelines/<name>/manifests/<incarnation>-<epoch>   decides epoch; written with put-if-absent
//! pipelines/<name>/state/<epoch>-<node>-<random>.arrow   what changed in that epoch
//! ```

pub mod compaction;
pub mod manifest;
pub mod segment;
pub mod store;

pub use manifest::{
    Manifest, SegmentRef, SinkProgress, SourceCounters, SourceProgress, SplitProgress,
};
pub use segment::StateRows;
pub use store::CheckpointStore;
