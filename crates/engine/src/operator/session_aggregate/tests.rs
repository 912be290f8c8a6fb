//! Random rows through shards, batches, barriers, crashes and other numbers of shards, against a plain
//! loop over all rows; and how much memory sessions take.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType};
use millstream_core::plan::{
    AggregateCall, AggregateFunction, NodeInput, Operator, WindowAggregate, WindowKind, WindowSpec,
};
use millstream_core::types::timestamp;
use millstream_core::{NodeId, SourceId, SplitId, TimeDomain, Watermark};

use self::model::{Random, Row, expected};
use crate::operator::Batch;
use crate::operator::batch::{Origin, SourceBatch};
use crate::operator::late::LateRows;
use crate::operator::stateful::{self, Absorb, Barrier, StateBatch, Stateful};

/// Sessions of key `k`, or of everything, grouped by `k` and with a total.
#[derive(Debug, Clone, Copy)]
struct Case {
    gap_ms: i64,
    delay_ms: i64,
    by_key: bool,
}

/// A row of results: start, end, key (none: of the grouping set without it), count, sum, largest,
/// distinct values.
type Result = (i64, i64, Option<String>, [i64; 4]);

fn node(case: Case) -> (millstream_core::plan::Node, SchemaRef) {
    let call = |function, argument, distinct| AggregateCall {
        function,
        argument,
        parameters: vec![],
        filter: None,
        distinct,
        data_type: DataType::Int64,
        native: None,
    };
    let aggregate = WindowAggregate {
        window: WindowSpec {
            time_column: 0,
            domain: TimeDomain::Event,
            kind: WindowKind::Session {
                gap_ms: case.gap_ms,
                partition: if case.by_key { vec![1] } else { vec![] },
                touching: true,
            },
        },
        keys: vec![1],
        grouping_sets: if case.by_key {
            vec![vec![0]]
        } else {
            vec![vec![0], vec![]]
        },
        aggregates: vec![
            call(AggregateFunction::Count, None, false),
            call(AggregateFunction::Sum, Some(2), false),
            call(AggregateFunction::Max, Some(2), false),
            call(AggregateFunction::Count, Some(2), true),
        ],
        grouping_id: false,
        query: "q".into(),
        allowed_lateness_ms: 0,
        early_delay_ms: None,
    };
    let input = Schema::new(vec![
        Field::new("t", timestamp(3), true),
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]);
    let names = ["count", "sum", "max", "values"].map(str::to_owned);
    let schema = aggregate.output_schema(&input, &names);
    let node = millstream_core::plan::Node {
        id: NodeId(0),
        inputs: vec![NodeInput::Source(SourceId(0))],
        operator: Operator::WindowAggregate(aggregate),
        schema,
    };
    (node, Arc::new(input))
}

fn open(case: Case, shards: Option<(usize, usize)>) -> Box<dyn Stateful> {
    let (node, input) = node(case);
    let mut operator = stateful::open(&node, &[input]).unwrap();
    if let Some((shard, shards)) = shards {
        operator.set_shards(shard, shards).unwrap();
    }
    operator
}

fn batch(case: Case, split: usize, rows: &[Row], before: Watermark) -> Batch {
    let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
    let time: ArrayRef = Arc::new(arrow::array::TimestampMillisecondArray::from(times.clone()));
    let keys: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.key)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.number)));
    let (_, schema) = node(case);
    let rows = RecordBatch::try_new(schema, vec![time, keys, numbers]).unwrap();
    let source = SourceBatch::new(
        (SourceId(0), SplitId::new(split.to_string())),
        (rows.clone(), None, None),
        (times, case.delay_ms, before),
    );
    let origin = Origin {
        source: Arc::new(source),
        selection: None,
    };
    Batch {
        rows,
        origin: Some(origin),
    }
}

/// Shards that read splits, with a checkpoint to go back to.
struct World {
    case: Case,
    shards: Vec<Box<dyn Stateful>>,
    fired: Watermark,
    /// Checkpointed state, by the shard that held it, oldest first.
    segments: Vec<(usize, StateBatch)>,
    results: Vec<Result>,
    late: usize,
}

impl World {
    fn new(case: Case, shards: usize) -> Self {
        Self {
            case,
            shards: (0..shards)
                .map(|shard| open(case, Some((shard, shards))))
                .collect(),
            fired: Watermark::MIN,
            segments: vec![],
            results: vec![],
            late: 0,
        }
    }

