//! A growing column and how each SQL type reads its JSON value.
//!
//! Columns are vectors of our own rather than Arrow's builders, because a record that turns out
//! bad in its last field must be taken back: every column can be cut to a number of rows. They
//! become Arrow arrays without copying.
//!
//! INVARIANT: `nulls` has one entry for each row; the values have as many.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::NullBufferBuilder;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMillisecondType, Fields,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::cursor::{Cursor, Fault, Mismatch};
use super::nested::{ListValues, MapValues};
use super::object::Object;
use super::{JsonOptions, escape, number};
use crate::formats::{base64, temporal};

/// A column of one type.
#[derive(Debug)]
pub(super) struct Column {
    data_type: DataType,
    nullable: bool,
    nulls: NullBufferBuilder,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Boolean(Bits),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8, i8),
    Date(Vec<i32>),
    Time(Vec<i32>),
    Timestamp(Vec<i64>, TimeUnit, bool),
    Interval(Vec<i64>),
    Text(Texts),
    Bytes(Texts),
    Row(Fields, Box<Object>),
    List(Box<ListValues>),
    Map(Box<MapValues>),
}

/// Booleans, a bit each.
struct Bits(BooleanBufferBuilder);

impl std::fmt::Debug for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bits({})", self.0.len())
    }
}

/// Strings or bytes, one after another.
#[derive(Debug)]
pub(super) struct Texts {
    /// Where each begins; one more at the end.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    pub fn new() -> Self {
        Self {
            offsets: vec![0],
            bytes: vec![],
        }
    }

    /// Ends a value: what was appended to the bytes since the last one.
    #[inline]
    fn end(&mut self) {
        // A batch is below 2 GiB and no value takes more bytes than it has in its record.
        self.offsets.push(self.bytes.len() as i32);
    }

    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    pub fn truncate(&mut self, rows: usize) {
        if rows + 1 < self.offsets.len() {
            self.offsets.truncate(rows + 1);
        }
        // Also what a value left behind that failed half-way.
        let end = self.offsets.last().copied().unwrap_or_default();
        self.bytes.truncate(end as usize);
    }

    /// Offsets and bytes, leaving room for about as many.
    pub fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let (rows, bytes) = (self.offsets.len(), self.bytes.len() + self.bytes.len() / 8);
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows));
        self.offsets.push(0);
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(bytes));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        (offsets, Buffer::from_vec(bytes))
    }
}

