//! Compaction's commit: files out, files with the same rows in. Only what it takes out has to be there
//! still, so appends and replacements of other files go on beside it.
//!
//! The added files get the sequence number of the snapshot from which their rows were read: a delete by
//! equality that came later still applies to them. A delete by position that came later names a file
//! that is taken out, so then the replacement is stale and has to be planned again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use iceberg::spec::{
    DataContentType, ManifestContentType, ManifestEntryRef, ManifestFile, Operation,
};
use iceberg::table::Table;
use millstream_core::env::Env;
use millstream_core::{Error, ErrorKind, Result};

use super::{AddedFile, Change, Prepared, Step};
use crate::iceberg::blocking::block_on;
use crate::iceberg::snapshot::{Draft, Entry, load_manifest};

/// A live file to take out.
#[derive(Debug, Clone)]
pub struct RemovedFile {
    /// Its path.
    pub path: String,
    /// The manifest in which it was found: looked at first.
    pub manifest: String,
}

/// Files to take out and to put in, in one snapshot.
#[derive(Debug, Clone)]
pub struct Replace {
    /// Sequence number of the snapshot at which the removed files' rows were read.
    pub sequence_number: i64,
    /// Data files, and delete files that apply to nothing any more.
    pub removed: Vec<RemovedFile>,
    /// Data files with all rows of the removed ones that are not deleted.
    pub added: Vec<AddedFile>,
    /// More of the snapshot's summary.
    pub properties: BTreeMap<String, String>,
}

/// What came of a replacement.
#[derive(Debug)]
pub enum Replaced {
    /// It is in the table.
    Done(Box<Table>),
    /// A removed file is not live any more, or rows of it were deleted since: nothing was changed, and
    /// no snapshot has the added files.
    Stale(Error),
}

pub(super) struct Replacing<'a> {
    pub replace: &'a Replace,
}

/// What of the parent the replacement touches.
#[derive(Default)]
struct Found {
    /// Manifests with files to take out, and all their entries.
    touched: Vec<(ManifestFile, Vec<ManifestEntryRef>)>,
    /// The others.
    kept: Vec<ManifestFile>,
    /// Why it is stale.
    stale: Option<Error>,
    /// An added file is in the table.
    has_added: bool,
}

impl Replacing<'_> {
    /// Finds the removed files, loading as few manifests as it can.
    async fn find(&self, draft: &Draft<'_>) -> Result<Found> {
        let replace = self.replace;
        let mut missing: HashSet<&str> = HashSet::new();
        missing.extend(replace.removed.iter().map(|file| file.path.as_str()));
        let removed = missing.clone();
        let hints: BTreeSet<&str> = replace
            .removed
            .iter()
            .map(|file| file.manifest.as_str())
            .collect();
        let added: HashSet<&str> = replace
            .added
            .iter()
            .map(|added| added.file.file_path())
            .collect();
        let mut manifests = draft.parent_manifests().await?;
        manifests.sort_by_key(|manifest| !hints.contains(manifest.manifest_path.as_str()));
        let mut found = Found::default();
        for manifest in manifests {
            let is_news = manifest.content == ManifestContentType::Deletes
                && manifest.sequence_number > replace.sequence_number;
            if missing.is_empty() && !is_news {
                found.kept.push(manifest);
                continue;
            }
            let entries = load_manifest(draft.base(), &manifest).await?;
            let mut is_touched = false;
            for entry in entries.iter().filter(|entry| entry.is_alive()) {
                is_touched |= removed.contains(entry.file_path());
                missing.remove(entry.file_path());
                found.has_added |= added.contains(entry.file_path());
                if is_news && self.hits(entry, &removed) {
                    let message = format!("rows were deleted since, by `{}`", entry.file_path());
                    found.stale = Some(Error::new(ErrorKind::Conflict, message));
                }
            }
            match is_touched {
                true => found.touched.push((manifest, entries)),
                false => found.kept.push(manifest),
            }
        }
        if let Some(path) = missing.into_iter().min() {
            let message = format!("file `{path}` is not in the table any more");
            found.stale = Some(Error::new(ErrorKind::Conflict, message));
        }
        Ok(found)
    }

    /// Whether a newer delete file may delete, by position, rows of the removed files.
    fn hits(&self, delete: &ManifestEntryRef, removed: &HashSet<&str>) -> bool {
        let is_newer = delete.sequence_number() > Some(self.replace.sequence_number);
        if delete.content_type() != DataContentType::PositionDeletes || !is_newer {
            return false;
        }
        match delete.data_file().referenced_data_file() {
            Some(path) => removed.contains(path.as_str()),
            None => true,
        }
    }

    async fn draft(&self, draft: &mut Draft<'_>, found: Found) -> Result<Prepared> {
        let removed: HashSet<&str> = self
            .replace
            .removed
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        let mut manifests = Vec::new();
        let mut by_spec: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
        for added in &self.replace.added {
            let entries = by_spec.entry(added.spec_id).or_default();
            let sequence = Some(self.replace.sequence_number);
            entries.push(Entry::Added(Box::new(added.file.clone()), sequence));
        }
        for (spec, entries) in by_spec {
            manifests.push(
                draft
                    .write(spec, ManifestContentType::Data, entries)
                    .await?,
            );
        }
        for (manifest, entries) in found.touched {
            let live = entries.into_iter().filter(|entry| entry.is_alive());
            let entries = live.map(|entry| match removed.contains(entry.file_path()) {
                true => Entry::Deleted(entry),
                false => Entry::Existing(entry),
            });
            let (spec, content) = (manifest.partition_spec_id, manifest.content);
            manifests.push(draft.write(spec, content, entries.collect()).await?);
        }
        manifests.extend(draft.merged(found.kept).await?);
        let summary: HashMap<String, String> =
            self.replace.properties.clone().into_iter().collect();
        draft
            .finish((Operation::Replace, summary), manifests, HashMap::new())
            .await
    }
}

impl Change for Replacing<'_> {
    type Output = Replaced;

    fn prepare(&mut self, base: &Table, env: &dyn Env, doubt: bool) -> Result<Step<Replaced>> {
        let mut draft = Draft::new(base, env)?;
        let found = block_on(self.find(&draft))?;
        if found.has_added {
            return Ok(Step::Done(Replaced::Done(Box::new(base.clone()))));
        }
        match found.stale {
            // An earlier try may have been made, and compacted or expired again since: then the added
            // files may still be those of a snapshot.
            Some(error) if doubt => Err(Error::unavailable(format!("not known: {error}"))),
            Some(ref error) => Ok(Step::Done(Replaced::Stale(error.clone()))),
            None => {
                let prepared = block_on(self.draft(&mut draft, found));
                prepared.map(Step::Commit).inspect_err(|_| draft.discard())
            }
        }
    }

    fn found(&mut self, table: &Table) -> Option<Replaced> {
        Some(Replaced::Done(Box::new(table.clone())))
    }

    fn done(&mut self, _: &Table, table: Box<Table>) -> Replaced {
        Replaced::Done(table)
    }
}
