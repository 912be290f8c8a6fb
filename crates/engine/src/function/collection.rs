//! Functions that make arrays and maps, and arrays out of arrays.
//!
//! Values are compared in Arrow's row format, in which equal values are equal bytes and the order of
//! bytes is the order of values, nulls first. A result names elements of all arguments put one after
//! the other, and is taken from there in one go.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StructArray, UInt64Array,
    new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Int32Type};
use arrow::row::{RowConverter, Rows, SortField};
use millstream_core::{Error, Result, types};

use super::args::{Args, build_booleans, build_numbers, build_texts};
use super::definition::{Function, Kind, Returns};
use super::nested::not_a_collection;
use super::text::plain;

const UNBOUNDED: usize = usize::MAX;

/// The functions of this module. Arrays of one call have one type, and so have elements beside them.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Any, Boolean, Common, Text};
    use Returns as R;
    let same = R::Same(0);
    let element = R::By(|types| Ok(element_type(&types[0])?.clone()));
    let of = R::By(|types| Ok(types::array(types[0].clone())));
    vec![
        plain("ARRAY", (&[Common], 1, UNBOUNDED), of, array),
        plain("MAP", (&[Any], 2, UNBOUNDED), R::By(map_type), map),
        plain("ARRAY_APPEND", (&[Any], 2, 2), same, |a| {
            with_element(a, false)
        }),
        plain("ARRAY_PREPEND", (&[Any], 2, 2), same, |a| {
            with_element(a, true)
        }),
        plain("ARRAY_CONCAT", (&[Any], 1, UNBOUNDED), same, |a| {
            build(a, |row| Some(row.lists.iter().flatten().copied().collect()))
        }),
        plain("ARRAY_DISTINCT", (&[Any], 1, 1), same, |a| {
            build(a, |row| Some(row.distinct(row.lists[0].clone())))
        }),
        plain("ARRAY_REVERSE", (&[Any], 1, 1), same, |a| {
            build(a, |row| Some(row.lists[0].iter().rev().copied().collect()))
        }),
        plain("ARRAY_UNION", (&[Any], 2, 2), same, |a| {
            build(a, |row| Some(row.distinct(row.lists.concat())))
        }),
        plain("ARRAY_EXCEPT", (&[Any], 2, 2), same, |a| {
            build(a, |row| Some(row.selected(false)))
        }),
        plain("ARRAY_INTERSECT", (&[Any], 2, 2), same, |a| {
            build(a, |row| Some(row.selected(true)))
        }),
        plain("ARRAY_SORT", (&[Any, Boolean], 1, 3), same, sort),
        plain("ARRAY_SLICE", (&[Any, Kind::Long], 2, 3), same, slice),
        plain("ARRAY_REMOVE", (&[Any], 2, 2), same, remove),
        plain("ARRAY_CONTAINS", (&[Any], 2, 2), R::Boolean, contains),
        plain("ARRAY_POSITION", (&[Any], 2, 2), R::Int, position),
        plain("ARRAY_MAX", (&[Any], 1, 1), element, |a| extreme(a, true)),
        plain("ARRAY_MIN", (&[Any], 1, 1), element, |a| extreme(a, false)),
        plain("ARRAY_JOIN", (&[Any, Text], 2, 3), R::Text, join),
        plain("ELEMENT", (&[Any], 1, 1), element, |a| {
            sole_element(a, "ELEMENT")
        }),
        // Of the values that an aggregate has gathered.
        plain("SINGLE_VALUE", (&[Any], 1, 1), element, |a| {
            sole_element(a, "SINGLE_VALUE")
        }),
        plain(
            "MAP_KEYS",
            (&[Any], 1, 1),
            R::By(|t| part_type(t, 0)),
            |a| part(a, 0),
        ),
        plain(
            "MAP_VALUES",
            (&[Any], 1, 1),
            R::By(|t| part_type(t, 1)),
            |a| part(a, 1),
        ),
        plain(
            "MAP_FROM_ARRAYS",
            (&[Any], 2, 2),
            R::By(zipped_type),
            map_from_arrays,
        ),
    ]
}

