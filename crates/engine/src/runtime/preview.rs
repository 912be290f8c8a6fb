//! What a start would do, told before anything is touched: what it means to go back to an older
//! checkpoint, and what a plan that has changed takes over.

use std::sync::Arc;

use millstream_core::Result;
use millstream_core::env::Env;
use millstream_core::plan::Plan;
use millstream_core::sink::EpochMark;
use millstream_core::storage::Storage;

use super::adopt::compared;
use super::config::StartOptions;
use super::upgrade::Upgrade;
use crate::checkpoint::{CheckpointStore, Manifest, StartFrom};

/// A pipeline that would go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewind {
    /// Where to.
    pub to: EpochMark,
    /// The newest checkpoint, unless it is damaged.
    pub newest: Option<EpochMark>,
    /// The sinks that have got rows since, or may have.
    pub sinks: Vec<RewoundSink>,
}

/// A sink that gets rows again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewoundSink {
    /// The table.
    pub table: String,
    /// Its connector.
    pub connector: String,
    /// How many rows it got since, if that is known.
    pub rows_since: Option<u64>,
    /// Whether rows that come again take the place of those that are there, by primary key.
    pub is_keyed: bool,
}

/// What a start would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// The checkpoint to go on from; `None`: nothing has been read yet.
    pub at: Option<EpochMark>,
    /// What would be gone back from, if anything.
    pub rewind: Option<Rewind>,
    /// What a plan that has changed takes over.
    pub upgrade: Option<Upgrade>,
}

/// What starting `plan` on `storage` would do. Reads manifests and nothing else, so another process may run
/// the pipeline meanwhile.
///
/// # Errors
/// For a savepoint that is not there or damaged, and for a damaged manifest.
pub fn preview(
    plan: &Plan,
    (storage, env): (&Arc<dyn Storage>, &Arc<dyn Env>),
    start: &StartOptions,
) -> Result<Preview> {
    let store = || CheckpointStore::new(storage.clone(), env.clone(), &plan.options.name);
    let mut older = store();
    let Some(to) = older.load(&start.from)? else {
        return Ok(Preview::default());
    };
    let is_rewound = start.from != StartFrom::Newest && !older.is_newest();
    let rewind = is_rewound.then(|| {
        // One that cannot be read is what is gone back from.
        let newest = store().load(&StartFrom::Newest).ok().flatten();
        rewind(plan, &to, newest.as_ref())
    });
    let upgrade = match to.is_blank() {
        true => None,
        false => compared(&to, plan, &start.drop_state)?,
    };
    Ok(Preview {
        at: (!to.is_blank()).then(|| to.mark()),
        rewind,
        upgrade,
    })
}

fn rewind(plan: &Plan, to: &Manifest, newest: Option<&Manifest>) -> Rewind {
    let sinks = plan.sinks.iter().filter_map(|sink| {
        let rows_since = newest.and_then(|newest| rows_since(&sink.table, to, newest));
        (rows_since != Some(0)).then(|| RewoundSink {
            table: sink.table.clone(),
            connector: sink.connector.connector.clone(),
            rows_since,
            is_keyed: !sink.primary_key.is_empty(),
        })
    });
    Rewind {
        to: to.mark(),
        newest: newest.map(Manifest::mark),
        sinks: sinks.collect(),
    }
}

/// Counts go on from checkpoint to checkpoint of one incarnation only.
fn rows_since(table: &str, to: &Manifest, newest: &Manifest) -> Option<u64> {
    if newest.incarnation != to.incarnation {
        return None;
    }
    let rows = |manifest: &Manifest| manifest.sinks.get(table).map_or(0, |sink| sink.rows);
    rows(newest).checked_sub(rows(to))
}
