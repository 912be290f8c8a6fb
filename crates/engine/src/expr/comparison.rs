//! Comparing floating-point numbers as Java and IEEE 754 do: 0.0 equals -0.0, and nothing equals
//! NaN. Arrow compares them by total order.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use millstream_core::Result;
use millstream_core::expr::BinaryOp;

use crate::function::{Args, Kernel, build_booleans};

/// The kernel of `args[0] op args[1]` for FLOAT and DOUBLE; none if `op` compares nothing.
pub(super) fn kernel(op: BinaryOp) -> Option<Kernel> {
    let compare: fn(f64, f64) -> bool = match op {
        BinaryOp::Equal => |a, b| a == b,
        BinaryOp::NotEqual => |a, b| a != b,
        BinaryOp::Less => |a, b| a < b,
        BinaryOp::LessOrEqual => |a, b| a <= b,
        BinaryOp::Greater => |a, b| a > b,
        BinaryOp::GreaterOrEqual => |a, b| a >= b,
        BinaryOp::IsNotDistinctFrom => return Some(Arc::new(|args| distinct(args, false))),
        BinaryOp::IsDistinctFrom => return Some(Arc::new(|args| distinct(args, true))),
        _ => return None,
    };
    Some(Arc::new(move |args| {
        let (left, right) = (args.doubles(0)?, args.doubles(1)?);
        Ok(build_booleans(args.rows, |row| {
            Some(compare(left.get(row)?, right.get(row)?))
        }))
    }))
}

fn distinct(args: &Args<'_>, wanted: bool) -> Result<ArrayRef> {
    let (left, right) = (args.doubles(0)?, args.doubles(1)?);
    let values =
        BooleanBuffer::collect_bool(args.rows, |row| (left.get(row) != right.get(row)) == wanted);
    Ok(Arc::new(BooleanArray::new(values, None)))
}
