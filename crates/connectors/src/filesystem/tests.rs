use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, RowShape, SinkPlan, SinkRole, SourcePlan};
use millstream_core::sink::{Prepared, Sink, SinkContext, Staged};
use millstream_core::source::{Read, ReadLimit, Source};
use millstream_core::storage::Storage;
use millstream_core::{
    Epoch, ErrorKind, Incarnation, Offset, Result, ShardIndex, SinkId, SourceId, SplitId,
};

use super::reader::{CUT_BYTES, CUT_MARK, LINE_BYTES_MAX};

const ALL: ReadLimit = ReadLimit {
    rows: 1 << 20,
    bytes: 1 << 30,
};

fn config(options: &[(&str, &str)]) -> ConnectorConfig {
    let options = [("format", "json")]
        .into_iter()
        .chain(options.iter().copied());
    ConnectorConfig {
        connector: "filesystem".into(),
        options: options.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
    }
}

fn source(options: &[(&str, &str)]) -> Result<Box<dyn Source>> {
    super::source(&SourcePlan {
        id: SourceId(0),
        table: "t".into(),
        connector: config(options),
        shape: RowShape {
            decoded: Arc::new(Schema::empty()),
            metadata: vec![],
            computed: vec![],
        },
        filter: None,
        event_time: None,
        late_events: None,
        dead_letters: None,
    })
}

fn refused(options: &[(&str, &str)]) -> String {
    let error = source(options)
        .and_then(|source| source.splits())
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.to_string()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Records with their offsets, read in pieces of `limit` by readers that are opened anew for each.
fn read(source: &dyn Source, split: &str, limit: ReadLimit, reopen: bool) -> Vec<(u64, String)> {
    let split = SplitId::new(split);
    let mut reader = source.open(&split, None).unwrap();
    let mut records = vec![];
    loop {
        if reopen {
            reader = source.open(&split, Some(reader.offset())).unwrap();
        }
        let batch = match reader.read(limit).unwrap() {
            Read::Records(batch) => batch,
            Read::End => return records,
            other => panic!("{other:?}"),
        };
        assert!(!batch.is_empty() && batch.len() <= limit.rows);
        let bytes: usize = batch.records.iter().map(|range| range.len()).sum();
        assert!(batch.len() == 1 || bytes <= limit.bytes);
        for index in 0..batch.len() {
            let record = String::from_utf8(batch.record(index).to_vec()).unwrap();
            records.push((batch.offsets[index], record));
        }
    }
}

#[test]
fn a_folder_has_a_split_for_each_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "b.jsonl",
        "a/2.jsonl",
        "a/10.jsonl",
        ".hidden",
        "_SUCCESS",
        "a/.x",
        "_tmp/y",
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{name}\n")).unwrap();
    }
    let url = format!("file://{}", text(folder.path()));
    for path in [url.as_str(), text(folder.path())] {
        let source = source(&[("path", path)]).unwrap();
        assert!(source.is_bounded());
        let splits = source.splits().unwrap();
        let ids: Vec<&str> = splits.iter().map(|split| split.id.as_str()).collect();
        assert_eq!(ids, ["a/10.jsonl", "a/2.jsonl", "b.jsonl"]);
        assert_eq!(splits[0].metadata["file.name"], "10.jsonl");
        let full = folder.path().join("a/10.jsonl");
        assert_eq!(splits[0].metadata["file.path"], text(&full));
        assert_eq!(
            read(&*source, "a/2.jsonl", ALL, false),
            [(0, "a/2.jsonl".to_owned())]
        );
    }
}

#[test]
fn a_file_is_one_split() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("only.jsonl");
    fs::write(&file, "{}\n").unwrap();
    let source = source(&[("path", text(&file))]).unwrap();
    assert_eq!(source.splits().unwrap()[0].id.as_str(), "only.jsonl");
    assert_eq!(
        read(&*source, "only.jsonl", ALL, false),
        [(0, "{}".to_owned())]
    );
}

#[test]
fn a_monitored_folder_has_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        ("path", text(folder.path())),
        ("source.monitor-interval", "1 s"),
    ];
    let source = source(&options).unwrap();
    assert!(!source.is_bounded());
    assert_eq!(source.splits().unwrap(), []);
    fs::write(folder.path().join("new"), "x").unwrap();
    assert_eq!(source.splits().unwrap().len(), 1);
}

