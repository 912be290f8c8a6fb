//! Operators that write all their state once more, in the place of their older segments, spread over
//! epochs: so that no barrier has to wait for all of it.
//!
//! From the first piece on, changes go on as ever. Once every shard has given its last piece, what was
//! there before the first is of no use any more. If the job ends before, nothing is lost: the older
//! segments are still there, and the next run begins again.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::NodeId;

use crate::checkpoint::SegmentRef;
use crate::checkpoint::compaction::{WHOLE, outgrown};
use crate::operator::Again;

/// See the module.
#[derive(Debug, Default)]
pub struct Rewrites {
    /// By operator, the segments that it replaces.
    nodes: BTreeMap<NodeId, BTreeSet<String>>,
}

impl Rewrites {
    /// What shards give again in this epoch, given the segments that are needed before it.
    pub fn next(&mut self, segments: &[SegmentRef]) -> Again {
        let mut in_pieces: BTreeMap<NodeId, bool> =
            self.nodes.keys().map(|node| (*node, false)).collect();
        for node in outgrown(segments) {
            self.nodes.entry(node).or_insert_with(|| {
                in_pieces.insert(node, true);
                let of_node = segments.iter().filter(|segment| segment.node == node);
                of_node.map(|segment| segment.file.clone()).collect()
            });
        }
        Again {
            whole: BTreeSet::new(),
            in_pieces,
        }
    }

    /// Operators of which some pieces are written and others are not: their segments stay apart.
    pub fn is_busy(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Takes note that `node` has given its last piece on every shard: of its segments, those of before
    /// go.
    pub fn finish(&mut self, node: NodeId, segments: &mut Vec<SegmentRef>) {
        let Some(replaced) = self.nodes.remove(&node) else {
            return;
        };
        segments.retain(|segment| !replaced.contains(&segment.file));
        for segment in segments.iter_mut().filter(|segment| segment.node == node) {
            segment.level = WHOLE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(node: u32, file: &str, rows: u64) -> SegmentRef {
        SegmentRef {
            node: NodeId(node),
            part: 0,
            file: file.into(),
            bytes: 0,
            crc32: 0,
            rows,
            needed_until: 0,
            level: 0,
        }
    }

    #[test]
    fn segments_go_once_all_pieces_are_there() {
        let mut rewrites = Rewrites::default();
        let mut segments = vec![segment(0, "a", 9_000), segment(1, "b", 9)];
        let again = rewrites.next(&segments);
        assert_eq!(again.in_pieces, BTreeMap::from([(NodeId(0), true)]));
        segments.push(segment(0, "c", 5_000));
        let again = rewrites.next(&segments);
        assert_eq!(again.in_pieces, BTreeMap::from([(NodeId(0), false)]));
        assert!(rewrites.is_busy(NodeId(0)) && !rewrites.is_busy(NodeId(1)));
        segments.push(segment(0, "d", 5_000));
        rewrites.finish(NodeId(0), &mut segments);
        let left = segments
            .iter()
            .map(|segment| (segment.file.as_str(), segment.level));
        assert_eq!(
            left.collect::<Vec<_>>(),
            [("b", 0), ("c", WHOLE), ("d", WHOLE)]
        );
        assert!(rewrites.next(&segments).in_pieces.is_empty());
    }
}
