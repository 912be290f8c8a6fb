//! `UNION ALL`: columns by position, with the names of the first query.

use millstream_core::expr::Expr;
use millstream_core::types::sql_name;

use crate::diagnostic::{Fault, Place, Result};
use crate::query::{Bound, fields};
use crate::rel::Rel;
use crate::scope::{Role, Scope, ScopeColumn};
use crate::types::{common_type, convert};

/// The rows of both; `place` is where the second begins. The types of a column become the one that
/// holds both, as in Flink.
pub(super) fn union(left: Bound, right: Bound, place: Place) -> Result<Bound> {
    let (found, expected) = (right.scope.columns.len(), left.scope.columns.len());
    if found != expected {
        let message =
            format!("found {found} columns after `UNION ALL`, expected {expected} as before it");
        return Err(Fault::at(place, message));
    }
    let mut columns = vec![];
    for (left, right) in left.scope.columns.iter().zip(&right.scope.columns) {
        let Some(data_type) = common_type(&left.data_type, &right.data_type) else {
            let (expected, found) = (sql_name(&left.data_type), sql_name(&right.data_type));
            let name = &left.name;
            let message = format!("column `{name}` of `UNION ALL`: {expected} and {found}");
            let place = if right.place.line == 0 {
                place
            } else {
                right.place
            };
            return Err(Fault::at(place, message).help("write CAST(… AS …)"));
        };
        columns.push(ScopeColumn {
            table: None,
            name: left.name.clone(),
            role: match left.data_type == data_type && right.data_type == data_type {
                true => common_role(left.role, right.role),
                false => Role::Plain,
            },
            data_type,
            place: left.place,
        });
    }
    let scope = Scope {
        columns,
        ..Scope::default()
    };
    let inputs = vec![converted(left, &scope), converted(right, &scope)];
    let rel = Rel::union(inputs, fields(&scope));
    Ok(Bound { rel, scope })
}

fn common_role(left: Role, right: Role) -> Role {
    match left == right {
        true => left,
        false if left.is_time() && right.is_time() => Role::EventTime,
        false => Role::Plain,
    }
}

/// Rows with the types of `to`; more columns may follow.
fn converted(from: Bound, to: &Scope) -> Rel {
    let same = from.scope.columns.iter().zip(&to.columns);
    if same
        .clone()
        .all(|(from, to)| from.data_type == to.data_type)
    {
        return from.rel;
    }
    let exprs = to.columns.iter().enumerate().map(|(index, column)| {
        let (name, data_type) = from.rel.fields[index].clone();
        let expr = Expr::column(index, name, data_type);
        (column.name.clone(), convert(expr, &column.data_type))
    });
    let exprs = exprs.collect();
    from.rel.project(exprs)
}
