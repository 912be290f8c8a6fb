//! Upkeep of a table: merges small parts, drops replaced and expired rows, deletes files that
//! nobody can read any more.
//!
//! Parts are merged with their neighbours, so the order of rows stays. Sizes are cut into tiers
//! ([`TIER_BYTES`]); eight neighbours that are no larger than a tier become one part. So a row is
//! rewritten at most once per tier, and a commit every second leaves fewer than 32 small parts.
//!
//! INVARIANT: a row may expire only if no row before its part is replaced: else, on opening, a
//! row that it had replaced would be live again.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{BatchCoalescer, cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use hashbrown::HashSet;
use millstream_core::{EventTime, Result};

use super::index::PartNumber;
use super::name::{PartName, merged_name, parse_part_name};
use super::part::{Part, part_path, parts_folder};
use super::part_file::PartWriter;
use super::scan::Scan;
use super::state::{LivePart, NewPart, TableState};
use super::table::HotTable;
use super::time_column;
use super::version::{VERSIONS_KEPT, read_version, version_numbers, version_path};

const TIER_BYTES: [u64; 4] = [128 << 10, 1 << 20, 8 << 20, 64 << 20];
const MERGE_PARTS_MIN: usize = 8;
const MERGE_BYTES_MAX: u64 = 128 << 20;
const MERGE_ROWS_MAX: u64 = 4 << 20;
const BATCH_ROWS: usize = 8192;

/// What upkeep remembers from one call to the next.
#[derive(Default)]
pub(super) struct Maintenance {
    /// Whether files that an earlier process left were deleted.
    swept: bool,
    /// The oldest version file that may be there.
    oldest_version: u64,
    /// Parts that are no longer in the table, each with the last version that refers to it.
    retired: Vec<(u64, Arc<Part>)>,
}

/// Parts to be replaced by one with their live rows, or by nothing.
struct Merge {
    parts: Vec<LivePart>,
    /// Whether no row is left: then nothing is read.
    is_drop: bool,
    expiry: Option<Expiry>,
}

/// Rows with a time before `cutoff` (in the column's unit) are expired.
#[derive(Clone, Copy)]
struct Expiry {
    column: usize,
    cutoff: i64,
}

impl HotTable {
    /// One step of upkeep, at wall-clock time `now`: whether there was something to do, so that
    /// more may follow. To be called every second or so while the table is written.
    pub fn maintain(&self, now: EventTime) -> Result<bool> {
        let mut maintenance = self.maintenance.lock().expect("no panic while locked");
        if !maintenance.swept {
            self.sweep()?;
            maintenance.oldest_version = version_numbers(self.storage.as_ref(), &self.folder)?
                .first()
                .copied()
                .unwrap_or(1);
            maintenance.swept = true;
        }
        let merge = {
            let mut state = self.state();
            // A merge is named after the newest version: a file that one whose answer was lost refers
            // to must not be written again.
            self.settle(&mut state)?;
            plan(&state, now)
        };
        let changed = merge.is_some();
        if let Some(merge) = merge {
            let merged = if merge.is_drop {
                None
            } else {
                self.write_merged(&merge)?
            };
            let version = self.publish_merged(&merge, merged)?;
            let parts = merge.parts.into_iter().map(|live| (version, live.part));
            maintenance.retired.extend(parts);
        }
        self.delete_old(&mut maintenance)?;
        Ok(changed)
    }

    /// Publishes the version with `merged` for the parts of `merge`; returns the last version with
    /// these. Rows may have been replaced since `merged` was written.
    fn publish_merged(&self, merge: &Merge, merged: Option<NewPart>) -> Result<u64> {
        let old: Vec<PartNumber> = merge.parts.iter().map(|live| live.number).collect();
        let mut state = self.state();
        let mut next = state.version(&self.name)?;
        let gone: HashSet<&str> = merge
            .parts
            .iter()
            .map(|live| live.part.entry.file.as_str())
            .collect();
        if let Some(new) = &merged {
            let last = next
                .parts
                .iter()
                .rposition(|entry| gone.contains(entry.file.as_str()));
            let position = last.expect("only maintenance removes parts") + 1;
            next.parts.insert(position, new.part.entry.clone());
        }
        next.parts
            .retain(|entry| !gone.contains(entry.file.as_str()));
        let last_with_them = state.number;
        // CRASH: before this the merged file is an orphan that the next process sweeps; after it
        // the old parts are.
        self.publish(&mut state, &next)?;
        state.replace(&old, merged);
        self.show(&state);
        Ok(last_with_them)
    }

