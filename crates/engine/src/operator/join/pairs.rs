//! Pairs of rows that are looked at together, and their columns.

use std::collections::BTreeMap;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::{filter, interleave, take};
use arrow::datatypes::DataType;
use millstream_core::Result;

/// A row among those that are kept: its chunk and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the chunk.
    pub chunk: u32,
    /// Row of the chunk.
    pub row: u32,
}

/// Row `row` of a batch.
pub fn number(row: usize) -> u32 {
    u32::try_from(row).expect("batches have fewer than 2^32 rows")
}

/// Rows of one side, in the order of pairs. Where there is none, the columns are null.
pub struct Picked<'a> {
    chunks: Vec<&'a RecordBatch>,
    rows: Rows,
}

/// PERF: mostly all rows are of one chunk, and columns are taken from it without looking at each.
enum Rows {
    /// Rows of the only chunk.
    One(UInt32Array),
    /// Which chunk, and which row of it; the chunk after the last is a null.
    Many(Vec<(usize, usize)>),
}

impl<'a> Picked<'a> {
    /// Rows of one batch.
    pub fn of(batch: &'a RecordBatch, rows: Vec<u32>) -> Self {
        Self {
            chunks: vec![batch],
            rows: Rows::One(rows.into()),
        }
    }

    /// Rows of several chunks, which `chunk` finds.
    pub fn at(places: &[Option<Place>], chunk: impl Fn(u32) -> &'a RecordBatch) -> Self {
        let mut numbers = places.iter().flatten().map(|place| place.chunk);
        if let Some(first) = numbers.next()
            && numbers.all(|number| number == first)
        {
            let rows = places.iter().map(|place| place.map(|place| place.row));
            return Self {
                chunks: vec![chunk(first)],
                rows: Rows::One(rows.collect()),
            };
        }
        let mut used: BTreeMap<u32, usize> = BTreeMap::new();
        for place in places.iter().flatten() {
            used.insert(place.chunk, 0);
        }
        for (position, slot) in used.values_mut().enumerate() {
            *slot = position;
        }
        let rows = places.iter().map(|place| match place {
            Some(place) => (used[&place.chunk], place.row as usize),
            None => (used.len(), 0),
        });
        Self {
            rows: Rows::Many(rows.collect()),
            chunks: used.keys().map(|number| chunk(*number)).collect(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::One(rows) => rows.len(),
            Rows::Many(rows) => rows.len(),
        }
    }

    /// The rows for which `mask` is true.
    pub fn only(self, mask: Option<&BooleanArray>) -> Result<Self> {
        let Some(mask) = mask else {
            return Ok(self);
        };
        let rows = match self.rows {
            Rows::One(rows) => Rows::One(filter(&rows, mask)?.as_primitive().clone()),
            Rows::Many(rows) => {
                let rows = rows.into_iter().zip(mask.values());
                Rows::Many(rows.filter_map(|(row, it)| it.then_some(row)).collect())
            }
        };
        Ok(Self {
            chunks: self.chunks,
            rows,
        })
    }

    /// A column of the rows; `data_type` is its type.
    pub fn column(&self, index: usize, data_type: &DataType) -> Result<ArrayRef> {
        match &self.rows {
            Rows::One(rows) => Ok(take(self.chunks[0].column(index), rows, None)?),
            Rows::Many(rows) => {
                let nothing = new_null_array(data_type, 1);
                let chunks = self.chunks.iter().map(|chunk| &**chunk.column(index));
                let arrays: Vec<&dyn Array> = chunks.chain([&*nothing]).collect();
                Ok(interleave(&arrays, rows)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;

    use super::*;

    fn chunk(values: [i64; 3]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn check(places: &[Option<(u32, u32)>], expected: &[Option<i64>]) {
        let chunks = [chunk([1, 2, 3]), chunk([4, 5, 6])];
        let places: Vec<Option<Place>> = places
            .iter()
            .map(|place| place.map(|(chunk, row)| Place { chunk, row }))
            .collect();
        let column = |picked: &Picked<'_>| -> Vec<Option<i64>> {
            let column = picked.column(0, &DataType::Int64).unwrap();
            column.as_primitive::<Int64Type>().iter().collect()
        };
        let at = || Picked::at(&places, |number| &chunks[number as usize]);
        assert_eq!(column(&at()), expected);
        assert_eq!(at().len(), expected.len());
        // Every second row.
        let mask: BooleanArray = (0..places.len()).map(|row| Some(row % 2 == 0)).collect();
        let half: Vec<Option<i64>> = expected.iter().copied().step_by(2).collect();
        assert_eq!(column(&at().only(Some(&mask)).unwrap()), half);
    }

    #[test]
    fn rows_are_taken_from_where_they_are() {
        check(&[], &[]);
        check(&[None, None], &[None, None]);
        check(
            &[Some((1, 0)), None, Some((1, 2))],
            &[Some(4), None, Some(6)],
        );
        check(
            &[Some((1, 0)), Some((0, 1)), None, Some((0, 1))],
            &[Some(4), Some(2), None, Some(2)],
        );
    }
}
