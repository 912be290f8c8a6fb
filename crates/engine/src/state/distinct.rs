//! `F(DISTINCT x)`: a set of values for each group, and F over it when it is read.
//!
//! Each value gets a number once per window ([`GroupTable`] of the values); the sets of all groups
//! are one hash set of (group, value number) pairs: 8 bytes a member, whatever the values' length.
//! `log` keeps the pairs in the order they came: it groups them when read, and what lies behind
//! `logged` is what a checkpoint has to write, and what it writes once more is a piece of the log at a time:
//! a set may come in parts, as what is restored is put together.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use hashbrown::HashTable;
use millstream_core::Result;
use millstream_core::plan::{AggregateCall, AggregateFunction};

use super::accumulator::{Accumulator, Input, plain};
use super::dirty::DirtySet;
use super::group_table::{GroupTable, KeyEncoder};

/// See the module.
pub struct Distinct {
    call: AggregateCall,
    value_type: DataType,
    encoder: KeyEncoder,
    values: GroupTable,
    members: HashTable<Pair>,
    log: Vec<Pair>,
    logged: usize,
    /// What of the log is still to be given once more.
    to_repeat: Range<usize>,
    /// The piece that the next changes give.
    repeated: Range<usize>,
    scratch: Vec<u32>,
    groups: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    group: u32,
    value: u32,
}

impl Pair {
    fn hash(self) -> u64 {
        pair_hash((self.group, self.value))
    }
}

/// A hash of a group and the number of a value.
pub(super) fn pair_hash((group, value): (u32, u32)) -> u64 {
    // Multiplicative hashing; the fold brings the well-mixed upper bits down.
    let product = (u64::from(group) << 32 | u64::from(value)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

impl Distinct {
    /// An empty set for each group of `call`, over values of this type.
    pub fn new(call: &AggregateCall, value_type: &DataType) -> Result<Self> {
        let encoder = KeyEncoder::new(vec![value_type.clone()])?;
        Ok(Self::sharing(call, value_type, encoder))
    }

    /// The same with an encoder of such values that others have as well.
    pub fn sharing(call: &AggregateCall, value_type: &DataType, encoder: KeyEncoder) -> Self {
        Self {
            call: call.clone(),
            value_type: value_type.clone(),
            encoder,
            values: GroupTable::default(),
            members: HashTable::new(),
            log: vec![],
            logged: 0,
            to_repeat: 0..0,
            repeated: 0..0,
            scratch: vec![],
            groups: 0,
        }
    }

    fn insert(&mut self, pair: Pair) {
        let entry = self
            .members
            .entry(pair.hash(), |other| *other == pair, |p| p.hash());
        if let hashbrown::hash_table::Entry::Vacant(entry) = entry {
            entry.insert(pair);
            self.log.push(pair);
        }
    }

    /// Values as a list for each of `groups`, from `pairs`.
    fn lists(&self, pairs: Vec<Pair>, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut sorted = pairs;
        sorted.sort_unstable();
        let mut numbers = vec![];
        let mut lengths = vec![];
        for group in groups {
            let start = sorted.partition_point(|pair| pair.group < *group);
            let of_group = sorted[start..]
                .iter()
                .take_while(|pair| pair.group == *group);
            let before = numbers.len();
            numbers.extend(of_group.map(|pair| pair.value));
            lengths.push(numbers.len() - before);
        }
        let values = self.encoder.decode(&self.values, &numbers)?.remove(0);
        let item = Arc::new(Field::new("item", self.value_type.clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(vec![Arc::new(ListArray::try_new(
            item, offsets, values, None,
        )?)])
    }
}

impl Accumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        self.groups = groups;
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = input.column()?;
        let keys = self
            .encoder
            .encode(std::slice::from_ref(column), &[0], column.len())?;
        let mut rows = std::mem::take(&mut self.scratch);
        rows.clear();
        let mut of_group = Vec::with_capacity(groups.len());
        input.for_each(groups, |row, group| {
            rows.push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
            of_group.push(u32::try_from(group).expect("group indices are u32"));
        });
        let mut numbers = Vec::with_capacity(rows.len());
        self.values
            .intern(&keys, Some(&rows), column.len(), &mut numbers);
        for (group, value) in of_group.into_iter().zip(numbers) {
            self.insert(Pair { group, value });
        }
        self.scratch = rows;
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        let item = Field::new("item", self.value_type.clone(), true);
        vec![DataType::List(Arc::new(item))]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.lists(self.log.clone(), groups)
    }

    fn changes(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut pairs = self.log[self.logged..].to_vec();
        pairs.extend_from_slice(&self.log[self.repeated.clone()]);
        let lists = self.lists(pairs, groups)?;
        self.logged = self.log.len();
        self.repeated = 0..0;
        Ok(lists)
    }

    fn forget_checkpoints(&mut self) {
        self.logged = 0;
        (self.to_repeat, self.repeated) = (0..0, 0..0);
    }

    fn changes_in_pieces(&self) -> bool {
        false
    }

    fn begin_to_repeat(&mut self) {
        self.to_repeat = 0..self.logged;
    }

    fn repeat(&mut self, entries: &mut usize, groups: &mut DirtySet) -> bool {
        let piece = self.to_repeat.len().min(*entries);
        *entries -= piece;
        self.repeated = self.to_repeat.start..self.to_repeat.start + piece;
        self.to_repeat.start += piece;
        for pair in &self.log[self.repeated.clone()] {
            groups.mark(&[pair.group]);
        }
        self.to_repeat.is_empty()
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let lists = state[0].as_list::<i32>();
        let offsets = lists.value_offsets();
        let first = offsets.first().copied().unwrap_or_default();
        let last = offsets.last().copied().unwrap_or_default();
        let used = usize::try_from(last - first).expect("offsets ascend");
        let start = usize::try_from(first).expect("offsets are not negative");
        let values = lists.values().slice(start, used);
        let of_member: Vec<u32> = offsets
            .windows(2)
            .zip(groups)
            .flat_map(|(ends, group)| (ends[0]..ends[1]).map(|_| *group))
            .collect();
        let keys = self
            .encoder
            .encode(std::slice::from_ref(&values), &[0], values.len())?;
        let mut numbers = Vec::with_capacity(values.len());
        self.values.intern(&keys, None, values.len(), &mut numbers);
        for (group, value) in of_member.into_iter().zip(numbers) {
            self.insert(Pair { group, value });
        }
        Ok(())
    }

    /// What is restored is in a checkpoint already.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let all_written = self.logged == self.log.len();
        self.merge(state, groups)?;
        if all_written {
            self.logged = self.log.len();
        }
        Ok(())
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut inner = plain(&self.call, Some(&self.value_type))?;
        inner.resize(self.groups);
        let of_member: Vec<u32> = self.log.iter().map(|pair| pair.group).collect();
        let values: ArrayRef = if self.call.function == AggregateFunction::Count {
            // PERF: a count does not look at the values, so they need not be decoded.
            Arc::new(Int32Array::from(vec![0; of_member.len()]))
        } else {
            let numbers: Vec<u32> = self.log.iter().map(|pair| pair.value).collect();
            self.encoder.decode(&self.values, &numbers)?.remove(0)
        };
        let input = Input {
            values: Some(&values),
            ..Input::default()
        };
        if !of_member.is_empty() {
            inner.update(&input, &of_member)?;
        }
        inner.finish(groups)
    }

    fn size(&self) -> usize {
        let scratch = self.scratch.capacity() * size_of::<u32>();
        let members = self.members.allocation_size() + self.log.capacity() * size_of::<Pair>();
        self.values.size() + members + scratch
    }
}
