//! Windows that come out more than once, with an allowed lateness or early results: which do, and whether
//! whatever comes after them can take a result that is put out again.

use std::collections::BTreeSet;

use millstream_core::expr::Expr;
use millstream_core::plan::{NodeInput, Operator, Plan, SinkPlan, WindowAggregate, WindowKind};
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
        let is_session = matches!(aggregate.window.kind, WindowKind::Session { .. });
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
        if is_session {
            let what = "allowed lateness of `SESSION` windows is";
            return Err(Fault::unsupported(&place, what));
        }
        let kept = Kept::of(aggregate);
        let update = Update {
            what: "late rows",
            help: LATE_HELP,
            place: &place,
        };
        check_updates(plan, catalog, (index, &kept), &update)?;
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

/// Sets how often every aggregate puts results out before its windows end.
pub(crate) fn apply_early(plan: &mut Plan, catalog: &Catalog, settings: &Settings) -> Result<()> {
    let Some((delay_ms, place)) = settings.early_delay_ms()? else {
        return Ok(());
    };
    for index in 0..plan.nodes.len() {
        let Operator::WindowAggregate(aggregate) = &plan.nodes[index].operator else {
            continue;
        };
        let (name, slices) = match aggregate.window.kind {
            WindowKind::Session { .. } => {
                return Err(Fault::unsupported(
                    &place,
                    "early results of `SESSION` windows are",
                ));
            }
            WindowKind::Hop {
                size_ms, slide_ms, ..
            } => ("HOP", size_ms / slide_ms),
            WindowKind::Cumulate {
                size_ms, step_ms, ..
            } => ("CUMULATE", size_ms / step_ms),
            _ => ("TUMBLE", 1),
        };
        if slices > EARLY_WINDOWS_MAX {
            let message = format!(
                "early results of `{name}`: a row is in {slices} windows at once, expected at most \
                 {EARLY_WINDOWS_MAX}"
            );
            return Err(Fault::at(&place, message));
        }
        let kept = Kept::of(aggregate);
        let update = Update {
            what: "early results",
            help: EARLY_HELP,
            place: &place,
        };
        check_updates(plan, catalog, (index, &kept), &update)?;
        if let Operator::WindowAggregate(aggregate) = &mut plan.nodes[index].operator {
            aggregate.early_delay_ms = Some(delay_ms);
        }
    }
    Ok(())
}

/// Most windows that a row can be in where results come out early.
const EARLY_WINDOWS_MAX: i64 = 100;

const LATE_HELP: &str = "declare a PRIMARY KEY … NOT ENFORCED on a table whose connector writes by key \
                         (`clickhouse`), or set the allowed lateness to 0 s";
const EARLY_HELP: &str = "declare a PRIMARY KEY … NOT ENFORCED on a table whose connector writes by key \
                          (`clickhouse`), or leave early results out";

/// Results that come out again, and why.
struct Update<'a> {
    /// What changes them.
    what: &'static str,
    help: &'static str,
    /// Where it is set.
    place: &'a Origin,
}

/// The columns of a node that are the same each time a result comes out.
struct Kept {
    /// Those that tell windows apart.
    window: BTreeSet<usize>,
    /// Those and the keys.
    all: BTreeSet<usize>,
}

impl Kept {
    /// Of an aggregate: its window's columns, its keys and the grouping id. Windows of CUMULATE that grow
    /// have their start in common, so it does not tell them apart.
    fn of(aggregate: &WindowAggregate) -> Self {
        let keys = 3 + aggregate.keys.len();
        let grouping_id = keys + aggregate.aggregates.len();
        let is_growing = matches!(aggregate.window.kind, WindowKind::Cumulate { .. });
        Self {
            window: (usize::from(is_growing)..3).collect(),
            all: (0..keys)
                .chain(aggregate.grouping_id.then_some(grouping_id))
                .collect(),
        }
    }

    /// What projections keep of them.
    fn projected(&self, exprs: &[Expr]) -> Self {
        let window = |expr: &Expr| expr.as_column().is_some_and(|it| self.window.contains(&it));
        let all = |expr: &Expr| {
            let mut only = !expr.looks(|_| true);
            expr.for_each_column(&mut |column| only &= self.all.contains(&column));
            only
        };
        let positions = |is: &dyn Fn(&Expr) -> bool| {
            let exprs = exprs.iter().enumerate().filter(|(_, expr)| is(expr));
            exprs.map(|(position, _)| position).collect()
        };
        Self {
            window: positions(&window),
            all: positions(&all),
        }
    }
}

/// Whether everything after node `index` can take rows that replace earlier ones.
fn check_updates(
    plan: &Plan,
    catalog: &Catalog,
    (index, kept): (usize, &Kept),
    update: &Update<'_>,
) -> Result<()> {
    let id = NodeId(crate::emit::index(index));
    for (node, _) in plan.consumers(NodeInput::Node(id)) {
        match &node.operator {
            Operator::Project(exprs) => {
                let kept = kept.projected(exprs);
                check_updates(plan, catalog, (node.id.index(), &kept), update)?;
            }
            Operator::Sink(sink) => check_sink(&plan.sinks[sink.index()], catalog, kept, update)?,
            Operator::Filter(_) => {
                let what = format!("a condition on results that {} change is", update.what);
                return Err(Fault::unsupported(update.place, what));
            }
            _ => {
                let what = format!("a step after results that {} change is", update.what);
                return Err(Fault::unsupported(update.place, what));
            }
        }
    }
    Ok(())
}

/// Whether a sink replaces a result by the one that comes out again.
fn check_sink(sink: &SinkPlan, catalog: &Catalog, kept: &Kept, update: &Update<'_>) -> Result<()> {
    let Update { what, help, place } = update;
    let name = &sink.table;
    let table = catalog.table(name).map(|index| &catalog.tables[index]);
    let is_upsert = table.is_some_and(|table| table.info.is_upsert);
    if !is_upsert || sink.primary_key.is_empty() {
        let message = format!(
            "{what} would change results that `{name}` holds already, and it cannot replace rows"
        );
        return Err(Fault::at(*place, message).help(*help));
    }
    let key = &sink.primary_key;
    if !key.iter().any(|column| kept.window.contains(column)) {
        let message = format!(
            "{what} would replace results of newer windows in `{name}`: its PRIMARY KEY has no \
             column of the window that tells them apart"
        );
        return Err(Fault::at(*place, message).help("add window_end to the key"));
    }
    let changing = key.iter().find(|column| !kept.all.contains(column));
    if let Some(column) = changing {
        let column = sink.schema.field(*column).name();
        let message = format!(
            "{what} would leave old results in `{name}`: column `{column}` of its PRIMARY KEY changes \
             with them"
        );
        return Err(Fault::at(*place, message).help("make a key of what the query groups by"));
    }
    Ok(())
}
