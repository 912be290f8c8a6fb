//! From key columns to dense group indices.
//!
//! [`KeyEncoder`] turns key columns into comparable bytes (Arrow's row format), [`GroupTable`] gives
//! each distinct key the next index: 0, 1, 2 … Accumulators are vectors indexed by it.
//! PERF: keys lie in one buffer, the hash table holds only indices: no allocation per group or row.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use hashbrown::HashTable;
use millstream_core::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// Encodes the key columns of one operator, under each of its grouping sets. Clones share what it
/// knows of the types.
#[derive(Debug, Clone)]
pub struct KeyEncoder {
    converter: Option<Arc<RowConverter>>,
    types: Arc<[DataType]>,
}

impl KeyEncoder {
    /// An encoder for keys of these types.
    pub fn new(types: Vec<DataType>) -> Result<Self> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = match types.is_empty() {
            true => None,
            false => {
                let converter = RowConverter::new(fields).map_err(unsupported_key)?;
                Some(Arc::new(converter))
            }
        };
        let types = types.into();
        Ok(Self { converter, types })
    }

    /// Encodes `rows` rows of the key columns; columns not in `set` become null.
    pub fn encode(&self, columns: &[ArrayRef], set: &[usize], rows: usize) -> Result<Keys> {
        let Some(converter) = &self.converter else {
            return Ok(Keys(None));
        };
        let masked: Vec<ArrayRef> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| match set.contains(&index) {
                true => column.clone(),
                false => new_null_array(&self.types[index], rows),
            })
            .collect();
        Ok(Keys(Some(converter.convert_columns(&masked)?)))
    }

    /// The key columns of `groups`.
    pub fn decode(&self, table: &GroupTable, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.decode_keys(groups.iter().map(|group| table.key(*group)))
    }

    /// The key columns of encoded keys.
    pub fn decode_keys<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else {
            return Ok(vec![]);
        };
        let parser = converter.parser();
        Ok(converter.convert_rows(keys.map(|key| parser.parse(key)))?)
    }
}

fn unsupported_key(error: arrow::error::ArrowError) -> Error {
    Error::invalid(format!("these columns cannot be grouped by: {error}"))
}

/// Encoded keys of a batch.
#[derive(Debug)]
pub struct Keys(Option<Rows>);

impl Keys {
    /// The encoded key of a row.
    pub fn get(&self, row: usize) -> &[u8] {
        match &self.0 {
            Some(rows) => rows.row(row).data(),
            None => &[],
        }
    }

    /// An owned copy of one key, for tests.
    pub fn owned(&self, row: usize) -> Option<OwnedRow> {
        self.0.as_ref().map(|rows| rows.row(row).owned())
    }
}

/// Distinct keys, each with an index.
#[derive(Debug, Default, Clone)]
pub struct GroupTable {
    index: HashTable<u32>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl GroupTable {
    /// Number of groups.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.index.allocation_size()
    }

    /// The encoded key of a group.
    pub fn key(&self, group: u32) -> &[u8] {
        key_of(&self.bytes, &self.ends, group)
    }

    /// A hash of a group's key, the same in every table and process.
    pub fn key_hash(&self, group: u32) -> u64 {
        xxh3_64(self.key(group))
    }

    /// Appends to `groups` the group of each of `rows` (positions in `keys`), or of all `count`
    /// rows, making groups for new keys.
    pub fn intern(
        &mut self,
        keys: &Keys,
        rows: Option<&[u32]>,
        count: usize,
        groups: &mut Vec<u32>,
    ) {
        match rows {
            Some(rows) => {
                groups.extend(
                    rows.iter()
                        .map(|row| self.intern_key(keys.get(*row as usize))),
                );
            }
            None => groups.extend((0..count).map(|row| self.intern_key(keys.get(row)))),
        }
    }

    /// Appends to `groups` the group here of each group of `other`.
    pub fn intern_all(&mut self, other: &Self, groups: &mut Vec<u32>) {
        let count = u32::try_from(other.len()).expect("group indices are u32");
        if self.is_empty() {
            // PERF: what begins empty begins as a copy: no key is looked up.
            self.clone_from(other);
            return groups.extend(0..count);
        }
        groups.extend((0..count).map(|group| self.intern_key(other.key(group))));
    }

    /// The groups here of the keys of `other` that are here.
    pub fn groups_of(&self, other: &Self) -> Vec<u32> {
        let count = u32::try_from(other.len()).expect("group indices are u32");
        let find = |group: u32| {
            let key = other.key(group);
            let is_key = |group: &u32| self.key(*group) == key;
            self.index.find(xxh3_64(key), is_key).copied()
        };
        (0..count).filter_map(find).collect()
    }

    /// The group of a key, made if it is new.
    pub fn intern_key(&mut self, key: &[u8]) -> u32 {
        let Self { index, bytes, ends } = self;
        let entry = index.entry(
            xxh3_64(key),
            |group| key_of(bytes, ends, *group) == key,
            |group| xxh3_64(key_of(bytes, ends, *group)),
        );
        if let hashbrown::hash_table::Entry::Occupied(entry) = entry {
            return *entry.get();
        }
        let group = u32::try_from(ends.len()).expect("fewer than 2^32 groups in one window");
        entry.insert(group);
        bytes.extend_from_slice(key);
        ends.push(bytes.len());
        group
    }
}

fn key_of<'a>(bytes: &'a [u8], ends: &[usize], group: u32) -> &'a [u8] {
    let group = group as usize;
    let start = if group == 0 { 0 } else { ends[group - 1] };
    &bytes[start..ends[group]]
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, StringArray};

    use super::*;

    fn column(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn equal_keys_share_a_group_and_come_back() {
        let encoder = KeyEncoder::new(vec![DataType::Utf8, DataType::Utf8]).unwrap();
        let columns = [
            column(&[Some("a"), Some("b"), Some("a"), None]),
            column(&[Some("x"), Some("x"), Some("x"), None]),
        ];
        let keys = encoder.encode(&columns, &[0, 1], 4).unwrap();
        let mut table = GroupTable::default();
        let mut groups = vec![];
        table.intern(&keys, None, 4, &mut groups);
        assert_eq!(groups, [0, 1, 0, 2]);
        let decoded = encoder.decode(&table, &[2, 0]).unwrap();
        assert_eq!(decoded[0].as_ref(), column(&[None, Some("a")]).as_ref());
    }

    #[test]
    fn a_grouping_set_hides_the_other_columns() {
        let encoder = KeyEncoder::new(vec![DataType::Utf8, DataType::Utf8]).unwrap();
        let columns = [
            column(&[Some("a"), Some("a")]),
            column(&[Some("x"), Some("y")]),
        ];
        let keys = encoder.encode(&columns, &[0], 2).unwrap();
        let mut table = GroupTable::default();
        let mut groups = vec![];
        table.intern(&keys, None, 2, &mut groups);
        assert_eq!(groups, [0, 0]);
        let decoded = encoder.decode(&table, &[0]).unwrap();
        assert!(decoded[1].is_null(0));
    }

    #[test]
    fn without_keys_everything_is_one_group() {
        let encoder = KeyEncoder::new(vec![]).unwrap();
        let keys = encoder.encode(&[], &[], 3).unwrap();
        let mut table = GroupTable::default();
        let mut groups = vec![];
        table.intern(&keys, Some(&[1, 2]), 3, &mut groups);
        assert_eq!(groups, [0, 0]);
        assert!(encoder.decode(&table, &[0]).unwrap().is_empty());
    }
}
