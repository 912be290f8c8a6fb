//! Joins: rows of two inputs, side by side (see [`Join`]).
//!
//! [`Joiner`] knows keys, condition and columns; who matches whom in time is the affair of
//! [`table`] (a table in memory, nothing is remembered), [`window`] (rows wait for the end of their
//! window) and [`interval`] (rows wait as long as a partner can come).

pub mod interval;
pub mod rows;
pub mod table;
#[cfg(test)]
mod tests;
pub mod window;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use hashbrown::HashMap;
use millstream_core::Result;
use millstream_core::plan::{Join, JoinKind};
use xxhash_rust::xxh3::xxh3_64;

use super::chain::rows_of;
use crate::expr::CompiledExpr;
use crate::state::KeyEncoder;
use crate::state::group_table::Keys;

/// Pairs that are looked at together at most.
const PAIRS: usize = 16_384;

/// One of the inputs of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Port 0.
    Left,
    /// Port 1, or a table.
    Right,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// Of a port, or of a part of the state.
    pub fn of(port: usize) -> Self {
        match port {
            0 => Self::Left,
            _ => Self::Right,
        }
    }
}

/// Keys of some rows.
pub struct SideKeys {
    keys: Keys,
    nulls: Option<NullBuffer>,
}

impl SideKeys {
    /// The key of a row; `None` if part of it is null: it equals nothing.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| self.keys.get(row))
    }

    /// The shard that owns the key of a row, in the window that ends at `end`.
    pub fn owner(&self, row: usize, end: i64, shards: usize) -> usize {
        let end = end.to_le_bytes();
        let hash = xxh3_64(self.keys.get(row)) ^ xxh3_64(&end);
        usize::try_from(hash % shards as u64).expect("fewer shards than usize holds")
    }
}

/// Rows of the right, by key.
pub struct Indexed {
    /// The rows.
    pub rows: RecordBatch,
    by_key: HashMap<Box<[u8]>, Vec<u32>>,
}

impl Indexed {
    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let entries = self.by_key.iter();
        let entries = entries.map(|(key, rows)| key.len() + 48 + rows.capacity() * 4);
        self.rows.get_array_memory_size() + entries.sum::<usize>()
    }
}

/// Pairs of a left row and a right row, in order of the left.
#[derive(Debug, Default)]
pub struct Matches {
    /// Left rows.
    pub left: Vec<u32>,
    /// Right rows.
    pub right: Vec<u32>,
}

/// Rows that come out: which row of either side each is.
pub struct Chosen {
    /// Left rows; none: nulls.
    pub left: UInt32Array,
    /// Right rows; none: nulls.
    pub right: UInt32Array,
}

/// What rows of the two sides match, and what columns come out.
pub struct Joiner {
    /// Which rows come out.
    pub kind: JoinKind,
    keys: [Vec<CompiledExpr>; 2],
    encoder: KeyEncoder,
    condition: Option<Condition>,
    sides: [SchemaRef; 2],
    schema: SchemaRef,
}

struct Condition {
    predicate: CompiledExpr,
    both: SchemaRef,
    /// Which columns of both sides it reads.
    reads: Vec<bool>,
}

impl Joiner {
    /// For `plan` over rows of `sides`, giving rows of `schema`.
    pub fn new(plan: &Join, sides: [SchemaRef; 2], schema: SchemaRef) -> Result<Self> {
        let [left, right] = &sides;
        let compile = |side: usize| -> Result<Vec<CompiledExpr>> {
            let exprs = plan.keys.iter().map(|(l, r)| [l, r][side]);
            let compiled = exprs.map(|expr| CompiledExpr::compile(expr, &sides[side]));
            compiled.collect()
        };
        let types = plan.keys.iter().map(|(left, _)| left.data_type.clone());
        let fields = left.fields().iter().chain(right.fields().iter());
        let both = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        let condition = plan.condition.as_ref().map(|expr| {
            let mut reads = vec![false; both.fields().len()];
            expr.for_each_column(&mut |column| reads[column] = true);
            let predicate = CompiledExpr::compile(expr, &both)?;
            Ok::<_, millstream_core::Error>(Condition {
                predicate,
                both: both.clone(),
                reads,
            })
        });
        Ok(Self {
            kind: plan.kind,
            keys: [compile(0)?, compile(1)?],
            encoder: KeyEncoder::new(types.collect())?,
            condition: condition.transpose()?,
            schema,
            sides,
        })
    }

    /// Columns of a side.
    pub fn side(&self, side: Side) -> &SchemaRef {
        &self.sides[side as usize]
    }

    /// The keys of rows of a side.
    pub fn keys(&self, side: Side, rows: &RecordBatch) -> Result<SideKeys> {
        let exprs = self.keys[side as usize].iter();
        let columns: Result<Vec<ArrayRef>> = exprs.map(|expr| expr.evaluate(rows)).collect();
        let columns = columns?;
        let all: Vec<usize> = (0..columns.len()).collect();
        let nulls = columns.iter().fold(None, |nulls, column| {
            NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
        });
        let keys = self.encoder.encode(&columns, &all, rows.num_rows())?;
        Ok(SideKeys { keys, nulls })
    }

