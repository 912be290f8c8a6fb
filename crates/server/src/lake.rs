//! The lake's tables as a process keeps them: how they do, and their maintenance, in the background and
//! when somebody asks for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_connectors::iceberg::commit::{Commits, Expire};
use millstream_connectors::iceberg::lake::Lake;
use millstream_connectors::iceberg::maintenance::Budget;
use millstream_connectors::iceberg::maintenance::compact::{Compact, Compacted, compact};
use millstream_connectors::iceberg::maintenance::expire::{ExpiredFiles, expire};
use millstream_connectors::iceberg::maintenance::status::{TableStatus, status};
use millstream_connectors::iceberg::maintenance::upkeep::{Tended, Upkeep, UpkeepSettings};
use millstream_core::env::Env;
use millstream_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A lake table in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LakeTableView {
    /// `namespace.name`.
    pub table: String,
    /// Data files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Data files smaller than three quarters of the target size.
    pub small_files: u64,
    /// Files of deletes.
    pub delete_files: u64,
    /// Snapshots that can be read.
    pub snapshots: u64,
    /// Manifests of the current snapshot.
    pub manifests: u64,
    /// Their bytes.
    pub manifest_bytes: u64,
    /// The current snapshot's id, as text: it does not fit into JSON's numbers everywhere.
    pub snapshot_id: Option<String>,
    /// When it was made, ms since 1970.
    pub last_commit_ms: Option<i64>,
    /// How long ago that is.
    pub lag_ms: Option<i64>,
    /// Rows that wait for a commit of this process.
    pub pending_rows: u64,
    /// Bytes that do.
    pub pending_bytes: u64,
    /// Why the last commit failed, if it did.
    pub error: Option<String>,
}

/// What was done for a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LakeWork {
    /// `namespace.name`.
    pub table: String,
    /// Data files that were replaced.
    pub files_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Data files in their place.
    pub files_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Snapshots that were forgotten.
    pub snapshots: u64,
    /// Files that were deleted.
    pub files_deleted: u64,
}

/// What to expire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpireRequest {
    /// Snapshots older than this many ms; by default what the table says.
    pub older_than_ms: Option<i64>,
}

/// The lake's tables, kept.
pub struct LakeKeeper {
    lake: Arc<Lake>,
    env: Arc<dyn Env>,
    upkeep: Mutex<Upkeep>,
    /// What metrics tell, so that they never wait for maintenance.
    seen: Mutex<Vec<LakeTableView>>,
}

/// A table and how it is changed.
type Found = (String, iceberg::TableIdent, Arc<Commits>);

impl LakeKeeper {
    /// Keeps the tables of `lake`; in the background only if `is_on`.
    pub fn new(lake: Arc<Lake>, env: Arc<dyn Env>, is_on: bool) -> Self {
        let settings = UpkeepSettings {
            is_on,
            ..UpkeepSettings::default()
        };
        Self {
            lake,
            env,
            upkeep: Mutex::new(Upkeep::new(settings)),
            seen: Mutex::default(),
        }
    }

    /// Does a little for each table that this process writes. The first error; the others are kept all
    /// the same.
    pub fn tick(&self) -> Result<()> {
        let mut upkeep = lock(&self.upkeep);
        let mut first = Ok(());
        for table in self.lake.open_tables() {
            let is_ours = |path: &str| {
                let name = path.rsplit('/').next().unwrap_or(path);
                let mut prefixes = table.prefixes.iter();
                prefixes.any(|prefix| name.starts_with(prefix.as_str()))
            };
            let is_protected = |path: &str| {
                table.protected.contains(path) || (is_of_a_sink(path) && !is_ours(path))
            };
            let tended = Tended {
                commits: &table.commits,
                ident: &table.ident,
                listing: &table.files,
                is_protected: &is_protected,
            };
            let done = upkeep.tick(&tended);
            first = first.and(done.map_err(|error| error.context(&table.ident)));
        }
        *lock(&self.seen) = upkeep
            .statuses()
            .map(|status| self.view(status.clone()))
            .collect();
        first
    }

    /// How the tables did when they were last looked at.
    pub fn seen(&self) -> Vec<LakeTableView> {
        lock(&self.seen).clone()
    }

    /// How they do now: the one called `table`, or all.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such table.
    pub fn status(&self, table: Option<&str>) -> Result<Vec<LakeTableView>> {
        self.each(table, |(_, ident, commits)| {
            let status = status(&commits.load(ident)?, self.env.now_ms())?;
            Ok(self.view(status))
        })
    }

