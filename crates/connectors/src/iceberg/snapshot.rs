//! A snapshot in the making: its manifests, its manifest list, its summary.
//!
//! A manifest names data files (or delete files) of one partition spec; a snapshot is the list of all
//! its manifests. A new one keeps its parent's manifests and adds its own, so a commit costs as much as
//! it adds. Once there are too many small manifests some are written together (`manifests.rs`), each
//! entry a bounded number of times in its life.

mod manifests;
mod summary;

pub(super) use manifests::{Entry, load_list, load_manifest};

use std::collections::HashMap;

use iceberg::TableUpdate;
use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, ManifestContentType, ManifestFile, ManifestListWriter, Operation,
    Snapshot, SnapshotRef, Summary, TableMetadata,
};
use iceberg::table::Table;
use millstream_core::env::Env;
use millstream_core::{Error, ErrorKind, Result};

use super::commit::Prepared;
use super::error::from_iceberg;
use summary::Changes;

/// A snapshot, then its parent, and so on as far as they are kept.
pub(super) fn ancestors_of(
    metadata: &TableMetadata,
    head: Option<i64>,
) -> impl Iterator<Item = &SnapshotRef> {
    let first = head.and_then(|id| metadata.snapshot_by_id(id));
    std::iter::successors(first, |snapshot| {
        snapshot
            .parent_snapshot_id()
            .and_then(|id| metadata.snapshot_by_id(id))
    })
}

/// The table's snapshots, newest first, as far back as they are kept.
pub(super) fn ancestors(metadata: &TableMetadata) -> impl Iterator<Item = &SnapshotRef> {
    ancestors_of(metadata, metadata.current_snapshot_id())
}

/// A snapshot to be.
pub(super) struct Draft<'a> {
    base: &'a Table,
    id: i64,
    timestamp_ms: i64,
    /// In the names of all its files.
    name: String,
    written: Vec<String>,
    changes: Changes,
}

impl<'a> Draft<'a> {
    /// A child of the table's current snapshot. `InvalidInput` if the table is of a format version
    /// that is only read here.
    pub(super) fn new(base: &'a Table, env: &dyn Env) -> Result<Self> {
        let metadata = base.metadata();
        let version = metadata.format_version();
        if version != FormatVersion::V2 {
            let table = base.identifier();
            let message = format!("table `{table}` has Iceberg format version {version}");
            return Err(Error::invalid(format!(
                "{message}, only version 2 can be written"
            )));
        }
        Ok(Self {
            base,
            id: new_id(metadata, env),
            // Clocks of writers differ; a table's history is in order all the same.
            timestamp_ms: env.now_ms().max(metadata.last_updated_ms()),
            name: format!("{:016x}{:016x}", env.random(), env.random()),
            written: Vec::new(),
            changes: Changes::default(),
        })
    }

