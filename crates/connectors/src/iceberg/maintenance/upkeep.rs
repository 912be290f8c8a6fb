//! Maintenance in the background: a little at each tick, so that it never holds up a commit or the
//! process's end for long.
//!
//! A tick does one thing for a table, of those that are due: look how it does, compact, forget old
//! snapshots, look for orphans. What failed is due again after its period, not at once.

use std::collections::BTreeMap;
use std::time::Duration;

use iceberg::TableIdent;
use millstream_core::Result;

use super::Budget;
use super::compact::{Compact, compact};
use super::expire::expire;
use super::orphans::{Listing, Orphans};
use super::status::{TableStatus, status};
use crate::iceberg::commit::{Commits, Expire};

/// How often, and how much at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpkeepSettings {
    /// Whether there is any. If not, only the numbers are kept.
    pub is_on: bool,
    /// Between two compactions, if nothing was left over.
    pub compact_every: Duration,
    /// Between two looks for old snapshots.
    pub expire_every: Duration,
    /// Between two looks for orphans.
    pub orphans_every: Duration,
    /// Of one compaction, or of one deletion.
    pub budget: Budget,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            is_on: true,
            compact_every: Duration::from_secs(60),
            expire_every: Duration::from_secs(5 * 60),
            orphans_every: Duration::from_secs(60 * 60),
            budget: Budget {
                bytes: 256 * 1024 * 1024,
                files: 500,
            },
        }
    }
}

/// Small files of a partition with which a compaction in the background begins, as long as they do not
/// fill a file.
const FILES_MIN: usize = 5;
/// Between two looks at how a table does.
const STATUS_EVERY: Duration = Duration::from_secs(15);

/// A table to keep.
pub struct Tended<'a> {
    /// How it is changed.
    pub commits: &'a Commits,
    /// Its name.
    pub ident: &'a TableIdent,
    /// Its files.
    pub listing: &'a dyn Listing,
    /// Files that wait to be named by a snapshot.
    pub is_protected: &'a dyn Fn(&str) -> bool,
}

/// What is remembered of the tables between ticks.
#[derive(Debug, Default)]
pub struct Upkeep {
    settings: UpkeepSettings,
    tables: BTreeMap<String, State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each is due, of [`Work::ALL`].
    due_ms: [i64; Work::ALL.len()],
    orphans: Orphans,
    status: Option<TableStatus>,
}

/// One thing to do. By how much it helps readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Status,
    Compact,
    Expire,
    Orphans,
}

impl Work {
    const ALL: [Self; 4] = [Self::Status, Self::Compact, Self::Expire, Self::Orphans];
}

impl Upkeep {
    /// Nothing was done yet.
    pub fn new(settings: UpkeepSettings) -> Self {
        Self {
            settings,
            tables: BTreeMap::new(),
        }
    }

    /// How the tables did when they were last looked at.
    pub fn statuses(&self) -> impl Iterator<Item = &TableStatus> {
        self.tables
            .values()
            .filter_map(|state| state.status.as_ref())
    }

    /// Does the first thing that is due, if there is one.
    pub fn tick(&mut self, table: &Tended<'_>) -> Result<()> {
        let now_ms = table.commits.env().now_ms();
        let settings = self.settings;
        let state = self.tables.entry(table.ident.to_string()).or_default();
        let is_due = |work: &Work| {
            state.due_ms[*work as usize] <= now_ms && (settings.is_on || *work == Work::Status)
        };
        let Some(work) = Work::ALL.into_iter().find(is_due) else {
            return Ok(());
        };
        let period = match work {
            Work::Status => STATUS_EVERY,
            Work::Compact => settings.compact_every,
            Work::Expire => settings.expire_every,
            Work::Orphans => settings.orphans_every,
        };
        let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
        state.due_ms[work as usize] = now_ms.saturating_add(period_ms);
        let has_more = state.work(work, table, settings.budget)?;
        if has_more {
            state.due_ms[work as usize] = now_ms;
        }
        Ok(())
    }
}

impl State {
    /// Whether there is more of it to do.
    fn work(&mut self, work: Work, table: &Tended<'_>, budget: Budget) -> Result<bool> {
        let Tended {
            commits,
            ident,
            listing,
            is_protected,
        } = table;
        match work {
            Work::Status => {
                let loaded = commits.load(ident)?;
                self.status = Some(status(&loaded, commits.env().now_ms())?);
                Ok(false)
            }
            Work::Compact => {
                let how = Compact {
                    target_bytes: None,
                    files_min: FILES_MIN,
                    budget,
                };
                let done = compact(commits, ident, &how)?;
                if done.files_in > 0 {
                    tracing::info!(table = %ident, ?done, "compacted");
                }
                Ok(done.has_more)
            }
            Work::Expire => {
                let done = expire(commits, ident, &Expire::default(), budget)?;
                if done.snapshots > 0 {
                    tracing::info!(table = %ident, ?done, "forgot old snapshots");
                }
                Ok(done.has_more)
            }
            Work::Orphans => {
                let deleted =
                    self.orphans
                        .sweep(commits, ident, *listing, (*is_protected, budget))?;
                if deleted > 0 {
                    tracing::info!(table = %ident, files = deleted, "deleted orphans");
                }
                Ok(false)
            }
        }
    }
}
