//! Calls over bounded frames. Most go on from row to row ([`slide`](super::slide), and sums of doubles
//! over a number of rows, as in Flink: see [`is_running`]); the others are computed anew for each row
//! from the rows of its frame, in order.
//!
//! PERF: those others cost what frames have rows in sum. An accumulator holds as many groups as rows are
//! computed at once, and takes the rows of all their frames in one call.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, UInt32Array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, Float64Type};
use millstream_core::Result;
use millstream_core::plan::{AggregateCall, AggregateFunction, Frame};

use super::slide::{Slide, slide};
use crate::state::accumulator::RunKey;
use crate::state::order::OrderKey;
use crate::state::{Input, accumulator};

/// Most rows of frames that an accumulator takes at once.
const PAIRS: usize = 1 << 16;

/// The rows of the keys that something came for: those of before, then the new ones.
pub struct Keyed {
    /// The operator's input columns.
    pub columns: Vec<ArrayRef>,
    /// Event times in ms.
    pub times: Vec<i64>,
    /// Rows of each key, in order.
    pub of_key: Vec<Vec<u32>>,
    /// Key of each new row, and its position among the rows of its key.
    pub new: Vec<(u32, u32)>,
    /// By call and row: the sum of a [`is_running`] call after that row.
    pub sums: Vec<Vec<f64>>,
    /// Rows so much older are forgotten.
    pub ttl_ms: Option<i64>,
}

impl Keyed {
    /// The rows of the frame of the new row `index`, as a range of `of_key`.
    fn frame(&self, index: usize, frame: Frame) -> (u32, usize, usize) {
        let (key, position) = self.new[index];
        let rows = &self.of_key[key as usize];
        let (mut start, mut end) = (0, position as usize + 1);
        let time = self.time(rows[position as usize]);
        let older_than = |limit: i64| rows.partition_point(|row| self.time(*row) < limit);
        match frame {
            Frame::Rows(Some(before)) => {
                let before = usize::try_from(before).unwrap_or(usize::MAX);
                start = (position as usize).saturating_sub(before);
            }
            Frame::Range(Some(ms)) => {
                start = older_than(time.saturating_sub(ms));
                end = rows.partition_point(|row| self.time(*row) <= time);
            }
            Frame::Rows(None) | Frame::Range(None) => {}
        }
        if let Some(ttl_ms) = self.ttl_ms {
            start = start.max(older_than(time.saturating_sub(ttl_ms)));
        }
        (key, start, end)
    }

    fn time(&self, row: u32) -> i64 {
        self.times[row as usize]
    }

    /// The results of `call` for all new rows.
    pub fn aggregate(&self, frame: Frame, call: &AggregateCall) -> Result<ArrayRef> {
        let values = call.argument.map(|column| &self.columns[column]);
        match slide(call, values)? {
            Some(slide) => self.slid(frame, call, slide),
            None => self.anew(frame, call),
        }
    }

    /// Which rows a call takes: those that pass its filter and have a value.
    fn taken(&self, call: &AggregateCall) -> impl Fn(u32) -> bool {
        let values = call
            .argument
            .and_then(|column| self.columns[column].nulls());
        let filter = call.filter.map(|filter| self.columns[filter].as_boolean());
        move |row| {
            let row = row as usize;
            let passes = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            passes && values.is_none_or(|values| values.is_valid(row))
        }
    }

    /// The new rows of each key, by number, in their order.
    fn new_of_keys(&self) -> Vec<Vec<usize>> {
        let mut of_keys = vec![vec![]; self.of_key.len()];
        for (index, (key, _)) in self.new.iter().enumerate() {
            of_keys[*key as usize].push(index);
        }
        of_keys
    }

    /// Moves the frame of each key over its rows: both ends only go forward.
    fn slid(
        &self,
        frame: Frame,
        call: &AggregateCall,
        mut slide: Box<dyn Slide>,
    ) -> Result<ArrayRef> {
        let is_taken = self.taken(call);
        // Where the result of each new row is.
        let mut places = vec![0; self.new.len()];
        let mut next = 0;
        for (rows, new) in self.of_key.iter().zip(self.new_of_keys()) {
            let mut inside = None;
            for index in new {
                let (_, start, end) = self.frame(index, frame);
                let (first, last) = inside.unwrap_or((start, start));
                for row in rows[last..end].iter().filter(|row| is_taken(**row)) {
                    slide.enter(*row);
                }
                for row in rows[first..start].iter().filter(|row| is_taken(**row)) {
                    slide.leave(*row);
                }
                inside = Some((start, end));
                slide.note();
                places[index] = next;
                next += 1;
            }
            slide.clear();
        }
        let results = slide.finish()?;
        Ok(arrow::compute::take(
            &results,
            &UInt32Array::from(places),
            None,
        )?)
    }

    fn anew(&self, frame: Frame, call: &AggregateCall) -> Result<ArrayRef> {
        let mut results: Vec<ArrayRef> = vec![];
        let (mut rows, mut groups, mut first) = (vec![], vec![], 0);
        for index in 0..self.new.len() {
            let (key, start, end) = self.frame(index, frame);
            let group = u32::try_from(index - first).expect("fewer rows than are read at once");
            rows.extend_from_slice(&self.of_key[key as usize][start..end]);
            groups.resize(rows.len(), group);
            if rows.len() >= PAIRS || index + 1 == self.new.len() {
                results.push(self.finish(call, (&rows, &groups), index + 1 - first)?);
                rows.clear();
                groups.clear();
                first = index + 1;
            }
        }
        let results: Vec<&dyn Array> = results.iter().map(|result| &**result).collect();
        Ok(concat(&results)?)
    }