#[test]
fn a_monitored_folder_may_change_under_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
    fs::write(path("old.jsonl.gz"), "").unwrap();
    fs::write(path("read"), "{}\n").unwrap();
    fs::write(path("moved"), "{}\n").unwrap();
    let bounded = source(&[("path", text(folder.path()))]).unwrap();
    let options = [
        ("path", text(folder.path())),
        ("source.monitor-interval", "1 s"),
    ];
    let monitored = source(&options).unwrap();
    for _ in 0..2 {
        let splits = monitored.splits().unwrap();
        let ids: Vec<&str> = splits.iter().map(|split| split.id.as_str()).collect();
        assert_eq!(ids, ["moved", "read"]);
    }
    let error = bounded.splits().unwrap_err().to_string();
    assert!(error.contains("dangling`: No such file"), "{error}");

    let moved = SplitId::new("moved");
    let open = |source: &dyn Source| source.open(&moved, None);
    let mut bounded_reader = open(&*bounded).unwrap();
    let mut opened_before = open(&*monitored).unwrap();
    assert_eq!(opened_before.backlog(), Some(3));
    fs::remove_file(path("moved")).unwrap();
    assert!(bounded_reader.read(ALL).is_err());
    assert!(open(&*bounded).is_err());
    for reader in [&mut opened_before, &mut open(&*monitored).unwrap()] {
        assert!(matches!(reader.read(ALL).unwrap(), Read::End));
        assert_eq!((reader.offset(), reader.backlog()), (Offset(0), Some(0)));
    }
    // What was read in part must be there.
    assert!(monitored.open(&moved, Some(Offset(3))).is_err());
    assert_eq!(read(&*monitored, "read", ALL, true), [(0, "{}".to_owned())]);
    fs::remove_dir_all(folder.path()).unwrap();
    assert!(
        monitored.splits().is_err(),
        "the folder itself must be there"
    );
}

#[test]
fn lines_are_records() {
    let folder = tempfile::tempdir().unwrap();
    let check = |bytes: &str, expected: &[(u64, &str)]| {
        fs::write(folder.path().join("f"), bytes).unwrap();
        let source = source(&[("path", text(folder.path()))]).unwrap();
        for rows in [1, 2, 100] {
            for bytes in [1, 4, 1000] {
                for reopen in [false, true] {
                    let records = read(&*source, "f", ReadLimit { rows, bytes }, reopen);
                    let records: Vec<_> = records.iter().map(|(o, r)| (*o, r.as_str())).collect();
                    assert_eq!(records, expected, "{bytes:?} rows={rows} bytes={bytes}");
                }
            }
        }
    };
    check("", &[]);
    check("\n\r\n \t\n\n", &[]);
    check("a\nb\n", &[(0, "a"), (2, "b")]);
    check("a\nb", &[(0, "a"), (2, "b")]);
    check("a\r\nb\r", &[(0, "a"), (3, "b")]);
    check(
        "\n\naa\n\n\nbbb\n  \nc\n",
        &[(2, "aa"), (7, "bbb"), (14, "c")],
    );
    check(" a \r\r\n", &[(0, " a \r")]);
}

#[test]
fn lines_go_across_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut content = String::new();
    let mut expected = vec![];
    // Far more than a block in all, and some lines longer than a block.
    for index in 0..4_000_usize {
        let length = if index % 1_000 == 999 {
            3 << 20
        } else {
            index % 2_000
        };
        let line = format!("{index}:{}", "x".repeat(length));
        expected.push((content.len() as u64, line.clone()));
        content += &line;
        content.push('\n');
    }
    fs::write(folder.path().join("f"), &content).unwrap();
    let source = source(&[("path", text(folder.path()))]).unwrap();
    for limit in [
        ALL,
        ReadLimit {
            rows: 7,
            bytes: 5_000,
        },
    ] {
        assert!(read(&*source, "f", limit, false) == expected);
    }
    // A batch that is still held is not overwritten by what is read later.
    let mut reader = source.open(&SplitId::new("f"), None).unwrap();
    let mut held = vec![];
    while let Read::Records(batch) = reader.read(ReadLimit { rows: 100, ..ALL }).unwrap() {
        held.push(batch);
    }
    let records: Vec<&[u8]> = held
        .iter()
        .flat_map(|b| (0..b.len()).map(|i| b.record(i)))
        .collect();
    assert!(
        records
            .iter()
            .zip(&expected)
            .all(|(found, (_, line))| *found == line.as_bytes())
    );
    assert_eq!(records.len(), expected.len());
    assert_eq!(reader.offset(), Offset(content.len() as u64));
    assert_eq!(reader.backlog(), Some(0));
}

