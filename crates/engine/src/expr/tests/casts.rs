//! `CAST` and `TRY_CAST` between all families of types.

use super::*;

use arrow::array::{ListArray, new_empty_array};
use arrow::datatypes::{Int64Type, TimeUnit};
use millstream_core::types::{array, timestamp, timestamp_ltz};

const TIME: DataType = DataType::Time32(TimeUnit::Millisecond);

fn run(value: &str, from: &DataType, to: &DataType, safe: bool) -> String {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let input = cast_for_tests(&text, from).unwrap();
    match super::super::cast::cast_array(&input, to, safe) {
        Ok(result) => {
            assert_eq!(result.data_type(), to);
            render(&result)
        }
        Err(error) => error.to_string(),
    }
}

/// Reads `value` as `from` and casts it.
fn cast(value: &str, from: DataType, to: DataType, expected: &str) {
    assert_eq!(
        run(value, &from, &to, false),
        expected,
        "{value} {from} {to}"
    );
}

/// CAST of a text fails, and TRY_CAST is null.
fn fails(value: &str, to: DataType) {
    let error = run(value, &DataType::Utf8, &to, false);
    assert!(
        error.starts_with(&format!("cannot cast `{value}` to ")),
        "{error}"
    );
    assert_eq!(
        run(value, &DataType::Utf8, &to, true),
        "NULL",
        "{value} {to}"
    );
}

#[test]
fn text_to_numbers() {
    use DataType::{Boolean, Decimal128, Float64, Int8, Int32, Int64, Utf8};
    cast(" 12 ", Utf8, Int32, "12");
    cast("-12.9", Utf8, Int32, "-12");
    cast("+7", Utf8, Int64, "7");
    cast(".5", Utf8, Int64, "0");
    for wrong in ["", " ", "x", "1e3", "1.x", "--1", ".", "3000000000"] {
        fails(wrong, Int32);
    }
    fails("128", Int8);
    cast(" 1e3 ", Utf8, Float64, "1000.0");
    fails("1,5", Float64);
    cast("1.255", Utf8, Decimal128(5, 2), "1.26");
    cast("-1e2", Utf8, Decimal128(5, 2), "-100.00");
    cast("1234.5", Utf8, Decimal128(5, 2), "NULL");
    cast(
        "0.00000000000000000000000000000000000000000000001",
        Utf8,
        Decimal128(5, 2),
        "0.00",
    );
    fails("1.2.3", Decimal128(5, 2));
    fails("", Decimal128(5, 2));
    cast("Yes", Utf8, Boolean, "TRUE");
    cast("0", Utf8, Boolean, "FALSE");
    fails("maybe", Boolean);
}

#[test]
fn text_to_times() {
    use DataType::{Date32, Utf8};
    cast(
        "2025-06-15 15:06:40.123456789",
        Utf8,
        timestamp(9),
        "2025-06-15 15:06:40.123456789",
    );
    cast(
        "2025-06-15 15:06:40.1239",
        Utf8,
        timestamp(3),
        "2025-06-15 15:06:40.123",
    );
    cast(
        "2025-6-5",
        Utf8,
        timestamp_ltz(3),
        "2025-06-05 00:00:00.000",
    );
    fails("2025-06-15 15:06", timestamp(3));
    fails("15.6.2025", timestamp(3));
    cast("2025-06-15 15:06:40", Utf8, Date32, "2025-06-15");
    cast("2025-06", Utf8, Date32, "2025-06-01");
    fails("2025-02-30", Date32);
    fails("x", Date32);
    cast("15:06:40.5", Utf8, TIME, "15:06:40.5");
    cast("15:06", Utf8, TIME, "15:06:00");
    fails("24:00:00", TIME);
}

#[test]
fn numbers_to_numbers() {
    use DataType::{Boolean, Decimal128, Float32, Float64, Int8, Int32, Int64};
    cast("-1.9", Float64, Int32, "-1");
    cast("1e10", Float64, Int32, "2147483647");
    cast("NaN", Float64, Int64, "0");
    cast("300.5", Float64, Int8, "44");
    cast("3000000000", Int64, Int32, "-1294967296");
    cast("7", Int32, Float64, "7.0");
    cast("0.1", Float32, Float64, "0.10000000149011612");
    cast("0.1", Float32, Decimal128(10, 3), "0.100");
    cast("0", Int32, Boolean, "FALSE");
    cast("TRUE", Boolean, Int64, "1");
    cast("TRUE", Boolean, Decimal128(3, 1), "1.0");
    cast("12", Int32, Decimal128(4, 2), "12.00");
    cast("123", Int32, Decimal128(4, 2), "NULL");
    cast("1.005", Float64, Decimal128(4, 2), "1.01");
    cast("-12.99", Decimal128(4, 2), Int32, "-12");
    cast("12.99", Decimal128(4, 2), Float64, "12.99");
    cast(
        "123456789012345678.12",
        Decimal128(20, 2),
        Float64,
        "1.2345678901234568E17",
    );
    cast("12.95", Decimal128(4, 2), Decimal128(3, 1), "13.0");
    cast("99.95", Decimal128(4, 2), Decimal128(3, 1), "NULL");
    assert_eq!(
        run("Infinity", &Float64, &Decimal128(4, 2), false),
        "cannot cast `inf` to DECIMAL(4, 2)"
    );
    assert_eq!(run("Infinity", &Float64, &Decimal128(4, 2), true), "NULL");
}

