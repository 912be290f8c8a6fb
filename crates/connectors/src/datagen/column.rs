//! What one column holds, from its type and its options; and its values for a range of rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, ListArray, PrimitiveArray, StringBuilder, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMillisecondType, FieldRef,
    Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use millstream_core::plan::ConnectorConfig;
use millstream_core::quantity::duration_ms;
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use crate::formats::temporal::{self, TimestampStandard};
use crate::generator::random::{SplitMix64, scale, unit};

/// What may stand behind `fields.<column>.`.
pub(super) const FIELD_OPTIONS: &[&str] = &[
    "kind",
    "min",
    "max",
    "length",
    "start",
    "end",
    "max-past",
    "null-rate",
];

/// Sets the random numbers for nulls apart from those for values.
const NULLS: u64 = 0x6e75_6c6c;

/// The longest text, and the longest array: a batch has thousands of them.
const LENGTH_MAX: usize = 100_000;

const DAY_MS: i64 = 86_400_000;

/// The options of one field.
pub(super) struct FieldOptions<'a> {
    config: &'a ConnectorConfig,
    /// `fields.<column>`, or deeper.
    path: String,
}

impl<'a> FieldOptions<'a> {
    pub fn new(config: &'a ConnectorConfig, path: String) -> Self {
        Self { config, path }
    }

    fn within(&self, name: &str) -> Self {
        Self::new(self.config, format!("{}.{name}", self.path))
    }

    fn get<T>(
        &self,
        option: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let key = format!("{}.{option}", self.path);
        let Some(text) = self.config.get(&key) else {
            return Ok(None);
        };
        let value = parse(text.trim());
        let message = || format!("`{key}`: found `{text}`, expected {expected}");
        let error = || Error::of_option(&key, message());
        value.map(Some).ok_or_else(error)
    }

    fn integer(&self, option: &str) -> Result<Option<i64>> {
        self.get(option, "a whole number", |text| text.parse().ok())
    }

    /// Start and end, if the field is a sequence.
    pub fn sequence(&self) -> Result<Option<(i64, i64)>> {
        let kind = self.get("kind", "`random` or `sequence`", |text| match text {
            "random" => Some(false),
            "sequence" => Some(true),
            _ => None,
        })?;
        if kind != Some(true) {
            return Ok(None);
        }
        match (self.integer("start")?, self.integer("end")?) {
            (Some(start), Some(end)) if start <= end => Ok(Some((start, end))),
            (start, end) => {
                let text = |value: Option<i64>| value.map_or("nothing".into(), |v| v.to_string());
                let message = format!(
                    "`{0}.start` and `{0}.end` of a sequence: found {1} and {2}, expected whole \
                     numbers, the start not above the end",
                    self.path,
                    text(start),
                    text(end)
                );
                Err(self.about_any(&["end", "start", "kind"], message))
            }
        }
    }

    fn refuse_sequence(&self, data_type: &DataType) -> Result<()> {
        if self.sequence()?.is_none() {
            return Ok(());
        }
        let name = sql_name(data_type);
        let message = format!("`{}.kind`: {name} cannot be a `sequence`", self.path);
        Err(self.about_any(&["kind"], message))
    }

    /// An error about the first of these options that is given.
    fn about_any(&self, options: &[&str], message: String) -> Error {
        let keys = options
            .iter()
            .map(|option| format!("{}.{option}", self.path));
        match keys.into_iter().find(|key| self.config.get(key).is_some()) {
            Some(key) => Error::of_option(key, message),
            None => Error::invalid(message),
        }
    }
}

/// Where rows stand in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Wall-clock time at which row `opened_at` comes, ms since the Unix epoch.
    pub opened_ms: i64,
    /// The row at which the reader was opened.
    pub opened_at: u64,
    /// Rows in a second.
    pub rows_per_second: u64,
}

impl Clock {
    fn time_ms(self, row: u64, start_ms: Option<i64>) -> i64 {
        let (start, rows) = match start_ms {
            Some(start) => (start, row),
            None => (self.opened_ms, row.saturating_sub(self.opened_at)),
        };
        let elapsed = u128::from(rows) * 1_000 / u128::from(self.rows_per_second);
        start.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }
}

/// A column.
#[derive(Debug)]
pub(super) struct ColumnSpec {
    data_type: DataType,
    seed: u64,
    null_rate: f64,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Boolean,
    /// Any whole number in the range, ends included.
    Integer(i64, i64),
    Float(f64, f64),
    Decimal(i128, i128),
    /// Row n has start + n.
    Sequence(i64),
    /// So many hexadecimal digits, or bytes.
    Text(usize),
    Time {
        start_ms: Option<i64>,
        past_ms: u64,
    },
    Row(Fields, Vec<ColumnSpec>),
    List(FieldRef, usize, Box<ColumnSpec>),
}