/// Reads a file whose long lines are made of blanks; records as their offset and their length.
fn check_long_lines(content: &[u8], expected: &[(u64, usize)]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, content).unwrap();
    let source = source(&[("path", text(&path))]).unwrap();
    let read = |from: Option<Offset>| {
        let mut found = vec![];
        let mut reader = source.open(&SplitId::new("f"), from).unwrap();
        while let Read::Records(batch) = reader.read(ALL).unwrap() {
            for index in 0..batch.len() {
                let record = batch.record(index);
                let is_cut = record.last() == Some(&CUT_MARK);
                assert_eq!(is_cut, record.len() == CUT_BYTES + 1);
                found.push((batch.offsets[index], record.len()));
            }
            found.push((reader.offset().0, 0));
        }
        assert_eq!(reader.offset(), Offset(content.len() as u64));
        found
    };
    let all = read(None);
    let records = |found: &[(u64, usize)]| -> Vec<(u64, usize)> {
        found
            .iter()
            .copied()
            .filter(|(_, bytes)| *bytes > 0)
            .collect()
    };
    assert_eq!(records(&all), expected);
    // From wherever a reader has stopped, another one goes on with the same.
    for (index, (offset, bytes)) in all.iter().enumerate() {
        if *bytes == 0 {
            assert_eq!(
                records(&read(Some(Offset(*offset)))),
                records(&all[index..])
            );
        }
    }
}

#[test]
fn a_line_that_is_too_long_is_cut_and_the_next_is_whole() {
    let blanks = |count: usize| b" ".repeat(count);
    let longest = [&b"{}"[..], &blanks(LINE_BYTES_MAX - 2)].concat();
    check_long_lines(
        &[&b"{}\n"[..], &longest, b"\n{}\n"].concat(),
        &[(0, 2), (3, LINE_BYTES_MAX), (4 + LINE_BYTES_MAX as u64, 2)],
    );
    let too_long = [&longest[..], b" "].concat();
    let next = LINE_BYTES_MAX as u64 + 5;
    check_long_lines(
        &[&b"{}\n"[..], &too_long, b"\n{}\n", &too_long].concat(),
        &[
            (0, 2),
            (3, CUT_BYTES + 1),
            (next, 2),
            (next + 3, CUT_BYTES + 1),
        ],
    );
    // Blank, and so long that it is never held as a whole, with a short line before or not.
    let far = blanks(LINE_BYTES_MAX * 5 / 2);
    let next = far.len() as u64 + 1;
    check_long_lines(
        &[&far[..], b"\na\n"].concat(),
        &[(0, CUT_BYTES + 1), (next, 1)],
    );
    let odd = b"x".repeat(LINE_BYTES_MAX / 2);
    check_long_lines(
        &[&odd[..], b"\n", &too_long, b"\nb"].concat(),
        &[
            (0, odd.len()),
            (odd.len() as u64 + 1, CUT_BYTES + 1),
            ((odd.len() + too_long.len()) as u64 + 2, 1),
        ],
    );
}

#[test]
fn what_is_left_of_a_long_line_cannot_be_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let mut decoder = crate::formats::decoder(&config(&[]), &schema).unwrap();
    for content in ["{\"a\":1}", "{\"a\":1}\r", "1", ""] {
        let blanks = " ".repeat(LINE_BYTES_MAX);
        fs::write(&path, format!("{content}{blanks}\r\n{{\"a\":2}}\n")).unwrap();
        let source = source(&[("path", text(&path))]).unwrap();
        let mut reader = source.open(&SplitId::new("f"), None).unwrap();
        let mut next = || match reader.read(ALL).unwrap() {
            Read::Records(batch) => decoder.decode(&batch).unwrap(),
            other => panic!("{other:?}"),
        };
        let cut = next();
        assert_eq!((cut.rows.num_rows(), cut.rejected.len()), (0, 1));
        let whole = next();
        assert_eq!((whole.rows.num_rows(), whole.rejected.len()), (1, 0));
    }
}

