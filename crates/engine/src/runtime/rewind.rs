//! What it means to go back to an older checkpoint, told before anything is touched.

use millstream_core::Result;
use millstream_core::sink::EpochMark;

use super::config::JobConfig;
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

/// What `config` would rewind; `None` if it goes on from the newest checkpoint.
///
/// # Errors
/// As starting it, for a savepoint that is not there or damaged.
pub fn preview(config: &JobConfig) -> Result<Option<Rewind>> {
    let name = &config.plan.options.name;
    let store = || CheckpointStore::new(config.storage.clone(), config.env.clone(), name);
    let mut older = store();
    let to = match (older.load(&config.start.from), &config.start.from) {
        (Ok(Some(to)), _) => to,
        (Err(error), StartFrom::Savepoint(_)) => return Err(error),
        // Starting says what is wrong, and what to go back to instead.
        (Ok(None) | Err(_), _) => return Ok(None),
    };
    let is_rewound = match config.start.from {
        StartFrom::Newest => false,
        StartFrom::Epoch(_) | StartFrom::Savepoint(_) => !older.is_newest(),
    };
    if !is_rewound {
        return Ok(None);
    }
    // One that cannot be read is what is gone back from.
    let newest = store().load(&StartFrom::Newest).ok().flatten();
    let sinks = config.plan.sinks.iter().filter_map(|sink| {
        let rows_since = newest
            .as_ref()
            .and_then(|newest| rows_since(&sink.table, &to, newest));
        (rows_since != Some(0)).then(|| RewoundSink {
            table: sink.table.clone(),
            connector: sink.connector.connector.clone(),
            rows_since,
            is_keyed: !sink.primary_key.is_empty(),
        })
    });
    Ok(Some(Rewind {
        to: to.mark(),
        newest: newest.as_ref().map(Manifest::mark),
        sinks: sinks.collect(),
    }))
}

/// Counts go on from checkpoint to checkpoint of one incarnation only.
fn rows_since(table: &str, to: &Manifest, newest: &Manifest) -> Option<u64> {
    if newest.incarnation != to.incarnation {
        return None;
    }
    let rows = |manifest: &Manifest| manifest.sinks.get(table).map_or(0, |sink| sink.rows);
    rows(newest).checked_sub(rows(to))
}
