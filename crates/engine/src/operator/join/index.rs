//! Rows of the right by their key.

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use millstream_core::Result;

use super::pairs::{Place, number};
use super::rows::grouped;
use super::{Joiner, Side};
use crate::operator::width;

/// Rows of the right, by key.
pub struct Indexed {
    /// The rows, in chunks.
    pub chunks: Vec<RecordBatch>,
    /// Bytes of the widest row.
    pub widest: usize,
    by_key: HashMap<Box<[u8]>, Vec<Place>>,
    /// Memory in bytes.
    bytes: usize,
}

impl Indexed {
    /// `batches` of the right side of `joiner`. Rows whose key equals nothing are no candidates.
    pub fn new(joiner: &Joiner, batches: &[RecordBatch]) -> Result<Self> {
        let chunks = grouped(joiner.side(Side::Right), batches)?;
        let mut by_key: HashMap<Box<[u8]>, Vec<Place>> = HashMap::new();
        for (chunk, rows) in (0..).zip(&chunks) {
            let keys = joiner.keys(Side::Right, rows)?;
            for row in 0..rows.num_rows() {
                if let Some(key) = keys.get(row) {
                    let row = number(row);
                    by_key
                        .entry_ref(key)
                        .or_default()
                        .push(Place { chunk, row });
                }
            }
        }
        let entries = by_key.iter();
        let entries =
            entries.map(|(key, places)| key.len() + 64 + places.capacity() * size_of::<Place>());
        let rows = chunks.iter().map(RecordBatch::get_array_memory_size);
        Ok(Self {
            bytes: entries.sum::<usize>() + rows.sum::<usize>(),
            widest: chunks.iter().map(width::widest).max().unwrap_or(0),
            chunks,
            by_key,
        })
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// The rows of a key, in their order.
    pub fn candidates(&self, key: Option<&[u8]>) -> &[Place] {
        key.and_then(|key| self.by_key.get(key))
            .map_or(&[], Vec::as_slice)
    }
}