#[test]
fn a_line_without_end_is_not_held_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "first\n").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let length = LINE_BYTES_MAX as u64 * 3;
    file.set_len(length).unwrap();
    let source = source(&[("path", text(&path))]).unwrap();
    let mut reader = source.open(&SplitId::new("f"), None).unwrap();
    assert!(matches!(reader.read(ALL).unwrap(), Read::Records(batch) if batch.len() == 1));
    let Read::Records(batch) = reader.read(ALL).unwrap() else {
        panic!("the line's beginning");
    };
    assert_eq!((batch.offsets.as_slice(), batch.len()), (&[6][..], 1));
    assert_eq!(batch.data.len(), CUT_BYTES + 1);
    assert_eq!(reader.offset(), Offset(length));
    assert!(matches!(reader.read(ALL).unwrap(), Read::End));
}

#[test]
fn says_what_is_wrong_with_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = refused(&[("path", text(&missing))]);
    assert!(error.contains("missing`: No such file"), "{error}");
    assert_eq!(refused(&[]), "no `path`; expected a file or a folder");
    assert_eq!(
        refused(&[("path", "s3://bucket/x")]),
        "`s3://bucket/x`: object stores such as `s3://` are not supported yet; expected a local path"
    );
    let options = [
        ("path", text(folder.path())),
        ("source.monitor-interval", "soon"),
    ];
    assert!(refused(&options).starts_with("`soon` is not a duration"));
    fs::write(folder.path().join("a.jsonl.gz"), "").unwrap();
    let error = refused(&[("path", text(folder.path()))]);
    assert!(
        error.contains("a.jsonl.gz`: compressed files (`.gz`) are not supported yet"),
        "{error}"
    );
}

#[test]
fn a_file_that_has_shrunk_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), "abc\n").unwrap();
    let source = source(&[("path", text(folder.path()))]).unwrap();
    assert!(source.open(&SplitId::new("f"), Some(Offset(4))).is_ok());
    let error = source
        .open(&SplitId::new("f"), Some(Offset(5)))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

fn sink_plan(options: &[(&str, &str)]) -> SinkPlan {
    let field = |name| Field::new(name, DataType::Int64, true);
    SinkPlan {
        id: SinkId(0),
        table: "t".into(),
        connector: config(options),
        schema: Arc::new(Schema::new(vec![field("a"), field("b")])),
        primary_key: vec![],
        role: SinkRole::Results,
    }
}

fn sink(storage: &MemoryStorage) -> Box<dyn Sink> {
    super::sink_on(Arc::new(storage.clone()), &sink_plan(&[])).unwrap()
}

fn context(sink: &str) -> SinkContext {
    SinkContext {
        pipeline: "web-clicks.v2".into(),
        incarnation: Incarnation(3),
        sink: sink.into(),
        run: Epoch(1),
    }
}

fn rows(values: std::ops::Range<i64>) -> RecordBatch {
    let doubled = Int64Array::from_iter_values(values.clone().map(|value| value * 2));
    let values = Int64Array::from_iter_values(values);
    let schema = sink_plan(&[]).schema;
    RecordBatch::try_new(schema, vec![Arc::new(values), Arc::new(doubled)]).unwrap()
}

/// What an engine does with a shard's prepared output before it writes the manifest.
fn sync(prepared: Option<Prepared>) -> Staged {
    let mut prepared = prepared.expect("rows were written");
    prepared
        .files
        .iter_mut()
        .for_each(|file| file.sync().unwrap());
    prepared.staged
}

fn visible(storage: &MemoryStorage) -> BTreeMap<String, String> {
    let names = storage.list("").unwrap();
    let names = names.into_iter().filter(|name| !name.starts_with('.'));
    names
        .map(|name| {
            let content = String::from_utf8(storage.read(&name).unwrap()).unwrap();
            (name, content)
        })
        .collect()
}

