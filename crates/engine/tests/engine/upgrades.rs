//! A changed plan over the state of the one before: what comes out is what a user would work out by
//! hand, or it is refused.
//!
//! The input is 60 records of one key, 10 ms apart, 5 in an epoch. After 5 epochs 25 rows are read, up to
//! 240 ms, the watermark is at 210, the windows of 100 ms that end at 100 and 200 have fired, and 5 rows
//! are in the one that ends at 300.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMillisecondType};
use millstream_core::connector::Connectors;
use millstream_core::expr::{BinaryOp, Expr, Literal};
use millstream_core::memory::{MemorySink, MemoryStorage};
use millstream_core::plan::*;
use millstream_core::sink::{Sink, SinkContext, SinkWriter, Staged};
use millstream_core::source::{Decoder, Source};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, ErrorKind, NodeId, Result, ShardIndex, SinkId, SourceId};
use millstream_engine::checkpoint::lineage::describe;
use millstream_engine::checkpoint::{Manifest, Savepoints};
use millstream_engine::runtime::preview::preview;
use millstream_engine::{JobConfig, StartFrom, StartOptions, StepJob};

use crate::damage::{five_an_epoch, run_epochs, sixty};
use crate::savepoints::Interrupted;
use crate::world::{World, aggregate, plan, rows, sink, world};

mod again;

/// Sinks by the names of their tables.
#[derive(Clone)]
struct Named {
    world: World,
    sinks: Arc<Mutex<BTreeMap<String, MemorySink>>>,
    /// Whether commits fail.
    is_down: Arc<AtomicBool>,
}

impl Named {
    fn new(world: World) -> Self {
        Self {
            world,
            sinks: Arc::default(),
            is_down: Arc::default(),
        }
    }

    fn table(&self, table: &str) -> MemorySink {
        self.sinks
            .lock()
            .unwrap()
            .entry(table.to_owned())
            .or_default()
            .clone()
    }

    /// The last count for each end of a window.
    fn counts(&self, table: &str) -> Vec<(i64, i64)> {
        let mut counts = BTreeMap::new();
        for rows in self.table(table).rows() {
            let ends = rows.column(1).as_primitive::<TimestampMillisecondType>();
            let n = rows
                .column(rows.num_columns() - 2)
                .as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                counts.insert(ends.value(row), n.value(row));
            }
        }
        counts.into_iter().collect()
    }

    fn rows(&self, table: &str) -> usize {
        self.table(table)
            .rows()
            .iter()
            .map(|rows| rows.num_rows())
            .sum()
    }
}

impl Connectors for Named {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        self.world.source(plan)
    }
    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        self.world.decoder(plan, schema)
    }
    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Failing {
            inner: self.table(&plan.table),
            is_down: self.is_down.clone(),
        }))
    }
}

struct Failing {
    inner: MemorySink,
    is_down: Arc<AtomicBool>,
}

impl Sink for Failing {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        self.inner.writer(context, shard)
    }
    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        match self.is_down.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("the sink is down")),
            false => self.inner.commit(context, epoch, staged),
        }
    }
    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        self.inner.committed(context)
    }
    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        self.inner.discard_before(context)
    }
}

/// A pipeline that has run for five epochs.
struct Ran {
    named: Named,
    storage: MemoryStorage,
    config: JobConfig,
}

impl Ran {
    fn new(plan: Plan) -> Self {
        Self::over(sixty(), plan)
    }

    fn over(world: World, plan: Plan) -> Self {
        let storage = MemoryStorage::default();
        let named = Named::new(world);
        let config = JobConfig {
            plan: Arc::new(plan),
            parallelism: 2,
            connectors: Arc::new(named.clone()),
            ..five_an_epoch(&named.world, &storage)
        };
        run_epochs(&config, 5);
        Self {
            named,
            storage,
            config,
        }
    }

    /// With another plan, giving up the state of tables.
    fn with(&self, plan: Plan, dropped: &[&str]) -> JobConfig {
        let drop_state = dropped.iter().map(|table| (*table).to_owned()).collect();
        JobConfig {
            plan: Arc::new(plan),
            start: StartOptions {
                drop_state,
                ..StartOptions::default()
            },
            ..self.config.clone()
        }
    }

