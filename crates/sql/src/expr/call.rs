//! Calls of scalar functions, and the forms that SQL gives some of them a grammar of their own for.

use arrow::datatypes::DataType;
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};
use millstream_core::types::{sql_name, timestamp};
use sqlparser::ast::{
    self, CeilFloorKind, DateTimeField, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
    TrimWhereField,
};

use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::json::MAP;
use crate::expr::{ExprBinder, case, constants, null};
use crate::functions::{self, Argument, check_count};
use crate::types::{common_type, convert, is_integer, is_temporal, is_timestamp};

const UNITS: &[&str] = &[
    "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND",
];

/// A function's name in upper case.
pub(super) fn name(function: &ast::Function) -> Result<String> {
    let place = function.name.span().start;
    if !function.within_group.is_empty() {
        return Err(Fault::unsupported(place, "`WITHIN GROUP` is"));
    }
    if function.parameters != FunctionArguments::None {
        return Err(Fault::unsupported(place, "a call with two lists is"));
    }
    match function.name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] => Ok(name.value.to_uppercase()),
        _ => Err(Fault::unsupported(
            place,
            format!("function `{}` is", function.name),
        )),
    }
}

/// The arguments of a function without `*`, names and clauses.
pub(super) fn arguments<'a>(function: &'a ast::Function, name: &str) -> Result<Vec<&'a ast::Expr>> {
    let place = function.name.span().start;
    if let Some(clause) = &function.null_treatment {
        return Err(Fault::unsupported(place, format!("`{clause}` is")));
    }
    let list = match &function.args {
        FunctionArguments::None => return Ok(vec![]),
        FunctionArguments::Subquery(_) => {
            return Err(Fault::unsupported(place, "a subquery in an expression is"));
        }
        FunctionArguments::List(list) => list,
    };
    if list.duplicate_treatment.is_some() {
        return Err(Fault::at(
            place,
            format!("DISTINCT in `{name}`, expected an aggregate function"),
        ));
    }
    if let Some(clause) = list.clauses.first() {
        return Err(Fault::unsupported(
            place,
            format!("`{clause}` in a call is"),
        ));
    }
    let exprs = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        FunctionArg::Unnamed(_) => Err(Fault::at(place, format!("`*` in `{name}`"))),
        _ => Err(Fault::unsupported(
            place,
            format!("a named argument of `{name}` is"),
        )),
    });
    exprs.collect()
}

