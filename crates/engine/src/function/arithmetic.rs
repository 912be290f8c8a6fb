//! Arithmetic where Flink differs from Arrow: integer division, decimals, dates and times.
//!
//! - Integers wrap around; dividing by zero fails; division is towards zero.
//! - Decimals are computed exactly, rounded half up to the result's scale; a value that has more
//!   digits than the result's precision is null, as in Flink.
//! - A timestamp, date or time of day plus or minus an interval keeps its type; a time of day wraps
//!   around midnight.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, Decimal128Array};
use arrow::array::{ArrowPrimitiveType, Date32Array, PrimitiveArray, Time32MillisecondArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    i256,
};
use millstream_core::{Error, Result};

use super::args::{Args, build_numbers, ticks_per_second};
use super::calendar::SECONDS_PER_DAY;

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// `args[0] operation args[1]`, of the result type that `args` asks for.
///
/// # Errors
/// Division of integers or decimals by zero, and types that have no such operation.
pub(crate) fn compute(operation: Operation, args: &Args<'_>) -> Result<ArrayRef> {
    let (left, right) = (args.values[0].data_type(), args.values[1].data_type());
    match (&left, &right) {
        (DataType::Decimal128(..), DataType::Decimal128(..)) => decimals(operation, args),
        (DataType::Int8, _) => numbers::<Int8Type>(operation, args, true),
        (DataType::Int16, _) => numbers::<Int16Type>(operation, args, true),
        (DataType::Int32, _) => numbers::<Int32Type>(operation, args, true),
        (DataType::Int64, _) => numbers::<Int64Type>(operation, args, true),
        (DataType::Float32, _) => numbers::<Float32Type>(operation, args, false),
        (DataType::Float64, _) => numbers::<Float64Type>(operation, args, false),
        (found, _) if found.is_temporal() => times(operation, args),
        _ => Err(Error::invalid(format!(
            "found {left} and {right}, expected numbers, or a time and an interval"
        ))),
    }
}

/// 10^exponent; none if it overflows.
pub(super) fn power_of_ten(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

/// Whether a decimal of this unscaled value has at most `precision` digits.
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    let bound = power_of_ten(u32::from(precision));
    bound.is_none_or(|bound| value.unsigned_abs() < bound.unsigned_abs())
}

fn division_by_zero() -> Error {
    Error::invalid("division by zero")
}

fn numbers<T: ArrowPrimitiveType>(
    operation: Operation,
    args: &Args<'_>,
    zero_fails: bool,
) -> Result<ArrayRef> {
    let (left, right) = (args.numbers::<T>(0)?, args.numbers::<T>(1)?);
    let divides = matches!(operation, Operation::Divide | Operation::Modulo);
    let mut failed = false;
    let result = build_numbers::<T>(args.rows, |row| {
        let (left, right) = (left.get(row)?, right.get(row)?);
        if divides && zero_fails && right.is_zero() {
            failed = true;
            return None;
        }
        Some(match operation {
            Operation::Add => left.add_wrapping(right),
            Operation::Subtract => left.sub_wrapping(right),
            Operation::Multiply => left.mul_wrapping(right),
            Operation::Divide => left.div_wrapping(right),
            Operation::Modulo => left.mod_wrapping(right),
        })
    });
    match failed {
        true => Err(division_by_zero()),
        false => Ok(result),
    }
}

/// What the operands are multiplied by first, and the result divided by (rounding half up) last.
struct Factors<N> {
    left: N,
    right: N,
    divisor: N,
}

fn decimals(operation: Operation, args: &Args<'_>) -> Result<ArrayRef> {
    let (left, right) = (args.full_array(0)?, args.full_array(1)?);
    let (left, right) = (
        left.as_primitive::<Decimal128Type>(),
        right.as_primitive::<Decimal128Type>(),
    );
    let &DataType::Decimal128(precision, scale) = args.return_type else {
        let found = args.return_type;
        return Err(Error::bug(format!("found {found}, expected a decimal")));
    };
    let shifts = shifts(operation, left.scale(), right.scale(), scale);
    // PERF: nearly all values fit 128 bits; the 256 bits of the second try are an order slower.
    let narrow = factors::<i128>(shifts);
    let wide = factors::<i256>(shifts)
        .ok_or_else(|| Error::invalid("decimal scales are too far apart"))?;
    let mut failed = false;
    let values = (0..args.rows).map(|row| {
        if left.is_null(row) || right.is_null(row) {
            return None;
        }
        let (left, right) = (left.value(row), right.value(row));
        if matches!(operation, Operation::Divide | Operation::Modulo) && right == 0 {
            failed = true;
            return None;
        }
        let narrow = narrow
            .as_ref()
            .and_then(|factors| decimal(operation, left, right, factors));
        let value = narrow.or_else(|| {
            let (left, right) = (i256::from_i128(left), i256::from_i128(right));
            decimal(operation, left, right, &wide)?.to_i128()
        });
        value.filter(|value| fits(*value, precision))
    });
    let result: Decimal128Array = values.collect();
    if failed {
        return Err(division_by_zero());
    }
    Ok(Arc::new(result.with_precision_and_scale(precision, scale)?))
}

