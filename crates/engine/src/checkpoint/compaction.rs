//! Keeps the number of segments small, at a cost that follows what changed.
//!
//! Segments whose last window has fired are dropped unread. Of the rest, each [`FAN_IN`]
//! neighbours of one level are merged into one of the next level, so a row is rewritten once per
//! level: a logarithm of the number of epochs that its window stays open.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::{Epoch, Error, EventTime, NodeId, Result, ShardIndex, Watermark};

use super::manifest::SegmentRef;
use super::segment::StateRows;
use super::store::CheckpointStore;
use crate::window::{StateShape, WindowState};

/// Segments of one level that are merged into one.
const FAN_IN: usize = 8;

/// Without the segments whose windows have all fired, up to the watermark of their source.
pub fn drop_expired(segments: &mut Vec<SegmentRef>, fired: &dyn Fn(NodeId) -> Watermark) {
    segments
        .retain(|segment| !fired(segment.node).has_passed_end(EventTime(segment.last_window_end)));
}

/// Merges a run of neighbours if there is one. `shapes`: the state of each aggregation.
pub fn compact(
    segments: &mut Vec<SegmentRef>,
    (epoch, fired): (Epoch, &dyn Fn(NodeId) -> Watermark),
    shapes: &BTreeMap<NodeId, Arc<StateShape>>,
    store: &CheckpointStore,
) -> Result<()> {
    while let Some((node, level)) = full_level(segments) {
        let is_in = |s: &SegmentRef| s.node == node && s.level == level;
        let first = segments.iter().position(is_in);
        let first = first.ok_or_else(|| Error::bug("a full level has segments"))?;
        let merged: Vec<SegmentRef> = segments
            .iter()
            .filter(|s| is_in(s))
            .take(FAN_IN)
            .cloned()
            .collect();
        let shape = shapes.get(&node);
        let shape = shape.ok_or_else(|| Error::bug(format!("node {node} keeps no windows")))?;
        let states = merge(&merged, fired(node), shape, store)?;
        segments.retain(|segment| !merged.contains(segment));
        if !states.is_empty() {
            let segment = store.write_segment((epoch, node, level + 1), &states)?;
            segments.insert(first, segment);
        }
    }
    Ok(())
}

/// A node and level with enough segments. Segments of a node lie in order of age, so higher levels
/// come first and those of one level are neighbours.
fn full_level(segments: &[SegmentRef]) -> Option<(NodeId, u32)> {
    let mut counts: BTreeMap<(NodeId, u32), usize> = BTreeMap::new();
    for segment in segments {
        *counts.entry((segment.node, segment.level)).or_default() += 1;
    }
    let full = counts.into_iter().find(|(_, count)| *count >= FAN_IN);
    full.map(|(place, _)| place)
}

fn merge(
    segments: &[SegmentRef],
    fired: Watermark,
    shape: &Arc<StateShape>,
    store: &CheckpointStore,
) -> Result<Vec<StateRows>> {
    let mut shards: BTreeMap<ShardIndex, WindowState> = BTreeMap::new();
    for segment in segments {
        for state in store.read_segment(segment)? {
            let windows = match shards.entry(state.shard) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(WindowState::new(shape.clone())?)
                }
            };
            windows.absorb(&state.rows, true)?;
        }
    }
    let mut states = vec![];
    for (shard, mut windows) in shards {
        windows.drop_fired(fired);
        windows.forget_checkpoints();
        for rows in windows.changes()? {
            states.push(StateRows { shard, rows });
        }
    }
    Ok(states)
}