    fn to_the_end(&self, plan: Plan, dropped: &[&str]) {
        let config = self.with(plan, dropped);
        let mut job = StepJob::open(config.clone()).unwrap();
        job.poll().unwrap();
        job.checkpoint().unwrap();
        drop(job);
        // Over a restart, with as many shards as there were, or others.
        let mut job = StepJob::open(JobConfig {
            parallelism: 3,
            start: StartOptions::default(),
            ..config
        })
        .unwrap();
        while !job.is_finished() {
            job.poll().unwrap();
            job.checkpoint().unwrap();
        }
        assert_eq!(job.status().sources[0].rows_read, 60);
    }

    /// What would become of it, a line for each part.
    fn told(&self, plan: Plan, dropped: &[&str]) -> String {
        let config = self.with(plan, dropped);
        let place = (&config.storage, &config.env);
        let upgrade = preview(&config.plan, place, &config.start).unwrap().upgrade;
        upgrade.map_or(String::new(), |upgrade| upgrade.to_string())
    }

    /// It is refused with these words, and nothing is touched.
    #[track_caller]
    fn refused(&self, plan: Plan, dropped: &[&str], expected: &str) {
        let before = self.storage.list("").unwrap();
        let config = self.with(plan, dropped);
        let error = StepJob::open(config).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(self.storage.list("").unwrap(), before);
        // The old plan goes on as if nothing had been.
        drop(StepJob::open(self.config.clone()).unwrap());
    }
}

fn node(id: u32, input: NodeInput, operator: Operator, schema: SchemaRef) -> Node {
    Node {
        id: NodeId(id),
        inputs: vec![input],
        operator,
        schema,
    }
}

const SOURCE: NodeInput = NodeInput::Source(SourceId(0));

/// The plan with other windows of `size_ms`, and another name for its table.
fn windows(size_ms: i64, table: &str) -> Plan {
    let mut plan = plan();
    set_window(&mut plan.nodes[0], size_ms);
    plan.sinks[0].table = table.to_owned();
    plan
}

fn set_window(node: &mut Node, size_ms: i64) {
    if let Operator::WindowAggregate(aggregate) = &mut node.operator {
        aggregate.window.kind = WindowKind::Tumble {
            size_ms,
            offset_ms: 0,
        };
    }
}

/// The plan with a second query, before the first one, over windows of 200 ms.
fn two_queries() -> Plan {
    let (one, mut wide) = (plan(), windows(200, "wide"));
    wide.sinks[0].id = SinkId(3);
    wide.nodes[1].operator = Operator::Sink(SinkId(3));
    let mut nodes = wide.nodes;
    nodes.extend(one.nodes.into_iter().map(|mut node| {
        node.id = NodeId(node.id.0 + 2);
        if let NodeInput::Node(id) = &mut node.inputs[0] {
            *id = NodeId(id.0 + 2);
        }
        node
    }));
    let mut sinks = one.sinks;
    sinks.push(wide.sinks.remove(0));
    Plan {
        nodes,
        sinks,
        ..plan()
    }
}

/// The plan with a filter before its aggregate.
fn filtered() -> Plan {
    let key = Expr::column(1, "key", DataType::Utf8);
    let wanted = Expr::literal(Literal::String("a".into()), DataType::Utf8);
    let filter = Expr::binary(BinaryOp::Equal, key, wanted, DataType::Boolean);
    let old = plan();
    let counts = old.nodes[0].schema.clone();
    let input = |id| NodeInput::Node(NodeId(id));
    Plan {
        nodes: vec![
            node(0, SOURCE, Operator::Filter(filter), rows()),
            node(1, input(0), old.nodes[0].operator.clone(), counts.clone()),
            node(2, input(1), Operator::Sink(SinkId(0)), counts),
        ],
        ..old
    }
}

/// Windows of 100 ms from one end to another, with as many rows each.
fn each(ends: std::ops::RangeInclusive<i64>, rows: i64) -> Vec<(i64, i64)> {
    ends.map(|window| (window * 100, rows)).collect()
}

