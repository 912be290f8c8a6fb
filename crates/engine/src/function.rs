//! Flink's scalar functions, for pipelines and for ad-hoc queries.
//!
//! Each function is a [`Function`]: its Flink name, its parameters and a kernel that computes one
//! batch column by column. A compiled pipeline prepares the kernel once for a call
//! ([`prepare`]); the query engine sees the same function as a [`ScalarUDF`] ([`all`]), under its
//! name in lower case, in place of a built-in function of that name.
//!
//! Differences from Flink:
//! - Regular expressions have Java's syntax without look-around, back-references and possessive
//!   quantifiers. A constant pattern that does not compile is an error when the pipeline is made;
//!   one that comes from a column gives null in that row, as in Flink.
//! - The session's time zone is UTC.

mod args;
pub(crate) mod arithmetic;
mod calendar;
mod collection;
mod conditional;
mod definition;
mod encoding;
mod hash;
mod json;
mod map;
mod math;
mod nested;
mod parts;
mod pattern;
mod printf;
mod regexp;
mod search;
mod text;
mod time;
mod timestamp;
mod trigonometry;
mod udf;

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use millstream_core::{Error, Result};

use definition::{Call, Function};

pub(crate) use args::{Args, Kernel, build_booleans, build_texts, from_datafusion};
pub(crate) use args::{ticks_per_second, to_datafusion};
pub(crate) use calendar::{Date, Instant, SECONDS_PER_DAY};
pub(crate) use math::{Rounding, decimal_of_double, parse_double, rescale};
pub(crate) use timestamp::write_timestamp;
pub(crate) use timestamp::{parse_date, parse_time, parse_timestamp, write_date, write_time};

static FUNCTIONS: LazyLock<Vec<Function>> = LazyLock::new(|| {
    [
        text::functions(),
        search::functions(),
        regexp::functions(),
        parts::functions(),
        printf::functions(),
        encoding::functions(),
        json::functions(),
        hash::functions(),
        math::functions(),
        trigonometry::functions(),
        time::functions(),
        conditional::functions(),
        nested::functions(),
        collection::functions(),
        map::functions(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// Flink's scalar functions as DataFusion functions, under their names in lower case.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    FUNCTIONS.iter().map(as_udf).collect()
}

/// The function called `name` (in any case) as a DataFusion function.
pub fn lookup(name: &str) -> Option<Arc<ScalarUDF>> {
    find(name).map(as_udf)
}

/// The kernel of `name` for a call with these arguments: the value where one is constant.
///
/// # Errors
/// An unknown name, a wrong number of arguments, or a constant that no row could be computed with,
/// such as a regular expression that does not compile.
pub(crate) fn prepare(name: &str, constants: &[Option<ScalarValue>]) -> Result<Kernel> {
    let function =
        find(name).ok_or_else(|| Error::bug(format!("function `{name}` is not known")))?;
    function.check_count(constants.len())?;
    function.prepare(&Call { constants })
}

/// Computes `kernel` over `values` for a batch of `rows`. Constant arguments give a constant.
pub(crate) fn evaluate(
    kernel: &Kernel,
    values: &[ColumnarValue],
    rows: usize,
    return_type: &DataType,
) -> Result<ColumnarValue> {
    let is_constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
    let constant = values.iter().all(is_constant);
    let args = Args {
        values,
        rows: if constant { 1 } else { rows },
        return_type,
    };
    let result = conform(kernel(&args)?, return_type)?;
    if !constant {
        return Ok(ColumnarValue::Array(result));
    }
    let value = ScalarValue::try_from_array(&result, 0).map_err(from_datafusion)?;
    Ok(ColumnarValue::Scalar(value))
}

/// Kernels compute in the widest type; the plan says which one it wants.
fn conform(result: ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let found = result.data_type();
    if found == wanted {
        return Ok(result);
    }
    let alike = (found.is_numeric() && wanted.is_numeric())
        || matches!(
            (found, wanted),
            (DataType::Timestamp(..), DataType::Timestamp(..))
        );
    if !alike {
        return Err(Error::bug(format!("found {found}, expected {wanted}")));
    }
    if let Some(longs) = result.as_primitive_opt::<Int64Type>() {
        // As Java's narrowing: the absolute value of the least INT is itself.
        return Ok(match wanted {
            DataType::Int8 => Arc::new(longs.unary::<_, Int8Type>(|value| value as i8)),
            DataType::Int16 => Arc::new(longs.unary::<_, Int16Type>(|value| value as i16)),
            DataType::Int32 => Arc::new(longs.unary::<_, Int32Type>(|value| value as i32)),
            _ => arrow::compute::cast(&result, wanted)?,
        });
    }
    Ok(arrow::compute::cast(&result, wanted)?)
}

fn find(name: &str) -> Option<&'static Function> {
    let same = |function: &&Function| function.name.eq_ignore_ascii_case(name);
    FUNCTIONS.iter().find(same)
}

fn as_udf(function: &'static Function) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(udf::FlinkFunction::new(function)))
}

#[cfg(test)]
mod tests;
