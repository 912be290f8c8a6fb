//! Calls over bounded frames that go on from row to row: what leaves the frame is taken away, what comes
//! is added, so a row costs the same whatever the frame has rows.
//!
//! INVARIANT: a result follows from the rows of its frame alone, not from those that have left it; so it
//! is the same after a restart, which begins with the rows that are remembered. Integers and decimals
//! wrap around, so taking away is exact; doubles are summed without rounding
//! ([`moments`](super::moments)); of extremes and of first and last values it is known which row they
//! are of.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use hashbrown::HashMap;
use millstream_core::Result;
use millstream_core::plan::{AggregateCall, AggregateFunction};

use super::moments::Moments;
use crate::state::accumulator;
use crate::state::row_codec::{EncodedRows, RowCodec};

/// A frame that moves over the rows of one key after the other.
pub trait Slide {
    /// A row comes into the frame.
    fn enter(&mut self, row: u32);

    /// A row leaves it, mostly the oldest.
    fn leave(&mut self, row: u32);

    /// Empties the frame: the next row is of another key.
    fn clear(&mut self);

    /// The frame is that of the next result.
    fn note(&mut self);

    /// The results.
    fn finish(self: Box<Self>) -> Result<ArrayRef>;
}

/// The slide of `call` over the values of its column, or `None` for calls that are computed anew: lists
/// and multisets, whose results have as many values as the frame has rows, and the like.
pub fn slide(call: &AggregateCall, values: Option<&ArrayRef>) -> Result<Option<Box<dyn Slide>>> {
    use AggregateFunction as F;
    let plain = AggregateCall {
        distinct: false,
        ..call.clone()
    };
    let slide: Box<dyn Slide> = match (call.function, values) {
        (F::Count, _) => Box::new(Count::default()),
        (F::Min | F::Max, Some(values)) => {
            let rows = encoded(values)?;
            let is_max = call.function == F::Max;
            return Ok(Some(Box::new(Picked::new(
                values,
                Which::Extreme(rows, is_max),
            ))));
        }
        (F::FirstValue, Some(values)) if !call.distinct => {
            Box::new(Picked::new(values, Which::First))
        }
        (F::LastValue, Some(values)) if !call.distinct => {
            Box::new(Picked::new(values, Which::Last))
        }
        (F::Sum | F::Avg, Some(values)) => match Total::new(&plain, values)? {
            Some(total) => Box::new(total),
            None => Box::new(Moments::new(&plain, values)?),
        },
        (F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp, Some(values)) => {
            Box::new(Moments::new(&plain, values)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(match values {
        Some(values) if call.distinct => Box::new(Once {
            rows: encoded(values)?,
            count: HashMap::new(),
            slide,
        }),
        _ => slide,
    }))
}

fn encoded(values: &ArrayRef) -> Result<EncodedRows> {
    RowCodec::new([values.data_type().clone()])?.encode(std::slice::from_ref(values))
}

/// How many rows there are.
#[derive(Default)]
struct Count {
    count: i64,
    noted: Vec<i64>,
}

impl Slide for Count {
    fn enter(&mut self, _: u32) {
        self.count += 1;
    }

    fn leave(&mut self, _: u32) {
        self.count -= 1;
    }

    fn clear(&mut self) {
        self.count = 0;
    }

    fn note(&mut self) {
        self.noted.push(self.count);
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.noted)))
    }
}

/// SUM and AVG of integers and decimals.
struct Total {
    call: AggregateCall,
    argument: DataType,
    values: Vec<i128>,
    sum: i128,
    count: i64,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl Total {
    /// None for other types.
    fn new(call: &AggregateCall, values: &ArrayRef) -> Result<Option<Self>> {
        let argument = values.data_type().clone();
        let values: Vec<i128> = match &argument {
            DataType::Decimal128(..) => values.as_primitive::<Decimal128Type>().values().to_vec(),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                let values = cast(values, &DataType::Int64)?;
                let values = values.as_primitive::<Int64Type>().values().iter();
                values.map(|value| i128::from(*value)).collect()
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            call: call.clone(),
            argument,
            values,
            sum: 0,
            count: 0,
            sums: vec![],
            counts: vec![],
        }))
    }
}