impl ColumnSpec {
    /// `InvalidInput` for a type that cannot be made, or an option that does not fit it.
    pub fn new(data_type: &DataType, options: &FieldOptions, seed: u64) -> Result<Self> {
        let null_rate = options.get("null-rate", "a share from 0 to 1", |text| {
            let rate: f64 = text.parse().ok()?;
            (0.0..=1.0).contains(&rate).then_some(rate)
        })?;
        let path = xxhash_rust::xxh3::xxh3_64(options.path.as_bytes());
        Ok(Self {
            data_type: data_type.clone(),
            seed: SplitMix64::at(path, seed),
            null_rate: null_rate.unwrap_or(0.0),
            values: Values::new(data_type, options, seed)?,
        })
    }

    /// About how many bytes a row takes.
    pub fn estimated_bytes(&self) -> usize {
        match &self.values {
            Values::Text(length) => *length + 4,
            Values::Row(_, columns) => columns.iter().map(Self::estimated_bytes).sum(),
            Values::List(_, length, element) => length * element.estimated_bytes() + 4,
            _ => self.data_type.primitive_width().unwrap_or(1),
        }
    }

    /// The values of `rows`.
    pub fn array(&self, rows: Range<u64>, clock: Clock) -> Result<ArrayRef> {
        let nulls = self.nulls(&rows);
        Ok(match &self.values {
            Values::Boolean => {
                let values = rows.map(|row| SplitMix64::at(self.seed, row) >> 63 == 1);
                Arc::new(BooleanArray::new(values.collect(), nulls))
            }
            Values::Text(length) => self.texts(rows, *length, nulls.as_ref()),
            Values::Row(fields, columns) => {
                let count = (rows.end - rows.start) as usize;
                let arrays = columns
                    .iter()
                    .map(|column| column.array(rows.clone(), clock));
                let (fields, arrays) = (fields.clone(), arrays.collect::<Result<_>>()?);
                Arc::new(StructArray::try_new_with_length(
                    fields, arrays, nulls, count,
                )?)
            }
            Values::List(item, length, element) => {
                let per_row = *length as u64;
                let elements = rows.start * per_row..rows.end * per_row;
                let lengths = rows.map(|_| *length);
                let offsets = OffsetBuffer::from_lengths(lengths);
                let elements = element.array(elements, clock)?;
                Arc::new(ListArray::try_new(
                    Arc::clone(item),
                    offsets,
                    elements,
                    nulls,
                )?)
            }
            Values::Sequence(start) if self.data_type == DataType::Utf8 => {
                let mut builder = StringBuilder::new();
                for row in rows {
                    builder.append_value(start.saturating_add_unsigned(row).to_string());
                }
                Arc::new(builder.finish())
            }
            _ => self.numbers(rows, clock, nulls),
        })
    }

    fn nulls(&self, rows: &Range<u64>) -> Option<NullBuffer> {
        if self.null_rate == 0.0 {
            return None;
        }
        let is_valid = |row| unit(SplitMix64::at(self.seed ^ NULLS, row)) >= self.null_rate;
        let valid: BooleanBuffer = rows.clone().map(is_valid).collect();
        Some(NullBuffer::new(valid))
    }

    fn texts(&self, rows: Range<u64>, length: usize, nulls: Option<&NullBuffer>) -> ArrayRef {
        let is_null = |index| nulls.is_some_and(|nulls| nulls.is_null(index));
        let mut bytes = vec![];
        let mut strings = StringBuilder::new();
        let mut binaries = BinaryBuilder::new();
        let is_text = self.data_type == DataType::Utf8;
        for (index, row) in rows.enumerate() {
            bytes.clear();
            let mut random = SplitMix64::new(SplitMix64::at(self.seed, row));
            while bytes.len() < length {
                let number = random.next();
                if is_text {
                    bytes.extend_from_slice(format!("{number:016x}").as_bytes());
                } else {
                    bytes.extend_from_slice(&number.to_be_bytes());
                }
            }
            bytes.truncate(length);
            match (is_text, is_null(index)) {
                (true, true) => strings.append_null(),
                (true, false) => {
                    strings.append_value(str::from_utf8(&bytes).expect("digits are ASCII"));
                }
                (false, true) => binaries.append_null(),
                (false, false) => binaries.append_value(&bytes),
            }
        }
        if is_text {
            Arc::new(strings.finish())
        } else {
            Arc::new(binaries.finish())
        }
    }

