//! What is remembered over hours of event time.

use arrow::array::{Int64Array, TimestampMillisecondArray};
use millstream_core::TimeDomain;
use millstream_core::plan::AggregateFunction;
use millstream_core::types::timestamp;

use super::*;

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("rt", timestamp(3), true),
    ]))
}

fn counted(frames: &[Frame], ttl_ms: Option<i64>) -> OverOperator {
    let count = |frame: &Frame| {
        let call = AggregateCall {
            function: AggregateFunction::Count,
            native: None,
            argument: None,
            parameters: vec![],
            filter: None,
            distinct: false,
            data_type: DataType::Int64,
        };
        OverCall::Aggregate(*frame, call)
    };
    let plan = OverAggregate {
        keys: vec![0],
        time_column: 1,
        domain: TimeDomain::Event,
        order: vec![],
        calls: frames.iter().map(count).collect(),
        ttl_ms,
        query: "q".into(),
    };
    let mut fields = input().fields().to_vec();
    let results = (0..frames.len()).map(|n| Field::new(format!("n{n}"), DataType::Int64, true));
    fields.extend(results.map(Arc::new));
    OverOperator::new(&plan, &input(), Arc::new(Schema::new(fields))).unwrap()
}

/// One row a second, each second's key another; a barrier every ten seconds. The most rows and keys
/// that were ever remembered, over so many seconds.
fn most(mut operator: OverOperator, seconds: std::ops::Range<i64>) -> usize {
    let mut most = 0;
    for second in seconds {
        let time = TimestampMillisecondArray::from(vec![second * 1_000]);
        let key = Int64Array::from(vec![second]);
        let rows = RecordBatch::try_new(input(), vec![Arc::new(key), Arc::new(time)]);
        let batch = Batch {
            rows: rows.unwrap(),
            origin: None,
        };
        operator
            .on_batch(0, &batch, &mut LateRows::default())
            .unwrap();
        most = most.max(operator.groups());
        if second % 10 == 9 {
            let barrier = Barrier {
                watermark: Watermark(second * 1_000),
                now_ms: 0,
                shard: 0,
                shards: 1,
            };
            operator.close(barrier).unwrap();
            let fired = operator.fire(&[]).unwrap();
            assert_eq!(fired.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
            operator.changes().unwrap();
        }
    }
    most
}

#[test]
fn rows_are_forgotten_as_time_passes() {
    let minute = Frame::Range(Some(60_000));
    // The rows of a minute, and those of the ten seconds since the last barrier.
    assert!(most(counted(&[minute], None), 0..7_200) <= 60 + 1 + 10);
    // With a time to live, so are the rows and totals of keys that are silent.
    let frames = [Frame::Rows(Some(3)), Frame::Range(None)];
    assert!(most(counted(&frames, Some(60_000)), 0..7_200) <= 2 * (60 + 1) + 10);
    // Without, each key keeps its last row and its total.
    assert_eq!(most(counted(&frames, None), 0..100), 2 * 90 + 10);
}

#[test]
fn rows_beyond_the_frame_are_forgotten() {
    let mut operator = counted(&[Frame::Rows(Some(3))], None);
    operator.plan.keys = vec![];
    assert_eq!(operator.history.rows(), 0);
    for time in 0..100 {
        operator.history.push(&[1], time, &[]);
    }
    assert_eq!(operator.history.rows(), 3);
}
