//! Sums of doubles, and of their squares, over a frame that moves. Sums are exact
//! ([`ExactSum`](crate::state::exact_sum::ExactSum)), so adding the negative of a term takes it away
//! without a trace.
//!
//! Terms near the end of the range of doubles, infinite and not-a-number cannot be taken away again:
//! while one is in the frame, the sums are made anew for each result.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Builder, Int64Array, ListBuilder, PrimitiveBuilder, UInt64Builder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use millstream_core::Result;
use millstream_core::plan::{AggregateCall, AggregateFunction};

use super::slide::{Slide, of_states};
use crate::state::exact_sum::ExactSum;
use crate::state::float_sum::EXACT;
use crate::state::variance::add_product;

/// SUM and AVG of doubles, variance and deviation.
pub struct Moments {
    call: AggregateCall,
    argument: DataType,
    values: Vec<f64>,
    has_squares: bool,
    frame: BTreeSet<u32>,
    sums: Sums,
    /// How many values of the frame are not ordinary.
    extreme: usize,
    noted: Noted,
}

#[derive(Default)]
struct Sums {
    sum: ExactSum,
    squares: ExactSum,
}

impl Sums {
    /// Adds a value, or takes it away if `sign` is -1.
    fn add(&mut self, value: f64, has_squares: bool, sign: f64) {
        self.sum.add(sign * value);
        if has_squares {
            add_product(&mut self.squares, sign * value, value);
        }
    }
}

/// States of an accumulator.
struct Noted {
    sums: ListBuilder<PrimitiveBuilder<Float64Type>>,
    squares: ListBuilder<PrimitiveBuilder<Float64Type>>,
    counts: Vec<i64>,
}

impl Moments {
    /// The slide of `call` over `values`, which are numbers.
    pub fn new(call: &AggregateCall, values: &ArrayRef) -> Result<Self> {
        let argument = values.data_type().clone();
        let values = cast(values, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>().values().to_vec();
        let is_sum = matches!(
            call.function,
            AggregateFunction::Sum | AggregateFunction::Avg
        );
        Ok(Self {
            call: call.clone(),
            argument,
            values,
            has_squares: !is_sum,
            frame: BTreeSet::new(),
            sums: Sums::default(),
            extreme: 0,
            noted: Noted {
                sums: ListBuilder::new(Float64Builder::new()),
                squares: ListBuilder::new(Float64Builder::new()),
                counts: vec![],
            },
        })
    }

    /// Whether sums of as many such values as there can be, or of their squares, stay in range.
    fn is_ordinary(&self, value: f64) -> bool {
        let limit = if self.has_squares { 1e140 } else { 1e290 };
        value.abs() < limit
    }

    fn anew(&self) -> Sums {
        let mut sums = Sums::default();
        for row in &self.frame {
            sums.add(self.values[*row as usize], self.has_squares, 1.0);
        }
        sums
    }
}

impl Slide for Moments {
    fn enter(&mut self, row: u32) {
        let value = self.values[row as usize];
        self.frame.insert(row);
        match self.is_ordinary(value) {
            true => self.sums.add(value, self.has_squares, 1.0),
            false => self.extreme += 1,
        }
    }

    fn leave(&mut self, row: u32) {
        let value = self.values[row as usize];
        self.frame.remove(&row);
        match self.is_ordinary(value) {
            true => self.sums.add(value, self.has_squares, -1.0),
            false => self.extreme -= 1,
        }
    }

    fn clear(&mut self) {
        self.frame.clear();
        self.sums = Sums::default();
        self.extreme = 0;
    }

    fn note(&mut self) {
        let anew = (self.extreme > 0).then(|| self.anew());
        let sums = anew.as_ref().unwrap_or(&self.sums);
        self.noted.sums.append_value(parts(&sums.sum));
        self.noted.squares.append_value(parts(&sums.squares));
        let count = i64::try_from(self.frame.len()).expect("fewer than 2^32 rows");
        self.noted.counts.push(count);
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef> {
        let sums = self.noted.sums.finish();
        let counts: ArrayRef = Arc::new(Int64Array::from(self.noted.counts));
        let states: [ArrayRef; 3] = match self.has_squares {
            true => {
                let squares = self.noted.squares.finish();
                [Arc::new(sums), Arc::new(squares), counts]
            }
            false => {
                let mut runs = ListBuilder::new(UInt64Builder::new());
                for length in sums.offsets().lengths() {
                    runs.append_value(std::iter::repeat_n(Some(EXACT), length));
                }
                [Arc::new(runs.finish()), Arc::new(sums), counts]
            }
        };
        of_states(&self.call, &self.argument, &states)
    }
}

/// The parts of a sum. Whether a sum of zero is negative would depend on what was taken away.
fn parts(sum: &ExactSum) -> Vec<Option<f64>> {
    sum.parts().map(|part| Some(part + 0.0)).collect()
}
