//! Which files become one.
//!
//! Within a partition the small files are taken by size, the smallest first, until one of the target
//! size is full. A file joins smaller ones only if it is at most twice as big as they are together: so
//! a row is written again only when its file grows by half, however small the appends are.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataFileFormat, Struct};

use super::super::live::{Live, LiveFiles};
use super::Compact;

/// Files of one partition that become one.
#[derive(Debug)]
pub(super) struct Bin {
    pub spec_id: i32,
    pub partition: Struct,
    pub files: Vec<Live>,
    /// Rows of some were deleted.
    pub has_deletes: bool,
}

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub bins: Vec<Bin>,
    /// Delete files that apply to nothing once that is done.
    pub dropped: Vec<Live>,
    /// The budget left out some.
    pub has_more: bool,
}

/// Plans for the data files of `spec_id`. `how` has a target.
pub(super) fn plan(live: LiveFiles, spec_id: i32, how: &Compact) -> Plan {
    let target = how.target_bytes.unwrap_or(u64::MAX);
    let small = target / 4 * 3;
    let mut partitions: HashMap<Struct, Vec<(Live, bool)>> = HashMap::new();
    for file in &live.data {
        let has_deletes = live.deletes.iter().any(|delete| delete.applies_to(file));
        let is_ours =
            file.spec_id == spec_id && file.entry.file_format() == DataFileFormat::Parquet;
        if is_ours && (has_deletes || file.bytes() < small) {
            let partition = file.file().partition().clone();
            partitions
                .entry(partition)
                .or_default()
                .push((file.clone(), has_deletes));
        }
    }
    let mut bins: Vec<Bin> = Vec::new();
    for (partition, files) in partitions {
        for files in packed(files, target, how.files_min) {
            let has_deletes = files.iter().any(|(_, has_deletes)| *has_deletes);
            let files = files.into_iter().map(|(file, _)| file).collect();
            bins.push(Bin {
                spec_id,
                partition: partition.clone(),
                files,
                has_deletes,
            });
        }
    }
    // Where most files go first; the order is the same whatever the hashes.
    bins.sort_by_key(|bin| (usize::MAX - bin.files.len(), bin.files[0].path().to_owned()));
    let mut plan = within(bins, how);
    plan.dropped = dropped(live, &plan.bins);
    plan
}

/// Lists of files that become one each.
fn packed(mut files: Vec<(Live, bool)>, target: u64, files_min: usize) -> Vec<Vec<(Live, bool)>> {
    files.sort_by(|(a, _), (b, _)| (a.bytes(), a.path()).cmp(&(b.bytes(), b.path())));
    let (mut lists, mut list, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (file, has_deletes) in files {
        let fits = bytes + file.bytes() <= target;
        let is_alike = list.is_empty() || file.bytes() <= 2 * bytes;
        // An urgent call (two files are enough) minds only the target.
        if !list.is_empty() && (!fits || (!is_alike && files_min > 2)) {
            lists.push((std::mem::take(&mut list), std::mem::take(&mut bytes)));
        }
        bytes += file.bytes();
        list.push((file, has_deletes));
    }
    lists.push((list, bytes));
    let is_worth = |(list, bytes): &(Vec<(Live, bool)>, u64)| {
        let is_full = list.len() >= 2 && *bytes >= target / 4 * 3;
        let is_many = list.len() >= files_min.max(2);
        is_full || is_many || list.iter().any(|(_, has_deletes)| *has_deletes)
    };
    lists
        .into_iter()
        .filter(is_worth)
        .map(|(list, _)| list)
        .collect()
}

/// The first bins, as far as the budget goes; one at least.
fn within(bins: Vec<Bin>, how: &Compact) -> Plan {
    let mut plan = Plan::default();
    let (mut bytes, mut files) = (0_u64, 0_usize);
    for bin in bins {
        bytes = bytes.saturating_add(bin.files.iter().map(Live::bytes).sum());
        files += bin.files.len();
        let fits = bytes <= how.budget.bytes && files <= how.budget.files;
        match plan.bins.is_empty() || fits {
            true => plan.bins.push(bin),
            false => plan.has_more = true,
        }
    }
    plan
}

/// Delete files that apply only to what is taken out. The new files need none of them.
fn dropped(live: LiveFiles, bins: &[Bin]) -> Vec<Live> {
    if bins.is_empty() {
        return Vec::new();
    }
    let taken: HashSet<&str> = bins
        .iter()
        .flat_map(|bin| &bin.files)
        .map(|file| file.path())
        .collect();
    let left: Vec<&Live> = live
        .data
        .iter()
        .filter(|file| !taken.contains(file.path()))
        .collect();
    let mut dropped = live.deletes;
    dropped.retain(|delete| !left.iter().any(|file| delete.applies_to(file)));
    dropped
}