    /// Writes the live rows of the parts into a new one; `None` if there are none.
    fn write_merged(&self, merge: &Merge) -> Result<Option<NewPart>> {
        let (schema, version) = {
            let state = self.state();
            (state.schema.clone(), state.number)
        };
        let file = merged_name(version);
        let path = part_path(&self.folder, &file);
        let mut writer = PartWriter::create(self.storage.as_ref(), &path, schema.clone())?;
        let parts = merge.parts.iter().map(LivePart::snapshot);
        let count: u64 = merge.parts.iter().map(|live| live.snapshot().rows()).sum();
        let batch_rows = usize::try_from(count).map_or(BATCH_ROWS, |count| count.min(BATCH_ROWS));
        let mut coalescer = BatchCoalescer::new(schema.clone(), batch_rows);
        let mut kept = Kept {
            bytes_max: self.cache_bytes_max / 2,
            ..Kept::default()
        };
        for rows in Scan::new(parts, schema, None, None)? {
            coalescer.push_batch(unexpired(rows?, merge.expiry)?)?;
            while let Some(batch) = coalescer.next_completed_batch() {
                self.add_merged(batch, &mut writer, &mut kept)?;
            }
        }
        coalescer.finish_buffered_batch()?;
        while let Some(batch) = coalescer.next_completed_batch() {
            self.add_merged(batch, &mut writer, &mut kept)?;
        }
        let (entry, mut output) = writer.finish(file)?;
        if entry.rows == 0 {
            drop(output);
            self.storage.delete(&path)?;
            return Ok(None);
        }
        output.sync()?;
        let part = Part::new(&self.storage, &self.folder, entry);
        let part = if kept.overflown {
            part
        } else {
            part.with_rows(kept.rows.into())
        };
        Ok(Some(NewPart {
            part: Arc::new(part),
            keys: kept.keys,
        }))
    }

    fn add_merged(
        &self,
        rows: RecordBatch,
        writer: &mut PartWriter,
        kept: &mut Kept,
    ) -> Result<()> {
        writer.write(&rows)?;
        self.hash_keys(&rows, &mut kept.keys)?;
        kept.add(rows);
        Ok(())
    }

    /// Deletes versions beyond those that are kept, then retired parts that neither a kept
    /// version nor a snapshot refers to.
    fn delete_old(&self, maintenance: &mut Maintenance) -> Result<()> {
        let oldest_kept = (self.state().number + 1).saturating_sub(VERSIONS_KEPT);
        while maintenance.oldest_version < oldest_kept {
            self.storage
                .delete(&version_path(&self.folder, maintenance.oldest_version))?;
            maintenance.oldest_version += 1;
        }
        let mut rest = vec![];
        for (last_version, part) in std::mem::take(&mut maintenance.retired) {
            if last_version < oldest_kept && Arc::strong_count(&part) == 1 {
                self.storage.delete(part.path())?;
            } else {
                rest.push((last_version, part));
            }
        }
        maintenance.retired = rest;
        Ok(())
    }

