//! Each name finds its connector; the others are refused with those that there are.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, RowShape, SinkRole};
use millstream_core::{ErrorKind, SinkId, SourceId};

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
    for connector in ["clickhouse", "print", "blackhole"] {
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
         datagen, nexmark",
    );
    check(
        sink("http"),
        "table `t`: connector `http` cannot be written; expected one of: kafka, filesystem, \
         clickhouse, print, blackhole",
    );
    check(
        sink("kafak"),
        "table `t`: unknown connector `kafak`; expected one of: kafka, filesystem, clickhouse, \
         print, blackhole",
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
        assert_eq!(
            is_refused(source),
            !info.is_source,
            "reading `{}`",
            info.name
        );
        // Without options some connectors have other reasons to refuse.
        let sink = embedded().sink(&sink_plan(options)).err();
        assert_eq!(is_refused(sink), !info.is_sink, "writing `{}`", info.name);
    }
}
