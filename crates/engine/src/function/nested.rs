//! Functions on arrays and maps.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, StructArray, UInt64Array, make_comparator,
};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field};
use millstream_core::{Error, Result};

use super::args::Args;
use super::definition::{Function, Kind, Returns};
use super::text::plain;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    vec![
        plain(
            "CARDINALITY",
            (&[Kind::Any], 1, 1),
            Returns::Int,
            cardinality,
        ),
        plain(
            "ITEM",
            (&[Kind::Any], 2, 2),
            Returns::By(element_type),
            item,
        ),
        plain(
            "ROW",
            (&[Kind::Any], 1, usize::MAX),
            Returns::By(row_type),
            row,
        ),
    ]
}

fn element_type(types: &[DataType]) -> Result<DataType> {
    match &types[0] {
        DataType::List(element) => Ok(element.data_type().clone()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => Ok(fields[1].data_type().clone()),
            other => Err(Error::bug(format!("entries of a map are {other}"))),
        },
        other => Err(not_a_collection(other)),
    }
}

fn row_type(types: &[DataType]) -> Result<DataType> {
    let fields = types.iter().enumerate();
    let fields = fields.map(|(index, of)| Field::new(format!("EXPR${index}"), of.clone(), true));
    Ok(DataType::Struct(fields.collect()))
}

/// `ROW(value…)`
fn row(args: &Args<'_>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = args.return_type else {
        return Err(Error::bug(format!("a row of type {}", args.return_type)));
    };
    let columns = (0..args.len()).map(|index| args.full_array(index));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        None,
    )?))
}

/// The error for anything else.
pub(super) fn not_a_collection(found: &DataType) -> Error {
    Error::invalid(format!("found {found}, expected an array or a map"))
}

/// The number of elements or entries.
fn cardinality(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.full_array(0)?;
    let offsets = match input.data_type() {
        DataType::List(_) => input.as_list::<i32>().offsets(),
        DataType::Map(..) => input.as_map().offsets(),
        other => return Err(not_a_collection(other)),
    };
    let sizes = (0..args.rows)
        .map(|row| input.is_valid(row).then(|| offsets[row + 1] - offsets[row]))
        .collect::<Int32Array>();
    Ok(Arc::new(sizes))
}

/// `array[position]`, from 1, or `map[key]`; null if there is no such element.
fn item(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.full_array(0)?;
    match input.data_type() {
        DataType::List(_) => array_item(args, &input),
        DataType::Map(..) => map_item(args, &input),
        other => Err(not_a_collection(other)),
    }
}

fn array_item(args: &Args<'_>, input: &ArrayRef) -> Result<ArrayRef> {
    let list = input.as_list::<i32>();
    let positions = args.longs(1)?;
    let indices = (0..args.rows)
        .map(|row| {
            let index = u64::try_from(positions.get(row)?.checked_sub(1)?).ok()?;
            let start = u64::try_from(list.value_offsets()[row]).ok()?;
            let end = u64::try_from(list.value_offsets()[row + 1]).ok()?;
            (list.is_valid(row) && index < end - start).then(|| start + index)
        })
        .collect::<UInt64Array>();
    Ok(take(list.values(), &indices, None)?)
}

fn map_item(args: &Args<'_>, input: &ArrayRef) -> Result<ArrayRef> {
    let map = input.as_map();
    let wanted = args.array(1)?;
    let equal = make_comparator(map.keys(), &wanted, SortOptions::default())?;
    let last = wanted.len().saturating_sub(1);
    let indices = (0..args.rows)
        .map(|row| {
            let key = row.min(last);
            if map.is_null(row) || wanted.is_null(key) {
                return None;
            }
            let start = usize::try_from(map.value_offsets()[row]).ok()?;
            let end = usize::try_from(map.value_offsets()[row + 1]).ok()?;
            let found = (start..end).find(|&entry| equal(entry, key) == Ordering::Equal)?;
            u64::try_from(found).ok()
        })
        .collect::<UInt64Array>();
    Ok(take(map.values(), &indices, None)?)
}
