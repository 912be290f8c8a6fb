//! Functions on numbers, arrays and maps.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, ListArray, MapBuilder, StringBuilder};
use arrow::datatypes::Int64Type;
use datafusion::logical_expr::ColumnarValue;

use super::{check, parse, render, run};

#[test]
fn rounding() {
    check("ROUND(1.005, 2)", "1.01");
    check("ROUND(-2.5)", "-3.0");
    check("ROUND(2.675, 2i)", "2.68");
    check("ROUND(1234.5, -2)", "1200.0");
    check("ROUND(15, -1)", "20");
    check("ROUND(15, 3)", "15");
    check("ROUND(-15, -1)", "-20");
    check("ROUND(NULL:DOUBLE, 2)", "NULL");
    check("ROUND(1.5, NULL:BIGINT)", "NULL");
    check("ROUND(DECIMAL '1.255', 2)", "1.260");
    check("ROUND(DECIMAL '-1.255', 2)", "-1.260");
    check("ROUND(DECIMAL '155.000', -1)", "160.000");
    check("ROUND(DECIMAL '1.255', 9)", "1.255");
    check("TRUNCATE(1.987, 2)", "1.98");
    check("TRUNCATE(-1.987, 1)", "-1.9");
    check("TRUNCATE(199, -2)", "100");
    check("TRUNCATE(DECIMAL '-1.259', 2)", "-1.250");
    check("CEIL(1.2)", "2.0");
    check("CEIL(-1.2)", "-1.0");
    check("FLOOR(-1.2)", "-2.0");
    check("CEIL(7)", "7");
    check("CEIL(DECIMAL '1.001')", "2.000");
    check("FLOOR(DECIMAL '-1.001')", "-2.000");
}

#[test]
fn signs() {
    check("ABS(-3)", "3");
    check("ABS(-3i)", "3");
    check("ABS(-3.5)", "3.5");
    check("ABS(DECIMAL '-3.5')", "3.500");
    check("ABS(-9223372036854775808)", "-9223372036854775808");
    check("ABS(-2147483648i)", "-2147483648");
    check("SIGN(-3)", "-1");
    check("SIGN(0.0)", "0.0");
    check("SIGN(-0.5)", "-1.0");
    check("SIGN(DECIMAL '-3.5')", "-1.000");
}

#[test]
fn powers_and_logarithms() {
    check("SQRT(9.0)", "3.0");
    check("SQRT(-1.0)", "NaN");
    check("POWER(2.0, 10.0)", "1024.0");
    check("EXP(0.0)", "1.0");
    check("LN(1.0)", "0.0");
    check("LN(0.0)", "-Infinity");
    check("LOG10(1000.0)", "3.0");
    check("LOG2(8.0)", "3.0");
    check("LOG(1.0)", "0.0");
    check("LOG(2.0, 8.0)", "3.0");
    check("LOG(NULL:DOUBLE, 8.0)", "NULL");
}

#[test]
fn remainders() {
    check("MOD(7, 3)", "1");
    check("MOD(-7, 3)", "-1");
    check("MOD(7.5, 2.0)", "1.5");
    check("MOD(DECIMAL '7.5', DECIMAL '2')", "1.500");
    check("MOD(7, 0)", "error: division by zero");
}

#[test]
fn elements() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), Some(2)]),
        None,
        Some(vec![Some(1), Some(2)]),
    ]);
    let list = ColumnarValue::Array(Arc::new(list) as ArrayRef);
    let call = |name: &str, args: &[ColumnarValue]| render(&run(name, args).unwrap());
    let value = |text: &str| ColumnarValue::Array(super::three_rows(&parse(text)));
    assert_eq!(call("CARDINALITY", std::slice::from_ref(&list)), "2");
    assert_eq!(call("ITEM", &[list.clone(), value("2")]), "2");
    assert_eq!(call("ITEM", &[list.clone(), value("1i")]), "1");
    assert_eq!(call("ITEM", &[list.clone(), value("0")]), "NULL");
    assert_eq!(call("ITEM", &[list.clone(), value("3")]), "NULL");
    assert_eq!(call("ITEM", &[list, value("NULL:BIGINT")]), "NULL");

    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for _ in 0..3 {
        map.keys().append_value("a");
        map.values().append_value(10);
        map.keys().append_value("b");
        map.values().append_value(20);
        map.append(true).unwrap();
    }
    let map = ColumnarValue::Array(Arc::new(map.finish()) as ArrayRef);
    assert_eq!(call("CARDINALITY", std::slice::from_ref(&map)), "2");
    let constant = |text: &str| {
        let value = datafusion::common::ScalarValue::try_from_array(&parse(text), 0);
        ColumnarValue::Scalar(value.unwrap())
    };
    assert_eq!(call("ITEM", &[map.clone(), constant("'b'")]), "20");
    assert_eq!(call("ITEM", &[map.clone(), value("'a'")]), "10");
    assert_eq!(call("ITEM", &[map.clone(), constant("'c'")]), "NULL");
    assert_eq!(call("ITEM", &[map, constant("NULL")]), "NULL");
}
