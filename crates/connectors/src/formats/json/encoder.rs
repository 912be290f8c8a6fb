//! Rows to JSON objects, see the module above for the form of each type.

use arrow::array::{RecordBatch, StructArray};
use arrow::datatypes::SchemaRef;
use millstream_core::{Error, Result};

use super::cells::Cells;
use super::escape;
use crate::formats::RowEncoder;

/// Encodes rows as JSON objects.
#[derive(Debug)]
pub struct JsonEncoder {
    schema: SchemaRef,
    /// What stands before each value: `{"a":`, `,"b":`.
    prefixes: Vec<Vec<u8>>,
}

impl JsonEncoder {
    /// An encoder of rows of `schema`; `InvalidInput` for a type that JSON cannot hold.
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        // An empty batch has all the types and so finds what cannot be written.
        let empty = RecordBatch::new_empty(SchemaRef::clone(schema));
        for (column, field) in empty.columns().iter().zip(schema.fields()) {
            Cells::new(column)
                .map_err(|error| error.context(format_args!("column `{}`", field.name())))?;
        }
        let names = schema.fields().iter().map(|field| field.name().as_str());
        Ok(Self {
            schema: SchemaRef::clone(schema),
            prefixes: key_prefixes(names),
        })
    }
}

impl RowEncoder for JsonEncoder {
    fn encode(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<()> {
        if rows.num_columns() != self.prefixes.len() {
            return Err(Error::bug(format!(
                "rows of {} columns for an encoder of {}",
                rows.num_columns(),
                self.schema.fields().len()
            )));
        }
        let columns = rows.columns().iter().map(Cells::new);
        let columns = columns.collect::<Result<Vec<_>>>()?;
        ends.reserve(rows.num_rows());
        for row in 0..rows.num_rows() {
            write_object(&self.prefixes, &columns, row, out);
            ends.push(out.len());
        }
        Ok(())
    }
}

/// What stands before each value of an object with these keys.
pub(super) fn key_prefixes<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let prefix = |(index, name): (usize, &str)| {
        let mut prefix = vec![if index == 0 { b'{' } else { b',' }];
        escape::write_string(name.as_bytes(), &mut prefix);
        prefix.push(b':');
        prefix
    };
    names.enumerate().map(prefix).collect()
}

/// Appends one row of `columns` as an object.
pub(super) fn write_object(prefixes: &[Vec<u8>], columns: &[Cells], row: usize, out: &mut Vec<u8>) {
    if columns.is_empty() {
        out.push(b'{');
    }
    for (prefix, column) in prefixes.iter().zip(columns) {
        out.extend_from_slice(prefix);
        column.write(row, out);
    }
    out.push(b'}');
}

/// The names of a struct's fields, as prefixes.
pub(super) fn struct_prefixes(array: &StructArray) -> Vec<Vec<u8>> {
    key_prefixes(array.fields().iter().map(|field| field.name().as_str()))
}