    fn numbers(&self, rows: Range<u64>, clock: Clock, nulls: Option<NullBuffer>) -> ArrayRef {
        let integer = |row| self.integer(row, clock);
        match &self.data_type {
            DataType::Int8 => self.primitive::<Int8Type>(rows, nulls, |row| integer(row) as i8),
            DataType::Int16 => self.primitive::<Int16Type>(rows, nulls, |row| integer(row) as i16),
            DataType::Int32 => self.primitive::<Int32Type>(rows, nulls, |row| integer(row) as i32),
            DataType::Float32 => {
                self.primitive::<Float32Type>(rows, nulls, |row| self.float(row) as f32)
            }
            DataType::Float64 => self.primitive::<Float64Type>(rows, nulls, |row| self.float(row)),
            DataType::Decimal128(..) => {
                self.primitive::<Decimal128Type>(rows, nulls, |row| self.decimal(row))
            }
            DataType::Date32 => self
                .primitive::<Date32Type>(rows, nulls, |row| integer(row).div_euclid(DAY_MS) as i32),
            DataType::Time32(_) => self.primitive::<Time32MillisecondType>(rows, nulls, |row| {
                integer(row).rem_euclid(DAY_MS) as i32
            }),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let value = |row| integer(row).saturating_mul(1_000);
                self.primitive::<TimestampMicrosecondType>(rows, nulls, value)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                let value = |row| integer(row).saturating_mul(1_000_000);
                self.primitive::<TimestampNanosecondType>(rows, nulls, value)
            }
            DataType::Timestamp(..) => {
                self.primitive::<TimestampMillisecondType>(rows, nulls, integer)
            }
            DataType::Duration(_) => {
                self.primitive::<DurationMillisecondType>(rows, nulls, integer)
            }
            _ => self.primitive::<Int64Type>(rows, nulls, integer),
        }
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        rows: Range<u64>,
        nulls: Option<NullBuffer>,
        value: impl Fn(u64) -> T::Native,
    ) -> ArrayRef {
        let values: Vec<T::Native> = rows.map(value).collect();
        let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
        Arc::new(array.with_data_type(self.data_type.clone()))
    }

    /// A whole number, or a time in ms since the Unix epoch.
    fn integer(&self, row: u64, clock: Clock) -> i64 {
        let random = SplitMix64::at(self.seed, row);
        match self.values {
            Values::Integer(min, max) => {
                // The width of the whole range is 2^64.
                let below = match max.abs_diff(min).checked_add(1) {
                    Some(width) => scale(random, width),
                    None => random,
                };
                min.wrapping_add_unsigned(below)
            }
            Values::Sequence(start) => start.saturating_add_unsigned(row),
            Values::Time { start_ms, past_ms } => {
                let past = scale(random, past_ms.saturating_add(1));
                clock.time_ms(row, start_ms).saturating_sub_unsigned(past)
            }
            _ => 0,
        }
    }

    fn float(&self, row: u64) -> f64 {
        match self.values {
            // Each end is scaled by itself, as the range may be wider than a double.
            Values::Float(min, max) => {
                let share = unit(SplitMix64::at(self.seed, row));
                min * (1.0 - share) + max * share
            }
            Values::Sequence(start) => start.saturating_add_unsigned(row) as f64,
            _ => 0.0,
        }
    }

    fn decimal(&self, row: u64) -> i128 {
        let random = SplitMix64::at(self.seed, row);
        let wide = u128::from(random) << 64 | u128::from(SplitMix64::new(random).next());
        match (&self.values, &self.data_type) {
            (Values::Decimal(min, max), _) => {
                min.wrapping_add_unsigned(wide % (max.abs_diff(*min) + 1))
            }
            (Values::Sequence(start), DataType::Decimal128(_, scale)) => {
                let whole = i128::from(start.saturating_add_unsigned(row));
                whole * 10_i128.pow(u32::from(scale.unsigned_abs()))
            }
            _ => 0,
        }
    }
}