#[test]
fn a_query_is_added_and_its_open_windows_have_what_was_read_before() {
    let ran = Ran::new(plan());
    let told = ran.told(two_queries(), &[]);
    let expected = "\
keep     source events: it is read on where it was
rebuild  aggregate tumble(at, 200 ms) by [key] [COUNT(*) AS n, COUNT(DISTINCT at) AS times] for `wide`: \
         it is new; `events` is read again for it, up to where it was
keep     aggregate tumble(at, 100 ms) by [key] [COUNT(*) AS n, COUNT(DISTINCT at) AS times] for `counts`: \
         it computes the same
keep     sink counts: it computes the same
keep     sink late: it computes the same
keep     sink dead: it computes the same
new      sink wide: it gets rows from here on";
    assert_eq!(told, expected);
    ran.to_the_end(two_queries(), &[]);
    assert_eq!(ran.named.counts("counts"), each(1..=6, 10));
    assert_eq!(ran.named.rows("counts"), 6, "each window once");
    // The window up to 200 had ended before.
    assert_eq!(ran.named.counts("wide"), [(400, 20), (600, 20)]);
}

#[test]
fn a_query_that_begins_empty_counts_from_here_on() {
    let ran = Ran::new(plan());
    let told = ran.told(two_queries(), &["wide"]);
    let expected = "it is new; it begins empty, as told: what was read before is not in it";
    assert!(told.contains(expected), "{told}");
    ran.to_the_end(two_queries(), &["wide"]);
    assert_eq!(ran.named.counts("counts"), each(1..=6, 10));
    // From 250 on.
    assert_eq!(ran.named.counts("wide"), [(400, 15), (600, 20)]);
}

#[test]
fn a_query_is_taken_away() {
    let ran = Ran::new(two_queries());
    let told = ran.told(plan(), &[]);
    let expected = "\
drop     aggregate tumble(at, 200 ms) by [key] [COUNT(*) AS n, COUNT(DISTINCT at) AS times] for `wide`: \
         no query needs it any more
keep     sink counts: it computes the same
keep     sink late: it computes the same
keep     sink dead: it computes the same
drop     sink wide: it gets no more rows; what it holds stays";
    assert!(told.ends_with(expected), "{told}");
    ran.to_the_end(plan(), &[]);
    assert_eq!(ran.named.counts("counts"), each(1..=6, 10));
    assert_eq!(ran.named.counts("wide"), [(200, 20)]);
}

#[test]
fn windows_of_another_size_hold_what_was_read_before() {
    let ran = Ran::new(plan());
    let told = ran.told(windows(200, "counts"), &[]);
    let expected =
        "its window changed from tumble(at, 100 ms) to tumble(at, 200 ms); `events` is read again";
    assert!(told.contains(expected), "{told}");
    assert!(
        told.contains("for `counts`: another takes its place"),
        "{told}"
    );
    ran.to_the_end(windows(200, "counts"), &[]);
    // Windows of 100 up to 200 were put out by the old plan, the last of which has the same end.
    assert_eq!(
        ran.named.counts("counts"),
        [(100, 10), (200, 10), (400, 20), (600, 20)]
    );
}

#[test]
fn a_filter_counts_for_all_of_the_windows_that_are_open() {
    let records = (0..60)
        .map(|i| format!("{},{}", i * 10, ["a", "b"][i % 2]))
        .collect();
    let ran = Ran::over(world(&[("s".to_owned(), records)]), plan());
    let told = ran.told(filtered(), &[]);
    assert!(
        told.contains("its input changed from `events` to `events` where (key = 'a'); "),
        "{told}"
    );
    ran.to_the_end(filtered(), &[]);
    let of_key = |wanted: &str| {
        let mut counts = vec![];
        for rows in ran.named.table("counts").rows() {
            let ends = rows.column(1).as_primitive::<TimestampMillisecondType>();
            let (keys, n) = (
                rows.column(3).as_string::<i32>(),
                rows.column(4).as_primitive::<Int64Type>(),
            );
            let rows = (0..rows.num_rows()).filter(|row| keys.value(*row) == wanted);
            counts.extend(rows.map(|row| (ends.value(row), n.value(row))));
        }
        counts.sort_unstable();
        counts
    };
    assert_eq!(of_key("a"), each(1..=6, 5));
    assert_eq!(of_key("b"), each(1..=2, 5));
}

