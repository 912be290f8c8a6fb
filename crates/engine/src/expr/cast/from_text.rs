//! Text to numbers, booleans, dates and times.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, PrimitiveArray, StringArray,
    Time32MillisecondArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit,
};
use millstream_core::Result;

use super::{Mode, unsupported};
use crate::function::arithmetic::fits;
use crate::function::ticks_per_second;
use crate::function::{Rounding, parse_date, parse_double, parse_time, parse_timestamp, rescale};

/// Reads each text as `to`.
pub(super) fn cast(texts: &StringArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    match to {
        DataType::Boolean => {
            let values = read(texts, to, mode, boolean)?;
            Ok(Arc::new(BooleanArray::from(values)))
        }
        DataType::Int8 => integers::<Int8Type>(texts, to, mode),
        DataType::Int16 => integers::<Int16Type>(texts, to, mode),
        DataType::Int32 => integers::<Int32Type>(texts, to, mode),
        DataType::Int64 => integers::<Int64Type>(texts, to, mode),
        DataType::Float32 => numbers::<Float32Type>(texts, to, mode, |text| {
            parse_double(text).map(|value| value as f32)
        }),
        DataType::Float64 => numbers::<Float64Type>(texts, to, mode, parse_double),
        DataType::Decimal128(precision, scale) => {
            let values = read(texts, to, mode, |text| decimal(text, *precision, *scale))?;
            let values: Decimal128Array = values.into_iter().map(Option::flatten).collect();
            Ok(Arc::new(
                values.with_precision_and_scale(*precision, *scale)?,
            ))
        }
        DataType::Date32 => {
            let values = read(texts, to, mode, |text| {
                i32::try_from(parse_date(text.trim_matches(' '))?).ok()
            })?;
            Ok(Arc::new(Date32Array::from(values)))
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let values = read(texts, to, mode, |text| {
                i32::try_from(parse_time(text.trim_matches(' '))?).ok()
            })?;
            Ok(Arc::new(Time32MillisecondArray::from(values)))
        }
        DataType::Timestamp(unit, _) => {
            let per_second = ticks_per_second(*unit);
            let values = read(texts, to, mode, |text| {
                parse_timestamp(text.trim_matches(' '))?.ticks(per_second)
            })?;
            Ok(arrow::compute::cast(&Int64Array::from(values), to)?)
        }
        _ => Err(unsupported(&DataType::Utf8, to)),
    }
}

fn read<T>(
    texts: &StringArray,
    to: &DataType,
    mode: Mode,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let rows = texts.iter();
    rows.map(|text| match text {
        Some(text) => mode.settle(parse(text), text, to),
        None => Ok(None),
    })
    .collect()
}

fn numbers<T: ArrowPrimitiveType>(
    texts: &StringArray,
    to: &DataType,
    mode: Mode,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let values = read(texts, to, mode, parse)?;
    let array: PrimitiveArray<T> = values.into_iter().collect();
    Ok(Arc::new(array))
}

fn integers<T: ArrowPrimitiveType>(
    texts: &StringArray,
    to: &DataType,
    mode: Mode,
) -> Result<ArrayRef>
where
    T::Native: TryFrom<i64>,
{
    numbers::<T>(texts, to, mode, |text| {
        T::Native::try_from(integer(text)?).ok()
    })
}

/// An integer with blanks around and a fraction, which is left out.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim_matches(' ');
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let (whole, fraction) = text.split_once('.')?;
    let digits = whole.trim_start_matches(['+', '-']);
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(fraction) || digits.len() + 1 < whole.len() {
        return None;
    }
    match digits.is_empty() {
        true if fraction.is_empty() => None,
        true => Some(0),
        false => whole.parse().ok(),
    }
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.trim_matches(' ');
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    if ["t", "true", "y", "yes", "1"].iter().any(is) {
        return Some(true);
    }
    let no = ["f", "false", "n", "no", "0"].iter().any(is);
    no.then_some(false)
}

/// None if it is no number; some none if it has too many digits, which is null even without
/// TRY_CAST, as in Flink.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<Option<i128>> {
    let (mantissa, from) = mantissa_and_scale(text.trim_matches(' '))?;
    let value = mantissa.and_then(|mantissa| rescale(mantissa, from, scale, Rounding::HalfUp));
    Some(value.filter(|value| fits(*value, precision)))
}

/// `-12.5e3` as an unscaled value (none if it overflows) and its scale.
fn mantissa_and_scale(text: &str) -> Option<(Option<i128>, i8)> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = Some(0i128);
    let mut scale = 0i32;
    for (index, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        if !byte.is_ascii_digit() {
            return None;
        }
        let in_fraction = index >= whole.len();
        let digit = i128::from(byte - b'0');
        let next = value.and_then(|value| value.checked_mul(10)?.checked_add(digit));
        // A fraction may have more digits than fit: the rest is far below any scale.
        if next.is_some() || !in_fraction {
            value = next;
            scale += i32::from(in_fraction);
        } else {
            continue;
        }
    }
    let scale = i8::try_from(scale.saturating_sub(exponent).clamp(-100, 100)).ok()?;
    Some((
        value.map(|value| if negative { -value } else { value }),
        scale,
    ))
}
