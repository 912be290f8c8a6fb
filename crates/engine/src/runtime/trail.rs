//! Where a split was earlier: some offsets that it passed, each with its watermark there. All rows before such
//! an offset are no newer than that watermark and its delay. So state that needs only rows of some time on
//! can be made anew from there, instead of from the beginning.
//!
//! One is kept for each doubling of age, in event time: for any age there is one that is at most a few times
//! as old.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::plan::{NodeInput, Operator, Plan, WindowKind};
use millstream_core::{NodeId, Offset, SplitId, TimeDomain, Watermark};

use super::progress::source_marks;
use crate::checkpoint::Manifest;
use crate::checkpoint::lineage::sources_before;
use crate::operator::NodeProgress;

/// Ages of up to 2^22 s, a month and a half.
const DOUBLINGS: u32 = 22;

/// Where a split is read from, and its watermark there.
pub type Start = (Offset, Watermark);

/// The beginning of a split.
pub const BEGINNING: Start = (Offset(0), Watermark::MIN);

/// The trail once the split is at `now`.
pub fn extended(trail: &[Start], now: Start) -> Vec<Start> {
    if now.1 == Watermark::MIN || now.1 == Watermark::MAX {
        return trail.to_vec();
    }
    let mut seen = BTreeSet::new();
    let mut oldest_of_each = |start: &Start| {
        let age_ms = now.1.0.saturating_sub(start.1.0);
        let age_s = u64::try_from(age_ms).unwrap_or(0) / 1_000;
        let doubling = u64::BITS - age_s.leading_zeros();
        doubling <= DOUBLINGS && seen.insert(doubling)
    };
    let all = trail.iter().chain([&now]);
    all.filter(|start| oldest_of_each(start)).copied().collect()
}

/// From where the splits before `nodes` have to be read for the state that these have as of `manifest`,
/// by table.
pub fn starts(
    plan: &Plan,
    manifest: &Manifest,
    nodes: &BTreeSet<NodeId>,
) -> BTreeMap<String, BTreeMap<SplitId, Start>> {
    let now_ms = manifest.processing_ms.unwrap_or(i64::MIN);
    let marks = source_marks(plan, &manifest.sources);
    let at = NodeProgress::new(plan).moment(&manifest.nodes, &marks, now_ms);
    let mut starts = BTreeMap::new();
    for source in &plan.sources {
        let node = |id: &NodeId| &plan.nodes[id.index()];
        let fed = nodes
            .iter()
            .filter(|id| sources_before(plan, node(id)).contains(&source.id));
        let needed: Vec<Option<i64>> = fed
            .map(|id| needed_from(plan, *id, at.nodes[id.index()]))
            .collect();
        if needed.is_empty() {
            continue;
        }
        let needed: Option<Vec<i64>> = needed.into_iter().collect();
        let delay_ms = source.event_time.as_ref().map(|spec| spec.delay_ms);
        let passed_by = needed.and_then(|needed| needed.into_iter().min()?.checked_sub(delay_ms?));
        let progress = manifest.sources.get(&source.table);
        let splits = progress.into_iter().flat_map(|progress| &progress.splits);
        let splits = splits.map(|split| {
            let mut trail = split.trail.iter().rev();
            let early = trail.find(|(_, mark)| passed_by.is_some_and(|ms| mark.0 <= ms));
            (split.split.clone(), early.copied().unwrap_or(BEGINNING))
        });
        starts.insert(source.table.clone(), splits.collect());
    }
    starts
}

/// The first event time of which rows can be in the state of a node at `fired`; none if there is no such.
fn needed_from(plan: &Plan, node: NodeId, fired: Watermark) -> Option<i64> {
    if fired == Watermark::MIN || fired == Watermark::MAX {
        return None;
    }
    fired.0.checked_add(1)?.checked_sub(span_ms(plan, node)?)
}

/// How much older than the watermark a row can be that is in the state of a node, or of those before it.
fn span_ms(plan: &Plan, node: NodeId) -> Option<i64> {
    let node = &plan.nodes[node.index()];
    let own = match &node.operator {
        Operator::WindowAggregate(aggregate) if aggregate.window.domain == TimeDomain::Event => {
            let size_ms = match aggregate.window.kind {
                WindowKind::Tumble { size_ms, .. }
                | WindowKind::Hop { size_ms, .. }
                | WindowKind::Cumulate { size_ms, .. } => size_ms,
                WindowKind::Session { .. } | WindowKind::Same(_) => return None,
            };
            size_ms.checked_add(aggregate.allowed_lateness_ms)?
        }
        operator if operator.is_stateful() => return None,
        _ => 0,
    };
    let mut before = 0;
    for input in &node.inputs {
        if let NodeInput::Node(id) = input {
            before = before.max(span_ms(plan, *id)?);
        }
    }
    own.checked_add(before)
}

/// Whether the state of a node depends on when time went on, and not only on how far: rows that come after a
/// silence or the end of other splits are late then. For windows that come out once that makes no
/// difference to those that are open.
pub fn is_sensitive(plan: &Plan, node: NodeId) -> bool {
    let node = &plan.nodes[node.index()];
    let is_once = match &node.operator {
        Operator::WindowAggregate(aggregate) => {
            let is_session = matches!(aggregate.window.kind, WindowKind::Session { .. });
            aggregate.allowed_lateness_ms == 0 && !is_session
        }
        operator => !operator.is_stateful(),
    };
    let mut inputs = node.inputs.iter();
    !is_once
        || inputs.any(|input| match input {
            NodeInput::Node(id) => {
                let operator = &plan.nodes[id.index()].operator;
                operator.is_stateful() || is_sensitive(plan, *id)
            }
            NodeInput::Source(_) => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_each_age_there_is_one_that_is_not_much_older() {
        let mut trail = vec![];
        let start = |second: i64| (Offset(second.unsigned_abs()), Watermark(second * 1_000));
        for second in 0..100_000 {
            trail = extended(&trail, start(second));
            assert!(trail.len() <= 18, "{trail:?}");
            assert!(trail.is_sorted());
            if second % 1_000 != 999 {
                continue;
            }
            for age in [1, 2, 5, 17, 100, 400] {
                let mut ages = trail.iter().rev().map(|it| second - it.1.0 / 1_000);
                let found = ages.find(|found| *found >= age);
                assert!(
                    found.is_some_and(|found| found <= 4 * age),
                    "{found:?} for {age}"
                );
            }
        }
    }

    #[test]
    fn a_split_without_rows_leaves_no_trail() {
        assert_eq!(extended(&[], (Offset(0), Watermark::MIN)), vec![]);
        let one = (Offset(3), Watermark(5));
        assert_eq!(extended(&[], one), vec![one]);
        assert_eq!(extended(&[one], one), vec![one]);
    }
}
