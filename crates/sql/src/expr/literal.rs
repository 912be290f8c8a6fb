//! Constants.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use millstream_core::expr::{Expr, ExprKind, Literal};
use millstream_core::types::timestamp;
use sqlparser::ast::{self, DateTimeField, Value};

use crate::diagnostic::{Fault, Place, Result};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A number, string, truth value or NULL.
pub(crate) fn value(value: &Value, place: Place) -> Result<Expr> {
    Ok(match value {
        Value::Number(digits, _) => number(digits, place)?,
        Value::SingleQuotedString(text) => {
            Expr::literal(Literal::String(text.clone()), DataType::Utf8)
        }
        Value::HexStringLiteral(digits) => {
            let bytes = hex(digits).ok_or_else(|| {
                Fault::at(
                    place,
                    format!("found X'{digits}', expected pairs of hex digits"),
                )
            })?;
            Expr::literal(Literal::Bytes(bytes), DataType::Binary)
        }
        Value::Boolean(value) => Expr::literal(Literal::Boolean(*value), DataType::Boolean),
        Value::Null => super::null(),
        other => {
            let fault = Fault::unsupported(place, format!("`{other}` is"));
            return Err(fault.help("write 'text' for a string"));
        }
    })
}

/// An integer is INT, or BIGINT if it is too large; with a point it is DECIMAL, with an exponent
/// DOUBLE.
fn number(digits: &str, place: Place) -> Result<Expr> {
    let wrong = || Fault::at(place, format!("found `{digits}`, expected a number"));
    if digits.contains(['e', 'E']) {
        let value = digits.parse().map_err(|_| wrong())?;
        return Ok(Expr::literal(Literal::Float(value), DataType::Float64));
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !digits.contains('.')
        && let Ok(value) = whole.parse::<i64>()
    {
        let small = i32::try_from(value).is_ok();
        let data_type = if small {
            DataType::Int32
        } else {
            DataType::Int64
        };
        return Ok(Expr::literal(Literal::Int(value), data_type));
    }
    let whole = whole.trim_start_matches('0');
    let precision = (whole.len() + fraction.len()).max(1);
    if precision > 38 {
        return Err(Fault::at(
            place,
            format!("`{digits}` has more than 38 digits"),
        ));
    }
    let value = format!("0{whole}{fraction}").parse().map_err(|_| wrong())?;
    // Both are at most 38.
    let data_type = DataType::Decimal128(precision as u8, fraction.len() as i8);
    Ok(Expr::literal(Literal::Decimal(value), data_type))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

/// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`.
pub(crate) fn typed(typed: &ast::TypedString, place: Place) -> Result<Expr> {
    let Value::SingleQuotedString(text) = &typed.value.value else {
        return Err(Fault::at(place, "expected a constant in single quotes"));
    };
    let wrong = |expected: &str| Fault::at(place, format!("found '{text}', expected {expected}"));
    match &typed.data_type {
        ast::DataType::Date => {
            let date = text
                .parse::<NaiveDate>()
                .map_err(|_| wrong("DATE '2025-06-15'"))?;
            let days = date.signed_duration_since(NaiveDate::default()).num_days();
            let days = i32::try_from(days).map_err(|_| wrong("DATE '2025-06-15'"))?;
            Ok(Expr::literal(Literal::Date(days), DataType::Date32))
        }
        ast::DataType::Time(..) => {
            let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f");
            let time = time.map_err(|_| wrong("TIME '15:06:00'"))?;
            let ms = time.num_seconds_from_midnight() * 1_000 + time.nanosecond() / 1_000_000;
            let ms = i32::try_from(ms).expect("a day has fewer milliseconds");
            Ok(Expr::literal(
                Literal::Time(ms),
                DataType::Time32(TimeUnit::Millisecond),
            ))
        }
        ast::DataType::Timestamp(..) => {
            let expected = "TIMESTAMP '2025-06-15 15:06:00'";
            let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f");
            let time = time.map_err(|_| wrong(expected))?.and_utc();
            let digits = text
                .split_once('.')
                .map_or(0, |(_, fraction)| fraction.len());
            let data_type = timestamp(u8::try_from(digits).unwrap_or(9));
            let value = match &data_type {
                DataType::Timestamp(TimeUnit::Millisecond, _) => Some(time.timestamp_millis()),
                DataType::Timestamp(TimeUnit::Microsecond, _) => Some(time.timestamp_micros()),
                _ => time.timestamp_nanos_opt(),
            };
            let value = value.ok_or_else(|| wrong(expected))?;
            Ok(Expr::literal(Literal::Timestamp(value), data_type))
        }
        other => Err(Fault::unsupported(place, format!("`{other} '…'` is"))),
    }
}

/// `INTERVAL '…' unit [TO unit]`.
pub(crate) fn interval(interval: &ast::Interval, place: Place) -> Result<Expr> {
    let (text, sign) = quoted(&interval.value, place)?;
    let Some(leading) = &interval.leading_field else {
        let fault = Fault::at(place, "an INTERVAL without a unit");
        return Err(fault.help("write for example INTERVAL '10' SECOND"));
    };
    let first = unit(leading, place)?;
    let last = match &interval.last_field {
        Some(last) => unit(last, place)?,
        None => first,
    };
    let (digits, sign) = match text.strip_prefix('-') {
        Some(digits) => (digits, -sign),
        None => (text.strip_prefix('+').unwrap_or(text), sign),
    };
    let ms = span_ms(digits.trim(), first, last).ok_or_else(|| {
        let to = interval
            .last_field
            .as_ref()
            .map_or(String::new(), |last| format!(" TO {last}"));
        Fault::at(
            place,
            format!("`'{text}'` is not an interval of {leading}{to}"),
        )
    })?;
    let data_type = DataType::Duration(TimeUnit::Millisecond);
    Ok(Expr::literal(Literal::Interval(sign * ms), data_type))
}

fn quoted(value: &ast::Expr, place: Place) -> Result<(&str, i64)> {
    match value {
        ast::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok((text, 1)),
            other => {
                let fault = Fault::at(place, format!("found INTERVAL {other}, expected quotes"));
                Err(fault.help(format!("write INTERVAL '{other}' and the unit")))
            }
        },
        ast::Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr,
        } => quoted(expr, place).map(|(text, sign)| (text, -sign)),
        _ => Err(Fault::unsupported(
            place,
            "an INTERVAL that is not constant is",
        )),
    }
}

