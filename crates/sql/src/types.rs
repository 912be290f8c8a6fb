//! Flink's typing rules: common types, implicit and explicit conversions.
//!
//! Source: Flink's `LogicalTypeMerging` and `LogicalTypeCasts`. Every conversion becomes an
//! explicit cast, except that constants are converted here.

use arrow::datatypes::{DataType, TimeUnit};
use millstream_core::expr::{Expr, ExprKind, Literal};

const DECIMAL_PRECISION_MAX: i32 = 38;
const DECIMAL_SCALE_MIN: i32 = 6;

/// Whether it is TINYINT, SMALLINT, INT or BIGINT.
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    integer_digits(data_type).is_some()
}

/// Whether it is a number of any kind.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    is_integer(data_type)
        || matches!(
            data_type,
            DataType::Float32 | DataType::Float64 | DataType::Decimal128(..)
        )
}

/// Whether it is TIMESTAMP or TIMESTAMP_LTZ.
pub(crate) fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

/// Whether it is a date, a time or a timestamp.
pub(crate) fn is_temporal(data_type: &DataType) -> bool {
    is_timestamp(data_type) || matches!(data_type, DataType::Date32 | DataType::Time32(_))
}

/// Whether values can be compared, grouped and sorted.
pub(crate) fn is_comparable(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Struct(_) | DataType::List(_) | DataType::Map(..)
    )
}

/// Decimal digits that hold every value of an integer type.
fn integer_digits(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int8 => Some(3),
        DataType::Int16 => Some(5),
        DataType::Int32 => Some(10),
        DataType::Int64 => Some(19),
        _ => None,
    }
}

/// Precision and scale as a DECIMAL.
fn as_decimal(data_type: &DataType) -> Option<(i32, i32)> {
    match data_type {
        DataType::Decimal128(precision, scale) => Some((i32::from(*precision), i32::from(*scale))),
        other => integer_digits(other).map(|digits| (i32::from(digits), 0)),
    }
}

fn decimal(precision: i32, scale: i32) -> DataType {
    // Both are between 0 and 38 after `adjusted`.
    DataType::Decimal128(precision as u8, scale as i8)
}

/// Keeps the digits before the point when a DECIMAL would have more than 38, and at least 6 after.
fn adjusted(precision: i32, scale: i32) -> DataType {
    if precision <= DECIMAL_PRECISION_MAX {
        return decimal(precision.max(1), scale);
    }
    let whole = precision - scale;
    let least = scale.min(DECIMAL_SCALE_MIN);
    let scale = (DECIMAL_PRECISION_MAX - whole).max(least);
    decimal(DECIMAL_PRECISION_MAX, scale)
}

/// The type that holds the values of both, if there is one.
pub(crate) fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Float32, Float64, Null, Timestamp};
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (Timestamp(left, left_zone), Timestamp(right, right_zone)) => {
            let zone = left_zone.clone().or_else(|| right_zone.clone());
            Some(Timestamp(finer(*left, *right), zone))
        }
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            Some(Timestamp(*unit, zone.clone()))
        }
        _ if !is_number(left) || !is_number(right) => None,
        (Float64, _) | (_, Float64) => Some(Float64),
        (Float32, DataType::Decimal128(..)) | (DataType::Decimal128(..), Float32) => Some(Float64),
        (Float32, _) | (_, Float32) => Some(Float32),
        _ if is_integer(left) && is_integer(right) => {
            let wider = integer_digits(left) >= integer_digits(right);
            Some(if wider { left } else { right }.clone())
        }
        _ => {
            let ((p1, s1), (p2, s2)) = (as_decimal(left)?, as_decimal(right)?);
            let scale = s1.max(s2);
            Some(adjusted((p1 - s1).max(p2 - s2) + scale, scale))
        }
    }
}

fn finer(left: TimeUnit, right: TimeUnit) -> TimeUnit {
    left.max(right)
}

/// An arithmetic operator, for the type of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// `+` and `-`
    Sum,
    /// `*`
    Product,
    /// `/`
    Quotient,
    /// `%`
    Remainder,
}

/// The type of both operands and the type of the result.
pub(crate) fn arithmetic_types(
    operator: Arithmetic,
    left: &DataType,
    right: &DataType,
) -> Option<(DataType, DataType)> {
    let (left, right) = match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => (other, other),
        both => both,
    };
    if !is_number(left) || !is_number(right) {
        return None;
    }
    let common = common_type(left, right)?;
    if !matches!(common, DataType::Decimal128(..)) {
        // The remainder has the type of the divisor.
        let remainder = operator == Arithmetic::Remainder && is_integer(right);
        let result = if remainder { right } else { &common };
        return Some((common.clone(), result.clone()));
    }
    let ((p1, s1), (p2, s2)) = (as_decimal(left)?, as_decimal(right)?);
    let whole = (p1 - s1).max(p2 - s2);
    let scale = s1.max(s2);
    let result = match operator {
        Arithmetic::Sum => adjusted(whole + scale + 1, scale),
        Arithmetic::Product => adjusted(p1 + p2 + 1, s1 + s2),
        Arithmetic::Quotient => {
            let scale = (s1 + p2 + 1).max(DECIMAL_SCALE_MIN);
            adjusted(p1 - s1 + s2 + scale, scale)
        }
        Arithmetic::Remainder => adjusted((p1 - s1).min(p2 - s2) + scale, scale),
    };
    Some((common, result))
}

