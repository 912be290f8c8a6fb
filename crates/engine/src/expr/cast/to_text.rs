//! Anything to text, as Flink prints it.

use std::fmt::{Display, Write};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit,
};
use millstream_core::Result;

use super::unsupported;
use crate::function::{
    Date, Instant, SECONDS_PER_DAY, build_texts, ticks_per_second, write_date, write_time,
    write_timestamp,
};

/// Writes each value as text.
pub(super) fn cast(array: &ArrayRef) -> Result<ArrayRef> {
    let write = writer(array)?;
    Ok(build_texts(array.len(), |row, out| {
        if array.is_null(row) {
            return None;
        }
        write(row, out);
        Some(())
    }))
}

/// Writes the value of a row, which is not null.
pub(crate) type Writer<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// Writes values of `array` as text.
pub(crate) fn writer(array: &ArrayRef) -> Result<Writer<'_>> {
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            Box::new(|row, out| out.push_str(texts.value(row)))
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            Box::new(|row, out| out.push_str(&String::from_utf8_lossy(bytes.value(row))))
        }
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, out| out.push_str(if values.value(row) { "TRUE" } else { "FALSE" }))
        }
        DataType::Int8 => display(array.as_primitive::<Int8Type>()),
        DataType::Int16 => display(array.as_primitive::<Int16Type>()),
        DataType::Int32 => display(array.as_primitive::<Int32Type>()),
        DataType::Int64 => display(array.as_primitive::<Int64Type>()),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(|row, out| write_float(&values.value(row), out))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(|row, out| write_float(&values.value(row), out))
        }
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>();
            Box::new(|row, out| write_decimal(values.value(row), values.scale(), out))
        }
        DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => nested_writer(array)?,
        _ => time_writer(array)?,
    })
}

fn display<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Writer<'_>
where
    T::Native: Display,
{
    Box::new(|row, out| {
        write!(out, "{}", array.value(row)).expect("writing to a string never fails");
    })
}

fn time_writer(array: &ArrayRef) -> Result<Writer<'_>> {
    Ok(match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            Box::new(|row, out| write_date(Date::from_days(i64::from(days.value(row))), out))
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let times = array.as_primitive::<Time32MillisecondType>();
            Box::new(|row, out| {
                let ms = i64::from(times.value(row));
                write_time(Instant::from_ticks(ms, 1_000), out);
            })
        }
        DataType::Timestamp(unit, _) => {
            let per_second = ticks_per_second(*unit);
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let ticks = arrow::compute::cast(array, &DataType::Int64)?;
            let ticks = ticks.as_primitive::<Int64Type>().clone();
            Box::new(move |row, out| {
                let instant = Instant::from_ticks(ticks.value(row), per_second);
                write_timestamp(instant, digits, out);
            })
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            let values = array.as_primitive::<DurationMillisecondType>();
            Box::new(|row, out| write_interval(values.value(row), out))
        }
        other => return Err(unsupported(other, &DataType::Utf8)),
    })
}

/// `(a, b)`, `[a, b]`, `{k=v}`; a null inside is `NULL`.
fn nested_writer(array: &ArrayRef) -> Result<Writer<'_>> {
    if let Some(rows) = array.as_struct_opt() {
        let columns = rows.columns().iter().map(element_writer);
        let columns = columns.collect::<Result<Vec<_>>>()?;
        return Ok(Box::new(move |row, out| {
            out.push('(');
            for (index, write) in columns.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(row, out);
            }
            out.push(')');
        }));
    }
    if let Some(list) = array.as_list_opt::<i32>() {
        let write = element_writer(list.values())?;
        return Ok(Box::new(move |row, out| {
            out.push('[');
            for (index, element) in range(list.value_offsets(), row).enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(element, out);
            }
            out.push(']');
        }));
    }
    let map = array.as_map();
    let (key, value) = (element_writer(map.keys())?, element_writer(map.values())?);
    Ok(Box::new(move |row, out| {
        out.push('{');
        for (index, entry) in range(map.value_offsets(), row).enumerate() {
            out.push_str(if index > 0 { ", " } else { "" });
            key(entry, out);
            out.push('=');
            value(entry, out);
        }
        out.push('}');
    }))
}

fn element_writer(array: &ArrayRef) -> Result<Writer<'_>> {
    let write = writer(array)?;
    Ok(Box::new(move |row, out| match array.is_null(row) {
        true => out.push_str("NULL"),
        false => write(row, out),
    }))
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let offset = |index: usize| usize::try_from(offsets[index]).expect("offsets are not negative");
    offset(row)..offset(row + 1)
}

/// As Java's `Double.toString`: `1.0`, `1.0E10`, `1.5E-5`, `NaN`, `-Infinity`.
pub(crate) fn write_float<T: std::fmt::LowerExp>(value: &T, out: &mut String) {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return out.push_str(match text.as_str() {
            "inf" => "Infinity",
            "-inf" => "-Infinity",
            _ => "NaN",
        });
    };
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    out.push_str(sign);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let or_zero = |text: &str| if text.is_empty() { "0" } else { text }.to_owned();
    match exponent {
        0..7 => {
            let shift = usize::try_from(exponent).expect("not negative");
            let padded = format!("{fraction:0<shift$}");
            let (moved, rest) = padded.split_at(shift);
            out.extend([whole, moved, ".", &or_zero(rest)]);
        }
        -3..0 => {
            let zeros = usize::try_from(-exponent - 1).expect("not negative");
            out.extend(["0.", &"0".repeat(zeros), whole, fraction]);
        }
        _ => out.extend([whole, ".", &or_zero(fraction), "E", &exponent.to_string()]),
    }
}

fn write_decimal(value: i128, scale: i8, out: &mut String) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push('-');
    }
    let Ok(scale @ 1..) = usize::try_from(scale) else {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
        return;
    };
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.extend([whole, ".", fraction]);
}

/// `+1 02:03:04.005`: days, then the time.
fn write_interval(ms: i64, out: &mut String) {
    let magnitude = ms.unsigned_abs();
    let day = (SECONDS_PER_DAY * 1_000).unsigned_abs();
    let (days, rest) = (magnitude / day, magnitude % day);
    let sign = if ms < 0 { '-' } else { '+' };
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
    write!(
        out,
        "{sign}{days} {hours:02}:{minutes:02}:{seconds:02}.{millis:03}"
    )
    .expect("writing to a string never fails");
}