/// Units in falling order, with the milliseconds of each.
const UNITS: [i64; 4] = [DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS];

/// The index of a unit in [`UNITS`]; weeks count as 7 days elsewhere.
fn unit(field: &DateTimeField, place: Place) -> Result<usize> {
    match field {
        DateTimeField::Day | DateTimeField::Days => Ok(0),
        DateTimeField::Hour | DateTimeField::Hours => Ok(1),
        DateTimeField::Minute | DateTimeField::Minutes => Ok(2),
        DateTimeField::Second | DateTimeField::Seconds => Ok(3),
        other => {
            let fault = Fault::unsupported(place, format!("an INTERVAL of {other} is"));
            Err(fault.help("use DAY, HOUR, MINUTE or SECOND"))
        }
    }
}

/// `10` SECOND, `1:30` MINUTE TO SECOND, `1 02:03:04.5` DAY TO SECOND in milliseconds.
fn span_ms(text: &str, first: usize, last: usize) -> Option<i64> {
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    if last < first || parts.len() != last - first + 1 {
        return None;
    }
    let mut ms = 0i64;
    for (part, unit) in parts.iter().zip(&UNITS[first..=last]) {
        let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let fractional = part.contains('.');
        if !digits(whole) || !digits(fraction) || (fractional && *unit != SECOND_MS) {
            return None;
        }
        ms = ms.checked_add(whole.parse::<i64>().ok()?.checked_mul(*unit)?)?;
        if fractional {
            let fraction = format!("{fraction:0<3}");
            ms = ms.checked_add(fraction.get(..3)?.parse().ok()?)?;
        }
    }
    Some(ms)
}

/// The milliseconds of a constant interval.
pub(crate) fn interval_ms(expr: &Expr) -> Option<i64> {
    match expr.kind {
        ExprKind::Literal(Literal::Interval(ms)) => Some(ms),
        _ => None,
    }
}
