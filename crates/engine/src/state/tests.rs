//! Every accumulator: merged or restored state gives what the whole input gives.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    StructArray,
};
use arrow::datatypes::{DataType, Field};
use millstream_core::expr::Literal;
use millstream_core::plan::{AggregateCall, AggregateFunction};
use millstream_core::types;

use super::*;

const GROUPS: usize = 3;

fn call(function: AggregateFunction, distinct: bool, data_type: &DataType) -> AggregateCall {
    AggregateCall {
        function,
        native: None,
        argument: Some(0),
        parameters: vec![],
        filter: None,
        distinct,
        data_type: data_type.clone(),
    }
}

fn columns() -> Vec<ArrayRef> {
    let numbers = [5_i64, -3, 5, 9, 0, 2, -3, 7, 7, 1, 4, 4];
    let some = |n: &i64| (*n != 0).then_some(*n);
    let decimals: Decimal128Array = numbers.iter().map(|n| some(n).map(i128::from)).collect();
    vec![
        Arc::new(numbers.iter().map(some).collect::<Int64Array>()),
        Arc::new(
            numbers
                .iter()
                .map(|n| some(n).map(|n| n as i32))
                .collect::<Int32Array>(),
        ),
        Arc::new(
            numbers
                .iter()
                .map(|n| some(n).map(|n| n as f64 / 10.0))
                .collect::<Float64Array>(),
        ),
        Arc::new(
            numbers
                .iter()
                .map(|n| some(n).map(|n| format!("v{n}")))
                .collect::<StringArray>(),
        ),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
    ]
}

fn results(accumulator: &dyn Accumulator) -> ArrayRef {
    accumulator.finish(&[0, 1, 2]).unwrap()
}

fn made(call: &AggregateCall, column: &ArrayRef) -> Box<dyn Accumulator> {
    let mut made = accumulator(call, Some(column.data_type())).unwrap();
    made.resize(GROUPS);
    made
}

/// Rows 0 to 11 in the order 0, 5, 10, 3, 8 …
fn order() -> ArrayRef {
    OrderKey::column((0..12).map(|row| OrderKey {
        time: row * 7 % 5,
        split: 0,
        place: row.unsigned_abs(),
    }))
}

fn update(accumulator: &mut dyn Accumulator, column: &ArrayRef, rows: &[u32]) {
    let groups: Vec<u32> = rows.iter().map(|row| row % 2).collect();
    let order = order();
    let input = Input {
        values: Some(column),
        rows: Some(rows),
        order: Some(&order),
        ..Input::default()
    };
    accumulator.update(&input, &groups).unwrap();
}

/// The result over all rows must be that of parts, merged, and of a checkpointed run.
fn check(call: &AggregateCall, column: &ArrayRef) {
    let rows: Vec<u32> = (0..12).collect();
    let mut whole = made(call, column);
    update(&mut *whole, column, &rows);

    for cut in [0, 1, 5, 12] {
        let (mut left, mut right) = (made(call, column), made(call, column));
        update(&mut *left, column, &rows[..cut]);
        update(&mut *right, column, &rows[cut..]);
        left.merge(&right.state(&[1, 0]).unwrap(), &[1, 0]).unwrap();
        assert_eq!(
            &results(&*left),
            &results(&*whole),
            "{call:?} merged at {cut}"
        );

        let (mut live, mut restored) = (made(call, column), made(call, column));
        update(&mut *live, column, &rows[..cut]);
        let first = live.changes(&[0, 1, 2]).unwrap();
        update(&mut *live, column, &rows[cut..]);
        let second = live.changes(&[0, 1]).unwrap();
        restored.restore(&first, &[0, 1, 2]).unwrap();
        restored.restore(&second, &[0, 1]).unwrap();
        assert_eq!(
            &results(&*restored),
            &results(&*whole),
            "{call:?} restored at {cut}"
        );
    }
}

#[test]
fn state_can_be_merged_and_restored() {
    use AggregateFunction::{
        ApproxCountDistinct, ArrayAgg, Avg, Collect, Count, FirstValue, LastValue, ListAgg, Max,
        Min, Percentile, StddevSamp, Sum, VarPop,
    };
    for column in &columns() {
        let data_type = column.data_type();
        let made_of = |function, distinct, data_type: &DataType, parameters: &[Literal]| {
            let call = AggregateCall {
                parameters: parameters.to_vec(),
                ..call(function, distinct, data_type)
            };
            check(&call, column);
        };
        for distinct in [false, true] {
            for function in [Count, ApproxCountDistinct] {
                made_of(function, distinct, &DataType::Int64, &[]);
            }
            for function in [Min, Max, FirstValue, LastValue] {
                made_of(function, distinct, data_type, &[]);
            }
            let arrays = types::array(data_type.clone());
            made_of(ArrayAgg, distinct, &arrays, &[Literal::Boolean(distinct)]);
            let maps = types::map(data_type.clone(), DataType::Int32);
            made_of(Collect, distinct, &maps, &[]);
            if *data_type == DataType::Utf8 {
                let separator = Literal::String("-".into());
                made_of(ListAgg, distinct, data_type, &[separator]);
            } else {
                for function in [Sum, Avg, VarPop, StddevSamp] {
                    made_of(function, distinct, data_type, &[]);
                }
            }
            if *data_type == DataType::Float64 {
                made_of(Percentile, distinct, data_type, &[Literal::Float(0.3)]);
            }
        }
    }
}