#[test]
fn numbers_to_text() {
    use DataType::{Boolean, Decimal128, Float32, Float64, Int64, Utf8};
    for (value, expected) in [
        ("1", "1.0"),
        ("1e10", "1.0E10"),
        ("1234567.125", "1234567.125"),
        ("9999999", "9999999.0"),
        ("10000000", "1.0E7"),
        ("12345678.9", "1.23456789E7"),
        ("0.001", "0.001"),
        ("0.00099", "9.9E-4"),
        ("100", "100.0"),
        ("-0.25", "-0.25"),
        ("-0", "-0.0"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("4.9e-324", "5.0E-324"),
    ] {
        cast(value, Float64, Utf8, expected);
    }
    cast("0.1", Float32, Utf8, "0.1");
    cast("-7", Int64, Utf8, "-7");
    cast("-0.05", Decimal128(5, 2), Utf8, "-0.05");
    cast("12", Decimal128(5, 0), Utf8, "12");
    cast("true", Boolean, Utf8, "TRUE");
}

#[test]
fn times_to_times_and_text() {
    use DataType::{Date32, Utf8};
    cast(
        "2025-06-15 15:06:00",
        timestamp(3),
        Utf8,
        "2025-06-15 15:06:00.000",
    );
    cast(
        "2025-06-15 15:06:00",
        timestamp_ltz(6),
        Utf8,
        "2025-06-15 15:06:00.000000",
    );
    cast(
        "2025-06-15 15:06:40.5",
        timestamp(3),
        timestamp_ltz(3),
        "2025-06-15 15:06:40.500",
    );
    cast(
        "2025-06-15 15:06:40.5",
        timestamp_ltz(3),
        timestamp(9),
        "2025-06-15 15:06:40.500000000",
    );
    cast(
        "1969-12-31 23:59:59.9999",
        timestamp(6),
        timestamp(3),
        "1969-12-31 23:59:59.999",
    );
    cast("1969-12-31 23:59:59", timestamp(3), Date32, "1969-12-31");
    cast("1969-12-31 23:59:59.5", timestamp(3), TIME, "23:59:59.5");
    cast(
        "2025-06-15",
        Date32,
        timestamp(3),
        "2025-06-15 00:00:00.000",
    );
    assert_eq!(
        run("9999-01-01", &timestamp(3), &timestamp(9), false),
        "cannot cast `253370764800000` to TIMESTAMP(9)"
    );
    assert_eq!(
        run("9999-01-01", &timestamp(3), &timestamp(9), true),
        "NULL"
    );
}

#[test]
fn nested_values() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let list: ArrayRef = Arc::new(list);
    assert_eq!(render(&list), "[1, NULL]|NULL|[]");
    let texts = cast_for_tests(&list, &array(DataType::Utf8)).unwrap();
    assert_eq!(texts.data_type(), &array(DataType::Utf8));
    assert_eq!(render(&texts), "[1, NULL]|NULL|[]");
    check(&column("geo"), "(Oslo)|(NULL)|NULL");
}

#[test]
fn casts_in_a_plan() {
    let cast = |input: Expr, to: DataType, safe: bool| Expr {
        kind: ExprKind::Cast {
            input: Box::new(input),
            safe,
        },
        data_type: to,
    };
    check(&cast(column("s"), DataType::Int32, true), "12|NULL|NULL");
    check(
        &cast(column("s"), DataType::Int32, false),
        "invalid input: evaluating `CAST(s AS INT)`: cannot cast `x_y` to INT",
    );
    check(&cast(column("d"), DataType::Utf8, false), "1.5|-0.0|NULL");
    let null = Expr::literal(Literal::Null, DataType::Null);
    check(&cast(null, timestamp(3), false), "NULL|NULL|NULL");
    check(
        &cast(column("n"), timestamp(3), false),
        "invalid input: compiling `CAST(n AS TIMESTAMP(3))`: BIGINT cannot be cast to TIMESTAMP(3)",
    );
    check(
        &cast(column("geo"), DataType::Int32, false),
        "invalid input: compiling `CAST(geo AS INT)`: ROW<city STRING> cannot be cast to INT",
    );
    let empty = new_empty_array(&DataType::Utf8);
    assert_eq!(cast_for_tests(&empty, &DataType::Int8).unwrap().len(), 0);
}
