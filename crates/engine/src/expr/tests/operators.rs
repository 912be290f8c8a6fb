//! Every kind of expression but casts.

use super::*;

use arrow::datatypes::TimeUnit;
use millstream_core::types::{timestamp, timestamp_ltz};

#[test]
fn integers_wrap_and_divide_towards_zero() {
    let int = |value| Expr::literal(Literal::Int(value), DataType::Int32);
    check(&binary(BinaryOp::Add, column("i"), int(1)), "8|-6|NULL");
    check(
        &binary(BinaryOp::Add, int(i64::from(i32::MAX)), column("i")),
        "-2147483642|2147483640|NULL",
    );
    check(
        &binary(BinaryOp::Multiply, column("i"), int(2)),
        "14|-14|NULL",
    );
    check(&binary(BinaryOp::Divide, column("i"), int(2)), "3|-3|NULL");
    check(&binary(BinaryOp::Modulo, column("i"), int(2)), "1|-1|NULL");
    let least = Expr::literal(Literal::Int(i64::MIN), DataType::Int64);
    check(
        &binary(BinaryOp::Divide, least, long(-1)),
        "-9223372036854775808|-9223372036854775808|-9223372036854775808",
    );
    check(
        &binary(BinaryOp::Divide, long(6), column("n")),
        "invalid input: evaluating `(6 / n)`: division by zero",
    );
    let negate = Expr {
        kind: ExprKind::Negate(Box::new(column("i"))),
        data_type: DataType::Int32,
    };
    check(&negate, "-7|7|NULL");
}

#[test]
fn floating_point_numbers_follow_ieee_754() {
    let double = |value| Expr::literal(Literal::Float(value), DataType::Float64);
    check(
        &binary(BinaryOp::Divide, column("d"), double(0.0)),
        "Infinity|NaN|NULL",
    );
    check(
        &compare(BinaryOp::Equal, column("d"), double(0.0)),
        "FALSE|TRUE|NULL",
    );
    check(
        &compare(BinaryOp::Less, column("d"), double(0.0)),
        "FALSE|FALSE|NULL",
    );
    check(
        &compare(BinaryOp::NotEqual, double(f64::NAN), column("d")),
        "TRUE|TRUE|NULL",
    );
    check(
        &compare(BinaryOp::IsDistinctFrom, column("d"), double(0.0)),
        "TRUE|FALSE|TRUE",
    );
    check(
        &compare(BinaryOp::IsNotDistinctFrom, column("d"), column("d")),
        "TRUE|TRUE|TRUE",
    );
}

fn decimal(value: i128, precision: u8, scale: i8) -> Expr {
    Expr::literal(
        Literal::Decimal(value),
        DataType::Decimal128(precision, scale),
    )
}

#[test]
fn decimals_are_exact_and_round_half_up() {
    let result = |op, right: Expr, precision, scale| {
        Expr::binary(
            op,
            column("m"),
            right,
            DataType::Decimal128(precision, scale),
        )
    };
    check(
        &result(BinaryOp::Add, decimal(5, 10, 2), 11, 2),
        "12.55|-2.95|NULL",
    );
    check(
        &result(BinaryOp::Subtract, decimal(5, 10, 3), 12, 3),
        "12.495|-3.005|NULL",
    );
    check(
        &result(BinaryOp::Multiply, decimal(105, 10, 2), 20, 4),
        "13.1250|-3.1500|NULL",
    );
    check(
        &result(BinaryOp::Multiply, decimal(105, 10, 2), 20, 2),
        "13.13|-3.15|NULL",
    );
    check(
        &result(BinaryOp::Divide, decimal(300, 10, 2), 23, 6),
        "4.166667|-1.000000|NULL",
    );
    check(
        &result(BinaryOp::Divide, decimal(-700, 10, 2), 23, 2),
        "-1.79|0.43|NULL",
    );
    check(
        &result(BinaryOp::Modulo, decimal(200, 10, 2), 10, 2),
        "0.50|-1.00|NULL",
    );
    check(
        &compare(BinaryOp::Greater, column("m"), decimal(0, 10, 2)),
        "TRUE|FALSE|NULL",
    );
    // Too many digits for the result: null, as in Flink.
    check(
        &result(BinaryOp::Multiply, decimal(10, 10, 0), 4, 2),
        "NULL|-30.00|NULL",
    );
    let huge = decimal(10i128.pow(37), 38, 0);
    check(
        &Expr::binary(
            BinaryOp::Divide,
            huge.clone(),
            decimal(3, 38, 0),
            DataType::Decimal128(38, 6),
        ),
        "NULL|NULL|NULL",
    );
    check(
        &Expr::binary(
            BinaryOp::Divide,
            huge.clone(),
            huge,
            DataType::Decimal128(38, 6),
        ),
        "1.000000|1.000000|1.000000",
    );
    check(
        &result(BinaryOp::Divide, decimal(0, 10, 2), 23, 6),
        "invalid input: evaluating `(m / decimal:0)`: division by zero",
    );
}