impl ExprBinder<'_> {
    /// Binds each argument.
    pub(super) fn bind_arguments(&mut self, args: &[&ast::Expr]) -> Result<Vec<Argument>> {
        let bind = |arg: &&ast::Expr| {
            let place = self.place(arg);
            let expr = self.bind(arg)?;
            Ok(Argument { expr, place })
        };
        args.iter().map(bind).collect()
    }

    fn call(&mut self, name: &str, args: &[&ast::Expr]) -> Result<Expr> {
        let place = self.start;
        let args = self.bind_arguments(args)?;
        call_bound(name, args, place)
    }

    /// Binds `EXTRACT(… FROM …)`, `TRIM(… FROM …)` and their like.
    pub(super) fn bind_named_call(&mut self, expr: &ast::Expr) -> Result<Option<Expr>> {
        use ast::Expr as E;
        Ok(Some(match expr {
            E::Extract { field, expr, .. } => {
                let name = extract_function(field, self.start)?;
                self.call(name, &[expr])?
            }
            E::Floor { expr, field } => self.bind_rounding(expr, field, ("FLOOR", "FLOOR_TO"))?,
            E::Ceil { expr, field } => self.bind_rounding(expr, field, ("CEIL", "CEIL_TO"))?,
            E::Position { expr, r#in } => self.call("LOCATE", &[expr, r#in])?,
            E::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let mut args: Vec<&ast::Expr> = vec![expr, from];
                args.extend(substring_for.as_deref());
                self.call("SUBSTRING", &args)?
            }
            E::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut args: Vec<&ast::Expr> = vec![expr, overlay_what, overlay_from];
                args.extend(overlay_for.as_deref());
                self.call("OVERLAY", &args)?
            }
            E::SimilarTo {
                negated,
                expr,
                pattern,
                escape_char,
            } => {
                let similar = self.bind_similar(&[expr, pattern], escape_char.as_ref())?;
                match negated {
                    true => super::operator::not(similar),
                    false => similar,
                }
            }
            E::Substring { .. } => {
                return Err(Fault::at(
                    self.start,
                    "`SUBSTRING` without FROM, expected where it begins",
                ));
            }
            E::Trim {
                expr,
                trim_where,
                trim_what,
                trim_characters: None,
            } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "LTRIM",
                    Some(TrimWhereField::Trailing) => "RTRIM",
                    Some(TrimWhereField::Both) | None => "TRIM",
                };
                let mut args: Vec<&ast::Expr> = vec![expr];
                args.extend(trim_what.as_deref());
                self.call(name, &args)?
            }
            _ => return Ok(None),
        }))
    }

    fn bind_similar(&mut self, sides: &[&ast::Expr], escape: Option<&ast::Value>) -> Result<Expr> {
        let mut args = self.bind_arguments(sides)?;
        if let Some(escape) = self.escape_character(escape)? {
            let escape = Literal::String(escape.to_string());
            let expr = Expr::literal(escape, DataType::Utf8);
            let place = self.start;
            args.push(Argument { expr, place });
        }
        call_bound("SIMILAR_TO", args, self.start)
    }

    /// STARTSWITH or ENDSWITH, of texts or of bytes.
    fn bind_affix(&mut self, name: &str, args: &[&ast::Expr], place: Place) -> Result<Expr> {
        let args = self.bind_arguments(args)?;
        let is_bytes = |arg: &Argument| arg.expr.data_type == DataType::Binary;
        if !args.iter().all(is_bytes) {
            return call_bound(name, args, place);
        }
        let args = args.into_iter().map(|arg| arg.expr).collect();
        Ok(Expr::call(name, args, DataType::Boolean))
    }

    /// `FLOOR(number)` or `FLOOR(time TO unit)`.
    fn bind_rounding(
        &mut self,
        expr: &ast::Expr,
        field: &CeilFloorKind,
        (number, time): (&'static str, &'static str),
    ) -> Result<Expr> {
        let place = self.start;
        let unit = match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {
                return self.call(number, &[expr]);
            }
            CeilFloorKind::Scale(_) => {
                let fault = Fault::unsupported(place, format!("`{number}` with digits is"));
                return Err(fault.help("use ROUND or TRUNCATE"));
            }
            CeilFloorKind::DateTimeField(field) => unit_literal(&field.to_string(), place)?,
        };
        let input = self.bind(expr)?;
        let found = &input.data_type;
        if !is_temporal(found) {
            let found = sql_name(found);
            let message = format!("found {found}, expected a date, a time or a timestamp");
            return Err(Fault::at(self.place(expr), message));
        }
        let of_clock = ["HOUR", "MINUTE", "SECOND"];
        let fits = constants::text(&unit).is_some_and(|unit| of_clock.contains(&unit));
        if matches!(found, DataType::Time32(_)) && !fits {
            let message = "a TIME is rounded to HOUR, MINUTE or SECOND";
            return Err(Fault::at(self.place(expr), message));
        }
        let data_type = found.clone();
        Ok(Expr::call(time, vec![input, unit], data_type))
    }

    /// Binds functions that a signature does not describe.
    pub(super) fn bind_special(
        &mut self,
        name: &str,
        args: &[&ast::Expr],
        place: Place,
    ) -> Result<Option<Expr>> {
        let count = |least, most| check_count(name, place, args.len(), (least, most));
        Ok(Some(match name {
            "IF" => {
                count(3, 3)?;
                let condition = self.condition(args[0])?;
                let (then, otherwise) = (self.bind(args[1])?, self.bind(args[2])?);
                case(vec![(condition, then)], Some(otherwise), place)?
            }
            "NULLIF" => {
                count(2, 2)?;
                let equal = self.compare(BinaryOp::Equal, args[0], args[1])?;
                let value = self.bind(args[0])?;
                case(vec![(equal, null())], Some(value), place)?
            }
            "IFNULL" => {
                count(2, 2)?;
                self.call("COALESCE", args)?
            }
            "MOD" => {
                count(2, 2)?;
                let remainder = ast::BinaryOperator::Modulo;
                let (left, right) = (Box::new(args[0].clone()), Box::new(args[1].clone()));
                let op = remainder;
                self.bind(&ast::Expr::BinaryOp { left, op, right })?
            }
            "INSTR" => {
                count(2, 2)?;
                self.call("LOCATE", &[args[1], args[0]])?
            }
            "DATE_FORMAT" => {
                count(2, 2)?;
                let mut args = self.bind_arguments(args)?;
                args[0].expr = readable_as_timestamp(args[0].expr.clone());
                call_bound(name, args, place)?
            }
            "TO_TIMESTAMP_LTZ" => {
                count(1, 3)?;
                self.bind_to_timestamp_ltz(args, place)?
            }
            "STARTSWITH" | "ENDSWITH" => {
                count(2, 2)?;
                self.bind_affix(name, args, place)?
            }
            "TYPEOF" => {
                count(1, 1)?;
                let found = sql_name(&self.bind(args[0])?.data_type);
                Expr::literal(Literal::String(found), DataType::Utf8)
            }
            "TIMESTAMPDIFF" => {
                count(3, 3)?;
                self.bind_timestamp_diff(args)?
            }
            "TIMESTAMPADD" => {
                count(3, 3)?;
                self.bind_timestamp_add(args)?
            }
            MAP => self.bind_map(args, place)?,
            _ => {
                if let Some(bound) = self.bind_looking(name, args, place)? {
                    return Ok(Some(bound));
                }
                return match self.bind_json(name, args, place)? {
                    Some(bound) => Ok(Some(bound)),
                    None => self.bind_collection(name, args, place),
                };
            }
        }))
    }

    fn bind_to_timestamp_ltz(&mut self, args: &[&ast::Expr], place: Place) -> Result<Expr> {
        let mut args = self.bind_arguments(args)?;
        if args[0].expr.data_type == DataType::Utf8 {
            return call_bound("TEXT_TO_TIMESTAMP_LTZ", args, place);
        }
        check_count("TO_TIMESTAMP_LTZ", place, args.len(), (1, 2))?;
        match args.get(1).map(|precision| &precision.expr.kind) {
            None => args.push(Argument {
                expr: Expr::literal(Literal::Int(3), DataType::Int32),
                place,
            }),
            Some(ExprKind::Literal(Literal::Int(0 | 3))) => {}
            Some(_) => {
                let message = "argument 2 of `TO_TIMESTAMP_LTZ`: expected 0 for seconds or 3 for milliseconds";
                return Err(Fault::at(args[1].place, message));
            }
        }
        call_bound("TO_TIMESTAMP_LTZ", args, place)
    }

    /// `TIMESTAMPDIFF(unit, from, to)`.
    fn bind_timestamp_diff(&mut self, args: &[&ast::Expr]) -> Result<Expr> {
        let unit = self.unit_argument(args[0])?;
        let (from, to) = (self.timestamp(args[1])?, self.timestamp(args[2])?);
        let common = common_type(&from.data_type, &to.data_type).expect("both are timestamps");
        let args = vec![unit, convert(from, &common), convert(to, &common)];
        Ok(Expr::call("TIMESTAMPDIFF", args, DataType::Int32))
    }

    /// `TIMESTAMPADD(unit, number, time)`.
    fn bind_timestamp_add(&mut self, args: &[&ast::Expr]) -> Result<Expr> {
        let unit = self.unit_argument(args[0])?;
        let place = self.place(args[1]);
        let number = self.bind(args[1])?;
        if !is_integer(&number.data_type) {
            let found = sql_name(&number.data_type);
            let message = format!("argument 2 of `TIMESTAMPADD`: found {found}, expected BIGINT");
            return Err(Fault::at(place, message));
        }
        let time = self.timestamp(args[2])?;
        let data_type = time.data_type.clone();
        let args = vec![unit, convert(number, &DataType::Int64), time];
        Ok(Expr::call("TIMESTAMPADD", args, data_type))
    }

    fn unit_argument(&self, expr: &ast::Expr) -> Result<Expr> {
        let place = self.place(expr);
        match expr {
            ast::Expr::Identifier(unit) => unit_literal(&unit.value, place),
            other => {
                let message = format!("found `{other}`, expected a unit of time");
                Err(Fault::at(place, message).near("", UNITS.iter().copied()))
            }
        }
    }

    fn timestamp(&mut self, expr: &ast::Expr) -> Result<Expr> {
        let place = self.place(expr);
        let bound = self.bind(expr)?;
        match &bound.data_type {
            found if is_timestamp(found) => Ok(bound),
            DataType::Date32 | DataType::Null => Ok(convert(bound, &timestamp(3))),
            found => {
                let message = format!("found {}, expected a timestamp", sql_name(found));
                Err(Fault::at(place, message))
            }
        }
    }
}

