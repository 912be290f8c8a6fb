//! The columns of one JSON object: of a whole record, or of a ROW within it.
//!
//! A key that comes twice: the last one counts, as in Flink, so a value that does not fit its
//! column is only an error once the object has ended without a better one.

use arrow::array::ArrayRef;
use arrow::datatypes::Fields;
use millstream_core::Result;

use super::JsonOptions;
use super::column::Column;
use super::cursor::{Cursor, Fault, Mismatch};
use super::keys::Keys;

/// One column for each field.
#[derive(Debug)]
pub(super) struct Object {
    names: Vec<String>,
    columns: Vec<Column>,
    keys: Keys,
}

impl Object {
    /// Columns for `fields`; `InvalidInput` for a type that JSON cannot hold.
    pub fn new(fields: &Fields) -> Result<Self> {
        let columns = fields.iter().map(|field| {
            let column = Column::new(field.data_type(), field.is_nullable());
            column.map_err(|error| error.context(format_args!("column `{}`", field.name())))
        });
        Ok(Self {
            names: fields.iter().map(|field| field.name().clone()).collect(),
            columns: columns.collect::<Result<_>>()?,
            keys: Keys::new(fields.iter().map(|field| field.name().as_str())),
        })
    }

    /// Decodes the object whose brace stands here as row `row` of every column. After a fault
    /// the columns may have that row or not: see `truncate`.
    pub fn decode(
        &mut self,
        row: usize,
        cursor: &mut Cursor,
        options: JsonOptions,
    ) -> Result<(), Fault> {
        let mut failed: Vec<(usize, Box<Mismatch>)> = vec![];
        cursor.enter()?;
        if !cursor.is_empty_container(b'}') {
            let mut place = 0;
            loop {
                let column = self.keys.next(cursor, &mut place)?;
                cursor.skip_whitespace();
                match column {
                    None => cursor.skip_value()?,
                    Some(index) => {
                        let column = &mut self.columns[index];
                        if column.len() > row {
                            column.truncate(row);
                            failed.retain(|(failed, _)| *failed != index);
                        }
                        match column.decode_value(cursor, options) {
                            Ok(()) => {}
                            Err(Fault::Syntax) => return Err(Fault::Syntax),
                            Err(Fault::Value) => {
                                let mismatch = self.set_aside(index, row, cursor);
                                failed.push((index, mismatch));
                            }
                        }
                    }
                }
                if !cursor.more(b'}', "`,` or `}`")? {
                    break;
                }
            }
        }
        cursor.leave();
        if let Some((_, first)) = failed.into_iter().next() {
            return Err(cursor.mismatch(*first));
        }
        self.fill_missing(row, cursor, options)
    }

    /// Leaves null in place of a value that does not fit, in case the key comes again.
    #[cold]
    fn set_aside(&mut self, index: usize, row: usize, cursor: &mut Cursor) -> Box<Mismatch> {
        self.columns[index].truncate(row);
        self.columns[index].push_null();
        let mut mismatch = cursor.take_mismatch();
        mismatch.within(&self.names[index]);
        mismatch
    }

    fn fill_missing(
        &mut self,
        row: usize,
        cursor: &mut Cursor,
        options: JsonOptions,
    ) -> Result<(), Fault> {
        for (column, name) in self.columns.iter_mut().zip(&self.names) {
            if column.len() > row {
                continue;
            }
            if options.fail_on_missing_field || !column.is_nullable() {
                return Err(cursor.mismatch(Mismatch {
                    path: name.clone(),
                    found: String::new(),
                    expected: column.expected(),
                }));
            }
            column.push_null();
        }
        Ok(())
    }

    /// Appends null to every column.
    pub fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
    }

    /// Cuts every column to `rows`, where it is longer.
    pub fn truncate(&mut self, rows: usize) {
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(rows));
    }

    /// Makes room for `rows` more.
    pub fn reserve(&mut self, rows: usize) {
        self.columns
            .iter_mut()
            .for_each(|column| column.reserve(rows));
    }

    /// The columns as arrays, leaving them empty.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.columns.iter_mut().map(Column::finish).collect()
    }
}