    /// Makes small files into bigger ones, as far as there are any.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such table; `Conflict` if others change its files all the time.
    pub fn compact(&self, table: Option<&str>) -> Result<Vec<LakeWork>> {
        self.each(table, |(name, ident, commits)| {
            let budget = UpkeepSettings::default().budget;
            let how = Compact {
                target_bytes: None,
                files_min: 2,
                budget,
            };
            let mut work = LakeWork {
                table: name.clone(),
                ..LakeWork::default()
            };
            loop {
                let done: Compacted = compact(commits, ident, &how)?;
                work.files_in += done.files_in;
                work.bytes_in += done.bytes_in;
                work.files_out += done.files_out;
                work.bytes_out += done.bytes_out;
                if !done.has_more {
                    return Ok(work);
                }
            }
        })
    }

    /// Forgets old snapshots and deletes what only they named.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such table, or it keeps all snapshots.
    pub fn expire(&self, table: Option<&str>, request: ExpireRequest) -> Result<Vec<LakeWork>> {
        let older_than_ms = request
            .older_than_ms
            .map(|age| self.env.now_ms().saturating_sub(age));
        // Who says how old a snapshot may be means all but the current one.
        let keep = older_than_ms.map(|_| 1);
        self.each(table, |(name, ident, commits)| {
            let how = Expire {
                older_than_ms,
                keep,
                snapshots_max: None,
            };
            let done: ExpiredFiles = expire(commits, ident, &how, Budget::ALL)?;
            Ok(LakeWork {
                table: name.clone(),
                snapshots: done.snapshots,
                files_deleted: done.files,
                ..LakeWork::default()
            })
        })
    }

    fn each<T>(
        &self,
        table: Option<&str>,
        work: impl FnMut(&Found) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = self.tables()?;
        if let Some(wanted) = table {
            let names: Vec<String> = found.iter().map(|(name, ..)| name.clone()).collect();
            found.retain(|(name, ident, _)| name == wanted || ident.name() == wanted);
            if found.is_empty() {
                let there = match names.is_empty() {
                    true => "there are none".to_owned(),
                    false => format!("there are: {}", names.join(", ")),
                };
                return Err(Error::invalid(format!("no lake table `{wanted}`; {there}")));
            }
        }
        found.iter().map(work).collect()
    }

    /// The tables of the catalog, and those of other catalogs that this process writes.
    fn tables(&self) -> Result<Vec<Found>> {
        let open = self
            .lake
            .open_tables()
            .into_iter()
            .map(|table| (table.ident, table.commits));
        let mut found: Vec<Found> = open
            .map(|(ident, commits)| (ident.to_string(), ident, commits))
            .collect();
        let own = self.lake.catalog()?;
        for ident in own.commits.catalog().list()? {
            let is_known =
                |(_, known, commits): &Found| *known == ident && Arc::ptr_eq(commits, &own.commits);
            if !found.iter().any(is_known) {
                found.push((ident.to_string(), ident, own.commits.clone()));
            }
        }
        found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        Ok(found)
    }

    fn view(&self, status: TableStatus) -> LakeTableView {
        let open = self.lake.open_tables();
        let open = open
            .into_iter()
            .find(|open| open.ident.to_string() == status.table);
        let pending = open.map(|open| open.pending);
        LakeTableView {
            table: status.table,
            files: status.files,
            rows: status.rows,
            bytes: status.bytes,
            small_files: status.small_files,
            delete_files: status.delete_files,
            snapshots: status.snapshots,
            manifests: status.manifests,
            manifest_bytes: status.manifest_bytes,
            snapshot_id: status.snapshot_id.map(|id| id.to_string()),
            last_commit_ms: status.last_commit_ms,
            lag_ms: status
                .last_commit_ms
                .map(|last_ms| (self.env.now_ms() - last_ms).max(0)),
            pending_rows: pending.as_ref().map_or(0, |pending| pending.rows),
            pending_bytes: pending.as_ref().map_or(0, |pending| pending.bytes),
            error: pending.and_then(|pending| pending.error),
        }
    }
}

/// Whether a file may be one of a sink's, of whatever process: those wait for their commit for as long as
/// that process is down. Their names have two numbers of 16 hexadecimal digits.
fn is_of_a_sink(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_number = |part: &&str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    name.split(['-', '.']).filter(is_number).count() >= 2
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left is looked at anew at the next tick.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the caller asked for what is not there.
pub fn is_unknown(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidInput && error.to_string().starts_with("no lake table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_sinks_are_told_by_their_names() {
        let sink = "file:///d/t/data/day=1/p-s-00ff00ff00ff00ff-3-0-0123456789abcdef-7.parquet";
        assert!(is_of_a_sink(sink));
        for other in [
            "s3://b/t/data/compact-00ff00ff00ff00ff0123456789abcdef-0.parquet",
            "s3://b/t/data/00000-0-7a1f8a2e-2f3c-4f0e-9d0a-0123456789ab.parquet",
            "s3://b/t/metadata/00ff00ff00ff00ff0123456789abcdef-m0.avro",
        ] {
            assert!(!is_of_a_sink(other), "{other}");
        }
    }
}