    /// The results of the `index`-th call that [`is_running`].
    pub fn running(
        &mut self,
        index: usize,
        (rows, call): (u64, &AggregateCall),
    ) -> Result<ArrayRef> {
        let mut sums = std::mem::take(&mut self.sums[index]);
        let results = self.run_on(&mut sums, (rows, call));
        self.sums[index] = sums;
        results
    }

    /// Continues `sums`, those after each row.
    fn run_on(&self, sums: &mut [f64], (rows, call): (u64, &AggregateCall)) -> Result<ArrayRef> {
        let column = call.argument.expect("SUM and AVG have an argument");
        let values = self.columns[column].as_primitive::<Float64Type>();
        let is_taken = self.taken(call);
        let value = |row: u32| is_taken(row).then(|| values.value(row as usize));
        let before = usize::try_from(rows).unwrap_or(usize::MAX - 1);
        let mut results = Float64Builder::new();
        // How many values the frame of the last row of each key has.
        let mut counts: Vec<Option<u64>> = vec![None; self.of_key.len()];
        for (key, position) in &self.new {
            let of_key = &self.of_key[*key as usize];
            let position = *position as usize;
            let last = position.checked_sub(1).map(|last| of_key[last] as usize);
            let mut sum = last.map_or(0.0, |last| sums[last]);
            let left = position.checked_sub(before + 1).map(|left| of_key[left]);
            let left = left.and_then(value);
            sum -= left.unwrap_or(0.0);
            let new = value(of_key[position]);
            sum += new.unwrap_or(0.0);
            sums[of_key[position] as usize] = sum;
            let count = &mut counts[*key as usize];
            let count = match count {
                Some(count) => {
                    *count += u64::from(new.is_some());
                    *count -= u64::from(left.is_some());
                    *count
                }
                None => {
                    let frame = &of_key[position.saturating_sub(before)..=position];
                    let values = frame.iter().filter(|row| is_taken(**row)).count();
                    *count.insert(values as u64)
                }
            };
            #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
            let result = match call.function {
                AggregateFunction::Avg => sum / count as f64,
                _ => sum,
            };
            results.append_option((count > 0).then_some(result));
        }
        Ok(Arc::new(results.finish()))
    }

    fn finish(
        &self,
        call: &AggregateCall,
        (rows, groups): (&[u32], &[u32]),
        count: usize,
    ) -> Result<ArrayRef> {
        let indices = UInt32Array::from(rows.to_vec());
        let take = |column: usize| arrow::compute::take(&self.columns[column], &indices, None);
        let values = call.argument.map(take).transpose()?;
        let filter = call.filter.map(take).transpose()?;
        let order = order_keys(self, rows);
        let argument = values.as_ref().map(|values| values.data_type());
        let mut accumulator = accumulator(call, argument)?;
        accumulator.resize(count);
        let input = Input {
            values: values.as_ref(),
            rows: None,
            filter: filter.as_ref().map(|filter| filter.as_boolean()),
            order: Some(&order),
            run: Some(RunKey::MIN),
        };
        accumulator.update(&input, groups)?;
        let count = u32::try_from(count).expect("fewer rows than are read at once");
        accumulator.finish(&(0..count).collect::<Vec<_>>())
    }

    /// The values so many rows before each new row, or those of `default`.
    pub fn lag(&self, argument: usize, before: u64, default: Option<usize>) -> Result<ArrayRef> {
        let values = &self.columns[argument];
        let nulls = arrow::array::new_null_array(values.data_type(), values.len());
        let default = default.map_or(&nulls, |default| &self.columns[default]);
        let picked = (0..self.new.len()).map(|index| {
            let (key, start, _) = self.frame(index, Frame::Rows(Some(before)));
            let position = self.new[index].1 as usize;
            let rows = &self.of_key[key as usize];
            let back = usize::try_from(before).ok();
            let found = back.and_then(|back| position.checked_sub(back));
            match found.filter(|found| *found >= start) {
                Some(found) => (0, rows[found] as usize),
                None => (1, rows[position] as usize),
            }
        });
        let picked: Vec<(usize, usize)> = picked.collect();
        Ok(interleave(&[&**values, &**default], &picked)?)
    }
}

/// Whether a call is a sum of doubles over a number of rows, which goes on from row to row: what comes
/// in is added, what leaves is subtracted. Its last digits are Flink's then, and they follow from the
/// rows of the key alone; but they need the row that leaves, which a time to live may have dropped.
/// Source: Apache Flink, `RowTimeRowsBoundedPrecedingFunction`.
pub fn is_running(frame: Frame, call: &AggregateCall, ttl_ms: Option<i64>) -> bool {
    let is_sum = matches!(
        call.function,
        AggregateFunction::Sum | AggregateFunction::Avg
    );
    let of_double = call.data_type == DataType::Float64;
    let of_rows = matches!(frame, Frame::Rows(Some(_)));
    is_sum && of_double && of_rows && !call.distinct && ttl_ms.is_none()
}

/// Where `rows` stand among the rows of their key.
pub fn order_keys(keyed: &Keyed, rows: &[u32]) -> ArrayRef {
    OrderKey::column(rows.iter().map(|row| OrderKey {
        time: keyed.time(*row),
        split: 0,
        place: u64::from(*row),
    }))
}

/// Type of a column.
pub fn type_of(columns: &[DataType], column: Option<usize>) -> Option<&DataType> {
    column.map(|column| &columns[column])
}

#[cfg(test)]
mod tests;
