//! Functions that look at more than their row: the clock, chance, the watermark.

use arrow::datatypes::{DataType, TimeUnit};
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::surroundings::{Looks, looks};
use millstream_core::types::{timestamp, timestamp_ltz};
use sqlparser::ast;

use super::ExprBinder;
use crate::diagnostic::{Fault, Place, Result};
use crate::functions::{Argument, check_count};
use crate::scope::Role;
use crate::types::{convert, is_integer};

/// Their names.
pub(crate) const NAMES: &[&str] = &[
    "PROCTIME",
    "NOW",
    "CURRENT_TIMESTAMP",
    "CURRENT_ROW_TIMESTAMP",
    "LOCALTIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIME",
    "RAND",
    "RAND_INTEGER",
    "UUID",
    "CURRENT_WATERMARK",
];

/// Clauses that may look at rows only: what they compute is compared with what was computed before, or
/// is nothing that happens when rows come by.
const ROWS_ONLY: [&str; 7] = [
    "ON",
    "GROUP BY",
    "ORDER BY",
    "OVER",
    "WATERMARK",
    "FOR SYSTEM_TIME AS OF",
    "UNNEST",
];

impl ExprBinder<'_> {
    /// Binds a call of one of them; none if `name` is another function.
    pub(super) fn bind_looking(
        &mut self,
        name: &str,
        args: &[&ast::Expr],
        place: Place,
    ) -> Result<Option<Expr>> {
        let Some(looks) = looks(name, args.len()) else {
            return Ok(None);
        };
        if ROWS_ONLY.contains(&self.whole) {
            let what = format!("`{name}` in {} is", self.whole);
            let fault = Fault::unsupported(place, what);
            return Err(fault.help("compute it in the SELECT of a subquery"));
        }
        match looks {
            Looks::AtClock => {
                check_count(name, place, args.len(), (0, 0))?;
                Ok(Some(Expr::call(name, vec![], clock_type(name))))
            }
            Looks::AtChance => self.bind_chance(name, args, place).map(Some),
            Looks::AtWatermark => self.bind_watermark(args, place).map(Some),
        }
    }

    fn bind_chance(&mut self, name: &str, args: &[&ast::Expr], place: Place) -> Result<Expr> {
        let (count, data_type) = match name {
            "UUID" => ((0, 0), DataType::Utf8),
            "RAND" => ((0, 1), DataType::Float64),
            _ => ((1, 2), DataType::Int32),
        };
        check_count(name, place, args.len(), count)?;
        let mut bound = vec![];
        let seeds = args.len() - usize::from(name == "RAND_INTEGER");
        for (index, Argument { expr, place }) in self.bind_arguments(args)?.into_iter().enumerate()
        {
            let wrong = |expected: &str| {
                let message = format!("argument {} of `{name}`: expected {expected}", index + 1);
                Err(Fault::at(place, message))
            };
            if !is_integer(&expr.data_type) && expr.data_type != DataType::Null {
                return wrong("an INT");
            }
            let is_constant = matches!(constant(&expr), ExprKind::Literal(_));
            if index < seeds && !is_constant {
                return wrong("a constant as the seed");
            }
            bound.push(convert(expr, &DataType::Int64));
        }
        Ok(Expr::call(name, bound, data_type))
    }

    fn bind_watermark(&mut self, args: &[&ast::Expr], place: Place) -> Result<Expr> {
        let name = "CURRENT_WATERMARK";
        check_count(name, place, args.len(), (1, 1))?;
        if self.whole == "a computed column" {
            let what = format!("`{name}` in {} is", self.whole);
            return Err(Fault::unsupported(place, what));
        }
        let time = self.bind(args[0])?;
        let role = time.as_column().map(|index| self.scope.columns[index].role);
        if role != Some(Role::EventTime) {
            let message = format!(
                "argument 1 of `{name}`: found `{}`, expected the event time of a table",
                args[0]
            );
            return Err(Fault::at(self.place(args[0]), message));
        }
        let zone = match &time.data_type {
            DataType::Timestamp(_, zone) => zone.clone(),
            other => unreachable!("an event time is a timestamp, not {other}"),
        };
        let data_type = DataType::Timestamp(TimeUnit::Millisecond, zone);
        Ok(Expr::call(name, vec![time], data_type))
    }
}

/// What is under conversions and signs.
fn constant(expr: &Expr) -> &ExprKind {
    match &expr.kind {
        ExprKind::Cast { input, .. } | ExprKind::Negate(input) => constant(input),
        kind => kind,
    }
}

fn clock_type(name: &str) -> DataType {
    match name {
        "LOCALTIMESTAMP" => timestamp(3),
        "CURRENT_DATE" => DataType::Date32,
        "CURRENT_TIME" | "LOCALTIME" => DataType::Time32(TimeUnit::Millisecond),
        "UNIX_TIMESTAMP" => DataType::Int64,
        _ => timestamp_ltz(3),
    }
}