/// The type of `SUM` of a number.
pub(crate) fn sum_type(argument: &DataType) -> DataType {
    match argument {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        other => other.clone(),
    }
}

/// The type of `AVG` of a number.
pub(crate) fn avg_type(argument: &DataType) -> DataType {
    match argument {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, (*scale).max(6)),
        other => other.clone(),
    }
}

/// The type of `ROUND(x, digits)`; `digits` is `None` if it is not constant.
pub(crate) fn round_type(argument: &DataType, digits: Option<i64>) -> DataType {
    let (DataType::Decimal128(precision, scale), Some(digits)) = (argument, digits) else {
        return argument.clone();
    };
    let (precision, scale) = (i32::from(*precision), i32::from(*scale));
    let digits = i32::try_from(digits.clamp(-38, 38)).expect("clamped");
    if digits >= scale {
        return argument.clone();
    }
    let kept = digits.max(0);
    adjusted(1 + precision - scale + kept, kept)
}

/// Whether INSERT INTO converts `from` to `to` by itself.
pub(crate) fn converts_implicitly(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Float32, Float64, Null, Timestamp};
    if from == to {
        return true;
    }
    match (from, to) {
        (Null, _) => true,
        (from, to) if is_integer(from) && is_integer(to) => {
            integer_digits(from) <= integer_digits(to)
        }
        (from, Decimal128(..) | Float32 | Float64) if is_integer(from) => true,
        (Decimal128(..), Decimal128(..) | Float32 | Float64) | (Float32, Float64) => true,
        (Timestamp(..) | Date32, Timestamp(..)) => true,
        _ => false,
    }
}

/// Whether `CAST(… AS to)` exists for `from`.
pub(crate) fn casts(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Null, Time32, Timestamp, Utf8};
    if from == to || *from == Null {
        return true;
    }
    match (from, to) {
        (Utf8, to) => is_comparable(to),
        (from, Utf8) => is_comparable(from) && !matches!(from, DataType::Duration(_)),
        (from, to) if is_number(from) => is_number(to) || *to == Boolean,
        (Boolean, to) => is_number(to),
        (Timestamp(..), Timestamp(..) | Date32 | Time32(_))
        | (Date32 | Time32(_), Timestamp(..)) => true,
        (Binary, Binary) => true,
        _ => false,
    }
}

/// `expr` as `to`: constants are converted, everything else gets a cast.
pub(crate) fn convert(expr: Expr, to: &DataType) -> Expr {
    if expr.data_type == *to {
        return expr;
    }
    let ExprKind::Literal(literal) = &expr.kind else {
        return expr.cast_to(to.clone());
    };
    match convert_literal(literal, &expr.data_type, to) {
        Some(literal) => Expr::literal(literal, to.clone()),
        None => expr.cast_to(to.clone()),
    }
}

fn convert_literal(literal: &Literal, from: &DataType, to: &DataType) -> Option<Literal> {
    match (literal, to) {
        (Literal::Null, _) => Some(Literal::Null),
        (Literal::Int(value), to) if is_integer(to) => {
            let fits = match to {
                DataType::Int8 => i8::try_from(*value).is_ok(),
                DataType::Int16 => i16::try_from(*value).is_ok(),
                DataType::Int32 => i32::try_from(*value).is_ok(),
                _ => true,
            };
            fits.then_some(Literal::Int(*value))
        }
        // Every i32 is exact as a double; larger ones are left to the engine's cast.
        (Literal::Int(value), DataType::Float64) => i32::try_from(*value)
            .ok()
            .map(|value| Literal::Float(f64::from(value))),
        // So is every i16 as a float.
        (Literal::Int(value), DataType::Float32) => i16::try_from(*value)
            .ok()
            .map(|value| Literal::Float(f64::from(value))),
        (Literal::Int(value), DataType::Decimal128(precision, scale)) => {
            rescale(i128::from(*value), 0, (*precision, *scale))
        }
        (Literal::Decimal(value), DataType::Decimal128(precision, scale)) => {
            let DataType::Decimal128(_, from) = from else {
                return None;
            };
            rescale(*value, *from, (*precision, *scale))
        }
        (Literal::Decimal(value), DataType::Float64) => {
            let DataType::Decimal128(_, scale) = from else {
                return None;
            };
            decimal_text(*value, *scale)
                .parse()
                .ok()
                .map(Literal::Float)
        }
        _ => None,
    }
}