fn element_type(data_type: &DataType) -> Result<&DataType> {
    match data_type {
        DataType::List(item) => Ok(item.data_type()),
        other => Err(not_a_collection(other)),
    }
}

fn map_type(types: &[DataType]) -> Result<DataType> {
    Ok(types::map(types[0].clone(), types[1].clone()))
}

fn part_type(types: &[DataType], part: usize) -> Result<DataType> {
    match &types[0] {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => Ok(types::array(fields[part].data_type().clone())),
            other => Err(not_a_collection(other)),
        },
        other => Err(not_a_collection(other)),
    }
}

fn zipped_type(types: &[DataType]) -> Result<DataType> {
    let (keys, values) = (element_type(&types[0])?, element_type(&types[1])?);
    Ok(types::map(keys.clone(), values.clone()))
}

/// The elements of all arguments one after the other. A list has a range of them in each row, any
/// other argument one.
struct Pool {
    values: ArrayRef,
    rows: Rows,
    starts: Vec<usize>,
    arguments: Vec<ArrayRef>,
}

/// The elements of one row, as positions in the pool.
struct PoolRow<'a> {
    pool: &'a Pool,
    lists: Vec<Vec<usize>>,
}

impl Pool {
    /// Of the first `count` arguments.
    fn new(args: &Args<'_>, count: usize) -> Result<Self> {
        let arguments = (0..count).map(|index| args.full_array(index));
        let arguments = arguments.collect::<Result<Vec<_>>>()?;
        let values = |argument: &ArrayRef| match argument.as_list_opt::<i32>() {
            Some(list) => list.values().clone(),
            None => argument.clone(),
        };
        // The first argument says what the elements are; an array beside it may be one of them.
        let first = arguments[0].as_list_opt::<i32>();
        let element = first.map(|list| list.value_type());
        let parts: Vec<ArrayRef> = arguments
            .iter()
            .map(
                |argument| match element.as_ref() == Some(argument.data_type()) {
                    true => argument.clone(),
                    false => values(argument),
                },
            )
            .collect();
        let mut starts = vec![];
        let mut next = 0;
        for part in &parts {
            starts.push(next);
            next += part.len();
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = concat(&parts)?;
        let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(&values))?;
        Ok(Self {
            values,
            rows,
            starts,
            arguments,
        })
    }

    /// The elements of a row; none if an array is null.
    fn row(&self, row: usize) -> Option<PoolRow<'_>> {
        let element = self.values.data_type();
        let mut lists = vec![];
        for (argument, start) in self.arguments.iter().zip(&self.starts) {
            if argument.data_type() == element {
                lists.push(vec![start + row]);
                continue;
            }
            let list = argument.as_list::<i32>();
            if list.is_null(row) {
                return None;
            }
            let end = |at: usize| usize::try_from(list.value_offsets()[at]).ok();
            lists.push((start + end(row)?..start + end(row + 1)?).collect());
        }
        Some(PoolRow { pool: self, lists })
    }

    fn key(&self, position: usize) -> &[u8] {
        self.rows.row(position).data()
    }

    fn list(&self, chosen: Vec<Option<Vec<usize>>>, data_type: &DataType) -> Result<ArrayRef> {
        let DataType::List(item) = data_type else {
            return Err(not_a_collection(data_type));
        };
        let present: NullBuffer = chosen.iter().map(Option::is_some).collect();
        let lengths = chosen.iter().map(|row| row.as_ref().map_or(0, Vec::len));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let positions = chosen.iter().flatten().flatten().map(|at| *at as u64);
        let values = take(
            &self.values,
            &UInt64Array::from_iter_values(positions),
            None,
        )?;
        let list = ListArray::try_new(item.clone(), offsets, values, Some(present))?;
        Ok(Arc::new(list))
    }
}

impl PoolRow<'_> {
    fn distinct(&self, mut positions: Vec<usize>) -> Vec<usize> {
        let mut seen = HashSet::new();
        positions.retain(|at| seen.insert(self.pool.key(*at)));
        positions
    }

    /// The distinct elements of the first list that are (or are not) in the second.
    fn selected(&self, in_second: bool) -> Vec<usize> {
        let second: HashSet<&[u8]> = self.lists[1].iter().map(|at| self.pool.key(*at)).collect();
        let mut first = self.distinct(self.lists[0].clone());
        first.retain(|at| second.contains(self.pool.key(*at)) == in_second);
        first
    }

    /// The elements of the list that equal the element beside it.
    fn matches(&self) -> impl Iterator<Item = bool> + '_ {
        let wanted = self.pool.key(self.lists[1][0]);
        self.lists[0]
            .iter()
            .map(move |at| self.pool.key(*at) == wanted)
    }
}

