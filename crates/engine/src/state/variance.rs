//! VAR_POP, VAR_SAMP, STDDEV_POP, STDDEV_SAMP.
//!
//! Kept are the number of values, their sum and the sum of their squares, both without any rounding
//! ([`ExactSum`]; a square is split into its rounded value and the error of that rounding). So the
//! result depends neither on the order of the rows nor on shards, and nothing cancels: of
//! `n * sum(x * x) - sum(x) * sum(x)` only the end is rounded. Flink adds and subtracts rounded sums.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, ListBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use millstream_core::plan::AggregateFunction;
use millstream_core::{Result, types};

use super::accumulator::{Accumulator, Input};
use super::exact_sum::ExactSum;

/// An accumulator for arguments of this type, or `None` if they are no numbers.
pub fn accumulator(
    function: AggregateFunction,
    argument: &DataType,
    result: &DataType,
) -> Option<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    argument.is_numeric().then(|| {
        Box::new(Variance {
            of_sample: matches!(function, F::VarSamp | F::StddevSamp),
            root: matches!(function, F::StddevPop | F::StddevSamp),
            result: result.clone(),
            groups: vec![],
        }) as Box<dyn Accumulator>
    })
}

struct Variance {
    of_sample: bool,
    root: bool,
    result: DataType,
    groups: Vec<Moments>,
}

#[derive(Debug, Clone, Default)]
struct Moments {
    count: i64,
    sum: ExactSum,
    squares: ExactSum,
}

/// Adds `a * b` without rounding.
pub fn add_product(sum: &mut ExactSum, a: f64, b: f64) {
    let product = a * b;
    sum.add(product);
    if product.is_finite() {
        sum.add(a.mul_add(b, -product));
    }
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum.add(value);
        add_product(&mut self.squares, value, value);
    }

    /// The mean square distance from the mean, or for a sample the sum of squares by one less than
    /// the number of values; none if there are too few.
    fn variance(&self, of_sample: bool) -> Option<f64> {
        let divisor = self.count - i64::from(of_sample);
        if divisor <= 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
        let (count, divisor) = (self.count as f64, divisor as f64);
        let mut distances = ExactSum::default();
        for part in self.squares.parts() {
            add_product(&mut distances, count, part);
        }
        for left in self.sum.parts() {
            for right in self.sum.parts() {
                add_product(&mut distances, -left, right);
            }
        }
        Some(distances.value() / count / divisor)
    }
}

impl Accumulator for Variance {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Moments::default());
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = cast(input.column()?, &DataType::Float64)?;
        let values = column.as_primitive::<Float64Type>().values();
        let moments = &mut self.groups;
        input.for_each(groups, |row, group| moments[group].add(values[row]));
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        let doubles = types::array(DataType::Float64);
        vec![doubles.clone(), doubles, DataType::Int64]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut sums = ListBuilder::new(Float64Builder::new());
        let mut squares = ListBuilder::new(Float64Builder::new());
        for group in groups {
            let moments = &self.groups[*group as usize];
            sums.append_value(moments.sum.parts().map(Some));
            squares.append_value(moments.squares.parts().map(Some));
        }
        let counts = groups
            .iter()
            .map(|group| self.groups[*group as usize].count);
        Ok(vec![
            Arc::new(sums.finish()),
            Arc::new(squares.finish()),
            Arc::new(Int64Array::from_iter_values(counts)),
        ])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let (sums, squares) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let counts = state[2].as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            let moments = &mut self.groups[*group as usize];
            let parts = |list: ArrayRef| list.as_primitive::<Float64Type>().values().clone();
            moments.sum.merge(parts(sums.value(row)).iter().copied());
            moments
                .squares
                .merge(parts(squares.value(row)).iter().copied());
            moments.count += counts.value(row);
        }
        Ok(())
    }

    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        for group in groups {
            self.groups[*group as usize] = Moments::default();
        }
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| {
            let variance = self.groups[*group as usize].variance(self.of_sample)?;
            Some(if self.root { variance.sqrt() } else { variance })
        });
        let values: ArrayRef = Arc::new(Float64Array::from_iter(values));
        // Flink gives the type of the argument: a deviation of integers is cut off.
        Ok(cast(&values, &self.result)?)
    }

    fn size(&self) -> usize {
        // PERF: an estimate of two to three parts for a sum; see `FloatSum`.
        self.groups.capacity() * (size_of::<Moments>() + 2 * 4 * size_of::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(function: AggregateFunction, values: &[f64], expected: Option<f64>) {
        let made = accumulator(function, &DataType::Float64, &DataType::Float64);
        let mut made = made.unwrap();
        made.resize(1);
        let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let input = Input {
            values: Some(&column),
            ..Input::default()
        };
        made.update(&input, &vec![0; values.len()]).unwrap();
        let found = made.finish(&[0]).unwrap();
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![expected]));
        assert_eq!(&found, &expected, "{function} of {values:?}");
    }

    #[test]
    fn four_ways_to_spread() {
        use AggregateFunction::{StddevPop, StddevSamp, VarPop, VarSamp};
        // Mean 5; squares of distances 9, 1, 1, 1, 0, 0, 4, 16: 32.
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        check(VarPop, &values, Some(4.0));
        check(StddevPop, &values, Some(2.0));
        check(VarSamp, &values, Some(32.0 / 7.0));
        check(StddevSamp, &values, Some((32.0_f64 / 7.0).sqrt()));
        check(VarPop, &[3.0], Some(0.0));
        check(VarSamp, &[3.0], None);
        check(StddevPop, &[], None);
    }

    #[test]
    fn large_values_that_lie_close_do_not_cancel() {
        let values: Vec<f64> = [4.0, 7.0, 13.0, 16.0].map(|x| x + 1e15).to_vec();
        check(AggregateFunction::VarSamp, &values, Some(30.0));
        check(AggregateFunction::VarPop, &[0.1; 9], Some(0.0));
    }
}