impl Column {
    /// An empty column; `InvalidInput` for a type that JSON cannot hold.
    pub fn new(data_type: &DataType, nullable: bool) -> Result<Self> {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(Bits(BooleanBufferBuilder::new(0))),
            DataType::Int8 => Values::Int8(vec![]),
            DataType::Int16 => Values::Int16(vec![]),
            DataType::Int32 => Values::Int32(vec![]),
            DataType::Int64 => Values::Int64(vec![]),
            DataType::Float32 => Values::Float32(vec![]),
            DataType::Float64 => Values::Float64(vec![]),
            DataType::Decimal128(precision, scale) => Values::Decimal(vec![], *precision, *scale),
            DataType::Date32 => Values::Date(vec![]),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(vec![]),
            DataType::Timestamp(unit, zone) if *unit != TimeUnit::Second => {
                Values::Timestamp(vec![], *unit, zone.is_some())
            }
            DataType::Duration(TimeUnit::Millisecond) => Values::Interval(vec![]),
            DataType::Utf8 => Values::Text(Texts::new()),
            DataType::Binary => Values::Bytes(Texts::new()),
            DataType::Struct(fields) => Values::Row(fields.clone(), Box::new(Object::new(fields)?)),
            DataType::List(item) => Values::List(Box::new(ListValues::new(item)?)),
            DataType::Map(entries, _) => Values::Map(Box::new(MapValues::new(entries)?)),
            other => {
                let message = format!("the JSON format has no {}", sql_name(other));
                return Err(Error::invalid(message));
            }
        };
        Ok(Self {
            data_type: data_type.clone(),
            nullable,
            nulls: NullBufferBuilder::new(0),
            values,
        })
    }

    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Whether null is allowed.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// The type in SQL's words, for messages.
    #[cold]
    pub fn expected(&self) -> String {
        let name = sql_name(&self.data_type);
        if self.nullable {
            return name;
        }
        format!("{name} NOT NULL")
    }

    /// Decodes the value that stands here, and appends it. After a fault the column may have
    /// more rows or bytes than before: the caller cuts it.
    #[inline]
    pub fn decode_value(&mut self, cursor: &mut Cursor, options: JsonOptions) -> Result<(), Fault> {
        if cursor.peek() == Some(b'n') {
            cursor.literal("null")?;
            if !self.nullable {
                return Err(cursor.mismatch(Mismatch {
                    path: String::new(),
                    found: "null".to_owned(),
                    expected: self.expected(),
                }));
            }
            self.push_null();
            return Ok(());
        }
        let start = cursor.position();
        if self.values.decode(self.nulls.len(), cursor, options)? {
            self.nulls.append_non_null();
            return Ok(());
        }
        Err(cursor.wrong_value(start, self.expected_here()))
    }

    #[cold]
    fn expected_here(&self) -> String {
        let like = match self.data_type {
            DataType::Date32 => ", like `2025-06-15`",
            DataType::Time32(_) => ", like `15:06:00`",
            DataType::Timestamp(..) => ", in the form of `json.timestamp-format.standard`",
            _ => "",
        };
        self.expected() + like
    }

    /// Appends null.
    pub fn push_null(&mut self) {
        self.nulls.append_null();
        self.values.push_default();
    }

    /// Cuts the column to `rows`, if it is longer.
    pub fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        self.values.truncate(rows);
    }

    /// Makes room for `rows` more.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(bits) => bits.0.reserve(rows),
            Values::Int8(values) => values.reserve(rows),
            Values::Int16(values) => values.reserve(rows),
            Values::Int32(values) | Values::Date(values) | Values::Time(values) => {
                values.reserve(rows);
            }
            Values::Int64(values) | Values::Timestamp(values, ..) | Values::Interval(values) => {
                values.reserve(rows);
            }
            Values::Float32(values) => values.reserve(rows),
            Values::Float64(values) => values.reserve(rows),
            Values::Decimal(values, ..) => values.reserve(rows),
            Values::Text(texts) | Values::Bytes(texts) => texts.offsets.reserve(rows),
            Values::Row(_, object) => object.reserve(rows),
            Values::List(_) | Values::Map(_) => {}
        }
    }

    /// The column as an array, leaving it empty.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let rows = self.nulls.len();
        let nulls = self.nulls.finish();
        let data_type = &self.data_type;
        Ok(match &mut self.values {
            Values::Boolean(bits) => Arc::new(BooleanArray::new(bits.0.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls, data_type),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, data_type),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, data_type),
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, data_type),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, data_type),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, data_type),
            Values::Decimal(values, ..) => primitive::<Decimal128Type>(values, nulls, data_type),
            Values::Date(values) => primitive::<Date32Type>(values, nulls, data_type),
            Values::Time(values) => primitive::<Time32MillisecondType>(values, nulls, data_type),
            Values::Timestamp(values, unit, _) => match unit {
                TimeUnit::Nanosecond => {
                    primitive::<TimestampNanosecondType>(values, nulls, data_type)
                }
                TimeUnit::Microsecond => {
                    primitive::<TimestampMicrosecondType>(values, nulls, data_type)
                }
                _ => primitive::<TimestampMillisecondType>(values, nulls, data_type),
            },
            Values::Interval(values) => {
                primitive::<DurationMillisecondType>(values, nulls, data_type)
            }
            Values::Text(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Bytes(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Row(fields, object) => {
                let (fields, arrays) = (fields.clone(), object.finish()?);
                Arc::new(StructArray::try_new_with_length(
                    fields, arrays, nulls, rows,
                )?)
            }
            Values::List(list) => list.finish(nulls)?,
            Values::Map(map) => map.finish(nulls)?,
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    let capacity = values.len();
    let values = std::mem::replace(values, Vec::with_capacity(capacity));
    let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
    Arc::new(array.with_data_type(data_type.clone()))
}

impl Values {
    /// Appends the value that stands here as row `row`; `false` if it does not fit, with the
    /// cursor anywhere in the value.
    #[inline]
    fn decode(
        &mut self,
        row: usize,
        cursor: &mut Cursor,
        options: JsonOptions,
    ) -> Result<bool, Fault> {
        let fits = match self {
            Self::Text(texts) => return text(cursor, texts),
            Self::Int64(values) => integer(cursor)?.map(|value| values.push(value)),
            Self::Int32(values) => integer(cursor)?.map(|value| values.push(value)),
            Self::Float64(values) => {
                float(cursor, |number| number.to_f64())?.map(|value| values.push(value))
            }
            Self::Float32(values) => {
                float(cursor, |number| number.to_f32())?.map(|value| values.push(value))
            }
            Self::Boolean(bits) => boolean(cursor)?.map(|value| bits.0.append(value)),
            Self::Int16(values) => integer(cursor)?.map(|value| values.push(value)),
            Self::Int8(values) => integer(cursor)?.map(|value| values.push(value)),
            Self::Interval(values) => integer(cursor)?.map(|value| values.push(value)),
            Self::Decimal(values, precision, scale) => {
                let value = with_number(cursor, |number| {
                    number::to_decimal(number.text, *precision, *scale)
                })?;
                value.map(|value| values.push(value))
            }
            Self::Date(values) => {
                let value = string(cursor)?.and_then(|text| temporal::parse_date(&text));
                value.map(|value| values.push(value))
            }
            Self::Time(values) => {
                let value = string(cursor)?.and_then(|text| temporal::parse_time(&text));
                value.map(|value| values.push(value))
            }
            Self::Timestamp(values, unit, is_ltz) => {
                let parse = if *is_ltz {
                    temporal::parse_timestamp_ltz
                } else {
                    temporal::parse_timestamp
                };
                let time = string(cursor)?.and_then(|text| parse(&text, options.timestamps));
                let value = time.and_then(|time| time.to_units(per_second(*unit)));
                value.map(|value| values.push(value))
            }
            Self::Bytes(texts) => {
                let bytes = string(cursor)?;
                let decoded = bytes.and_then(|bytes| base64::decode(&bytes, &mut texts.bytes));
                decoded.map(|()| texts.end())
            }
            Self::Row(_, object) if cursor.peek() == Some(b'{') => {
                return object.decode(row, cursor, options).map(|()| true);
            }
            Self::List(list) if cursor.peek() == Some(b'[') => {
                return list.decode(cursor, options).map(|()| true);
            }
            Self::Map(map) if cursor.peek() == Some(b'{') => {
                return map.decode(cursor, options).map(|()| true);
            }
            Self::Row(..) | Self::List(_) | Self::Map(_) => None,
        };
        Ok(fits.is_some())
    }

    /// Appends what stands in place of a value where there is none.
    fn push_default(&mut self) {
        match self {
            Self::Boolean(bits) => bits.0.append(false),
            Self::Int8(values) => values.push(0),
            Self::Int16(values) => values.push(0),
            Self::Int32(values) | Self::Date(values) | Self::Time(values) => values.push(0),
            Self::Int64(values) | Self::Timestamp(values, ..) | Self::Interval(values) => {
                values.push(0);
            }
            Self::Float32(values) => values.push(0.0),
            Self::Float64(values) => values.push(0.0),
            Self::Decimal(values, ..) => values.push(0),
            Self::Text(texts) | Self::Bytes(texts) => texts.end(),
            Self::Row(_, object) => object.push_null(),
            Self::List(list) => list.end(),
            Self::Map(map) => map.end(),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Boolean(bits) => bits.0.truncate(rows),
            Self::Int8(values) => values.truncate(rows),
            Self::Int16(values) => values.truncate(rows),
            Self::Int32(values) | Self::Date(values) | Self::Time(values) => values.truncate(rows),
            Self::Int64(values) | Self::Timestamp(values, ..) | Self::Interval(values) => {
                values.truncate(rows);
            }
            Self::Float32(values) => values.truncate(rows),
            Self::Float64(values) => values.truncate(rows),
            Self::Decimal(values, ..) => values.truncate(rows),
            Self::Text(texts) | Self::Bytes(texts) => texts.truncate(rows),
            Self::Row(_, object) => object.truncate(rows),
            Self::List(list) => list.truncate(rows),
            Self::Map(map) => map.truncate(rows),
        }
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Appends a STRING: a string's text; a number or a boolean as written; an object or an array as
/// compact JSON.
#[inline]
fn text(cursor: &mut Cursor, texts: &mut Texts) -> Result<bool, Fault> {
    let start = cursor.position();
    match cursor.peek() {
        Some(b'"') => {
            let text = cursor.string()?;
            if text.escaped {
                escape::unescape(text.raw, &mut texts.bytes);
            } else {
                texts.bytes.extend_from_slice(text.raw);
            }
        }
        Some(b'{' | b'[') => {
            cursor.skip_value()?;
            escape::write_compact(cursor.since(start), &mut texts.bytes);
        }
        _ => {
            cursor.skip_value()?;
            texts.bytes.extend_from_slice(cursor.since(start));
        }
    }
    texts.end();
    Ok(true)
}

/// The text of a string; `None` if something else stands here.
fn string<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, [u8]>>, Fault> {
    if cursor.peek() != Some(b'"') {
        return Ok(None);
    }
    let text = cursor.string()?;
    if !text.escaped {
        return Ok(Some(Cow::Borrowed(text.raw)));
    }
    let mut unescaped = vec![];
    escape::unescape(text.raw, &mut unescaped);
    Ok(Some(Cow::Owned(unescaped)))
}

/// What `convert` makes of a number, written as one or in a string.
#[inline]
fn with_number<T>(
    cursor: &mut Cursor,
    convert: impl FnOnce(number::Number) -> Option<T>,
) -> Result<Option<T>, Fault> {
    if let Some(b'-' | b'0'..=b'9') = cursor.peek() {
        return cursor.number().map(convert);
    }
    let text = string(cursor)?;
    Ok(text.and_then(|text| number::in_string(&text).and_then(convert)))
}

#[inline]
fn integer<T: TryFrom<i64>>(cursor: &mut Cursor) -> Result<Option<T>, Fault> {
    with_number(cursor, |number| {
        number.to_i64().and_then(|value| T::try_from(value).ok())
    })
}

/// A number, or one of the words for what is not a number in a string.
fn float<T: From<f32> + PartialEq + Copy>(
    cursor: &mut Cursor,
    convert: fn(number::Number) -> T,
) -> Result<Option<T>, Fault> {
    let (plus, minus) = (T::from(f32::INFINITY), T::from(f32::NEG_INFINITY));
    if cursor.peek() == Some(b'"') {
        let start = cursor.position();
        cursor.string()?;
        match cursor.since(start) {
            b"\"NaN\"" => return Ok(Some(T::from(f32::NAN))),
            b"\"Infinity\"" => return Ok(Some(plus)),
            b"\"-Infinity\"" => return Ok(Some(minus)),
            _ => cursor.go_to(start),
        }
    }
    with_number(cursor, |number| {
        let value = convert(number);
        (value != plus && value != minus).then_some(value)
    })
}

fn boolean(cursor: &mut Cursor) -> Result<Option<bool>, Fault> {
    match cursor.peek() {
        Some(b't') => cursor.literal("true").map(|()| Some(true)),
        Some(b'f') => cursor.literal("false").map(|()| Some(false)),
        _ => Ok(string(cursor)?.and_then(|text| match text.trim_ascii() {
            text if text.eq_ignore_ascii_case(b"true") => Some(true),
            text if text.eq_ignore_ascii_case(b"false") => Some(false),
            _ => None,
        })),
    }
}
