//! How deep a bound query is. Views and subqueries are put in the place of their names, and what
//! they compute in the place of their columns, so short statements can add up to more than a stack
//! holds; each that is bound is measured, before the next is built on it.

use millstream_core::expr::Expr;

use super::Rel;
use crate::diagnostic::{Fault, Place, Result};

/// Most steps on top of each other.
const STEPS_MAX: usize = 200;
/// Most expressions within each other; what a script itself may say is half of it, as each operator
/// can need a conversion.
const EXPRS_MAX: usize = 500;

/// Refuses a query that is too deep.
pub(crate) fn check(rel: &Rel, place: Place) -> Result<()> {
    let (steps, exprs) = of_rel(rel);
    let (found, most, what) = if steps > STEPS_MAX {
        (steps, STEPS_MAX, "steps on top of each other")
    } else if exprs > EXPRS_MAX {
        (exprs, EXPRS_MAX, "expressions within each other")
    } else {
        return Ok(());
    };
    let message = format!(
        "nested too deeply: found {found} {what} in this query and the views below it, expected at \
         most {most}"
    );
    Err(Fault::at(place, message))
}

/// Steps, and the deepest expression.
fn of_rel(rel: &Rel) -> (usize, usize) {
    let below = rel.inputs().into_iter().map(of_rel);
    let deeper = |a: (usize, usize), b: (usize, usize)| (a.0.max(b.0), a.1.max(b.1));
    let (steps, exprs) = below.fold((0, 0), deeper);
    let own = deepest(rel.exprs().into_iter());
    (steps + 1, exprs.max(own))
}

fn deepest<'a>(exprs: impl Iterator<Item = &'a Expr>) -> usize {
    exprs.map(of_expr).max().unwrap_or(0)
}

fn of_expr(expr: &Expr) -> usize {
    1 + deepest(expr.children().into_iter())
}
