//! Manifests: reading them, writing them, and which of them to write together.

use std::collections::{BTreeMap, HashSet};

use iceberg::spec::{
    DataFile, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestWriterBuilder,
    PartitionSpec, SchemaRef, SnapshotRef, TableMetadata,
};
use iceberg::table::Table;
use millstream_core::{Error, Result};

use crate::iceberg::error::from_iceberg;

const MIN_COUNT: &str = "commit.manifest.min-count-to-merge";
const TARGET_BYTES: &str = "commit.manifest.target-size-bytes";
const MERGES: &str = "commit.manifest-merge.enabled";
const MIN_COUNT_DEFAULT: usize = 100;
const TARGET_BYTES_DEFAULT: i64 = 8 * 1024 * 1024;

/// A line of a manifest.
#[derive(Debug)]
pub(in crate::iceberg) enum Entry {
    /// New; with a sequence number if it takes that of the rows that it replaces.
    Added(Box<DataFile>, Option<i64>),
    /// There already.
    Existing(ManifestEntryRef),
    /// Taken out by this snapshot.
    Deleted(ManifestEntryRef),
}

/// All manifests of a snapshot.
pub(in crate::iceberg) async fn load_list(
    table: &Table,
    snapshot: &SnapshotRef,
) -> Result<Vec<ManifestFile>> {
    let list = table.manifest_list_reader(snapshot).load().await;
    let list = list.map_err(|error| {
        let path = snapshot.manifest_list();
        from_iceberg(error).context(format!("table `{}`: `{path}`", table.identifier()))
    })?;
    Ok(list.consume_entries().into_iter().collect())
}

/// All entries of a manifest, with what they inherit.
pub(in crate::iceberg) async fn load_manifest(
    table: &Table,
    manifest: &ManifestFile,
) -> Result<Vec<ManifestEntryRef>> {
    let loaded = manifest
        .load_manifest(table.file_io())
        .await
        .map_err(|error| {
            let path = &manifest.manifest_path;
            from_iceberg(error)
                .context(format!("table `{}`: manifest `{path}`", table.identifier()))
        })?;
    Ok(loaded.into_parts().0)
}

/// Writes a manifest of the snapshot `id` to `path`.
pub(super) async fn write(
    table: &Table,
    (id, path): (i64, String),
    (spec_id, content): (i32, ManifestContentType),
    entries: Vec<Entry>,
) -> Result<ManifestFile> {
    let (spec, schema) = spec_of(table, spec_id)?;
    let written = async {
        let output = table.file_io().new_output(&path)?;
        let builder = ManifestWriterBuilder::new(output, Some(id), schema, spec);
        let mut writer = match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        };
        for entry in entries {
            match entry {
                // A negative number is one that is given by the commit.
                Entry::Added(file, sequence) => writer.add_file(*file, sequence.unwrap_or(-1))?,
                Entry::Existing(entry) => writer.add_existing_file(
                    entry.data_file.clone(),
                    entry.snapshot_id.unwrap_or(id),
                    entry.sequence_number.unwrap_or(0),
                    entry.file_sequence_number,
                )?,
                Entry::Deleted(entry) => writer.add_delete_file(
                    entry.data_file.clone(),
                    entry.sequence_number.unwrap_or(0),
                    entry.file_sequence_number,
                )?,
            }
        }
        writer.write_manifest_file().await
    };
    written
        .await
        .map_err(|error| from_iceberg(error).context(&path))
}

/// A partition spec of the table and a schema that has its columns.
fn spec_of(table: &Table, spec_id: i32) -> Result<(PartitionSpec, SchemaRef)> {
    let metadata = table.metadata();
    let Some(spec) = metadata.partition_spec_by_id(spec_id) else {
        let table = table.identifier();
        return Err(Error::invalid(format!(
            "table `{table}` has no partition spec {spec_id}"
        )));
    };
    let current = metadata.current_schema();
    let mut schemas = std::iter::once(current).chain(metadata.schemas_iter());
    let schema = schemas.find(|schema| spec.partition_type(schema).is_ok());
    let schema = schema.unwrap_or(current).clone();
    Ok((spec.as_ref().clone(), schema))
}

/// Manifests to write together.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    pub spec_id: i32,
    pub paths: HashSet<String>,
}

/// The smallest data manifests of one spec, if there are too many small ones: the next bigger one is
/// among them only if it is at most twice as big as they are together. So an entry is written again
/// only when its manifest grows by half, and a table's manifests stay few.
pub(super) fn too_small(metadata: &TableMetadata, manifests: &[ManifestFile]) -> Option<Chosen> {
    let properties = metadata.properties();
    if properties.get(MERGES).is_some_and(|value| value == "false") {
        return None;
    }
    let min_count = properties.get(MIN_COUNT).map(|text| text.parse::<usize>());
    let target = properties.get(TARGET_BYTES).map(|text| text.parse::<i64>());
    // An option that is no number is no reason to lose rows: the default counts.
    let min_count = min_count
        .and_then(Result::ok)
        .unwrap_or(MIN_COUNT_DEFAULT)
        .max(2);
    let target = target.and_then(Result::ok).unwrap_or(TARGET_BYTES_DEFAULT);
    let mut by_spec: BTreeMap<i32, Vec<&ManifestFile>> = BTreeMap::new();
    for manifest in manifests {
        if manifest.content == ManifestContentType::Data && manifest.manifest_length < target {
            by_spec
                .entry(manifest.partition_spec_id)
                .or_default()
                .push(manifest);
        }
    }
    let (spec_id, mut small) = by_spec.into_iter().max_by_key(|(_, small)| small.len())?;
    if small.len() < min_count {
        return None;
    }
    small.sort_by_key(|manifest| (manifest.manifest_length, &manifest.manifest_path));
    let mut bytes = 0;
    let taken = small
        .into_iter()
        .enumerate()
        .take_while(|(place, manifest)| {
            let length = manifest.manifest_length;
            // Two at least; equal ones go on.
            let fits = *place < 2 || (length <= 2 * bytes && bytes + length <= target);
            bytes += length;
            fits
        });
    let paths = taken
        .map(|(_, manifest)| manifest.manifest_path.clone())
        .collect();
    Some(Chosen { spec_id, paths })
}