impl Slide for Total {
    fn enter(&mut self, row: u32) {
        self.sum = self.sum.wrapping_add(self.values[row as usize]);
        self.count += 1;
    }

    fn leave(&mut self, row: u32) {
        self.sum = self.sum.wrapping_sub(self.values[row as usize]);
        self.count -= 1;
    }

    fn clear(&mut self) {
        (self.sum, self.count) = (0, 0);
    }

    fn note(&mut self) {
        self.sums.push(self.sum);
        self.counts.push(self.count);
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        let sums: ArrayRef = match self.argument {
            DataType::Decimal128(..) => {
                let sums = Decimal128Array::from(self.sums);
                Arc::new(sums.with_precision_and_scale(38, 0)?)
            }
            // Sums of integers wrap around at 64 bits.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "wrapping is what is wanted"
            )]
            _ => Arc::new(Int64Array::from_iter_values(
                self.sums.iter().map(|sum| *sum as i64),
            )),
        };
        let counts: ArrayRef = Arc::new(Int64Array::from(self.counts));
        of_states(&self.call, &self.argument, &[sums, counts])
    }
}

/// What an accumulator makes of states, one for each result.
pub fn of_states(
    call: &AggregateCall,
    argument: &DataType,
    states: &[ArrayRef],
) -> Result<ArrayRef> {
    let rows = states[0].len();
    let groups: Vec<u32> = (0..).take(rows).collect();
    let mut accumulator = accumulator(call, Some(argument))?;
    accumulator.resize(rows);
    accumulator.merge(states, &groups)?;
    accumulator.finish(&groups)
}

/// Which value of a frame is the result.
enum Which {
    First,
    Last,
    /// The least, or the greatest.
    Extreme(EncodedRows, bool),
}

/// MIN, MAX, FIRST_VALUE and LAST_VALUE.
struct Picked {
    values: ArrayRef,
    which: Which,
    /// The rows that are the result now or can be later, oldest first. Of an extreme those that no later
    /// row is at least as good as: from best to worst.
    candidates: VecDeque<u32>,
    noted: Vec<Option<u32>>,
}

impl Picked {
    fn new(values: &ArrayRef, which: Which) -> Self {
        Self {
            values: values.clone(),
            which,
            candidates: VecDeque::new(),
            noted: vec![],
        }
    }
}

impl Slide for Picked {
    fn enter(&mut self, row: u32) {
        match &self.which {
            Which::First => {}
            // Rows leave in the order in which they came, so the last is there as long as any.
            Which::Last => self.candidates.clear(),
            Which::Extreme(rows, is_max) => {
                let new = rows.get(row as usize);
                while let Some(last) = self.candidates.back() {
                    let last = rows.get(*last as usize);
                    let stays = if *is_max { last > new } else { last < new };
                    if stays {
                        break;
                    }
                    self.candidates.pop_back();
                }
            }
        }
        self.candidates.push_back(row);
    }

    fn leave(&mut self, row: u32) {
        if self.candidates.front() == Some(&row) {
            self.candidates.pop_front();
        }
    }

    fn clear(&mut self) {
        self.candidates.clear();
    }

    fn note(&mut self) {
        self.noted.push(self.candidates.front().copied());
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        Ok(take(&self.values, &UInt32Array::from(self.noted), None)?)
    }
}

/// DISTINCT: of equal values the slide behind has one.
struct Once {
    rows: EncodedRows,
    /// How often each value is in the frame, and the row that stands for it.
    count: HashMap<Box<[u8]>, (u32, u32)>,
    slide: Box<dyn Slide>,
}

impl Slide for Once {
    fn enter(&mut self, row: u32) {
        let value = self.rows.get(row as usize);
        let (count, _) = self.count.entry_ref(value).or_insert((0, row));
        *count += 1;
        if *count == 1 {
            self.slide.enter(row);
        }
    }

    fn leave(&mut self, row: u32) {
        let value = self.rows.get(row as usize);
        let (count, first) = self.count.get_mut(value).expect("it came before it left");
        *count -= 1;
        if *count == 0 {
            self.slide.leave(*first);
            self.count.remove(value);
        }
    }

    fn clear(&mut self) {
        self.count.clear();
        self.slide.clear();
    }

    fn note(&mut self) {
        self.slide.note();
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        self.slide.finish()
    }
}
