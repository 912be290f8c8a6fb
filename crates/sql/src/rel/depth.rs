//! How deep a bound query is. Views and subqueries are put in the place of their names, and what
//! they compute in the place of their columns, so short statements can add up to more than a stack
//! holds; each that is bound is measured, before the next is built on it.

use millstream_core::expr::Expr;

use super::{Rel, Step};
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
    let (input, exprs) = match &rel.step {
        Step::Scan(_) => return (1, 0),
        Step::Filter(input, predicate) => (input, of_expr(predicate)),
        Step::Project(input, exprs) => (input, deepest(exprs.iter())),
        Step::Window(input, _) => (input, 0),
        Step::Unnest(input, spec) => (input, of_expr(&spec.array)),
        Step::Join(left, right, spec) => {
            let (left, right) = (of_rel(left), of_rel(right));
            let keys = spec.keys.iter().flat_map(|key| [&key.left, &key.right]);
            let own = deepest(keys.chain(&spec.condition));
            return (left.0.max(right.0) + 1, own.max(left.1).max(right.1));
        }
        Step::Union(inputs) => {
            let depths = inputs.iter().map(of_rel);
            let deeper = |a: (usize, usize), b: (usize, usize)| (a.0.max(b.0), a.1.max(b.1));
            let (steps, exprs) = depths.fold((0, 0), deeper);
            return (steps + 1, exprs);
        }
        Step::Aggregate(input, group_by) => {
            let calls = group_by.calls.iter();
            let of_calls = calls.flat_map(|call| call.argument.iter().chain(&call.filter));
            (input, deepest(group_by.keys.iter().chain(of_calls)))
        }
        Step::Rank(input, by) => (input, deepest(by.exprs())),
        Step::Over(input, by) => {
            let of_calls = by.calls.iter().flat_map(|call| call.exprs());
            (input, deepest(by.exprs().chain(of_calls)))
        }
    };
    let (steps, below) = of_rel(input);
    (steps + 1, exprs.max(below))
}

fn deepest<'a>(exprs: impl Iterator<Item = &'a Expr>) -> usize {
    exprs.map(of_expr).max().unwrap_or(0)
}

fn of_expr(expr: &Expr) -> usize {
    1 + deepest(expr.children().into_iter())
}
