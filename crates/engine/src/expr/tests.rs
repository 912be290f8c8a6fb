//! Expressions over one batch; results as text, a `|` between rows.

mod casts;
mod operators;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array};
use arrow::array::{Int32Array, Int64Array, StringArray, StructArray, TimestampMillisecondArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::record_batch::RecordBatch;
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};

use super::{CompiledExpr, cast_for_tests};

/// Three rows; the last of each column but `n` is null.
fn rows() -> RecordBatch {
    let geo_fields = Fields::from(vec![Field::new("city", DataType::Utf8, true)]);
    let cities: ArrayRef = Arc::new(StringArray::from(vec![Some("Oslo"), None, Some("hidden")]));
    let present = NullBuffer::from(vec![true, true, false]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "i",
            Arc::new(Int32Array::from(vec![Some(7), Some(-7), None])),
        ),
        ("n", Arc::new(Int64Array::from(vec![2, 0, 3]))),
        (
            "d",
            Arc::new(Float64Array::from(vec![Some(1.5), Some(-0.0), None])),
        ),
        (
            "s",
            Arc::new(StringArray::from(vec![Some(" 12 "), Some("x_y"), None])),
        ),
        (
            "b",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "t",
            Arc::new(TimestampMillisecondArray::from(vec![
                Some(1_750_000_000_123),
                Some(-1),
                None,
            ])),
        ),
        (
            "m",
            Arc::new(
                Decimal128Array::from(vec![Some(1_250), Some(-300), None])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        (
            "geo",
            Arc::new(StructArray::new(geo_fields, vec![cities], Some(present))),
        ),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn column(name: &str) -> Expr {
    let rows = rows();
    let index = rows.schema().index_of(name).unwrap();
    Expr::column(index, name, rows.column(index).data_type().clone())
}

fn long(value: i64) -> Expr {
    Expr::literal(Literal::Int(value), DataType::Int64)
}

fn text(value: &str) -> Expr {
    Expr::literal(Literal::String(value.into()), DataType::Utf8)
}

fn boolean(kind: ExprKind) -> Expr {
    let data_type = DataType::Boolean;
    Expr { kind, data_type }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let data_type = left.data_type.clone();
    Expr::binary(op, left, right, data_type)
}

fn compare(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::binary(op, left, right, DataType::Boolean)
}

fn render(array: &ArrayRef) -> String {
    let texts = cast_for_tests(array, &DataType::Utf8).unwrap();
    let texts = texts.as_string::<i32>().iter();
    let texts: Vec<&str> = texts.map(|text| text.unwrap_or("NULL")).collect();
    texts.join("|")
}

/// Evaluates over [`rows`].
fn check(expr: &Expr, expected: &str) {
    let rows = rows();
    let found = CompiledExpr::compile(expr, &rows.schema()).and_then(|compiled| {
        assert_eq!(compiled.data_type(), &expr.data_type);
        // No rows must work too.
        assert_eq!(
            compiled
                .evaluate(&rows.slice(0, 0))
                .map_or(0, |it| it.len()),
            0
        );
        compiled.evaluate(&rows)
    });
    let found = match found {
        Ok(array) => render(&array),
        Err(error) => format!("{}: {error}", error.kind()),
    };
    assert_eq!(found, expected, "{expr}");
}

#[test]
fn a_bare_column_is_shared() {
    let rows = rows();
    let compiled = CompiledExpr::compile(&column("n"), &rows.schema()).unwrap();
    let result = compiled.evaluate(&rows).unwrap();
    assert!(Arc::ptr_eq(&result, rows.column(1)));
    assert_eq!(compiled.as_column(), Some(1));
}

#[test]
fn constants_are_computed_once() {
    let sum = binary(BinaryOp::Add, long(1), long(2));
    check(&sum, "3|3|3");
    let schema = rows().schema();
    let compiled = CompiledExpr::compile(&sum, &schema).unwrap();
    assert!(matches!(compiled.body, super::Body::Constant(_)));
    // What fails stays as it is: no row may ever reach it.
    let fails = binary(BinaryOp::Divide, long(1), long(0));
    let error = "invalid input: evaluating `(1 / 0)`: division by zero";
    check(&fails, error);
}

#[test]
fn masks_treat_null_as_false() {
    let rows = rows();
    let schema = rows.schema();
    let compiled = CompiledExpr::compile(&column("b"), &schema).unwrap();
    let predicate = compiled.evaluate_predicate(&rows).unwrap();
    assert_eq!(
        predicate,
        BooleanArray::from(vec![Some(true), Some(false), None])
    );
    let mask = compiled.filter_mask(&rows).unwrap();
    assert_eq!(mask, BooleanArray::from(vec![true, false, false]));
    let not_boolean = CompiledExpr::compile(&column("n"), &schema).unwrap();
    assert!(not_boolean.filter_mask(&rows).is_err());
}

#[test]
fn plans_that_do_not_fit_are_bugs() {
    let wrong = Expr::column(0, "i", DataType::Utf8);
    check(
        &wrong,
        "bug: compiling `i`: column 0 `i`: found Int32, expected Utf8",
    );
    let missing = Expr::column(99, "zz", DataType::Utf8);
    check(
        &missing,
        "bug: compiling `zz`: column 99 `zz`: found no such column, expected Utf8",
    );
    let unknown = Expr::call("NO_SUCH", vec![], DataType::Utf8);
    check(
        &unknown,
        "bug: compiling `NO_SUCH()`: function `NO_SUCH` is not known",
    );
    let misfit = Expr::literal(Literal::Int(300), DataType::Int8);
    check(&misfit, "bug: compiling `300`: `300` is no Int8");
}