#[test]
fn times_and_intervals() {
    let interval = DataType::Duration(TimeUnit::Millisecond);
    let ten_seconds = Expr::literal(Literal::Interval(10_000), interval.clone());
    check(
        &binary(BinaryOp::Subtract, column("t"), ten_seconds.clone()),
        "2025-06-15 15:06:30.123|1969-12-31 23:59:49.999|NULL",
    );
    let micros = Expr::literal(Literal::Timestamp(1), timestamp(6));
    check(
        &binary(BinaryOp::Add, micros, ten_seconds.clone()),
        ["1970-01-01 00:00:10.000001"; 3].join("|").as_str(),
    );
    let time = Expr::literal(
        Literal::Time(86_399_000),
        DataType::Time32(TimeUnit::Millisecond),
    );
    check(
        &binary(BinaryOp::Add, time, ten_seconds.clone()),
        "00:00:09|00:00:09|00:00:09",
    );
    let date = Expr::literal(Literal::Date(1), DataType::Date32);
    let day = Expr::literal(Literal::Interval(86_400_000), interval);
    check(
        &binary(BinaryOp::Subtract, date, day),
        "1970-01-01|1970-01-01|1970-01-01",
    );
    check(
        &binary(BinaryOp::Add, ten_seconds.clone(), ten_seconds),
        ["+0 00:00:20.000"; 3].join("|").as_str(),
    );
    let at = Expr::literal(Literal::Timestamp(0), timestamp_ltz(3));
    check(
        &compare(BinaryOp::Less, at.clone(), at),
        "FALSE|FALSE|FALSE",
    );
}

#[test]
fn logic_is_three_valued() {
    let null = || Expr::literal(Literal::Null, DataType::Boolean);
    let truth = |value| Expr::literal(Literal::Boolean(value), DataType::Boolean);
    check(
        &compare(BinaryOp::And, column("b"), null()),
        "NULL|FALSE|NULL",
    );
    check(
        &compare(BinaryOp::Or, column("b"), null()),
        "TRUE|NULL|NULL",
    );
    check(
        &compare(BinaryOp::And, null(), column("b")),
        "NULL|FALSE|NULL",
    );
    check(
        &compare(BinaryOp::And, column("b"), truth(true)),
        "TRUE|FALSE|NULL",
    );
    check(
        &boolean(ExprKind::Not(Box::new(column("b")))),
        "FALSE|TRUE|NULL",
    );
    // What the left side decides is not computed on the right: no division by zero.
    let nonzero = compare(BinaryOp::NotEqual, column("n"), long(0));
    let divides = compare(
        BinaryOp::Equal,
        binary(BinaryOp::Divide, long(6), column("n")),
        long(2),
    );
    check(
        &compare(BinaryOp::And, nonzero, divides),
        "FALSE|FALSE|TRUE",
    );
}

#[test]
fn nulls_and_distinction() {
    let is_null = |negated| {
        let input = Box::new(column("i"));
        boolean(ExprKind::IsNull { input, negated })
    };
    check(&is_null(false), "FALSE|FALSE|TRUE");
    check(&is_null(true), "TRUE|TRUE|FALSE");
    let null = Expr::literal(Literal::Null, DataType::Utf8);
    check(
        &compare(BinaryOp::IsDistinctFrom, column("s"), null.clone()),
        "TRUE|TRUE|FALSE",
    );
    check(
        &compare(BinaryOp::Equal, column("s"), null),
        "NULL|NULL|NULL",
    );
}

