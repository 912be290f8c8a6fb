//! SUM and AVG. Integers wrap around as in Flink (Java), decimals are exact, floating-point sums
//! are in [`FloatSum`]. A group without values gives null.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use millstream_core::{Error, Result};

use super::accumulator::{Accumulator, Input};
use super::float_sum::FloatSum;

/// What is made of sum and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The sum.
    Sum,
    /// The sum by the count; of integers towards zero.
    Average,
}

/// An accumulator for arguments of this type, or `None` if they cannot be summed.
pub fn accumulator(
    finish: Finish,
    argument: &DataType,
    result: &DataType,
) -> Option<Box<dyn Accumulator>> {
    let result = result.clone();
    let counts = vec![];
    match argument {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let sums = vec![];
            Some(Box::new(IntegerSum {
                finish,
                result,
                sums,
                counts,
            }))
        }
        DataType::Float32 | DataType::Float64 => Some(Box::new(FloatSum::new(finish, result))),
        DataType::Decimal128(_, scale) => {
            let (scale, sums) = (*scale, vec![]);
            Some(Box::new(DecimalSum {
                finish,
                result,
                scale,
                sums,
                counts,
            }))
        }
        _ => None,
    }
}

struct IntegerSum {
    finish: Finish,
    result: DataType,
    sums: Vec<i64>,
    counts: Vec<i64>,
}

impl Accumulator for IntegerSum {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = cast(input.column()?, &DataType::Int64)?;
        let values = column.as_primitive::<Int64Type>().values();
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        input.for_each(groups, |row, group| {
            sums[group] = sums[group].wrapping_add(values[row]);
            counts[group] += 1;
        });
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64, DataType::Int64]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![
            gather(&self.sums, groups),
            gather(&self.counts, groups),
        ])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let sums = state[0].as_primitive::<Int64Type>();
        let counts = state[1].as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            let group = *group as usize;
            self.sums[group] = self.sums[group].wrapping_add(sums.value(row));
            self.counts[group] += counts.value(row);
        }
        Ok(())
    }

    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        scatter(&mut self.sums, &state[0], groups);
        scatter(&mut self.counts, &state[1], groups);
        Ok(())
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| {
            let (sum, count) = (self.sums[*group as usize], self.counts[*group as usize]);
            let value = match self.finish {
                Finish::Sum => sum,
                Finish::Average => sum.checked_div(count).unwrap_or(0),
            };
            (count > 0).then(|| wrapped(value, &self.result))
        });
        let values: ArrayRef = Arc::new(Int64Array::from_iter(values));
        Ok(cast(&values, &self.result)?)
    }

    fn size(&self) -> usize {
        (self.sums.capacity() + self.counts.capacity()) * 8
    }
}

/// The value in the range of a narrower integer type, as Java's casts wrap it.
fn wrapped(value: i64, data_type: &DataType) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "wrapping is what is wanted"
    )]
    match data_type {
        DataType::Int8 => i64::from(value as i8),
        DataType::Int16 => i64::from(value as i16),
        DataType::Int32 => i64::from(value as i32),
        _ => value,
    }
}

struct DecimalSum {
    finish: Finish,
    result: DataType,
    scale: i8,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl DecimalSum {
    fn value(&self, group: usize) -> Result<Option<i128>> {
        let (sum, count) = (self.sums[group], self.counts[group]);
        let DataType::Decimal128(precision, scale) = self.result else {
            return Err(Error::bug("a decimal aggregate gives a decimal"));
        };
        if count == 0 {
            return Ok(None);
        }
        let up = u32::try_from(scale - self.scale).unwrap_or(0);
        let scaled = sum.checked_mul(10_i128.pow(up));
        let value = match self.finish {
            Finish::Sum => scaled,
            Finish::Average => scaled.map(|scaled| div_half_up(scaled, i128::from(count))),
        };
        // Flink: a sum that does not fit its precision is null.
        let limit = 10_i128.checked_pow(u32::from(precision));
        Ok(value.filter(|value| limit.is_none_or(|limit| value.abs() < limit)))
    }
}

/// Rounds half away from zero.
fn div_half_up(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value / by, value % by);
    if rest.abs() * 2 >= by {
        quotient + value.signum()
    } else {
        quotient
    }
}

impl Accumulator for DecimalSum {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let values = input.column()?.as_primitive::<Decimal128Type>().values();
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        input.for_each(groups, |row, group| {
            sums[group] = sums[group].wrapping_add(values[row]);
            counts[group] += 1;
        });
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Decimal128(38, 0), DataType::Int64]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums = groups.iter().map(|group| self.sums[*group as usize]);
        let sums = Decimal128Array::from_iter_values(sums).with_precision_and_scale(38, 0)?;
        Ok(vec![Arc::new(sums), gather(&self.counts, groups)])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let sums = state[0].as_primitive::<Decimal128Type>();
        let counts = state[1].as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            let group = *group as usize;
            self.sums[group] = self.sums[group].wrapping_add(sums.value(row));
            self.counts[group] += counts.value(row);
        }
        Ok(())
    }

    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        for group in groups {
            self.sums[*group as usize] = 0;
            self.counts[*group as usize] = 0;
        }
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values: Result<Vec<Option<i128>>> = groups
            .iter()
            .map(|group| self.value(*group as usize))
            .collect();
        let values = Decimal128Array::from(values?);
        Ok(Arc::new(values.with_data_type(self.result.clone())))
    }

    fn size(&self) -> usize {
        self.sums.capacity() * 16 + self.counts.capacity() * 8
    }
}

fn gather(values: &[i64], groups: &[u32]) -> ArrayRef {
    let values = groups.iter().map(|group| values[*group as usize]);
    Arc::new(Int64Array::from_iter_values(values))
}

fn scatter(values: &mut [i64], column: &ArrayRef, groups: &[u32]) {
    let column = column.as_primitive::<Int64Type>();
    for (group, value) in groups.iter().zip(column.values()) {
        values[*group as usize] = *value;
    }
}
