//! Joins: rows of two inputs, side by side (see [`Join`]).
//!
//! [`Joiner`] knows keys, condition and columns; who matches whom in time is the affair of
//! [`table`] (a table in memory, nothing is remembered), [`window`] (rows wait for the end of their
//! window) and [`interval`] (rows wait as long as a partner can come).

mod index;
pub mod interval;
mod pairs;
pub mod rows;
pub mod table;
#[cfg(test)]
mod tests;
pub mod window;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_core::Result;
use millstream_core::plan::{Join, JoinKind};
use xxhash_rust::xxh3::xxh3_64;

use super::chain::rows_of;
use super::width;
use crate::expr::CompiledExpr;
use crate::state::KeyEncoder;
use crate::state::group_table::Keys;
pub use index::Indexed;
use pairs::{Picked, Place, number};

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
    /// The key of a row; `None` if part of it is a null that equals nothing.
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

/// Takes rows that come out, a block at a time, and which left row each is of.
pub type EmitPairs<'a> = dyn FnMut(RecordBatch, Vec<u32>) -> Result<()> + 'a;

/// What rows of the two sides match, and what columns come out.
pub struct Joiner {
    /// Which rows come out.
    pub kind: JoinKind,
    keys: [Vec<CompiledExpr>; 2],
    /// For each key, whether null equals null.
    nulls_equal: Vec<bool>,
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

/// Rows of the right that have had a partner, by chunk.
pub type Matched = Vec<Vec<bool>>;

/// The rows of a left batch on their way through [`Joiner::pairs`].
#[derive(Default)]
struct Walk {
    left: Vec<u32>,
    right: Vec<Place>,
    /// The first row that is not done.
    first: u32,
    /// Whether that row has had a partner already.
    is_matched: bool,
}

impl Joiner {
    /// For `plan` over rows of `sides`, giving rows of `schema`.
    pub fn new(plan: &Join, sides: [SchemaRef; 2], schema: SchemaRef) -> Result<Self> {
        let [left, right] = &sides;
        let compile = |side: usize| -> Result<Vec<CompiledExpr>> {
            let exprs = plan.keys.iter().map(|key| [&key.left, &key.right][side]);
            let compiled = exprs.map(|expr| CompiledExpr::compile(expr, &sides[side]));
            compiled.collect()
        };
        let types = plan.keys.iter().map(|key| key.left.data_type.clone());
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
            nulls_equal: plan.keys.iter().map(|key| key.nulls_equal).collect(),
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

    /// Whether rows of a side come out that match nothing.
    pub fn keeps(&self, side: Side) -> bool {
        match side {
            Side::Left => self.kind.keeps_left(),
            Side::Right => self.kind.keeps_right(),
        }
    }

    /// The keys of rows of a side.
    pub fn keys(&self, side: Side, rows: &RecordBatch) -> Result<SideKeys> {
        let exprs = self.keys[side as usize].iter();
        let columns: Result<Vec<ArrayRef>> = exprs.map(|expr| expr.evaluate(rows)).collect();
        let columns = columns?;
        let all: Vec<usize> = (0..columns.len()).collect();
        let strict = columns.iter().zip(&self.nulls_equal);
        let strict = strict.filter(|(_, nulls_equal)| !**nulls_equal);
        let nulls = strict.fold(None, |nulls, (column, _)| {
            NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
        });
        let keys = self.encoder.encode(&columns, &all, rows.num_rows())?;
        Ok(SideKeys { keys, nulls })
    }

    /// Joins the rows of `left` with those of `right`: the pairs, in order of the left, and for kinds
    /// that keep it each left row without a partner in its place. Notes who of the right had a
    /// partner, if `matched` is there. Nothing larger than a block is held.
    pub fn pairs(
        &self,
        left: &RecordBatch,
        right: &Indexed,
        mut matched: Option<&mut Matched>,
        emit: &mut EmitPairs<'_>,
    ) -> Result<()> {
        if !self.kind.has_right() {
            return self.with_or_without(left, right, emit);
        }
        let keys = self.keys(Side::Left, left)?;
        let block = width::block_rows(width::widest(left) + right.widest);
        let mut walk = Walk::default();
        for row in 0..number(left.num_rows()) {
            for place in right.candidates(keys.get(row as usize)) {
                walk.left.push(row);
                walk.right.push(*place);
                if walk.left.len() >= block {
                    self.put_out((left, right), (&mut walk, row), &mut matched, emit)?;
                }
            }
        }
        let all = number(left.num_rows());
        self.put_out((left, right), (&mut walk, all), &mut matched, emit)
    }

    /// Puts out what the walk has found, and the left rows before `until` that match nothing.
    fn put_out(
        &self,
        (left, right): (&RecordBatch, &Indexed),
        (walk, until): (&mut Walk, u32),
        matched: &mut Option<&mut Matched>,
        emit: &mut EmitPairs<'_>,
    ) -> Result<()> {
        let lefts = std::mem::take(&mut walk.left);
        let rights: Vec<Option<Place>> = walk.right.drain(..).map(Some).collect();
        let chunk = |number: u32| &right.chunks[number as usize];
        let mask = match &self.condition {
            None => None,
            Some(_) => self.mask(
                &Picked::of(left, lefts.clone()),
                &Picked::at(&rights, chunk),
            )?,
        };
        let passes = |pair: &usize| mask.as_ref().is_none_or(|mask| mask.value(*pair));
        let mut passing = (0..lefts.len()).filter(passes).peekable();
        let (mut rows, mut places) = (vec![], vec![]);
        for row in walk.first..=until {
            let before = rows.len();
            while let Some(pair) = passing.next_if(|pair| lefts[*pair] == row) {
                rows.push(row);
                places.push(rights[pair]);
            }
            let is_matched = rows.len() > before || (row == walk.first && walk.is_matched);
            if row == until {
                (walk.first, walk.is_matched) = (until, is_matched);
            } else if !is_matched && self.kind.keeps_left() {
                rows.push(row);
                places.push(None);
            }
        }
        if let Some(matched) = matched {
            for place in places.iter().flatten() {
                matched[place.chunk as usize][place.row as usize] = true;
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let picked = Picked::at(&places, chunk);
        let out = self.rows(&Picked::of(left, rows.clone()), &picked)?;
        emit(out, rows)
    }

    /// The left rows that have a partner, or those that have none.
    fn with_or_without(
        &self,
        left: &RecordBatch,
        right: &Indexed,
        emit: &mut EmitPairs<'_>,
    ) -> Result<()> {
        let keys = self.keys(Side::Left, left)?;
        let widest = width::widest(left) + right.widest;
        let has_partner = self.has_partner(
            (left.num_rows(), widest),
            |row| right.candidates(keys.get(row)).iter().copied(),
            |lefts, rights| {
                let rights = Picked::at(rights, |number| &right.chunks[number as usize]);
                self.mask(&Picked::of(left, lefts.to_vec()), &rights)
            },
        )?;
        let wanted = self.kind == JoinKind::Semi;
        let chosen = (0..).zip(has_partner).filter(|(_, has)| *has == wanted);
        let chosen: Vec<u32> = chosen.map(|(row, _)| row).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let rows = rows::taken(left, chosen.clone())?;
        let columns = rows.columns().to_vec();
        emit(rows_of(&self.schema, columns, rows.num_rows())?, chosen)
    }

    /// Which of `rows` rows have a partner among their candidates, given what the condition says of
    /// pairs of them (`None`: all pass).
    ///
    /// PERF: first a few candidates of each row are tried, then more of those that are left over, so a
    /// row with thousands of partners costs as much as one with a few.
    fn has_partner<C: Iterator<Item = Place>>(
        &self,
        (rows, widest): (usize, usize),
        candidates: impl Fn(usize) -> C,
        passing: impl Fn(&[u32], &[Option<Place>]) -> Result<Option<BooleanArray>>,
    ) -> Result<Vec<bool>> {
        if self.condition.is_none() {
            return Ok((0..rows)
                .map(|row| candidates(row).next().is_some())
                .collect());
        }
        let block = width::block_rows(widest);
        let mut has_partner = vec![false; rows];
        let mut open: Vec<u32> = (0..number(rows)).collect();
        let (mut tried, mut count) = (0, 16);
        while !open.is_empty() {
            let (mut own, mut others) = (vec![], vec![]);
            let mut note = |own: &mut Vec<u32>, others: &mut Vec<Option<Place>>| {
                let mask = passing(own, others)?;
                for (pair, row) in own.drain(..).enumerate() {
                    has_partner[row as usize] |= mask.as_ref().is_none_or(|m| m.value(pair));
                }
                others.clear();
                Ok::<_, millstream_core::Error>(())
            };
            let mut left_over = vec![];
            for row in open {
                let mut found = 0;
                for place in candidates(row as usize).skip(tried).take(count) {
                    own.push(row);
                    others.push(Some(place));
                    found += 1;
                    if own.len() >= block {
                        note(&mut own, &mut others)?;
                    }
                }
                if found == count {
                    left_over.push(row);
                }
            }
            note(&mut own, &mut others)?;
            left_over.retain(|row| !has_partner[*row as usize]);
            open = left_over;
            (tried, count) = (tried + count, count * 4);
        }
        Ok(has_partner)
    }

    /// Which of the pairs the condition lets pass; `None`: all.
    fn mask(&self, left: &Picked<'_>, right: &Picked<'_>) -> Result<Option<BooleanArray>> {
        let Some(condition) = &self.condition else {
            return Ok(None);
        };
        let pairs = left.len();
        let width = self.sides[0].fields().len();
        let fields = condition.both.fields().iter().zip(&condition.reads);
        let columns = fields.enumerate().map(|(index, (field, is_read))| {
            let data_type = field.data_type();
            match (is_read, index.checked_sub(width)) {
                (false, _) => Ok(new_null_array(data_type, pairs)),
                (true, None) => left.column(index, data_type),
                (true, Some(index)) => right.column(index, data_type),
            }
        });
        let columns: Result<Vec<ArrayRef>> = columns.collect();
        let rows = rows_of(&condition.both, columns?, pairs)?;
        Ok(Some(condition.predicate.filter_mask(&rows)?))
    }

    /// The columns of pairs that come out.
    fn rows(&self, left: &Picked<'_>, right: &Picked<'_>) -> Result<RecordBatch> {
        let mut columns = vec![];
        for (picked, side) in [left, right].into_iter().zip(&self.sides) {
            for (index, field) in side.fields().iter().enumerate() {
                columns.push(picked.column(index, field.data_type())?);
            }
        }
        rows_of(&self.schema, columns, left.len())
    }

    /// Rows of `side` with nulls for the other side.
    fn alone(&self, side: Side, rows: &RecordBatch) -> Result<RecordBatch> {
        let other = self.side(side.other()).fields().iter();
        let nulls = other.map(|field| new_null_array(field.data_type(), rows.num_rows()));
        let own = rows.columns().iter().cloned();
        let columns = match side {
            Side::Left => own.chain(nulls).collect(),
            Side::Right => nulls.chain(own).collect(),
        };
        rows_of(&self.schema, columns, rows.num_rows())
    }

    /// The rows of `rows` by the shard that owns them. Rows that match nothing and do not come out
    /// without a partner are left out. `end` is that of their window.
    fn by_owner(
        &self,
        side: Side,
        rows: &RecordBatch,
        (end, shards): (i64, usize),
    ) -> Result<Vec<Vec<u32>>> {
        let keys = self.keys(side, rows)?;
        let mut owned = vec![vec![]; shards];
        for row in 0..rows.num_rows() {
            if keys.get(row).is_some() || self.keeps(side) {
                owned[keys.owner(row, end, shards)].push(number(row));
            }
        }
        Ok(owned)
    }
}
