//! Every accumulator: merged or restored state gives what the whole input gives.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::datatypes::DataType;
use millstream_core::plan::{AggregateCall, AggregateFunction};

use super::*;

const GROUPS: usize = 3;

fn call(function: AggregateFunction, distinct: bool, data_type: &DataType) -> AggregateCall {
    AggregateCall {
        function,
        argument: Some(0),
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

fn update(accumulator: &mut dyn Accumulator, column: &ArrayRef, rows: &[u32]) {
    let groups: Vec<u32> = rows.iter().map(|row| row % 2).collect();
    let input = Input {
        values: Some(column),
        rows: Some(rows),
        filter: None,
        run: None,
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
    use AggregateFunction::{Avg, Count, Max, Min, Sum};
    for column in &columns() {
        let data_type = column.data_type();
        for distinct in [false, true] {
            check(&call(Count, distinct, &DataType::Int64), column);
            check(&call(Min, distinct, data_type), column);
            check(&call(Max, distinct, data_type), column);
            if *data_type != DataType::Utf8 {
                check(&call(Sum, distinct, data_type), column);
                check(&call(Avg, distinct, data_type), column);
            }
        }
    }
}

#[test]
fn results_are_flinks() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(-7), Some(-2), None, Some(4)]));
    let of = |function, distinct, data_type: &DataType| {
        let mut made = made(&call(function, distinct, data_type), &column);
        let groups = [0, 0, 1, 2];
        let input = Input {
            values: Some(&column),
            rows: None,
            filter: None,
            run: None,
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
        rows: None,
        filter: Some(&filter),
        run: None,
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
        rows: None,
        filter: None,
        run: None,
    };
    made.update(&input, &[0, 0]).unwrap();
    let expected: ArrayRef = Arc::new(Int32Array::from(vec![Some(i32::MIN), None, None]));
    assert_eq!(&results(&*made), &expected);
}
