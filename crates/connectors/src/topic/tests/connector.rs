//! The connectors `kafka` and `http`: options, splits, bounds; the sink's epochs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use millstream_core::env::Env;
use millstream_core::plan::{ConnectorConfig, RowShape, SinkPlan, SinkRole, SourcePlan};
use millstream_core::sink::{Sink, SinkContext, Staged};
use millstream_core::source::{Read, Source};
use millstream_core::storage::Storage;
use millstream_core::{
    Epoch, Error, ErrorKind, Incarnation, Offset, Result, ShardIndex, SinkId, SourceId, SplitId,
};

use super::world::{ALL, World, check_error, drain, path};
use crate::topic::{sink, source};

fn config(options: &[(&str, &str)]) -> ConnectorConfig {
    let mut all = BTreeMap::from([("topic", "t"), ("format", "json")]);
    all.extend(options.iter().copied());
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    ConnectorConfig {
        connector: "kafka".into(),
        options: all
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(own)
            .collect(),
    }
}

fn open_source(world: &World, options: &[(&str, &str)]) -> Result<Box<dyn Source>> {
    let plan = SourcePlan {
        id: SourceId(0),
        table: "clicks".into(),
        connector: config(options),
        shape: RowShape {
            decoded: rows(&[]).schema(),
            metadata: vec![],
            computed: vec![],
        },
        filter: None,
        event_time: None,
        late_events: None,
        dead_letters: None,
    };
    source(&world.log, &plan)
}

fn open_sink(world: &World, options: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    let plan = SinkPlan {
        id: SinkId(0),
        table: "out".into(),
        connector: config(options),
        schema: rows(&[]).schema(),
        primary_key: vec![],
        role: SinkRole::Results,
    };
    let storage: Arc<dyn Storage> = Arc::new(world.storage.clone());
    let env: Arc<dyn Env> = world.env.clone();
    sink(&world.log, &storage, &env, &plan)
}

