//! Constants of a plan as scalar values of their Arrow type.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use millstream_core::expr::Literal;
use millstream_core::{Error, Result};

use crate::function::from_datafusion;

/// The value of `literal` as `data_type`.
///
/// # Errors
/// `Bug` if the type cannot hold the constant.
pub(super) fn scalar(literal: &Literal, data_type: &DataType) -> Result<ScalarValue> {
    let misfit = || Error::bug(format!("`{literal}` is no {data_type}"));
    Ok(match (literal, data_type) {
        (Literal::Null, _) => ScalarValue::try_from(data_type).map_err(from_datafusion)?,
        (Literal::Boolean(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Literal::Int(value), _) => integer(*value, data_type).ok_or_else(misfit)?,
        (Literal::Float(value), DataType::Float64) => ScalarValue::Float64(Some(*value)),
        (Literal::Float(value), DataType::Float32) => ScalarValue::Float32(Some(*value as f32)),
        (Literal::Decimal(value), DataType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        (Literal::String(value), DataType::Utf8) => ScalarValue::Utf8(Some(value.clone())),
        (Literal::Bytes(value), DataType::Binary) => ScalarValue::Binary(Some(value.clone())),
        (Literal::Date(days), DataType::Date32) => ScalarValue::Date32(Some(*days)),
        (Literal::Time(ms), DataType::Time32(TimeUnit::Millisecond)) => {
            ScalarValue::Time32Millisecond(Some(*ms))
        }
        (Literal::Timestamp(value), DataType::Timestamp(unit, zone)) => {
            timestamp(*value, *unit, zone.as_ref().map(Arc::clone))
        }
        (Literal::Interval(ms), DataType::Duration(TimeUnit::Millisecond)) => {
            ScalarValue::DurationMillisecond(Some(*ms))
        }
        _ => return Err(misfit()),
    })
}

fn integer(value: i64, data_type: &DataType) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::Int8 => ScalarValue::Int8(Some(i8::try_from(value).ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(i16::try_from(value).ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(value).ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value)),
        _ => return None,
    })
}

fn timestamp(value: i64, unit: TimeUnit, zone: Option<Arc<str>>) -> ScalarValue {
    match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(Some(value), zone),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(value), zone),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(value), zone),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(value), zone),
    }
}
