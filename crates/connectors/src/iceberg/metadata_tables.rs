//! What a table knows of itself, as rows: its snapshots, how they followed each other, its files.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use iceberg::spec::{DataContentType, DataFile, Literal, ManifestStatus, PartitionSpec, Type};
use millstream_core::Result;
use millstream_core::types::TIME_ZONE;

use super::error::from_iceberg;
use super::read::LakeTable;

/// Which of them. Their names are behind a `$`: `"clicks$snapshots"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataTable {
    /// All snapshots that are kept, oldest first.
    Snapshots,
    /// Which snapshot was the current one from when on.
    History,
    /// The files of the snapshot that is read.
    Files,
}

impl MetadataTable {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("snapshots", Self::Snapshots),
        ("history", Self::History),
        ("files", Self::Files),
    ];

    /// The one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, table)| *table)
    }
}

impl LakeTable {
    /// The rows of a metadata table.
    pub async fn metadata_rows(&self, table: MetadataTable) -> Result<RecordBatch> {
        match table {
            MetadataTable::Snapshots => self.snapshot_rows(),
            MetadataTable::History => self.history_rows(),
            MetadataTable::Files => self.file_rows().await,
        }
    }

    fn snapshot_rows(&self) -> Result<RecordBatch> {
        let mut snapshots: Vec<_> = self.table().metadata().snapshots().collect();
        snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
        let said = |key: &str| -> ArrayRef {
            let numbers = snapshots.iter().map(|snapshot| {
                let text = snapshot.summary().additional_properties.get(key);
                text.and_then(|text| text.parse::<i64>().ok())
            });
            Arc::new(Int64Array::from_iter(numbers))
        };
        let summaries = snapshots.iter().map(|snapshot| {
            let sorted: std::collections::BTreeMap<_, _> =
                snapshot.summary().additional_properties.iter().collect();
            serde_json::to_string(&sorted).ok()
        });
        rows([
            (
                "committed_at",
                times(snapshots.iter().map(|s| s.timestamp_ms())),
            ),
            (
                "snapshot_id",
                ids(snapshots.iter().map(|s| Some(s.snapshot_id()))),
            ),
            (
                "parent_id",
                ids(snapshots.iter().map(|s| s.parent_snapshot_id())),
            ),
            (
                "operation",
                texts(
                    snapshots
                        .iter()
                        .map(|s| Some(s.summary().operation.as_str().to_owned())),
                ),
            ),
            ("added_files", said("added-data-files")),
            ("added_records", said("added-records")),
            ("total_files", said("total-data-files")),
            ("total_records", said("total-records")),
            (
                "manifest_list",
                texts(snapshots.iter().map(|s| Some(s.manifest_list().to_owned()))),
            ),
            ("summary", texts(summaries)),
        ])
    }

    fn history_rows(&self) -> Result<RecordBatch> {
        let metadata = self.table().metadata();
        let history = metadata.history();
        let mut ancestors = BTreeSet::new();
        let mut next = metadata.current_snapshot_id();
        while let Some(id) = next {
            ancestors.insert(id);
            let snapshot = metadata.snapshot_by_id(id);
            next = snapshot.and_then(|snapshot| snapshot.parent_snapshot_id());
        }
        let parent = |id: i64| metadata.snapshot_by_id(id)?.parent_snapshot_id();
        let is_ancestor = history
            .iter()
            .map(|e| Some(ancestors.contains(&e.snapshot_id)));
        rows([
            (
                "made_current_at",
                times(history.iter().map(|e| e.timestamp_ms)),
            ),
            (
                "snapshot_id",
                ids(history.iter().map(|e| Some(e.snapshot_id))),
            ),
            (
                "parent_id",
                ids(history.iter().map(|e| parent(e.snapshot_id))),
            ),
            (
                "is_current_ancestor",
                Arc::new(BooleanArray::from_iter(is_ancestor)),
            ),
        ])
    }

    async fn file_rows(&self) -> Result<RecordBatch> {
        let files = self.live_files().await.map_err(from_iceberg)?;
        let content = |file: &DataFile| match file.content_type() {
            DataContentType::Data => "data",
            DataContentType::PositionDeletes => "position deletes",
            DataContentType::EqualityDeletes => "equality deletes",
        };
        let number = |value: u64| i64::try_from(value).ok();
        let specs = files.iter().map(|(_, spec)| Some(*spec));
        rows([
            (
                "content",
                texts(files.iter().map(|(f, _)| Some(content(f).to_owned()))),
            ),
            (
                "file_path",
                texts(files.iter().map(|(f, _)| Some(f.file_path().to_owned()))),
            ),
            (
                "file_format",
                texts(files.iter().map(|(f, _)| Some(f.file_format().to_string()))),
            ),
            ("spec_id", Arc::new(Int32Array::from_iter(specs))),
            (
                "partition",
                texts(files.iter().map(|(f, spec)| Some(self.partition(f, *spec)))),
            ),
            (
                "record_count",
                ids(files.iter().map(|(f, _)| number(f.record_count()))),
            ),
            (
                "file_size_in_bytes",
                ids(files.iter().map(|(f, _)| number(f.file_size_in_bytes()))),
            ),
        ])
    }

    /// All files that count in the snapshot that is read, deletes too, with their partition spec.
    async fn live_files(&self) -> iceberg::Result<Vec<(DataFile, i32)>> {
        let metadata = self.table().metadata();
        let snapshot = self
            .snapshot_id()
            .and_then(|id| metadata.snapshot_by_id(id));
        let Some(snapshot) = snapshot else {
            return Ok(vec![]);
        };
        let list = self.table().manifest_list_reader(snapshot).load().await?;
        let mut files = vec![];
        for listed in list.entries() {
            let manifest = listed.load_manifest(self.table().file_io()).await?;
            let live = manifest
                .entries()
                .iter()
                .filter(|entry| entry.status() != ManifestStatus::Deleted);
            files.extend(live.map(|entry| (entry.data_file().clone(), listed.partition_spec_id)));
        }
        files.sort_by(|(a, _), (b, _)| a.file_path().cmp(b.file_path()));
        Ok(files)
    }

    /// The partition of a file as text: `{event_time_day=2026-01-31, page_bucket=3}`.
    fn partition(&self, file: &DataFile, spec: i32) -> String {
        let metadata = self.table().metadata();
        let Some(spec) = metadata.partition_spec_by_id(spec) else {
            return String::new();
        };
        let types = spec.partition_type(metadata.current_schema());
        let named = spec.fields().iter().enumerate().map(|(index, field)| {
            let value = file.partition().fields().get(index).cloned().flatten();
            let data_type = types
                .as_ref()
                .ok()
                .and_then(|types| types.fields().get(index));
            let text = value.map_or("null".to_owned(), |value| {
                text_of(
                    spec,
                    index,
                    (&value, data_type.map(|field| &*field.field_type)),
                )
            });
            format!("{}={text}", field.name)
        });
        format!("{{{}}}", named.collect::<Vec<_>>().join(", "))
    }
}

/// A partition's value as Iceberg's paths have it.
fn text_of(
    spec: &PartitionSpec,
    index: usize,
    (value, data_type): (&Literal, Option<&Type>),
) -> String {
    let transform = &spec.fields()[index].transform;
    match data_type {
        Some(data_type) => transform.to_human_string(data_type, Some(value)),
        None => format!("{value:?}"),
    }
}

fn rows<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch> {
    let columns = columns.map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    let times = TimestampMillisecondArray::from_iter_values(values);
    Arc::new(times.with_timezone(TIME_ZONE))
}

fn ids(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}