fn rows(values: &[(i64, &str)]) -> RecordBatch {
    let numbers: Int64Array = values.iter().map(|(number, _)| Some(*number)).collect();
    let words: StringArray = values.iter().map(|(_, word)| Some(*word)).collect();
    let columns = [
        ("n", Arc::new(numbers) as _, true),
        ("w", Arc::new(words) as _, true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn split(source: &dyn Source, id: &str, from: Option<u64>) -> Result<String> {
    let mut reader = source.open(&SplitId::new(id), from.map(Offset))?;
    drain(&mut *reader, ALL)
}

#[test]
fn each_partition_is_a_split() {
    let world = World::new();
    let source = open_source(&world, &[("topic", "new"), ("topic.partitions", "3")]).unwrap();
    let splits = source.splits().unwrap();
    let ids: Vec<&str> = splits.iter().map(|split| split.id.as_str()).collect();
    assert_eq!(ids, ["new-0", "new-1", "new-2"]);
    let metadata: Vec<(&str, &str)> = splits[1]
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(metadata, [("partition", "1"), ("topic", "new")]);
    assert!(!source.is_bounded());
    for id in ["new-3", "new", "t-0", "new-x"] {
        let error = source.open(&SplitId::new(id), None).map(|_| ());
        check_error(
            error,
            ErrorKind::InvalidInput,
            &["topic `new` has no split"],
        );
    }
}

#[test]
fn a_pipeline_begins_where_the_options_say_and_continues_where_it_was() {
    let world = World::new();
    world.append("a b");
    let check = |mode: &str, expected: &str| {
        let source = open_source(&world, &[("scan.startup.mode", mode)]).unwrap();
        assert_eq!(split(&*source, "t-0", None).unwrap(), expected, "{mode}");
        assert_eq!(split(&*source, "t-0", Some(1)).unwrap(), "1:b", "{mode}");
    };
    check("", "0:a 1:b");
    check("earliest-offset", "0:a 1:b");
    check("group-offsets", "0:a 1:b");
    check("latest-offset", "");
}

#[test]
fn the_latest_offset_is_that_of_the_start() {
    let world = World::new();
    world.append("a b");
    let latest = [("scan.startup.mode", "latest-offset")];
    let source = open_source(&world, &latest).unwrap();
    world.append("c");
    assert_eq!(split(&*source, "t-0", None).unwrap(), "2:c");
    let bounded = [latest[0], ("scan.bounded.mode", "latest-offset")];
    let source = open_source(&world, &bounded).unwrap();
    world.append("d");
    assert_eq!(split(&*source, "t-0", None).unwrap(), "");
}

#[test]
fn a_bounded_source_ends_with_what_was_there() {
    let world = World::new();
    world.append("a b");
    let source = open_source(&world, &[("scan.bounded.mode", "latest-offset")]).unwrap();
    assert!(source.is_bounded());
    world.append("c");
    let mut reader = source.open(&SplitId::new("t-0"), None).unwrap();
    assert_eq!(drain(&mut *reader, ALL).unwrap(), "0:a 1:b");
    assert!(matches!(reader.read(ALL).unwrap(), Read::End));
}

#[test]
fn options_that_cannot_be_followed_are_refused() {
    let world = World::new();
    let check = |options: &[(&str, &str)], expected: &str| {
        let error = open_source(&world, options).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), format!("table `clicks`: {expected}"));
    };
    check(
        &[("properties.bootstrap.servers", "kafka:9092")],
        "real Kafka is not built yet; leave out `properties.bootstrap.servers` to use the \
         embedded topic log",
    );
    check(&[("topic", "")], "no `topic`; expected a name");
    check(
        &[("topic", "a;b")],
        "`a;b` is no topic name: expected 1 to 249 letters, digits, `.`, `_` or `-`",
    );
    check(
        &[("topic.partitions", "x")],
        "`topic.partitions` is `x`, expected a number from 1 to 4096",
    );
    check(
        &[("topic.partitions", "5")],
        "topic `t` has 1 partitions, expected 5",
    );
    check(
        &[("scan.startup.mode", "timestamp")],
        "`scan.startup.mode` is `timestamp`, expected one of: earliest-offset, latest-offset, \
         group-offsets",
    );
    check(
        &[("scan.bounded.mode", "timestamp")],
        "`scan.bounded.mode` is `timestamp`, expected one of: unbounded, latest-offset",
    );
    let error = open_sink(&world, &[("format", "xml")]).map(|_| ());
    check_error(error, ErrorKind::InvalidInput, &["table `out`: ", "xml"]);
}

fn context(incarnation: u64) -> SinkContext {
    SinkContext {
        pipeline: "p".into(),
        incarnation: Incarnation(incarnation),
        sink: "out".into(),
        run: Epoch(1),
    }
}

/// Stages rows of one epoch by two shards; the files are synced as the engine does.
fn stage(sink: &dyn Sink, epoch: u64, rows_of_shard: [&RecordBatch; 2]) -> Vec<Staged> {
    let mut staged = Vec::new();
    for (shard, rows) in (0..).zip(rows_of_shard) {
        let mut writer = sink.writer(&context(0), ShardIndex(shard)).unwrap();
        writer.write(rows).unwrap();
        if let Some(prepared) = writer.prepare(Epoch(epoch)).unwrap() {
            prepared
                .files
                .into_iter()
                .for_each(|mut file| file.sync().unwrap());
            staged.push(prepared.staged);
        }
    }
    staged
}

#[test]
fn an_epoch_of_rows_becomes_visible_once_and_as_a_whole() {
    let mut world = World::new();
    let sink = open_sink(&world, &[]).unwrap();
    let (one, two) = (rows(&[(1, "a"), (2, "b")]), rows(&[(3, "c")]));
    let staged = stage(&*sink, 1, [&one, &two]);
    assert_eq!(
        staged.iter().map(|staged| staged.rows).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(world.read(0).unwrap(), "");
    sink.commit(&context(0), Epoch(1), &staged).unwrap();
    let expected = r#"0:{"n":1,"w":"a"} 1:{"n":2,"w":"b"} 2:{"n":3,"w":"c"}"#;
    assert_eq!(world.read(0).unwrap(), expected);
    assert_eq!(world.storage.list("staging/").unwrap(), [""; 0]);
    // The answer was lost; the machine restarts; the manifest's outputs are committed again.
    sink.commit(&context(0), Epoch(1), &staged).unwrap();
    world.crash();
    let sink = open_sink(&world, &[]).unwrap();
    sink.commit(&context(0), Epoch(1), &staged).unwrap();
    sink.discard_before(&SinkContext {
        run: Epoch(3),
        ..context(0)
    })
    .unwrap();
    assert_eq!(world.read(0).unwrap(), expected);
    assert_eq!(sink.committed(&context(0)).unwrap(), Some(Epoch(1)));
}

#[test]
fn a_crash_between_manifest_and_commit_loses_nothing() {
    let mut world = World::new();
    let sink = open_sink(&world, &[]).unwrap();
    let nothing = rows(&[]);
    let staged = stage(&*sink, 1, [&rows(&[(1, "a")]), &nothing]);
    let orphans = stage(&*sink, 2, [&rows(&[(2, "not in a manifest")]), &nothing]);
    assert_eq!((staged.len(), orphans.len()), (1, 1));
    world.crash();
    let sink = open_sink(&world, &[]).unwrap();
    assert_eq!(sink.committed(&context(0)).unwrap(), None);
    sink.commit(&context(0), Epoch(1), &staged).unwrap();
    sink.discard_before(&SinkContext {
        run: Epoch(3),
        ..context(0)
    })
    .unwrap();
    assert_eq!(world.read(0).unwrap(), r#"0:{"n":1,"w":"a"}"#);
    assert_eq!(world.storage.list("staging/").unwrap(), [""; 0]);
}

#[test]
fn epochs_go_round_the_partitions() {
    let world = World::new();
    let sink = open_sink(&world, &[("topic", "out"), ("topic.partitions", "2")]).unwrap();
    for epoch in 1..=4 {
        let staged = stage(&*sink, epoch, [&rows(&[(1, "a")]), &rows(&[(2, "b")])]);
        sink.commit(&context(0), Epoch(epoch), &staged).unwrap();
        sink.commit(&context(0), Epoch(epoch), &staged).unwrap();
        assert_eq!(sink.committed(&context(0)).unwrap(), Some(Epoch(epoch)));
    }
    assert_eq!(
        world.log.end_offsets("out").unwrap(),
        [Offset(4), Offset(4)]
    );
}

#[test]
fn an_older_incarnation_is_fenced_and_a_newer_begins_anew() {
    let world = World::new();
    let sink = open_sink(&world, &[]).unwrap();
    let commit = |incarnation, epoch| -> Result<(), Error> {
        let staged = stage(&*sink, epoch, [&rows(&[(1, "a")]), &rows(&[])]);
        sink.commit(&context(incarnation), Epoch(epoch), &staged)
    };
    commit(0, 5).unwrap();
    assert_eq!(sink.committed(&context(1)).unwrap(), None);
    commit(1, 3).unwrap();
    check_error(
        commit(0, 6),
        ErrorKind::Fenced,
        &["a newer incarnation than 0 of `p/out`"],
    );
    assert_eq!(world.end(), 2);
    let held = sink.held(&context(7)).unwrap().expect("a topic remembers");
    assert_eq!(held.place, "topic `t` in `topics/t/`");
    let last = held.last.map(|mark| mark.to_string());
    assert_eq!(last.as_deref(), Some("epoch 3 of incarnation 1"));
}

#[test]
fn a_staged_file_that_is_gone_before_its_commit_is_missed() {
    let world = World::new();
    let sink = open_sink(&world, &[]).unwrap();
    let staged = stage(&*sink, 1, [&rows(&[(1, "a")]), &rows(&[])]);
    sink.discard_before(&SinkContext {
        run: Epoch(2),
        ..context(0)
    })
    .unwrap();
    let error = sink.commit(&context(0), Epoch(1), &staged);
    check_error(error, ErrorKind::Corrupt, &["the staged file is gone"]);
    assert_eq!(world.storage.length(&path(0)).unwrap(), None);
}

#[test]
fn what_a_sink_writes_a_source_reads() {
    let world = World::new();
    let sink = open_sink(&world, &[]).unwrap();
    let schema: SchemaRef = rows(&[]).schema();
    let staged = stage(&*sink, 1, [&rows(&[(7, "seven")]), &rows(&[])]);
    sink.commit(&context(0), Epoch(1), &staged).unwrap();
    let source = open_source(&world, &[]).unwrap();
    let mut reader = source.open(&SplitId::new("t-0"), None).unwrap();
    let Read::Records(batch) = reader.read(ALL).unwrap() else {
        panic!("a record is there")
    };
    let mut decoder = crate::formats::decoder(&config(&[]), &schema).unwrap();
    assert_eq!(decoder.decode(&batch).unwrap().rows, rows(&[(7, "seven")]));
}