/// A list for each row; null where an argument is a null list.
fn build(args: &Args<'_>, each: impl Fn(&PoolRow<'_>) -> Option<Vec<usize>>) -> Result<ArrayRef> {
    let pool = Pool::new(args, args.len())?;
    let chosen = (0..args.rows).map(|row| each(&pool.row(row)?));
    pool.list(chosen.collect(), args.return_type)
}

fn with_element(args: &Args<'_>, first: bool) -> Result<ArrayRef> {
    build(args, |row| {
        let (list, element) = (&row.lists[0], row.lists[1][0]);
        Some(match first {
            true => std::iter::once(element)
                .chain(list.iter().copied())
                .collect(),
            false => list.iter().copied().chain([element]).collect(),
        })
    })
}

/// `ARRAY_REMOVE(array, element)`
fn remove(args: &Args<'_>) -> Result<ArrayRef> {
    build(args, |row| {
        let kept = row.lists[0].iter().zip(row.matches());
        Some(kept.filter(|(_, same)| !same).map(|(at, _)| *at).collect())
    })
}

/// `ARRAY_CONTAINS(array, element)`, also for null.
fn contains(args: &Args<'_>) -> Result<ArrayRef> {
    let pool = Pool::new(args, 2)?;
    Ok(build_booleans(args.rows, |row| {
        Some(pool.row(row)?.matches().any(|same| same))
    }))
}

/// `ARRAY_POSITION(array, element)` from 1; 0 if it is not there; null for null.
fn position(args: &Args<'_>) -> Result<ArrayRef> {
    let pool = Pool::new(args, 2)?;
    Ok(build_numbers::<Int32Type>(args.rows, |row| {
        let element = &pool.arguments[1];
        let elements = pool.row(row).filter(|_| element.is_valid(row))?;
        let found = elements.matches().position(|same| same);
        i32::try_from(found.map_or(0, |at| at + 1)).ok()
    }))
}

/// `ARRAY_SORT(array[, ascending[, nulls first]])`: nulls come first in ascending order and last in
/// descending, unless it is said.
fn sort(args: &Args<'_>) -> Result<ArrayRef> {
    let pool = Pool::new(args, 1)?;
    let flags = (1..args.len()).map(|index| args.booleans(index));
    let flags = flags.collect::<Result<Vec<_>>>()?;
    let chosen = (0..args.rows).map(|row| {
        if flags.iter().any(|flag| flag.is_null(row)) {
            return None;
        }
        let ascending = flags.first().is_none_or(|flag| flag.value(row));
        let nulls_first = flags.get(1).map_or(ascending, |flag| flag.value(row));
        let mut elements = pool.row(row)?.lists.remove(0);
        elements.sort_by(|left, right| {
            let null = |at: &usize| pool.values.is_null(*at) == nulls_first;
            let values = pool.key(*left).cmp(pool.key(*right));
            let values = if ascending { values } else { values.reverse() };
            null(right).cmp(&null(left)).then(values)
        });
        Some(elements)
    });
    pool.list(chosen.collect(), args.return_type)
}

/// `ARRAY_SLICE(array, from[, to])`: both included, from 1 (0 is the same, for both), from the end if
/// negative.
fn slice(args: &Args<'_>) -> Result<ArrayRef> {
    let pool = Pool::new(args, 1)?;
    let from = args.longs(1)?;
    let to = match args.len() {
        3 => Some(args.longs(2)?),
        _ => None,
    };
    let chosen = (0..args.rows).map(|row| {
        let elements = pool.row(row)?.lists.remove(0);
        let length = i64::try_from(elements.len()).ok()?;
        let place = |at: i64| {
            if at < 0 {
                at.saturating_add(length + 1)
            } else {
                at
            }
        };
        let first = place(from.get(row)?).max(1);
        let last = match &to {
            Some(to) => match place(to.get(row)?) {
                0 => 1,
                to => to.min(length),
            },
            None => length,
        };
        let range = usize::try_from(first - 1).ok()?..usize::try_from(last).unwrap_or(0);
        Some(elements.get(range).unwrap_or_default().to_vec())
    });
    pool.list(chosen.collect(), args.return_type)
}

