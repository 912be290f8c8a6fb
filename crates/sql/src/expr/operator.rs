//! Operators: logic, comparison, arithmetic, LIKE, BETWEEN, IS.

use arrow::datatypes::{DataType, TimeUnit};
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};
use millstream_core::pattern::like;
use millstream_core::types::sql_name;
use sqlparser::ast::{self, BinaryOperator, UnaryOperator};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::functions::Argument;
use crate::types::{
    Arithmetic, arithmetic_types, common_type, convert, is_comparable, is_number, is_temporal,
    is_timestamp,
};

impl ExprBinder<'_> {
    /// Binds `expr` if it is an operator.
    pub(super) fn bind_operator(&mut self, expr: &ast::Expr) -> Result<Option<Expr>> {
        use ast::Expr as E;
        Ok(Some(match expr {
            E::BinaryOp { left, op, right } => self.bind_binary(left, op, right)?,
            E::UnaryOp { op, expr } => self.bind_unary(*op, expr)?,
            E::IsNull(input) | E::IsUnknown(input) => self.is_null(input, false)?,
            E::IsNotNull(input) | E::IsNotUnknown(input) => self.is_null(input, true)?,
            E::IsTrue(input) => self.is_value(input, BinaryOp::IsNotDistinctFrom, true)?,
            E::IsNotTrue(input) => self.is_value(input, BinaryOp::IsDistinctFrom, true)?,
            E::IsFalse(input) => self.is_value(input, BinaryOp::IsNotDistinctFrom, false)?,
            E::IsNotFalse(input) => self.is_value(input, BinaryOp::IsDistinctFrom, false)?,
            E::IsDistinctFrom(left, right) => {
                self.compare(BinaryOp::IsDistinctFrom, left, right)?
            }
            E::IsNotDistinctFrom(left, right) => {
                self.compare(BinaryOp::IsNotDistinctFrom, left, right)?
            }
            E::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let low = self.compare(BinaryOp::GreaterOrEqual, expr, low)?;
                let high = self.compare(BinaryOp::LessOrEqual, expr, high)?;
                let within = Expr::binary(BinaryOp::And, low, high, DataType::Boolean);
                if *negated { not(within) } else { within }
            }
            E::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => {
                let escape = self.escape_character(escape_char.as_ref())?;
                self.bind_like(expr, pattern, (*negated, escape))?
            }
            _ => return Ok(None),
        }))
    }

    fn bind_binary(
        &mut self,
        left: &ast::Expr,
        operator: &BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Expr> {
        let (binary, arithmetic) = match operator {
            BinaryOperator::And | BinaryOperator::Or => {
                let op = match operator {
                    BinaryOperator::And => BinaryOp::And,
                    _ => BinaryOp::Or,
                };
                let clause = std::mem::replace(&mut self.clause, op.symbol());
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                self.clause = clause;
                return Ok(Expr::binary(op, left, right, DataType::Boolean));
            }
            BinaryOperator::Eq => return self.compare(BinaryOp::Equal, left, right),
            BinaryOperator::NotEq => return self.compare(BinaryOp::NotEqual, left, right),
            BinaryOperator::Lt => return self.compare(BinaryOp::Less, left, right),
            BinaryOperator::LtEq => return self.compare(BinaryOp::LessOrEqual, left, right),
            BinaryOperator::Gt => return self.compare(BinaryOp::Greater, left, right),
            BinaryOperator::GtEq => return self.compare(BinaryOp::GreaterOrEqual, left, right),
            BinaryOperator::StringConcat => return self.concat(left, right),
            BinaryOperator::Overlaps => return self.bind_overlaps(left, right),
            BinaryOperator::Plus => (BinaryOp::Add, Arithmetic::Sum),
            BinaryOperator::Minus => (BinaryOp::Subtract, Arithmetic::Sum),
            BinaryOperator::Multiply => (BinaryOp::Multiply, Arithmetic::Product),
            BinaryOperator::Divide => (BinaryOp::Divide, Arithmetic::Quotient),
            BinaryOperator::Modulo => (BinaryOp::Modulo, Arithmetic::Remainder),
            other => {
                let place = self.start;
                return Err(Fault::unsupported(place, format!("operator `{other}` is")));
            }
        };
        let place = self.start;
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        arithmetic_expr((binary, arithmetic), left, right, place)
    }

    /// `(from, to) OVERLAPS (from, to)`
    fn bind_overlaps(&mut self, left: &ast::Expr, right: &ast::Expr) -> Result<Expr> {
        let mut args = vec![];
        for side in [left, right] {
            let place = self.place(side);
            let ast::Expr::Tuple(ends) = side else {
                return Err(Fault::at(place, "`OVERLAPS`: expected (from, to)"));
            };
            let [from, to] = ends.as_slice() else {
                let message = format!(
                    "`OVERLAPS`: found {} values, expected (from, to)",
                    ends.len()
                );
                return Err(Fault::at(place, message));
            };
            args.extend(self.bind_arguments(&[from, to])?);
        }
        let is_clock = |arg: &Argument| matches!(arg.expr.data_type, DataType::Time32(_));
        let clocks = is_clock(&args[0]);
        for (index, arg) in args.iter().enumerate() {
            let found = &arg.expr.data_type;
            let fits = (is_temporal(found) && is_clock(arg) == clocks)
                || (index % 2 == 1 && is_interval(found));
            if !fits {
                let expected = if clocks {
                    "a TIME"
                } else {
                    "a date or a timestamp"
                };
                let found = sql_name(found);
                let message = format!("`OVERLAPS`: found {found}, expected {expected}");
                return Err(Fault::at(arg.place, message));
            }
        }
        let args = args.into_iter().map(|arg| arg.expr).collect();
        Ok(Expr::call("OVERLAPS", args, DataType::Boolean))
    }

    fn concat(&mut self, left: &ast::Expr, right: &ast::Expr) -> Result<Expr> {
        let signature = crate::functions::find("CONCAT").expect("CONCAT is in the table");
        let args = self.bind_arguments(&[left, right])?;
        signature.call(self.start, args)
    }

    /// `left op right` with both converted to what they have in common.
    pub(super) fn compare(
        &mut self,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Result<Expr> {
        let place = self.place(left);
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        compare_exprs(op, left, right, place)
    }

    fn is_null(&mut self, input: &ast::Expr, negated: bool) -> Result<Expr> {
        let input = Box::new(self.bind(input)?);
        Ok(Expr {
            kind: ExprKind::IsNull { input, negated },
            data_type: DataType::Boolean,
        })
    }

    fn is_value(&mut self, input: &ast::Expr, op: BinaryOp, value: bool) -> Result<Expr> {
        let clause = std::mem::replace(&mut self.clause, "IS TRUE or IS FALSE");
        let input = self.condition(input)?;
        self.clause = clause;
        let value = Expr::literal(Literal::Boolean(value), DataType::Boolean);
        Ok(Expr::binary(op, input, value, DataType::Boolean))
    }

    fn bind_unary(&mut self, operator: UnaryOperator, expr: &ast::Expr) -> Result<Expr> {
        match operator {
            UnaryOperator::Not => {
                let clause = std::mem::replace(&mut self.clause, "NOT");
                let input = self.condition(expr)?;
                self.clause = clause;
                Ok(not(input))
            }
            UnaryOperator::Plus | UnaryOperator::Minus => {
                let place = self.place(expr);
                let input = self.bind(expr)?;
                if !is_number(&input.data_type) && !is_interval(&input.data_type) {
                    let found = sql_name(&input.data_type);
                    let message = format!("found {found} after `{operator}`, expected a number");
                    return Err(Fault::at(place, message));
                }
                match operator {
                    UnaryOperator::Plus => Ok(input),
                    _ => Ok(negate(input)),
                }
            }
            other => Err(Fault::unsupported(
                self.start,
                format!("operator `{other}` is"),
            )),
        }
    }

    /// The character after ESCAPE; none without it, or if it is empty.
    pub(super) fn escape_character(&self, escape: Option<&ast::Value>) -> Result<Option<char>> {
        match escape {
            None => Ok(None),
            Some(ast::Value::SingleQuotedString(text)) => like::escape_character(text)
                .map_err(|error| Fault::at(self.start, error.to_string())),
            Some(other) => {
                let message = format!("found `{other}` after ESCAPE, expected one character");
                Err(Fault::at(self.start, message))
            }
        }
    }

    fn bind_like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        (negated, escape): (bool, Option<char>),
    ) -> Result<Expr> {
        let mut sides = self.bind_arguments(&[expr, pattern])?;
        for side in &mut sides {
            let found = &side.expr.data_type;
            if !matches!(found, DataType::Utf8 | DataType::Null) {
                let message = format!("found {} in LIKE, expected STRING", sql_name(found));
                return Err(Fault::at(side.place, message));
            }
        }
        let pattern = sides.pop().expect("LIKE has two sides");
        let input = sides.pop().expect("LIKE has two sides");
        Ok(Expr {
            kind: ExprKind::Like {
                input: Box::new(convert(input.expr, &DataType::Utf8)),
                pattern: Box::new(with_backslashes(pattern, escape)?),
                negated,
            },
            data_type: DataType::Boolean,
        })
    }
}