#[test]
fn another_table_for_the_same_query_keeps_its_state_and_the_old_one_gets_its_last_rows() {
    let ran = Ran::new(plan());
    // One epoch more fires nothing, the next fires the window up to 300; its commit fails.
    run_epochs(&ran.config, 1);
    ran.named.is_down.store(true, Ordering::SeqCst);
    let mut job = StepJob::open(ran.config.clone()).unwrap();
    job.poll().unwrap();
    job.checkpoint().unwrap_err();
    drop(job);
    ran.named.is_down.store(false, Ordering::SeqCst);
    assert_eq!(ran.named.counts("counts"), each(1..=2, 10));
    ran.to_the_end(windows(100, "renamed"), &[]);
    assert_eq!(ran.named.counts("counts"), each(1..=3, 10));
    assert_eq!(ran.named.counts("renamed"), each(4..=6, 10));
}

#[test]
fn what_comes_after_an_operator_may_change() {
    let mut having = plan();
    let counts = having.nodes[0].schema.clone();
    let n = Expr::column(4, "n", DataType::Int64);
    let none = Expr::literal(Literal::Int(99), DataType::Int64);
    let filter = Expr::binary(BinaryOp::Equal, n, none, DataType::Boolean);
    let input = |id| NodeInput::Node(NodeId(id));
    having.nodes.truncate(1);
    having
        .nodes
        .push(node(1, input(0), Operator::Filter(filter), counts.clone()));
    having
        .nodes
        .push(node(2, input(1), Operator::Sink(SinkId(0)), counts));
    let ran = Ran::new(plan());
    let told = ran.told(having.clone(), &[]);
    assert!(!told.contains("rebuild"), "{told}");
    assert!(
        told.contains("sink counts: its rows are computed in another way from here on"),
        "{told}"
    );
    ran.to_the_end(having, &[]);
    assert_eq!(ran.named.counts("counts"), each(1..=2, 10));
}

/// Records after the first 25 begin with one at 150 ms, of a window that has ended.
fn with_a_late_one() -> World {
    let mut times: Vec<i64> = (0..60).map(|i| i * 10).collect();
    times.insert(25, 150);
    times.pop();
    let records = times.iter().map(|time| format!("{time},k")).collect();
    world(&[("s".to_owned(), records)])
}

fn with_lateness(allowed_lateness_ms: i64) -> Plan {
    let mut plan = plan();
    if let Operator::WindowAggregate(aggregate) = &mut plan.nodes[0].operator {
        aggregate.allowed_lateness_ms = allowed_lateness_ms;
    }
    plan
}

#[test]
fn a_window_that_has_ended_takes_late_rows_in_as_the_new_plan_says() {
    // The last window has one row less, as the input has one of 150 ms in its place.
    let with = |second: i64| {
        [
            &[(100, 10), (200, second)][..],
            &each(3..=5, 10),
            &[(600, 9)],
        ]
        .concat()
    };
    for (before, after, second, late) in [
        (0, 100, 11, 0),
        (100, 0, 10, 1),
        (100, 80, 11, 0),
        (100, 5, 10, 1),
        (20, 100, 11, 0),
        (100, 100, 11, 0),
    ] {
        let ran = Ran::over(with_a_late_one(), with_lateness(before));
        ran.to_the_end(with_lateness(after), &[]);
        assert_eq!(
            ran.named.counts("counts"),
            with(second),
            "{before} to {after}"
        );
        assert_eq!(ran.named.rows("late"), late, "{before} to {after}");
    }
}

#[test]
fn a_row_of_several_windows_has_its_place_by_the_lateness() {
    let hop = |lateness| {
        let mut plan = with_lateness(lateness);
        if let Operator::WindowAggregate(aggregate) = &mut plan.nodes[0].operator {
            aggregate.window.kind = WindowKind::Hop {
                size_ms: 100,
                slide_ms: 50,
                offset_ms: 0,
            };
        }
        plan
    };
    let ran = Ran::new(hop(100));
    assert!(!ran.told(hop(100), &[]).contains("rebuild"));
    let told = ran.told(hop(80), &[]);
    assert!(
        told.contains("its allowed lateness was 100 ms, is 80 ms"),
        "{told}"
    );
}

