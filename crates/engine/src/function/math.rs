//! Functions on numbers. Integers stay integers and decimals stay decimals, as the plan's result
//! type says; everything else computes in double precision, as Java does.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use millstream_core::{Error, Result};

use super::args::{Args, Numbers, build_numbers};
use super::arithmetic::{self, Operation, fits, power_of_ten};
use super::definition::{Function, Kind, Returns};
use super::text::plain;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Common, Double, Long, Number};
    use Returns as R;
    const ONE: (&[Kind], usize, usize) = (&[Double], 1, 1);
    vec![
        plain("ABS", (&[Number], 1, 1), R::Same(0), abs),
        plain("SIGN", (&[Number], 1, 1), R::Same(0), sign),
        plain("CEIL", (&[Number], 1, 1), R::Same(0), |a| {
            round_whole(a, Rounding::Up)
        }),
        plain("FLOOR", (&[Number], 1, 1), R::Same(0), |a| {
            round_whole(a, Rounding::Down)
        }),
        plain("ROUND", (&[Number, Long], 1, 2), R::Same(0), |a| {
            round(a, Rounding::HalfUp)
        }),
        plain("TRUNCATE", (&[Number, Long], 1, 2), R::Same(0), |a| {
            round(a, Rounding::ToZero)
        }),
        plain("MOD", (&[Common], 2, 2), R::Same(0), |a| {
            arithmetic::compute(Operation::Modulo, a)
        }),
        plain("SQRT", ONE, R::Double, |a| map(a, f64::sqrt)),
        plain("EXP", ONE, R::Double, |a| map(a, f64::exp)),
        plain("LN", ONE, R::Double, |a| map(a, f64::ln)),
        plain("LOG10", ONE, R::Double, |a| map(a, f64::log10)),
        plain("LOG2", ONE, R::Double, |a| {
            map(a, |x| x.ln() / std::f64::consts::LN_2)
        }),
        plain("LOG", (&[Double], 1, 2), R::Double, log),
        plain("POWER", (&[Double], 2, 2), R::Double, |a| {
            map_two(a, f64::powf)
        }),
        plain("POW", (&[Double], 2, 2), R::Double, |a| {
            map_two(a, f64::powf)
        }),
    ]
}

/// Which neighbour a number goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Towards +infinity.
    Up,
    /// Towards -infinity.
    Down,
    /// To the nearest, halves away from zero.
    HalfUp,
    /// Towards zero.
    ToZero,
}

fn map(args: &Args<'_>, each: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let input = args.doubles(0)?;
    Ok(match input {
        // PERF: without a branch for null, so that it vectorises.
        Numbers::Many(array) => Arc::new(array.unary::<_, Float64Type>(each)),
        one @ Numbers::One(_) => {
            build_numbers::<Float64Type>(args.rows, |row| Some(each(one.get(row)?)))
        }
    })
}

fn map_two(args: &Args<'_>, each: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (args.doubles(0)?, args.doubles(1)?);
    Ok(build_numbers::<Float64Type>(args.rows, |row| {
        Some(each(left.get(row)?, right.get(row)?))
    }))
}

/// `LOG(x)` is the natural logarithm, `LOG(base, x)` the one to a base.
fn log(args: &Args<'_>) -> Result<ArrayRef> {
    match args.len() {
        1 => map(args, f64::ln),
        _ => map_two(args, |base, x| x.ln() / base.ln()),
    }
}

/// How to compute with each family of numbers.
struct PerFamily<L, F, D> {
    long: L,
    double: F,
    /// From the unscaled value of the input to that of the result.
    decimal: D,
}

