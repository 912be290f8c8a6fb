use arrow::array::{Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use arrow::{array::AsArray, datatypes::TimestampMillisecondType};
use millstream_core::expr::Expr;
use millstream_core::plan::{JoinKey, JoinOn};
use millstream_core::types::timestamp;
use millstream_core::{TimeDomain, Watermark};

use super::interval::IntervalJoinOperator;
use super::window::WindowJoinOperator;
use super::*;
use crate::operator::late::LateRows;
use crate::operator::stateful::{Absorb, Barrier, StateBatch, Stateful};
use crate::operator::{Batch, stateful::ByShard};

const HOUR_MS: i64 = 3_600_000;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("start", timestamp(3), true),
        Field::new("rt", timestamp(3), true),
    ]))
}

fn joined() -> SchemaRef {
    let fields = [schema(), schema()];
    let fields = fields
        .iter()
        .flat_map(|schema| schema.fields().iter().cloned());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plan(kind: JoinKind, on: JoinOn) -> Join {
    let key = Expr::column(0, "k", DataType::Utf8);
    Join {
        kind,
        keys: vec![JoinKey {
            left: key.clone(),
            right: key,
            nulls_equal: false,
        }],
        condition: None,
        on,
        query: "q".to_owned(),
    }
}

fn interval(kind: JoinKind) -> IntervalJoinOperator {
    let on = JoinOn::Interval {
        domain: TimeDomain::Event,
        left: 3,
        right: 3,
        lower_ms: 0,
        upper_ms: HOUR_MS,
    };
    IntervalJoinOperator::new(&plan(kind, on), [schema(), schema()], joined()).unwrap()
}

fn window(kind: JoinKind) -> WindowJoinOperator {
    let on = JoinOn::Window {
        left: [2, 3],
        right: [2, 3],
    };
    let columns = if kind.has_right() { joined() } else { schema() };
    WindowJoinOperator::new(&plan(kind, on), [schema(), schema()], columns).unwrap()
}

/// Rows of key and time; n is the time, too.
fn rows(rows: &[(&str, i64)]) -> Batch {
    let keys = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let times = || rows.iter().map(|row| row.1);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys),
        Arc::new(Int64Array::from_iter_values(times())),
        Arc::new(TimestampMillisecondArray::from_iter_values(
            times().map(|t| t - 10),
        )),
        Arc::new(TimestampMillisecondArray::from_iter_values(times())),
    ];
    Batch {
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        origin: None,
    }
}

fn push(operator: &mut dyn Stateful, port: usize, of: &[(&str, i64)]) {
    operator
        .on_batch(port, &rows(of), &mut LateRows::default())
        .unwrap();
}

/// One barrier on one shard: how many rows came out.
fn fire(operator: &mut dyn Stateful, watermark: i64) -> usize {
    let watermark = Watermark(watermark);
    operator
        .close(Barrier {
            watermark,
            now_ms: 0,
            shard: 0,
            shards: 1,
        })
        .unwrap();
    let results = operator.fire(&[]).unwrap();
    results.iter().map(RecordBatch::num_rows).sum()
}

fn count(states: &[StateBatch]) -> usize {
    states.iter().map(|state| state.rows.num_rows()).sum()
}

/// The same operator after a restart from what checkpoints hold.
fn restored(
    mut operator: Box<dyn Stateful>,
    states: &[StateBatch],
    fired: i64,
) -> Box<dyn Stateful> {
    for state in states {
        operator.absorb(state, Absorb::Restore).unwrap();
    }
    operator.set_fired(Watermark(fired));
    operator.drop_fired();
    operator
}