/// The plan with sums of its counts over windows of 300 ms, in a table `sums`.
fn with_sums() -> Plan {
    let mut plan = plan();
    let counts = plan.nodes[0].schema.clone();
    let sum = AggregateCall {
        function: AggregateFunction::Sum,
        argument: Some(4),
        distinct: false,
        ..aggregate().aggregates.remove(0)
    };
    let sums = WindowAggregate {
        window: WindowSpec {
            time_column: 2,
            kind: WindowKind::Tumble {
                size_ms: 300,
                offset_ms: 0,
            },
            ..aggregate().window
        },
        keys: vec![3],
        aggregates: vec![sum.clone(), sum],
        ..aggregate()
    };
    let schema = sums.output_schema(&counts, &["n".into(), "m".into()]);
    let input = |id| NodeInput::Node(NodeId(id));
    let operator = Operator::WindowAggregate(sums);
    plan.nodes.push(node(2, input(0), operator, schema.clone()));
    plan.nodes
        .push(node(3, input(2), Operator::Sink(SinkId(3)), schema.clone()));
    plan.sinks.push(sink(3, "sums", schema, SinkRole::Results));
    plan
}

#[test]
fn an_aggregate_over_results_has_those_that_came_before_it() {
    let ran = Ran::new(plan());
    ran.to_the_end(with_sums(), &[]);
    assert_eq!(ran.named.counts("counts"), each(1..=6, 10));
    assert_eq!(ran.named.counts("sums"), [(300, 30), (600, 30)]);
    // It is kept from then on, and goes with what it is made of.
    let ran = Ran::new(with_sums());
    let told = ran.told(with_sums_over_wide(), &[]);
    assert_eq!(told.matches("rebuild ").count(), 2, "{told}");
    ran.to_the_end(with_sums_over_wide(), &[]);
    assert_eq!(ran.named.counts("sums"), [(300, 30), (600, 30)]);
}

fn with_sums_over_wide() -> Plan {
    let mut plan = with_sums();
    set_window(&mut plan.nodes[0], 150);
    plan
}

#[test]
fn what_would_change_results_in_silence_is_refused() {
    let ran = Ran::new(plan());
    let mut delayed = plan();
    delayed.sources[0].event_time.as_mut().unwrap().delay_ms = 50;
    let expected = "events: its WATERMARK has changed (it was `at - 30 ms`)";
    ran.refused(delayed, &[], expected);

    let mut elsewhere = plan();
    let options = &mut elsewhere.sources[0].connector.options;
    options.insert("topic".to_owned(), "other".to_owned());
    let expected = "its rows were in memory, and are in memory 'topic' = 'other' now";
    ran.refused(elsewhere, &[], expected);

    let mut renamed = plan();
    renamed.sources[0].table = "others".to_owned();
    let expected = "events: no query reads it any more, so where it was would be forgotten";
    ran.refused(renamed, &[], expected);

    ran.refused(
        windows(200, "counts"),
        &["nobody"],
        "no table `nobody` whose state could be dropped",
    );
}

#[test]
fn what_cannot_be_read_again_is_refused_unless_it_may_begin_empty() {
    let ran = Ran::new(plan());
    let mut latest = windows(200, "counts");
    let options = &mut latest.sources[0].connector.options;
    options.insert("scan.startup.mode".to_owned(), "latest-offset".to_owned());
    let expected = "`events` cannot be read again for it, as 'scan.startup.mode' does not say where it \
                    began; `--drop-state counts` lets it begin empty here";
    ran.refused(latest.clone(), &[], expected);
    ran.to_the_end(latest, &["counts"]);
    assert_eq!(
        ran.named.counts("counts"),
        [(100, 10), (200, 10), (400, 15), (600, 20)]
    );
}