#[test]
fn rows_become_visible_with_the_commit() {
    let storage = MemoryStorage::default();
    let (sink, context) = (sink(&storage), context("t"));
    let mut writers = [0, 1].map(|shard| sink.writer(&context, ShardIndex(shard)).unwrap());
    writers[0].write(&rows(1..3)).unwrap();
    writers[0].write(&rows(3..3)).unwrap();
    writers[0].write(&rows(3..4)).unwrap();
    writers[1].write(&rows(-1..0)).unwrap();
    let staged = writers
        .each_mut()
        .map(|writer| sync(writer.prepare(Epoch(7)).unwrap()));
    assert_eq!(staged[0].rows, 3);
    assert!(writers[0].prepare(Epoch(8)).unwrap().is_none());
    assert_eq!(visible(&storage), BTreeMap::new());
    assert_eq!(sink.committed(&context).unwrap(), None);
    for _ in 0..2 {
        sink.commit(&context, Epoch(7), &staged).unwrap();
        let files = [
            (
                "part-web-clicks%2Ev2.t.3-0000000007-0.jsonl",
                "{\"a\":1,\"b\":2}\n{\"a\":2,\"b\":4}\n{\"a\":3,\"b\":6}\n",
            ),
            (
                "part-web-clicks%2Ev2.t.3-0000000007-1.jsonl",
                "{\"a\":-1,\"b\":-2}\n",
            ),
        ];
        let files = files.map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(visible(&storage), BTreeMap::from(files));
        assert_eq!(sink.committed(&context).unwrap(), Some(Epoch(7)));
    }
}

#[test]
fn a_commit_that_was_cut_off_goes_on_after_a_start() {
    let storage = MemoryStorage::default();
    let context = context("t");
    let first = sink(&storage);
    let mut writers = [0, 1].map(|shard| first.writer(&context, ShardIndex(shard)).unwrap());
    for writer in &mut writers {
        writer.write(&rows(0..2)).unwrap();
    }
    let staged = writers
        .each_mut()
        .map(|writer| sync(writer.prepare(Epoch(5)).unwrap()));
    writers[0].write(&rows(9..10)).unwrap();
    sync(writers[0].prepare(Epoch(6)).unwrap());
    // Only the first of two files is renamed; epoch 6 never had a manifest.
    first.commit(&context, Epoch(5), &staged[..1]).unwrap();
    storage.crash();
    let second = sink(&storage);
    assert_eq!(
        second.committed(&context).unwrap(),
        Some(Epoch(4)),
        "5 is not sure"
    );
    second.commit(&context, Epoch(5), &staged).unwrap();
    second
        .discard_before(&SinkContext {
            run: Epoch(7),
            ..context.clone()
        })
        .unwrap();
    assert_eq!(visible(&storage).len(), 2);
    assert_eq!(storage.list(".").unwrap(), [""; 0], "epoch 6 is gone");
    assert_eq!(sink(&storage).committed(&context).unwrap(), Some(Epoch(5)));
    second.commit(&context, Epoch(5), &staged).unwrap();
    assert_eq!(visible(&storage).len(), 2);
}

#[test]
fn a_new_run_does_not_write_into_staged_files() {
    let storage = MemoryStorage::default();
    let context = context("t");
    let mut staged = vec![];
    for epoch in 1..4 {
        let sink = sink(&storage);
        let run = Epoch(epoch as u64);
        let of_run = SinkContext {
            run,
            ..context.clone()
        };
        let mut writer = sink.writer(&of_run, ShardIndex(0)).unwrap();
        writer.write(&rows(epoch..epoch + 1)).unwrap();
        staged.push(sync(writer.prepare(Epoch(epoch as u64)).unwrap()));
    }
    for (staged, epoch) in staged.iter().zip(1..) {
        sink(&storage)
            .commit(&context, Epoch(epoch), std::slice::from_ref(staged))
            .unwrap();
    }
    let contents: Vec<String> = visible(&storage).into_values().collect();
    assert_eq!(
        contents,
        [
            "{\"a\":1,\"b\":2}\n",
            "{\"a\":2,\"b\":4}\n",
            "{\"a\":3,\"b\":6}\n"
        ]
    );
}

#[test]
fn sinks_of_similar_names_leave_each_other_alone() {
    let storage = MemoryStorage::default();
    let sink = sink(&storage);
    let names = ["t", "t-2", "t.2", "t/2"];
    let mut staged = vec![];
    for (name, shard) in names.into_iter().zip(0..) {
        let mut writer = sink.writer(&context(name), ShardIndex(shard)).unwrap();
        writer.write(&rows(0..1)).unwrap();
        staged.push(sync(writer.prepare(Epoch(2)).unwrap()));
    }
    sink.discard_before(&SinkContext {
        run: Epoch(2),
        ..context("t")
    })
    .unwrap();
    assert_eq!(storage.list(".").unwrap().len(), 3);
    sink.commit(&context("t-2"), Epoch(2), &staged[1..2])
        .unwrap();
    let fresh = super::sink_on(Arc::new(storage.clone()), &sink_plan(&[])).unwrap();
    assert_eq!(fresh.committed(&context("t")).unwrap(), None);
    assert_eq!(fresh.committed(&context("t-2")).unwrap(), Some(Epoch(2)));
}

