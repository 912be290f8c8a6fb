//! How far each node of a plan is in event time, given how far its sources are.

use millstream_core::plan::{NodeInput, Plan};
use millstream_core::{NodeId, SourceId, Watermark};

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

    /// The watermark of a node's input: the least of its sources, less what operators before it hold
    /// back. `of_sources` is by source.
    pub fn watermark(&self, node: NodeId, of_sources: &[Watermark]) -> Watermark {
        let node = &self.nodes[node.index()];
        let watermarks = node.sources.iter().map(|id| of_sources[id.index()]);
        match watermarks.min().unwrap_or(Watermark::MAX) {
            Watermark::MAX => Watermark::MAX,
            Watermark(ms) => Watermark(ms.saturating_sub(node.held_back_ms)),
        }
    }
}
