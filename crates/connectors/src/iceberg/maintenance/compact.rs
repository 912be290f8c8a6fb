//! Compaction: of the small files of a partition, one of the target size.
//!
//! Files are taken that are smaller than three quarters of the target, and those that rows were deleted
//! from. Where nothing was deleted and nothing is to be sorted, their row groups are copied as they are
//! (`copy`); else rows are read with all deletes applied, sorted if the table has an order, and written
//! anew (`rewrite`). Then one commit puts the new files in the old ones' place (`commit/replace.rs`);
//! delete files that apply to no other file go with them.
//!
//! Files of other partition specs than the table's present one stay as they are.

mod copy;
mod plan;
mod rewrite;

use std::collections::BTreeMap;

use iceberg::TableIdent;
use iceberg::spec::{DataFile, PartitionKey};
use iceberg::table::Table;
use iceberg::writer::file_writer::location_generator::{
    DefaultLocationGenerator, LocationGenerator,
};
use millstream_core::{Error, ErrorKind, Result};

use super::Budget;
use super::live::{Live, live_files};
use crate::iceberg::commit::{self, AddedFile, Commits, RemovedFile, Replace, Replaced};
use crate::iceberg::error::from_iceberg;
use crate::iceberg::metrics::{Body, Columns, data_file, shortened};
use plan::{Bin, Plan};

const TARGET: &str = "write.target-file-size-bytes";
const TARGET_DEFAULT: u64 = 128 * 1024 * 1024;
/// In a table with a sort order, rows of a file are sorted in memory: no more bytes of files at once.
const SORTED_MAX: u64 = 64 * 1024 * 1024;
/// Plans that turn out stale before the caller is told to come back later.
const PLANS: u32 = 3;

/// How to compact.
#[derive(Debug, Clone, Copy)]
pub struct Compact {
    /// Size of files to aim at; else the table's `write.target-file-size-bytes`, else 128 MiB.
    pub target_bytes: Option<u64>,
    /// Small files of a partition that are enough to begin, as long as they do not fill a file.
    pub files_min: usize,
    /// How much at most.
    pub budget: Budget,
}

/// What was compacted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    /// Data files that are gone from the table.
    pub files_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Data files in their place.
    pub files_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Delete files that are gone.
    pub deletes_dropped: u64,
    /// The budget left something to do.
    pub has_more: bool,
}

/// Size of files that the table aims at, in bytes.
pub(super) fn target_bytes(table: &Table) -> u64 {
    let text = table.metadata().properties().get(TARGET);
    text.and_then(|text| text.parse().ok())
        .unwrap_or(TARGET_DEFAULT)
        .max(1)
}

/// Compacts a table in one commit. `Conflict`: files were changed by others all the time.
pub fn compact(commits: &Commits, ident: &TableIdent, how: &Compact) -> Result<Compacted> {
    let mut last = Error::bug("no plan was made");
    for _ in 0..PLANS {
        let table = commits.load(ident)?;
        let plan = plan(&table, how)?;
        if plan.bins.is_empty() {
            return Ok(Compacted::default());
        }
        match run(commits, &table, plan)? {
            Ran::Done(compacted) => return Ok(compacted),
            Ran::Stale(error) => last = error,
        }
    }
    Err(last.context(format!("table `{ident}`: compaction")))
}

fn plan(table: &Table, how: &Compact) -> Result<Plan> {
    let is_sorted = !table.metadata().default_sort_order().is_unsorted();
    let mut target = how.target_bytes.unwrap_or_else(|| target_bytes(table));
    if is_sorted {
        target = target.min(SORTED_MAX);
    }
    let live = live_files(table)?;
    let spec_id = table.metadata().default_partition_spec_id();
    Ok(plan::plan(
        live,
        spec_id,
        &Compact {
            target_bytes: Some(target),
            ..*how
        },
    ))
}

enum Ran {
    Done(Compacted),
    Stale(Error),
}

