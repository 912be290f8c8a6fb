//! Functions of angles, and the constants PI and E. All in double precision.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use millstream_core::Result;

use super::args::{Args, build_numbers};
use super::definition::{Function, Kind, Returns};
use super::text::plain;

type Computes = fn(&Args<'_>) -> Result<ArrayRef>;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    let of_one: [(&'static str, Computes); 12] = [
        ("SIN", |a| map(a, f64::sin)),
        ("COS", |a| map(a, f64::cos)),
        ("TAN", |a| map(a, f64::tan)),
        ("COT", |a| map(a, |x| 1.0 / x.tan())),
        ("ASIN", |a| map(a, f64::asin)),
        ("ACOS", |a| map(a, f64::acos)),
        ("ATAN", |a| map(a, f64::atan)),
        ("SINH", |a| map(a, f64::sinh)),
        ("COSH", |a| map(a, f64::cosh)),
        ("TANH", |a| map(a, f64::tanh)),
        ("DEGREES", |a| map(a, f64::to_degrees)),
        ("RADIANS", |a| map(a, f64::to_radians)),
    ];
    let double = Returns::Double;
    let functions = of_one.into_iter();
    let functions = functions.map(|(name, of)| plain(name, (&[Kind::Double], 1, 1), double, of));
    let mut functions: Vec<Function> = functions.collect();
    functions.extend([
        plain("ATAN2", (&[Kind::Double], 2, 2), double, atan2),
        plain("PI", (&[Kind::Double], 0, 0), double, |a| {
            constant(a, std::f64::consts::PI)
        }),
        plain("E", (&[Kind::Double], 0, 0), double, |a| {
            constant(a, std::f64::consts::E)
        }),
    ]);
    functions
}

fn map(args: &Args<'_>, each: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let input = args.doubles(0)?;
    Ok(build_numbers::<arrow::datatypes::Float64Type>(
        args.rows,
        |row| Some(each(input.get(row)?)),
    ))
}

fn atan2(args: &Args<'_>) -> Result<ArrayRef> {
    let (y, x) = (args.doubles(0)?, args.doubles(1)?);
    Ok(build_numbers::<arrow::datatypes::Float64Type>(
        args.rows,
        |row| Some(y.get(row)?.atan2(x.get(row)?)),
    ))
}

fn constant(args: &Args<'_>, value: f64) -> Result<ArrayRef> {
    Ok(Arc::new(Float64Array::from_value(value, args.rows)))
}
