//! What stands after FROM: tables, joins, UNNEST.

use sqlparser::ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor};

use crate::diagnostic::{Fault, Place, Result};
use crate::query::unnest::UnnestCall;
use crate::query::{Bound, QueryBinder};

impl QueryBinder<'_> {
    /// Binds what stands after FROM.
    pub(super) fn bind_from(&self, from: &[ast::TableWithJoins], place: Place) -> Result<Bound> {
        let [first, others @ ..] = from else {
            return Err(Fault::unsupported(place, "a SELECT without FROM is"));
        };
        let mut bound = self.bind_factor(&first.relation)?;
        let none = JoinOperator::CrossJoin(JoinConstraint::None);
        let mut joined: Vec<(&TableFactor, &JoinOperator)> = vec![];
        joined.extend(
            first
                .joins
                .iter()
                .map(|it| (&it.relation, &it.join_operator)),
        );
        for table in others {
            joined.push((&table.relation, &none));
            joined.extend(
                table
                    .joins
                    .iter()
                    .map(|it| (&it.relation, &it.join_operator)),
            );
        }
        for (relation, operator) in joined {
            crate::rel::depth::check(&bound.rel, relation.span().start)?;
            bound = match unnest_call(relation, operator)? {
                Some(call) => self.bind_unnest(bound, &call)?,
                None => return Err(refused(relation)),
            };
        }
        Ok(bound)
    }
}

fn refused(relation: &TableFactor) -> Fault {
    let place = relation.span();
    match relation {
        TableFactor::Table {
            name,
            args: Some(_),
            ..
        } => Fault::unsupported(place, format!("a join with function `{name}` is")),
        TableFactor::Table {
            version: Some(_), ..
        } => Fault::unsupported(place, "a lookup join (`FOR SYSTEM_TIME AS OF`) is"),
        _ => Fault::unsupported(place, "a join is"),
    }
}

/// What is joined, if that is an UNNEST.
fn unnest_call<'a>(
    relation: &'a TableFactor,
    operator: &JoinOperator,
) -> Result<Option<UnnestCall<'a>>> {
    let TableFactor::Table {
        name,
        args: Some(args),
        alias,
        with_ordinality,
        ..
    } = relation
    else {
        return Ok(None);
    };
    let place = name.span().start;
    if !name.to_string().eq_ignore_ascii_case("UNNEST") {
        return Ok(None);
    }
    let (constraint, outer) = match operator {
        JoinOperator::Join(it) | JoinOperator::Inner(it) | JoinOperator::CrossJoin(it) => {
            (it, false)
        }
        JoinOperator::Left(it) | JoinOperator::LeftOuter(it) => (it, true),
        _ => return Err(Fault::unsupported(place, "this join with `UNNEST` is")),
    };
    let is_plain = match constraint {
        JoinConstraint::None => !outer,
        JoinConstraint::On(ast::Expr::Value(value)) => value.value == ast::Value::Boolean(true),
        _ => false,
    };
    if !is_plain {
        let fault = Fault::unsupported(place, "a join with `UNNEST` on a condition is");
        return Err(fault.help("write ON TRUE, and the condition in WHERE"));
    }
    Ok(Some(UnnestCall {
        args: &args.args,
        ordinality: *with_ordinality,
        alias: alias.as_ref(),
        outer,
        place,
    }))
}