fn by_family<L, F, D>(args: &Args<'_>, each: PerFamily<L, F, D>) -> Result<ArrayRef>
where
    L: Fn(usize, i64) -> Option<i64>,
    F: Fn(usize, f64) -> Option<f64>,
    D: Fn(usize, i128) -> Option<i128>,
{
    let rows = args.rows;
    match args.values[0].data_type() {
        found if found.is_integer() => {
            let input = args.longs(0)?;
            Ok(build_numbers::<Int64Type>(rows, |row| {
                (each.long)(row, input.get(row)?)
            }))
        }
        DataType::Float32 | DataType::Float64 => {
            let input = args.doubles(0)?;
            Ok(build_numbers::<Float64Type>(rows, |row| {
                (each.double)(row, input.get(row)?)
            }))
        }
        DataType::Decimal128(..) => {
            let input = args.full_array(0)?;
            let input = input.as_primitive::<Decimal128Type>();
            let (precision, scale) = decimal_result(args);
            let values = (0..rows).map(|row| {
                let value = input.is_valid(row).then(|| input.value(row))?;
                (each.decimal)(row, value).filter(|value| fits(*value, precision))
            });
            let result: Decimal128Array = values.collect();
            Ok(Arc::new(result.with_precision_and_scale(precision, scale)?))
        }
        found => Err(Error::invalid(format!("found {found}, expected a number"))),
    }
}

/// Precision and scale of a result: the plan's, else those of the input.
fn decimal_result(args: &Args<'_>) -> (u8, i8) {
    match (args.return_type, args.values[0].data_type()) {
        (DataType::Decimal128(precision, scale), _) => (*precision, *scale),
        (_, DataType::Decimal128(precision, scale)) => (precision, scale),
        _ => (38, 0),
    }
}

/// Scale of a decimal argument.
fn input_scale(args: &Args<'_>) -> i8 {
    match args.values[0].data_type() {
        DataType::Decimal128(_, scale) => scale,
        _ => 0,
    }
}

fn abs(args: &Args<'_>) -> Result<ArrayRef> {
    let (from, to) = (input_scale(args), decimal_result(args).1);
    by_family(
        args,
        PerFamily {
            long: |_, value: i64| Some(value.wrapping_abs()),
            double: |_, value: f64| Some(value.abs()),
            decimal: |_, value: i128| rescale(value.abs(), from, to, Rounding::HalfUp),
        },
    )
}

fn sign(args: &Args<'_>) -> Result<ArrayRef> {
    let to = decimal_result(args).1;
    by_family(
        args,
        PerFamily {
            long: |_, value: i64| Some(value.signum()),
            double: |_, value: f64| Some(if value == 0.0 { 0.0 } else { value.signum() }),
            decimal: |_, value: i128| rescale(value.signum(), 0, to, Rounding::HalfUp),
        },
    )
}

fn round_whole(args: &Args<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let (from, to) = (input_scale(args), decimal_result(args).1);
    by_family(
        args,
        PerFamily {
            long: |_, value| Some(value),
            double: |_, value: f64| {
                Some(match rounding {
                    Rounding::Up => value.ceil(),
                    _ => value.floor(),
                })
            },
            decimal: |_, value| rescale(rescale(value, from, 0, rounding)?, 0, to, rounding),
        },
    )
}

/// `ROUND(x[, digits])`, `TRUNCATE(x[, digits])`: negative digits are before the point.
fn round(args: &Args<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let digits = match args.len() {
        1 => Numbers::One(Some(0)),
        _ => args.longs(1)?,
    };
    let (from, to) = (input_scale(args), decimal_result(args).1);
    let digits = |row| {
        let digits = digits.get(row)?;
        i8::try_from(digits.clamp(-100, 100)).ok()
    };
    by_family(
        args,
        PerFamily {
            long: |row, value| {
                let digits = digits(row)?.min(0);
                let rounded = rescale(i128::from(value), 0, digits, rounding)?;
                i64::try_from(rescale(rounded, digits, 0, rounding)?).ok()
            },
            double: |row, value| Some(round_double(value, i32::from(digits(row)?), rounding)),
            decimal: |row, value| {
                let digits = digits(row)?.min(from);
                let rounded = rescale(value, from, digits, rounding)?;
                rescale(rounded, digits, to, rounding)
            },
        },
    )
}

/// An unscaled decimal of scale `from` as one of scale `to`; none if it overflows.
pub(crate) fn rescale(value: i128, from: i8, to: i8, rounding: Rounding) -> Option<i128> {
    let shift = i32::from(to) - i32::from(from);
    if shift >= 0 {
        return match value {
            0 => Some(0),
            _ => value.checked_mul(power_of_ten(shift.unsigned_abs())?),
        };
    }
    let Some(divisor) = power_of_ten(shift.unsigned_abs()) else {
        // More digits go than an i128 has: only the sign can matter.
        return Some(match rounding {
            Rounding::Up => i128::from(value > 0),
            Rounding::Down => -i128::from(value < 0),
            Rounding::HalfUp | Rounding::ToZero => 0,
        });
    };
    let (quotient, rest) = (value / divisor, value % divisor);
    let away = match rounding {
        Rounding::Up => rest > 0,
        Rounding::Down => rest < 0,
        Rounding::HalfUp => rest.abs() >= divisor - rest.abs(),
        Rounding::ToZero => false,
    };
    Some(quotient + if away { value.signum() } else { 0 })
}

/// Rounds the shortest decimal text of `value`, as Java's `BigDecimal.valueOf(x).setScale(n)`: so
/// 1.005 at 2 digits is 1.01 although the double nearest to 1.005 is below it.
fn round_double(value: f64, digits: i32, rounding: Rounding) -> f64 {
    if !value.is_finite() {
        return value;
    }
    let (mantissa, exponent) = shortest_decimal(value);
    // value = mantissa * 10^exponent; `dropped` of its digits are cut off.
    let dropped = -digits - exponent;
    if dropped <= 0 {
        return value;
    }
    let dropped = i8::try_from(dropped.min(100)).expect("at most 100");
    let rounded = rescale(i128::from(mantissa), dropped, 0, rounding).unwrap_or(0);
    if rounded == 0 {
        return 0.0;
    }
    let text = format!("{rounded}e{}", -digits);
    let magnitude: f64 = text.parse().expect("digits and an exponent are a number");
    magnitude.copysign(value)
}

/// The unscaled value of scale `scale` nearest to the shortest decimal text of a finite `value`;
/// none if it overflows.
pub(crate) fn decimal_of_double(value: f64, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = shortest_decimal(value);
    let from = i8::try_from((-exponent).clamp(-100, 127)).expect("clamped");
    let magnitude = rescale(i128::from(mantissa), from, scale, Rounding::HalfUp)?;
    Some(if value < 0.0 { -magnitude } else { magnitude })
}

/// The shortest decimal that reads back as `value`'s magnitude: `(m, e)` for m * 10^e.
fn shortest_decimal(value: f64) -> (u64, i32) {
    let text = format!("{:e}", value.abs());
    let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let fraction = digits.split_once('.').map_or(0, |(_, after)| after.len());
    let mantissa = digits.bytes().filter(u8::is_ascii_digit);
    let mantissa = mantissa.fold(0, |so_far, digit| so_far * 10 + u64::from(digit - b'0'));
    let fraction = i32::try_from(fraction).expect("at most 17 digits");
    (mantissa, exponent - fraction)
}

/// As Java's `Double.parseDouble` after trimming blanks: `1`, `-1.5e3`, `.5`, `NaN`, `Infinity`,
/// with an optional `d` or `f` at the end.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.trim_start_matches(['+', '-']);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        "Infinity" => return Some(f64::INFINITY),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let number = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_round_by_their_decimal_text() {
        let check = |value: f64, digits: i32, expected: f64| {
            let found = round_double(value, digits, Rounding::HalfUp);
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "{value} {digits}: {found}"
            );
        };
        check(1.005, 2, 1.01);
        check(-1.005, 2, -1.01);
        check(2.5, 0, 3.0);
        check(-2.5, 0, -3.0);
        check(0.1 + 0.2, 2, 0.3);
        check(1234.5, -2, 1200.0);
        check(99.995, 2, 100.0);
        check(0.004, 2, 0.0);
        check(-0.004, 2, 0.0);
        check(5e-324, 2, 0.0);
        check(50.0, -2, 100.0);
        check(49.0, -2, 0.0);
        check(1e300, 2, 1e300);
        check(f64::INFINITY, 2, f64::INFINITY);
        check(3.0, 400, 3.0);
    }

    #[test]
    fn decimals_rescale() {
        let check = |value, from, to, rounding, expected| {
            assert_eq!(rescale(value, from, to, rounding), expected, "{value}");
        };
        check(12_345, 3, 2, Rounding::HalfUp, Some(1_235));
        check(-12_345, 3, 2, Rounding::HalfUp, Some(-1_235));
        check(-12_345, 3, 2, Rounding::ToZero, Some(-1_234));
        check(-12_345, 3, 0, Rounding::Down, Some(-13));
        check(12_001, 3, 0, Rounding::Up, Some(13));
        check(i128::MAX, 0, 2, Rounding::HalfUp, None);
        check(1, 100, 0, Rounding::Up, Some(1));
    }

    #[test]
    fn numbers_are_read_as_java_does() {
        for (text, expected) in [
            (" 1.5 ", Some(1.5)),
            ("-.5e1", Some(-5.0)),
            ("1d", Some(1.0)),
            ("Infinity", Some(f64::INFINITY)),
            ("inf", None),
            ("nan", None),
            ("", None),
            ("1x", None),
            ("--1", None),
        ] {
            assert_eq!(parse_double(text), expected, "{text}");
        }
        assert!(parse_double("NaN").unwrap().is_nan());
    }
}
