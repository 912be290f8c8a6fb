//! A small world for the engine: records `<time ms>,<key>` in splits in memory, counts per window and
//! key, sinks in memory, and what must come out, by a loop over all rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType};
use millstream_core::connector::Connectors;
use millstream_core::env::{Env, Task};
use millstream_core::memory::{MemorySink, MemorySource, MemoryStorage};
use millstream_core::plan::*;
use millstream_core::sink::Sink;
use millstream_core::source::{Decoded, Decoder, RawBatch, Rejected, Source};
use millstream_core::{NodeId, Result, SinkId, SourceId, TimeDomain, types};
use millstream_engine::{JobConfig, StartOptions};

const WINDOW_MS: i64 = 100;
const DELAY_MS: i64 = 30;

#[derive(Default)]
pub struct TestEnv {
    pub now: AtomicI64,
    seed: AtomicU64,
}

impl Env for TestEnv {
    fn now_ms(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now.fetch_add(1, Ordering::SeqCst).unsigned_abs())
    }
    fn random(&self) -> u64 {
        self.seed.fetch_add(1, Ordering::SeqCst)
    }
    #[expect(clippy::disallowed_methods, reason = "this is the test's Env")]
    fn spawn(&self, _: &str, task: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
        Box::new(Thread(std::thread::spawn(task)))
    }
}

struct Thread(std::thread::JoinHandle<()>);

impl Task for Thread {
    fn join(self: Box<Self>) -> bool {
        self.0.join().is_ok()
    }
}

/// Records `<time ms>,<key>`.
struct TestDecoder(SchemaRef);

impl Decoder for TestDecoder {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded> {
        let (mut times, mut keys, mut records, mut rejected) = (vec![], vec![], vec![], vec![]);
        for index in 0..raw.len() {
            let record = u32::try_from(index).unwrap();
            let text = std::str::from_utf8(raw.record(index)).unwrap();
            match text
                .split_once(',')
                .and_then(|(t, k)| Some((t.parse::<i64>().ok()?, k.to_owned())))
            {
                Some((time, key)) => {
                    times.push(time);
                    keys.push(key);
                    records.push(record);
                }
                None => rejected.push(Rejected {
                    record,
                    error: "no time".into(),
                }),
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from(times)),
            Arc::new(StringArray::from(keys)),
        ];
        Ok(Decoded {
            rows: RecordBatch::try_new(self.0.clone(), columns)?,
            record_of_row: Some(records.into()),
            rejected,
        })
    }
}

#[derive(Clone)]
pub struct World {
    pub source: MemorySource,
    pub sinks: Vec<MemorySink>,
}

impl Connectors for World {
    fn source(&self, _: &SourcePlan) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.source.clone()))
    }
    fn decoder(&self, _: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(TestDecoder(schema.clone())))
    }
    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.sinks[plan.id.index()].clone()))
    }
}

