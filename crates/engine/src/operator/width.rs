//! How many bytes rows take, so that rows that are repeated (by joins and UNNEST) come out in blocks of
//! a bounded size: a block of thousands of rows is nothing with numbers in them and does not fit into
//! an array with documents in them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;

/// Most rows of a block.
pub const ROWS: usize = 16_384;
/// Most bytes of a block, unless one row has more.
const BYTES: usize = 32 << 20;

/// Most rows of a block whose rows take up to `width` bytes.
pub fn block_rows(width: usize) -> usize {
    (BYTES / width.max(1)).clamp(1, ROWS)
}

/// Bytes of the widest of `rows`, about.
pub fn widest(rows: &RecordBatch) -> usize {
    let is_fixed = |column: &&_| fixed(<std::sync::Arc<dyn Array>>::as_ref(column)).is_some();
    let (fixed_columns, others): (Vec<_>, Vec<_>) = rows.columns().iter().partition(is_fixed);
    let fixed_columns = fixed_columns.iter().filter_map(|column| fixed(column));
    let row = |row: usize| -> usize {
        let columns = others.iter();
        columns.map(|column| bytes(column, row, row + 1)).sum()
    };
    let varying = match others.is_empty() {
        true => 0,
        false => (0..rows.num_rows()).map(row).max().unwrap_or(0),
    };
    fixed_columns.sum::<usize>() + varying
}

/// Bytes that `rows` take themselves, however large the buffers are that they lie in.
pub fn bytes_of(rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter();
    columns
        .map(|column| bytes(column, 0, rows.num_rows()))
        .sum()
}

/// Bytes of a value, if all have as many.
fn fixed(array: &dyn Array) -> Option<usize> {
    match array.data_type() {
        DataType::Boolean | DataType::Null => Some(1),
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        other => other.primitive_width(),
    }
}

/// Bytes of the values `start..end`.
fn bytes(array: &dyn Array, start: usize, end: usize) -> usize {
    let count = end - start;
    if let Some(width) = fixed(array) {
        return count * width;
    }
    let span = |offsets: &OffsetBuffer<i32>| {
        let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
        (at(start), at(end))
    };
    match array.data_type() {
        DataType::Utf8 => {
            let (from, to) = span(array.as_string::<i32>().offsets());
            to - from + count * 4
        }
        DataType::Binary => {
            let (from, to) = span(array.as_binary::<i32>().offsets());
            to - from + count * 4
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = span(list.offsets());
            bytes(list.values(), from, to) + count * 4
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (from, to) = span(map.offsets());
            let columns = map.entries().columns().iter();
            columns.map(|c| bytes(c, from, to)).sum::<usize>() + count * 4
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(|c| bytes(c, start, end)).sum()
        }
        // No other types come up; too much rather than too little.
        _ => array.get_array_memory_size(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListBuilder, StringArray, StringBuilder};

    use super::*;

    #[test]
    fn the_widest_row_counts_with_what_lies_within_it() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a"), Some("b")]);
        lists.append_value([Some("0123456789")]);
        lists.append_null();
        let columns: [(&str, ArrayRef); 3] = [
            ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("s", Arc::new(StringArray::from(vec!["", "abc", "x"]))),
            ("l", Arc::new(lists.finish())),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(
            columns.map(|(name, column)| (name, column, true)),
        );
        let rows = rows.unwrap();
        // 8 + (3 + 4) + (4 + 10 + 4)
        assert_eq!(widest(&rows), 33);
        assert_eq!(widest(&rows.slice(2, 1)), 8 + 5 + 4);
        assert_eq!(bytes_of(&rows.slice(1, 2)), 33 + 17);
        assert_eq!(widest(&rows.slice(0, 0)), 16 - 8);
    }

    #[test]
    fn wide_rows_make_small_blocks() {
        assert_eq!(block_rows(0), ROWS);
        assert_eq!(block_rows(100), ROWS);
        assert_eq!(block_rows(1 << 20), 32);
        assert_eq!(block_rows(usize::MAX), 1);
    }
}
