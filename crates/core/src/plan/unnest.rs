//! `UNNEST`: rows out of arrays and maps.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::expr::Expr;

/// One row for each element of `array`. Output columns: those of `keep`, then the element's (the
/// fields of a ROW, `key` and `value` of a MAP, else one), and, if `ordinality`, its position from 1.
/// Source: Flink's `UnnestRowsFunction`.
#[derive(Debug, Clone, PartialEq)]
pub struct Unnest {
    /// Input columns that are passed on.
    pub keep: Vec<usize>,
    /// An ARRAY or MAP, over the input.
    pub array: Expr,
    /// `WITH ORDINALITY`.
    pub ordinality: bool,
    /// `LEFT JOIN`: a row with nulls where there is no element.
    pub outer: bool,
}

impl Unnest {
    /// Names and types of the columns that an element of `array` becomes; `None` if it has none.
    pub fn element_fields(array: &DataType, ordinality: bool) -> Option<Vec<(String, DataType)>> {
        let of_row = |field: &Arc<Field>| (field.name().clone(), field.data_type().clone());
        let mut fields: Vec<(String, DataType)> = match array {
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) => fields.iter().map(of_row).collect(),
                other => vec![("EXPR$0".to_owned(), other.clone())],
            },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => {
                    let names = ["KEY", "VALUE"].into_iter().map(str::to_owned);
                    let types = fields.iter().map(|field| field.data_type().clone());
                    names.zip(types).collect()
                }
                _ => return None,
            },
            _ => return None,
        };
        if ordinality {
            fields.push(("ORDINALITY".to_owned(), DataType::Int32));
        }
        Some(fields)
    }

    /// What EXPLAIN shows.
    pub(super) fn text(&self, input: &Schema, output: &SchemaRef) -> String {
        let outer = if self.outer { "left " } else { "" };
        let keep = self.keep.iter().map(|column| input.field(*column).name());
        let keep: Vec<&str> = keep.map(String::as_str).collect();
        let elements = output.fields()[keep.len()..].iter();
        let elements: Vec<&str> = elements.map(|field| field.name().as_str()).collect();
        let (array, keep, elements) = (&self.array, keep.join(", "), elements.join(", "));
        format!("{outer}unnest {array} AS [{elements}] with [{keep}]")
    }
}
