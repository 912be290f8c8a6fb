//! Orphans: files at the table's place that no snapshot names. Crashes, lost answers and rejected
//! commits leave them.
//!
//! A file that is being written, or waits to be committed, is not named either. So one is deleted only
//! a day after it was first seen so, and what the caller knows to be waiting never. Storage need not
//! know when files were made.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::TableIdent;
use iceberg::table::Table;
use millstream_core::Result;

use super::Budget;
use super::expire::delete;
use crate::iceberg::blocking::block_on;
use crate::iceberg::commit::Commits;
use crate::iceberg::files::Files;
use crate::iceberg::snapshot::{load_list, load_manifest};

/// How long a file has to be unnamed before it is deleted.
pub const AGE_MS: i64 = 24 * 60 * 60 * 1000;
const CONCURRENT: usize = 8;

/// Lists files.
pub trait Listing: Send + Sync {
    /// URIs of all files below the folder `location`, which ends in `/`, as snapshots write them.
    fn list(&self, location: &str) -> Result<Vec<String>>;
}

impl Listing for Files {
    fn list(&self, location: &str) -> Result<Vec<String>> {
        Self::list(self, location)
    }
}

/// Files that were seen unnamed, and since when (ms since 1970). To be kept between calls; where it is
/// lost the day begins anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Orphans {
    since_ms: BTreeMap<String, i64>,
}

impl Orphans {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.since_ms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.since_ms.is_empty()
    }

    /// Looks for orphans of a table and deletes those that are old enough; returns how many.
    /// `protected`: files that wait to be named.
    pub fn sweep(
        &mut self,
        commits: &Commits,
        ident: &TableIdent,
        listing: &dyn Listing,
        (protected, budget): (&dyn Fn(&str) -> bool, Budget),
    ) -> Result<u64> {
        let location = commits.load(ident)?.metadata().location().to_owned();
        // INVARIANT: listed first, loaded then. What is committed in between is named.
        let mut found = listing.list(&format!("{location}/"))?;
        let table = commits.load(ident)?;
        let named = named(&table)?;
        found.retain(|path| !named.contains(path) && !protected(path));
        let now_ms = commits.env().now_ms();
        let since_ms: BTreeMap<String, i64> = found
            .into_iter()
            .map(|path| {
                let since_ms = self.since_ms.get(&path).copied().unwrap_or(now_ms);
                (path, since_ms)
            })
            .collect();
        self.since_ms = since_ms;
        let old = self
            .since_ms
            .iter()
            .filter(|(_, since_ms)| now_ms - **since_ms >= AGE_MS);
        let old: Vec<String> = old
            .map(|(path, _)| path.clone())
            .take(budget.files)
            .collect();
        delete(&table, old.clone())?;
        self.since_ms.retain(|path, _| !old.contains(path));
        Ok(old.len() as u64)
    }
}

/// All files that the table names, in any snapshot.
fn named(table: &Table) -> Result<HashSet<String>> {
    let metadata = table.metadata();
    let mut named: HashSet<String> = HashSet::new();
    named.extend(
        metadata
            .metadata_log()
            .iter()
            .map(|log| log.metadata_file.clone()),
    );
    named.extend(table.metadata_location().map(str::to_owned));
    named.extend(
        metadata
            .statistics_iter()
            .map(|file| file.statistics_path.clone()),
    );
    named.extend(
        metadata
            .partition_statistics_iter()
            .map(|file| file.statistics_path.clone()),
    );
    block_on(async {
        let snapshots = metadata.snapshots();
        let lists = stream::iter(snapshots).map(|snapshot| load_list(table, snapshot));
        let lists: Vec<_> = lists.buffered(CONCURRENT).try_collect().await?;
        named.extend(
            metadata
                .snapshots()
                .map(|snapshot| snapshot.manifest_list().to_owned()),
        );
        let manifests = lists.into_iter().flatten();
        let manifests: BTreeMap<_, _> = manifests
            .map(|manifest| (manifest.manifest_path.clone(), manifest))
            .collect();
        let read = stream::iter(manifests.values()).map(|manifest| load_manifest(table, manifest));
        let mut read = read.buffered(CONCURRENT);
        while let Some(entries) = read.try_next().await? {
            let live = entries.iter().filter(|entry| entry.is_alive());
            named.extend(live.map(|entry| entry.file_path().to_owned()));
        }
        drop(read);
        named.extend(manifests.into_keys());
        Ok(named)
    })
}