/// The pattern as a plan has it, in which a backslash escapes.
fn with_backslashes(pattern: Argument, escape: Option<char>) -> Result<Expr> {
    let text = |text: &str| Expr::literal(Literal::String(text.to_owned()), DataType::Utf8);
    let Argument { expr, place } = pattern;
    match &expr.kind {
        ExprKind::Literal(Literal::String(value)) => {
            let pattern = like::with_backslashes(value, escape);
            let pattern = pattern.map_err(|error| Fault::at(place, error.to_string()))?;
            Ok(text(&pattern))
        }
        ExprKind::Literal(_) => Ok(convert(expr, &DataType::Utf8)),
        _ => {
            let escape = escape.map_or(String::new(), String::from);
            let args = vec![expr, text(&escape)];
            Ok(Expr::call("LIKE_PATTERN", args, DataType::Utf8))
        }
    }
}

/// `NOT input`
pub(super) fn not(input: Expr) -> Expr {
    Expr {
        kind: ExprKind::Not(Box::new(input)),
        data_type: DataType::Boolean,
    }
}

fn negate(input: Expr) -> Expr {
    let data_type = input.data_type.clone();
    let literal = match &input.kind {
        ExprKind::Literal(Literal::Int(value)) => value.checked_neg().map(Literal::Int),
        ExprKind::Literal(Literal::Float(value)) => Some(Literal::Float(-value)),
        ExprKind::Literal(Literal::Decimal(value)) => Some(Literal::Decimal(-value)),
        ExprKind::Literal(Literal::Interval(value)) => value.checked_neg().map(Literal::Interval),
        _ => None,
    };
    match literal {
        Some(literal) => Expr::literal(literal, data_type),
        None => Expr {
            kind: ExprKind::Negate(Box::new(input)),
            data_type,
        },
    }
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Duration(TimeUnit::Millisecond))
}

