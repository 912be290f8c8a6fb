//! A query's filters as a [`Prune`]: DataFusion rewrites them in terms of least and greatest
//! values, and answers for each group of rows whether it can match.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use millstream_connectors::hot_table::{ColumnStatistics, GroupStatistics, Prune};

/// Filters that can tell from ranges which rows need not be read.
pub struct PredicatePrune {
    predicate: PruningPredicate,
    columns: Vec<usize>,
}

impl PredicatePrune {
    /// The filters, which all have to hold; `None` if ranges say nothing about them.
    pub fn new(state: &dyn Session, table: &SchemaRef, filters: &[Expr]) -> Result<Option<Self>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(None);
        };
        let schema = DFSchema::try_from(table.clone())?;
        let filter = state.create_physical_expr(filter, &schema)?;
        let mut columns: Vec<usize> = collect_columns(&filter)
            .iter()
            .map(|column| column.index())
            .collect();
        columns.sort_unstable();
        let predicate = PruningPredicate::try_new(filter, table.clone())?;
        Ok((!predicate.always_true()).then_some(Self { predicate, columns }))
    }
}

impl fmt::Display for PredicatePrune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.orig_expr().fmt(f)
    }
}

impl Prune for PredicatePrune {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn keep(&self, groups: &GroupStatistics) -> Vec<bool> {
        let known = Known {
            groups,
            table: self.predicate.schema(),
        };
        // A filter that fails on a range fails on the rows as well, and there the user sees it.
        self.predicate
            .prune(&known)
            .unwrap_or_else(|_| vec![true; groups.rows.len()])
    }
}

/// Statistics by name of column.
struct Known<'a> {
    groups: &'a GroupStatistics,
    table: &'a SchemaRef,
}

impl Known<'_> {
    fn column(&self, column: &Column) -> Option<&ColumnStatistics> {
        let index = self.table.index_of(column.name()).ok()?;
        self.groups.columns.get(index)?.as_ref()
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|statistics| statistics.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|statistics| statistics.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.groups.rows.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column)
            .map(|statistics| Arc::new(statistics.nulls.clone()) as ArrayRef)
    }

    fn row_counts(&self, _: &Column) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(self.groups.rows.clone())))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
