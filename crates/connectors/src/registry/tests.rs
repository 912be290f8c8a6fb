//! Each name finds its connector; the others are refused with those that there are.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use millstream_core::connector::Whole;
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, PipelineOptions, Plan, RowShape, SinkRole};
use millstream_core::{ErrorKind, SinkId, SourceId, Subject};

use super::*;
use crate::test_env::TestEnv;
use crate::topic::TopicLogConfig;

fn embedded() -> Embedded {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let env: Arc<dyn Env> = Arc::new(TestEnv::default());
    let config = TopicLogConfig::default();
    let topics = TopicLog::open(storage.clone(), env.clone(), config).unwrap();
    let tables = HotTables::open(storage.clone()).unwrap();
    Embedded::new(storage, topics, tables, env)
}

fn config(connector: &str, options: &[(&str, &str)]) -> ConnectorConfig {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let options: BTreeMap<String, String> = options.iter().map(own).collect();
    ConnectorConfig {
        connector: connector.to_owned(),
        options,
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]))
}

fn source_plan(connector: ConnectorConfig) -> SourcePlan {
    SourcePlan {
        id: SourceId(0),
        table: "t".into(),
        connector,
        shape: RowShape {
            decoded: schema(),
            metadata: vec![],
            computed: vec![],
        },
        filter: None,
        event_time: None,
        late_events: None,
        dead_letters: None,
    }
}

fn sink_plan(connector: ConnectorConfig) -> SinkPlan {
    SinkPlan {
        id: SinkId(0),
        table: "t".into(),
        connector,
        schema: schema(),
        primary_key: vec![],
        role: SinkRole::Results,
    }
}

const TOPIC: &[(&str, &str)] = &[("topic", "web.clicks"), ("format", "json")];

#[test]
fn a_source_and_a_sink_of_the_same_topic_meet() {
    let embedded = embedded();
    embedded.sink(&sink_plan(config("kafka", TOPIC))).unwrap();
    for connector in ["kafka", "http"] {
        let plan = source_plan(config(connector, TOPIC));
        let source = embedded.source(&plan).unwrap();
        let splits = source.splits().unwrap();
        let ids: Vec<&str> = splits.iter().map(|split| split.id.as_str()).collect();
        assert_eq!(ids, ["web.clicks-0", "web.clicks-1"]);
        embedded.decoder(&plan, &schema()).unwrap();
    }
}

#[test]
fn sinks_are_made_by_name() {
    for connector in ["clickhouse", "iceberg", "print", "blackhole"] {
        embedded().sink(&sink_plan(config(connector, &[]))).unwrap();
    }
}

