//! `millstream.<table>.allowed-lateness`: which windows take late rows in, and whether whatever comes
//! after them can take a result that is put out again.

use std::collections::BTreeSet;

use millstream_core::plan::{NodeInput, Operator, Plan, WindowKind};
use millstream_core::{NodeId, TimeDomain};

use crate::catalog::Catalog;
use crate::diagnostic::{Fault, Origin, Result};
use crate::settings::Settings;

/// Sets the allowed lateness of every aggregate over rows of a table that has one.
pub(crate) fn apply(plan: &mut Plan, catalog: &Catalog, settings: &Settings) -> Result<()> {
    for index in 0..plan.nodes.len() {
        let Operator::WindowAggregate(aggregate) = &plan.nodes[index].operator else {
            continue;
        };
        // In processing time no row is late.
        if aggregate.window.domain == TimeDomain::Processing {
            continue;
        }
        let refused = match aggregate.window.kind {
            WindowKind::Cumulate { .. } => Some("CUMULATE"),
            WindowKind::Session { .. } => Some("SESSION"),
            _ => None,
        };
        let mut longest: Option<(i64, Origin)> = None;
        for table in tables_of(plan, index) {
            let found = settings.allowed_lateness(&table)?;
            if found.as_ref().map(|(ms, _)| *ms) > longest.as_ref().map(|(ms, _)| *ms) {
                longest = found;
            }
        }
        let Some((ms, place)) = longest else {
            continue;
        };
        if let Some(name) = refused {
            let what = format!("allowed lateness of `{name}` windows is");
            return Err(Fault::unsupported(&place, what));
        }
        check_updates(plan, catalog, (index, &window_columns()), &place)?;
        if let Operator::WindowAggregate(aggregate) = &mut plan.nodes[index].operator {
            aggregate.allowed_lateness_ms = ms;
        }
    }
    Ok(())
}

/// The tables whose rows reach node `index` as they are.
fn tables_of(plan: &Plan, index: usize) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    for input in &plan.nodes[index].inputs {
        match input {
            NodeInput::Source(id) => {
                tables.insert(plan.sources[id.index()].table.clone());
            }
            NodeInput::Node(id) if !plan.nodes[id.index()].operator.is_stateful() => {
                tables.extend(tables_of(plan, id.index()));
            }
            NodeInput::Node(_) => {}
        }
    }
    tables
}

/// An aggregate's columns that tell its windows apart.
fn window_columns() -> BTreeSet<usize> {
    [0, 1, 2].into()
}

/// Whether everything after node `index` can take rows that replace earlier ones. `window`: columns of
/// the node that tell windows apart.
fn check_updates(
    plan: &Plan,
    catalog: &Catalog,
    (index, window): (usize, &BTreeSet<usize>),
    place: &Origin,
) -> Result<()> {
    let id = NodeId(crate::emit::index(index));
    for (node, _) in plan.consumers(NodeInput::Node(id)) {
        let next = (node.id.index(), window);
        match &node.operator {
            Operator::Project(exprs) => {
                let is_window = |column: Option<usize>| column.is_some_and(|c| window.contains(&c));
                let kept = exprs.iter().enumerate();
                let kept = kept.filter(|(_, expr)| is_window(expr.as_column()));
                let kept = kept.map(|(position, _)| position).collect();
                check_updates(plan, catalog, (next.0, &kept), place)?;
            }
            Operator::Sink(sink) => {
                let sink = &plan.sinks[sink.index()];
                let table = catalog
                    .table(&sink.table)
                    .map(|index| &catalog.tables[index]);
                let is_upsert = table.is_some_and(|table| table.info.is_upsert);
                if !is_upsert || sink.primary_key.is_empty() {
                    let message = format!(
                        "late rows would change results that `{}` holds already, and it cannot \
                         replace rows",
                        sink.table
                    );
                    let help = "declare a PRIMARY KEY … NOT ENFORCED on a table whose connector \
                                writes by key (`clickhouse`), or set the allowed lateness to 0 s";
                    return Err(Fault::at(place, message).help(help));
                }
                if !sink
                    .primary_key
                    .iter()
                    .any(|column| window.contains(column))
                {
                    let message = format!(
                        "late rows would replace results of newer windows in `{}`: its PRIMARY \
                         KEY has no column of the window",
                        sink.table
                    );
                    let help = "add window_start or window_end to the key";
                    return Err(Fault::at(place, message).help(help));
                }
            }
            Operator::Filter(_) => {
                let what = "a condition on results that late rows change is";
                return Err(Fault::unsupported(place, what));
            }
            _ => {
                let what = "a step after results that late rows change is";
                return Err(Fault::unsupported(place, what));
            }
        }
    }
    Ok(())
}
