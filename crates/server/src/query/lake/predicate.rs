//! A query's filters as a predicate of the `iceberg` crate, by which manifests, files and row groups are
//! left out. What has no counterpart there is left away: DataFusion filters the rows again.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use iceberg::expr::{Predicate, Reference};
use iceberg::spec::{Datum, PrimitiveType, Schema, Type};

/// What must hold if all of `filters` do; `None` if nothing can be said.
pub fn of_filters(filters: &[Expr], columns: &Schema) -> Option<Predicate> {
    let known = filters.iter().filter_map(|filter| implied(filter, columns));
    known.reduce(Predicate::and)
}

/// A predicate that holds wherever `filter` does.
fn implied(filter: &Expr, columns: &Schema) -> Option<Predicate> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => match (implied(left, columns), implied(right, columns)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (left, right) => left.or(right),
            },
            Operator::Or => Some(implied(left, columns)?.or(implied(right, columns)?)),
            _ => compared((left, *op, right), columns),
        },
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => {
            let low = compared((expr, Operator::GtEq, low), columns);
            let high = compared((expr, Operator::LtEq, high), columns);
            match (low, high) {
                (Some(low), Some(high)) => Some(low.and(high)),
                (low, high) => low.or(high),
            }
        }
        Expr::InList(list) if !list.negated => {
            let (name, column) = column(&list.expr, columns)?;
            let values = list.list.iter().map(|value| datum(value, column));
            let values: Option<Vec<Datum>> = values.collect();
            Some(Reference::new(name).is_in(values?))
        }
        Expr::IsNull(inner) => Some(Reference::new(column(inner, columns)?.0).is_null()),
        Expr::IsNotNull(inner) => Some(Reference::new(column(inner, columns)?.0).is_not_null()),
        _ => None,
    }
}

fn compared((left, op, right): (&Expr, Operator, &Expr), columns: &Schema) -> Option<Predicate> {
    let (found, op, value) = match column(left, columns) {
        Some(found) => (found, op, right),
        None => (column(right, columns)?, op.swap()?, left),
    };
    let (name, primitive) = found;
    let value = datum(value, primitive)?;
    let reference = Reference::new(name);
    match op {
        Operator::Eq => Some(reference.equal_to(value)),
        Operator::Lt => Some(reference.less_than(value)),
        Operator::LtEq => Some(reference.less_than_or_equal_to(value)),
        Operator::Gt => Some(reference.greater_than(value)),
        Operator::GtEq => Some(reference.greater_than_or_equal_to(value)),
        _ => None,
    }
}

fn column<'a>(expr: &'a Expr, columns: &'a Schema) -> Option<(&'a str, &'a PrimitiveType)> {
    let Expr::Column(column) = expr else {
        return None;
    };
    let field = columns.field_by_name(&column.name)?;
    match &*field.field_type {
        Type::Primitive(primitive) => Some((&column.name, primitive)),
        _ => None,
    }
}

/// A constant as a value of a column's type; `None` if it has none that means the same.
fn datum(expr: &Expr, column: &PrimitiveType) -> Option<Datum> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    match column {
        PrimitiveType::Int => Some(Datum::int(i32::try_from(whole(value)?).ok()?)),
        PrimitiveType::Long => Some(Datum::long(whole(value)?)),
        PrimitiveType::Date => match value {
            ScalarValue::Date32(Some(days)) => Some(Datum::date(*days)),
            _ => None,
        },
        PrimitiveType::Timestamp => micros(value).map(Datum::timestamp_micros),
        PrimitiveType::Timestamptz => micros(value).map(Datum::timestamptz_micros),
        PrimitiveType::Double => match value {
            ScalarValue::Float64(Some(value)) if !value.is_nan() => Some(Datum::double(*value)),
            _ => None,
        },
        PrimitiveType::Boolean => match value {
            ScalarValue::Boolean(Some(value)) => Some(Datum::bool(*value)),
            _ => None,
        },
        PrimitiveType::String => match value {
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)) => Some(Datum::string(text)),
            _ => None,
        },
        _ => None,
    }
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt8(value) => value.map(i64::from),
        ScalarValue::UInt16(value) => value.map(i64::from),
        ScalarValue::UInt32(value) => value.map(i64::from),
        _ => None,
    }
}

/// A time in microseconds, if it is a whole number of them.
fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampSecond(Some(value), _) => value.checked_mul(1_000_000),
        ScalarValue::TimestampMillisecond(Some(value), _) => value.checked_mul(1_000),
        ScalarValue::TimestampMicrosecond(Some(value), _) => Some(*value),
        ScalarValue::TimestampNanosecond(Some(value), _) if value % 1_000 == 0 => {
            Some(value / 1_000)
        }
        _ => None,
    }
}
