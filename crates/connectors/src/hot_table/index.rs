//! Which row of a table is live: an index from key to place, and a bitmap of replaced rows per
//! part. Both follow from the parts and are never stored.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use millstream_core::Result;
use xxhash_rust::xxh3::xxh3_128;

/// A part within this process, counted up from 0 as parts come.
pub(super) type PartNumber = u32;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub part: PartNumber,
    pub row: u32,
}

/// The live row of each key, by the key's 128-bit hash. Keys are not compared: two of 2^32 keys
/// share a hash with a chance below 2^-64.
#[derive(Default)]
pub(super) struct KeyIndex {
    places: HashMap<u128, Place, BuildHasherDefault<HashedAlready>>,
}

impl KeyIndex {
    /// Points `key` to `place`; the row that it pointed to is replaced.
    pub fn insert(&mut self, key: u128, place: Place) -> Option<Place> {
        self.places.insert(key, place)
    }

    /// Where the live row of `key` is.
    pub fn get(&self, key: u128) -> Option<Place> {
        self.places.get(&key).copied()
    }

    /// Forgets the rows of `parts`.
    pub fn remove_parts(&mut self, parts: &[PartNumber]) {
        self.places.retain(|_, place| !parts.contains(&place.part));
    }
}

/// Keys of the index are hashes: their low half is as good as any hash of them.
#[derive(Default)]
pub(super) struct HashedAlready(u64);

impl Hasher for HashedAlready {
    fn write_u128(&mut self, hash: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        let low = hash as u64;
        self.0 = low;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the index's keys are u128");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Hashes the key columns of rows.
#[derive(Debug)]
pub(super) struct KeyHasher {
    converter: RowConverter,
}

impl KeyHasher {
    /// A hasher of the columns of `schema` at `key`.
    pub fn new(schema: &Schema, key: &[usize]) -> Result<Self> {
        let types = key
            .iter()
            .map(|index| schema.field(*index).data_type().clone());
        let fields = types.map(SortField::new).collect();
        Ok(Self {
            converter: RowConverter::new(fields)?,
        })
    }

    /// Appends the hash of each row's key to `hashes`. Null is a value like any other.
    pub fn hash(&self, key_columns: &[ArrayRef], hashes: &mut Vec<u128>) -> Result<()> {
        let rows = self.converter.convert_columns(key_columns)?;
        hashes.extend(rows.iter().map(|row| xxh3_128(row.as_ref())));
        Ok(())
    }
}

/// Whether columns of this type can be part of a key.
pub(super) fn can_be_key(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// The key columns of `rows`.
pub(super) fn key_columns(rows: &RecordBatch, key: &[usize]) -> Vec<ArrayRef> {
    key.iter()
        .map(|index| rows.column(*index).clone())
        .collect()
}

/// A set of rows of one part. Takes no memory while it is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    count: u64,
}

impl Bitmap {
    /// Adds `row`.
    pub fn insert(&mut self, row: u32) {
        let (word, bit) = (row as usize / 64, 1 << (row % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.count += u64::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Whether `row` is in the set.
    pub fn contains(&self, row: usize) -> bool {
        self.words
            .get(row / 64)
            .is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// How many rows are in it.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The empty set, shared by all parts without replaced rows.
pub(super) fn no_rows() -> Arc<Bitmap> {
    static EMPTY: std::sync::OnceLock<Arc<Bitmap>> = std::sync::OnceLock::new();
    EMPTY.get_or_init(Arc::default).clone()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn a_bitmap_counts_each_row_once() {
        let mut bitmap = Bitmap::default();
        for row in [3, 64, 3, 1000] {
            bitmap.insert(row);
        }
        assert_eq!(bitmap.count(), 3);
        let rows: Vec<usize> = (0..2000).filter(|row| bitmap.contains(*row)).collect();
        assert_eq!(rows, [3, 64, 1000]);
    }

    #[test]
    fn keys_differ_by_every_column_and_null_is_a_value() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("b", DataType::Int64, true),
        ]);
        let hasher = KeyHasher::new(&schema, &[0, 1]).unwrap();
        let texts = [Some("x"), Some("x"), None, None, Some(""), Some("x")];
        let numbers = [Some(1), Some(2), Some(1), None, None, Some(1)];
        let columns: [ArrayRef; 2] = [
            Arc::new(StringArray::from(texts.to_vec())),
            Arc::new(Int64Array::from(numbers.to_vec())),
        ];
        let mut hashes = vec![];
        hasher.hash(&columns, &mut hashes).unwrap();
        let first_with = |hash| hashes.iter().position(|other| *other == hash).unwrap();
        let groups: Vec<usize> = hashes.iter().map(|hash| first_with(*hash)).collect();
        assert_eq!(groups, [0, 1, 2, 3, 4, 0]);
    }
}
