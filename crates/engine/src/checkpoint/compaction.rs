//! Keeps the number of segments small, at a cost that follows what changed.
//!
//! Segments that are not needed any more are dropped unread. Small ones are merged: each [`FAN_IN`]
//! neighbours of one level into one of the next. Merging is loading into an empty operator and writing
//! down what it then holds.
//!
//! Large ones are never read again: when an operator's segments hold several times the rows that it wrote
//! when it last wrote everything, it writes everything once more ([`outgrown`]), out of memory, a piece with
//! each epoch, in the place of them all. So of four rows that were written for changes, at most one and a bit is written
//! again, and what is on disk stays within a few times of what is in memory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use millstream_core::{Epoch, EventTime, NodeId, Result, ShardIndex, Watermark};

use super::manifest::SegmentRef;
use super::segment::StateRows;
use super::store::CheckpointStore;
use crate::operator::{Absorb, StateBatch, Stateful};

/// Segments of one level that are merged into one.
const FAN_IN: usize = 8;
/// An operator writes everything when so many times the rows of the last time have been added.
const GROWTH: u64 = 3;
/// Fewer rows are not worth writing everything for, and are merged at any time.
const ROWS_MIN: u64 = 1_024;
/// Of a larger part of an operator's rows no segments are merged.
const MERGED_PART: u64 = 8;
/// The level of segments with everything.
pub const WHOLE: u32 = u32::MAX;

/// Without the segments that are not needed at the watermark of their operator.
pub fn drop_expired(segments: &mut Vec<SegmentRef>, fired: &dyn Fn(NodeId) -> Watermark) {
    segments.retain(|segment| !fired(segment.node).has_passed_end(EventTime(segment.needed_until)));
}

/// Makes an empty operator for a node.
pub type Open<'a> = &'a dyn Fn(NodeId) -> Result<Box<dyn Stateful>>;

/// Merges runs of neighbours, while there are any.
pub fn compact(
    segments: &mut Vec<SegmentRef>,
    (epoch, fired): (Epoch, &dyn Fn(NodeId) -> Watermark),
    open: Open<'_>,
    store: &CheckpointStore,
) -> Result<()> {
    while let Some(run) = small_run(segments) {
        let merged: Vec<SegmentRef> = run.iter().map(|at| segments[*at].clone()).collect();
        let (place, level) = ((merged[0].node, merged[0].part), merged[0].level);
        let states = merge(&merged, fired(place.0), open, store)?;
        segments.retain(|segment| !merged.contains(segment));
        if !states.is_empty() {
            let segment = store.write_segment((epoch, level.saturating_add(1), place), states)?;
            segments.insert(run[0], segment);
        }
    }
    Ok(())
}

/// The operators whose segments hold so much that the next epoch should take all their state.
pub fn outgrown(segments: &[SegmentRef]) -> BTreeSet<NodeId> {
    let mut rows: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
    for segment in segments {
        let (whole, added) = rows.entry(segment.node).or_default();
        *if segment.level == WHOLE { whole } else { added } += segment.rows;
    }
    let outgrown = rows.into_iter();
    let outgrown = outgrown.filter(|(_, (whole, added))| *added > ROWS_MIN.max(whole * GROWTH));
    outgrown.map(|(node, _)| node).collect()
}

/// Neighbours of one part and level that are enough, and small enough, to be merged: their places.
/// Segments of a part lie in order of age.
fn small_run(segments: &[SegmentRef]) -> Option<Vec<usize>> {
    let mut rows: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut places: BTreeMap<(NodeId, u32), Vec<usize>> = BTreeMap::new();
    for (at, segment) in segments.iter().enumerate() {
        *rows.entry(segment.node).or_default() += segment.rows;
        let of_part = places.entry((segment.node, segment.part)).or_default();
        of_part.push(at);
    }
    let is_small = |run: &[usize]| {
        let SegmentRef { node, level, .. } = &segments[run[0]];
        let rows_max = ROWS_MIN.max(rows[node] / MERGED_PART);
        let merged: u64 = run.iter().map(|at| segments[*at].rows).sum();
        run.iter().all(|at| segments[*at].level == *level) && merged <= rows_max
    };
    let mut runs = places.values().flat_map(|of_part| of_part.windows(FAN_IN));
    runs.find(|run| is_small(run)).map(<[usize]>::to_vec)
}

fn merge(
    segments: &[SegmentRef],
    fired: Watermark,
    open: Open<'_>,
    store: &CheckpointStore,
) -> Result<Vec<StateRows>> {
    let mut shards: BTreeMap<ShardIndex, Box<dyn Stateful>> = BTreeMap::new();
    for segment in segments {
        for StateRows { shard, rows } in store.read_segment(segment)? {
            let part = segment.part;
            let operator = match shards.entry(shard) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(open(segment.node)?),
            };
            operator.absorb(&StateBatch { part, rows }, Absorb::Restore)?;
        }
    }
    let mut states = vec![];
    for (shard, mut operator) in shards {
        operator.set_fired(fired);
        operator.drop_fired();
        operator.forget_checkpoints();
        let rows = operator.changes()?.into_iter().map(|state| state.rows);
        states.extend(rows.map(|rows| StateRows { shard, rows }));
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(part: u32, level: u32, rows: u64) -> SegmentRef {
        SegmentRef {
            node: NodeId(0),
            part,
            file: String::new(),
            bytes: 0,
            crc32: 0,
            rows,
            needed_until: 0,
            level,
        }
    }

    #[test]
    fn an_operator_writes_everything_once_the_changes_are_three_times_as_much() {
        let grown = |whole: u64, added: &[u64]| {
            let whole = segment(0, WHOLE, whole);
            let added = added.iter().map(|rows| segment(1, 0, *rows));
            !outgrown(&[whole].into_iter().chain(added).collect::<Vec<_>>()).is_empty()
        };
        assert!(!grown(1_000, &[2_000, 1_000]));
        assert!(grown(1_000, &[2_000, 1_001]));
        // So few are not worth it.
        assert!(!grown(0, &[1_024]));
        assert!(grown(0, &[1_025]));
    }

    #[test]
    fn neighbours_are_merged_unless_they_are_large() {
        let run = |levels_and_rows: &[(u32, u64)]| {
            // Segments of another part lie between.
            let of_parts = levels_and_rows.iter().flat_map(|(level, rows)| {
                [segment(0, 7, 1_000_000), segment(1, *level, *rows)].into_iter()
            });
            small_run(&of_parts.collect::<Vec<_>>())
        };
        let places = |first: usize| Some((first..first + 8).map(|at| 2 * at + 1).collect());
        assert_eq!(run(&[(0, 1); 7]), None);
        assert_eq!(
            run(&[(0, 1); 8]),
            places(0),
            "those of the other part are large"
        );
        let mut mixed = vec![(1, 1), (0, 2_000_000)];
        mixed.extend([(0, 1); 8]);
        assert_eq!(run(&mixed), places(2));
        mixed[4].0 = 1;
        assert_eq!(run(&mixed), None);
    }
}