    /// The table that it changes.
    pub(super) fn base(&self) -> &'a Table {
        self.base
    }

    /// Manifests of the parent that have live files.
    pub(super) async fn parent_manifests(&self) -> Result<Vec<ManifestFile>> {
        let Some(parent) = self.base.metadata().current_snapshot() else {
            return Ok(Vec::new());
        };
        let mut manifests = load_list(self.base, parent).await?;
        manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        Ok(manifests)
    }

    /// `manifests` with small ones written together if there are too many of them. One that is damaged
    /// or missing is no reason not to commit: then they stay as they are.
    pub(super) async fn merged(
        &mut self,
        manifests: Vec<ManifestFile>,
    ) -> Result<Vec<ManifestFile>> {
        let Some(chosen) = manifests::too_small(self.base.metadata(), &manifests) else {
            return Ok(manifests);
        };
        let is_chosen = |manifest: &&ManifestFile| chosen.paths.contains(&manifest.manifest_path);
        let mut entries = Vec::new();
        for manifest in manifests.iter().filter(is_chosen) {
            match load_manifest(self.base, manifest).await {
                Ok(all) => {
                    let live = all.into_iter().filter(|entry| entry.is_alive());
                    entries.extend(live.map(Entry::Existing));
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "manifests are not merged");
                    return Ok(manifests);
                }
            }
        }
        let one = self
            .write(chosen.spec_id, ManifestContentType::Data, entries)
            .await?;
        let mut merged = manifests;
        merged.retain(|manifest| !is_chosen(&manifest));
        merged.push(one);
        Ok(merged)
    }

    /// Writes a manifest and takes what it adds and deletes into the summary.
    pub(super) async fn write(
        &mut self,
        spec_id: i32,
        content: ManifestContentType,
        entries: Vec<Entry>,
    ) -> Result<ManifestFile> {
        for entry in &entries {
            self.changes.note(spec_id, entry);
        }
        let number = self.written.len();
        let location = self.base.metadata().location();
        let path = format!("{location}/metadata/{}-m{number}.avro", self.name);
        self.written.push(path.clone());
        manifests::write(self.base, (self.id, path), (spec_id, content), entries).await
    }

    /// Writes the manifest list: what is to be committed, with `properties` of the table set.
    pub(super) async fn finish(
        &mut self,
        (operation, summary): (Operation, HashMap<String, String>),
        manifests: Vec<ManifestFile>,
        properties: HashMap<String, String>,
    ) -> Result<Prepared> {
        let metadata = self.base.metadata();
        let parent = metadata.current_snapshot();
        let sequence = metadata.next_sequence_number();
        let list = self.write_list(manifests, sequence).await?;
        let mut additional_properties = summary;
        let previous = parent.map(|parent| parent.summary());
        additional_properties.extend(self.changes.summary(previous));
        let snapshot = Snapshot::builder()
            .with_snapshot_id(self.id)
            .with_parent_snapshot_id(metadata.current_snapshot_id())
            .with_sequence_number(sequence)
            .with_timestamp_ms(self.timestamp_ms)
            .with_manifest_list(list)
            .with_summary(Summary {
                operation,
                additional_properties,
            })
            .with_schema_id(metadata.current_schema_id())
            .build();
        Ok(Prepared {
            updates: updates(metadata, snapshot, properties).map_err(from_iceberg)?,
            written: std::mem::take(&mut self.written),
            snapshot_id: Some(self.id),
        })
    }

    async fn write_list(&mut self, manifests: Vec<ManifestFile>, sequence: i64) -> Result<String> {
        let metadata = self.base.metadata();
        let path = format!(
            "{}/metadata/snap-{}-0-{}.avro",
            metadata.location(),
            self.id,
            self.name
        );
        self.written.push(path.clone());
        let written = async {
            let output = self.base.file_io().new_output(&path)?.writer().await?;
            let parent = metadata.current_snapshot_id();
            let mut writer = ManifestListWriter::v2(output, self.id, parent, sequence);
            writer.add_manifests(manifests.into_iter())?;
            writer.close().await
        };
        let written = written
            .await
            .map_err(|error| from_iceberg(error).context(&path));
        written.map(|()| path.clone())
    }

    /// Removes what it has written: nothing refers to it.
    pub(super) fn discard(&mut self) {
        super::commit::remove(self.base, std::mem::take(&mut self.written));
    }
}

/// A snapshot id that the table does not have; positive, as other engines expect.
fn new_id(metadata: &TableMetadata, env: &dyn Env) -> i64 {
    loop {
        let id = i64::try_from(env.random() >> 1)
            .expect("one bit is shifted out")
            .max(1);
        if metadata.snapshot_by_id(id).is_none() {
            return id;
        }
        if let Some(next) = id.checked_add(1)
            && metadata.snapshot_by_id(next).is_none()
        {
            return next;
        }
    }
}

/// The updates that make `snapshot` the head of main, keeping that branch's settings.
fn updates(
    metadata: &TableMetadata,
    snapshot: Snapshot,
    properties: HashMap<String, String>,
) -> iceberg::Result<Vec<TableUpdate>> {
    let builder = metadata.clone().into_builder(None);
    let mut builder = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?;
    if !properties.is_empty() {
        builder = builder.set_properties(properties)?;
    }
    Ok(builder.build()?.changes)
}