    fn read(&mut self, split: usize, rows: &[Row], before: Watermark) -> Watermark {
        let batch = batch(self.case, split, rows, before);
        let shard = split % self.shards.len();
        let mut late = LateRows::default();
        self.shards[shard].on_batch(0, &batch, &mut late).unwrap();
        self.late += late.take().len();
        batch.origin.unwrap().source.after
    }

    fn barrier(&mut self, watermark: Watermark) {
        self.fired = self.fired.advanced_to(watermark);
        let count = self.shards.len();
        let barrier = Barrier {
            watermark: self.fired,
            now_ms: 0,
            shard: 0,
            shards: count,
        };
        let mut given: Vec<Vec<StateBatch>> = vec![vec![]; count];
        for shard in &mut self.shards {
            for (owner, states) in shard.close(barrier).unwrap().into_iter().enumerate() {
                given[owner].extend(states);
            }
        }
        for (index, shard) in self.shards.iter_mut().enumerate() {
            for rows in shard.fire(&given[index]).unwrap() {
                self.results.extend(results(&rows));
            }
            shard.tidy().unwrap();
            let changes = shard.changes().unwrap();
            self.segments
                .extend(changes.into_iter().map(|state| (index, state)));
        }
    }

    /// Between two barriers: a piece of what changed, for the next checkpoint.
    fn write_ahead(&mut self, rows: usize) {
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let before = shard.changed();
            let changes = shard.some_changes(rows).unwrap();
            let given: usize = changes.iter().map(|state| state.rows.num_rows()).sum();
            assert!(given >= rows.min(before) || shard.changed() == 0);
            self.segments
                .extend(changes.into_iter().map(|state| (index, state)));
        }
    }

    /// Merges what was written so far, as compaction does: part by part.
    fn compact(&mut self) {
        let mut parts: BTreeMap<(u32, usize), Vec<StateBatch>> = BTreeMap::new();
        for (shard, state) in std::mem::take(&mut self.segments) {
            parts.entry((state.part, shard)).or_default().push(state);
        }
        for ((part, shard), states) in parts {
            let mut operator = open(self.case, None);
            for state in states {
                operator.absorb(&state, Absorb::Restore).unwrap();
            }
            operator.set_fired(self.fired);
            operator.drop_fired();
            operator.forget_checkpoints();
            for state in operator.changes().unwrap() {
                assert_eq!(state.part, part);
                self.segments.push((shard, state));
            }
        }
    }

    /// Starts again from the checkpoint, with so many shards.
    fn restart(&mut self, shards: usize) {
        let before = self.shards.len();
        self.shards = (0..shards)
            .map(|shard| open(self.case, Some((shard, shards))))
            .collect();
        self.shards.iter_mut().for_each(|s| s.set_fired(self.fired));
        if shards == before {
            for (shard, state) in &self.segments {
                self.shards[*shard].absorb(state, Absorb::Restore).unwrap();
            }
        } else {
            for lane in 0..before {
                let mut operator = open(self.case, None);
                for (_, state) in self.segments.iter().filter(|(shard, _)| *shard == lane) {
                    operator.absorb(state, Absorb::Restore).unwrap();
                }
                operator.set_fired(self.fired);
                operator.drop_fired();
                let by_shard = operator.rescaled(lane, shards).unwrap();
                for (shard, states) in self.shards.iter_mut().zip(by_shard) {
                    for state in states {
                        shard.absorb(&state, Absorb::Merge).unwrap();
                    }
                }
            }
            // The next checkpoint is whole.
            self.segments.clear();
        }
        self.shards.iter_mut().for_each(|shard| shard.drop_fired());
    }
}

fn results(rows: &RecordBatch) -> Vec<Result> {
    let time = |column: usize| {
        let column = rows.column(column);
        column.as_primitive::<TimestampMillisecondType>().values()
    };
    let (starts, ends, times) = (time(0), time(1), time(2));
    let keys = rows.column(3).as_string::<i32>();
    let number = |column: usize, row: usize| {
        let column = rows.column(column).as_primitive::<Int64Type>();
        column.value(row)
    };
    let row = |row: usize| {
        assert_eq!(times[row], ends[row] - 1);
        let key = keys.is_valid(row).then(|| keys.value(row).to_owned());
        let values = [4, 5, 6, 7].map(|column| number(column, row));
        (starts[row], ends[row], key, values)
    };
    (0..rows.num_rows()).map(row).collect()
}

