//! Aggregates over the same rows, windows and keys become one that computes the calls of all of them.

use std::collections::BTreeMap;

use millstream_core::expr::Expr;

use super::Query;
use crate::expr::aggregate::BoundAggregate;
use crate::rel::{GroupBy, Rel, Step};

/// What is asked of the same groups.
#[derive(Default)]
struct Asked {
    calls: Vec<BoundAggregate>,
    grouping_id: bool,
}

impl Asked {
    fn position(&self, call: &BoundAggregate) -> Option<usize> {
        let text = format!("{call:?}");
        let mut calls = self.calls.iter();
        calls.position(|known| format!("{known:?}") == text)
    }
}

/// By what the groups are made of.
type Groups = BTreeMap<String, Asked>;

/// The queries with each aggregate in the form that it shares with others.
pub(super) fn merged(queries: &[Query]) -> Vec<Query> {
    let mut groups = Groups::new();
    for query in queries {
        collect(&query.rel, &mut groups);
    }
    let mut queries = queries.to_vec();
    for query in &mut queries {
        rewrite(&mut query.rel, &groups);
    }
    queries
}

/// A text that is equal for the same groups: `Debug` tells apart what `==` of doubles does not. None
/// for what is not an aggregate, or not the same twice.
fn identity(rel: &Rel) -> Option<String> {
    let Step::Aggregate(input, group_by) = &rel.step else {
        return None;
    };
    if rel.has_chance() {
        return None;
    }
    let GroupBy {
        window, keys, sets, ..
    } = group_by;
    let input = &input.step;
    Some(format!("{input:?} {window:?} {keys:?} {sets:?}"))
}

fn collect(rel: &Rel, groups: &mut Groups) {
    if let (Step::Aggregate(_, group_by), Some(text)) = (&rel.step, identity(rel)) {
        let asked = groups.entry(text).or_default();
        asked.grouping_id |= group_by.grouping_id;
        for call in &group_by.calls {
            if asked.position(call).is_none() {
                asked.calls.push(call.clone());
            }
        }
    }
    for input in rel.inputs() {
        collect(input, groups);
    }
}

fn rewrite(rel: &mut Rel, groups: &Groups) {
    let asked = identity(rel).and_then(|text| groups.get(&text));
    for input in rel.inputs_mut() {
        rewrite(input, groups);
    }
    let (Step::Aggregate(input, group_by), Some(asked)) = (&rel.step, asked) else {
        return;
    };
    let of_call = |call| asked.position(call).expect("its calls were collected");
    let own: Vec<usize> = group_by.calls.iter().map(of_call).collect();
    let is_whole = own.iter().copied().eq(0..asked.calls.len());
    if is_whole && asked.grouping_id == group_by.grouping_id {
        return;
    }
    let first = 3 + group_by.keys.len();
    let own = own.iter().map(|place| first + place);
    let id = group_by.grouping_id.then_some(first + asked.calls.len());
    let places: Vec<usize> = (0..first).chain(own).chain(id).collect();
    let merged = (**input).clone().aggregate(GroupBy {
        calls: asked.calls.clone(),
        grouping_id: asked.grouping_id,
        ..group_by.clone()
    });
    let columns = places
        .into_iter()
        .zip(&rel.fields)
        .map(|(place, (name, _))| {
            let (inner, data_type) = merged.fields[place].clone();
            (name.clone(), Expr::column(place, inner, data_type))
        });
    let columns = columns.collect();
    *rel = merged.project(columns);
}
