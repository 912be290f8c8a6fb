//! From pending epochs to the files of a snapshot: big ones as they are, small ones as one file a
//! partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::iceberg::table::Table;
use arrow::array::RecordBatch;
use millstream_core::Result;
use millstream_core::storage::Storage;

use super::commit::AddedFile;
use super::spread::{Kind, Spread};
use super::staged::{Payload, RestFile, StagedFile};
use super::target::{By, Target};

/// What a snapshot gets, and what is garbage once it is there.
#[derive(Default)]
pub(super) struct Merged {
    pub files: Vec<AddedFile>,
    /// URIs of data files whose rows are in other files of `files`.
    pub replaced: Vec<String>,
    /// Paths in the pipeline's storage.
    pub rest: Vec<String>,
}

/// Merges what shards have staged. New files are called `<prefix>-<n>.parquet` and are synced.
///
/// PERF: only files below `small_bytes` are read and written again.
pub(super) fn merge(
    (table, target): (&Table, &Arc<Target>),
    storage: &dyn Storage,
    shards: &[Payload],
    (prefix, small_bytes): (String, u64),
) -> Result<Merged> {
    let mut merged = Merged::default();
    let mut spread = Spread::new(target.clone(), Kind::Merged, prefix);
    let mut take = |rows: Vec<RecordBatch>| -> Result<()> {
        for rows in rows {
            spread.write(target.conformed(&rows, By::Id)?)?;
        }
        Ok(())
    };
    let rest: Vec<&RestFile> = shards
        .iter()
        .filter_map(|shard| shard.rest.as_ref())
        .collect();
    let is_company = company(shards, small_bytes, !rest.is_empty());
    for file in shards.iter().flat_map(|shard| &shard.files) {
        if is_company(file) {
            take(file.read(target)?)?;
            merged.replaced.push(file.uri.clone());
        } else {
            let (file, spec_id) = file.data_file(table)?;
            merged.files.push(AddedFile { file, spec_id });
        }
    }
    for file in rest {
        take(file.read(storage)?)?;
        merged.rest.push(file.path.clone());
    }
    let (written, _) = spread.finish(false)?;
    let spec_id = target.spec.spec_id();
    let added = written.into_iter().map(|written| AddedFile {
        file: written.file,
        spec_id,
    });
    merged.files.extend(added);
    Ok(merged)
}

/// Whether a file is small and there are other rows that it may be joined with: rest rows, or another
/// small file of its partition.
fn company(shards: &[Payload], small_bytes: u64, has_rest: bool) -> impl Fn(&StagedFile) -> bool {
    let folder = |file: &StagedFile| {
        let end = file.uri.rfind('/').unwrap_or_default();
        file.uri[..end].to_owned()
    };
    let mut small: BTreeMap<String, usize> = BTreeMap::new();
    for file in shards.iter().flat_map(|shard| &shard.files) {
        if file.bytes < small_bytes {
            *small.entry(folder(file)).or_default() += 1;
        }
    }
    move |file| {
        let others = small.get(&folder(file)).copied().unwrap_or_default() > 1;
        file.bytes < small_bytes && (has_rest || others)
    }
}