fn call_bound(name: &str, args: Vec<Argument>, place: Place) -> Result<Expr> {
    let signature = functions::find(name);
    let signature = signature.ok_or_else(|| functions::unknown(name, &[], place))?;
    signature.call(place, args)
}

/// A string or date as a timestamp; null where a string is none.
fn readable_as_timestamp(expr: Expr) -> Expr {
    match &expr.data_type {
        DataType::Utf8 => Expr {
            kind: ExprKind::Cast {
                input: Box::new(expr),
                safe: true,
            },
            data_type: timestamp(3),
        },
        DataType::Date32 => convert(expr, &timestamp(3)),
        _ => expr,
    }
}

/// The function that `EXTRACT(field FROM …)` stands for.
fn extract_function(field: &DateTimeField, place: Place) -> Result<&'static str> {
    Ok(match field {
        DateTimeField::Year => "YEAR",
        DateTimeField::Quarter => "QUARTER",
        DateTimeField::Month => "MONTH",
        DateTimeField::Week(None) => "WEEK",
        DateTimeField::Day => "DAYOFMONTH",
        DateTimeField::Dow => "DAYOFWEEK",
        DateTimeField::Doy => "DAYOFYEAR",
        DateTimeField::Hour => "HOUR",
        DateTimeField::Minute => "MINUTE",
        DateTimeField::Second => "SECOND",
        other => {
            let fault = Fault::unsupported(place, format!("`EXTRACT({other} FROM …)` is"));
            return Err(
                fault.help("use YEAR, QUARTER, MONTH, WEEK, DAY, DOW, DOY, HOUR, MINUTE or SECOND")
            );
        }
    })
}

/// A unit of time as a constant: in upper case, singular.
fn unit_literal(name: &str, place: Place) -> Result<Expr> {
    let upper = name.to_uppercase();
    let singular = upper.strip_suffix('S').unwrap_or(&upper);
    if UNITS.contains(&singular) {
        let unit = Literal::String(singular.to_owned());
        return Ok(Expr::literal(unit, DataType::Utf8));
    }
    let fault = Fault::at(place, format!("found `{name}`, expected a unit of time"));
    Err(fault.near(name, UNITS.iter().copied()))
}
