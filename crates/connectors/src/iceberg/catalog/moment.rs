//! Metadata at a moment of our own clock.
//!
//! The crate takes the machine's clock for a change that adds no snapshot, and refuses it if a snapshot
//! of another writer has a later time. Here the change is made on metadata without history, which
//! nothing can be later than, and the history is put back.

use std::collections::HashSet;

use iceberg::TableUpdate;
use iceberg::spec::{TableMetadata, TableMetadataBuilder, TableProperties};
use serde_json::Value;

type Result<T> = iceberg::Result<T>;

const UPDATED: &str = "last-updated-ms";
const SNAPSHOTS: &str = "snapshot-log";
const FILES: &str = "metadata-log";

/// `base` with `updates`, changed at `now_ms` or, if that is later, when `base` was.
pub(super) fn applied(
    base: &TableMetadata,
    location: String,
    updates: Vec<TableUpdate>,
    now_ms: i64,
) -> Result<TableMetadata> {
    let adds = |update: &TableUpdate| matches!(update, TableUpdate::AddSnapshot { .. });
    if updates.iter().any(adds) {
        return with(base.clone().into_builder(Some(location)), updates);
    }
    let mut bare = written(base)?;
    let mut snapshots = take_list(&mut bare, SNAPSHOTS);
    let mut files = take_list(&mut bare, FILES);
    // The crate wants the current snapshot in it: as if it had been made long ago.
    if let Some(mut last) = snapshots.last().cloned() {
        last["timestamp-ms"] = Value::from(0);
        bare[SNAPSHOTS] = Value::Array(vec![last]);
    }
    let bare: TableMetadata = read(bare)?;
    let changed = with(bare.into_builder(Some(location)), updates)?;
    let mut next = written(&changed)?;
    files.extend(take_list(&mut next, FILES));
    let kept: HashSet<i64> = changed
        .snapshots()
        .map(|snapshot| snapshot.snapshot_id())
        .collect();
    // As in the crate: history before a snapshot that is gone would have a gap, so it goes too.
    let is_gone = |entry: &Value| {
        !entry["snapshot-id"]
            .as_i64()
            .is_some_and(|id| kept.contains(&id))
    };
    if let Some(last) = snapshots.iter().rposition(is_gone) {
        snapshots.drain(..=last);
    }
    let max = files_max(&changed);
    files.drain(..files.len().saturating_sub(max));
    next[SNAPSHOTS] = Value::Array(snapshots);
    next[FILES] = Value::Array(files);
    next[UPDATED] = Value::from(now_ms.max(base.last_updated_ms()));
    read(next)
}

/// A new table's metadata, made at `now_ms`.
pub(super) fn created(builder: TableMetadataBuilder, now_ms: i64) -> Result<TableMetadata> {
    let mut metadata = written(&builder.build()?.metadata)?;
    metadata[UPDATED] = Value::from(now_ms);
    read(metadata)
}

fn with(mut builder: TableMetadataBuilder, updates: Vec<TableUpdate>) -> Result<TableMetadata> {
    for update in updates {
        builder = update.apply(builder)?;
    }
    Ok(builder.build()?.metadata)
}

fn files_max(metadata: &TableMetadata) -> usize {
    let key = TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX;
    let max = metadata
        .properties()
        .get(key)
        .and_then(|text| text.parse().ok());
    max.unwrap_or(TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX_DEFAULT)
        .max(1)
}

fn take_list(metadata: &mut Value, key: &str) -> Vec<Value> {
    match metadata.get_mut(key).map(Value::take) {
        Some(Value::Array(list)) => {
            metadata[key] = Value::Array(Vec::new());
            list
        }
        _ => {
            metadata[key] = Value::Array(Vec::new());
            Vec::new()
        }
    }
}

fn written(metadata: &TableMetadata) -> Result<Value> {
    serde_json::to_value(metadata).map_err(invalid)
}

fn read(metadata: Value) -> Result<TableMetadata> {
    serde_json::from_value(metadata).map_err(invalid)
}

fn invalid(error: serde_json::Error) -> iceberg::Error {
    let message = "metadata of a lake table cannot be written as JSON";
    iceberg::Error::new(iceberg::ErrorKind::Unexpected, message).with_source(error)
}