/// Runs rows in random steps; what comes out must be what the model says.
fn check(seed: u64, case: Case, splits: &[Vec<Row>], shards: usize) {
    let mut random = Random(seed);
    let mut world = World::new(case, shards);
    let mut read = vec![0; splits.len()];
    let mut watermarks = vec![Watermark::MIN; splits.len()];
    while read
        .iter()
        .zip(splits)
        .any(|(read, rows)| *read < rows.len())
    {
        let split = random.below(splits.len());
        let rest = &splits[split][read[split]..];
        let rows = &rest[..rest.len().min(1 + random.below(7))];
        if !rows.is_empty() {
            watermarks[split] = world.read(split, rows, watermarks[split]);
            read[split] += rows.len();
        }
        if random.below(3) == 0 {
            world.write_ahead(1 + random.below(3));
        }
        if random.below(4) > 0 {
            continue;
        }
        let live = watermarks.iter().enumerate();
        let live = live.filter(|(split, _)| read[*split] < splits[*split].len());
        let least = live.map(|(_, watermark)| *watermark).min();
        world.barrier(least.unwrap_or(world.fired));
        match random.below(6) {
            0 => world.compact(),
            1 => world.restart(world.shards.len()),
            2 => {
                world.restart(1 + random.below(3));
                let fired = world.fired;
                // A changed number of shards writes the state whole.
                world.shards.iter_mut().for_each(|s| s.forget_checkpoints());
                world.barrier(fired);
            }
            _ => {}
        }
    }
    world.barrier(Watermark::MAX);
    world.results.sort();
    let (results, late) = expected(case, splits);
    assert_eq!(world.results, results, "seed {seed}, {case:?}");
    assert_eq!(world.late, late, "seed {seed}, {case:?}");
    let left: usize = world.shards.iter().map(|shard| shard.groups()).sum();
    assert_eq!(left, 0, "seed {seed}: everything has fired");
}

#[test]
fn random_rows_make_the_sessions_of_a_plain_loop() {
    for seed in 0..120_u64 {
        let mut random = Random(seed.wrapping_mul(7_919) + 1);
        let case = Case {
            gap_ms: 1 + random.number(20),
            delay_ms: random.number(15),
            by_key: random.below(3) > 0,
        };
        let splits = 1 + random.below(3);
        let disorder = 1 + random.number(60);
        let splits: Vec<Vec<Row>> = (0..splits)
            .map(|_| Row::random(&mut random, 60, disorder))
            .collect();
        check(seed, case, &splits, 1 + random.below(3));
    }
}

/// Eight hours of rows over keys that come and go; what is held at the end of each hour.
fn sizes(keys_at_once: usize, hours: i64) -> Vec<usize> {
    let case = Case {
        gap_ms: 60_000,
        delay_ms: 1_000,
        by_key: true,
    };
    let mut world = World::new(case, 1);
    let mut watermark = Watermark::MIN;
    let mut sizes = vec![];
    for minute in 0..hours * 60 {
        let names: Vec<String> = (0..keys_at_once)
            .map(|key| format!("user-{minute}-{key}"))
            .collect();
        for round in 0..3 {
            let time = minute * 60_000 + round * 15_000;
            let row = |name| Row {
                time,
                key: Some(name),
                number: time,
            };
            let rows: Vec<Row> = names.iter().map(|name| row(name.as_str())).collect();
            watermark = world.read(0, &rows, watermark);
            world.barrier(watermark);
            world.segments.clear();
        }
        if minute % 60 == 59 {
            sizes.push(world.shards[0].size());
        }
    }
    sizes
}

#[test]
fn memory_does_not_grow_with_time() {
    let sizes = sizes(50, 10);
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    // Numbers are packed when as many are dead as alive, so an hour is not like the next.
    assert!(last < first * 2, "{sizes:?}");
}

#[test]
fn a_key_takes_a_few_hundred_bytes() {
    let case = Case {
        gap_ms: 60_000,
        delay_ms: 0,
        by_key: true,
    };
    let (mut node, input) = node(case);
    if let Operator::WindowAggregate(aggregate) = &mut node.operator {
        aggregate.aggregates.truncate(3);
    }
    let mut operator = stateful::open(&node, &[input]).unwrap();
    let keys = 100_000;
    let names: Vec<String> = (0..keys).map(|key| format!("user-{key:06}")).collect();
    for names in names.chunks(1_000) {
        let row = |name| Row {
            time: 0,
            key: Some(name),
            number: 1,
        };
        let rows: Vec<Row> = names.iter().map(|name| row(name.as_str())).collect();
        let batch = batch(case, 0, &rows, Watermark::MIN);
        operator
            .on_batch(0, &batch, &mut LateRows::default())
            .unwrap();
    }
    assert_eq!(operator.groups(), keys);
    let bytes = operator.size() / keys;
    assert!((100..400).contains(&bytes), "{bytes} bytes a key");
}
