//! `F(DISTINCT x)` with a set for each group: for sessions, of which few change, merge or fire at a
//! time. [`Distinct`](super::distinct::Distinct) takes less memory and is made for groups that are read
//! all at once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use millstream_core::plan::{AggregateCall, AggregateFunction};
use millstream_core::{Result, types};

use super::accumulator::{Accumulator, Input, plain};
use super::group_table::{GroupTable, KeyEncoder};

/// See the module.
pub struct DistinctSets {
    call: AggregateCall,
    value_type: DataType,
    encoder: KeyEncoder,
    sets: Vec<GroupTable>,
    set_bytes: usize,
}

impl DistinctSets {
    /// An empty set for each group of `call`, over values of this type.
    pub fn new(call: &AggregateCall, value_type: &DataType) -> Result<Self> {
        Ok(Self {
            call: call.clone(),
            value_type: value_type.clone(),
            encoder: KeyEncoder::new(vec![value_type.clone()])?,
            sets: vec![],
            set_bytes: 0,
        })
    }

    fn insert(&mut self, group: usize, key: &[u8]) {
        let set = &mut self.sets[group];
        let (count, bytes) = (set.len(), set.size());
        set.intern_key(key);
        if set.len() != count {
            self.set_bytes += set.size() - bytes;
        }
    }

    /// All values of these groups, one group after the other, and where each begins.
    fn values(&self, groups: &[u32]) -> Result<(ArrayRef, OffsetBuffer<i32>)> {
        let sets = groups.iter().map(|group| &self.sets[*group as usize]);
        let offsets = OffsetBuffer::from_lengths(sets.clone().map(GroupTable::len));
        let keys = sets.flat_map(|set| {
            let count = u32::try_from(set.len()).expect("group indices are u32");
            (0..count).map(|value| set.key(value))
        });
        Ok((self.encoder.decode_keys(keys)?.remove(0), offsets))
    }
}

impl Accumulator for DistinctSets {
    fn resize(&mut self, groups: usize) {
        self.sets.resize_with(groups, GroupTable::default);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = input.column()?;
        let columns = std::slice::from_ref(column);
        let keys = self.encoder.encode(columns, &[0], column.len())?;
        input.for_each(groups, |row, group| self.insert(group, keys.get(row)));
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![types::array(self.value_type.clone())]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let (values, offsets) = self.values(groups)?;
        let item = Arc::new(Field::new("item", self.value_type.clone(), true));
        Ok(vec![Arc::new(ListArray::try_new(
            item, offsets, values, None,
        )?)])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let lists = state[0].as_list::<i32>();
        let values = lists.values();
        let columns = std::slice::from_ref(values);
        let keys = self.encoder.encode(columns, &[0], values.len())?;
        let at = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
        for (ends, group) in lists.value_offsets().windows(2).zip(groups) {
            for row in at(ends[0])..at(ends[1]) {
                self.insert(*group as usize, keys.get(row));
            }
        }
        Ok(())
    }

    /// A set only ever grows, so the newest state holds the older ones.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        if self.call.function == AggregateFunction::Count {
            let counts = groups.iter().map(|group| self.sets[*group as usize].len());
            let counts = counts.map(|count| i64::try_from(count).expect("counts fit i64"));
            return Ok(Arc::new(Int64Array::from_iter_values(counts)));
        }
        let (values, offsets) = self.values(groups)?;
        let mut inner = plain(&self.call, Some(&self.value_type))?;
        inner.resize(groups.len());
        let positions = 0..u32::try_from(groups.len()).expect("group indices are u32");
        let positions: Vec<u32> = positions.collect();
        let lengths = offsets.lengths();
        let of_value: Vec<u32> = positions
            .iter()
            .zip(lengths)
            .flat_map(|(position, length)| std::iter::repeat_n(*position, length))
            .collect();
        let input = Input {
            values: Some(&values),
            ..Input::default()
        };
        if !of_value.is_empty() {
            inner.update(&input, &of_value)?;
        }
        inner.finish(&positions)
    }

    fn size(&self) -> usize {
        self.sets.capacity() * size_of::<GroupTable>() + self.set_bytes
    }
}
