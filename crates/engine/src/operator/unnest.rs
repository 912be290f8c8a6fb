//! `UNNEST`: a row for each element of an array or map.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use millstream_core::plan::Unnest;
use millstream_core::{Error, Result};

use super::batch::Batch;
use super::chain::rows_of;
use super::width;
use crate::expr::CompiledExpr;

/// See [`Unnest`]. It remembers nothing.
pub struct UnnestOperator {
    plan: Unnest,
    array: CompiledExpr,
    schema: SchemaRef,
}

/// For each row that is put out: the row of the input, the element in the array's values, and its
/// position from 1.
#[derive(Default)]
struct Elements {
    rows: Vec<u32>,
    values: Vec<Option<u32>>,
    positions: Vec<Option<i32>>,
}

impl UnnestOperator {
    /// The operator for `plan` over rows of `input`, giving rows of `schema`.
    pub fn new(plan: &Unnest, input: &SchemaRef, schema: SchemaRef) -> Result<Self> {
        Ok(Self {
            plan: plan.clone(),
            array: CompiledExpr::compile(&plan.array, input)?,
            schema,
        })
    }

    /// Gives the rows of `batch`, each as often as it has elements, some at a time.
    pub fn unnest(&self, batch: &Batch, emit: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
        let array = self.array.evaluate(&batch.rows)?;
        let elements = self.elements(&array)?;
        let kept = batch.rows.project(&self.plan.keep)?;
        let block = width::block_rows(width::widest(&kept));
        for start in (0..elements.rows.len()).step_by(block) {
            let end = elements.rows.len().min(start + block);
            emit(self.block(batch, (&kept, &array), &elements, start..end)?)?;
        }
        Ok(())
    }

    fn block(
        &self,
        batch: &Batch,
        (kept, array): (&RecordBatch, &ArrayRef),
        elements: &Elements,
        range: Range<usize>,
    ) -> Result<Batch> {
        let of = &elements.rows[range.clone()];
        let rows = UInt32Array::from(of.to_vec());
        let mut columns: Vec<ArrayRef> = vec![];
        for column in kept.columns() {
            columns.push(take(column, &rows, None)?);
        }
        columns.extend(element_columns(array, &elements.values[range.clone()])?);
        if self.plan.ordinality {
            let positions = elements.positions[range].to_vec();
            columns.push(Arc::new(Int32Array::from(positions)));
        }
        let origin = batch.origin.as_ref().map(|origin| origin.chosen(of));
        let rows = rows_of(&self.schema, columns, rows.len())?;
        Ok(Batch { rows, origin })
    }

    fn elements(&self, array: &ArrayRef) -> Result<Elements> {
        let offsets = match array.data_type() {
            DataType::List(_) => array.as_list::<i32>().value_offsets(),
            DataType::Map(..) => array.as_map().value_offsets(),
            other => return Err(Error::bug(format!("UNNEST of {other}"))),
        };
        let mut elements = Elements::default();
        for (row, bounds) in offsets.windows(2).enumerate() {
            let row_number = u32::try_from(row).expect("batches have fewer than 2^32 rows");
            let (start, end) = match array.is_valid(row) {
                true => (bounds[0], bounds[1]),
                false => (0, 0),
            };
            for (position, value) in (1..).zip(start..end) {
                elements.rows.push(row_number);
                elements.values.push(u32::try_from(value).ok());
                elements.positions.push(Some(position));
            }
            if start == end && self.plan.outer {
                elements.rows.push(row_number);
                elements.values.push(None);
                elements.positions.push(None);
            }
        }
        Ok(elements)
    }
}

/// The columns of the elements at `values`.
fn element_columns(array: &ArrayRef, values: &[Option<u32>]) -> Result<Vec<ArrayRef>> {
    let chosen = UInt32Array::from(values.to_vec());
    let taken = |columns: &[ArrayRef], chosen: &UInt32Array| -> Result<Vec<ArrayRef>> {
        let columns = columns.iter();
        columns
            .map(|column| Ok(take(column, chosen, None)?))
            .collect()
    };
    if let DataType::Map(..) = array.data_type() {
        return taken(array.as_map().entries().columns(), &chosen);
    }
    let items = array.as_list::<i32>().values();
    match items.as_struct_opt() {
        None => taken(std::slice::from_ref(items), &chosen),
        Some(rows) => taken(rows.columns(), &fields_of(rows, values)),
    }
}

/// A ROW that is null has fields that are null.
fn fields_of(rows: &StructArray, values: &[Option<u32>]) -> UInt32Array {
    let values = values.iter().copied();
    values
        .map(|value| value.filter(|value| rows.is_valid(*value as usize)))
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Builder, ListBuilder, StringArray};
    use arrow::datatypes::{Field, Int32Type, Schema};
    use millstream_core::expr::Expr;

    use super::*;

    /// A text of so many bytes beside so many elements: the rows of each block that comes out.
    fn blocks(bytes: usize, elements: usize) -> Vec<usize> {
        let mut lists = ListBuilder::new(Int32Builder::new());
        lists.append_value((0..i32::try_from(elements).unwrap()).map(Some));
        let list: ArrayRef = Arc::new(lists.finish());
        let input = Arc::new(Schema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("list", list.data_type().clone(), true),
        ]));
        let plan = Unnest {
            array: Expr::column(1, "list", list.data_type().clone()),
            keep: vec![0],
            ordinality: true,
            outer: false,
        };
        let output = Arc::new(Schema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("item", DataType::Int32, true),
            Field::new("place", DataType::Int32, true),
        ]));
        let operator = UnnestOperator::new(&plan, &input, output).unwrap();
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(bytes)]));
        let batch = Batch {
            rows: RecordBatch::try_new(input, vec![text, list]).unwrap(),
            origin: None,
        };
        let (mut blocks, mut next) = (vec![], 1);
        operator
            .unnest(&batch, &mut |block| {
                let places = block.rows.column(2).as_primitive::<Int32Type>().values();
                assert_eq!(places[0], next, "in the order of the array");
                next += i32::try_from(places.len()).unwrap();
                blocks.push(block.rows.num_rows());
                Ok(())
            })
            .unwrap();
        blocks
    }

    #[test]
    fn a_long_array_beside_a_long_text_comes_out_in_blocks() {
        assert_eq!(blocks(10, 20_000), [16_384, 3_616]);
        // 32 MiB of rows that have a little more than one.
        assert_eq!(blocks(1 << 20, 70), [31, 31, 8]);
        assert_eq!(blocks(10, 0), [0; 0]);
    }
}