/// The element of each row that `choose` names; null where it names none.
fn element_of(
    args: &Args<'_>,
    choose: impl Fn(&Pool, Vec<usize>) -> Result<Option<usize>>,
) -> Result<ArrayRef> {
    let pool = Pool::new(args, 1)?;
    let mut positions = vec![];
    for row in 0..args.rows {
        let elements = pool.row(row).map(|mut row| row.lists.remove(0));
        let chosen = elements
            .map(|elements| choose(&pool, elements))
            .transpose()?;
        positions.push(chosen.flatten().map(|at| at as u64));
    }
    Ok(take(&pool.values, &UInt64Array::from(positions), None)?)
}

/// The greatest or least element; nulls do not count.
fn extreme(args: &Args<'_>, greatest: bool) -> Result<ArrayRef> {
    element_of(args, |pool, elements| {
        let present = elements.into_iter().filter(|at| pool.values.is_valid(*at));
        Ok(match greatest {
            true => present.max_by_key(|at| pool.key(*at)),
            false => present.min_by_key(|at| pool.key(*at)),
        })
    })
}

/// `ELEMENT(array)`: its only element; null if it is empty.
fn sole_element(args: &Args<'_>, name: &str) -> Result<ArrayRef> {
    element_of(args, |_, elements| match elements.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        more => {
            let message = format!("`{name}`: found {} values, expected one", more.len());
            Err(Error::invalid(message))
        }
    })
}

/// `ARRAY_JOIN(array of STRING, delimiter[, in the place of null])`; else nulls are left out.
fn join(args: &Args<'_>) -> Result<ArrayRef> {
    let list = args.full_array(0)?;
    let list = list.as_list_opt::<i32>();
    let list = list.ok_or_else(|| Error::bug("`ARRAY_JOIN` takes an array"))?;
    let texts: &StringArray = list
        .values()
        .as_string_opt::<i32>()
        .ok_or_else(|| Error::invalid("`ARRAY_JOIN`: expected an array of STRING"))?;
    let delimiters = args.texts(1)?;
    let nulls = match args.len() {
        3 => Some(args.texts(2)?),
        _ => None,
    };
    Ok(build_texts(args.rows, |row, out| {
        let delimiter = delimiters.get(row).filter(|_| list.is_valid(row))?;
        let null = match &nulls {
            Some(nulls) => Some(nulls.get(row)?),
            None => None,
        };
        let ends = list.value_offsets();
        let range = usize::try_from(ends[row]).ok()?..usize::try_from(ends[row + 1]).ok()?;
        let parts = range.filter_map(|at| match texts.is_valid(at) {
            true => Some(texts.value(at)),
            false => null,
        });
        for (index, part) in parts.enumerate() {
            out.push_str(if index > 0 { delimiter } else { "" });
            out.push_str(part);
        }
        Some(())
    }))
}

/// Columns as one, row by row: the first row's values, the second row's …
pub(super) fn row_by_row(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let places: Vec<(usize, usize)> = (0..rows)
        .flat_map(|row| (0..columns.len()).map(move |column| (column, row)))
        .collect();
    Ok(arrow::compute::interleave(&arrays, &places)?)
}

/// `ARRAY[value, …]`
fn array(args: &Args<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = args.return_type else {
        return Err(not_a_collection(args.return_type));
    };
    let columns = (0..args.len()).map(|index| args.full_array(index));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let values = match columns.is_empty() {
        true => new_empty_array(item.data_type()),
        false => row_by_row(&columns, args.rows)?,
    };
    let offsets = OffsetBuffer::from_repeated_length(columns.len(), args.rows);
    Ok(Arc::new(ListArray::try_new(
        item.clone(),
        offsets,
        values,
        None,
    )?))
}

