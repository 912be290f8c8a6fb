//! How far each node of a plan is in event time, given how far its sources are.

use millstream_core::plan::{NodeInput, Plan};
use millstream_core::{SourceId, Watermark};

/// The watermarks of nodes follow from those of sources.
#[derive(Debug, Clone)]
pub struct NodeProgress {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    sources: Vec<SourceId>,
    held_back_ms: i64,
}

impl NodeProgress {
    /// Of the nodes of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let mut nodes: Vec<Node> = vec![];
        for node in &plan.nodes {
            let mut of = Node::default();
            for input in &node.inputs {
                match input {
                    NodeInput::Source(source) => of.sources.push(*source),
                    NodeInput::Node(id) => {
                        let before = &nodes[id.index()];
                        let operator = &plan.nodes[id.index()].operator;
                        let held = before.held_back_ms + operator.holds_back_ms();
                        of.held_back_ms = of.held_back_ms.max(held);
                        of.sources.extend(&before.sources);
                    }
                }
            }
            of.sources.sort_unstable();
            of.sources.dedup();
            nodes.push(of);
        }
        Self { nodes }
    }

    /// The watermark of each node's input, by node: the least of its sources, less what operators
    /// before it hold back, and never less than `before`. `of_sources` is by source.
    ///
    /// A source that is idle is not waited for, as long as another one goes on: a join with a source
    /// that is silent would stand still for ever. Source: Apache Flink, `StatusWatermarkValve`.
    pub fn watermarks(&self, before: &[Watermark], of_sources: &[SourceMark]) -> Vec<Watermark> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .map(|(index, node)| {
                let before = before.get(index).copied().unwrap_or(Watermark::MIN);
                before.advanced_to(node.watermark(of_sources))
            })
            .collect()
    }
}

/// How far a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceMark {
    /// Up to where it has come; `MAX`: it has ended.
    pub fired: Watermark,
    /// Whether all its splits are idle.
    pub is_idle: bool,
}

impl Node {
    fn watermark(&self, of_sources: &[SourceMark]) -> Watermark {
        let marks = self.sources.iter().map(|id| of_sources[id.index()]);
        let going_on = marks.filter(|mark| mark.fired != Watermark::MAX);
        let (idle, active): (Vec<SourceMark>, Vec<SourceMark>) =
            going_on.partition(|mark| mark.is_idle);
        match active.iter().map(|mark| mark.fired).min() {
            Some(Watermark(ms)) => Watermark(ms.saturating_sub(self.held_back_ms)),
            None if idle.is_empty() => Watermark::MAX,
            // Nobody goes on: what is idle can still wake up.
            None => Watermark::MIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(sources: &[u32], held_back_ms: i64) -> NodeProgress {
        let sources = sources.iter().map(|id| SourceId(*id)).collect();
        NodeProgress {
            nodes: vec![Node {
                sources,
                held_back_ms,
            }],
        }
    }

    fn check(before: i64, of_sources: &[(i64, bool)], expected: i64) {
        let of_sources = of_sources.iter().map(|(fired, is_idle)| SourceMark {
            fired: Watermark(*fired),
            is_idle: *is_idle,
        });
        let found =
            node(&[0, 1], 0).watermarks(&[Watermark(before)], &of_sources.collect::<Vec<_>>());
        assert_eq!(found, [Watermark(expected)]);
    }

    #[test]
    fn a_node_waits_for_those_that_go_on() {
        const MAX: i64 = i64::MAX;
        check(0, &[(10, false), (20, false)], 10);
        // One that has ended is not waited for, nor one that is idle.
        check(0, &[(MAX, false), (20, false)], 20);
        check(0, &[(10, true), (20, false)], 20);
        // When it wakes up, time does not go back.
        check(20, &[(10, false), (30, false)], 20);
        // If nobody goes on, neither does time.
        check(15, &[(10, true), (20, true)], 15);
        check(15, &[(MAX, false), (20, true)], 15);
        check(15, &[(MAX, false), (MAX, false)], MAX);
    }

    #[test]
    fn what_is_held_back_is_taken_off_once() {
        let mark = SourceMark {
            fired: Watermark(100),
            is_idle: false,
        };
        assert_eq!(node(&[0], 30).watermarks(&[], &[mark]), [Watermark(70)]);
        let ended = SourceMark {
            fired: Watermark::MAX,
            is_idle: false,
        };
        assert_eq!(node(&[0], 30).watermarks(&[], &[ended]), [Watermark::MAX]);
    }
}
