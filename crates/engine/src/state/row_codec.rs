//! Columns as bytes, row by row, and back: Arrow's row format, also for no columns at all.

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// Turns columns of given types into bytes that compare as the rows do.
#[derive(Debug)]
pub struct RowCodec(Option<RowConverter>);

/// The rows of a batch as bytes.
#[derive(Debug)]
pub struct EncodedRows(Option<Rows>);

impl RowCodec {
    /// For columns of these types, in ascending order with nulls first.
    pub fn new(types: impl IntoIterator<Item = DataType>) -> Result<Self> {
        let fields = types.into_iter();
        Self::with_order(fields.map(|data_type| (data_type, SortOptions::default())))
    }

    /// For columns with orders of their own.
    pub fn with_order(columns: impl IntoIterator<Item = (DataType, SortOptions)>) -> Result<Self> {
        let mut fields = vec![];
        for (data_type, options) in columns {
            if !is_comparable(&data_type) {
                let found = sql_name(&data_type);
                let message = format!("found {found}, expected a type whose values are ordered");
                return Err(Error::invalid(message));
            }
            fields.push(SortField::new_with_options(data_type, options));
        }
        Ok(Self(match fields.is_empty() {
            true => None,
            false => Some(RowConverter::new(fields)?),
        }))
    }

    /// The rows of `columns`.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<EncodedRows> {
        let rows = self.0.as_ref().map(|rows| rows.convert_columns(columns));
        Ok(EncodedRows(rows.transpose()?))
    }

    /// The columns of `rows`.
    pub fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.0 else {
            return Ok(vec![]);
        };
        let parser = converter.parser();
        Ok(converter.convert_rows(rows.into_iter().map(|row| parser.parse(row)))?)
    }
}

impl EncodedRows {
    /// One row.
    pub fn get(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

/// Whether values of the type have an order.
pub fn is_comparable(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// The shard, of `shards`, that owns a key: the same in every process.
pub fn owner(key: &[u8], shards: usize) -> usize {
    owner_of(xxh3_64(key), shards)
}

/// The same, given the key's hash by XXH3.
pub fn owner_of(hash: u64, shards: usize) -> usize {
    // The upper bits: the lower ones pick the slot in hash tables.
    let owner = ((hash >> 32) * shards as u64) >> 32;
    usize::try_from(owner).expect("below the number of shards")
}
