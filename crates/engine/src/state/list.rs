//! LISTAGG and ARRAY_AGG: all values of a group, in the order of their rows ([`OrderKey`]); rows of
//! one key (rows of no split) in the order of their values.
//!
//! Each value gets a number once per window, as in [`Distinct`](super::distinct::Distinct); an entry
//! is group, number and key. Entries are appended; what lies behind `logged` is what a checkpoint has
//! to write. With DISTINCT a value has one entry in a group, that of its first row; where an earlier
//! row turns up the entry moves, and is written again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use millstream_core::expr::Literal;
use millstream_core::plan::{AggregateCall, AggregateFunction};
use millstream_core::{Error, Result, types};

use super::accumulator::{Accumulator, Input};
use super::distinct::pair_hash;
use super::group_table::{GroupTable, KeyEncoder};
use super::order::{OrderKey, OrderKeys};

/// Most bytes of the texts that LISTAGG makes for the groups of one window on one shard.
const TEXT_BYTES_MAX: usize = i32::MAX as usize;

/// An accumulator of `call` over values of this type.
pub fn accumulator(call: &AggregateCall, argument: &DataType) -> Result<Box<dyn Accumulator>> {
    let finish = match (call.function, call.parameters.as_slice()) {
        (AggregateFunction::ListAgg, [Literal::String(separator)]) => {
            Finish::Text(separator.clone())
        }
        (_, [Literal::Boolean(true)]) => Finish::Array { nulls: false },
        _ => Finish::Array { nulls: true },
    };
    Ok(Box::new(List {
        finish,
        distinct: call.distinct,
        value_type: argument.clone(),
        encoder: KeyEncoder::new(vec![argument.clone()])?,
        values: GroupTable::default(),
        entries: vec![],
        members: HashTable::new(),
        logged: 0,
        moved: vec![],
    }))
}

enum Finish {
    /// Texts with this between them.
    Text(String),
    Array {
        nulls: bool,
    },
}

struct List {
    finish: Finish,
    distinct: bool,
    value_type: DataType,
    encoder: KeyEncoder,
    values: GroupTable,
    entries: Vec<Entry>,
    /// With DISTINCT: the entry of each value in each group.
    members: HashTable<u32>,
    logged: usize,
    /// Entries before `logged` that changed since.
    moved: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    group: u32,
    value: u32,
    key: OrderKey,
}

impl List {
    fn insert(&mut self, new: Entry) {
        if !self.distinct {
            self.entries.push(new);
            return;
        }
        let entries = &mut self.entries;
        let pair = |entry: &Entry| (entry.group, entry.value);
        let slot = self.members.entry(
            pair_hash(pair(&new)),
            |index| pair(&entries[*index as usize]) == pair(&new),
            |index| pair_hash(pair(&entries[*index as usize])),
        );
        match slot {
            Slot::Vacant(slot) => {
                slot.insert(u32::try_from(entries.len()).expect("fewer than 2^32 values"));
                entries.push(new);
            }
            Slot::Occupied(slot) => {
                let index = *slot.get();
                let known = &mut entries[index as usize];
                if new.key < known.key {
                    known.key = new.key;
                    if (index as usize) < self.logged {
                        self.moved.push(index);
                    }
                }
            }
        }
    }

    fn insert_all(
        &mut self,
        column: &ArrayRef,
        rows: &[u32],
        entry: impl Fn(usize) -> (u32, OrderKey),
    ) -> Result<()> {
        let columns = std::slice::from_ref(column);
        let keys = self.encoder.encode(columns, &[0], column.len())?;
        let mut numbers = Vec::with_capacity(rows.len());
        self.values
            .intern(&keys, Some(rows), column.len(), &mut numbers);
        for (position, value) in numbers.into_iter().enumerate() {
            let (group, key) = entry(position);
            self.insert(Entry { group, value, key });
        }
        Ok(())
    }

    /// State columns of `groups`, from these entries.
    fn lists(&self, mut entries: Vec<Entry>, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        entries.sort_unstable_by_key(|entry| (entry.group, entry.key));
        let (picked, offsets) = pick(&entries, groups);
        let keys = OrderKey::column(picked.iter().map(|entry| entry.key));
        let numbers: Vec<u32> = picked.iter().map(|entry| entry.value).collect();
        let values = self.encoder.decode(&self.values, &numbers)?.remove(0);
        let list = |data_type: &DataType, values: ArrayRef| -> Result<ArrayRef> {
            let item = Arc::new(Field::new("item", data_type.clone(), true));
            let list = ListArray::try_new(item, offsets.clone(), values, None)?;
            Ok(Arc::new(list))
        };
        Ok(vec![
            list(&OrderKey::DATA_TYPE, keys)?,
            list(&self.value_type, values)?,
        ])
    }

