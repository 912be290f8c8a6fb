//! Equal steps become one node: two queries that aggregate the same rows in the same way do it once,
//! and so write a late row once, as in Flink with `table.optimizer.reuse-sub-plan-enabled`.
//!
//! Nodes are made from the sources on, so steps are equal if they do the same to the same nodes. What
//! columns are called does not matter, nor which query asks. Sinks are never shared: each INSERT
//! writes its rows. Nor is what draws from chance: each call gives values of its own.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use millstream_core::NodeId;
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::plan::{Join, JoinOn, Node, NodeInput, Operator, TablePlan};
use millstream_core::surroundings::Looks;

use super::index;

/// Which nodes there are, and which queries use each.
#[derive(Default)]
pub(super) struct Shared {
    /// By what they do and to what.
    known: BTreeMap<String, NodeId>,
    /// For each node the queries that its rows go to, in the order of the script.
    queries: Vec<Vec<String>>,
}

impl Shared {
    /// The node that is this one, if there is one already. `tables` are all that are held in memory.
    pub(super) fn find(
        &mut self,
        (inputs, operator, schema): (&[NodeInput], &Operator, &Schema),
        tables: &[TablePlan],
        query: &str,
    ) -> Option<NodeId> {
        let next = NodeId(index(self.queries.len()));
        let text = identity(inputs, operator, schema, tables);
        let known = text.and_then(|text| {
            let id = *self.known.entry(text).or_insert(next);
            (id != next).then_some(id)
        });
        let Some(id) = known else {
            self.queries.push(vec![query.to_owned()]);
            return None;
        };
        let queries = &mut self.queries[id.index()];
        if !queries.iter().any(|known| known == query) {
            queries.push(query.to_owned());
        }
        Some(id)
    }

    /// Writes into each node which queries use it.
    pub(super) fn name(&self, nodes: &mut [Node]) {
        for (node, queries) in nodes.iter_mut().zip(&self.queries) {
            let query = match &mut node.operator {
                Operator::WindowAggregate(aggregate) => &mut aggregate.query,
                Operator::WindowRank(rank) => &mut rank.query,
                Operator::Over(over) => &mut over.query,
                Operator::Join(join) => &mut join.query,
                _ => continue,
            };
            *query = queries.join(", ");
        }
    }
}

/// A text that is equal for steps that do the same, none for those that are not shared. The text of `Debug` says everything and tells
/// apart what `==` of doubles does not: 0 and -0.
fn identity(
    inputs: &[NodeInput],
    operator: &Operator,
    schema: &Schema,
    tables: &[TablePlan],
) -> Option<String> {
    if let Operator::Sink(_) = operator {
        return None;
    }
    let types: Vec<&DataType> = schema.fields().iter().map(|it| it.data_type()).collect();
    let mut operator = operator.clone();
    let mut table = None;
    if let Operator::Join(Join {
        on: JoinOn::Table(id),
        ..
    }) = &mut operator
    {
        // Each join holds a table of its own; what is in them can be equal all the same.
        let held = &tables[std::mem::take(id).index()];
        table = Some((&held.source, &held.steps, held.is_refreshed));
    }
    for expr in exprs_of(&mut operator) {
        if expr.looks(|at| at == Looks::AtChance) {
            return None;
        }
        forget_names(expr);
    }
    Some(format!("{inputs:?} {operator:?} {types:?} {table:?}"))
}

fn exprs_of(operator: &mut Operator) -> Vec<&mut Expr> {
    match operator {
        Operator::Filter(predicate) => vec![predicate],
        Operator::Project(exprs) => exprs.iter_mut().collect(),
        Operator::Unnest(unnest) => vec![&mut unnest.array],
        Operator::Join(join) => {
            let keys = join.keys.iter_mut();
            let keys = keys.flat_map(|key| [&mut key.left, &mut key.right]);
            keys.chain(&mut join.condition).collect()
        }
        Operator::AssignWindow(_)
        | Operator::WindowAggregate(_)
        | Operator::WindowRank(_)
        | Operator::Over(_)
        | Operator::Union
        | Operator::Sink(_) => vec![],
    }
}

fn forget_names(expr: &mut Expr) {
    if let ExprKind::Column { name, .. } = &mut expr.kind {
        name.clear();
    }
    for child in expr.children_mut() {
        forget_names(child);
    }
}
