//! SUM and AVG of FLOAT and DOUBLE, reproducible although floating-point addition is not associative.
//!
//! A *run* is the rows of one split between two moments at which the split's watermark passes the
//! end of a window. The rows of a run are added one after the other; the sums of runs are added
//! without rounding ([`ExactSum`]) and rounded once. That is what Flink's local and global window
//! aggregation do with one split (the local one hands over what it holds whenever a window ends), so
//! with one split the result is Flink's to the last digit. With several it depends neither on how
//! they are spread over shards nor on which is ahead. Results of windows come in no order and are
//! summed exactly. The slices of a window that grows (CUMULATE) are each rounded once they are complete
//! ([`Accumulator::seal`]) and added in their order, again as Flink does.
//!
//! One thing does show in the last digits: a restart with another parallelism in the middle of a
//! run, because the run then goes on from zero in another shard.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, ListBuilder, UInt64Builder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use millstream_core::{Result, types};

use super::accumulator::{Accumulator, Input};
use super::exact_sum::ExactSum;
use super::sum::Finish;

/// In the place of a run: a part of an exact sum.
pub const EXACT: u64 = 0;

/// In the place of a run: what was rounded, in the order in which it is added.
const SEALED: u64 = u64::MAX;

/// See the module.
pub struct FloatSum {
    finish: Finish,
    result: DataType,
    sums: Vec<Sum>,
    counts: Vec<i64>,
}

/// The sum of a group. PERF: mostly one run feeds it, which then needs no allocation.
#[derive(Debug, Clone, Default)]
struct Sum {
    first: (u64, f64),
    others: Option<Box<Others>>,
}

#[derive(Debug, Clone, Default)]
struct Others {
    runs: Vec<(u64, f64)>,
    exact: ExactSum,
}

impl Sum {
    fn add(&mut self, run: u64, term: f64) {
        if run == self.first.0 && run != EXACT {
            self.first.1 += term;
        } else if run == EXACT {
            self.others.get_or_insert_default().exact.add(term);
        } else if self.first.0 == EXACT {
            self.first = (run, term);
        } else {
            let runs = &mut self.others.get_or_insert_default().runs;
            match runs.iter_mut().find(|(of, _)| *of == run) {
                Some((_, sum)) => *sum += term,
                None => runs.push((run, term)),
            }
        }
    }

    fn parts(&self) -> Vec<(u64, f64)> {
        let mut parts = vec![];
        if self.first.0 != EXACT {
            parts.push(self.first);
        }
        if let Some(others) = &self.others {
            parts.extend(&others.runs);
            parts.extend(others.exact.parts().map(|part| (EXACT, part)));
        }
        parts
    }

    fn value(&self) -> f64 {
        if self.others.is_none() {
            return self.first.1;
        }
        let mut sum = ExactSum::default();
        sum.merge(self.parts().into_iter().map(|(_, part)| part));
        sum.value()
    }
}

impl FloatSum {
    /// For results of type `result`.
    pub fn new(finish: Finish, result: DataType) -> Self {
        let (sums, counts) = (vec![], vec![]);
        Self {
            finish,
            result,
            sums,
            counts,
        }
    }
}

