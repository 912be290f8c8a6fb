//! The rows of each key that later rows will have in their frames.
//!
//! As state a row is: `needed_until`, the columns of the key, the event time, the columns that calls
//! read. Rows are added at the end of their key's, and dropped from its beginning.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_core::{EventTime, Result, Watermark};

use crate::state::row_codec::RowCodec;

/// Encoded columns of a key.
pub type Key = Box<[u8]>;

/// What later rows need of earlier ones.
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    /// So many last rows of a key.
    pub rows: usize,
    /// Rows that are at most so much older than the last.
    pub ms: Option<i64>,
    /// No rows that are older than that, whatever else.
    pub ttl_ms: Option<i64>,
}

impl Needed {
    /// Until when a row of `time` is needed, as the end of a window.
    fn until(self, time: i64) -> i64 {
        let longest = match (self.rows, self.ms) {
            (0, ms) => ms,
            _ => None,
        };
        let bounds = longest.into_iter().chain(self.ttl_ms);
        bounds.min().map_or(i64::MAX, |ms| until(time, ms))
    }
}

/// The end of a window whose last moment is `ms` after `time`.
pub fn until(time: i64, ms: i64) -> i64 {
    time.saturating_add(ms).saturating_add(1)
}

/// See the module.
pub struct History {
    keys: Arc<RowCodec>,
    values: RowCodec,
    schema: SchemaRef,
    key_columns: usize,
    needed: Needed,
    of_key: BTreeMap<Key, KeyRows>,
    /// Keys by when their last row stops being needed, as known when they were put there.
    due: BTreeSet<(i64, Key)>,
    changed: BTreeSet<Key>,
    rows: usize,
    bytes: usize,
}

#[derive(Default)]
struct KeyRows {
    rows: VecDeque<(i64, Box<[u8]>)>,
    /// How many at the end are in no checkpoint.
    fresh: usize,
    due: Option<i64>,
}

