//! A source's filter as a predicate of the `iceberg` crate, by which manifests and files are left out.
//! What has no counterpart there is left away: the rows are filtered again.

use arrow::datatypes::{DataType, TimeUnit};
use iceberg::expr::{Predicate, Reference};
use iceberg::spec::{Datum, PrimitiveType, Schema, Type};
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};

/// A predicate that holds wherever `filter` does; `None` if nothing can be said. `columns` are those of
/// the table, found by the names that the filter's columns have.
pub(super) fn implied(filter: &Expr, columns: &Schema) -> Option<Predicate> {
    match &filter.kind {
        ExprKind::Binary { op, left, right } => match op {
            BinaryOp::And => match (implied(left, columns), implied(right, columns)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (left, right) => left.or(right),
            },
            BinaryOp::Or => Some(implied(left, columns)?.or(implied(right, columns)?)),
            _ => compared((left, *op, right), columns),
        },
        ExprKind::IsNull { input, negated } => {
            let reference = Reference::new(column(input, columns)?.0);
            Some(match negated {
                false => reference.is_null(),
                true => reference.is_not_null(),
            })
        }
        ExprKind::InList {
            input,
            list,
            negated: false,
        } => {
            let (name, primitive) = column(input, columns)?;
            let values = list.iter().map(|value| datum(value, primitive));
            let values: Option<Vec<Datum>> = values.collect();
            Some(Reference::new(name).is_in(values?))
        }
        _ => None,
    }
}

fn compared((left, op, right): (&Expr, BinaryOp, &Expr), columns: &Schema) -> Option<Predicate> {
    let (found, op, value) = match column(left, columns) {
        Some(found) => (found, op, right),
        None => (column(right, columns)?, swapped(op)?, left),
    };
    let (name, primitive) = found;
    let reference = Reference::new(name);
    if let (Some((low, high)), ExprKind::Literal(_)) = (bounds(value, primitive), &value.kind) {
        return match op {
            BinaryOp::Equal => {
                let from = reference.clone().greater_than_or_equal_to(low);
                Some(from.and(reference.less_than_or_equal_to(high)))
            }
            BinaryOp::Less | BinaryOp::LessOrEqual => Some(reference.less_than_or_equal_to(high)),
            BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                Some(reference.greater_than_or_equal_to(low))
            }
            _ => None,
        };
    }
    let value = datum(value, primitive)?;
    match op {
        BinaryOp::Equal => Some(reference.equal_to(value)),
        BinaryOp::Less => Some(reference.less_than(value)),
        BinaryOp::LessOrEqual => Some(reference.less_than_or_equal_to(value)),
        BinaryOp::Greater => Some(reference.greater_than(value)),
        BinaryOp::GreaterOrEqual => Some(reference.greater_than_or_equal_to(value)),
        _ => None,
    }
}

/// `a op b` as `b … a`.
fn swapped(op: BinaryOp) -> Option<BinaryOp> {
    match op {
        BinaryOp::Equal => Some(BinaryOp::Equal),
        BinaryOp::Less => Some(BinaryOp::Greater),
        BinaryOp::LessOrEqual => Some(BinaryOp::GreaterOrEqual),
        BinaryOp::Greater => Some(BinaryOp::Less),
        BinaryOp::GreaterOrEqual => Some(BinaryOp::LessOrEqual),
        _ => None,
    }
}

fn column<'a>(expr: &'a Expr, columns: &'a Schema) -> Option<(&'a str, &'a PrimitiveType)> {
    let ExprKind::Column { name, .. } = &expr.kind else {
        return None;
    };
    match &*columns.field_by_name(name)?.field_type {
        Type::Primitive(primitive) => Some((name, primitive)),
        _ => None,
    }
}

