//! What a function's kernel sees: its arguments for one batch, each a constant or a column.
//!
//! A kernel asks for an argument under the type that it works with ([`Args::texts`],
//! [`Args::longs`], [`Args::instants`] …), once for the batch, then reads it row by row. A narrower
//! number is widened once for the whole batch.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, StringArray, StringBuilder,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::logical_expr::ColumnarValue;
use millstream_core::{Error, Result};

use super::calendar::{Instant, SECONDS_PER_DAY};

/// Computes a function for the rows of one batch. The result has `args.rows` rows.
pub(crate) type Kernel = Arc<dyn Fn(&Args<'_>) -> Result<ArrayRef> + Send + Sync>;

/// The arguments of one call for one batch.
pub(crate) struct Args<'a> {
    /// One for each argument, in order.
    pub values: &'a [ColumnarValue],
    /// Number of rows of the batch, and of the result.
    pub rows: usize,
    /// Type of the result.
    pub return_type: &'a DataType,
}

/// A text argument.
pub(crate) enum Texts {
    /// The same in each row.
    One(Option<String>),
    /// One for each row.
    Many(StringArray),
}

/// A number argument.
pub(crate) enum Numbers<T: ArrowPrimitiveType> {
    /// The same in each row.
    One(Option<T::Native>),
    /// One for each row.
    Many(PrimitiveArray<T>),
}

/// A date or time argument, whatever its unit.
pub(crate) struct Instants {
    ticks: Numbers<Int64Type>,
    unit: Unit,
}

/// How long one tick of a date or time type is.
#[derive(Clone, Copy)]
enum Unit {
    /// Ticks of a day.
    Day,
    /// Ticks of which a second has this many.
    PerSecond(i64),
}

impl Texts {
    /// The text in `row`, or none for null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::One(value) => value.as_deref(),
            Self::Many(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// The number in `row`, or none for null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T::Native> {
        match self {
            Self::One(value) => *value,
            Self::Many(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

impl Instants {
    /// The point in time in `row`, or none for null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<Instant> {
        let ticks = self.ticks.get(row)?;
        Some(match self.unit {
            Unit::Day => Instant::from_seconds(ticks * SECONDS_PER_DAY),
            Unit::PerSecond(per_second) => Instant::from_ticks(ticks, per_second),
        })
    }
}

impl<'a> Args<'a> {
    /// Argument `index` as text.
    pub fn texts(&self, index: usize) -> Result<Texts> {
        let array = self.array(index)?;
        let Some(texts) = array.as_string_opt::<i32>() else {
            return Err(self.wrong_type(index, "STRING"));
        };
        Ok(match self.is_constant(index) {
            true => Texts::One(texts.is_valid(0).then(|| texts.value(0).to_owned())),
            false => Texts::Many(texts.clone()),
        })
    }

    /// Argument `index` as integers; any integer type.
    pub fn longs(&self, index: usize) -> Result<Numbers<Int64Type>> {
        self.numbers(index)
    }

    /// Argument `index` as floating-point numbers; any number type.
    pub fn doubles(&self, index: usize) -> Result<Numbers<Float64Type>> {
        self.numbers(index)
    }

    /// Argument `index` as points in time: a date, a time of day or a timestamp of any unit.
    pub fn instants(&self, index: usize) -> Result<Instants> {
        let unit = match self.values[index].data_type() {
            DataType::Date32 => Unit::Day,
            DataType::Time32(unit) | DataType::Timestamp(unit, _) => {
                Unit::PerSecond(ticks_per_second(unit))
            }
            _ => return Err(self.wrong_type(index, "a date or time")),
        };
        let ticks = self.numbers(index)?;
        Ok(Instants { ticks, unit })
    }

    /// Argument `index` as an array: of one row if it is constant, else of all rows.
    pub fn array(&self, index: usize) -> Result<ArrayRef> {
        match &self.values[index] {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) => value.to_array_of_size(1).map_err(from_datafusion),
        }
    }

    /// Argument `index` as an array of all rows.
    pub fn full_array(&self, index: usize) -> Result<ArrayRef> {
        let value = &self.values[index];
        value.to_array(self.rows).map_err(from_datafusion)
    }

    /// Argument `index` as booleans of all rows.
    pub fn booleans(&self, index: usize) -> Result<BooleanArray> {
        let array = self.full_array(index)?;
        let booleans = array.as_boolean_opt().cloned();
        booleans.ok_or_else(|| self.wrong_type(index, "BOOLEAN"))
    }

    /// Number of arguments.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    fn is_constant(&self, index: usize) -> bool {
        matches!(self.values[index], ColumnarValue::Scalar(_))
    }

    pub fn numbers<T: ArrowPrimitiveType>(&self, index: usize) -> Result<Numbers<T>> {
        let array = self.array(index)?;
        let array = match array.data_type() == &T::DATA_TYPE {
            true => array,
            false => widen(&array, &T::DATA_TYPE)?,
        };
        let numbers = array.as_primitive::<T>();
        Ok(match self.is_constant(index) {
            true => Numbers::One(numbers.is_valid(0).then(|| numbers.value(0))),
            false => Numbers::Many(numbers.clone()),
        })
    }

    fn wrong_type(&self, index: usize, expected: &str) -> Error {
        let found = self.values[index].data_type();
        Error::bug(format!(
            "argument {index}: found {found}, expected {expected}"
        ))
    }
}

/// Ticks of `unit` in a second.
pub(crate) fn ticks_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn widen(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    // Times and dates go through their own integer width.
    let array = match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => arrow::compute::cast(array, &DataType::Int32)?,
        _ => Arc::clone(array),
    };
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(&array, to, &options)?)
}

