//! Calls over all rows of a key so far: one accumulator a key, which takes a row, or the rows of one
//! time, and is read after each.
//!
//! As state a key is: `needed_until`, its columns, the time of its last row, the columns of the
//! accumulators. A newer row of state replaces an older one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_core::plan::{AggregateCall, Frame};
use millstream_core::{EventTime, Result, Watermark};

use super::frames::{Keyed, order_keys, type_of};
use super::history::{Key, until};
use crate::state::accumulator::{RunKey, state_fields};
use crate::state::row_codec::RowCodec;
use crate::state::{Accumulator, Input, accumulator};

/// Accumulators of forgotten keys that are kept before the others move together.
const SPARE: usize = 1_024;

/// See the module.
pub struct Totals {
    keys: Arc<RowCodec>,
    key_columns: usize,
    calls: Vec<(Frame, AggregateCall)>,
    types: Vec<DataType>,
    accumulators: Vec<Box<dyn Accumulator>>,
    slots: u32,
    schema: SchemaRef,
    ttl_ms: Option<i64>,
    of_key: BTreeMap<Key, Total>,
    due: BTreeSet<(i64, Key)>,
    changed: BTreeSet<Key>,
}

#[derive(Debug, Clone, Copy)]
struct Total {
    slot: u32,
    last: i64,
}

/// Rows of one key that are taken together, and the slot of the key.
type Step = (u32, std::ops::Range<usize>, u32);

impl Totals {
    /// No keys. `types` are those of the operator's input.
    pub fn new(
        keys: Arc<RowCodec>,
        key_fields: Vec<Field>,
        (calls, types): (Vec<(Frame, AggregateCall)>, Vec<DataType>),
        ttl_ms: Option<i64>,
    ) -> Result<Self> {
        let accumulators = accumulators(&calls, &types)?;
        let key_columns = key_fields.len();
        let mut fields = vec![Arc::new(Field::new("needed_until", DataType::Int64, false))];
        fields.extend(key_fields.into_iter().map(Arc::new));
        fields.push(Arc::new(Field::new("last", DataType::Int64, false)));
        fields.extend(state_fields(&accumulators));
        Ok(Self {
            keys,
            key_columns,
            calls,
            types,
            accumulators,
            slots: 0,
            schema: Arc::new(Schema::new(fields)),
            ttl_ms,
            of_key: BTreeMap::new(),
            due: BTreeSet::new(),
            changed: BTreeSet::new(),
        })
    }

    fn until(&self, last: i64) -> i64 {
        self.ttl_ms.map_or(i64::MAX, |ttl_ms| until(last, ttl_ms))
    }

    fn new_slot(&mut self) -> u32 {
        self.slots += 1;
        for accumulator in &mut self.accumulators {
            accumulator.resize(self.slots as usize);
        }
        self.slots - 1
    }

    /// The slot of `key` for a row of `time`: a new one if it is new, or was silent for too long.
    fn slot(&mut self, key: &[u8], time: i64) -> u32 {
        let known = self.of_key.get(key).copied();
        let is_alive = |total: &Total| time < self.until(total.last);
        let slot = match known.filter(is_alive) {
            Some(total) => total.slot,
            None => self.new_slot(),
        };
        if known.is_none() && self.ttl_ms.is_some() {
            self.due.insert((self.until(time), key.into()));
        }
        self.of_key.insert(key.into(), Total { slot, last: time });
        slot
    }

    /// The results of all calls for all new rows. `keys` are those of `rows.of_key`, `new` counts
    /// how many rows at the end of each key are new.
    pub fn aggregate(&mut self, rows: &Keyed, keys: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        let mut starts: Vec<usize> = rows.of_key.iter().map(Vec::len).collect();
        for (key, _) in &rows.new {
            starts[*key as usize] -= 1;
        }
        let mut rounds: Vec<Vec<Step>> = vec![];
        for (index, key) in keys.iter().enumerate() {
            self.changed.insert((*key).into());
            let of_key = &rows.of_key[index];
            let mut start = starts[index];
            for round in 0.. {
                let Some(row) = of_key.get(start) else {
                    break;
                };
                let time = rows.times[*row as usize];
                let peers = |row: &u32| rows.times[*row as usize] == time;
                let end = start + of_key[start..].iter().take_while(|row| peers(row)).count();
                if round == rounds.len() {
                    rounds.push(vec![]);
                }
                let key = u32::try_from(index).expect("fewer keys than rows");
                rounds[round].push((key, start..end, self.slot(keys[index], time)));
                start = end;
            }
        }
        let mut results = vec![];
        for call in 0..self.calls.len() {
            results.push(self.run(call, rows, &rounds)?);
        }
        Ok(results)
    }

    /// One call: round by round, in each the next time of every key.
    fn run(&mut self, call: usize, rows: &Keyed, rounds: &[Vec<Step>]) -> Result<ArrayRef> {
        let by_row = self.calls[call].0 == Frame::Rows(None);
        let mut results: Vec<ArrayRef> = vec![];
        // By row of `rows`: which result, and where in it.
        let mut places = vec![(0, 0); rows.times.len()];
        for steps in rounds {
            let longest = steps.iter().map(|(_, range, _)| range.len()).max();
            let turns = if by_row { longest.unwrap_or(0) } else { 1 };
            for turn in 0..turns {
                let (mut taken, mut groups, mut slots) = (vec![], vec![], vec![]);
                for (key, range, slot) in steps {
                    let range = match by_row {
                        true => range.start + turn..range.end.min(range.start + turn + 1),
                        false => range.clone(),
                    };
                    if range.is_empty() {
                        continue;
                    }
                    for row in &rows.of_key[*key as usize][range] {
                        places[*row as usize] = (results.len(), slots.len());
                        taken.push(*row);
                        groups.push(*slot);
                    }
                    slots.push(*slot);
                }
                self.update(call, rows, (&taken, &groups))?;
                results.push(self.accumulators[call].finish(&slots)?);
            }
        }
        let of_new = rows.new.iter().map(|(key, position)| {
            let row = rows.of_key[*key as usize][*position as usize];
            places[row as usize]
        });
        let of_new: Vec<(usize, usize)> = of_new.collect();
        let results: Vec<&dyn Array> = results.iter().map(|result| &**result).collect();
        Ok(interleave(&results, &of_new)?)
    }