fn config_of(connector: &str, options: &[(&str, &str)]) -> ConnectorConfig {
    let options = options
        .iter()
        .map(|(k, v)| (String::from(*k), String::from(*v)));
    ConnectorConfig {
        connector: connector.into(),
        options: options.collect(),
    }
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> = fields
        .iter()
        .map(|(name, t)| Field::new(*name, t.clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

pub fn sink(id: u32, table: &str, schema: SchemaRef, role: SinkRole) -> SinkPlan {
    SinkPlan {
        id: SinkId(id),
        table: table.into(),
        connector: config_of("memory", &[]),
        schema,
        primary_key: vec![],
        role,
    }
}

pub fn rows() -> SchemaRef {
    schema(&[("at", types::timestamp(3)), ("key", DataType::Utf8)])
}

/// COUNT(*) and COUNT(DISTINCT time) per window and key.
pub fn aggregate() -> WindowAggregate {
    let count = |argument, distinct| AggregateCall {
        function: AggregateFunction::Count,
        native: None,
        argument,
        parameters: vec![],
        filter: None,
        distinct,
        data_type: DataType::Int64,
    };
    let kind = WindowKind::Tumble {
        size_ms: WINDOW_MS,
        offset_ms: 0,
    };
    WindowAggregate {
        window: WindowSpec {
            time_column: 0,
            domain: TimeDomain::Event,
            kind,
        },
        keys: vec![1],
        grouping_sets: vec![vec![0]],
        aggregates: vec![count(None, false), count(Some(0), true)],
        grouping_id: false,
        query: "counts".into(),
        allowed_lateness_ms: 0,
        early_delay_ms: None,
    }
}

fn source() -> SourcePlan {
    let shape = RowShape {
        decoded: rows(),
        metadata: vec![],
        computed: vec![],
    };
    let late_columns = vec![
        LateColumn::Source(0),
        LateColumn::Source(1),
        LateColumn::WindowEnd,
    ];
    SourcePlan {
        id: SourceId(0),
        table: "events".into(),
        connector: config_of("memory", &[("format", "test")]),
        shape: shape.clone(),
        filter: None,
        event_time: Some(EventTimeSpec {
            column: 0,
            delay_ms: DELAY_MS,
            idle_timeout_ms: None,
        }),
        late_events: Some(LateEvents {
            sink: SinkId(1),
            shape,
            columns: late_columns,
        }),
        dead_letters: Some(DeadLetters {
            sink: SinkId(2),
            columns: vec![DeadLetterColumn::Raw, DeadLetterColumn::Error],
        }),
    }
}

/// Counts, with late rows and dead letters kept.
pub fn plan() -> Plan {
    let counts = aggregate().output_schema(&rows(), &["n".into(), "times".into()]);
    let late = schema(&[
        ("at", types::timestamp(3)),
        ("key", DataType::Utf8),
        ("window_end", types::timestamp(3)),
    ]);
    let dead = schema(&[("raw", DataType::Utf8), ("error", DataType::Utf8)]);
    let node = |id, input, operator| Node {
        id: NodeId(id),
        inputs: vec![input],
        operator,
        schema: counts.clone(),
    };
    Plan {
        sources: vec![source()],
        tables: vec![],
        nodes: vec![
            node(
                0,
                NodeInput::Source(SourceId(0)),
                Operator::WindowAggregate(aggregate()),
            ),
            node(1, NodeInput::Node(NodeId(0)), Operator::Sink(SinkId(0))),
        ],
        sinks: vec![
            sink(0, "counts", counts.clone(), SinkRole::Results),
            sink(1, "late", late, SinkRole::LateEvents),
            sink(2, "dead", dead, SinkRole::DeadLetters),
        ],
        options: PipelineOptions {
            name: "test".into(),
            epoch_interval_ms: 1_000,
            parallelism: None,
            batch_rows: 8_192,
            restart: Default::default(),
            settings: BTreeMap::new(),
        },
    }
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

pub fn input(random: &mut Random) -> Vec<(String, Vec<String>)> {
    let splits = 1 + random.below(3);
    let split = |index| {
        let mut time = 0_i64;
        let records = (0..random.below(120)).map(|_| {
            time += i64::try_from(random.below(20)).unwrap();
            let back = i64::try_from(random.below(90)).unwrap();
            match random.below(15) {
                0 => "nonsense".to_owned(),
                _ => format!("{},k{}", time - back, random.below(4)),
            }
        });
        (format!("split-{index}"), records.collect())
    };
    (0..splits).map(split).collect()
}

pub type Counts = BTreeMap<(i64, String), (i64, i64)>;

/// Counts by window end and key, late rows, dead records: by the definition.
/// What must come out of windows of [`WINDOW_MS`].
pub fn expected(input: &[(String, Vec<String>)]) -> (Counts, Vec<(i64, i64)>, usize) {
    let ends_of = |time: i64| vec![(time.div_euclid(WINDOW_MS) + 1) * WINDOW_MS];
    expected_in(input, &ends_of, 0)
}

/// What must come out, given the ends of the windows of a time in order: a row counts in those that its
/// split has not passed before it by more than `lateness_ms`, and is late if there are none.
pub fn expected_in(
    input: &[(String, Vec<String>)],
    ends_of: &dyn Fn(i64) -> Vec<i64>,
    lateness_ms: i64,
) -> (Counts, Vec<(i64, i64)>, usize) {
    let (mut windows, mut late, mut dead) = (BTreeMap::new(), vec![], 0);
    for (_, records) in input {
        let mut watermark = i64::MIN;
        for record in records {
            let Some((time, key)) = record.split_once(',') else {
                dead += 1;
                continue;
            };
            let time: i64 = time.parse().unwrap();
            let mut ends = ends_of(time);
            let last = *ends.last().unwrap();
            ends.retain(|end| end - 1 > watermark.saturating_sub(lateness_ms));
            if ends.is_empty() {
                late.push((time, last));
            }
            for end in ends {
                let (n, times): &mut (i64, BTreeSet<i64>) =
                    windows.entry((end, key.to_owned())).or_default();
                *n += 1;
                times.insert(time);
            }
            watermark = watermark.max(time - DELAY_MS);
        }
    }
    late.sort_unstable();
    let count = |(n, times): (i64, BTreeSet<i64>)| (n, i64::try_from(times.len()).unwrap());
    (
        windows
            .into_iter()
            .map(|(key, w)| (key, count(w)))
            .collect(),
        late,
        dead,
    )
}

/// What the sinks hold. Each window came out once.
pub fn committed(world: &World) -> (Counts, Vec<(i64, i64)>, usize) {
    committed_with(world, false)
}

/// What the sinks hold; with `updates`, a window may come out again with more rows.
pub fn committed_with(world: &World, updates: bool) -> (Counts, Vec<(i64, i64)>, usize) {
    let mut counts = Counts::new();
    for rows in world.sinks[0].rows() {
        let ends = rows.column(1).as_primitive::<TimestampMillisecondType>();
        let (n, times) = (
            rows.column(4).as_primitive::<Int64Type>(),
            rows.column(5).as_primitive::<Int64Type>(),
        );
        for row in 0..rows.num_rows() {
            let key = (
                ends.value(row),
                rows.column(3).as_string::<i32>().value(row).to_owned(),
            );
            let now = (n.value(row), times.value(row));
            let before = counts.insert(key, now);
            let is_update = before.is_some_and(|before| updates && before.0 < now.0);
            assert!(
                before.is_none() || is_update,
                "a window came out twice: {before:?} then {now:?}"
            );
        }
    }
    let mut late = vec![];
    for rows in world.sinks[1].rows() {
        let times = rows.column(0).as_primitive::<TimestampMillisecondType>();
        let ends = rows.column(2).as_primitive::<TimestampMillisecondType>();
        late.extend((0..rows.num_rows()).map(|row| (times.value(row), ends.value(row))));
    }
    late.sort_unstable();
    let dead = world.sinks[2]
        .rows()
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    (counts, late, dead)
}

/// The plan with other windows.
pub fn plan_with(kind: WindowKind, allowed_lateness_ms: i64) -> Plan {
    let mut plan = plan();
    if let Operator::WindowAggregate(aggregate) = &mut plan.nodes[0].operator {
        aggregate.window.kind = kind;
        aggregate.allowed_lateness_ms = allowed_lateness_ms;
    }
    plan
}

pub fn config(world: &World, storage: &MemoryStorage, random: &mut Random) -> JobConfig {
    JobConfig {
        plan: Arc::new(plan()),
        parallelism: 1 + u32::try_from(random.below(4)).unwrap(),
        batch_rows: [1, 2, 7, 1024][usize::try_from(random.below(4)).unwrap()],
        epoch_interval_ms: 1 + random.below(30),
        memory_bytes_max: 1 << 30,
        start: StartOptions::default(),
        env: Arc::new(TestEnv::default()),
        storage: Arc::new(storage.clone()),
        connectors: Arc::new(world.clone()),
    }
}

pub fn world(input: &[(String, Vec<String>)]) -> World {
    let splits = input.iter().map(|(name, records)| {
        (
            name.as_str(),
            records.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    });
    World {
        source: MemorySource::new(splits),
        sinks: vec![
            MemorySink::default(),
            MemorySink::default(),
            MemorySink::default(),
        ],
    }
}
