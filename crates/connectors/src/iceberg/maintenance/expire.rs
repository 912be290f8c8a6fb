//! Forgetting old snapshots, and deleting what only they named.
//!
//! A snapshot's manifests are its parent's and its own. So what removed snapshots named is still named
//! if a *frontier* snapshot names it, one that is kept and whose parent is not, or if a snapshot that is
//! kept has made it. Only those lists and manifests are read; nothing is concluded from what lies about.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::stream;
use iceberg::TableIdent;
use iceberg::spec::{ManifestFile, SnapshotRef};
use iceberg::table::Table;
use millstream_core::Result;

use super::Budget;
use crate::iceberg::blocking::block_on;
use crate::iceberg::commit::{Commits, Expire, Expired};
use crate::iceberg::error::from_iceberg;
use crate::iceberg::snapshot::{load_list, load_manifest};

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ExpiredFiles {
    /// Snapshots that were forgotten.
    pub snapshots: u64,
    /// Files that were deleted: data, delete files, manifests and lists.
    pub files: u64,
    /// The budget left something to do.
    pub has_more: bool,
}

/// Forgets snapshots, at most `budget.files` of them, and deletes what only they named. After an error
/// in the second step those files are orphans.
pub fn expire(
    commits: &Commits,
    table: &TableIdent,
    expire: &Expire,
    budget: Budget,
) -> Result<ExpiredFiles> {
    let snapshots_max = Some(expire.snapshots_max.unwrap_or(usize::MAX).min(budget.files));
    let Some(expired) = commits.expire(
        table,
        &Expire {
            snapshots_max,
            ..*expire
        },
    )?
    else {
        return Ok(ExpiredFiles::default());
    };
    let paths = unnamed(&expired)?;
    let (snapshots, files) = (expired.removed.len(), paths.len());
    delete(&expired.table, paths)?;
    Ok(ExpiredFiles {
        snapshots: snapshots as u64,
        files: files as u64,
        has_more: Some(snapshots) == snapshots_max,
    })
}

pub(super) fn delete(table: &Table, paths: Vec<String>) -> Result<()> {
    let deleted = block_on(table.file_io().delete_stream(stream::iter(paths)));
    deleted.map_err(from_iceberg)
}

/// Files that the removed snapshots named and no snapshot names now: data files first.
fn unnamed(expired: &Expired) -> Result<Vec<String>> {
    let metadata = expired.table.metadata();
    let is_kept = |id: i64| metadata.snapshot_by_id(id).is_some();
    let has_kept_parent =
        |snapshot: &SnapshotRef| snapshot.parent_snapshot_id().is_some_and(is_kept);
    let current = metadata.current_snapshot_id();
    let frontier = metadata
        .snapshots()
        .filter(|snapshot| !has_kept_parent(snapshot) || Some(snapshot.snapshot_id()) == current);
    block_on(async {
        let mut named: BTreeMap<String, ManifestFile> = BTreeMap::new();
        for snapshot in frontier {
            for manifest in load_list(&expired.table, snapshot).await? {
                named.insert(manifest.manifest_path.clone(), manifest);
            }
        }
        let mut dropped: BTreeMap<String, ManifestFile> = BTreeMap::new();
        for snapshot in &expired.removed {
            for manifest in load_list(&expired.before, snapshot).await? {
                let path = manifest.manifest_path.clone();
                if !named.contains_key(&path) && !is_kept(manifest.added_snapshot_id) {
                    dropped.insert(path, manifest);
                }
            }
        }
        let mut files: BTreeSet<String> = BTreeSet::new();
        for manifest in dropped.values() {
            for entry in load_manifest(&expired.before, manifest).await? {
                let is_of_kept = entry.snapshot_id().is_some_and(is_kept);
                if entry.is_alive() && !is_of_kept {
                    files.insert(entry.file_path().to_owned());
                }
            }
        }
        for manifest in named.values() {
            if files.is_empty() {
                break;
            }
            for entry in load_manifest(&expired.table, manifest).await? {
                if entry.is_alive() {
                    files.remove(entry.file_path());
                }
            }
        }
        let lists: HashSet<&str> = metadata
            .snapshots()
            .map(|snapshot| snapshot.manifest_list())
            .collect();
        let removed = expired
            .removed
            .iter()
            .map(|snapshot| snapshot.manifest_list());
        let removed = removed
            .filter(|list| !lists.contains(list))
            .map(str::to_owned);
        let statistics = statistics(expired);
        Ok(files
            .into_iter()
            .chain(dropped.into_keys())
            .chain(removed)
            .chain(statistics)
            .collect())
    })
}

/// Files of statistics about the removed snapshots.
fn statistics(expired: &Expired) -> Vec<String> {
    let metadata = expired.before.metadata();
    let ids = expired
        .removed
        .iter()
        .map(|snapshot| snapshot.snapshot_id());
    let of = |id: i64| {
        let columns = metadata.statistics_for_snapshot(id);
        let partitions = metadata.partition_statistics_for_snapshot(id);
        let columns = columns.map(|file| file.statistics_path.clone());
        columns
            .into_iter()
            .chain(partitions.map(|file| file.statistics_path.clone()))
    };
    ids.flat_map(of).collect()
}
