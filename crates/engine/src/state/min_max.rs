//! MIN and MAX of every type that can be compared. Numbers and times have a vector of their own;
//! the rest is compared in Arrow's row format.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanBufferBuilder,
    PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use arrow::row::{RowConverter, SortField};
use millstream_core::Result;

use super::accumulator::{Accumulator, Input};

/// An accumulator for values of this type, or `None` if they have no order.
pub fn accumulator(max: bool, argument: &DataType) -> Result<Option<Box<dyn Accumulator>>> {
    macro_rules! primitive {
        ($type:ty) => {
            Box::new(PrimitiveMinMax::<$type>::new(max, argument.clone()))
        };
    }
    Ok(Some(match argument {
        DataType::Int8 => primitive!(Int8Type),
        DataType::Int16 => primitive!(Int16Type),
        DataType::Int32 => primitive!(Int32Type),
        DataType::Int64 => primitive!(Int64Type),
        DataType::Float32 => primitive!(Float32Type),
        DataType::Float64 => primitive!(Float64Type),
        DataType::Decimal128(..) => primitive!(Decimal128Type),
        DataType::Date32 => primitive!(Date32Type),
        DataType::Time32(TimeUnit::Millisecond) => primitive!(Time32MillisecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => primitive!(TimestampNanosecondType),
        DataType::Utf8 | DataType::Binary | DataType::Boolean => {
            Box::new(RowMinMax::new(max, argument.clone())?)
        }
        _ => return Ok(None),
    }))
}

struct PrimitiveMinMax<T: ArrowPrimitiveType> {
    max: bool,
    data_type: DataType,
    values: Vec<T::Native>,
    /// PERF: bits, which stay in the cache where bytes do not.
    seen: BooleanBufferBuilder,
}

impl<T: ArrowPrimitiveType> PrimitiveMinMax<T> {
    fn new(max: bool, data_type: DataType) -> Self {
        let (values, seen) = (vec![], BooleanBufferBuilder::new(0));
        Self {
            max,
            data_type,
            values,
            seen,
        }
    }

    /// PERF: whether a value is better cannot be foretold, so it is not a branch: the processor would
    /// wait for the memory of each group by itself.
    fn offer(&mut self, group: usize, value: T::Native) {
        let is_first = !self.seen.get_bit(group);
        let best = &mut self.values[group];
        let better = match self.max {
            true => value.is_gt(*best),
            false => value.is_lt(*best),
        };
        *best = if better | is_first { value } else { *best };
        if is_first {
            self.seen.set_bit(group, true);
        }
    }
}

impl<T: ArrowPrimitiveType> Accumulator for PrimitiveMinMax<T> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, T::Native::default());
        self.seen.resize(groups);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let values = input.column()?.as_primitive::<T>().values();
        input.for_each(groups, |row, group| self.offer(group, values[row]));
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.data_type.clone()]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(groups)?])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let column = state[0].as_primitive::<T>();
        for (row, group) in groups.iter().enumerate() {
            if column.is_valid(row) {
                self.offer(*group as usize, column.value(row));
            }
        }
        Ok(())
    }

    /// An extreme only ever moves one way, so the newest state is also the best one.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let value = |group: &u32| {
            let group = *group as usize;
            self.seen.get_bit(group).then(|| self.values[group])
        };
        let values = PrimitiveArray::<T>::from_iter(groups.iter().map(value));
        Ok(Arc::new(values.with_data_type(self.data_type.clone())))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.seen.capacity() / 8
    }
}

struct RowMinMax {
    max: bool,
    data_type: DataType,
    converter: RowConverter,
    values: Vec<Option<Box<[u8]>>>,
    value_bytes: usize,
}

impl RowMinMax {
    fn new(max: bool, data_type: DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self {
            max,
            data_type,
            converter,
            values: vec![],
            value_bytes: 0,
        })
    }

    fn take(&mut self, input: &Input<'_>, column: &ArrayRef, groups: &[u32]) -> Result<()> {
        let rows = self
            .converter
            .convert_columns(std::slice::from_ref(column))?;
        let (max, values, bytes) = (self.max, &mut self.values, &mut self.value_bytes);
        input.for_each(groups, |row, group| {
            let value = rows.row(row).data();
            let better = match &values[group] {
                None => true,
                Some(old) if max => value > &**old,
                Some(old) => value < &**old,
            };
            if better {
                *bytes += value.len();
                *bytes -= values[group].as_ref().map_or(0, |old| old.len());
                values[group] = Some(value.into());
            }
        });
        Ok(())
    }
}

impl Accumulator for RowMinMax {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        self.take(input, input.column()?, groups)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.data_type.clone()]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(groups)?])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let input = Input {
            values: Some(&state[0]),
            ..Input::default()
        };
        self.take(&input, &state[0], groups)
    }

    /// See [`PrimitiveMinMax`]'s.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let null = arrow::array::new_null_array(&self.data_type, 1);
        let null = self.converter.convert_columns(&[null])?;
        let parser = self.converter.parser();
        let rows = groups
            .iter()
            .map(|group| match &self.values[*group as usize] {
                Some(value) => parser.parse(value),
                None => parser.parse(null.row(0).data()),
            });
        let mut columns = self.converter.convert_rows(rows)?;
        Ok(columns.remove(0))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<[u8]>>>() + self.value_bytes
    }
}
