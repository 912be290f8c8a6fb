//! How far each node of a plan is in its time, given how far its sources and the clock are.
//!
//! A node goes by the time of the windows that its rows are in, or that it makes, or of the bounds
//! within which it joins: event time, unless that is processing time.

use std::sync::Arc;

use millstream_core::plan::{JoinOn, Node, NodeInput, Operator, Plan};
use millstream_core::{NodeId, SourceId, TimeDomain, Watermark};

/// How far time is at a barrier.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The watermark of each node.
    pub nodes: Arc<[Watermark]>,
    /// Processing time in ms: what is read from now on is read then or later.
    pub now_ms: i64,
}

/// The watermarks of nodes follow from those of sources, or from the clock.
#[derive(Debug, Clone)]
pub struct NodeProgress {
    nodes: Vec<Of>,
}

#[derive(Debug, Clone, Default)]
struct Of {
    sources: Vec<SourceId>,
    held_back_ms: i64,
    domain: TimeDomain,
    /// Of the rows that it puts out.
    next_domain: TimeDomain,
}

impl NodeProgress {
    /// Of the nodes of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let mut nodes: Vec<Of> = vec![];
        for node in &plan.nodes {
            let mut of = Of::default();
            for input in &node.inputs {
                match input {
                    NodeInput::Source(source) => of.sources.push(*source),
                    NodeInput::Node(id) => {
                        let before = &nodes[id.index()];
                        let operator = &plan.nodes[id.index()].operator;
                        let held = before.held_back_ms + operator.holds_back_ms();
                        of.held_back_ms = of.held_back_ms.max(held);
                        of.sources.extend(&before.sources);
                        of.domain = before.next_domain;
                    }
                }
            }
            of.sources.sort_unstable();
            of.sources.dedup();
            of.next_domain = own_domain(node).unwrap_or(of.domain);
            if node.operator.is_stateful() {
                of.domain = of.next_domain;
            }
            nodes.push(of);
        }
        Self { nodes }
    }

    /// Which time a node goes by.
    pub fn domain(&self, node: NodeId) -> TimeDomain {
        self.nodes[node.index()].domain
    }

    /// The watermark of each node's input, by node, and never less than `before`. In event time: the
    /// least of its sources, less what operators before it hold back. In processing time: right before
    /// now. When its sources have ended, so has time. `of_sources` is by source.
    ///
    /// A source that is idle is not waited for, as long as another one goes on: a join with a source
    /// that is silent would stand still for ever. Source: Apache Flink, `StatusWatermarkValve`.
    pub fn moment(&self, before: &[Watermark], of_sources: &[SourceMark], now_ms: i64) -> Moment {
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.map(|(index, node)| {
            let before = before.get(index).copied().unwrap_or(Watermark::MIN);
            before.advanced_to(node.watermark(of_sources, now_ms))
        });
        Moment {
            nodes: nodes.collect(),
            now_ms,
        }
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

impl Of {
    fn watermark(&self, of_sources: &[SourceMark], now_ms: i64) -> Watermark {
        let marks = self.sources.iter().map(|id| of_sources[id.index()]);
        let going_on = marks.filter(|mark| mark.fired != Watermark::MAX);
        let (idle, active): (Vec<SourceMark>, Vec<SourceMark>) =
            going_on.partition(|mark| mark.is_idle);
        match active.iter().map(|mark| mark.fired).min() {
            None if idle.is_empty() => Watermark::MAX,
            _ if self.domain == TimeDomain::Processing => Watermark(now_ms.saturating_sub(1)),
            Some(Watermark(ms)) => Watermark(ms.saturating_sub(self.held_back_ms)),
            // Nobody goes on: what is idle can still wake up.
            None => Watermark::MIN,
        }
    }
}

/// The time of the windows that a node makes.
fn own_domain(node: &Node) -> Option<TimeDomain> {
    match &node.operator {
        Operator::AssignWindow(window) => Some(window.domain),
        Operator::WindowAggregate(aggregate) => Some(aggregate.window.domain),
        Operator::Over(over) => Some(over.domain),
        Operator::Join(join) => match join.on {
            JoinOn::Interval { domain, .. } => Some(domain),
            JoinOn::Table(_) | JoinOn::Window { .. } => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(sources: &[u32], held_back_ms: i64) -> NodeProgress {
        let sources = sources.iter().map(|id| SourceId(*id)).collect();
        NodeProgress {
            nodes: vec![Of {
                sources,
                held_back_ms,
                ..Of::default()
            }],
        }
    }

    fn check(before: i64, of_sources: &[(i64, bool)], expected: i64) {
        let of_sources = of_sources.iter().map(|(fired, is_idle)| SourceMark {
            fired: Watermark(*fired),
            is_idle: *is_idle,
        });
        let marks: Vec<SourceMark> = of_sources.collect();
        let found = node(&[0, 1], 0).moment(&[Watermark(before)], &marks, 7);
        assert_eq!(*found.nodes, [Watermark(expected)]);
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
        let found = |mark: SourceMark| node(&[0], 30).moment(&[], &[mark], 7).nodes;
        assert_eq!(*found(mark), [Watermark(70)]);
        let ended = SourceMark {
            fired: Watermark::MAX,
            is_idle: false,
        };
        assert_eq!(*found(ended), [Watermark::MAX]);
    }

    #[test]
    fn processing_time_goes_on_whatever_the_sources_do() {
        let mut progress = node(&[0], 30);
        progress.nodes[0].domain = TimeDomain::Processing;
        let found = |fired: i64, is_idle: bool, now_ms: i64| {
            let fired = Watermark(fired);
            let mark = SourceMark { fired, is_idle };
            progress.moment(&[Watermark(50)], &[mark], now_ms).nodes[0]
        };
        assert_eq!(found(i64::MIN, false, 100), Watermark(99));
        assert_eq!(found(500, true, 100), Watermark(99));
        assert_eq!(found(500, false, 20), Watermark(50));
        assert_eq!(found(i64::MAX, false, 100), Watermark::MAX);
    }
}