impl Accumulator for FloatSum {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, Sum::default());
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = cast(input.column()?, &DataType::Float64)?;
        let values = column.as_primitive::<Float64Type>().values();
        let run = input.run.map_or(EXACT, |run| run.get());
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        input.for_each(groups, |row, group| {
            sums[group].add(run, values[row]);
            counts[group] += 1;
        });
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![
            types::array(DataType::UInt64),
            types::array(DataType::Float64),
            DataType::Int64,
        ]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut runs = ListBuilder::new(UInt64Builder::new());
        let mut sums = ListBuilder::new(Float64Builder::new());
        for group in groups {
            let parts = self.sums[*group as usize].parts();
            runs.append_value(parts.iter().map(|(run, _)| Some(*run)));
            sums.append_value(parts.iter().map(|(_, sum)| Some(*sum)));
        }
        let counts = groups.iter().map(|group| self.counts[*group as usize]);
        Ok(vec![
            Arc::new(runs.finish()),
            Arc::new(sums.finish()),
            Arc::new(Int64Array::from_iter_values(counts)),
        ])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let (runs, sums) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let counts = state[2].as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            let group = *group as usize;
            let (of_row, parts) = (runs.value(row), sums.value(row));
            let of_row = of_row.as_primitive::<UInt64Type>().values();
            let parts = parts.as_primitive::<Float64Type>().values();
            for (run, part) in of_row.iter().zip(parts) {
                self.sums[group].add(*run, *part);
            }
            self.counts[group] += counts.value(row);
        }
        Ok(())
    }

    fn seal(&mut self) {
        for (sum, _) in self
            .sums
            .iter_mut()
            .zip(&self.counts)
            .filter(|(_, count)| **count > 0)
        {
            *sum = Sum {
                first: (SEALED, sum.value()),
                others: None,
            };
        }
    }

    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        for group in groups {
            self.sums[*group as usize] = Sum::default();
            self.counts[*group as usize] = 0;
        }
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| {
            let count = self.counts[*group as usize];
            let sum = || self.sums[*group as usize].value();
            #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
            match self.finish {
                Finish::Sum => (count > 0).then(sum),
                Finish::Average => (count > 0).then(|| sum() / count as f64),
            }
        });
        let values: ArrayRef = Arc::new(Float64Array::from_iter(values));
        Ok(cast(&values, &self.result)?)
    }

    fn size(&self) -> usize {
        // PERF: an estimate; adding up the real sizes would walk every group at every look.
        self.sums.capacity() * size_of::<Sum>() + self.counts.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::accumulator::RunKey;

    fn add(sum: &mut FloatSum, run: u64, terms: &[f64]) {
        let column: ArrayRef = Arc::new(Float64Array::from(terms.to_vec()));
        let input = Input {
            values: Some(&column),
            run: RunKey::new(run),
            ..Input::default()
        };
        sum.update(&input, &vec![0; terms.len()]).unwrap();
    }

    fn made() -> FloatSum {
        let mut sum = FloatSum::new(Finish::Sum, DataType::Float64);
        sum.resize(1);
        sum
    }

    fn value(sum: &FloatSum) -> f64 {
        let values = sum.finish(&[0]).unwrap();
        values.as_primitive::<Float64Type>().value(0)
    }

    #[test]
    fn one_run_adds_in_order_as_flink_does() {
        let mut sum = made();
        add(&mut sum, 7, &[0.1; 10]);
        assert_eq!(
            value(&sum),
            0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1
        );
    }

    #[test]
    fn sealed_slices_are_added_in_order() {
        let slices = [[0.1; 3], [0.7; 3], [1e16, 3.3, -1e16]];
        let rounded = slices.map(|terms| {
            let mut sum = made();
            add(&mut sum, 7, &terms);
            value(&sum)
        });
        let mut window = made();
        for terms in slices {
            let mut slice = made();
            add(&mut slice, 7, &terms[..2]);
            add(&mut slice, 8, &terms[2..]);
            slice.seal();
            window.merge(&slice.state(&[0]).unwrap(), &[0]).unwrap();
        }
        let in_order = rounded[0] + rounded[1] + (1e16 + 3.3 - 1e16);
        assert_eq!(value(&window), in_order);
        let state = window.state(&[0]).unwrap();
        let mut restored = made();
        restored.restore(&state, &[0]).unwrap();
        assert_eq!(value(&restored), in_order);
    }

    #[test]
    fn runs_may_interleave_and_be_merged_in_any_order() {
        let runs: [&[f64]; 3] = [&[1e16, 1.0, 1.0], &[-1e16, 0.1], &[3.3, 4.4, 5.5]];
        let mut whole = made();
        for at in 0..3 {
            for (run, terms) in runs.iter().enumerate() {
                add(
                    &mut whole,
                    run as u64 + 1,
                    terms.get(at..=at).unwrap_or_default(),
                );
            }
        }
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut merged = made();
            for run in order {
                let mut part = made();
                add(&mut part, run as u64 + 1, runs[run]);
                merged.merge(&part.state(&[0]).unwrap(), &[0]).unwrap();
            }
            assert_eq!(
                value(&merged).to_bits(),
                value(&whole).to_bits(),
                "{order:?}"
            );
        }
    }
}
