//! Functions that choose among their arguments. All arguments to choose from have one type.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, BooleanArray, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{SortOptions, and, is_not_null, nullif};
use millstream_core::Result;

use super::args::Args;
use super::definition::{Function, Kind, Returns};
use super::text::plain;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Boolean, Common};
    use Returns::Same;
    const UNBOUNDED: usize = usize::MAX;
    vec![
        plain("COALESCE", (&[Common], 1, UNBOUNDED), Same(0), coalesce),
        plain("IFNULL", (&[Common], 2, 2), Same(0), coalesce),
        plain("NULLIF", (&[Common], 2, 2), Same(0), null_if),
        plain("IF", (&[Boolean, Common], 3, 3), Same(1), choose),
        plain("GREATEST", (&[Common], 1, UNBOUNDED), Same(0), |args| {
            extreme(args, Ordering::Greater)
        }),
        plain("LEAST", (&[Common], 1, UNBOUNDED), Same(0), |args| {
            extreme(args, Ordering::Less)
        }),
    ]
}

/// The first that is not null.
fn coalesce(args: &Args<'_>) -> Result<ArrayRef> {
    let mut result = args.full_array(0)?;
    for index in 1..args.len() {
        if result.null_count() == 0 {
            break;
        }
        let next = args.full_array(index)?;
        result = zip(&is_not_null(&result)?, &result, &next)?;
    }
    Ok(result)
}

/// The first argument, or null if it equals the second.
fn null_if(args: &Args<'_>) -> Result<ArrayRef> {
    let (left, right) = (args.full_array(0)?, args.full_array(1)?);
    let compare = make_comparator(&left, &right, SortOptions::default())?;
    let equal = BooleanBuffer::collect_bool(args.rows, |row| {
        left.is_valid(row) && compare(row, row) == Ordering::Equal
    });
    Ok(nullif(&left, &BooleanArray::new(equal, None))?)
}

/// `IF(condition, then, otherwise)`; a null condition is false.
fn choose(args: &Args<'_>) -> Result<ArrayRef> {
    let (then, otherwise) = (args.full_array(1)?, args.full_array(2)?);
    Ok(zip(&args.booleans(0)?, &then, &otherwise)?)
}

/// The greatest or least; null if any is null.
fn extreme(args: &Args<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let mut result = args.full_array(0)?;
    let mut present = is_not_null(&result)?;
    for index in 1..args.len() {
        let next = args.full_array(index)?;
        let compare = make_comparator(&next, &result, SortOptions::default())?;
        let better = BooleanBuffer::collect_bool(args.rows, |row| compare(row, row) == wanted);
        present = and(&present, &is_not_null(&next)?)?;
        result = zip(&BooleanArray::new(better, None), &next, &result)?;
    }
    Ok(nullif(&result, &arrow::compute::not(&present)?)?)
}