    /// `rows` of the right by key.
    pub fn index(&self, rows: RecordBatch) -> Result<Indexed> {
        let keys = self.keys(Side::Right, &rows)?;
        let mut by_key: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        for row in 0..rows.num_rows() {
            if let Some(key) = keys.get(row) {
                let number = u32::try_from(row).expect("batches have fewer than 2^32 rows");
                by_key.entry_ref(key).or_default().push(number);
            }
        }
        Ok(Indexed { rows, by_key })
    }

    /// All pairs that match.
    pub fn matches(&self, left: &RecordBatch, right: &Indexed) -> Result<Matches> {
        let keys = self.keys(Side::Left, left)?;
        let (mut matches, mut pairs) = (Matches::default(), Matches::default());
        for row in 0..left.num_rows() {
            let candidates = keys.get(row).and_then(|key| right.by_key.get(key));
            for candidate in candidates.into_iter().flatten() {
                pairs
                    .left
                    .push(u32::try_from(row).expect("batches have fewer than 2^32 rows"));
                pairs.right.push(*candidate);
                if pairs.left.len() == PAIRS {
                    self.pass(
                        (left, &right.rows),
                        std::mem::take(&mut pairs),
                        &mut matches,
                    )?;
                }
            }
        }
        self.pass((left, &right.rows), pairs, &mut matches)?;
        Ok(matches)
    }

    /// Adds the pairs that the condition lets pass.
    fn pass(
        &self,
        (left, right): (&RecordBatch, &RecordBatch),
        pairs: Matches,
        matches: &mut Matches,
    ) -> Result<()> {
        let Matches { left: l, right: r } = pairs;
        let (ls, rs) = (UInt32Array::from(l), UInt32Array::from(r));
        let column = |index: usize| -> Result<ArrayRef> {
            Ok(match index.checked_sub(left.num_columns()) {
                None => take(left.column(index), &ls, None)?,
                Some(index) => take(right.column(index), &rs, None)?,
            })
        };
        let mask = self.mask(ls.len(), column)?;
        let passed = (0..ls.len()).filter(|pair| mask.as_ref().is_none_or(|m| m.value(*pair)));
        for pair in passed {
            matches.left.push(ls.value(pair));
            matches.right.push(rs.value(pair));
        }
        Ok(())
    }

    /// Which of `pairs` pairs the condition lets pass, given each column of both sides that it
    /// reads; `None`: all.
    fn mask(
        &self,
        pairs: usize,
        column: impl Fn(usize) -> Result<ArrayRef>,
    ) -> Result<Option<BooleanArray>> {
        let Some(condition) = &self.condition else {
            return Ok(None);
        };
        let fields = condition.both.fields().iter().zip(&condition.reads);
        let columns = fields
            .enumerate()
            .map(|(index, (field, is_read))| match is_read {
                true => column(index),
                false => Ok(new_null_array(field.data_type(), pairs)),
            });
        let columns: Result<Vec<ArrayRef>> = columns.collect();
        let rows = rows_of(&condition.both, columns?, pairs)?;
        Ok(Some(condition.predicate.filter_mask(&rows)?))
    }

    /// The rows that come out, given the pairs that match among `left` and `right` rows.
    pub fn choose(&self, matches: &Matches, left: usize, right: usize) -> Chosen {
        let count = |rows: usize| u32::try_from(rows).expect("batches have fewer than 2^32 rows");
        let (mut ls, mut rs): (Vec<Option<u32>>, Vec<Option<u32>>) = (vec![], vec![]);
        let mut next = 0;
        for row in 0..count(left) {
            let first = next;
            while matches.left.get(next) == Some(&row) {
                next += 1;
            }
            let found = &matches.right[first..next];
            match self.kind {
                JoinKind::Semi if !found.is_empty() => ls.push(Some(row)),
                JoinKind::Anti if found.is_empty() => ls.push(Some(row)),
                JoinKind::Semi | JoinKind::Anti => {}
                _ => {
                    ls.extend(found.iter().map(|_| Some(row)));
                    rs.extend(found.iter().map(|row| Some(*row)));
                    if found.is_empty() && self.kind.keeps_left() {
                        ls.push(Some(row));
                        rs.push(None);
                    }
                }
            }
        }
        if self.kind.keeps_right() {
            let mut is_matched = vec![false; right];
            matches
                .right
                .iter()
                .for_each(|row| is_matched[*row as usize] = true);
            let unmatched = (0..count(right)).filter(|row| !is_matched[*row as usize]);
            for row in unmatched {
                ls.push(None);
                rs.push(Some(row));
            }
        }
        Chosen {
            left: ls.into(),
            right: rs.into(),
        }
    }

    /// The columns of rows that come out.
    pub fn rows(
        &self,
        (left, right): (&RecordBatch, &RecordBatch),
        chosen: &Chosen,
    ) -> Result<RecordBatch> {
        let taken = |rows: &RecordBatch, which: &UInt32Array| -> Result<Vec<ArrayRef>> {
            let columns = rows.columns().iter();
            columns
                .map(|column| Ok(take(column, which, None)?))
                .collect()
        };
        let mut columns = taken(left, &chosen.left)?;
        if self.kind.has_right() {
            columns.extend(taken(right, &chosen.right)?);
        }
        rows_of(&self.schema, columns, chosen.left.len())
    }
}