fn run(commits: &Commits, table: &Table, plan: Plan) -> Result<Ran> {
    let mut done = Compacted {
        has_more: plan.has_more,
        ..Compacted::default()
    };
    let mut added: Vec<AddedFile> = Vec::new();
    let name = format!(
        "compact-{:016x}{:016x}",
        commits.env().random(),
        commits.env().random()
    );
    for (number, bin) in plan.bins.iter().enumerate() {
        let path = place(table, bin, &format!("{name}-{number}.parquet"))?;
        match written(table, bin, &path) {
            Ok(Some(file)) => {
                done.files_out += 1;
                done.bytes_out += file.file_size_in_bytes();
                added.push(AddedFile {
                    file,
                    spec_id: bin.spec_id,
                });
            }
            Ok(None) => {}
            Err(error) => {
                discard(table, &added, Some(path));
                return Err(error);
            }
        }
        done.files_in += bin.files.len() as u64;
        done.bytes_in += bin.files.iter().map(Live::bytes).sum::<u64>();
    }
    done.deletes_dropped = plan.dropped.len() as u64;
    let removed = plan
        .bins
        .iter()
        .flat_map(|bin| &bin.files)
        .chain(&plan.dropped);
    let removed = removed.map(|live| RemovedFile {
        path: live.path().to_owned(),
        manifest: live.manifest.clone(),
    });
    let snapshot = table.metadata().current_snapshot();
    let replace = Replace {
        sequence_number: snapshot.map_or(0, |snapshot| snapshot.sequence_number()),
        removed: removed.collect(),
        added,
        properties: BTreeMap::from([("millstream.maintenance".to_owned(), "compact".to_owned())]),
    };
    match commits.replace(table.identifier(), &replace) {
        Ok(Replaced::Done(_)) => Ok(Ran::Done(done)),
        Ok(Replaced::Stale(error)) => {
            discard(table, &replace.added, None);
            Ok(Ran::Stale(error))
        }
        Err(error) => {
            // Of other errors it is not known whether the files are in the table now.
            if error.kind() == ErrorKind::Conflict {
                discard(table, &replace.added, None);
            }
            Err(error)
        }
    }
}

/// Removes files that no snapshot names.
fn discard(table: &Table, added: &[AddedFile], path: Option<String>) {
    let paths = added.iter().map(|added| added.file.file_path().to_owned());
    commit::remove(table, paths.chain(path).collect());
}

fn place(table: &Table, bin: &Bin, name: &str) -> Result<String> {
    let metadata = table.metadata();
    let places = DefaultLocationGenerator::new(metadata).map_err(from_iceberg)?;
    let spec = metadata.default_partition_spec().as_ref().clone();
    let schema = metadata.current_schema().clone();
    let key = PartitionKey::new(spec, schema, bin.partition.clone());
    Ok(places.generate_location(Some(&key), name))
}

/// One file with all rows of the bin's that are not deleted; `None` if all are.
fn written(table: &Table, bin: &Bin, path: &str) -> Result<Option<DataFile>> {
    let order = table.metadata().default_sort_order();
    if order.is_unsorted()
        && !bin.has_deletes
        && let Some(copied) = copy::copied(table, &bin.files, path)?
    {
        let files: Vec<&DataFile> = bin.files.iter().map(Live::file).collect();
        let body = Body {
            path: path.to_owned(),
            partition: bin.partition.clone(),
            spec_id: bin.spec_id,
            sort_order_id: None,
            rows: copied.rows,
            bytes: copied.bytes,
            offsets: copied.offsets,
        };
        return data_file(body, Columns::of_all(files)).map(Some);
    }
    let Some(mut builder) = rewrite::rewritten(table, &bin.files, path)? else {
        return Ok(None);
    };
    builder
        .partition(bin.partition.clone())
        .partition_spec_id(bin.spec_id);
    if let Some(id) = i32::try_from(order.order_id)
        .ok()
        .filter(|_| !order.is_unsorted())
    {
        builder.sort_order_id(id);
    }
    let file = builder.build();
    let file = file.map_err(|error| Error::bug(format!("a data file: {error}")))?;
    shortened(&file, bin.spec_id).map(Some)
}
