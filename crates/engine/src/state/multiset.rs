//! COLLECT and PERCENTILE: how often each value came in a group, whatever the order.
//!
//! Each value gets a number once per window, as in [`Distinct`](super::distinct::Distinct); an entry
//! is group, number and count. A checkpoint gets the entries whose count changed, with the count as
//! it is now.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, ListArray, MapArray,
    StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use millstream_core::expr::Literal;
use millstream_core::plan::{AggregateCall, AggregateFunction};
use millstream_core::{Error, Result, types};

use super::accumulator::{Accumulator, Input};
use super::distinct::pair_hash;
use super::group_table::{GroupTable, KeyEncoder};

/// An accumulator of `call` over values of this type; PERCENTILE also takes a ROW of a value and how
/// often it counts.
pub fn accumulator(call: &AggregateCall, argument: &DataType) -> Result<Box<dyn Accumulator>> {
    let percentile = call.function == AggregateFunction::Percentile;
    let (value_type, weighted) = match argument {
        DataType::Struct(fields) if percentile => (fields[0].data_type().clone(), true),
        other => (other.clone(), false),
    };
    let percentages = call.parameters.iter().map(|parameter| match parameter {
        Literal::Float(percentage) => Ok(*percentage),
        other => Err(Error::bug(format!("percentage {other}"))),
    });
    let finish = match percentile {
        true => Finish::Percentile(percentages.collect::<Result<_>>()?),
        false => Finish::Collect,
    };
    Ok(Box::new(Multiset {
        finish,
        distinct: call.distinct,
        weighted,
        encoder: KeyEncoder::new(vec![value_type.clone()])?,
        value_type,
        result: call.data_type.clone(),
        values: GroupTable::default(),
        entries: vec![],
        members: HashTable::new(),
        changed: vec![],
    }))
}

enum Finish {
    Collect,
    Percentile(Vec<f64>),
}

struct Multiset {
    finish: Finish,
    distinct: bool,
    weighted: bool,
    value_type: DataType,
    result: DataType,
    encoder: KeyEncoder,
    values: GroupTable,
    entries: Vec<Entry>,
    members: HashTable<u32>,
    /// Entries that changed since the last checkpoint, each once.
    changed: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    group: u32,
    value: u32,
    count: i64,
    is_changed: bool,
}

impl Multiset {
    /// The index of the entry, made if it is new.
    fn entry(&mut self, (group, value): (u32, u32)) -> u32 {
        let entries = &mut self.entries;
        let pair = |entry: &Entry| (entry.group, entry.value);
        let slot = self.members.entry(
            pair_hash((group, value)),
            |index| pair(&entries[*index as usize]) == (group, value),
            |index| pair_hash(pair(&entries[*index as usize])),
        );
        match slot {
            Slot::Occupied(slot) => *slot.get(),
            Slot::Vacant(slot) => {
                let index = u32::try_from(entries.len()).expect("fewer than 2^32 values");
                slot.insert(index);
                entries.push(Entry {
                    group,
                    value,
                    count: 0,
                    is_changed: false,
                });
                index
            }
        }
    }

    fn add(&mut self, pair: (u32, u32), count: i64) {
        let index = self.entry(pair);
        let entry = &mut self.entries[index as usize];
        entry.count = entry.count.saturating_add(count);
        if !std::mem::replace(&mut entry.is_changed, true) {
            self.changed.push(index);
        }
    }

    /// The numbers of the values in these rows of `column`.
    fn intern(&mut self, column: &ArrayRef, rows: &[u32]) -> Result<Vec<u32>> {
        let columns = std::slice::from_ref(column);
        let keys = self.encoder.encode(columns, &[0], column.len())?;
        let mut numbers = Vec::with_capacity(rows.len());
        self.values
            .intern(&keys, Some(rows), column.len(), &mut numbers);
        Ok(numbers)
    }