#[test]
fn what_cannot_be_made_is_refused_with_what_can() {
    let source = |connector| {
        embedded()
            .source(&source_plan(config(connector, TOPIC)))
            .err()
    };
    let sink = |connector| embedded().sink(&sink_plan(config(connector, TOPIC))).err();
    let check = |error: Option<Error>, expected: &str| {
        let error = error.expect("it is refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), expected);
    };
    check(
        source("print"),
        "table `t`: connector `print` cannot be read; expected one of: kafka, http, filesystem, \
         iceberg, datagen, nexmark",
    );
    check(
        sink("http"),
        "table `t`: connector `http` cannot be written; expected one of: kafka, filesystem, \
         clickhouse, iceberg, print, blackhole",
    );
    check(
        sink("kafak"),
        "table `t`: unknown connector `kafak`; expected one of: kafka, filesystem, clickhouse, \
         iceberg, print, blackhole",
    );
}

/// Every name in the catalogue is known to the dispatch, in the directions that it says.
#[test]
fn the_catalogue_and_the_dispatch_agree() {
    for info in CATALOG.connectors {
        let options = config(info.name, &[]);
        let is_refused = |error: Option<Error>| {
            error.is_some_and(|error| error.to_string().contains("expected one of: kafka"))
        };
        let source = embedded().source(&source_plan(options.clone())).err();
        // A table that is only joined with is read too.
        let is_read = info.is_source || info.whole != Whole::Never;
        assert_eq!(is_refused(source), !is_read, "reading `{}`", info.name);
        // Without options some connectors have other reasons to refuse.
        let sink = embedded().sink(&sink_plan(options)).err();
        assert_eq!(is_refused(sink), !info.is_sink, "writing `{}`", info.name);
    }
}

fn plan(sources: Vec<SourcePlan>, sinks: Vec<SinkPlan>) -> Plan {
    let mut plan = Plan {
        sources,
        tables: vec![],
        nodes: vec![],
        sinks,
        options: PipelineOptions {
            name: "p".into(),
            epoch_interval_ms: 1000,
            parallelism: None,
            batch_rows: 8192,
            restart: Default::default(),
            settings: BTreeMap::new(),
        },
    };
    for (id, sink) in (0..).zip(&mut plan.sinks) {
        sink.id = SinkId(id);
    }
    plan
}

fn refusal(plan: &Plan) -> Error {
    (CATALOG.check)(plan).expect_err("it is refused").error
}

const JSON: (&str, &str) = ("format", "json");
const T: (&str, &str) = ("topic", "t");
/// Connector, options, and the option that is wrong.
type Wrong = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const WRONG: &[Wrong] = &[
    ("kafka", &[JSON, ("topic", "a b")], "topic"),
    ("kafka", &[JSON, ("topic", "")], "topic"),
    ("kafka", &[JSON, ("topic", "..")], "topic"),
    (
        "kafka",
        &[JSON, T, ("properties.bootstrap.servers", "k:9092")],
        "properties.bootstrap.servers",
    ),
    (
        "kafka",
        &[JSON, T, ("topic.partitions", "0")],
        "topic.partitions",
    ),
    (
        "kafka",
        &[JSON, T, ("topic.partitions", "-1")],
        "topic.partitions",
    ),
    (
        "kafka",
        &[JSON, T, ("topic.partitions", "4097")],
        "topic.partitions",
    ),
    (
        "kafka",
        &[JSON, T, ("scan.startup.mode", "timestamp")],
        "scan.startup.mode",
    ),
    (
        "kafka",
        &[JSON, T, ("scan.bounded.mode", " unbounded")],
        "scan.bounded.mode",
    ),
    ("filesystem", &[JSON, ("path", "")], "path"),
    ("filesystem", &[JSON, ("path", "file://")], "path"),
    ("filesystem", &[JSON, ("path", "s3://bucket/x")], "path"),
    ("filesystem", &[JSON, ("path", "a\0b")], "path"),
    (
        "filesystem",
        &[JSON, ("path", "x"), ("source.monitor-interval", "soon")],
        "source.monitor-interval",
    ),
];

const WRONG_SOURCES: &[Wrong] = &[
    ("http", &[JSON, ("topic", "a/b")], "topic"),
    (
        "http",
        &[JSON, T, ("json.timestamp-format.standard", "ISO")],
        "json.timestamp-format.standard",
    ),
    (
        "http",
        &[JSON, T, ("json.fail-on-missing-field", "1")],
        "json.fail-on-missing-field",
    ),
    (
        "http",
        &[JSON, T, ("json.ignore-parse-errors", "x")],
        "json.ignore-parse-errors",
    ),
    ("nexmark", &[("first-event.rate", "0")], "first-event.rate"),
    ("nexmark", &[("bid.avg-size", "x")], "bid.avg-size"),
    ("nexmark", &[("max-emit-speed", "1")], "max-emit-speed"),
    ("nexmark", &[("base-time", "x")], "base-time"),
    ("datagen", &[("rows-per-second", "0")], "rows-per-second"),
    ("datagen", &[("number-of-rows", "-5")], "number-of-rows"),
    ("datagen", &[("datagen.seed", "x")], "datagen.seed"),
    ("datagen", &[("fields.a.color", "x")], "fields.a.color"),
    ("datagen", &[("fields.a.kind", "odd")], "fields.a.kind"),
    ("datagen", &[("fields.a.kind", "sequence")], "fields.a.kind"),
    (
        "datagen",
        &[
            ("fields.a.kind", "sequence"),
            ("fields.a.start", "5"),
            ("fields.a.end", "1"),
        ],
        "fields.a.end",
    ),
    ("datagen", &[("fields.a.min", "x")], "fields.a.min"),
    (
        "datagen",
        &[("fields.a.min", "5"), ("fields.a.max", "1")],
        "fields.a.max",
    ),
    (
        "datagen",
        &[("fields.a.null-rate", "2")],
        "fields.a.null-rate",
    ),
];

const WRONG_SINKS: &[Wrong] = &[
    ("clickhouse", &[("url", "clickhouse://h")], "url"),
    ("clickhouse", &[("database-name", "")], "database-name"),
    ("clickhouse", &[("table-name", "")], "table-name"),
    (
        "clickhouse",
        &[("table.retention", "never")],
        "table.retention",
    ),
    (
        "clickhouse",
        &[("table.retention", "1 d")],
        "table.retention",
    ),
];

/// Whatever opening refuses because of an option is refused before, in the same words, with the
/// option.
#[test]
fn what_cannot_be_opened_is_refused_before() {
    let check = |found: &Error, opened: Option<Error>, option: &str| {
        let opened = opened.expect("it cannot be opened").to_string();
        let found_text = found.to_string();
        assert!(opened.ends_with(&found_text), "{opened}\n{found_text}");
        assert_eq!(
            found.subject(),
            Some(&Subject::Option(option.to_owned())),
            "{found_text}"
        );
    };
    for (connector, options, option) in WRONG.iter().chain(WRONG_SOURCES) {
        let source = source_plan(config(connector, options));
        let opened = embedded().source(&source).err();
        let opened = opened.or_else(|| embedded().decoder(&source, &schema()).err());
        check(&refusal(&plan(vec![source], vec![])), opened, option);
    }
    for (connector, options, option) in WRONG.iter().chain(WRONG_SINKS) {
        let sink = sink_plan(config(connector, options));
        let opened = embedded().sink(&sink).err();
        check(&refusal(&plan(vec![], vec![sink])), opened, option);
    }
}

#[test]
fn a_column_that_cannot_be_read_or_written_is_named() {
    let month = DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth);
    let fields = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("odd", month, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let odd = Some(&Subject::Column("odd".to_owned()));
    for (connector, options) in [("http", TOPIC), ("datagen", &[])] {
        let mut source = source_plan(config(connector, options));
        source.shape.decoded = schema.clone();
        let error = refusal(&plan(vec![source], vec![]));
        assert_eq!(error.subject(), odd, "{error}");
    }
    for (connector, options) in [("kafka", TOPIC), ("clickhouse", &[])] {
        let mut sink = sink_plan(config(connector, options));
        sink.schema = schema.clone();
        let error = refusal(&plan(vec![], vec![sink]));
        assert_eq!(error.subject(), odd, "{error}");
    }
}

#[test]
fn tables_of_one_plan_that_contradict_each_other_are_refused() {
    let partitions = |count| config("kafka", &[TOPIC[0], TOPIC[1], ("topic.partitions", count)]);
    let source = source_plan(partitions("2"));
    let same = plan(vec![source.clone()], vec![sink_plan(partitions("2"))]);
    (CATALOG.check)(&same).unwrap();
    let error = refusal(&plan(vec![source], vec![sink_plan(partitions("3"))]));
    assert_eq!(
        error.to_string(),
        "topic `web.clicks` has 2 partitions in table `t`, found 3"
    );

    let first = sink_plan(config("clickhouse", &[("table-name", "x")]));
    let mut second = first.clone();
    (CATALOG.check)(&plan(vec![], vec![first.clone(), second.clone()])).unwrap();
    second.schema = Arc::new(Schema::new(vec![Field::new("b", DataType::Int64, true)]));
    let error = refusal(&plan(vec![], vec![first, second]));
    assert_eq!(
        error.to_string(),
        "table `t` of this file is the same: table `default.x` exists with columns (a BIGINT); \
         found (b BIGINT); columns can only be added at the end"
    );
}

#[test]
fn names_that_do_not_fit_into_a_file_name_are_refused() {
    for connector in ["clickhouse", "print", "filesystem", "kafka"] {
        let options = [TOPIC[0], TOPIC[1], ("path", "x"), ("table-name", "x")];
        let mut sink = sink_plan(config(connector, &options));
        sink.table = "ä".repeat(33);
        (CATALOG.check)(&plan(vec![], vec![sink.clone()])).unwrap();
        sink.table.push('a');
        let error = refusal(&plan(vec![], vec![sink]));
        assert!(
            error.to_string().ends_with("expected at most 200"),
            "{error}"
        );
    }
}