    /// Deletes parts that an earlier process left: committed or merged once, and in no kept
    /// version. What was staged and never committed is the writer's to discard.
    fn sweep(&self) -> Result<()> {
        let (number, writers, mut referred) = {
            let state = self.state();
            let files = state.parts.iter().map(|live| live.part.entry.file.clone());
            (
                state.number,
                state.writers.clone(),
                files.collect::<HashSet<String>>(),
            )
        };
        for older in version_numbers(self.storage.as_ref(), &self.folder)? {
            // A damaged older version protects nothing: it can never be opened.
            if older <= number
                && older + VERSIONS_KEPT > number
                && let Ok(version) = read_version(self.storage.as_ref(), &self.folder, older)
            {
                referred.extend(version.parts.into_iter().map(|entry| entry.file));
            }
        }
        let folder = parts_folder(&self.folder);
        for path in self.storage.list(&folder)? {
            let file = path.strip_prefix(&folder).unwrap_or(&path);
            let was_in_a_version = match parse_part_name(file) {
                Some(PartName::Staged { writer, mark }) => writers.get(&writer) >= Some(&mark),
                Some(PartName::Merged { version }) => version <= number,
                None => false,
            };
            if was_in_a_version && !referred.contains(file) {
                self.storage.delete(&path)?;
            }
        }
        Ok(())
    }
}

/// Merged rows that stay in memory, as long as they fit.
#[derive(Default)]
struct Kept {
    keys: Vec<u128>,
    rows: Vec<RecordBatch>,
    bytes: usize,
    bytes_max: usize,
    overflown: bool,
}

impl Kept {
    fn add(&mut self, rows: RecordBatch) {
        self.bytes += rows.get_array_memory_size();
        if self.bytes > self.bytes_max {
            self.overflown = true;
            self.rows = vec![];
        } else {
            self.rows.push(rows);
        }
    }
}

/// What to do next, if anything: drop parts without rows, else merge the smallest run.
fn plan(state: &TableState, now: EventTime) -> Option<Merge> {
    let expiry = expiry(state, now);
    let mut dropped = vec![];
    let mut may_expire = true;
    // How many parts in front have no replaced rows.
    let mut expirable = 0;
    for live in &state.parts {
        let is_empty = live.part.entry.rows == live.replaced.count();
        if is_empty || (may_expire && is_expired(live, expiry)) {
            dropped.push(live.clone());
            continue;
        }
        expirable += usize::from(may_expire);
        may_expire &= live.replaced.count() == 0;
    }
    if !dropped.is_empty() {
        return Some(Merge {
            parts: dropped,
            is_drop: true,
            expiry: None,
        });
    }
    let run = mergeable_run(&state.parts).or_else(|| mostly_replaced(&state.parts))?;
    let expiry = expiry.filter(|_| run.start < expirable);
    let parts = state.parts[run].to_vec();
    Some(Merge {
        parts,
        is_drop: false,
        expiry,
    })
}

/// The first run of at least eight neighbours within the smallest tier that has one.
fn mergeable_run(parts: &[LivePart]) -> Option<std::ops::Range<usize>> {
    for tier in TIER_BYTES {
        let mut start = 0;
        let (mut bytes, mut rows) = (0, 0);
        for (at, live) in parts.iter().enumerate() {
            let entry = &live.part.entry;
            let is_full =
                bytes + entry.bytes > MERGE_BYTES_MAX || rows + entry.rows > MERGE_ROWS_MAX;
            if entry.bytes > tier || is_full {
                if at - start >= MERGE_PARTS_MIN {
                    return Some(start..at);
                }
                // A part that is too large ends the run; one that does not fit begins the next.
                let fits_tier = entry.bytes <= tier;
                start = if fits_tier { at } else { at + 1 };
                (bytes, rows) = if fits_tier {
                    (entry.bytes, entry.rows)
                } else {
                    (0, 0)
                };
                continue;
            }
            bytes += entry.bytes;
            rows += entry.rows;
        }
        if parts.len() >= start + MERGE_PARTS_MIN {
            return Some(start..parts.len());
        }
    }
    None
}

/// A part beyond the smallest tier of whose rows more than half are replaced.
fn mostly_replaced(parts: &[LivePart]) -> Option<std::ops::Range<usize>> {
    let wasteful = |live: &LivePart| {
        let entry = &live.part.entry;
        entry.bytes > TIER_BYTES[0] && live.replaced.count() * 2 > entry.rows
    };
    parts.iter().position(wasteful).map(|at| at..at + 1)
}