impl Values {
    fn new(data_type: &DataType, options: &FieldOptions, seed: u64) -> Result<Self> {
        match data_type {
            DataType::Int8 => return integers(options, i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => return integers(options, i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => return integers(options, i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => return integers(options, i64::MIN, i64::MAX),
            DataType::Float32 => return floats(options, f32::MIN.into(), f32::MAX.into()),
            DataType::Float64 => return floats(options, f64::MIN, f64::MAX),
            DataType::Decimal128(precision, scale) => {
                return decimals(options, *precision, *scale);
            }
            DataType::Utf8 => {
                if let Some((start, _)) = options.sequence()? {
                    return Ok(Self::Sequence(start));
                }
            }
            _ => options.refuse_sequence(data_type)?,
        }
        let length = |default| {
            let expected = format!("a whole number up to {LENGTH_MAX}");
            let length = options.get("length", &expected, |text| {
                text.parse().ok().filter(|length| *length <= LENGTH_MAX)
            });
            Ok::<usize, Error>(length?.unwrap_or(default))
        };
        Ok(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Utf8 | DataType::Binary => Self::Text(length(100)?),
            DataType::Duration(TimeUnit::Millisecond) => Self::Integer(0, DAY_MS),
            DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..) => times(options)?,
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| {
                    ColumnSpec::new(field.data_type(), &options.within(field.name()), seed)
                });
                Self::Row(fields.clone(), columns.collect::<Result<_>>()?)
            }
            DataType::List(item) => {
                let element = options.within("element");
                let element = ColumnSpec::new(item.data_type(), &element, seed)?;
                Self::List(Arc::clone(item), length(3)?, Box::new(element))
            }
            other => {
                return Err(Error::invalid(format!(
                    "`{}`: `datagen` cannot make {}",
                    options.path,
                    sql_name(other)
                )));
            }
        })
    }
}

fn integers(options: &FieldOptions, lowest: i64, highest: i64) -> Result<Values> {
    if let Some((start, end)) = options.sequence()? {
        in_order(options, lowest, start)?;
        in_order(options, end, highest)?;
        return Ok(Values::Sequence(start));
    }
    let bound = |option, default| {
        let expected = format!("a whole number from {lowest} to {highest}");
        let parse = |text: &str| text.parse().ok().filter(|v| (lowest..=highest).contains(v));
        Ok::<i64, Error>(options.get(option, &expected, parse)?.unwrap_or(default))
    };
    let (min, max) = (bound("min", lowest)?, bound("max", highest)?);
    in_order(options, min, max)?;
    Ok(Values::Integer(min, max))
}

fn floats(options: &FieldOptions, lowest: f64, highest: f64) -> Result<Values> {
    if let Some((start, _)) = options.sequence()? {
        return Ok(Values::Sequence(start));
    }
    let bound = |option, default| {
        let expected = format!("a number from {lowest:e} to {highest:e}");
        let parse = |text: &str| text.parse().ok().filter(|v| (lowest..=highest).contains(v));
        Ok::<f64, Error>(options.get(option, &expected, parse)?.unwrap_or(default))
    };
    let (min, max) = (bound("min", lowest)?, bound("max", highest)?);
    in_order(options, min, max)?;
    Ok(Values::Float(min, max))
}

fn decimals(options: &FieldOptions, precision: u8, scale: i8) -> Result<Values> {
    let highest = 10_i128.pow(u32::from(precision)) - 1;
    if let Some((start, end)) = options.sequence()? {
        let largest = i128::from(start.unsigned_abs().max(end.unsigned_abs()));
        let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
        in_order(options, largest, highest / unit)?;
        return Ok(Values::Sequence(start));
    }
    let bound = |option, default| {
        let expected = format!("a DECIMAL({precision}, {scale})");
        let parse = |text: &str| crate::formats::json::parse_decimal(text, precision, scale);
        Ok::<i128, Error>(options.get(option, &expected, parse)?.unwrap_or(default))
    };
    let (min, max) = (bound("min", -highest)?, bound("max", highest)?);
    in_order(options, min, max)?;
    Ok(Values::Decimal(min, max))
}

fn times(options: &FieldOptions) -> Result<Values> {
    let start_ms = options.get("start", "a timestamp like `2025-06-15 15:06:00`", |text| {
        let time = temporal::parse_timestamp_ltz(text.as_bytes(), TimestampStandard::Sql)?;
        time.to_units(1_000)
    })?;
    let past_ms = options.get("max-past", "a duration like `10s`", |text| {
        duration_ms(text).ok()
    })?;
    Ok(Values::Time {
        start_ms,
        past_ms: past_ms.unwrap_or(0),
    })
}

fn in_order<T: PartialOrd + std::fmt::Display>(
    options: &FieldOptions,
    low: T,
    high: T,
) -> Result<()> {
    if low <= high {
        return Ok(());
    }
    let message = format!(
        "`{}`: the range from {low} to {high} is empty, or does not fit the column",
        options.path
    );
    Err(options.about_any(&["max", "min", "end", "start"], message))
}
