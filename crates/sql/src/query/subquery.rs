//! `[NOT] EXISTS (…)` and `x [NOT] IN (SELECT …)` in WHERE: joins whose right side does not come out.

use arrow::datatypes::DataType;
use millstream_core::expr::{BinaryOp, Expr, Literal};
use millstream_core::plan::JoinKind;
use sqlparser::ast::{self, GroupByExpr, SelectItem, SetExpr, Spanned, UnaryOperator};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::expr::operator::equal;
use crate::query::join::{Joined, split};
use crate::query::{Bound, QueryBinder};

/// A condition on a subquery.
pub(super) struct Subquery<'a> {
    query: &'a ast::Query,
    /// What is looked for in it; none: whether there are rows.
    value: Option<&'a ast::Expr>,
    is_negated: bool,
}

/// The parts of `a AND b AND …`.
pub(super) fn conjuncts(expr: &ast::Expr) -> Vec<&ast::Expr> {
    let (mut parts, mut open) = (vec![], vec![expr]);
    while let Some(expr) = open.pop() {
        match expr {
            ast::Expr::BinaryOp {
                left,
                op: ast::BinaryOperator::And,
                right,
            } => open.extend([right.as_ref(), left.as_ref()]),
            ast::Expr::Nested(inner) => match inner.as_ref() {
                ast::Expr::BinaryOp {
                    op: ast::BinaryOperator::And,
                    ..
                } => open.push(inner),
                _ => parts.push(expr),
            },
            _ => parts.push(expr),
        }
    }
    parts
}

/// The subquery that `expr` asks, if it does.
pub(super) fn subquery(expr: &ast::Expr) -> Option<Subquery<'_>> {
    match expr {
        ast::Expr::Nested(inner) => subquery(inner),
        ast::Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => {
            let mut inner = subquery(expr)?;
            inner.is_negated = !inner.is_negated;
            Some(inner)
        }
        ast::Expr::Exists { subquery, negated } => Some(Subquery {
            query: subquery,
            value: None,
            is_negated: *negated,
        }),
        ast::Expr::InSubquery {
            expr,
            subquery,
            negated,
        } => Some(Subquery {
            query: subquery,
            value: Some(expr),
            is_negated: *negated,
        }),
        _ => None,
    }
}

impl QueryBinder<'_> {
    /// The rows of `left` for which the condition is true.
    pub(super) fn bind_subquery(&self, left: Bound, condition: &Subquery<'_>) -> Result<Bound> {
        let place = condition.query.span().start;
        let mut binder = self.clone();
        binder.takes_whole = true;
        let whole = match condition.value {
            // A query that stands by itself may have groups.
            Some(_) => binder.bind(condition.query).ok(),
            None => None,
        };
        let (right, mut conjuncts, item) = match whole {
            Some(right) => {
                if right.scope.columns.len() != 1 {
                    let found = right.scope.columns.len();
                    let message = format!("found {found} columns in a subquery, expected 1");
                    return Err(Fault::at(place, message));
                }
                let mut item = right.scope.column(0);
                item.map_columns(&|index| index + left.scope.columns.len());
                (right, vec![], Some(item))
            }
            None => binder.bind_correlated(&left, condition, place)?,
        };
        if let (Some(value), Some(item)) = (condition.value, item) {
            let mut binder = ExprBinder::scalar(&left.scope, self.dialect, "IN");
            binder.start = place;
            let equal = equal(binder.bind(value)?, item, place)?;
            // NOT IN is not true where the comparison is null.
            conjuncts.push(match condition.is_negated {
                false => equal,
                true => {
                    let no = Expr::literal(Literal::Boolean(false), DataType::Boolean);
                    Expr::binary(BinaryOp::IsDistinctFrom, equal, no, DataType::Boolean)
                }
            });
        }
        let (kind, name) = match (condition.is_negated, condition.value) {
            (false, Some(_)) => (JoinKind::Semi, "IN (SELECT …)"),
            (false, None) => (JoinKind::Semi, "EXISTS"),
            (true, Some(_)) => (JoinKind::Anti, "NOT IN (SELECT …)"),
            (true, None) => (JoinKind::Anti, "NOT EXISTS"),
        };
        self.join(
            left,
            Joined {
                kind,
                right,
                conjuncts,
                is_lookup: false,
                place,
                name,
            },
        )
    }

    /// FROM and WHERE of a subquery that reads columns of `left` too, and the column that it selects.
    fn bind_correlated(
        &self,
        left: &Bound,
        condition: &Subquery<'_>,
        place: Place,
    ) -> Result<(Bound, Vec<Expr>, Option<Expr>)> {
        let select = plain_select(condition.query, place)?;
        let right = self.bind_from(&select.from, place, &mut vec![])?;
        let scalar = |clause: &'static str| {
            let mut binder = ExprBinder::scalar(&right.scope, self.dialect, clause);
            binder.outer = Some(&left.scope);
            binder.start = place;
            binder
        };
        let conjuncts = match &select.selection {
            Some(predicate) => split(scalar("WHERE").condition(predicate)?),
            None => vec![],
        };
        if condition.value.is_none() {
            return Ok((right, conjuncts, None));
        }
        let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
            select.projection.as_slice()
        else {
            let message = "a subquery after IN selects one expression";
            return Err(Fault::at(place, message));
        };
        let item = scalar("SELECT").bind(expr)?;
        Ok((right, conjuncts, Some(item)))
    }
}

/// A SELECT with nothing but FROM and WHERE.
fn plain_select(query: &ast::Query, place: Place) -> Result<&ast::Select> {
    let unsupported =
        || Fault::unsupported(place, "this subquery with columns of the outer query is");
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(unsupported());
    };
    let ungrouped = match &select.group_by {
        GroupByExpr::Expressions(exprs, _) => exprs.is_empty(),
        GroupByExpr::All(_) => false,
    };
    let plain = ungrouped
        && select.having.is_none()
        && select.distinct.is_none()
        && query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none();
    match plain {
        true => Ok(select),
        false => Err(unsupported()),
    }
}