#[test]
fn committed_files_belong_to_who_reads_them() {
    let storage = MemoryStorage::default();
    let context = context("t");
    let first = sink(&storage);
    let mut writer = first.writer(&context, ShardIndex(0)).unwrap();
    writer.write(&rows(0..2)).unwrap();
    let staged = [sync(writer.prepare(Epoch(1)).unwrap())];
    first.commit(&context, Epoch(1), &staged).unwrap();
    let name = visible(&storage).into_keys().next().unwrap();
    // Changed, then taken away: a start commits the epoch again, and leaves it so.
    storage.append(&name).unwrap().truncate(5).unwrap();
    sink(&storage).commit(&context, Epoch(1), &staged).unwrap();
    assert_eq!(storage.length(&name).unwrap(), Some(5));
    storage.delete(&name).unwrap();
    let second = sink(&storage);
    second.commit(&context, Epoch(1), &staged).unwrap();
    assert_eq!(visible(&storage), BTreeMap::new());
    let mut writer = second.writer(&context, ShardIndex(0)).unwrap();
    writer.write(&rows(2..3)).unwrap();
    let staged = [sync(writer.prepare(Epoch(2)).unwrap())];
    second.commit(&context, Epoch(2), &staged).unwrap();
    assert_eq!(visible(&storage).len(), 1);
}

#[test]
fn damaged_staged_files_are_found() {
    let storage = MemoryStorage::default();
    let (sink, context) = (sink(&storage), context("t"));
    let mut writer = sink.writer(&context, ShardIndex(0)).unwrap();
    writer.write(&rows(0..100)).unwrap();
    let staged = sync(writer.prepare(Epoch(2)).unwrap());
    let name = storage.list(".staging").unwrap().pop().unwrap();
    storage.append(&name).unwrap().truncate(5).unwrap();
    let error = sink
        .commit(&context, Epoch(2), std::slice::from_ref(&staged))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        format!("`{name}`: found 5 bytes, expected {}", staged.bytes)
    );
}

#[test]
fn large_epochs_are_streamed() {
    let storage = MemoryStorage::default();
    let (sink, context) = (sink(&storage), context("t"));
    let mut writer = sink.writer(&context, ShardIndex(0)).unwrap();
    for batch in 0..50 {
        writer
            .write(&rows(batch * 1_000..(batch + 1) * 1_000))
            .unwrap();
        assert!(writer.buffered_bytes() < 1 << 20);
    }
    let staged = sync(writer.prepare(Epoch(1)).unwrap());
    assert!(staged.bytes > 1 << 20);
    sink.commit(&context, Epoch(1), &[staged]).unwrap();
    let content = visible(&storage).into_values().next().unwrap();
    for (line, value) in content.lines().zip(0..) {
        assert_eq!(line, format!("{{\"a\":{value},\"b\":{}}}", value * 2));
    }
    assert_eq!(content.lines().count(), 50_000);
}

#[test]
fn what_the_sink_writes_the_source_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/on/demand");
    let options = [("path", text(&path))];
    let sink = super::sink(&sink_plan(&options)).unwrap();
    let context = context("t");
    let mut writer = sink.writer(&context, ShardIndex(0)).unwrap();
    writer.write(&rows(0..2)).unwrap();
    let staged = sync(writer.prepare(Epoch(1)).unwrap());
    let source = source(&options).unwrap();
    assert_eq!(source.splits().unwrap(), [], "staged files are hidden");
    sink.commit(&context, Epoch(1), &[staged]).unwrap();
    let splits = source.splits().unwrap();
    assert_eq!(splits.len(), 1);
    let records = read(&*source, splits[0].id.as_str(), ALL, false);
    assert_eq!(records[1], (14, "{\"a\":1,\"b\":2}".to_owned()));
    fs::write(folder.path().join("file"), "").unwrap();
    let file = folder.path().join("file");
    assert!(super::sink(&sink_plan(&[("path", text(&file))])).is_err());
}
