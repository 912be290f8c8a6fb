//! Least and greatest values of columns, by which queries skip parts and row groups.
//!
//! Integers, timestamps, dates and times are kept exactly, strings cut to 32 bytes so that they
//! still bound every value from below and above. Other types have no range. What is unknown is
//! null in [`ColumnStatistics`] and excludes nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{cast, max, max_string, min, min_string};
use arrow::datatypes::{DataType, Int64Type, Schema};
use millstream_core::Result;
use serde::{Deserialize, Serialize};

const TEXT_BYTES_MAX: usize = 32;

/// Decides which groups of rows (parts, row groups) can hold rows that a query wants.
pub trait Prune: Send + Sync {
    /// Table columns whose statistics it looks at.
    fn columns(&self) -> &[usize];

    /// One answer per group; `false` only if no row of the group can match.
    fn keep(&self, groups: &GroupStatistics) -> Vec<bool>;
}

/// What is known of several groups of rows.
#[derive(Debug, Clone)]
pub struct GroupStatistics {
    /// Number of rows of each group.
    pub rows: Vec<u64>,
    /// One entry per table column; `None` if nothing is known or nobody asked.
    pub columns: Vec<Option<ColumnStatistics>>,
}

/// Ranges of one column, one entry per group, null where unknown.
#[derive(Debug, Clone)]
pub struct ColumnStatistics {
    /// Lower bounds, of the column's type.
    pub min: ArrayRef,
    /// Upper bounds, of the column's type.
    pub max: ArrayRef,
    /// How many rows are null.
    pub nulls: UInt64Array,
}

/// The range of a column in one part, as stored in version files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ColumnRange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Bound>,
    pub nulls: u64,
}

/// A least or greatest value. Times are in the unit of the column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Bound {
    Integer(i64),
    Text(String),
}

impl Bound {
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Text(_) => None,
        }
    }
}

/// Whether values of this type are kept as [`Bound::Integer`].
fn is_integer(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Timestamp(..) | T::Date32 | T::Time32(_)
    )
}

/// Collects ranges over the batches of a part.
pub(super) struct RangeBuilder {
    columns: Vec<Option<ColumnRange>>,
}

impl RangeBuilder {
    pub fn new(schema: &Schema) -> Self {
        let ranged = |data_type: &DataType| is_integer(data_type) || *data_type == DataType::Utf8;
        let fields = schema.fields().iter();
        let columns = fields
            .map(|f| ranged(f.data_type()).then(ColumnRange::default))
            .collect();
        Self { columns }
    }

    /// Takes in the values of `rows`, whose columns are those of the schema.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        for (range, array) in self.columns.iter_mut().zip(rows.columns()) {
            let Some(range) = range else { continue };
            let (least, greatest) = bounds(array)?;
            range.nulls += array.null_count() as u64;
            range.min = match (range.min.take(), least) {
                (Some(old), Some(new)) => Some(old.min(new)),
                (old, new) => old.or(new),
            };
            range.max = range.max.take().max(greatest);
        }
        Ok(())
    }

    /// The ranges, one entry per column, `None` for types without.
    pub fn finish(self) -> Vec<Option<ColumnRange>> {
        let cut = |range: ColumnRange| ColumnRange {
            min: range.min.map(cut_down),
            max: range.max.and_then(cut_up),
            nulls: range.nulls,
        };
        self.columns
            .into_iter()
            .map(|range| range.map(cut))
            .collect()
    }
}

fn bounds(array: &ArrayRef) -> Result<(Option<Bound>, Option<Bound>)> {
    if is_integer(array.data_type()) {
        let values = cast(array, &integer_step(array.data_type()))?;
        let values = cast(&values, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        return Ok((
            min(values).map(Bound::Integer),
            max(values).map(Bound::Integer),
        ));
    }
    let values = array.as_string::<i32>();
    let text = |value: Option<&str>| value.map(|value| Bound::Text(value.to_owned()));
    Ok((text(min_string(values)), text(max_string(values))))
}

/// Dates and times are 32 bits wide and cast to BIGINT only by way of INT.
fn integer_step(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Date32 | DataType::Time32(_) => DataType::Int32,
        _ => DataType::Int64,
    }
}

fn cut_down(bound: Bound) -> Bound {
    match bound {
        Bound::Text(text) => Bound::Text(prefix(&text).to_owned()),
        integer @ Bound::Integer(_) => integer,
    }
}

/// The shortest text of at most 32 bytes that is not less; `None` if there is none.
fn cut_up(bound: Bound) -> Option<Bound> {
    let Bound::Text(text) = bound else {
        return Some(bound);
    };
    let cut = prefix(&text);
    if cut.len() == text.len() {
        return Some(Bound::Text(text));
    }
    let mut chars: Vec<char> = cut.chars().collect();
    while let Some(last) = chars.pop() {
        // Surrogates are no characters: the range skips them.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(Bound::Text(chars.into_iter().collect()));
        }
    }
    None
}

