//! Maps as arrays of their entries, and several maps as one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field};
use millstream_core::{Result, types};

use super::args::Args;
use super::collection;
use super::definition::{Function, Kind, Returns};
use super::nested::not_a_collection;
use super::text::plain;

/// The functions of this module. Maps of one call have one type.
pub(super) fn functions() -> Vec<Function> {
    use Kind::Any;
    const UNBOUNDED: usize = usize::MAX;
    vec![
        plain(
            "MAP_ENTRIES",
            (&[Any], 1, 1),
            Returns::By(entries_type),
            entries,
        ),
        plain("MAP_UNION", (&[Any], 1, UNBOUNDED), Returns::Same(0), union),
    ]
}

/// `ARRAY<ROW<key K, value V>>`
fn entries_type(types: &[DataType]) -> Result<DataType> {
    let DataType::Map(entries, _) = &types[0] else {
        return Err(not_a_collection(&types[0]));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(not_a_collection(entries.data_type()));
    };
    let field = |name, part: usize| Field::new(name, fields[part].data_type().clone(), true);
    let row = DataType::Struct(vec![field("key", 0), field("value", 1)].into());
    Ok(types::array(row))
}

fn entries(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.full_array(0)?;
    let map = as_map(&input)?;
    let DataType::List(item) = args.return_type else {
        return Err(not_a_collection(args.return_type));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(not_a_collection(item.data_type()));
    };
    let columns = map.entries().columns().to_vec();
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(
        item.clone(),
        map.offsets().clone(),
        Arc::new(rows),
        map.nulls().cloned(),
    )?))
}

/// `MAP_UNION(map, …)`: of a key that is in several maps the value of the last; null if a map is.
fn union(args: &Args<'_>) -> Result<ArrayRef> {
    let arrays = (0..args.len()).map(|index| args.full_array(index));
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let maps = arrays.iter().map(as_map).collect::<Result<Vec<_>>>()?;
    let column = |part: usize| -> Result<ArrayRef> {
        let parts = maps.iter().map(|map| map.entries().column(part).as_ref());
        Ok(concat(&parts.collect::<Vec<&dyn Array>>())?)
    };
    let mut starts = vec![];
    let mut next = 0;
    for map in &maps {
        starts.push(next);
        next += map.entries().len();
    }
    let at = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
    let rows = (0..args.rows).map(|row| {
        let mut positions = vec![];
        for (map, start) in maps.iter().zip(&starts) {
            if map.is_null(row) {
                return None;
            }
            let ends = map.value_offsets();
            positions.extend(start + at(ends[row])..start + at(ends[row + 1]));
        }
        Some(positions)
    });
    let (keys, values) = (column(0)?, column(1)?);
    collection::entries(args.return_type, (&keys, &values), rows.collect())
}

fn as_map(array: &ArrayRef) -> Result<&MapArray> {
    let map = array.as_map_opt();
    map.ok_or_else(|| not_a_collection(array.data_type()))
}