/// A text column of `rows` rows. `each` writes the row's text into the empty string that it is
/// given, or returns none for null.
pub(crate) fn build_texts(
    rows: usize,
    mut each: impl FnMut(usize, &mut String) -> Option<()>,
) -> ArrayRef {
    // PERF: one scratch string for the batch, so no row allocates.
    let mut scratch = String::new();
    let mut out = StringBuilder::with_capacity(rows, rows * 16);
    for row in 0..rows {
        scratch.clear();
        match each(row, &mut scratch) {
            Some(()) => out.append_value(&scratch),
            None => out.append_null(),
        }
    }
    Arc::new(out.finish())
}

/// A text column of `rows` rows, each a piece of text that exists already.
pub(crate) fn slice_texts<'a>(rows: usize, each: impl FnMut(usize) -> Option<&'a str>) -> ArrayRef {
    Arc::new((0..rows).map(each).collect::<StringArray>())
}

/// A number column of `rows` rows.
pub(crate) fn build_numbers<T: ArrowPrimitiveType>(
    rows: usize,
    each: impl FnMut(usize) -> Option<T::Native>,
) -> ArrayRef {
    let values: PrimitiveArray<T> = PrimitiveArray::from_iter((0..rows).map(each));
    Arc::new(values)
}

/// A boolean column of `rows` rows.
pub(crate) fn build_booleans(rows: usize, each: impl FnMut(usize) -> Option<bool>) -> ArrayRef {
    Arc::new((0..rows).map(each).collect::<BooleanArray>())
}

/// Our error inside of DataFusion's, or theirs as a defect: plans are typed before they get here.
pub(crate) fn from_datafusion(error: datafusion::error::DataFusionError) -> Error {
    use datafusion::error::DataFusionError;
    let root = error.find_root();
    match root {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => ours.clone(),
            None => Error::bug(root.to_string()),
        },
        DataFusionError::ArrowError(inner, _) => Error::invalid(inner.to_string()),
        other => Error::bug(other.to_string()),
    }
}

/// Our error as DataFusion carries it.
pub(crate) fn to_datafusion(error: Error) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}