fn prefix(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

impl ColumnStatistics {
    /// Statistics of a column of `data_type` from its ranges in several parts.
    pub(super) fn from_ranges(
        ranges: &[Option<&ColumnRange>],
        data_type: &DataType,
    ) -> Result<Self> {
        let nulls = ranges.iter().map(|range| range.map(|range| range.nulls));
        let array = |pick: fn(&ColumnRange) -> Option<&Bound>| {
            let values = ranges.iter().map(|range| range.and_then(pick));
            bound_array(values, data_type)
        };
        Ok(Self {
            min: array(|range| range.min.as_ref())?,
            max: array(|range| range.max.as_ref())?,
            nulls: nulls.collect(),
        })
    }
}

fn bound_array<'a>(
    bounds: impl Iterator<Item = Option<&'a Bound>>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    if *data_type == DataType::Utf8 {
        let texts = bounds.map(|bound| match bound {
            Some(Bound::Text(text)) => Some(text.as_str()),
            _ => None,
        });
        return Ok(Arc::new(texts.collect::<StringArray>()));
    }
    let integers: Int64Array = bounds.map(|bound| bound.and_then(Bound::integer)).collect();
    let step = cast(&integers, &integer_step(data_type))?;
    Ok(cast(&step, data_type)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float64Array, TimestampMillisecondArray};
    use arrow::datatypes::Field;

    use super::*;

    /// The ranges of one column over several batches, as the version file has them.
    fn check(batches: &[ArrayRef], expected: &str) {
        let field = Field::new("c", batches[0].data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let mut builder = RangeBuilder::new(&schema);
        for array in batches {
            let batch = RecordBatch::try_new(schema.clone(), vec![array.clone()]).unwrap();
            builder.add(&batch).unwrap();
        }
        assert_eq!(
            serde_json::to_string(&builder.finish()[0]).unwrap(),
            expected
        );
    }

    #[test]
    fn ranges_span_batches_and_count_nulls() {
        let integers = |values: &[Option<i64>]| -> ArrayRef {
            Arc::new(values.iter().copied().collect::<Int64Array>())
        };
        let first = integers(&[Some(5), None]);
        check(
            &[first.clone(), integers(&[Some(-2)])],
            r#"{"min":-2,"max":5,"nulls":1}"#,
        );
        check(
            &[integers(&[None]), first],
            r#"{"min":5,"max":5,"nulls":2}"#,
        );
        check(&[integers(&[None, None])], r#"{"nulls":2}"#);
        check(
            &[Arc::new(TimestampMillisecondArray::from(vec![7, 9]))],
            r#"{"min":7,"max":9,"nulls":0}"#,
        );
        check(
            &[Arc::new(Date32Array::from(vec![3]))],
            r#"{"min":3,"max":3,"nulls":0}"#,
        );
        check(&[Arc::new(Float64Array::from(vec![1.5]))], "null");
    }

    #[test]
    fn long_texts_are_cut_but_still_bound() {
        let texts = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        check(&[texts(&["b", "a"])], r#"{"min":"a","max":"b","nulls":0}"#);
        let long = format!("{}zz", "x".repeat(31));
        let cut = format!(
            r#"{{"min":"{0}z","max":"{0}{{","nulls":0}}"#,
            "x".repeat(31)
        );
        check(&[texts(&[&long])], &cut);
        // A character of two bytes across the limit is left out as a whole.
        let wide = format!("{}éé", "x".repeat(31));
        let cut = format!(
            r#"{{"min":"{0}","max":"{1}y","nulls":0}}"#,
            "x".repeat(31),
            "x".repeat(30)
        );
        check(&[texts(&[&wide])], &cut);
        let top = char::MAX.to_string().repeat(9);
        let cut = format!(
            r#"{{"min":"{}","nulls":0}}"#,
            char::MAX.to_string().repeat(8)
        );
        check(&[texts(&[&top])], &cut);
    }

    #[test]
    fn ranges_become_arrays_of_the_columns_type() {
        let range = ColumnRange {
            min: Some(Bound::Integer(1)),
            max: Some(Bound::Integer(2)),
            nulls: 3,
        };
        for data_type in [
            DataType::Int8,
            DataType::Date32,
            millstream_core::types::timestamp_ltz(3),
        ] {
            let statistics =
                ColumnStatistics::from_ranges(&[Some(&range), None], &data_type).unwrap();
            assert_eq!(*statistics.min.data_type(), data_type);
            assert!(statistics.max.is_valid(0) && statistics.max.is_null(1));
            assert_eq!(statistics.nulls, UInt64Array::from(vec![Some(3), None]));
        }
    }
}
