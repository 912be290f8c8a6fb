//! How a table does: what `millstream lake status` and the metrics tell.

use iceberg::table::Table;
use millstream_core::Result;

use super::compact::target_bytes;
use super::live::{Live, live_files};

/// A table in numbers. All from its metadata and the manifests of its current snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableStatus {
    /// `namespace.name`.
    pub table: String,
    /// Data files.
    pub files: u64,
    /// Their rows, deleted ones included.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those smaller than three quarters of the target size.
    pub small_files: u64,
    /// Files of deletes.
    pub delete_files: u64,
    /// Snapshots that can be read.
    pub snapshots: u64,
    /// Manifests of the current one.
    pub manifests: u64,
    /// Their bytes.
    pub manifest_bytes: u64,
    /// The current snapshot.
    pub snapshot_id: Option<i64>,
    /// When it was made, ms since 1970.
    pub last_commit_ms: Option<i64>,
    /// How long ago that is.
    pub lag_ms: Option<i64>,
}

/// Of a loaded table. Reads all its manifests.
pub fn status(table: &Table, now_ms: i64) -> Result<TableStatus> {
    let metadata = table.metadata();
    let live = live_files(table)?;
    let small = target_bytes(table) / 4 * 3;
    let last_commit_ms = metadata
        .current_snapshot()
        .map(|snapshot| snapshot.timestamp_ms());
    let lengths = live
        .manifests
        .iter()
        .map(|manifest| manifest.manifest_length);
    Ok(TableStatus {
        table: table.identifier().to_string(),
        files: live.data.len() as u64,
        rows: live.data.iter().map(|file| file.entry.record_count()).sum(),
        bytes: live.data.iter().map(Live::bytes).sum(),
        small_files: live.data.iter().filter(|file| file.bytes() < small).count() as u64,
        delete_files: live.deletes.len() as u64,
        snapshots: metadata.snapshots().len() as u64,
        manifests: live.manifests.len() as u64,
        manifest_bytes: lengths
            .map(|length| u64::try_from(length).unwrap_or(0))
            .sum(),
        snapshot_id: metadata.current_snapshot_id(),
        last_commit_ms,
        lag_ms: last_commit_ms.map(|last_ms| (now_ms - last_ms).max(0)),
    })
}
