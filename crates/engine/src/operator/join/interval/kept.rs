//! The rows of one side of an interval join that can still have a partner, by key and time.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Int64Array, RecordBatch};
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use super::super::SideKeys;
use super::super::pairs::{Place, number};
use crate::operator::width;

/// Memory of a key and its list in the index, besides the key's bytes and the entries.
const KEY_BYTES: usize = 96;

/// Rows of one side.
#[derive(Default)]
pub struct Kept {
    /// By number.
    pub chunks: BTreeMap<u32, Chunk>,
    /// Bytes of the widest row that was ever there.
    pub widest: usize,
    /// By key, in order of time.
    by_key: HashMap<Box<[u8]>, Vec<(i64, Place)>>,
    /// Of `chunks`.
    bytes: usize,
    rows: usize,
    /// Of the lists in `by_key`.
    entries: usize,
    /// Of the keys in `by_key`.
    key_bytes: usize,
}

/// Rows that came together.
pub struct Chunk {
    /// The rows.
    pub rows: RecordBatch,
    /// Their event times.
    pub times: Int64Array,
    /// The least time.
    pub oldest: i64,
    /// The greatest time.
    pub newest: i64,
    /// Bytes of the widest row.
    pub widest: usize,
}

impl Chunk {
    /// These rows with these times.
    pub fn new(rows: RecordBatch, times: Int64Array) -> Self {
        Self {
            oldest: times.values().iter().copied().min().unwrap_or(i64::MAX),
            newest: times.values().iter().copied().max().unwrap_or(i64::MIN),
            widest: width::widest(&rows),
            times,
            rows,
        }
    }
}

/// Most parts of rows that came together.
const PARTS: i64 = 16;

/// Those rows that are kept, by parts of `part_ms`, or a few that are longer, so that what is needed for
/// long does not keep what is not.
pub fn parts(times: &[i64], part_ms: i64, is_kept: impl Fn(usize) -> bool) -> Vec<Vec<u32>> {
    let (Some(oldest), Some(newest)) = (times.iter().min(), times.iter().max()) else {
        return vec![];
    };
    let part_ms = part_ms.max(newest.saturating_sub(*oldest) / PARTS);
    let mut parts: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    let kept = times.iter().enumerate().filter(|(row, _)| is_kept(*row));
    for (row, time) in kept {
        let part = parts.entry(time.div_euclid(part_ms)).or_default();
        part.push(number(row));
    }
    parts.into_values().collect()
}

impl Kept {
    /// Rows of the key whose time is between the bounds.
    pub fn within(&self, key: Option<&[u8]>, from: i64, to: i64) -> &[(i64, Place)] {
        let Some(rows) = key.and_then(|key| self.by_key.get(key)) else {
            return &[];
        };
        let start = rows.partition_point(|(time, _)| *time < from);
        let end = rows.partition_point(|(time, _)| *time <= to);
        &rows[start..end.max(start)]
    }

    /// Adds a chunk.
    pub fn add(&mut self, chunk: u32, of: Chunk, keys: &SideKeys) {
        let mut order: Vec<u32> = (0..number(of.rows.num_rows())).collect();
        order.sort_by_key(|row| of.times.value(*row as usize));
        // PERF: rows that come in order of time, key by key, cost an append each. Of a key with rows
        // that are newer, those are moved once for all that come.
        let mut out_of_order: BTreeSet<&[u8]> = BTreeSet::new();
        for row in order {
            let Some(key) = keys.get(row as usize) else {
                continue;
            };
            let entry = (of.times.value(row as usize), Place { chunk, row });
            let of_key = match self.by_key.entry_ref(key) {
                EntryRef::Occupied(entry) => entry.into_mut(),
                EntryRef::Vacant(entry) => {
                    self.key_bytes += key.len() + KEY_BYTES;
                    entry.insert(vec![])
                }
            };
            if of_key.last().is_some_and(|(last, _)| *last > entry.0) {
                out_of_order.insert(key);
            }
            of_key.push(entry);
            self.entries += 1;
        }
        for key in out_of_order {
            if let Some(of_key) = self.by_key.get_mut(key) {
                // Two runs in order: a merge.
                of_key.sort_by_key(|(time, _)| *time);
            }
        }
        self.widest = self.widest.max(of.widest);
        self.bytes += of.rows.get_array_memory_size();
        self.rows += of.rows.num_rows();
        self.chunks.insert(chunk, of);
    }

    /// Removes a chunk, and from the index all rows of its keys that are not newer than `passed`,
    /// which is not less than the newest of the chunk: nobody looks for them any more.
    pub fn remove(&mut self, chunk: u32, keys: &SideKeys, passed: i64) {
        let Some(of) = self.chunks.remove(&chunk) else {
            return;
        };
        self.bytes -= of.rows.get_array_memory_size();
        self.rows -= of.rows.num_rows();
        for key in (0..of.rows.num_rows()).filter_map(|row| keys.get(row)) {
            let Some(rows) = self.by_key.get_mut(key) else {
                continue;
            };
            let count = rows.partition_point(|(time, _)| *time <= passed);
            // PERF: the rows of a chunk share keys; the first of each has done it.
            if count == 0 {
                continue;
            }
            self.entries -= count;
            rows.drain(..count);
            if rows.is_empty() {
                self.by_key.remove(key);
                self.key_bytes -= key.len() + KEY_BYTES;
            } else if rows.capacity() > 4 * rows.len() {
                rows.shrink_to_fit();
            }
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        self.bytes + self.key_bytes + self.entries * size_of::<(i64, Place)>()
    }
}
