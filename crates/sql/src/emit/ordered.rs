//! Nodes for steps that look at rows in an order. They keep rows, so they get only the columns that
//! something needs.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use millstream_core::expr::Expr;
use millstream_core::plan::{
    AggregateCall, NodeInput, Operator, OverAggregate, OverCall, SortKey, WindowRank,
};

use super::{AggregateInputs, Emitted, Emitter, schema_of};
use crate::rel::{BoundOver, OverBy, RankBy, SortBy};

/// Which columns of a step are needed, and the names and types of all.
type Columns<'a> = (&'a BTreeSet<usize>, &'a [(String, DataType)]);

/// The input of a node that passes columns on.
struct Kept<'a> {
    emitted: &'a Emitted,
    inputs: AggregateInputs,
    columns: Vec<Option<usize>>,
    schema: arrow::datatypes::SchemaRef,
}

impl Kept<'_> {
    fn add(&mut self, expr: &Expr) -> usize {
        self.inputs.add(self.emitted.over(expr, &self.schema))
    }

    fn sort_keys(&mut self, order: &[SortBy]) -> Vec<SortKey> {
        let keys = order.iter().map(|by| SortKey {
            column: self.add(&by.expr),
            descending: by.descending,
            nulls_first: by.nulls_first,
        });
        keys.collect()
    }
}

impl Emitter<'_> {
    /// The columns of `needed` that are the input's, then whatever is added.
    fn kept<'a>(&self, emitted: &'a Emitted, (needed, fields): Columns<'_>) -> Kept<'a> {
        let mut kept = Kept {
            emitted,
            inputs: AggregateInputs::default(),
            columns: vec![None; fields.len()],
            schema: self.schema(emitted.input),
        };
        for column in needed.iter().filter(|c| **c < emitted.columns.len()) {
            let (name, data_type) = fields[*column].clone();
            kept.columns[*column] = Some(kept.add(&Expr::column(*column, name, data_type)));
        }
        kept
    }

    fn column(&self, fields: &[(String, DataType)], column: usize) -> Expr {
        let (name, data_type) = fields[column].clone();
        Expr::column(column, name, data_type)
    }

    /// A node that puts out the kept columns and `appended`.
    fn push_kept(
        &mut self,
        kept: Kept<'_>,
        appended: Vec<(usize, (String, DataType))>,
        operator: Operator,
    ) -> Emitted {
        let schema = kept.inputs.schema();
        let positions = kept.inputs.all_columns();
        let is_whole = kept.schema.fields().len() == kept.inputs.exprs.len();
        let in_place = positions.is_some_and(|positions| positions.is_sorted());
        let (input, schema): (NodeInput, _) = match is_whole && in_place {
            true => (kept.emitted.input, kept.schema),
            false => {
                let project = Operator::Project(kept.inputs.exprs);
                let input = self.push(kept.emitted.input, project, schema.clone());
                (input, schema)
            }
        };
        let mut fields: Vec<(String, DataType)> = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect();
        let mut columns = kept.columns;
        for (column, field) in appended {
            columns[column] = Some(fields.len());
            fields.push(field);
        }
        let input = self.push(input, operator, schema_of(&fields));
        Emitted { input, columns }
    }

    pub(super) fn emit_rank(
        &mut self,
        emitted: &Emitted,
        by: &RankBy,
        (needed, fields): Columns<'_>,
    ) -> Emitted {
        let mut kept = self.kept(emitted, (needed, fields));
        let number = fields.len() - 1;
        let rank = WindowRank {
            window: by
                .window
                .map(|column| kept.add(&self.column(fields, column))),
            keys: by.keys.iter().map(|key| kept.add(key)).collect(),
            order: kept.sort_keys(&by.order),
            latest: by.is_latest(),
            ranks: (by.ranks.0, by.ranks.1.expect("checked before")),
            number: needed.contains(&number),
            query: String::new(),
        };
        let appended = match rank.number {
            true => vec![(number, fields[number].clone())],
            false => vec![],
        };
        self.push_kept(kept, appended, Operator::WindowRank(rank))
    }

    pub(super) fn emit_over(
        &mut self,
        emitted: &Emitted,
        by: &OverBy,
        (needed, fields): Columns<'_>,
    ) -> Emitted {
        let mut kept = self.kept(emitted, (needed, fields));
        let width = fields.len() - by.calls.len();
        let time_column = kept.add(&self.column(fields, by.time_column));
        let keys = by.keys.iter().map(|key| kept.add(key)).collect();
        let order = kept.sort_keys(&by.order);
        let calls = by.calls.iter().enumerate();
        let calls = calls.filter(|(index, _)| needed.contains(&(width + index)));
        let mut appended = vec![];
        let mut planned = vec![];
        for (index, call) in calls {
            appended.push((width + index, fields[width + index].clone()));
            planned.push(match call {
                BoundOver::Aggregate(frame, call) => {
                    let call = AggregateCall {
                        function: call.function,
                        native: call.native.clone(),
                        argument: call.argument.as_ref().map(|expr| kept.add(expr)),
                        filter: call.filter.as_ref().map(|expr| kept.add(expr)),
                        parameters: call.parameters.clone(),
                        distinct: call.distinct,
                        data_type: call.data_type.clone(),
                    };
                    OverCall::Aggregate(*frame, call)
                }
                BoundOver::Lag(argument, rows, default) => OverCall::Lag {
                    argument: kept.add(argument),
                    rows: *rows,
                    default: default.as_ref().map(|expr| kept.add(expr)),
                },
            });
        }
        let over = OverAggregate {
            keys,
            time_column,
            domain: by.domain,
            order,
            calls: planned,
            ttl_ms: self.ttl_ms.filter(|_| !by.calls.is_empty()),
            query: String::new(),
        };
        self.push_kept(kept, appended, Operator::Over(over))
    }
}
