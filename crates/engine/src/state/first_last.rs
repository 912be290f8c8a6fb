//! FIRST_VALUE and LAST_VALUE: of each group the value that comes first or last ([`OrderKey`]).
//! Nulls do not count, as in Flink. Where two keys are equal (rows of no split) the smaller value is
//! the first and the larger one the last.

use arrow::array::{ArrayRef, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use millstream_core::{Error, Result};

use super::accumulator::{Accumulator, Input};
use super::order::{OrderKey, OrderKeys};

/// An accumulator for values of this type.
pub fn accumulator(last: bool, argument: &DataType) -> Result<Box<dyn Accumulator>> {
    let converter = RowConverter::new(vec![SortField::new(argument.clone())]);
    let converter = converter.map_err(|error| {
        Error::invalid(format!(
            "FIRST_VALUE and LAST_VALUE of such values: {error}"
        ))
    })?;
    Ok(Box::new(FirstLast {
        last,
        data_type: argument.clone(),
        converter,
        groups: vec![],
        candidate_of_group: vec![],
        value_bytes: 0,
    }))
}

struct FirstLast {
    last: bool,
    data_type: DataType,
    converter: RowConverter,
    groups: Vec<Kept>,
    /// Scratch for one batch: the position of a group's candidate, [`NONE`] outside of a batch.
    candidate_of_group: Vec<u32>,
    value_bytes: usize,
}

const NONE: u32 = u32::MAX;

/// What is kept of a group: the key, and the value in Arrow's row format. PERF: the buffer stays, so
/// a value that takes the place of another allocates nothing.
#[derive(Debug, Clone, Default)]
struct Kept {
    key: Option<OrderKey>,
    value: Vec<u8>,
}

/// A row that may take a group's place.
struct Candidate {
    key: OrderKey,
    row: u32,
    group: u32,
}

impl FirstLast {
    /// Whether a row at `new` is to be kept rather than one at `old`.
    fn is_better<T: Ord>(&self, new: &T, old: &T) -> bool {
        if self.last { new > old } else { new < old }
    }

    /// The rows that could be kept: of each group the best of the batch, and those that stand at
    /// the same place. PERF: only their values are looked at.
    fn candidates(
        &mut self,
        input: &Input<'_>,
        keys: OrderKeys<'_>,
        groups: &[u32],
    ) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = vec![];
        let mut of_group = std::mem::take(&mut self.candidate_of_group);
        input.for_each(groups, |row, group| {
            let key = keys.get(row);
            let kept = self.groups[group].key.as_ref();
            if kept.is_some_and(|kept| self.is_better(kept, &key)) {
                return;
            }
            let candidate = Candidate {
                key,
                row: index(row),
                group: index(group),
            };
            let known = candidates.get_mut(of_group[group] as usize);
            match known {
                None => {
                    of_group[group] = index(candidates.len());
                    candidates.push(candidate);
                }
                Some(known) if self.is_better(&key, &known.key) => *known = candidate,
                Some(known) if key == known.key => candidates.push(candidate),
                Some(_) => {}
            }
        });
        for candidate in &candidates {
            of_group[candidate.group as usize] = NONE;
        }
        self.candidate_of_group = of_group;
        candidates
    }

    fn take(&mut self, input: &Input<'_>, keys: OrderKeys<'_>, groups: &[u32]) -> Result<()> {
        let column = input.column()?;
        let candidates = self.candidates(input, keys, groups);
        let rows: UInt32Array = candidates.iter().map(|c| Some(c.row)).collect();
        let values = take(column, &rows, None)?;
        let values = self.converter.convert_columns(&[values])?;
        for (candidate, value) in candidates.iter().zip(&values) {
            let kept = &self.groups[candidate.group as usize];
            let new = (candidate.key, value.data());
            let better = kept
                .key
                .is_none_or(|key| self.is_better(&new, &(key, kept.value.as_slice())));
            if better {
                let kept = &mut self.groups[candidate.group as usize];
                let before = kept.value.capacity();
                kept.key = Some(candidate.key);
                kept.value.clear();
                kept.value.extend_from_slice(value.data());
                self.value_bytes += kept.value.capacity() - before;
            }
        }
        Ok(())
    }
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("rows and groups are numbered by u32")
}

impl Accumulator for FirstLast {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Kept::default());
        self.candidate_of_group.resize(groups, NONE);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        self.take(input, input.order_keys()?, groups)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![OrderKey::DATA_TYPE, self.data_type.clone()]
    }

    /// Groups without a value have a null; their key means nothing.
    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let none = OrderKey {
            time: 0,
            split: 0,
            place: 0,
        };
        let keys = groups.iter().map(|group| self.groups[*group as usize].key);
        let keys = OrderKey::column(keys.map(|key| key.unwrap_or(none)));
        Ok(vec![keys, self.finish(groups)?])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let input = Input {
            values: Some(&state[1]),
            ..Input::default()
        };
        self.take(&input, OrderKeys::new(&state[0]), groups)
    }

    /// The place only ever moves one way, so the newest state is also the best one.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let null = new_null_array(&self.data_type, 1);
        let null = self.converter.convert_columns(&[null])?;
        let parser = self.converter.parser();
        let rows = groups.iter().map(|group| {
            let kept = &self.groups[*group as usize];
            match kept.key {
                Some(_) => parser.parse(&kept.value),
                None => parser.parse(null.row(0).data()),
            }
        });
        let mut columns = self.converter.convert_rows(rows)?;
        Ok(columns.remove(0))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Kept>()
            + self.candidate_of_group.capacity() * 4
            + self.value_bytes
    }
}