fn arithmetic_expr(
    (binary, arithmetic): (BinaryOp, Arithmetic),
    left: Expr,
    right: Expr,
    place: Place,
) -> Result<Expr> {
    let is_shift = matches!(binary, BinaryOp::Add | BinaryOp::Subtract);
    if is_shift && is_timestamp(&left.data_type) && is_interval(&right.data_type) {
        let data_type = left.data_type.clone();
        return Ok(Expr::binary(binary, left, right, data_type));
    }
    let swapped = is_timestamp(&right.data_type) && is_interval(&left.data_type);
    if binary == BinaryOp::Add && swapped {
        let data_type = right.data_type.clone();
        return Ok(Expr::binary(binary, right, left, data_type));
    }
    let Some((operands, result)) = arithmetic_types(arithmetic, &left.data_type, &right.data_type)
    else {
        let (l, r) = (sql_name(&left.data_type), sql_name(&right.data_type));
        let message = format!("found {l} {} {r}, expected numbers", binary.symbol());
        let fault = Fault::at(place, message);
        let both_times = is_temporal(&left.data_type) && is_temporal(&right.data_type);
        return Err(match (both_times, &left.data_type) {
            (true, _) => fault.help("use TIMESTAMPDIFF(unit, from, to)"),
            (_, DataType::Utf8) if binary == BinaryOp::Add => fault.help("strings join with `||`"),
            (_, DataType::Date32) => fault.help("cast the DATE to TIMESTAMP(3)"),
            _ => fault,
        });
    };
    let (left, right) = (convert(left, &operands), convert(right, &operands));
    let is_decimal = matches!(operands, DataType::Decimal128(..));
    let computed = if is_decimal { result.clone() } else { operands };
    Ok(convert(
        Expr::binary(binary, left, right, computed),
        &result,
    ))
}

/// `left = right` with both converted to what they have in common.
pub(crate) fn equal(left: Expr, right: Expr, place: Place) -> Result<Expr> {
    compare_exprs(BinaryOp::Equal, left, right, place)
}

/// `left op right` with both converted to what they have in common.
pub(super) fn compare_exprs(op: BinaryOp, left: Expr, right: Expr, place: Place) -> Result<Expr> {
    let common = match is_constant_text(&left) {
        true => comparison_type(&right.data_type, &left, place)?,
        false => comparison_type(&left.data_type, &right, place)?,
    };
    let (left, right) = (convert(left, &common), convert(right, &common));
    Ok(Expr::binary(op, left, right, DataType::Boolean))
}

fn is_constant_text(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(Literal::String(_)))
}

/// The type in which values of `left` and `right` are compared. A constant string is read as a
/// date or time beside one; between strings and numbers nothing is guessed.
pub(super) fn comparison_type(left: &DataType, right: &Expr, place: Place) -> Result<DataType> {
    let found = &right.data_type;
    if is_temporal(left) && is_constant_text(right) {
        return Ok(left.clone());
    }
    let common = common_type(left, found).filter(is_comparable);
    common.ok_or_else(|| {
        let (l, r) = (sql_name(left), sql_name(found));
        let fault = Fault::at(place, format!("cannot compare {l} with {r}"));
        let other = if *left == DataType::Utf8 { found } else { left };
        let text = *left == DataType::Utf8 || *found == DataType::Utf8;
        match text && is_comparable(other) {
            true => fault.help(format!("write CAST(… AS {})", sql_name(other))),
            false => fault,
        }
    })
}
