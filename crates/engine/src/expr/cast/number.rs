//! Numbers and booleans to numbers and booleans.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};
use millstream_core::Result;

use super::{Mode, unsupported};
use crate::function::arithmetic::fits;
use crate::function::{Rounding, decimal_of_double, rescale};

/// Casts between numbers; `BOOLEAN` counts as 0 or 1.
pub(super) fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    use DataType::{Boolean, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64};
    match (array.data_type(), to) {
        (Boolean, _) => {
            let as_number = |value: Option<bool>| value.map(i64::from);
            let values: PrimitiveArray<Int64Type> =
                array.as_boolean().iter().map(as_number).collect();
            cast(&(Arc::new(values) as ArrayRef), to, mode)
        }
        (Int8, _) => from_integer(array.as_primitive::<Int8Type>(), to),
        (Int16, _) => from_integer(array.as_primitive::<Int16Type>(), to),
        (Int32, _) => from_integer(array.as_primitive::<Int32Type>(), to),
        (Int64, _) => from_integer(array.as_primitive::<Int64Type>(), to),
        (Float32, Decimal128(..)) => {
            // Through the shortest text of the FLOAT: 0.1 stays 0.1.
            let values = array.as_primitive::<Float32Type>();
            let widened = values.unary::<_, Float64Type>(|value| {
                value
                    .to_string()
                    .parse()
                    .expect("a number's text is a number")
            });
            from_double(&widened, to, mode)
        }
        (Float32, _) => {
            let values = array.as_primitive::<Float32Type>();
            from_double(&values.unary(f64::from), to, mode)
        }
        (Float64, _) => from_double(array.as_primitive(), to, mode),
        (Decimal128(_, scale), _) => from_decimal(array.as_primitive(), *scale, to),
        (from, _) => Err(unsupported(from, to)),
    }
}

fn from_integer<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, to: &DataType) -> Result<ArrayRef>
where
    i64: From<T::Native>,
{
    let long = |value: T::Native| i64::from(value);
    Ok(match to {
        DataType::Int8 => map::<_, Int8Type>(array, |value| long(value) as i8),
        DataType::Int16 => map::<_, Int16Type>(array, |value| long(value) as i16),
        DataType::Int32 => map::<_, Int32Type>(array, |value| long(value) as i32),
        DataType::Int64 => map::<_, Int64Type>(array, long),
        DataType::Float32 => map::<_, Float32Type>(array, |value| long(value) as f32),
        DataType::Float64 => map::<_, Float64Type>(array, |value| long(value) as f64),
        DataType::Boolean => Arc::new(BooleanArray::from_unary(array, |value| long(value) != 0)),
        DataType::Decimal128(precision, scale) => {
            let values = array.iter().map(|value| {
                let value = i128::from(long(value?));
                within(rescale(value, 0, *scale, Rounding::HalfUp), *precision)
            });
            decimals(values, *precision, *scale)?
        }
        _ => return Err(unsupported(array.data_type(), to)),
    })
}

/// As Java's narrowing conversions: towards zero, saturating, and NaN is 0; TINYINT and SMALLINT
/// go through INT and wrap around.
fn from_double(array: &PrimitiveArray<Float64Type>, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    Ok(match to {
        DataType::Int8 => map::<_, Int8Type>(array, |value| value as i32 as i8),
        DataType::Int16 => map::<_, Int16Type>(array, |value| value as i32 as i16),
        DataType::Int32 => map::<_, Int32Type>(array, |value| value as i32),
        DataType::Int64 => map::<_, Int64Type>(array, |value| value as i64),
        DataType::Float32 => map::<_, Float32Type>(array, |value| value as f32),
        DataType::Float64 => Arc::new(array.clone()),
        DataType::Boolean => Arc::new(BooleanArray::from_unary(array, |value| value != 0.0)),
        DataType::Decimal128(precision, scale) => {
            let values = array.iter().map(|value| {
                let Some(value) = value else { return Ok(None) };
                let decimal = value.is_finite().then(|| decimal_of_double(value, *scale));
                let decimal = mode.settle(decimal, value, to)?.flatten();
                Ok(within(decimal, *precision))
            });
            let values = values.collect::<Result<Vec<_>>>()?;
            decimals(values.into_iter(), *precision, *scale)?
        }
        _ => return Err(unsupported(array.data_type(), to)),
    })
}

fn from_decimal(
    array: &PrimitiveArray<Decimal128Type>,
    from: i8,
    to: &DataType,
) -> Result<ArrayRef> {
    let whole = |value: i128| rescale(value, from, 0, Rounding::ToZero).unwrap_or(0);
    Ok(match to {
        DataType::Int8 => map::<_, Int8Type>(array, |value| whole(value) as i8),
        DataType::Int16 => map::<_, Int16Type>(array, |value| whole(value) as i16),
        DataType::Int32 => map::<_, Int32Type>(array, |value| whole(value) as i32),
        DataType::Int64 => map::<_, Int64Type>(array, |value| whole(value) as i64),
        DataType::Float32 => map::<_, Float32Type>(array, |value| double(value, from) as f32),
        DataType::Float64 => map::<_, Float64Type>(array, |value| double(value, from)),
        DataType::Boolean => Arc::new(BooleanArray::from_unary(array, |value| value != 0)),
        DataType::Decimal128(precision, scale) => {
            let values = array
                .iter()
                .map(|value| within(rescale(value?, from, *scale, Rounding::HalfUp), *precision));
            decimals(values, *precision, *scale)?
        }
        _ => return Err(unsupported(array.data_type(), to)),
    })
}

/// The double nearest to an unscaled decimal.
fn double(value: i128, scale: i8) -> f64 {
    // Both parts are exact doubles, so one division rounds once.
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / 10f64.powi(i32::from(scale));
    }
    let text = format!("{value}e{}", -i32::from(scale));
    text.parse().expect("digits and an exponent are a number")
}

fn map<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    array: &PrimitiveArray<From>,
    each: impl Fn(From::Native) -> To::Native,
) -> ArrayRef {
    Arc::new(array.unary::<_, To>(each))
}

fn within(value: Option<i128>, precision: u8) -> Option<i128> {
    value.filter(|value| fits(*value, precision))
}

fn decimals(
    values: impl Iterator<Item = Option<i128>>,
    precision: u8,
    scale: i8,
) -> Result<ArrayRef> {
    let array: Decimal128Array = values.collect();
    Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
}