    fn update(&mut self, call: usize, rows: &Keyed, of: (&[u32], &[u32])) -> Result<()> {
        let (taken, groups) = of;
        let order = order_keys(rows, taken);
        let indices = UInt32Array::from(taken.to_vec());
        let column = |column: usize| take(&rows.columns[column], &indices, None);
        let (_, plan) = &self.calls[call];
        let values = plan.argument.map(column).transpose()?;
        let filter = plan.filter.map(column).transpose()?;
        let input = Input {
            values: values.as_ref(),
            rows: None,
            filter: filter.as_ref().map(|filter| filter.as_boolean()),
            order: Some(&order),
            run: Some(RunKey::MIN),
        };
        self.accumulators[call].update(&input, groups)
    }

    /// Drops the keys that were silent for too long.
    pub fn drop_passed(&mut self, watermark: Watermark) -> Result<()> {
        while let Some((until, _)) = self.due.first()
            && watermark.has_passed_end(EventTime(*until))
        {
            let (_, key) = self.due.pop_first().expect("looked at just now");
            let Some(total) = self.of_key.get(&key) else {
                continue;
            };
            let until = self.until(total.last);
            match watermark.has_passed_end(EventTime(until)) {
                true => drop(self.of_key.remove(&key)),
                false => drop(self.due.insert((until, key))),
            }
        }
        self.move_together()
    }

    fn move_together(&mut self) -> Result<()> {
        if self.slots as usize <= self.of_key.len() * 2 + SPARE {
            return Ok(());
        }
        let slots: Vec<u32> = self.of_key.values().map(|total| total.slot).collect();
        let moved: Vec<u32> = (0..).take(slots.len()).collect();
        let mut accumulators = accumulators(&self.calls, &self.types)?;
        for (old, new) in self.accumulators.iter().zip(&mut accumulators) {
            new.resize(slots.len());
            new.merge(&old.state(&slots)?, &moved)?;
        }
        self.accumulators = accumulators;
        self.slots = u32::try_from(slots.len()).expect("fewer than before");
        for (total, slot) in self.of_key.values_mut().zip(moved) {
            total.slot = slot;
        }
        Ok(())
    }

    /// The keys that changed since the last call, whole.
    pub fn changes(&mut self) -> Result<Option<(Vec<Key>, RecordBatch)>> {
        let mut changed: Vec<Key> = std::mem::take(&mut self.changed).into_iter().collect();
        changed.retain(|key| self.of_key.contains_key(key));
        if changed.is_empty() {
            return Ok(None);
        }
        let totals: Vec<Total> = changed.iter().map(|key| self.of_key[key]).collect();
        let slots: Vec<u32> = totals.iter().map(|total| total.slot).collect();
        let until = totals.iter().map(|total| self.until(total.last));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(until))];
        columns.extend(self.keys.decode(changed.iter().map(|key| &**key))?);
        let last = totals.iter().map(|total| total.last);
        columns.push(Arc::new(Int64Array::from_iter_values(last)));
        for accumulator in &self.accumulators {
            columns.extend(accumulator.state(&slots)?);
        }
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        Ok(Some((changed, rows)))
    }

    /// Takes keys of state; `is_checkpoint`: they need not be written again.
    pub fn absorb(&mut self, state: &RecordBatch, is_checkpoint: bool) -> Result<()> {
        let keys = self.keys.encode(&state.columns()[1..=self.key_columns])?;
        let last = state
            .column(1 + self.key_columns)
            .as_primitive::<Int64Type>();
        let mut slots = vec![];
        for row in 0..state.num_rows() {
            let key: Key = keys.get(row).into();
            let slot = self.new_slot();
            slots.push(slot);
            let last = last.value(row);
            if self.ttl_ms.is_some() && !self.of_key.contains_key(&key) {
                self.due.insert((self.until(last), key.clone()));
            }
            if !is_checkpoint {
                self.changed.insert(key.clone());
            }
            self.of_key.insert(key, Total { slot, last });
        }
        let mut columns = state.columns()[2 + self.key_columns..].iter();
        for accumulator in &mut self.accumulators {
            let count = accumulator.state_types().len();
            let columns: Vec<ArrayRef> = columns.by_ref().take(count).cloned().collect();
            accumulator.merge(&columns, &slots)?;
        }
        self.move_together()
    }

    /// Makes the next `changes` give everything.
    pub fn forget_checkpoints(&mut self) {
        self.changed.extend(self.of_key.keys().cloned());
    }

    /// Number of keys.
    pub fn keys(&self) -> usize {
        self.of_key.len()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let accumulators = self.accumulators.iter().map(|it| it.size());
        accumulators.sum::<usize>() + self.of_key.len() * 160
    }
}

fn accumulators(
    calls: &[(Frame, AggregateCall)],
    types: &[DataType],
) -> Result<Vec<Box<dyn Accumulator>>> {
    let calls = calls.iter();
    calls
        .map(|(_, call)| accumulator(call, type_of(types, call.argument)))
        .collect()
}