    fn lists(&self, mut entries: Vec<Entry>, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        entries.sort_unstable_by_key(|entry| (entry.group, entry.value));
        let (picked, offsets) = pick(&entries, groups);
        let values = self.decode(&picked)?;
        let counts = picked.iter().map(|entry| entry.count);
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(counts));
        let list = |data_type: &DataType, values: ArrayRef| -> Result<ArrayRef> {
            let item = Arc::new(Field::new("item", data_type.clone(), true));
            let list = ListArray::try_new(item, offsets.clone(), values, None)?;
            Ok(Arc::new(list))
        };
        Ok(vec![
            list(&self.value_type, values)?,
            list(&DataType::Int64, counts)?,
        ])
    }

    fn decode(&self, entries: &[Entry]) -> Result<ArrayRef> {
        let numbers: Vec<u32> = entries.iter().map(|entry| entry.value).collect();
        Ok(self.encoder.decode(&self.values, &numbers)?.remove(0))
    }

    /// The entries of `groups` in ascending order of their values.
    fn ordered(&self, groups: &[u32]) -> (Vec<Entry>, OffsetBuffer<i32>) {
        let mut entries = self.entries.clone();
        let value = |entry: &Entry| self.values.key(entry.value);
        entries.sort_unstable_by(|a, b| {
            let groups = a.group.cmp(&b.group);
            groups.then_with(|| value(a).cmp(value(b)))
        });
        pick(&entries, groups)
    }

    /// `MAP<value, count>`; null for a group without values.
    fn maps(&self, groups: &[u32]) -> Result<ArrayRef> {
        let DataType::Map(field, _) = &self.result else {
            return Err(Error::bug("COLLECT gives a map"));
        };
        let DataType::Struct(fields) = field.data_type() else {
            return Err(Error::bug("entries of a map are rows"));
        };
        let (entries, offsets) = self.ordered(groups);
        let count = |entry: &Entry| match self.distinct {
            true => 1,
            false => i32::try_from(entry.count).unwrap_or(i32::MAX),
        };
        let counts: ArrayRef = Arc::new(Int32Array::from_iter_values(entries.iter().map(count)));
        let present = offsets.windows(2).map(|ends| ends[0] < ends[1]).collect();
        let pairs =
            StructArray::try_new(fields.clone(), vec![self.decode(&entries)?, counts], None)?;
        let maps = MapArray::try_new(field.clone(), offsets, pairs, Some(present), false)?;
        Ok(Arc::new(maps))
    }

    fn percentiles(&self, percentages: &[f64], groups: &[u32]) -> Result<ArrayRef> {
        let (entries, offsets) = self.ordered(groups);
        let values = self.decode(&entries)?;
        let values = values.as_primitive::<Float64Type>().values();
        let mut results = vec![];
        for ends in offsets.windows(2) {
            let range = at(ends[0])..at(ends[1]);
            let of_group = &values[range.clone()];
            let total: i64 = entries[range.clone()].iter().map(|e| e.count).sum();
            for percentage in percentages {
                let counts = entries[range.clone()].iter().map(|entry| entry.count);
                let found = (total > 0).then(|| percentile(of_group, counts, (total, *percentage)));
                results.push(found);
            }
        }
        let present = offsets.windows(2).map(|ends| ends[0] < ends[1]).collect();
        let results: ArrayRef = Arc::new(Float64Array::from(results));
        if !matches!(self.result, DataType::List(_)) {
            return Ok(results);
        }
        let lengths = OffsetBuffer::from_repeated_length(percentages.len(), groups.len());
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        Ok(Arc::new(ListArray::try_new(
            item,
            lengths,
            results,
            Some(present),
        )?))
    }
}

/// The value at `percentage` of `total` values in order, between two neighbours in proportion.
fn percentile(
    values: &[f64],
    counts: impl Iterator<Item = i64>,
    (total, percentage): (i64, f64),
) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    let position = (total - 1) as f64 * percentage;
    let (lower, higher) = (position.floor(), position.ceil());
    let mut before = 0;
    let mut low = None;
    for (value, count) in values.iter().zip(counts) {
        before += count;
        #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
        let last = (before - 1) as f64;
        if low.is_none() && last >= lower {
            low = Some(*value);
        }
        if let Some(low) = low
            && last >= higher
        {
            return match low == *value {
                true => low,
                false => (higher - position) * low + (position - lower) * value,
            };
        }
    }
    f64::NAN
}

