//! Functions on arrays and maps: nulls inside, nulls as the collection, empty ones. Expected values follow
//! from Flink's documentation.
//!
//! `values("ARRAY_APPEND", &[list(&[Some(1)]), int(Some(2))])` gives the result as text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, ListBuilder, MapBuilder, StringArray,
};
use arrow::array::{Int64Array, MapFieldNames, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::logical_expr::ColumnarValue;
use millstream_core::types;

use super::{render, run, three_rows};

fn list(elements: Option<&[Option<i32>]>) -> ArrayRef {
    let row = elements.map(<[_]>::to_vec);
    let list = arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>([row]);
    Arc::new(list)
}

fn texts(elements: Option<&[Option<&str>]>) -> ArrayRef {
    let mut out = ListBuilder::new(StringBuilder::new());
    match elements {
        Some(elements) => out.append_value(elements.iter().copied()),
        None => out.append_null(),
    }
    Arc::new(out.finish())
}

fn map(entries: Option<&[(&str, Option<&str>)]>) -> ArrayRef {
    let names = MapFieldNames {
        entry: "entries".into(),
        key: "key".into(),
        value: "value".into(),
    };
    let mut out = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(Field::new("key", DataType::Utf8, false));
    for (key, value) in entries.unwrap_or_default() {
        out.keys().append_value(key);
        out.values().append_option(*value);
    }
    out.append(entries.is_some()).unwrap();
    Arc::new(out.finish())
}

fn int(value: Option<i32>) -> ArrayRef {
    Arc::new(Int32Array::from(vec![value]))
}

fn long(value: Option<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn text(value: Option<&str>) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn truth(value: Option<bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(vec![value]))
}

/// The result of the first of three rows: the arguments, nulls, the arguments.
fn check(name: &str, args: &[ArrayRef], expected: &str) {
    let columns: Vec<ColumnarValue> = args
        .iter()
        .map(|array| ColumnarValue::Array(three_rows(array)))
        .collect();
    let found = match run(name, &columns) {
        Ok(array) => render(&array),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(found, expected, "{name} of {args:?}");
}

const ONE_NULL: &[Option<i32>] = &[Some(3), None, Some(1), Some(3), None];

#[test]
fn elements_are_added_and_taken_away() {
    let some = || list(Some(ONE_NULL));
    check(
        "ARRAY_APPEND",
        &[some(), int(Some(4))],
        "[3, NULL, 1, 3, NULL, 4]",
    );
    check(
        "ARRAY_APPEND",
        &[some(), int(None)],
        "[3, NULL, 1, 3, NULL, NULL]",
    );
    check("ARRAY_APPEND", &[list(Some(&[])), int(None)], "[NULL]");
    check("ARRAY_APPEND", &[list(None), int(Some(4))], "NULL");
    check(
        "ARRAY_PREPEND",
        &[some(), int(Some(4))],
        "[4, 3, NULL, 1, 3, NULL]",
    );
    check(
        "ARRAY_PREPEND",
        &[some(), int(None)],
        "[NULL, 3, NULL, 1, 3, NULL]",
    );
    check("ARRAY_PREPEND", &[list(None), int(None)], "NULL");
    check("ARRAY_REMOVE", &[some(), int(Some(3))], "[NULL, 1, NULL]");
    check("ARRAY_REMOVE", &[some(), int(None)], "[3, 1, 3]");
    check(
        "ARRAY_REMOVE",
        &[some(), int(Some(9))],
        "[3, NULL, 1, 3, NULL]",
    );
    check("ARRAY_REMOVE", &[list(Some(&[])), int(None)], "[]");
    check("ARRAY_REMOVE", &[list(None), int(Some(3))], "NULL");
    check("ARRAY_DISTINCT", &[some()], "[3, NULL, 1]");
    check("ARRAY_DISTINCT", &[list(Some(&[]))], "[]");
    check("ARRAY_DISTINCT", &[list(None)], "NULL");
    check("ARRAY_REVERSE", &[some()], "[NULL, 3, 1, NULL, 3]");
    check("ARRAY_REVERSE", &[list(None)], "NULL");
}

#[test]
fn arrays_meet() {
    let some = || list(Some(ONE_NULL));
    let other = || list(Some(&[Some(1), Some(2), None, Some(2)]));
    let plain = || list(Some(&[Some(1), Some(2)]));
    check("ARRAY_CONCAT", &[some()], "[3, NULL, 1, 3, NULL]");
    check(
        "ARRAY_CONCAT",
        &[plain(), list(Some(&[])), plain()],
        "[1, 2, 1, 2]",
    );
    check("ARRAY_CONCAT", &[plain(), list(None)], "NULL");
    check("ARRAY_UNION", &[some(), other()], "[3, NULL, 1, 2]");
    check("ARRAY_UNION", &[list(None), other()], "NULL");
    check("ARRAY_UNION", &[other(), list(None)], "NULL");
    check("ARRAY_EXCEPT", &[some(), other()], "[3]");
    check("ARRAY_EXCEPT", &[some(), plain()], "[3, NULL]");
    check("ARRAY_EXCEPT", &[plain(), plain()], "[]");
    check("ARRAY_EXCEPT", &[plain(), list(None)], "NULL");
    check("ARRAY_INTERSECT", &[some(), other()], "[NULL, 1]");
    check("ARRAY_INTERSECT", &[some(), plain()], "[1]");
    check("ARRAY_INTERSECT", &[some(), list(Some(&[]))], "[]");
    check("ARRAY_INTERSECT", &[list(None), plain()], "NULL");
}

#[test]
fn elements_are_found() {
    let some = || list(Some(ONE_NULL));
    check("ARRAY_CONTAINS", &[some(), int(Some(1))], "TRUE");
    check("ARRAY_CONTAINS", &[some(), int(Some(2))], "FALSE");
    check("ARRAY_CONTAINS", &[some(), int(None)], "TRUE");
    check(
        "ARRAY_CONTAINS",
        &[list(Some(&[Some(1)])), int(None)],
        "FALSE",
    );
    check("ARRAY_CONTAINS", &[list(None), int(Some(1))], "NULL");
    check("ARRAY_POSITION", &[some(), int(Some(1))], "3");
    check("ARRAY_POSITION", &[some(), int(Some(3))], "1");
    check("ARRAY_POSITION", &[some(), int(Some(2))], "0");
    check("ARRAY_POSITION", &[some(), int(None)], "NULL");
    check("ARRAY_POSITION", &[list(None), int(Some(1))], "NULL");
    check("ARRAY_MAX", &[some()], "3");
    check("ARRAY_MIN", &[some()], "1");
    check("ARRAY_MAX", &[list(Some(&[None]))], "NULL");
    check("ARRAY_MIN", &[list(Some(&[]))], "NULL");
    check("ARRAY_MAX", &[list(None)], "NULL");
    check("ELEMENT", &[list(Some(&[Some(7)]))], "7");
    check("ELEMENT", &[list(Some(&[None]))], "NULL");
    check("ELEMENT", &[list(Some(&[]))], "NULL");
    check("ELEMENT", &[list(None)], "NULL");
    check(
        "ELEMENT",
        &[some()],
        "error: `ELEMENT`: found 5 values, expected one",
    );
    check(
        "SINGLE_VALUE",
        &[some()],
        "error: `SINGLE_VALUE`: found 5 values, expected one",
    );
    check("CARDINALITY", &[some()], "5");
    check("CARDINALITY", &[list(Some(&[]))], "0");
    check("CARDINALITY", &[list(None)], "NULL");
    check("ITEM", &[some(), long(Some(1))], "3");
    check("ITEM", &[some(), long(Some(2))], "NULL");
    check("ITEM", &[some(), long(Some(6))], "NULL");
    check("ITEM", &[some(), long(Some(0))], "NULL");
    check("ITEM", &[some(), long(Some(-1))], "NULL");
    check("ITEM", &[some(), long(None)], "NULL");
}

#[test]
fn parts_of_arrays() {
    let some = || list(Some(&[Some(1), None, Some(3), Some(4)]));
    for (from, to, expected) in [
        (1, 2, "[1, NULL]"),
        (0, 2, "[1, NULL]"),
        (3, 9, "[3, 4]"),
        (-2, -1, "[3, 4]"),
        (-9, 2, "[1, NULL]"),
        (3, 2, "[]"),
        (5, 9, "[]"),
        // As in Flink, an end of 0 is the first element.
        (1, 0, "[1]"),
        (0, 0, "[1]"),
        (1, -5, "[1]"),
        (1, -6, "[]"),
        (2, 0, "[]"),
        (i64::MIN, i64::MAX, "[1, NULL, 3, 4]"),
    ] {
        let args = [some(), long(Some(from)), long(Some(to))];
        check("ARRAY_SLICE", &args, expected);
    }
    check("ARRAY_SLICE", &[some(), long(Some(-2))], "[3, 4]");
    check("ARRAY_SLICE", &[some(), long(Some(2))], "[NULL, 3, 4]");
    check("ARRAY_SLICE", &[some(), long(None)], "NULL");
    check("ARRAY_SLICE", &[some(), long(Some(1)), long(None)], "NULL");
    check("ARRAY_SLICE", &[list(Some(&[])), long(Some(1))], "[]");
    check("ARRAY_SLICE", &[list(None), long(Some(1))], "NULL");
}

#[test]
fn arrays_in_order() {
    let some = || list(Some(ONE_NULL));
    let (yes, no) = (|| truth(Some(true)), || truth(Some(false)));
    check("ARRAY_SORT", &[some()], "[NULL, NULL, 1, 3, 3]");
    check("ARRAY_SORT", &[some(), yes()], "[NULL, NULL, 1, 3, 3]");
    check("ARRAY_SORT", &[some(), no()], "[3, 3, 1, NULL, NULL]");
    check(
        "ARRAY_SORT",
        &[some(), yes(), no()],
        "[1, 3, 3, NULL, NULL]",
    );
    check(
        "ARRAY_SORT",
        &[some(), no(), yes()],
        "[NULL, NULL, 3, 3, 1]",
    );
    check("ARRAY_SORT", &[some(), truth(None)], "NULL");
    check("ARRAY_SORT", &[some(), yes(), truth(None)], "NULL");
    check("ARRAY_SORT", &[list(Some(&[]))], "[]");
    check("ARRAY_SORT", &[list(None)], "NULL");
    let words = || texts(Some(&[Some("b"), None, Some("é"), Some("")]));
    check("ARRAY_SORT", &[words()], "[NULL, , b, é]");
    check("ARRAY_JOIN", &[words(), text(Some("-"))], "b-é-");
    check(
        "ARRAY_JOIN",
        &[words(), text(Some("-")), text(Some("?"))],
        "b-?-é-",
    );
    check("ARRAY_JOIN", &[words(), text(None)], "NULL");
    check(
        "ARRAY_JOIN",
        &[words(), text(Some("-")), text(None)],
        "NULL",
    );
    check("ARRAY_JOIN", &[texts(Some(&[])), text(Some("-"))], "");
    check("ARRAY_JOIN", &[texts(Some(&[None])), text(Some("-"))], "");
    check("ARRAY_JOIN", &[texts(None), text(Some("-"))], "NULL");
}

#[test]
fn maps_and_their_parts() {
    let some = || map(Some(&[("a", Some("1")), ("b", None)]));
    let other = || map(Some(&[("b", Some("2")), ("c", Some("3"))]));
    check("CARDINALITY", &[some()], "2");
    check("CARDINALITY", &[map(None)], "NULL");
    check("MAP_KEYS", &[some()], "[a, b]");
    check("MAP_VALUES", &[some()], "[1, NULL]");
    check("MAP_ENTRIES", &[some()], "[(a, 1), (b, NULL)]");
    check("MAP_ENTRIES", &[map(Some(&[]))], "[]");
    for name in ["MAP_KEYS", "MAP_VALUES", "MAP_ENTRIES"] {
        check(name, &[map(None)], "NULL");
    }
    check("MAP_UNION", &[some()], "{a=1, b=NULL}");
    check("MAP_UNION", &[some(), other()], "{a=1, b=2, c=3}");
    check("MAP_UNION", &[other(), some()], "{c=3, a=1, b=NULL}");
    check("MAP_UNION", &[some(), map(Some(&[])), map(None)], "NULL");
    check("ITEM", &[some(), text(Some("a"))], "1");
    check("ITEM", &[some(), text(Some("b"))], "NULL");
    check("ITEM", &[some(), text(Some("x"))], "NULL");
    check("ITEM", &[some(), text(None)], "NULL");
    let keys = || texts(Some(&[Some("x"), Some("y")]));
    let values = || list(Some(&[Some(1), None]));
    check("MAP_FROM_ARRAYS", &[keys(), values()], "{x=1, y=NULL}");
    check("MAP_FROM_ARRAYS", &[texts(None), values()], "NULL");
    check("MAP_FROM_ARRAYS", &[keys(), list(None)], "NULL");
    check(
        "MAP_FROM_ARRAYS",
        &[texts(Some(&[])), list(Some(&[]))],
        "{}",
    );
    check(
        "MAP_FROM_ARRAYS",
        &[keys(), list(Some(&[Some(1)]))],
        "error: `MAP_FROM_ARRAYS`: found 2 keys and 1 values",
    );
    assert_eq!(
        some().data_type(),
        &types::map(DataType::Utf8, DataType::Utf8)
    );
}
