//! Where a row stands among all rows, for aggregates that depend on it (FIRST_VALUE, LISTAGG …).
//!
//! The order is the same whatever shard reads a split, in which batches, and after how many
//! restarts: event time, then a hash of the split's name, then the row's offset in the split.
//! In a column a key is 24 bytes: the three numbers in big-endian order.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey {
    /// Event time in ms.
    pub time: i64,
    /// A hash of the split's name; 0 for rows of no split.
    pub split: u64,
    /// The row's offset in the split; 0 for rows of no split.
    pub place: u64,
}

const BYTES: i32 = 24;

impl OrderKey {
    /// Type of a column of keys.
    pub const DATA_TYPE: DataType = DataType::FixedSizeBinary(BYTES);

    /// A column of keys.
    pub fn column(keys: impl Iterator<Item = Self>) -> ArrayRef {
        let mut bytes = Vec::with_capacity(keys.size_hint().0 * BYTES as usize);
        for key in keys {
            bytes.extend_from_slice(&key.time.to_be_bytes());
            bytes.extend_from_slice(&key.split.to_be_bytes());
            bytes.extend_from_slice(&key.place.to_be_bytes());
        }
        Arc::new(FixedSizeBinaryArray::new(
            BYTES,
            Buffer::from_vec(bytes),
            None,
        ))
    }
}

/// A column of keys, to read.
#[derive(Clone, Copy)]
pub struct OrderKeys<'a>(&'a FixedSizeBinaryArray);

impl<'a> OrderKeys<'a> {
    /// Reads a column that [`OrderKey::column`] made.
    pub fn new(column: &'a ArrayRef) -> Self {
        Self(column.as_fixed_size_binary())
    }

    /// The key of a row.
    pub fn get(self, row: usize) -> OrderKey {
        let bytes = self.0.value(row);
        let part = |at: usize| bytes[at..at + 8].try_into().expect("a key has 24 bytes");
        OrderKey {
            time: i64::from_be_bytes(part(0)),
            split: u64::from_be_bytes(part(8)),
            place: u64::from_be_bytes(part(16)),
        }
    }
}