/// `MAP[key, value, …]`; of a key that is there twice the last value counts.
fn map(args: &Args<'_>) -> Result<ArrayRef> {
    let columns = (0..args.len()).map(|index| args.full_array(index));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let every_other = |first: usize| -> Vec<ArrayRef> {
        columns.iter().skip(first).step_by(2).cloned().collect()
    };
    let keys = row_by_row(&every_other(0), args.rows)?;
    let values = row_by_row(&every_other(1), args.rows)?;
    let count = columns.len() / 2;
    let rows = (0..args.rows).map(|row| Some((row * count..(row + 1) * count).collect()));
    entries(args.return_type, (&keys, &values), rows.collect())
}

/// Maps of these entries: for each row their positions in keys and values.
pub(super) fn entries(
    data_type: &DataType,
    (keys, values): (&ArrayRef, &ArrayRef),
    rows: Vec<Option<Vec<usize>>>,
) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = data_type else {
        return Err(not_a_collection(data_type));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(not_a_collection(entries.data_type()));
    };
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let encoded = converter.convert_columns(std::slice::from_ref(keys))?;
    let mut kept: Vec<u64> = vec![];
    let (mut lengths, mut present) = (vec![], vec![]);
    for row in rows {
        let (before, mut seen) = (kept.len(), HashSet::new());
        let mut positions = row.as_deref().unwrap_or_default().to_vec();
        // From the end, so that the last of equal keys stays.
        positions.reverse();
        positions.retain(|at| keys.is_valid(*at) && seen.insert(encoded.row(*at).data()));
        kept.extend(positions.iter().rev().map(|at| *at as u64));
        lengths.push(kept.len() - before);
        present.push(row.is_some());
    }
    let kept = UInt64Array::from(kept);
    let columns = vec![take(keys, &kept, None)?, take(values, &kept, None)?];
    let pairs = StructArray::try_new(fields.clone(), columns, None)?;
    let (offsets, present) = (
        OffsetBuffer::from_lengths(lengths),
        NullBuffer::from(present),
    );
    let maps = MapArray::try_new(entries.clone(), offsets, pairs, Some(present), false)?;
    Ok(Arc::new(maps))
}

/// The keys or the values of a map as an array.
fn part(args: &Args<'_>, part: usize) -> Result<ArrayRef> {
    let input = args.full_array(0)?;
    let map = input.as_map_opt();
    let map = map.ok_or_else(|| not_a_collection(input.data_type()))?;
    let DataType::List(item) = args.return_type else {
        return Err(not_a_collection(args.return_type));
    };
    let values = map.entries().column(part).clone();
    let list = ListArray::try_new(
        item.clone(),
        map.offsets().clone(),
        values,
        map.nulls().cloned(),
    )?;
    Ok(Arc::new(list))
}

/// `MAP_FROM_ARRAYS(keys, values)`, of the same length.
fn map_from_arrays(args: &Args<'_>) -> Result<ArrayRef> {
    let (keys, values) = (args.full_array(0)?, args.full_array(1)?);
    let (keys, values) = (keys.as_list::<i32>(), values.as_list::<i32>());
    let (mut rows, mut of_values) = (vec![], vec![]);
    let mut next = 0;
    let mut of_keys = vec![];
    for row in 0..args.rows {
        if keys.is_null(row) || values.is_null(row) {
            rows.push(None);
            continue;
        }
        let length = keys.value_length(row);
        if length != values.value_length(row) {
            let message = format!(
                "`MAP_FROM_ARRAYS`: found {length} keys and {} values",
                values.value_length(row)
            );
            return Err(Error::invalid(message));
        }
        let range = |list: &ListArray| {
            let start = u64::try_from(list.value_offsets()[row]).unwrap_or(0);
            start..start + u64::try_from(length).unwrap_or(0)
        };
        of_keys.extend(range(keys));
        of_values.extend(range(values));
        let count = usize::try_from(length).unwrap_or(0);
        rows.push(Some((next..next + count).collect()));
        next += count;
    }
    let keys = take(keys.values(), &UInt64Array::from(of_keys), None)?;
    let values = take(values.values(), &UInt64Array::from(of_values), None)?;
    entries(args.return_type, (&keys, &values), rows)
}
