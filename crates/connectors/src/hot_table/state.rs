//! The state of a table in memory: its newest version, and which rows are live.
//!
//! INVARIANT: changed only after the version that says so is durable, and then without any step
//! that can fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use millstream_core::Result;

use super::index::{Bitmap, KeyIndex, PartNumber, Place, no_rows};
use super::name::{Mark, TableName};
use super::part::Part;
use super::schema::columns;
use super::snapshot::{SnapshotPart, TableSnapshot};
use super::version::Version;

/// A table's newest version and its live rows.
pub(super) struct TableState {
    /// Number of the newest version.
    pub number: u64,
    /// The next version as the last attempt tried to write it, if nobody knows whether it is there.
    pub unclear: Option<Vec<u8>>,
    pub schema: SchemaRef,
    pub primary_key: Vec<usize>,
    pub retention_ms: Option<u64>,
    pub writers: BTreeMap<String, Mark>,
    pub parts: Vec<LivePart>,
    index: KeyIndex,
    next_part: PartNumber,
}

/// A part and its replaced rows.
#[derive(Clone)]
pub(super) struct LivePart {
    pub number: PartNumber,
    pub part: Arc<Part>,
    pub replaced: Arc<Bitmap>,
}

/// A part to be added, with the hash of each row's key in order; no hashes in a table without key.
pub(super) struct NewPart {
    pub part: Arc<Part>,
    pub keys: Vec<u128>,
}

impl LivePart {
    pub fn snapshot(&self) -> SnapshotPart {
        SnapshotPart {
            part: self.part.clone(),
            replaced: self.replaced.clone(),
        }
    }
}

impl TableState {
    /// The state of `version`, still without its parts.
    pub fn new(number: u64, version: &Version) -> Result<Self> {
        Ok(Self {
            number,
            unclear: None,
            schema: super::schema::schema(&version.columns)?,
            primary_key: version.primary_key.clone(),
            retention_ms: version.retention_ms,
            writers: version.writers.clone(),
            parts: vec![],
            index: KeyIndex::default(),
            next_part: 0,
        })
    }

    /// The version file's content for this state.
    pub fn version(&self, name: &TableName) -> Result<Version> {
        Ok(Version {
            database: name.database.clone(),
            table: name.table.clone(),
            columns: columns(&self.schema)?,
            primary_key: self.primary_key.clone(),
            retention_ms: self.retention_ms,
            parts: self
                .parts
                .iter()
                .map(|live| live.part.entry.clone())
                .collect(),
            writers: self.writers.clone(),
        })
    }

    /// What queries see of it.
    pub fn snapshot(&self) -> TableSnapshot {
        TableSnapshot {
            schema: self.schema.clone(),
            number: self.number,
            parts: self.parts.iter().map(LivePart::snapshot).collect(),
        }
    }

    /// Adds a part at the end: its rows replace all earlier ones with the same key.
    pub fn append(&mut self, new: NewPart) {
        let number = self.take_number();
        let part = new.part;
        self.parts.push(LivePart {
            number,
            part,
            replaced: no_rows(),
        });
        let positions: HashMap<PartNumber, usize> = self
            .parts
            .iter()
            .enumerate()
            .map(|(at, live)| (live.number, at))
            .collect();
        for (row, key) in new.keys.into_iter().enumerate() {
            let place = Place {
                part: number,
                row: row_number(row),
            };
            if let Some(old) = self.index.insert(key, place) {
                let position = positions[&old.part];
                Arc::make_mut(&mut self.parts[position].replaced).insert(old.row);
            }
        }
    }

    /// Puts `merged` in the place of the last of `old`. Its rows are those of the old ones that
    /// were live when the merge began; some may have been replaced since.
    pub fn replace(&mut self, old: &[PartNumber], merged: Option<NewPart>) {
        let number = self.take_number();
        let mut live_keys = 0;
        let merged = merged.map(|new| {
            let mut replaced = Bitmap::default();
            for (row, key) in new.keys.iter().enumerate() {
                let row = row_number(row);
                let place = self.index.get(*key);
                if place.is_some_and(|place| old.contains(&place.part)) {
                    self.index.insert(*key, Place { part: number, row });
                    live_keys += 1;
                } else {
                    replaced.insert(row);
                }
            }
            LivePart {
                number,
                part: new.part,
                replaced: Arc::new(replaced),
            }
        });
        let gone = self.parts.iter().filter(|live| old.contains(&live.number));
        let live_before: u64 = gone.map(|live| live.snapshot().rows()).sum();
        if !self.primary_key.is_empty() && live_keys < live_before {
            // Expired rows were left out: their keys are new when they come again.
            self.index.remove_parts(old);
        }
        let last = self
            .parts
            .iter()
            .rposition(|live| old.contains(&live.number));
        if let (Some(last), Some(merged)) = (last, merged) {
            self.parts.insert(last + 1, merged);
        }
        self.parts.retain(|live| !old.contains(&live.number));
    }

    fn take_number(&mut self) -> PartNumber {
        self.next_part += 1;
        self.next_part
    }
}

fn row_number(row: usize) -> u32 {
    u32::try_from(row).expect("a part has fewer than 2^32 rows")
}
