//! The cells of one Arrow column, each written as a JSON value without allocating.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, LargeStringArray,
    ListArray, MapArray, PrimitiveArray, StringArray, StringViewArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::encoder::{struct_prefixes, write_object};
use super::escape;
use crate::formats::base64;
use crate::formats::temporal::{self, DateTime, TimestampStandard};

/// A column, by type.
pub(super) struct Cells<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    /// Every cell is null.
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a [i64]),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a Decimal128Array, i8),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time32MillisecondType>),
    /// Values, units a second, whether a `Z` follows.
    Timestamp(&'a [i64], i64, bool),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Bytes(&'a BinaryArray),
    Row(Vec<Vec<u8>>, Vec<Cells<'a>>),
    List(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, &'a StringArray, Box<Cells<'a>>),
}

impl<'a> Cells<'a> {
    /// The cells of `array`; `InvalidInput` for a type that JSON cannot hold.
    pub fn new(array: &'a ArrayRef) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive()),
            DataType::Int16 => Values::Int16(array.as_primitive()),
            DataType::Int32 => Values::Int32(array.as_primitive()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => Values::UInt8(array.as_primitive()),
            DataType::UInt16 => Values::UInt16(array.as_primitive()),
            DataType::UInt32 => Values::UInt32(array.as_primitive()),
            DataType::UInt64 => Values::UInt64(array.as_primitive()),
            DataType::Float32 => Values::Float32(array.as_primitive()),
            DataType::Float64 => Values::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => {
                Values::Decimal(array.as_primitive::<Decimal128Type>(), *scale)
            }
            DataType::Date32 => Values::Date(array.as_primitive()),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(array.as_primitive()),
            DataType::Timestamp(unit, zone) => {
                let (values, per_second) = timestamps(array, *unit);
                Values::Timestamp(values, per_second, zone.is_some())
            }
            DataType::Duration(TimeUnit::Millisecond) => {
                Values::Int64(array.as_primitive::<DurationMillisecondType>().values())
            }
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::LargeUtf8 => Values::LargeText(array.as_string()),
            DataType::Utf8View => Values::TextView(array.as_string_view()),
            DataType::Binary => Values::Bytes(array.as_binary()),
            DataType::Struct(_) => {
                let rows = array.as_struct();
                let columns = rows.columns().iter().map(Cells::new);
                Values::Row(struct_prefixes(rows), columns.collect::<Result<_>>()?)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(list, Box::new(Cells::new(list.values())?))
            }
            DataType::Map(..) => map(array.as_map())?,
            other => return Err(unsupported(other)),
        };
        Ok(Self { array, values })
    }

    /// Appends cell `row`.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.array.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match &self.values {
            Values::Text(texts) => escape::write_string(texts.value(row).as_bytes(), out),
            Values::Int64(values) => write_integer(values[row], out),
            Values::Timestamp(values, per_second, is_ltz) => {
                let time = DateTime::from_units(values[row], *per_second);
                out.push(b'"');
                temporal::write_timestamp(time, TimestampStandard::Sql, out);
                out.extend_from_slice(if *is_ltz { b"Z\"" } else { b"\"" });
            }
            Values::Float64(values) => write_f64(values.value(row), out),
            Values::Float32(values) => write_f32(values.value(row), out),
            Values::Null => out.extend_from_slice(b"null"),
            Values::Boolean(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
            }
            Values::Int8(values) => write_integer(values.value(row), out),
            Values::Int16(values) => write_integer(values.value(row), out),
            Values::Int32(values) => write_integer(values.value(row), out),
            Values::UInt8(values) => write_integer(values.value(row), out),
            Values::UInt16(values) => write_integer(values.value(row), out),
            Values::UInt32(values) => write_integer(values.value(row), out),
            Values::UInt64(values) => write_integer(values.value(row), out),
            Values::Decimal(values, scale) => write_decimal(values.value(row), *scale, out),
            Values::Date(values) => {
                quoted(out, |out| temporal::write_date(values.value(row), out));
            }
            Values::Time(values) => {
                quoted(out, |out| temporal::write_time(values.value(row), out));
            }
            Values::LargeText(texts) => escape::write_string(texts.value(row).as_bytes(), out),
            Values::TextView(texts) => escape::write_string(texts.value(row).as_bytes(), out),
            Values::Bytes(bytes) => quoted(out, |out| base64::encode(bytes.value(row), out)),
            Values::Row(prefixes, columns) => write_object(prefixes, columns, row, out),
            Values::List(list, elements) => {
                let range = list.value_offsets()[row]..list.value_offsets()[row + 1];
                write_list(range.start as usize..range.end as usize, elements, out);
            }
            Values::Map(map, keys, values) => {
                let range = map.value_offsets()[row]..map.value_offsets()[row + 1];
                write_map(range.start as usize..range.end as usize, keys, values, out);
            }
        }
    }
}

fn unsupported(data_type: &DataType) -> Error {
    Error::invalid(format!("the JSON format has no {}", sql_name(data_type)))
}

fn timestamps(array: &ArrayRef, unit: TimeUnit) -> (&[i64], i64) {
    match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().values(), 1),
        TimeUnit::Millisecond => {
            let array = array.as_primitive::<TimestampMillisecondType>();
            (array.values(), 1_000)
        }
        TimeUnit::Microsecond => {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            (array.values(), 1_000_000)
        }
        TimeUnit::Nanosecond => {
            let array = array.as_primitive::<TimestampNanosecondType>();
            (array.values(), 1_000_000_000)
        }
    }
}

fn map(map: &MapArray) -> Result<Values<'_>> {
    let Some(keys) = map.keys().as_string_opt::<i32>() else {
        let key = sql_name(map.key_type());
        let message = format!("keys of a JSON map are STRING, found {key}");
        return Err(Error::invalid(message));
    };
    Ok(Values::Map(map, keys, Box::new(Cells::new(map.values())?)))
}

fn write_list(elements: std::ops::Range<usize>, cells: &Cells, out: &mut Vec<u8>) {
    out.push(b'[');
    for element in elements.clone() {
        if element > elements.start {
            out.push(b',');
        }
        cells.write(element, out);
    }
    out.push(b']');
}

fn write_map(
    entries: std::ops::Range<usize>,
    keys: &StringArray,
    values: &Cells,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for entry in entries.clone() {
        if entry > entries.start {
            out.push(b',');
        }
        escape::write_string(keys.value(entry).as_bytes(), out);
        out.push(b':');
        values.write(entry, out);
    }
    out.push(b'}');
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

#[inline]
fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(value).as_bytes());
}

fn write_f64(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        let mut buffer = ryu::Buffer::new();
        return out.extend_from_slice(buffer.format_finite(value).as_bytes());
    }
    out.extend_from_slice(not_finite(value.is_nan(), value > 0.0));
}

fn write_f32(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        let mut buffer = ryu::Buffer::new();
        return out.extend_from_slice(buffer.format_finite(value).as_bytes());
    }
    out.extend_from_slice(not_finite(value.is_nan(), value > 0.0));
}

fn not_finite(is_nan: bool, is_positive: bool) -> &'static [u8] {
    match (is_nan, is_positive) {
        (true, _) => b"\"NaN\"",
        (_, true) => b"\"Infinity\"",
        (_, false) => b"\"-Infinity\"",
    }
}

/// A plain number with as many digits after the point as the scale says.
fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let Ok(scale @ 1..) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        let zeros = if value == 0 {
            0
        } else {
            usize::from(scale.unsigned_abs())
        };
        return out.extend(std::iter::repeat_n(b'0', zeros));
    };
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', scale - fraction.len()));
    out.extend_from_slice(fraction);
}
