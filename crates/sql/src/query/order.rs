//! `ORDER BY` of a query: rows in the order of event time, as it passes.

use sqlparser::ast::{self, OrderByKind, Spanned};

use crate::diagnostic::{Fault, Result};
use crate::expr::ExprBinder;
use crate::expr::over::sort_by;
use crate::query::{Bound, QueryBinder};
use crate::rel::OverBy;
use crate::scope::Role;

impl QueryBinder<'_> {
    /// Sorts the rows of `bound`, whose columns ORDER BY can name.
    pub(super) fn bind_order(&self, bound: Bound, order_by: &ast::OrderBy) -> Result<Bound> {
        let place = order_by.span().start;
        let OrderByKind::Expressions(exprs) = &order_by.kind else {
            return Err(Fault::unsupported(place, "`ORDER BY ALL` is"));
        };
        let Bound { rel, mut scope } = bound;
        let mut binder = ExprBinder::scalar(&scope, self.dialect, "ORDER BY");
        binder.start = place;
        let order = exprs.iter().map(|by| sort_by(&mut binder, by));
        let mut order = order.collect::<Result<Vec<_>>>()?.into_iter();
        let first = order.next();
        let time_column = first.as_ref().and_then(|by| {
            let column = by.expr.as_column()?;
            let domain = scope.columns[column].role.domain()?;
            (!by.descending).then_some((column, domain))
        });
        let Some((time_column, domain)) = time_column else {
            let what = "`ORDER BY` of anything but the event time, ascending, is";
            let help = "ORDER BY the event time or window_time first; \
                        results in a table have no order: sort when you read them";
            return Err(Fault::unsupported(place, what).help(help));
        };
        // Another time can be older than what has come out already.
        for (index, column) in scope.columns.iter_mut().enumerate() {
            if index != time_column && column.role.domain().is_some() {
                column.role = Role::Plain;
            }
        }
        let rel = rel.over(OverBy {
            keys: vec![],
            time_column,
            domain,
            order: order.collect(),
            calls: vec![],
            needs_ttl: None,
        });
        Ok(Bound { rel, scope })
    }
}