#[test]
fn case_computes_only_the_rows_of_a_branch() {
    let zero = compare(BinaryOp::Equal, column("n"), long(0));
    let case = |otherwise: Option<Expr>| Expr {
        kind: ExprKind::Case {
            branches: vec![(zero.clone(), long(-1))],
            otherwise: otherwise.map(Box::new),
        },
        data_type: DataType::Int64,
    };
    let division = binary(BinaryOp::Divide, long(6), column("n"));
    check(&case(Some(division)), "3|-1|2");
    check(&case(None), "NULL|-1|NULL");
}

#[test]
fn fields_of_rows() {
    let field = |name: &str| Expr {
        kind: ExprKind::Field {
            input: Box::new(column("geo")),
            name: name.into(),
        },
        data_type: DataType::Utf8,
    };
    check(&field("city"), "Oslo|NULL|NULL");
    check(
        &field("zip"),
        "bug: compiling `geo.zip`: `geo` has no field `zip`",
    );
}

#[test]
fn patterns_and_lists() {
    let like = |pattern: Expr, negated| {
        boolean(ExprKind::Like {
            input: Box::new(column("s")),
            pattern: Box::new(pattern),
            negated,
        })
    };
    check(&like(text("x%"), false), "FALSE|TRUE|NULL");
    check(&like(text("x%"), true), "TRUE|FALSE|NULL");
    check(&like(text("_\\_y"), false), "FALSE|TRUE|NULL");
    check(&like(text("%1_ "), false), "TRUE|FALSE|NULL");
    check(&like(column("s"), false), "TRUE|TRUE|NULL");
    let in_list = |list, negated| {
        boolean(ExprKind::InList {
            input: Box::new(column("n")),
            list,
            negated,
        })
    };
    check(&in_list(vec![long(2), long(3)], false), "TRUE|FALSE|TRUE");
    check(
        &in_list(vec![long(2), column("n")], true),
        "FALSE|FALSE|FALSE",
    );
    let null = Expr::literal(Literal::Null, DataType::Int64);
    check(&in_list(vec![long(2), null], false), "TRUE|NULL|NULL");
}

#[test]
fn calls() {
    let call = |name: &str, args, data_type| Expr::call(name, args, data_type);
    let trimmed = call("TRIM", vec![column("s")], DataType::Utf8);
    check(&trimmed, "12|x_y|NULL");
    check(
        &call("COALESCE", vec![trimmed, text("?")], DataType::Utf8),
        "12|x_y|?",
    );
    check(
        &call(
            "TO_TIMESTAMP_LTZ",
            vec![column("n"), long(0)],
            timestamp_ltz(3),
        ),
        "1970-01-01 00:00:02.000|1970-01-01 00:00:00.000|1970-01-01 00:00:03.000",
    );
    check(
        &call(
            "ROUND",
            vec![column("m"), long(1)],
            DataType::Decimal128(10, 1),
        ),
        "12.5|-3.0|NULL",
    );
    check(
        &call("FLOOR", vec![column("m")], DataType::Decimal128(10, 0)),
        "12|-3|NULL",
    );
    check(
        &call("REGEXP", vec![column("s"), text("(")], DataType::Boolean),
        "invalid input: compiling `REGEXP(s, '(')`: `REGEXP`: `(` is not a regular expression: \
         unclosed group",
    );
    check(
        &call("UPPER", vec![], DataType::Utf8),
        "invalid input: compiling `UPPER()`: `UPPER`: found 0 arguments, expected 1",
    );
    // A later argument is not computed for rows that have an earlier one.
    let division = binary(BinaryOp::Divide, long(6), column("n"));
    let first = call("NULLIF", vec![column("n"), long(3)], DataType::Int64);
    check(
        &call("COALESCE", vec![first, division], DataType::Int64),
        "2|0|2",
    );
}