fn expiry(state: &TableState, now: EventTime) -> Option<Expiry> {
    let retention_ms = i64::try_from(state.retention_ms?).ok()?;
    let column = time_column(&state.schema, &state.primary_key)?;
    let DataType::Timestamp(unit, _) = state.schema.field(column).data_type() else {
        return None;
    };
    let cutoff_ms = now.0.checked_sub(retention_ms)?;
    let cutoff = match unit {
        TimeUnit::Second => cutoff_ms / 1_000,
        TimeUnit::Millisecond => cutoff_ms,
        TimeUnit::Microsecond => cutoff_ms.checked_mul(1_000)?,
        TimeUnit::Nanosecond => cutoff_ms.checked_mul(1_000_000)?,
    };
    Some(Expiry { column, cutoff })
}

/// Whether all rows of a part are known to be expired. Rows without a time never expire.
fn is_expired(live: &LivePart, expiry: Option<Expiry>) -> bool {
    let Some(expiry) = expiry else { return false };
    let range = live
        .part
        .entry
        .columns
        .get(expiry.column)
        .and_then(Option::as_ref);
    range.is_some_and(|range| {
        let max = range
            .max
            .as_ref()
            .and_then(super::statistics::Bound::integer);
        range.nulls == 0 && max.is_some_and(|max| max < expiry.cutoff)
    })
}

fn unexpired(rows: RecordBatch, expiry: Option<Expiry>) -> Result<RecordBatch> {
    let Some(Expiry { column, cutoff }) = expiry else {
        return Ok(rows);
    };
    let times = cast(rows.column(column), &DataType::Int64)?;
    let times = times.as_primitive::<Int64Type>();
    let keep: BooleanArray = times
        .iter()
        .map(|time| Some(time.is_none_or(|time| time >= cutoff)))
        .collect();
    Ok(filter_record_batch(&rows, &keep)?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bed;
    use super::*;

    #[test]
    fn rows_replaced_during_a_merge_stay_replaced() {
        let bed = Bed::keyed();
        for epoch in 1..=8 {
            bed.put(epoch, &format!("k{epoch}=1 same={epoch}"));
        }
        let table = bed.table();
        let merge = plan(&table.state(), EventTime(0)).expect("eight parts");
        let merged = table.write_merged(&merge).unwrap();
        bed.put(9, "k3=2 same=9");
        table.publish_merged(&merge, merged).unwrap();
        let expected = "k1=1 k2=1 k4=1 k5=1 k6=1 k7=1 k8=1 k3=2 same=9";
        assert_eq!(bed.show(), expected);
        assert_eq!(table.snapshot().parts().len(), 2);
        bed.put(10, "k1=3");
        let expected = "k2=1 k4=1 k5=1 k6=1 k7=1 k8=1 k3=2 same=9 k1=3";
        assert_eq!(bed.show(), expected);
        assert_eq!(bed.reopened().show(), expected);
    }

    #[test]
    fn a_run_ends_at_larger_parts() {
        let bed = Bed::keyed();
        let live = |bytes: u64| {
            bed.put(bytes + 1, &format!("k{bytes}=1"));
            let mut live = bed.table().state().parts.last().cloned().unwrap();
            let mut entry = live.part.entry.clone();
            entry.bytes = bytes;
            live.part = Arc::new(Part::new(&bed.table().storage, "", entry));
            live
        };
        let (small, large) = (live(10), live(200 << 10));
        let run = |pattern: &str| {
            let part = |c| {
                if c == 's' {
                    small.clone()
                } else {
                    large.clone()
                }
            };
            mergeable_run(&pattern.chars().map(part).collect::<Vec<_>>())
        };
        assert_eq!(run("sssssss"), None);
        assert_eq!(run("ssssssss"), Some(0..8));
        assert_eq!(run("Lssssssssss"), Some(1..11));
        assert_eq!(run("sssLssss"), Some(0..8), "the next tier takes both");
        assert_eq!(run("sssssssssLs"), Some(0..9));
    }
}
