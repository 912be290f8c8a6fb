//! Joins, and the tables that are held in memory for them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Schema};
use millstream_core::connector::lookup_cache_ms;
use millstream_core::expr::Expr;
use millstream_core::plan::{
    Join, JoinKey, JoinOn as PlanOn, NodeInput, Operator, SourcePlan, TablePlan, TableStep,
};
use millstream_core::{SourceId, TableId};

use super::needs::needs_of_input;
use super::{Emitted, Emitter, index, rename_columns, schema_of, shape};
use crate::rel::{JoinOn, JoinSpec, Rel, Step};

/// The columns of both inputs that a join needs so that `needed` can be put out.
pub(super) fn needs_of_join(
    (left, spec): (&Rel, &JoinSpec),
    needed: &BTreeSet<usize>,
) -> [BTreeSet<usize>; 2] {
    let width = left.fields.len();
    let mut sides = [BTreeSet::new(), BTreeSet::new()];
    let mut add = |index: usize| match index.checked_sub(width) {
        None => sides[0].insert(index),
        Some(index) => sides[1].insert(index),
    };
    for index in needed {
        add(*index);
    }
    if let Some(expr) = &spec.condition {
        expr.for_each_column(&mut |index| {
            add(index);
        });
    }
    for key in &spec.keys {
        key.left.for_each_column(&mut |index| {
            sides[0].insert(index);
        });
        key.right.for_each_column(&mut |index| {
            sides[1].insert(index);
        });
    }
    match &spec.on {
        JoinOn::Table { .. } => {}
        JoinOn::Window { left, right } => {
            sides[0].extend(left);
            sides[1].extend(right);
        }
        JoinOn::Interval { left, right, .. } => {
            sides[0].insert(*left);
            sides[1].insert(*right);
        }
    }
    sides
}

/// Where `column` is among `kept`.
fn position(kept: &BTreeSet<usize>, column: usize) -> usize {
    kept.range(..column).count()
}

/// `expr` over the columns `kept` of fields.
fn over(expr: &Expr, kept: &BTreeSet<usize>, schema: &Schema) -> Expr {
    let mut expr = expr.clone();
    expr.map_columns(&|index| position(kept, index));
    rename_columns(&mut expr, schema);
    expr
}

fn kept_fields(fields: &[(String, DataType)], kept: &BTreeSet<usize>) -> Vec<(String, DataType)> {
    kept.iter().map(|index| fields[*index].clone()).collect()
}

impl Emitter<'_> {
    pub(super) fn emit_join(
        &mut self,
        (left, right): (&Rel, &Rel),
        spec: &JoinSpec,
        (needed, fields): (&BTreeSet<usize>, &[(String, DataType)]),
    ) -> Emitted {
        let [of_left, of_right] = needs_of_join((left, spec), needed);
        let mut inputs = vec![self.emit_exactly(left, &of_left)];
        let on = match &spec.on {
            JoinOn::Table { is_refreshed } => {
                PlanOn::Table(self.emit_table(right, &of_right, *is_refreshed))
            }
            on => {
                inputs.push(self.emit_exactly(right, &of_right));
                plan_on(on, [&of_left, &of_right])
            }
        };
        let width = left.fields.len();
        let mut both = of_left.clone();
        both.extend(of_right.iter().map(|index| index + width));
        let both_fields = kept_fields(&Rel::both_fields(left, right), &both);
        let sides = [
            schema_of(&kept_fields(&left.fields, &of_left)),
            schema_of(&kept_fields(&right.fields, &of_right)),
        ];
        let keys = spec.keys.iter().map(|key| JoinKey {
            left: over(&key.left, &of_left, &sides[0]),
            right: over(&key.right, &of_right, &sides[1]),
            nulls_equal: key.nulls_equal,
        });
        let both_schema = schema_of(&both_fields);
        let join = Join {
            kind: spec.kind,
            keys: keys.collect(),
            condition: spec
                .condition
                .as_ref()
                .map(|it| over(it, &both, &both_schema)),
            on,
            query: String::new(),
        };
        let out: BTreeSet<usize> = both.range(..fields.len()).copied().collect();
        let mut columns = vec![None; fields.len()];
        for (position, index) in out.iter().enumerate() {
            columns[*index] = Some(position);
        }
        let schema = schema_of(&kept_fields(fields, &out));
        Emitted {
            input: self.push_all(inputs, Operator::Join(join), schema),
            columns,
        }
    }

    /// Emits filters and projections over one table as a table that is held in memory.
    fn emit_table(&mut self, rel: &Rel, needed: &BTreeSet<usize>, is_refreshed: bool) -> TableId {
        let mut columns: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        needs_of_table(rel, needed, &mut columns);
        let mut inner = Emitter::new(self.catalog, self.needs, self.ttl_ms);
        for (table, columns) in &columns {
            let declared = &self.catalog.tables[*table];
            let (shape, positions) = shape(declared, columns);
            inner.positions.insert(*table, (SourceId(0), positions));
            inner.sources.push(SourcePlan {
                id: SourceId(0),
                table: declared.name.clone(),
                connector: declared.connector.clone(),
                shape,
                filter: None,
                event_time: None,
                late_events: None,
                dead_letters: None,
            });
        }
        let _last: NodeInput = inner.emit_exactly(rel, needed);
        let steps = inner.nodes.into_iter().map(|node| TableStep {
            operator: node.operator,
            schema: node.schema,
        });
        let id = TableId(index(self.tables.len()));
        let source = inner.sources.pop().expect("a table is read");
        // Options that do not fit are for the connector to refuse, at their place.
        let cache_ms = lookup_cache_ms(&source.connector).unwrap_or_default();
        self.tables.push(TablePlan {
            id,
            source,
            steps: steps.collect(),
            is_refreshed,
            cache_ms,
        });
        id
    }
}

/// What filters and projections over one table need of it.
fn needs_of_table(
    rel: &Rel,
    needed: &BTreeSet<usize>,
    columns: &mut BTreeMap<usize, BTreeSet<usize>>,
) {
    let of_input = needs_of_input(rel, needed);
    match &rel.step {
        Step::Scan(table) => columns.entry(*table).or_default().extend(needed),
        Step::Filter(input, _) | Step::Project(input, _) => {
            needs_of_table(input, &of_input, columns);
        }
        _ => unreachable!("a table that is held in memory has filters and projections only"),
    }
}

fn plan_on(on: &JoinOn, [of_left, of_right]: [&BTreeSet<usize>; 2]) -> PlanOn {
    match on {
        JoinOn::Window { left, right } => PlanOn::Window {
            left: left.map(|column| position(of_left, column)),
            right: right.map(|column| position(of_right, column)),
        },
        JoinOn::Interval {
            domain,
            left,
            right,
            lower_ms,
            upper_ms,
        } => PlanOn::Interval {
            domain: *domain,
            left: position(of_left, *left),
            right: position(of_right, *right),
            lower_ms: *lower_ms,
            upper_ms: *upper_ms,
        },
        JoinOn::Table { .. } => unreachable!("a table is emitted as one"),
    }
}