/// Calls of one group, shown as text.
fn check_text(call: &AggregateCall, column: &ArrayRef, expected: &str) {
    let mut made = accumulator(call, Some(column.data_type())).unwrap();
    made.resize(1);
    let order = order().slice(0, column.len());
    let input = Input {
        values: Some(column),
        order: Some(&order),
        ..Input::default()
    };
    made.update(&input, &vec![0; column.len()]).unwrap();
    let found = made.finish(&[0]).unwrap();
    assert_eq!(found.data_type(), &call.data_type);
    let found = arrow::util::display::array_value_to_string(&found, 0).unwrap();
    assert_eq!(found, expected, "{call:?}");
}

#[test]
fn ordered_aggregates_follow_the_order_keys() {
    use AggregateFunction::{ArrayAgg, FirstValue, LastValue, ListAgg};
    // In order: row 0, 3 (times 0 and 1), 1 (time 2), 4 (3), 2 (4).
    let values = [None, Some("b"), Some("c"), Some("a"), Some("b")];
    let column: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    let check = |function, distinct, data_type: &DataType, parameter: Option<Literal>, expected| {
        let call = AggregateCall {
            parameters: parameter.into_iter().collect(),
            ..call(function, distinct, data_type)
        };
        check_text(&call, &column, expected);
    };
    let text = DataType::Utf8;
    let arrays = types::array(DataType::Utf8);
    let separator = Some(Literal::String(", ".into()));
    check(FirstValue, false, &text, None, "a");
    check(LastValue, false, &text, None, "c");
    check(ListAgg, false, &text, separator.clone(), "a, b, b, c");
    check(ListAgg, true, &text, separator, "a, b, c");
    check(ArrayAgg, false, &arrays, None, "[, a, b, b, c]");
    check(
        ArrayAgg,
        true,
        &arrays,
        Some(Literal::Boolean(true)),
        "[a, b, c]",
    );
}

#[test]
fn multisets_count_and_percentiles_interpolate() {
    use AggregateFunction::{Collect, Percentile};
    let words: ArrayRef = Arc::new(StringArray::from(vec![
        Some("x"),
        None,
        Some("a"),
        Some("x"),
    ]));
    let maps = types::map(DataType::Utf8, DataType::Int32);
    check_text(&call(Collect, false, &maps), &words, "{a: 1, x: 2}");
    check_text(&call(Collect, true, &maps), &words, "{a: 1, x: 1}");

    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![40.0, 10.0, 20.0, 30.0, 10.0]));
    let at = |percentages: &[f64], data_type: &DataType| AggregateCall {
        parameters: percentages.iter().map(|p| Literal::Float(*p)).collect(),
        ..call(Percentile, false, data_type)
    };
    // 10, 10, 20, 30, 40: position 4 * p.
    let double = DataType::Float64;
    check_text(&at(&[0.5], &double), &numbers, "20.0");
    check_text(&at(&[0.9], &double), &numbers, "36.0");
    check_text(&at(&[0.1], &double), &numbers, "10.0");
    let both = at(&[1.0, 0.0], &types::array(double.clone()));
    check_text(&both, &numbers, "[40.0, 10.0]");

    // 1 twice, 5 once, 9 not at all: 1, 1, 5.
    let fields = vec![
        Field::new("value", DataType::Float64, true),
        Field::new("frequency", DataType::Int64, true),
    ];
    let values: ArrayRef = Arc::new(Float64Array::from(vec![5.0, 1.0, 9.0, 9.0, 9.0]));
    let weights = Int64Array::from(vec![Some(1), Some(2), Some(0), None, Some(-1)]);
    let columns = vec![values, Arc::new(weights)];
    let rows: ArrayRef = Arc::new(StructArray::new(fields.into(), columns, None));
    check_text(&at(&[0.75], &double), &rows, "3.0");
}

#[test]
fn results_are_flinks() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(-7), Some(-2), None, Some(4)]));
    let of = |function, distinct, data_type: &DataType| {
        let mut made = made(&call(function, distinct, data_type), &column);
        let groups = [0, 0, 1, 2];
        let input = Input {
            values: Some(&column),
            ..Input::default()
        };
        made.update(&input, &groups).unwrap();
        results(&*made)
    };
    use AggregateFunction::{Avg, Count, Sum};
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(-4), None, Some(4)]));
    assert_eq!(
        &of(Avg, false, &DataType::Int64),
        &expected,
        "towards zero; null without values"
    );
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![2, 0, 1]));
    assert_eq!(
        &of(Count, false, &DataType::Int64),
        &expected,
        "nulls are not counted"
    );
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(-9), None, Some(4)]));
    assert_eq!(&of(Sum, true, &DataType::Int64), &expected);
}

#[test]
fn a_filter_lets_through_what_is_true() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let filter = BooleanArray::from(vec![Some(true), Some(false), None]);
    let mut made = made(
        &call(AggregateFunction::Sum, false, &DataType::Int64),
        &column,
    );
    let input = Input {
        values: Some(&column),
        filter: Some(&filter),
        ..Input::default()
    };
    made.update(&input, &[0, 0, 0]).unwrap();
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, None]));
    assert_eq!(&results(&*made), &expected);
}

#[test]
fn integers_wrap_as_in_java() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![i32::MAX, 1]));
    let mut made = made(
        &call(AggregateFunction::Sum, false, &DataType::Int32),
        &column,
    );
    let input = Input {
        values: Some(&column),
        ..Input::default()
    };
    made.update(&input, &[0, 0]).unwrap();
    let expected: ArrayRef = Arc::new(Int32Array::from(vec![Some(i32::MIN), None, None]));
    assert_eq!(&results(&*made), &expected);
}