/// A constant as a value of a column's type; `None` if it has none that means the same.
fn datum(expr: &Expr, column: &PrimitiveType) -> Option<Datum> {
    let ExprKind::Literal(literal) = &expr.kind else {
        return None;
    };
    match (column, literal) {
        (PrimitiveType::Int, Literal::Int(value)) => Some(Datum::int(i32::try_from(*value).ok()?)),
        (PrimitiveType::Long, Literal::Int(value)) => Some(Datum::long(*value)),
        (PrimitiveType::Double, Literal::Float(value)) if !value.is_nan() => {
            Some(Datum::double(*value))
        }
        (PrimitiveType::String, Literal::String(text)) => Some(Datum::string(text)),
        (PrimitiveType::Boolean, Literal::Boolean(value)) => Some(Datum::bool(*value)),
        (PrimitiveType::Date, Literal::Date(days)) => Some(Datum::date(*days)),
        _ => None,
    }
}

/// Between which values of a time column, in microseconds, a value lies that is read as this constant:
/// what is read in milliseconds has lost up to 999 of them.
fn bounds(expr: &Expr, column: &PrimitiveType) -> Option<(Datum, Datum)> {
    let of = match column {
        PrimitiveType::Timestamp => Datum::timestamp_micros,
        PrimitiveType::Timestamptz => Datum::timestamptz_micros,
        _ => return None,
    };
    let ExprKind::Literal(Literal::Timestamp(value)) = &expr.kind else {
        return None;
    };
    let (low, high) = match expr.data_type {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let micros = value.checked_mul(1_000)?;
            (micros.checked_sub(999)?, micros.checked_add(999)?)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => (*value, *value),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let micros = value.div_euclid(1_000);
            (micros, micros + 1)
        }
        _ => return None,
    };
    Some((of(low), of(high)))
}

#[cfg(test)]
mod tests {
    use iceberg::spec::NestedField;
    use millstream_core::types;

    use super::*;

    fn columns() -> Schema {
        let fields = [
            ("id", PrimitiveType::Long),
            ("page", PrimitiveType::String),
            ("time", PrimitiveType::Timestamptz),
        ];
        let fields = (1..).zip(fields).map(|(id, (name, primitive))| {
            NestedField::optional(id, name, Type::Primitive(primitive)).into()
        });
        Schema::builder().with_fields(fields).build().unwrap()
    }

    fn compare(name: &str, op: BinaryOp, literal: Literal, data_type: DataType) -> Expr {
        let column = Expr::column(0, name, data_type.clone());
        Expr::binary(
            op,
            column,
            Expr::literal(literal, data_type),
            DataType::Boolean,
        )
    }

    fn text(filter: &Expr) -> Option<String> {
        implied(filter, &columns()).map(|predicate| predicate.to_string())
    }

    #[test]
    fn conditions_on_columns_become_predicates() {
        let id = |op, value| compare("id", op, Literal::Int(value), DataType::Int64);
        let page = compare(
            "page",
            BinaryOp::Equal,
            Literal::String("/a".into()),
            DataType::Utf8,
        );
        let unknown = compare("other", BinaryOp::Equal, Literal::Int(1), DataType::Int64);
        let joined =
            |op, a: &Expr, b: &Expr| Expr::binary(op, a.clone(), b.clone(), DataType::Boolean);
        let more = id(BinaryOp::Greater, 5);
        assert_eq!(text(&more).as_deref(), Some("id > 5"));
        let both = joined(BinaryOp::And, &more, &page);
        assert_eq!(text(&both).as_deref(), Some("(id > 5) AND (page = \"/a\")"));
        // Of a conjunction the known half, of a disjunction nothing.
        assert_eq!(
            text(&joined(BinaryOp::And, &more, &unknown)).as_deref(),
            Some("id > 5")
        );
        assert_eq!(text(&joined(BinaryOp::Or, &more, &unknown)), None);
    }

    #[test]
    fn times_that_are_read_in_milliseconds_get_a_margin() {
        let at = |op| compare("time", op, Literal::Timestamp(7), types::timestamp_ltz(3));
        let range = |filter: &Expr| text(filter).unwrap();
        let equal = range(&at(BinaryOp::Equal));
        assert!(
            equal.contains("00:00:00.006001") && equal.contains("00:00:00.007999"),
            "{equal}"
        );
        let before = range(&at(BinaryOp::Less));
        assert!(
            before.contains("<=") && before.contains("00:00:00.007999"),
            "{before}"
        );
    }
}
