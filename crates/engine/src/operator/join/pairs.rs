//! Pairs of rows that are looked at together, and their columns.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
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
    /// Which of `chunks`, and which row of it.
    rows: Vec<Option<(u32, u32)>>,
}

impl<'a> Picked<'a> {
    /// Rows of one batch.
    pub fn of(batch: &'a RecordBatch, rows: impl IntoIterator<Item = u32>) -> Self {
        Self {
            chunks: vec![batch],
            rows: rows.into_iter().map(|row| Some((0, row))).collect(),
        }
    }

    /// Rows of several chunks, which `chunk` finds.
    pub fn at(places: &[Option<Place>], chunk: impl Fn(u32) -> &'a RecordBatch) -> Self {
        let mut used: BTreeMap<u32, u32> = BTreeMap::new();
        for place in places.iter().flatten() {
            used.insert(place.chunk, 0);
        }
        for (position, slot) in (0..).zip(used.values_mut()) {
            *slot = position;
        }
        let rows = places.iter();
        let rows = rows.map(|place| place.map(|place| (used[&place.chunk], place.row)));
        Self {
            rows: rows.collect(),
            chunks: used.keys().map(|number| chunk(*number)).collect(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows for which `mask` is true.
    pub fn only(self, mask: Option<&BooleanArray>) -> Self {
        let Some(mask) = mask else {
            return self;
        };
        let rows = self.rows.into_iter().zip(mask.values());
        Self {
            chunks: self.chunks,
            rows: rows
                .filter_map(|(row, passes)| passes.then_some(row))
                .collect(),
        }
    }

    /// A column of the rows; `data_type` is its type.
    pub fn column(&self, index: usize, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef> {
        if let [batch] = self.chunks.as_slice() {
            let rows: UInt32Array = self.rows.iter().map(|row| row.map(|row| row.1)).collect();
            return Ok(take(batch.column(index), &rows, None)?);
        }
        // After all chunks one with a null.
        let nothing = new_null_array(data_type, 1);
        let chunks = self.chunks.iter().map(|chunk| &**chunk.column(index));
        let arrays: Vec<&dyn Array> = chunks.chain([&*nothing]).collect();
        let rows = self.rows.iter().map(|row| match row {
            Some((chunk, row)) => (*chunk as usize, *row as usize),
            None => (self.chunks.len(), 0),
        });
        Ok(interleave(&arrays, &rows.collect::<Vec<_>>())?)
    }
}