#[test]
fn rows_within_intervals_are_let_go_as_time_passes() {
    for kind in [JoinKind::Inner, JoinKind::Full] {
        let mut join = interval(kind);
        let keys = ["a", "b", "c", "d", "e", "f", "g"];
        let (mut most, mut size) = (0, 0);
        for step in 0..600 {
            let time = step * 60_000;
            let key = keys[usize::try_from(step).unwrap() % keys.len()];
            push(&mut join, 0, &[(key, time), ("left only", time)]);
            push(&mut join, 1, &[(key, time), ("right only", time)]);
            fire(&mut join, time);
            join.changes().unwrap();
            most = most.max(join.groups());
            size = size.max(join.size());
        }
        // Ten hours of two rows a minute and side, each needed for an hour, or two.
        let hours = if kind == JoinKind::Inner { 1 } else { 2 };
        assert!(most <= hours * 4 * 60 + 8, "{kind:?}: {most} rows");
        fire(&mut join, 800 * 60_000);
        assert_eq!(join.groups(), 0, "{kind:?}");
        assert_eq!(join.size(), 0, "{kind:?}");
        assert!(size > 0);
    }
}

#[test]
fn an_interval_join_goes_on_from_its_checkpoints() {
    let mut join = interval(JoinKind::Full);
    push(&mut join, 0, &[("a", 1_000), ("b", 1_000)]);
    push(&mut join, 1, &[("b", 2_000)]);
    assert_eq!(fire(&mut join, 1_500), 1);
    let mut checkpoint = join.changes().unwrap();
    assert_eq!(count(&checkpoint), 3);
    push(&mut join, 1, &[("a", 3_000)]);
    assert_eq!(fire(&mut join, 2_500), 1);
    let newer = join.changes().unwrap();
    assert_eq!(count(&newer), 1, "only what is new");
    checkpoint.extend(newer);
    let mut again = restored(Box::new(interval(JoinKind::Full)), &checkpoint, 2_500);
    assert_eq!(again.changes().unwrap().len(), 0);
    push(&mut *again, 1, &[("a", 4_000), ("z", 4_000)]);
    assert_eq!(fire(&mut *again, 4_000), 1, "the old row meets the new one");
    let end = fire(&mut *again, i64::MAX);
    assert_eq!(end, 1, "of all rows only z has met nobody");
    assert_eq!(again.groups(), 0);
}

#[test]
fn rows_within_intervals_move_to_the_new_owner_of_their_key() {
    let mut join = interval(JoinKind::Inner);
    let keys: Vec<String> = (0..50).map(|key| format!("key {key}")).collect();
    let some: Vec<(&str, i64)> = keys.iter().map(|key| (key.as_str(), 1_000)).collect();
    push(&mut join, 0, &some);
    assert_eq!(fire(&mut join, 1_000), 0);
    join.changes().unwrap();
    let shards = 3;
    let by_shard: ByShard = join.rescaled(0, shards).unwrap();
    let moved: usize = by_shard.iter().map(|states| count(states)).sum();
    assert_eq!(moved, 50);
    assert!(by_shard.iter().all(|states| count(states) > 0));
    let mut operators: Vec<IntervalJoinOperator> = vec![];
    for states in &by_shard {
        let mut operator = interval(JoinKind::Inner);
        for state in states {
            operator.absorb(state, Absorb::Merge).unwrap();
        }
        operator.set_fired(Watermark(1_000));
        assert_eq!(
            count(&operator.changes().unwrap()),
            count(states),
            "written whole once"
        );
        operators.push(operator);
    }
    // The partners come to the first shard, which sends each to the owner of its key.
    push(&mut operators[0], 1, &some);
    let mut sent: ByShard = vec![vec![]; shards];
    for operator in &mut operators {
        let watermark = Watermark(2_000);
        let closed = operator
            .close(Barrier {
                watermark,
                now_ms: 0,
                shards,
                shard: 0,
            })
            .unwrap();
        for (owner, states) in sent.iter_mut().zip(closed) {
            owner.extend(states);
        }
    }
    let pairs = operators.iter_mut().zip(&sent).map(|(operator, states)| {
        let results = operator.fire(states).unwrap();
        results.iter().map(RecordBatch::num_rows).sum::<usize>()
    });
    assert_eq!(pairs.sum::<usize>(), 50);
}