#[test]
fn a_source_is_read_from_its_beginning_if_its_state_is_given_up() {
    let ran = Ran::new(plan());
    let mut delayed = plan();
    delayed.sources[0].event_time.as_mut().unwrap().delay_ms = 50;
    let told = ran.told(delayed.clone(), &["events"]);
    assert!(
        told.starts_with("new      source events: it is read from its beginning, as told"),
        "{told}"
    );
    ran.to_the_end(delayed, &["events"]);
    // Two windows again, by their ends the same.
    assert_eq!(ran.named.counts("counts"), each(1..=6, 10));
    assert_eq!(ran.named.rows("counts"), 8);
}

#[test]
fn a_pipeline_that_has_read_everything_gets_no_new_query() {
    let ran = Ran::new(plan());
    ran.to_the_end(plan(), &[]);
    ran.refused(
        two_queries(),
        &[],
        "the pipeline has read all its input, so it would get nothing",
    );
}

#[test]
fn a_manifest_that_does_not_describe_its_plan_serves_that_plan_only() {
    let ran = Ran::new(plan());
    for path in ran.storage.list("pipelines/test/manifests/").unwrap() {
        let manifest = Manifest::decode(&path, &ran.storage.read(&path).unwrap()).unwrap();
        let old = Manifest {
            plan: None,
            ..manifest
        };
        ran.storage.put(&path, &old.encode().unwrap()).unwrap();
    }
    ran.refused(two_queries(), &[], "has state of another plan");
    // Run once with this build, it says what its plan is.
    ran.to_the_end(two_queries(), &[]);
    assert_eq!(ran.named.counts("wide"), [(400, 20), (600, 20)]);
}

#[test]
fn a_savepoint_serves_a_changed_plan_too() {
    let ran = Ran::new(plan());
    let savepoints = Savepoints::new(Arc::new(ran.storage.clone()), "test");
    savepoints.create("a", 0).unwrap();
    run_epochs(&ran.config, 4);
    let emptied = Named::new(sixty());
    let config = JobConfig {
        connectors: Arc::new(emptied.clone()),
        start: StartOptions {
            from: StartFrom::Savepoint("a".to_owned()),
            drop_state: BTreeSet::new(),
        },
        ..ran.with(two_queries(), &[])
    };
    let mut job = StepJob::open(config).unwrap();
    while !job.is_finished() {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    assert_eq!(job.status().incarnation, 1);
    assert_eq!(emptied.counts("counts"), each(3..=6, 10));
    assert_eq!(emptied.counts("wide"), [(400, 20), (600, 20)]);
}

#[test]
fn an_end_in_the_middle_of_an_upgrade_changes_nothing_of_it() {
    for step in 0.. {
        let ran = Ran::new(plan());
        let ended = Interrupted::new(&ran.storage, step, || Err(Error::unavailable("the end")));
        let config = JobConfig {
            storage: Arc::new(ended.clone()),
            ..ran.with(two_queries(), &[])
        };
        let opened = StepJob::open(config);
        ran.storage.crash();
        drop(opened);
        ran.to_the_end(two_queries(), &[]);
        assert_eq!(ran.named.counts("counts"), each(1..=6, 10), "step {step}");
        assert_eq!(ran.named.rows("counts"), 6, "step {step}");
        assert_eq!(
            ran.named.counts("wide"),
            [(400, 20), (600, 20)],
            "step {step}"
        );
        if !ended.has_struck() {
            assert!(step > 10, "it takes some steps");
            return;
        }
    }
}

#[test]
fn fingerprints_are_what_they_were_in_manifests_that_are_out_there() {
    let described = describe(&with_sums()).unwrap();
    let operators = described.operators.iter();
    let fingerprints: Vec<&str> = operators.map(|it| it.fingerprint.as_str()).collect();
    assert_eq!(fingerprints, ["8fb42c502cf3f17c", "56b49d62d6a380c4"]);
    // Neither the order of queries nor the names of tables are in them.
    let two = describe(&two_queries()).unwrap();
    assert_eq!(two.operators[1].fingerprint, fingerprints[0]);
    let renamed = describe(&windows(100, "renamed")).unwrap();
    assert_eq!(renamed.operators[0].fingerprint, fingerprints[0]);
}