fn rescale(value: i128, from: i8, (precision, scale): (u8, i8)) -> Option<Literal> {
    let more = u32::try_from(scale - from).ok()?;
    let value = value.checked_mul(10i128.checked_pow(more)?)?;
    let fits = value.unsigned_abs() < 10u128.checked_pow(u32::from(precision))?;
    fits.then_some(Literal::Decimal(value))
}

/// A DECIMAL's digits with its point.
fn decimal_text(value: i128, scale: i8) -> String {
    format!("{value}e{}", -scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{Decimal128, Float32, Float64, Int8, Int32, Int64, Null, Utf8};
    use millstream_core::types::{sql_name, timestamp, timestamp_ltz};

    #[test]
    fn common_types() {
        let check = |left: DataType, right: DataType, expected: Option<DataType>| {
            assert_eq!(common_type(&left, &right), expected);
            assert_eq!(common_type(&right, &left), expected);
        };
        check(Int8, Int64, Some(Int64));
        check(Null, Utf8, Some(Utf8));
        check(Int32, Float32, Some(Float32));
        check(Decimal128(2, 1), Float32, Some(Float64));
        check(Decimal128(2, 1), Float64, Some(Float64));
        check(Int32, Decimal128(5, 3), Some(Decimal128(13, 3)));
        check(
            Decimal128(38, 10),
            Decimal128(38, 2),
            Some(Decimal128(38, 6)),
        );
        check(timestamp(3), timestamp_ltz(6), Some(timestamp_ltz(6)));
        check(DataType::Date32, timestamp(3), Some(timestamp(3)));
        check(Utf8, Int32, None);
        check(DataType::Boolean, Int32, None);
    }

    #[test]
    fn arithmetic() {
        let check = |operator, left: DataType, right: DataType, expected: &str| {
            let types = arithmetic_types(operator, &left, &right);
            let (_, result) = types.expect("numbers");
            assert_eq!(sql_name(&result), expected);
        };
        check(Arithmetic::Sum, Int32, Int64, "BIGINT");
        check(Arithmetic::Quotient, Int32, Int32, "INT");
        check(Arithmetic::Remainder, Int64, Int32, "INT");
        check(
            Arithmetic::Sum,
            Decimal128(10, 2),
            Decimal128(5, 4),
            "DECIMAL(13, 4)",
        );
        check(
            Arithmetic::Product,
            Decimal128(10, 2),
            Decimal128(5, 4),
            "DECIMAL(16, 6)",
        );
        check(
            Arithmetic::Quotient,
            Decimal128(10, 2),
            Decimal128(5, 4),
            "DECIMAL(20, 8)",
        );
        check(
            Arithmetic::Remainder,
            Decimal128(10, 2),
            Decimal128(5, 4),
            "DECIMAL(5, 4)",
        );
        check(Arithmetic::Product, Decimal128(2, 1), Float64, "DOUBLE");
        assert_eq!(arithmetic_types(Arithmetic::Sum, &Utf8, &Int32), None);
    }

    #[test]
    fn constants_are_converted() {
        let check = |literal: Literal, from: DataType, to: DataType, expected: &str| {
            let expr = convert(Expr::literal(literal, from), &to);
            assert_eq!((expr.to_string().as_str(), expr.data_type), (expected, to));
        };
        check(Literal::Int(0), Int32, Float64, "0.0");
        check(Literal::Int(7), Int32, Int64, "7");
        check(Literal::Int(300), Int32, Int8, "CAST(300 AS TINYINT)");
        check(Literal::Decimal(15), Decimal128(2, 1), Float64, "1.5");
        check(
            Literal::Decimal(15),
            Decimal128(2, 1),
            Decimal128(10, 3),
            "decimal:1500",
        );
        check(Literal::Null, Null, Utf8, "NULL");
        check(
            Literal::Int(i64::MAX),
            Int64,
            Float64,
            "CAST(9223372036854775807 AS DOUBLE)",
        );
    }

    #[test]
    fn rounding_keeps_the_digits_asked_for() {
        let check = |precision, scale, digits, expected: DataType| {
            assert_eq!(round_type(&Decimal128(precision, scale), digits), expected);
        };
        check(10, 4, Some(2), Decimal128(9, 2));
        check(10, 4, Some(4), Decimal128(10, 4));
        check(10, 4, Some(-1), Decimal128(7, 0));
        check(10, 4, None, Decimal128(10, 4));
    }

    #[test]
    fn inserts_widen_only() {
        assert!(converts_implicitly(&Int32, &Int64));
        assert!(!converts_implicitly(&Int64, &Int32));
        assert!(converts_implicitly(&Decimal128(38, 2), &Float64));
        assert!(!converts_implicitly(&Float64, &Decimal128(38, 2)));
        assert!(converts_implicitly(&timestamp_ltz(3), &timestamp(3)));
        assert!(!converts_implicitly(&Int32, &Utf8));
        assert!(!converts_implicitly(&Utf8, &Int32));
    }
}
