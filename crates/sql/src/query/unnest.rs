//! `UNNEST(array) [WITH ORDINALITY] [AS t(x, …)]` after a table.

use arrow::datatypes::DataType;
use millstream_core::expr::Expr;
use millstream_core::plan::Unnest;
use millstream_core::types::sql_name;
use sqlparser::ast::{FunctionArg, FunctionArgExpr, TableAlias};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::query::{Bound, QueryBinder};
use crate::rel::{Rel, UnnestSpec};
use crate::scope::{Role, ScopeColumn};

/// What stands in a query.
pub(super) struct UnnestCall<'a> {
    /// What stands in the parentheses.
    pub args: &'a [FunctionArg],
    /// `WITH ORDINALITY`.
    pub ordinality: bool,
    /// Name and columns.
    pub alias: Option<&'a TableAlias>,
    /// `LEFT JOIN`.
    pub outer: bool,
    /// Where it stands.
    pub place: Place,
}

impl QueryBinder<'_> {
    /// `left`, each row as often as its array has elements.
    pub(super) fn bind_unnest(&self, left: Bound, call: &UnnestCall<'_>) -> Result<Bound> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] = call.args else {
            let message = "`UNNEST` takes one array or map";
            return Err(Fault::at(call.place, message));
        };
        let mut binder = ExprBinder::scalar(&left.scope, self.dialect, "UNNEST");
        binder.start = call.place;
        let array = binder.bind(arg)?;
        let found = Unnest::element_fields(&array.data_type, call.ordinality);
        let Some(mut elements) = found else {
            let found = sql_name(&array.data_type);
            let message = format!("found {found} in UNNEST, expected ARRAY or MAP");
            return Err(Fault::at(call.place, message));
        };
        name_columns(&mut elements, call)?;
        let outer = call.outer;
        let spec = UnnestSpec {
            array,
            ordinality: call.ordinality,
            outer,
        };
        let table = call.alias.map(|alias| alias.name.value.clone());
        let columns = elements.iter().map(|(name, data_type)| ScopeColumn {
            table: table.clone(),
            name: name.clone(),
            data_type: data_type.clone(),
            role: Role::Plain,
            place: call.place,
        });
        let columns: Vec<ScopeColumn> = columns.collect();
        let Bound { mut rel, mut scope } = left;
        carry_times(&mut rel, &scope.columns);
        let (visible, width) = (scope.columns.len(), rel.fields.len());
        scope.columns.extend(columns);
        let total = width + elements.len();
        let rel = rel.unnest(spec, elements);
        let order = (0..visible).chain(width..total).chain(visible..width);
        Ok(Bound {
            rel: reordered(rel, order.collect()),
            scope,
        })
    }
}

fn name_columns(elements: &mut [(String, DataType)], call: &UnnestCall<'_>) -> Result<()> {
    let Some(alias) = call.alias.filter(|alias| !alias.columns.is_empty()) else {
        return Ok(());
    };
    if alias.columns.len() != elements.len() {
        let (expected, found) = (elements.len(), alias.columns.len());
        let name = &alias.name.value;
        let message = format!("`{name}` has {expected} columns, found {found} names");
        return Err(Fault::at(alias.columns[0].name.span, message));
    }
    for ((name, _), column) in elements.iter_mut().zip(&alias.columns) {
        name.clone_from(&column.name.value);
    }
    Ok(())
}

/// Has `rel` carry the times of its windows, behind the columns that a query can name, so that
/// columns that are put behind those stay where they are when something groups by the window.
pub(super) fn carry_times(rel: &mut Rel, columns: &[ScopeColumn]) {
    for (index, column) in columns.iter().enumerate() {
        if column.role.is_window() {
            let _window = rel.window_of(index);
            let _window = rel.window_of_placed(index);
        }
    }
}

/// `rel` with its columns in another order.
pub(super) fn reordered(rel: Rel, order: Vec<usize>) -> Rel {
    if order.iter().enumerate().all(|(index, from)| index == *from) {
        return rel;
    }
    let columns = order.into_iter().map(|index| {
        let (name, data_type) = rel.fields[index].clone();
        (name.clone(), Expr::column(index, name, data_type))
    });
    let columns = columns.collect();
    rel.project(columns)
}
