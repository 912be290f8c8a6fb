//! Calls that go on from row to row give what they give when computed anew.

use std::cell::Cell;
use std::rc::Rc;

use arrow::array::{
    BooleanArray, Decimal128Array, Float64Array, Int8Array, Int64Array, StringArray,
};
use arrow::util::display::array_value_to_string;

use super::*;

const SEEDS: u64 = 8;

/// A number below `bound`.
fn random(state: &mut u64, bound: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

/// Sums of these are the same in whatever order they are added.
const DOUBLES: [f64; 9] = [
    0.0,
    1.0,
    -2.0,
    3.5,
    -0.25,
    1e300,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Columns: TINYINT, BIGINT near its ends, DECIMAL(38, 2) likewise, DOUBLE, DOUBLE without extremes,
/// STRING, and a filter.
fn columns(state: &mut u64, rows: usize) -> Vec<ArrayRef> {
    let mut picks = |bound: u64| -> Vec<Option<u64>> {
        let picks = (0..rows).map(|_| random(state, bound + 1));
        picks.map(|pick| (pick < bound).then_some(pick)).collect()
    };
    let (small, large, exact) = (picks(200), picks(5), picks(5));
    let (doubles, tame, texts, filter) = (picks(9), picks(5), picks(4), picks(2));
    let small = small
        .iter()
        .map(|pick| pick.map(|pick| (pick as i64 - 100) as i8));
    let large = large
        .iter()
        .map(|pick| pick.map(|pick| i64::MAX - pick as i64));
    let limit = 10_i128.pow(38) - 1;
    let exact = exact
        .iter()
        .map(|pick| pick.map(|pick| limit - i128::from(pick)));
    let exact = Decimal128Array::from_iter(exact);
    let double = |pick: &Option<u64>| pick.map(|pick| DOUBLES[pick as usize]);
    let texts = texts.iter().map(|pick| pick.map(|pick| format!("t{pick}")));
    let filter = filter.iter().map(|pick| pick.map(|pick| pick > 0));
    vec![
        Arc::new(Int8Array::from_iter(small)),
        Arc::new(Int64Array::from_iter(large)),
        Arc::new(exact.with_precision_and_scale(38, 2).unwrap()),
        Arc::new(Float64Array::from_iter(doubles.iter().map(double))),
        Arc::new(Float64Array::from_iter(tame.iter().map(double))),
        Arc::new(StringArray::from_iter(texts)),
        Arc::new(BooleanArray::from_iter(filter)),
    ]
}

/// Rows of three keys: some that are remembered, key by key, then new ones in order of time.
fn keyed(state: &mut u64) -> Keyed {
    let (mut times, mut of_key, mut lasts) = (vec![], vec![], vec![]);
    for _ in 0..3 {
        let mut time = 0;
        let mut rows = vec![];
        for _ in 0..random(state, 12) {
            time += random(state, 3) as i64;
            rows.push(times.len() as u32);
            times.push(time);
        }
        of_key.push(rows);
        lasts.push(time);
    }
    let mut time = lasts.into_iter().max().unwrap() + 1;
    let mut new = vec![];
    for _ in 0..1 + random(state, 40) {
        time += random(state, 3) as i64;
        let key = random(state, 3) as usize;
        new.push((key as u32, of_key[key].len() as u32));
        of_key[key].push(times.len() as u32);
        times.push(time);
    }
    Keyed {
        columns: columns(state, times.len()),
        times,
        of_key,
        new,
        sums: vec![],
        ttl_ms: (random(state, 3) == 0).then_some(7),
    }
}

fn call(function: AggregateFunction, argument: usize, data_type: DataType) -> AggregateCall {
    AggregateCall {
        function,
        native: None,
        argument: Some(argument),
        parameters: vec![],
        filter: None,
        distinct: false,
        data_type,
    }
}

fn calls(columns: &[ArrayRef]) -> Vec<AggregateCall> {
    use AggregateFunction as F;
    let mut calls = vec![];
    for (argument, column) in columns.iter().enumerate() {
        let data_type = column.data_type().clone();
        calls.push(call(F::Count, argument, DataType::Int64));
        for function in [F::Min, F::Max, F::FirstValue, F::LastValue] {
            calls.push(call(function, argument, data_type.clone()));
        }
        if data_type.is_numeric() {
            calls.push(call(F::Sum, argument, data_type.clone()));
            calls.push(call(F::Avg, argument, data_type));
            for function in [F::VarPop, F::VarSamp, F::StddevPop, F::StddevSamp] {
                calls.push(call(function, argument, DataType::Float64));
            }
        }
    }
    calls
}

fn texts(results: &ArrayRef) -> Vec<String> {
    let rows = 0..results.len();
    rows.map(|row| array_value_to_string(results, row).unwrap())
        .collect()
}

#[test]
fn going_on_gives_what_computing_anew_gives() {
    let mut compared = 0;
    for seed in 0..SEEDS {
        let mut state = seed;
        let rows = keyed(&mut state);
        let filter = rows.columns.len() - 1;
        let frames = [
            Frame::Rows(Some(random(&mut state, 9))),
            Frame::Range(Some(random(&mut state, 12) as i64)),
        ];
        for (frame, plain) in frames.iter().flat_map(|frame| {
            let calls = calls(&rows.columns);
            calls.into_iter().map(|call| (*frame, call))
        }) {
            let filtered = AggregateCall {
                filter: Some(filter),
                ..plain.clone()
            };
            let distinct = AggregateCall {
                distinct: true,
                ..plain.clone()
            };
            for call in [plain, filtered, distinct] {
                let values = call.argument.map(|column| &rows.columns[column]);
                let Some(slide) = slide(&call, values).unwrap() else {
                    continue;
                };
                let slid = rows.slid(frame, &call, slide).unwrap();
                let anew = rows.anew(frame, &call).unwrap();
                assert_eq!(slid.data_type(), anew.data_type(), "{call:?}");
                assert_eq!(
                    texts(&slid),
                    texts(&anew),
                    "seed {seed}, {frame:?}, {call:?}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > SEEDS * 2 * 60, "{compared}");
}

#[test]
fn sums_of_doubles_are_those_of_their_frame_alone() {
    // 0.1 three times is 0.30000000000000004 if it is added up, and so is what is left of 1e20 + 0.1 - 1e20.
    let values = vec![1e20, 0.1, 0.1, 0.1];
    let rows = Keyed {
        columns: vec![Arc::new(Float64Array::from(values))],
        times: vec![0, 10, 11, 12],
        of_key: vec![vec![0, 1, 2, 3]],
        new: vec![(0, 0), (0, 1), (0, 2), (0, 3)],
        sums: vec![],
        ttl_ms: None,
    };
    let sum = call(AggregateFunction::Sum, 0, DataType::Float64);
    let sums = rows.aggregate(Frame::Range(Some(5)), &sum).unwrap();
    let sums = sums.as_primitive::<Float64Type>().values().to_vec();
    // Exact: 3 * 0.1000000000000000055 is nearest to 0.30000000000000004.
    assert_eq!(sums, [1e20, 0.1, 0.2, 0.1 * 3.0]);
}

/// Counts what is asked of it.
struct Counting(Rc<Cell<usize>>);

impl Slide for Counting {
    fn enter(&mut self, _: u32) {
        self.0.set(self.0.get() + 1);
    }
    fn leave(&mut self, _: u32) {
        self.0.set(self.0.get() + 1);
    }
    fn clear(&mut self) {}
    fn note(&mut self) {}
    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(vec![0; 100_000])))
    }
}

#[test]
fn a_long_frame_costs_no_more_than_a_short_one() {
    let rows: u32 = 20_000;
    let keyed = Keyed {
        columns: vec![Arc::new(Int64Array::from(vec![1; rows as usize]))],
        times: (0..i64::from(rows)).collect(),
        of_key: vec![(0..rows).collect()],
        new: (1_000..rows).map(|row| (0, row)).collect(),
        sums: vec![],
        ttl_ms: None,
    };
    let sum = call(AggregateFunction::Sum, 0, DataType::Int64);
    for frame in [
        Frame::Rows(Some(1_000)),
        Frame::Range(Some(1_000)),
        Frame::Rows(Some(1)),
    ] {
        let steps = Rc::new(Cell::new(0));
        let slide = Box::new(Counting(steps.clone()));
        keyed.slid(frame, &sum, slide).unwrap();
        assert!(
            steps.get() <= 2 * rows as usize,
            "{frame:?}: {}",
            steps.get()
        );
    }
}
