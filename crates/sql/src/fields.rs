//! Of a ROW column, a source makes only the fields that are read: narrows the types of a finished
//! [`Plan`].
//!
//! A column is narrowed if filters, projections and computed columns directly over the source read
//! nothing but fields of it. Whatever else takes the column takes it whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::plan::{NodeInput, Operator, Plan};

/// Narrows the ROW columns of all sources.
pub(crate) fn narrow(plan: &mut Plan) {
    for source in 0..plan.sources.len() {
        let decoded = plan.sources[source].shape.decoded.clone();
        for (column, field) in decoded.fields().iter().enumerate() {
            let DataType::Struct(fields) = field.data_type() else {
                continue;
            };
            let mut reads = Reads::new(column);
            for (_, expr) in &plan.sources[source].shape.computed {
                reads.add(expr);
            }
            let below = directly_below(plan, NodeInput::Source(plan.sources[source].id));
            for node in &below {
                reads.add_node(&plan.nodes[*node].operator);
            }
            let kept = fields.iter().filter(|it| reads.fields.contains(it.name()));
            let kept: Fields = kept.cloned().collect();
            if !reads.whole && !kept.is_empty() && kept.len() < fields.len() {
                retype(plan, (source, &below), column, &DataType::Struct(kept));
            }
        }
    }
}

/// The nodes that see a source's columns where they are: those that it feeds, directly or through
/// filters.
fn directly_below(plan: &Plan, input: NodeInput) -> Vec<usize> {
    let mut found = vec![];
    for (node, _) in plan.consumers(input) {
        found.push(node.id.index());
        if let Operator::Filter(_) = node.operator {
            found.extend(directly_below(plan, NodeInput::Node(node.id)));
        }
    }
    found
}

/// What is read of a column.
struct Reads {
    column: usize,
    whole: bool,
    fields: BTreeSet<String>,
}

impl Reads {
    fn new(column: usize) -> Self {
        Self {
            column,
            whole: false,
            fields: BTreeSet::new(),
        }
    }

    fn add(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Field { input, name } if input.as_column() == Some(self.column) => {
                self.fields.insert(name.clone());
            }
            _ if expr.as_column() == Some(self.column) => self.whole = true,
            _ => expr
                .children()
                .into_iter()
                .for_each(|child| self.add(child)),
        }
    }

    fn add_node(&mut self, operator: &Operator) {
        match operator {
            Operator::Filter(predicate) => self.add(predicate),
            Operator::Project(exprs) => exprs.iter().for_each(|expr| self.add(expr)),
            _ => self.whole = true,
        }
    }
}

/// Gives `column` of the source another type, there and in the nodes that see it.
fn retype(
    plan: &mut Plan,
    (source, below): (usize, &[usize]),
    column: usize,
    data_type: &DataType,
) {
    let shape = &mut plan.sources[source].shape;
    shape.decoded = with_type(&shape.decoded, column, data_type);
    for (_, expr) in &mut shape.computed {
        retype_columns(expr, column, data_type);
    }
    for node in below {
        let node = &mut plan.nodes[*node];
        match &mut node.operator {
            Operator::Filter(predicate) => {
                retype_columns(predicate, column, data_type);
                node.schema = with_type(&node.schema, column, data_type);
            }
            Operator::Project(exprs) => {
                for expr in exprs {
                    retype_columns(expr, column, data_type);
                }
            }
            _ => unreachable!("whatever else reads the column reads it whole"),
        }
    }
}

fn retype_columns(expr: &mut Expr, column: usize, data_type: &DataType) {
    if expr.as_column() == Some(column) {
        expr.data_type = data_type.clone();
    }
    for child in expr.children_mut() {
        retype_columns(child, column, data_type);
    }
}

fn with_type(schema: &Schema, column: usize, data_type: &DataType) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields[column] = Arc::new(Field::new(fields[column].name(), data_type.clone(), true));
    Arc::new(Schema::new(fields))
}