    /// The entries of `groups` in order.
    fn ordered(&self, groups: &[u32]) -> (Vec<Entry>, OffsetBuffer<i32>) {
        let mut entries = self.entries.clone();
        let value = |entry: &Entry| self.values.key(entry.value);
        entries.sort_unstable_by(|a, b| {
            let places = (a.group, a.key).cmp(&(b.group, b.key));
            places.then_with(|| value(a).cmp(value(b)))
        });
        pick(&entries, groups)
    }

    fn texts(&self, separator: &str, groups: &[u32]) -> Result<ArrayRef> {
        let all: Vec<u32> = (0..u32::try_from(self.values.len()).expect("value numbers")).collect();
        let values = self.encoder.decode(&self.values, &all)?.remove(0);
        let values: &StringArray = values.as_string();
        let (entries, offsets) = self.ordered(groups);
        let lengths = entries
            .iter()
            .map(|e| values.value_length(e.value as usize));
        let bytes: usize = lengths
            .map(|length| usize::try_from(length).unwrap_or(0) + separator.len())
            .sum();
        if bytes > TEXT_BYTES_MAX {
            let message = format!("LISTAGG makes {bytes} bytes, expected at most {TEXT_BYTES_MAX}");
            return Err(Error::invalid(message));
        }
        let mut texts = StringBuilder::with_capacity(groups.len(), bytes);
        let mut text = String::new();
        for ends in offsets.windows(2) {
            let range = at(ends[0])..at(ends[1]);
            text.clear();
            for (index, entry) in entries[range.clone()].iter().enumerate() {
                if index > 0 {
                    text.push_str(separator);
                }
                text.push_str(values.value(entry.value as usize));
            }
            texts.append_option((!range.is_empty()).then_some(&text));
        }
        Ok(Arc::new(texts.finish()))
    }

    fn arrays(&self, groups: &[u32]) -> Result<ArrayRef> {
        let (entries, offsets) = self.ordered(groups);
        let numbers: Vec<u32> = entries.iter().map(|entry| entry.value).collect();
        let values = self.encoder.decode(&self.values, &numbers)?.remove(0);
        let present = offsets.windows(2).map(|ends| ends[0] < ends[1]).collect();
        let item = Arc::new(Field::new("item", self.value_type.clone(), true));
        Ok(Arc::new(ListArray::try_new(
            item,
            offsets,
            values,
            Some(present),
        )?))
    }
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

impl Accumulator for List {
    fn resize(&mut self, _groups: usize) {}

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = input.column()?;
        let keys = input.order_keys()?;
        let (mut rows, mut of_group) = (vec![], vec![]);
        let note = |row: usize, group: usize| {
            rows.push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
            of_group.push(u32::try_from(group).expect("group indices are u32"));
        };
        match self.finish {
            Finish::Array { nulls: true } => input.for_each_row(groups, note),
            _ => input.for_each(groups, note),
        }
        let entry = |index: usize| (of_group[index], keys.get(rows[index] as usize));
        self.insert_all(column, &rows, entry)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![
            types::array(OrderKey::DATA_TYPE),
            types::array(self.value_type.clone()),
        ]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.lists(self.entries.clone(), groups)
    }

    fn changes(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut changed = self.entries[self.logged..].to_vec();
        let moved = self.moved.iter().map(|index| self.entries[*index as usize]);
        changed.extend(moved);
        let lists = self.lists(changed, groups)?;
        self.logged = self.entries.len();
        self.moved.clear();
        Ok(lists)
    }

    fn repeats_in_pieces(&self) -> bool {
        false
    }

    fn forget_checkpoints(&mut self) {
        self.logged = 0;
        self.moved.clear();
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let (places, values) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let keys = OrderKeys::new(places.values());
        let ends = values.value_offsets();
        let (mut rows, mut members) = (vec![], vec![]);
        for (row, group) in groups.iter().enumerate() {
            let range = at(ends[row])..at(ends[row + 1]);
            // Both lists have the same lengths, but need not begin at the same offset.
            let first_key = at(places.value_offsets()[row]);
            for (index, value) in range.enumerate() {
                rows.push(u32::try_from(value).expect("offsets are i32"));
                members.push((*group, keys.get(first_key + index)));
            }
        }
        self.insert_all(values.values(), &rows, |index| members[index])
    }

    /// What is restored is in a checkpoint already.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let all_written = self.logged == self.entries.len() && self.moved.is_empty();
        self.merge(state, groups)?;
        if all_written {
            self.logged = self.entries.len();
            self.moved.clear();
        }
        Ok(())
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        match &self.finish {
            Finish::Text(separator) => self.texts(separator, groups),
            Finish::Array { .. } => self.arrays(groups),
        }
    }

    fn size(&self) -> usize {
        self.values.size()
            + self.entries.capacity() * size_of::<Entry>()
            + self.members.allocation_size()
    }
}
