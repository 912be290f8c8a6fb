//! Keeps the number of segments small, at a cost that follows what changed.
//!
//! Segments that are not needed any more are dropped unread. Of the rest, each [`FAN_IN`] neighbours
//! of one level are merged into one of the next level, so a row is rewritten once per level: a
//! logarithm of the number of epochs that it is needed for. Merging is loading into an empty operator
//! and writing down what it then holds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use millstream_core::{Epoch, Error, EventTime, NodeId, Result, ShardIndex, Watermark};

use super::manifest::SegmentRef;
use super::segment::StateRows;
use super::store::CheckpointStore;
use crate::operator::{Absorb, StateBatch, Stateful};

/// Segments of one level that are merged into one.
const FAN_IN: usize = 8;

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
    while let Some((place, level)) = full_level(segments) {
        let is_in = |s: &SegmentRef| (s.node, s.part) == place && s.level == level;
        let first = segments.iter().position(is_in);
        let first = first.ok_or_else(|| Error::bug("a full level has segments"))?;
        let merged: Vec<SegmentRef> = segments
            .iter()
            .filter(|s| is_in(s))
            .take(FAN_IN)
            .cloned()
            .collect();
        let states = merge(&merged, fired(place.0), open, store)?;
        segments.retain(|segment| !merged.contains(segment));
        if !states.is_empty() {
            let segment = store.write_segment((epoch, level + 1, place), &states)?;
            segments.insert(first, segment);
        }
    }
    Ok(())
}

/// A node, part and level with enough segments. Segments of a part lie in order of age, so higher
/// levels come first and those of one level are neighbours.
fn full_level(segments: &[SegmentRef]) -> Option<((NodeId, u32), u32)> {
    let mut counts: BTreeMap<((NodeId, u32), u32), usize> = BTreeMap::new();
    for segment in segments {
        let place = (segment.node, segment.part);
        *counts.entry((place, segment.level)).or_default() += 1;
    }
    let full = counts.into_iter().find(|(_, count)| *count >= FAN_IN);
    full.map(|(place, _)| place)
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