/// Powers of ten for [`Factors`]: left, right, divisor.
fn shifts(operation: Operation, left: i8, right: i8, result: i8) -> (u32, u32, u32) {
    let (left, right, result) = (i32::from(left), i32::from(right), i32::from(result));
    let positive = |shift: i32| shift.max(0).unsigned_abs();
    match operation {
        Operation::Add | Operation::Subtract | Operation::Modulo => {
            let scale = left.max(right).max(result);
            (
                positive(scale - left),
                positive(scale - right),
                positive(scale - result),
            )
        }
        Operation::Multiply => {
            let shift = left + right - result;
            (positive(-shift), 0, positive(shift))
        }
        Operation::Divide => {
            let shift = result + right - left;
            (positive(shift), positive(-shift), 0)
        }
    }
}

fn factors<N: ArrowNativeTypeOp>((left, right, divisor): (u32, u32, u32)) -> Option<Factors<N>> {
    let power = |exponent| N::usize_as(10).pow_checked(exponent).ok();
    Some(Factors {
        left: power(left)?,
        right: power(right)?,
        divisor: power(divisor)?,
    })
}

/// The unscaled result; none if it overflows `N`.
fn decimal<N: ArrowNativeTypeOp>(
    operation: Operation,
    left: N,
    right: N,
    factors: &Factors<N>,
) -> Option<N> {
    let left = left.mul_checked(factors.left).ok()?;
    let right = right.mul_checked(factors.right).ok()?;
    let value = match operation {
        Operation::Add => left.add_checked(right).ok()?,
        Operation::Subtract => left.sub_checked(right).ok()?,
        Operation::Multiply => left.mul_checked(right).ok()?,
        Operation::Divide => divide_half_up(left, right)?,
        Operation::Modulo => left.mod_wrapping(right),
    };
    divide_half_up(value, factors.divisor)
}

fn divide_half_up<N: ArrowNativeTypeOp>(value: N, divisor: N) -> Option<N> {
    if divisor.is_eq(N::ONE) {
        return Some(value);
    }
    let quotient = value.div_checked(divisor).ok()?;
    let rest = value.mod_wrapping(divisor);
    let absolute = |value: N| match value.is_lt(N::ZERO) {
        true => value.neg_checked().ok(),
        false => Some(value),
    };
    let (rest, magnitude) = (absolute(rest)?, absolute(divisor)?);
    if rest.is_lt(magnitude.sub_checked(rest).ok()?) {
        return Some(quotient);
    }
    match value.is_lt(N::ZERO) == divisor.is_lt(N::ZERO) {
        true => quotient.add_checked(N::ONE).ok(),
        false => quotient.sub_checked(N::ONE).ok(),
    }
}

/// Times and intervals, in ticks of the result's unit.
fn times(operation: Operation, args: &Args<'_>) -> Result<ArrayRef> {
    let per_second = match args.return_type {
        DataType::Timestamp(unit, _) | DataType::Duration(unit) | DataType::Time32(unit) => {
            ticks_per_second(*unit)
        }
        _ => 1_000,
    };
    let (left, right) = (ticks(args, 0, per_second)?, ticks(args, 1, per_second)?);
    let combine = match operation {
        Operation::Add => i64::wrapping_add,
        Operation::Subtract => i64::wrapping_sub,
        _ => return Err(Error::invalid("times can only be added and subtracted")),
    };
    let values = |row| Some(combine(left(row)?, right(row)?));
    let day = SECONDS_PER_DAY * per_second;
    match args.return_type {
        DataType::Date32 => {
            let days = |row| i32::try_from(values(row)?.div_euclid(day)).ok();
            Ok(Arc::new((0..args.rows).map(days).collect::<Date32Array>()))
        }
        DataType::Time32(_) => {
            let time = |row| i32::try_from(values(row)?.rem_euclid(day)).ok();
            let times = (0..args.rows).map(time);
            Ok(Arc::new(times.collect::<Time32MillisecondArray>()))
        }
        wanted => {
            let ticks: PrimitiveArray<Int64Type> = (0..args.rows).map(values).collect();
            Ok(arrow::compute::cast(&ticks, wanted)?)
        }
    }
}

/// Reads argument `index` in ticks of which a second has `per_second`.
fn ticks(
    args: &Args<'_>,
    index: usize,
    per_second: i64,
) -> Result<impl Fn(usize) -> Option<i64> + use<>> {
    let (multiplier, divisor) = match args.values[index].data_type() {
        DataType::Date32 => (SECONDS_PER_DAY * per_second, 1),
        DataType::Timestamp(unit, _) | DataType::Duration(unit) | DataType::Time32(unit) => {
            let own = ticks_per_second(unit);
            ((per_second / own).max(1), (own / per_second).max(1))
        }
        found => return Err(Error::invalid(format!("found {found}, expected a time"))),
    };
    let values = args.longs(index)?;
    Ok(move |row| {
        let value = values.get(row)?;
        Some(value.wrapping_mul(multiplier).div_euclid(divisor))
    })
}
