//! What appends added to a table between two of its snapshots.

use std::collections::BTreeMap;

use iceberg::scan::FileScanTask;
use iceberg::spec::{DataContentType, DataFile, ManifestStatus, Operation, SnapshotRef};
use millstream_core::{Error, Result};

use super::blocking::block_on;
use super::error::from_iceberg;
use super::read::LakeTable;

impl LakeTable {
    /// The files that snapshots after `after` appended, to read the columns at `projection`. Files that
    /// were rewritten meanwhile are read as they were appended; rows that were deleted meanwhile, too.
    ///
    /// # Errors
    /// `InvalidInput` if `after` is no ancestor of the snapshot that is read.
    pub fn plan_added(&self, after: i64, projection: &[usize]) -> Result<Vec<FileScanTask>> {
        let mut files: BTreeMap<String, DataFile> = BTreeMap::new();
        for snapshot in self.snapshots_after(after)? {
            if snapshot.summary().operation != Operation::Append {
                continue;
            }
            for file in block_on(self.added_by(&snapshot)).map_err(from_iceberg)? {
                files.insert(file.file_path().to_owned(), file);
            }
        }
        let columns = self.columns();
        let ids = projection.iter().map(|index| {
            let name = self.schema().field(*index).name();
            columns
                .field_id_by_name(name)
                .expect("both schemas are of the same snapshot")
        });
        let ids: Vec<i32> = ids.collect();
        let tasks = files.into_values().map(|file| {
            FileScanTask::builder()
                .with_file_size_in_bytes(file.file_size_in_bytes())
                .with_start(0)
                .with_length(file.file_size_in_bytes())
                .with_record_count(Some(file.record_count()))
                .with_data_file_path(file.file_path().to_owned())
                .with_data_file_format(file.file_format())
                .with_schema(columns.clone())
                .with_project_field_ids(ids.clone())
                .with_predicate(None)
                .with_deletes(vec![])
                .with_partition(None)
                .with_partition_spec(None)
                .with_name_mapping(None)
                .with_case_sensitive(true)
                .build()
        });
        Ok(tasks.collect())
    }

    /// The ancestors of the snapshot that is read, itself first, down to the one behind `after`.
    fn snapshots_after(&self, after: i64) -> Result<Vec<SnapshotRef>> {
        let metadata = self.table().metadata();
        let mut found = vec![];
        let mut next = self.snapshot_id();
        while let Some(id) = next {
            if id == after {
                return Ok(found);
            }
            let Some(snapshot) = metadata.snapshot_by_id(id) else {
                break;
            };
            found.push(snapshot.clone());
            next = snapshot.parent_snapshot_id();
        }
        let (name, end) = (self.table().identifier(), self.snapshot_id());
        Err(Error::of_option(
            "start-snapshot-id",
            format!(
                "table `{name}`: snapshot {after} does not come before snapshot {}, or is gone",
                end.unwrap_or_default()
            ),
        ))
    }

    /// The data files that `snapshot` added.
    async fn added_by(&self, snapshot: &SnapshotRef) -> iceberg::Result<Vec<DataFile>> {
        let id = snapshot.snapshot_id();
        let list = self.table().manifest_list_reader(snapshot).load().await?;
        let mut files = vec![];
        for manifest in list.entries().iter().filter(|m| m.added_snapshot_id == id) {
            let manifest = manifest.load_manifest(self.table().file_io()).await?;
            let added = manifest.entries().iter().filter(|entry| {
                entry.status() == ManifestStatus::Added && entry.snapshot_id() == Some(id)
            });
            let added = added.map(|entry| entry.data_file().clone());
            files.extend(added.filter(|file| file.content_type() == DataContentType::Data));
        }
        Ok(files)
    }
}
