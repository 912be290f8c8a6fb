//! Forgetting old snapshots: metadata only. What can be deleted then follows from the snapshots that
//! were removed and those that are kept (`maintenance/expire.rs`).

use std::collections::{BTreeMap, HashSet};

use iceberg::TableUpdate;
use iceberg::spec::{SnapshotRef, SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::table::Table;
use millstream_core::env::Env;
use millstream_core::{Error, Result};

use super::{Change, Prepared, Step};
use crate::iceberg::snapshot::ancestors_of;

const MAX_AGE: &str = "history.expire.max-snapshot-age-ms";
const MIN_KEPT: &str = "history.expire.min-snapshots-to-keep";
/// Where the table says nothing: a day.
const MAX_AGE_DEFAULT_MS: i64 = 24 * 60 * 60 * 1000;
const MIN_KEPT_DEFAULT: usize = 10;

/// Which snapshots to forget: those of each branch that are neither among its newest nor young enough.
/// Heads of branches and tags always stay. What is not said here, the table's properties say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expire {
    /// Forget those made before this moment (ms since 1970).
    pub older_than_ms: Option<i64>,
    /// Newest snapshots of a branch to keep whatever their age; at least 1.
    pub keep: Option<usize>,
    /// At most so many at once, the oldest first.
    pub snapshots_max: Option<usize>,
}

/// What was forgotten.
#[derive(Debug)]
pub struct Expired {
    /// The table without them.
    pub table: Box<Table>,
    /// The table as it was: to read what they referred to.
    pub before: Box<Table>,
    /// The removed snapshots, oldest first.
    pub removed: Vec<SnapshotRef>,
}

pub(super) struct Expiring<'a> {
    expire: &'a Expire,
    /// Of the last try.
    before: Option<Table>,
    removed: Vec<SnapshotRef>,
}

impl<'a> Expiring<'a> {
    pub(super) fn new(expire: &'a Expire) -> Self {
        Self {
            expire,
            before: None,
            removed: Vec::new(),
        }
    }

    fn expired(&mut self, table: Box<Table>) -> Option<Expired> {
        let before = Box::new(self.before.take()?);
        let removed = std::mem::take(&mut self.removed);
        Some(Expired {
            table,
            before,
            removed,
        })
    }
}

impl Change for Expiring<'_> {
    type Output = Option<Expired>;

    fn prepare(&mut self, base: &Table, env: &dyn Env, doubt: bool) -> Result<Step<Self::Output>> {
        let metadata = base.metadata();
        let is_gone =
            |snapshot: &SnapshotRef| metadata.snapshot_by_id(snapshot.snapshot_id()).is_none();
        if doubt && !self.removed.is_empty() && self.removed.iter().all(is_gone) {
            return Ok(Step::Done(self.expired(Box::new(base.clone()))));
        }
        if metadata
            .properties()
            .get("gc.enabled")
            .is_some_and(|value| value == "false")
        {
            let table = base.identifier();
            let message = format!("table `{table}` keeps all snapshots: `gc.enabled` is false");
            return Err(Error::invalid(message));
        }
        let removed = outdated(metadata, self.expire, env.now_ms())?;
        if removed.is_empty() {
            return Ok(Step::Done(None));
        }
        let mut updates = Vec::new();
        for id in removed.iter().map(|snapshot| snapshot.snapshot_id()) {
            if metadata.statistics_for_snapshot(id).is_some() {
                updates.push(TableUpdate::RemoveStatistics { snapshot_id: id });
            }
            if metadata.partition_statistics_for_snapshot(id).is_some() {
                updates.push(TableUpdate::RemovePartitionStatistics { snapshot_id: id });
            }
        }
        let snapshot_ids = removed
            .iter()
            .map(|snapshot| snapshot.snapshot_id())
            .collect();
        updates.push(TableUpdate::RemoveSnapshots { snapshot_ids });
        (self.before, self.removed) = (Some(base.clone()), removed);
        Ok(Step::Commit(Prepared {
            updates,
            written: Vec::new(),
            snapshot_id: None,
        }))
    }

    fn found(&mut self, _: &Table) -> Option<Self::Output> {
        None
    }

    fn done(&mut self, _: &Table, table: Box<Table>) -> Self::Output {
        self.expired(table)
    }
}

/// Snapshots that may go, oldest first. As `RemoveSnapshots` of Iceberg's Java library decides, but
/// references themselves never expire.
pub(super) fn outdated(
    metadata: &TableMetadata,
    expire: &Expire,
    now_ms: i64,
) -> Result<Vec<SnapshotRef>> {
    let age_ms = property(metadata, MAX_AGE, MAX_AGE_DEFAULT_MS)?;
    let cutoff_ms = expire
        .older_than_ms
        .unwrap_or(now_ms.saturating_sub(age_ms));
    let keep = match expire.keep {
        Some(keep) => keep,
        None => property(metadata, MIN_KEPT, MIN_KEPT_DEFAULT)?,
    };
    let mut kept: HashSet<i64> = metadata.current_snapshot_id().into_iter().collect();
    let mut branches: Vec<(i64, usize, i64)> = Vec::new();
    for reference in references(metadata)?.into_values() {
        let head = reference.snapshot_id;
        kept.insert(head);
        if let SnapshotRetention::Branch {
            min_snapshots_to_keep,
            max_snapshot_age_ms,
            ..
        } = reference.retention
        {
            let own = min_snapshots_to_keep.and_then(|count| usize::try_from(count).ok());
            let own_cutoff = max_snapshot_age_ms.map(|age| now_ms.saturating_sub(age));
            branches.push((head, own.unwrap_or(keep), own_cutoff.unwrap_or(cutoff_ms)));
        }
    }
    let mut known = kept.clone();
    for (head, keep, cutoff_ms) in branches {
        for (place, snapshot) in ancestors_of(metadata, Some(head)).enumerate() {
            known.insert(snapshot.snapshot_id());
            if place < keep || snapshot.timestamp_ms() >= cutoff_ms {
                kept.insert(snapshot.snapshot_id());
            }
        }
    }
    let mut outdated: Vec<SnapshotRef> = metadata.snapshots().cloned().collect();
    outdated.retain(|snapshot| {
        let id = snapshot.snapshot_id();
        let is_young = !known.contains(&id) && snapshot.timestamp_ms() >= cutoff_ms;
        !kept.contains(&id) && !is_young
    });
    outdated.sort_by_key(|snapshot| (snapshot.sequence_number(), snapshot.timestamp_ms()));
    outdated.truncate(expire.snapshots_max.unwrap_or(usize::MAX));
    Ok(outdated)
}

/// Branches and tags. The crate shows them only in what it writes.
fn references(metadata: &TableMetadata) -> Result<BTreeMap<String, SnapshotReference>> {
    let broken = |error| Error::bug(format!("references of a lake table: {error}"));
    let mut written = serde_json::to_value(metadata).map_err(broken)?;
    match written.get_mut("refs").map(serde_json::Value::take) {
        Some(references) => serde_json::from_value(references).map_err(broken),
        None => Ok(BTreeMap::new()),
    }
}

/// A number among the table's properties.
fn property<T: std::str::FromStr>(metadata: &TableMetadata, key: &str, default: T) -> Result<T> {
    let Some(text) = metadata.properties().get(key) else {
        return Ok(default);
    };
    let number = text.parse();
    number.map_err(|_| Error::invalid(format!("table property `{key}`: `{text}` is not a number")))
}