#[test]
fn a_window_join_goes_on_from_its_checkpoints_and_forgets_windows() {
    let mut join = window(JoinKind::Inner);
    push(&mut join, 0, &[("a", 10), ("a", 20)]);
    push(&mut join, 1, &[("a", 10)]);
    assert_eq!(fire(&mut join, 5), 0);
    let mut checkpoint = join.changes().unwrap();
    assert_eq!(count(&checkpoint), 3);
    push(&mut join, 1, &[("a", 20), ("b", 20)]);
    assert_eq!(fire(&mut join, 9), 1, "the first window has ended");
    let newer = join.changes().unwrap();
    assert_eq!(count(&newer), 2);
    checkpoint.extend(newer);
    let mut again = restored(Box::new(window(JoinKind::Inner)), &checkpoint, 9);
    assert_eq!(again.groups(), 3, "the first window is gone");
    assert_eq!(fire(&mut *again, 19), 1);
    assert_eq!((again.groups(), again.size()), (0, 0));
    assert_eq!(count(&again.changes().unwrap()), 0);
}

#[test]
fn state_says_until_when_it_is_needed() {
    let mut join = interval(JoinKind::Inner);
    push(&mut join, 0, &[("a", 1_000)]);
    fire(&mut join, 0);
    let states = join.changes().unwrap();
    let until = states[0]
        .rows
        .column(0)
        .as_primitive::<Int64Type>()
        .value(0);
    // A partner can come until an hour later; a window ends after its last moment.
    assert_eq!(until, 1_000 + HOUR_MS + 1);
}

#[test]
fn pairs_come_out_with_the_columns_of_both() {
    let mut join = interval(JoinKind::Inner);
    push(&mut join, 0, &[("a", 1_000)]);
    push(
        &mut join,
        1,
        &[("a", 1_000), ("a", 1_000 + HOUR_MS), ("a", 1_001 + HOUR_MS)],
    );
    let watermark = Watermark(0);
    join.close(Barrier {
        watermark,
        now_ms: 0,
        shard: 0,
        shards: 1,
    })
    .unwrap();
    let results = join.fire(&[]).unwrap();
    let text = pretty_format_batches(&results).unwrap().to_string();
    let rights: Vec<i64> = results
        .iter()
        .flat_map(|rows| {
            let times = rows.column(7).as_primitive::<TimestampMillisecondType>();
            times.values().to_vec()
        })
        .collect();
    assert_eq!(rights, [1_000, 1_000 + HOUR_MS], "{text}");
}

/// Rows with one key each, at times that count up.
fn hot(count: usize, key: &'static str) -> Batch {
    let of: Vec<(&str, i64)> = (0..count).map(|_| (key, 100)).collect();
    rows(&of)
}

/// Fires a join once; the rows of each block that came out.
fn blocks(operator: &mut dyn Stateful, watermark: i64) -> Vec<usize> {
    let watermark = Watermark(watermark);
    let barrier = Barrier {
        watermark,
        now_ms: 0,
        shard: 0,
        shards: 1,
    };
    operator.close(barrier).unwrap();
    let mut blocks = vec![];
    operator
        .fire_into(&[], &mut |rows| {
            blocks.push(rows.num_rows());
            Ok(())
        })
        .unwrap();
    blocks
}

#[test]
fn pairs_of_a_hot_key_come_out_in_blocks() {
    let kinds = [JoinKind::Inner, JoinKind::Full, JoinKind::Semi];
    let joins = kinds.map(|kind| (kind, Box::new(window(kind)) as Box<dyn Stateful>));
    let (of_windows, of_intervals): (_, Box<dyn Stateful>) =
        (joins, Box::new(interval(JoinKind::Inner)));
    let all = of_windows
        .into_iter()
        .chain([(JoinKind::Inner, of_intervals)]);
    for (kind, mut join) in all {
        let mut late = LateRows::default();
        join.on_batch(0, &hot(700, "a"), &mut late).unwrap();
        join.on_batch(1, &hot(900, "a"), &mut late).unwrap();
        let blocks = blocks(&mut *join, 200);
        let expected = if kind == JoinKind::Semi {
            700
        } else {
            700 * 900
        };
        assert_eq!(blocks.iter().sum::<usize>(), expected, "{kind:?}");
        assert!(
            blocks.iter().all(|rows| *rows <= 16_384),
            "{kind:?}: {blocks:?}"
        );
    }
}