impl History {
    /// No rows. `keys` encodes the columns `key_fields`, `values` are the columns that calls read.
    pub fn new(
        keys: Arc<RowCodec>,
        key_fields: Vec<Field>,
        values: &[DataType],
        needed: Needed,
    ) -> Result<Self> {
        let key_columns = key_fields.len();
        let mut fields = vec![Field::new("needed_until", DataType::Int64, false)];
        fields.extend(key_fields);
        fields.push(Field::new("time", DataType::Int64, false));
        let named = values.iter().enumerate();
        fields.extend(named.map(|(n, t)| Field::new(format!("value_{n}"), t.clone(), true)));
        Ok(Self {
            keys,
            values: RowCodec::new(values.iter().cloned())?,
            schema: Arc::new(Schema::new(fields)),
            key_columns,
            needed,
            of_key: BTreeMap::new(),
            due: BTreeSet::new(),
            changed: BTreeSet::new(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Encodes the columns that calls read.
    pub fn values(&self) -> &RowCodec {
        &self.values
    }

    /// The rows of a key, oldest first: time and encoded values.
    pub fn of(&self, key: &[u8]) -> impl Iterator<Item = (i64, &[u8])> {
        let rows = self.of_key.get(key).into_iter();
        rows.flat_map(|of_key| of_key.rows.iter().map(|(time, row)| (*time, &**row)))
    }

    /// Adds a row at the end of those of its key.
    pub fn push(&mut self, key: &[u8], time: i64, row: &[u8]) {
        self.add(key, time, row, true);
        if !self.changed.contains(key) {
            self.changed.insert(key.into());
        }
    }

    fn add(&mut self, key: &[u8], time: i64, row: &[u8], is_fresh: bool) {
        let needed = self.needed;
        if !self.of_key.contains_key(key) {
            self.of_key.insert(key.into(), KeyRows::default());
        }
        let of_key = self.of_key.get_mut(key).expect("there by now");
        of_key.rows.push_back((time, row.into()));
        of_key.fresh += usize::from(is_fresh);
        self.rows += 1;
        self.bytes += row.len();
        while let Some((oldest, row)) = of_key.rows.front() {
            let in_rows = of_key.rows.len() <= needed.rows;
            let within = |ms: Option<i64>| ms.is_some_and(|ms| *oldest >= time.saturating_sub(ms));
            let forgotten = needed.ttl_ms.is_some() && !within(needed.ttl_ms);
            if !forgotten && (in_rows || within(needed.ms)) {
                break;
            }
            self.rows -= 1;
            self.bytes -= row.len();
            of_key.rows.pop_front();
        }
        of_key.fresh = of_key.fresh.min(of_key.rows.len());
        if of_key.rows.is_empty() {
            self.of_key.remove(key);
            return;
        }
        let until = needed.until(time);
        if of_key.due.is_none() && until != i64::MAX {
            of_key.due = Some(until);
            self.due.insert((until, key.into()));
        }
    }

    /// Drops the rows of keys that no row after `watermark` needs.
    pub fn drop_passed(&mut self, watermark: Watermark) {
        while let Some((until, _)) = self.due.first()
            && watermark.has_passed_end(EventTime(*until))
        {
            let (_, key) = self.due.pop_first().expect("looked at just now");
            let Some(of_key) = self.of_key.get_mut(&key) else {
                continue;
            };
            let needed = self.needed;
            let passed = |time: i64| watermark.has_passed_end(EventTime(needed.until(time)));
            while let Some((time, row)) = of_key.rows.front()
                && passed(*time)
            {
                self.rows -= 1;
                self.bytes -= row.len();
                of_key.rows.pop_front();
            }
            of_key.fresh = of_key.fresh.min(of_key.rows.len());
            match of_key.rows.back() {
                Some((last, _)) => {
                    let until = needed.until(*last);
                    of_key.due = Some(until);
                    self.due.insert((until, key));
                }
                None => {
                    self.of_key.remove(&key);
                }
            }
        }
    }

    /// The rows that came since the last call and are still there, and the key of each.
    pub fn changes(&mut self) -> Result<Option<(Vec<Key>, RecordBatch)>> {
        let changed = std::mem::take(&mut self.changed);
        let (mut keys, mut rows) = (vec![], vec![]);
        for key in changed {
            let Some(of_key) = self.of_key.get_mut(&key) else {
                continue;
            };
            let first = of_key.rows.len() - std::mem::take(&mut of_key.fresh);
            for row in of_key.rows.range(first..) {
                keys.push(key.clone());
                rows.push(row.clone());
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let until = rows.iter().map(|(time, _)| self.needed.until(*time));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(until))];
        columns.extend(self.keys.decode(keys.iter().map(|key| &**key))?);
        let times = rows.iter().map(|(time, _)| *time);
        columns.push(Arc::new(Int64Array::from_iter_values(times)));
        columns.extend(self.values.decode(rows.iter().map(|(_, row)| &**row))?);
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        Ok(Some((keys, rows)))
    }

    /// Takes rows of state; `is_checkpoint`: they need not be written again.
    pub fn absorb(&mut self, state: &RecordBatch, is_checkpoint: bool) -> Result<()> {
        let keys = self.keys.encode(&state.columns()[1..=self.key_columns])?;
        let times = state
            .column(1 + self.key_columns)
            .as_primitive::<Int64Type>();
        let values = self
            .values
            .encode(&state.columns()[2 + self.key_columns..])?;
        for row in 0..state.num_rows() {
            let (key, time) = (keys.get(row), times.value(row));
            self.add(key, time, values.get(row), !is_checkpoint);
            if !is_checkpoint {
                self.changed.insert(key.into());
            }
        }
        Ok(())
    }

    /// Makes the next `changes` give everything.
    pub fn forget_checkpoints(&mut self) {
        for (key, of_key) in &mut self.of_key {
            of_key.fresh = of_key.rows.len();
            self.changed.insert(key.clone());
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Memory in bytes: rows, keys and what holds them.
    pub fn size(&self) -> usize {
        self.bytes + self.rows * 32 + self.of_key.len() * 160
    }
}