fn at(offset: i32) -> usize {
    usize::try_from(offset).expect("offsets are not negative")
}

/// Of entries that are sorted by group, those of `groups` one after the other.
fn pick(sorted: &[Entry], groups: &[u32]) -> (Vec<Entry>, OffsetBuffer<i32>) {
    let mut picked = vec![];
    let mut lengths = Vec::with_capacity(groups.len());
    for group in groups {
        let start = sorted.partition_point(|entry| entry.group < *group);
        let of_group = sorted[start..].iter();
        let before = picked.len();
        picked.extend(of_group.take_while(|entry| entry.group == *group));
        lengths.push(picked.len() - before);
    }
    (picked, OffsetBuffer::from_lengths(lengths))
}

impl Accumulator for Multiset {
    fn resize(&mut self, _groups: usize) {}

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = input.column()?;
        let (values, weights) = match self.weighted {
            true => {
                let parts = column.as_struct();
                (
                    parts.column(0),
                    Some(parts.column(1).as_primitive::<Int64Type>()),
                )
            }
            false => (column, None),
        };
        let (mut rows, mut members) = (vec![], vec![]);
        let input = Input {
            values: Some(values),
            ..*input
        };
        input.for_each(groups, |row, group| {
            let weight = weights.map_or(1, |weights| match weights.is_valid(row) {
                true => weights.value(row),
                false => 0,
            });
            // A value that counts less than once is not there.
            if weight > 0 {
                rows.push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
                members.push((u32::try_from(group).expect("group indices are u32"), weight));
            }
        });
        let numbers = self.intern(values, &rows)?;
        for ((group, weight), value) in members.into_iter().zip(numbers) {
            self.add((group, value), weight);
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![
            types::array(self.value_type.clone()),
            types::array(DataType::Int64),
        ]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.lists(self.entries.clone(), groups)
    }

    fn changes(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let changed = std::mem::take(&mut self.changed);
        let entries = changed.iter().map(|index| self.entries[*index as usize]);
        let lists = self.lists(entries.collect(), groups)?;
        for index in changed {
            self.entries[index as usize].is_changed = false;
        }
        Ok(lists)
    }

    fn repeats_in_pieces(&self) -> bool {
        false
    }

    fn forget_checkpoints(&mut self) {
        self.changed = (0..u32::try_from(self.entries.len()).expect("entry indices")).collect();
        self.entries
            .iter_mut()
            .for_each(|entry| entry.is_changed = true);
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.take_state(state, groups, Self::add)
    }

    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.take_state(state, groups, |multiset, pair, count| {
            let index = multiset.entry(pair);
            multiset.entries[index as usize].count = count;
        })
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        match &self.finish {
            Finish::Collect => self.maps(groups),
            Finish::Percentile(percentages) => self.percentiles(percentages, groups),
        }
    }

    fn size(&self) -> usize {
        self.values.size()
            + self.entries.capacity() * size_of::<Entry>()
            + self.members.allocation_size()
            + self.changed.capacity() * 4
    }
}

impl Multiset {
    fn take_state(
        &mut self,
        state: &[ArrayRef],
        groups: &[u32],
        each: impl Fn(&mut Self, (u32, u32), i64),
    ) -> Result<()> {
        let (values, counts) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let of_value = counts.values().as_primitive::<Int64Type>();
        let ends = values.value_offsets();
        let (mut rows, mut members) = (vec![], vec![]);
        for (row, group) in groups.iter().enumerate() {
            // Both lists have the same lengths, but need not begin at the same offset.
            let first_count = at(counts.value_offsets()[row]);
            for (index, value) in (at(ends[row])..at(ends[row + 1])).enumerate() {
                rows.push(u32::try_from(value).expect("offsets are i32"));
                members.push((*group, of_value.value(first_count + index)));
            }
        }
        let numbers = self.intern(values.values(), &rows)?;
        for ((group, count), value) in members.into_iter().zip(numbers) {
            each(self, (group, value), count);
        }
        Ok(())
    }
}