#[test]
fn wide_rows_come_out_in_small_blocks() {
    let mut join = window(JoinKind::Inner);
    let key: &'static str = Box::leak("k".repeat(1 << 20).into_boxed_str());
    let mut late = LateRows::default();
    join.on_batch(0, &hot(9, key), &mut late).unwrap();
    join.on_batch(1, &hot(9, key), &mut late).unwrap();
    let blocks = blocks(&mut join, 200);
    // A pair has 2 MiB, a block 32 MiB at most.
    assert_eq!(blocks.iter().sum::<usize>(), 81);
    assert!(blocks.iter().all(|rows| *rows <= 16), "{blocks:?}");
}

#[test]
fn slices_are_charged_for_themselves() {
    let mut join = window(JoinKind::Inner);
    let whole = hot(50_000, "a");
    for start in 0..50 {
        let batch = Batch {
            rows: whole.rows.slice(start * 1_000, 1_000),
            origin: None,
        };
        join.on_batch(0, &batch, &mut LateRows::default()).unwrap();
    }
    join.changes().unwrap();
    let (found, alone) = (join.size(), whole.rows.get_array_memory_size());
    assert!(found <= alone * 2, "{found} bytes for rows of {alone}");
}

#[test]
fn rows_whose_key_is_null_are_not_kept_for_nothing() {
    let count = |kind, side| {
        let mut join = interval(kind);
        let mut batch = rows(&[("a", 100), ("b", 100)]);
        let mut columns = batch.rows.columns().to_vec();
        columns[0] = Arc::new(StringArray::from(vec![None, Some("b")]));
        batch.rows = RecordBatch::try_new(schema(), columns).unwrap();
        join.on_batch(side, &batch, &mut LateRows::default())
            .unwrap();
        blocks(&mut join, 100);
        join.groups()
    };
    assert_eq!(count(JoinKind::Inner, 0), 1);
    assert_eq!(count(JoinKind::Left, 1), 1);
    // These come out without a partner.
    assert_eq!(count(JoinKind::Left, 0), 2);
    assert_eq!(count(JoinKind::Full, 1), 2);
}

/// Rows in an order of no sense, some far ahead of their time, in many batches, against a plain loop.
#[test]
fn whatever_the_order_each_pair_comes_out_once() {
    let mut random = 1_u64;
    let mut below = |bound: i64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as i64 % bound
    };
    let keys = ["a", "b"];
    let (mut join, mut seen, mut found) = (interval(JoinKind::Inner), [vec![], vec![]], 0);
    for step in 0..200 {
        for (side, seen) in seen.iter_mut().enumerate() {
            let ahead = |below: &mut dyn FnMut(i64) -> i64| match below(20) {
                0 => 100 * HOUR_MS,
                _ => 0,
            };
            let some: Vec<(&str, i64)> = (0..3)
                .map(|_| {
                    let time = step * 60_000 + below(HOUR_MS) + ahead(&mut below);
                    (keys[below(2) as usize], time)
                })
                .collect();
            seen.extend(some.clone());
            push(&mut join, side, &some);
        }
        found += fire(&mut join, step * 60_000 - 1);
        join.changes().unwrap();
    }
    let pairs = seen[0].iter().map(|(key, time)| {
        let partners = seen[1].iter().filter(|(other, _)| other == key);
        partners
            .filter(|(_, other)| (0..=HOUR_MS).contains(&(other - time)))
            .count()
    });
    assert_eq!(found, pairs.sum::<usize>());
    // What waits for the far future does not keep what is over.
    assert!(join.groups() < 1_000, "{}", join.groups());
}
