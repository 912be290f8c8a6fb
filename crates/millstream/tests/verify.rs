//! `verify` over a real data directory: each file is damaged in each way in turn, and must be named.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use millstream::verify::{Verified, verify};
use millstream::{Pipeline, Rows};
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::storage::DataDirectory;
use millstream_core::EventTime;
use millstream_engine::checkpoint::Savepoints;

const EVENTS: &str = "CREATE TABLE events (
  id STRING, n BIGINT, at_ms BIGINT,
  at AS TO_TIMESTAMP_LTZ(at_ms, 3),
  WATERMARK FOR at AS at - INTERVAL '1' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'events', 'format' = 'json', 'topic.partitions' = '1');";

/// Rows of the program go into the topic.
fn feed(path: &Path, run: i64) {
    let rows = |name: &str, ids: Vec<String>, times: Vec<i64>| {
        let numbers = Int64Array::from_iter_values(times.iter().map(|at| at % 7));
        let columns = [
            ("id", Arc::new(StringArray::from(ids)) as ArrayRef),
            ("n", Arc::new(numbers) as _),
            ("at_ms", Arc::new(Int64Array::from(times)) as _),
        ];
        RecordBatch::try_from_iter(columns).expect(name)
    };
    let ids = (0..60).map(|row| format!("{run}-{row}")).collect();
    let times = (0..60)
        .map(|row| 1_000_000 + (run * 60 + row) * 1_000)
        .collect();
    let sql = format!(
        "SET 'pipeline.name' = 'feed-{run}';
         CREATE TABLE made (id STRING, n BIGINT, at_ms BIGINT) WITH ('connector' = 'rust');
         {EVENTS} INSERT INTO events SELECT * FROM made;"
    );
    let sql = sql
        .replace("at AS TO_TIMESTAMP_LTZ(at_ms, 3),", "")
        .replace(
            "at_ms BIGINT,\n  \n  WATERMARK FOR at AS at - INTERVAL '1' SECOND",
            "at_ms BIGINT",
        );
    let made = Rows::new(vec![rows("made", ids, times)]);
    let pipeline = Pipeline::from_sql(sql).data_dir(path).source("made", made);
    pipeline.run().expect("it feeds");
}

/// Reads what is in the topic, then stops: some windows have come out, some are open.
fn count(path: &Path, rows: u64) {
    let sql = format!(
        "SET 'pipeline.name' = 'counts';
         {EVENTS}
         CREATE TABLE minutes (start_at TIMESTAMP(3), n BIGINT, c BIGINT,
           PRIMARY KEY (start_at, n) NOT ENFORCED) WITH ('connector' = 'clickhouse');
         CREATE TABLE copies (id STRING) WITH ('connector' = 'clickhouse');
         CREATE TABLE hours (start_at TIMESTAMP(3), c BIGINT) WITH ('connector' = 'clickhouse');
         CREATE TABLE totals (start_at TIMESTAMP(3), c BIGINT)
         WITH ('connector' = 'kafka', 'topic' = 'totals', 'format' = 'json');
         INSERT INTO minutes SELECT window_start, n, COUNT(*)
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(at), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, n;
         INSERT INTO copies SELECT id FROM events;
         INSERT INTO hours SELECT window_start, COUNT(*)
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(at), INTERVAL '1' HOUR))
         GROUP BY window_start, window_end;
         INSERT INTO totals SELECT window_start, COUNT(*)
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(at), INTERVAL '20' SECOND))
         GROUP BY window_start, window_end;"
    );
    let settings = [
        ("execution.checkpointing.interval", "10ms"),
        ("parallelism.default", "2"),
    ];
    let pipeline = Pipeline::from_sql(sql).data_dir(path);
    let pipeline = settings
        .iter()
        .fold(pipeline, |made, (key, value)| made.setting(*key, *value));
    let running = pipeline.start().expect("it starts");
    let (_never, pause) = sync_channel::<()>(0);
    let mut patience = 3_000;
    let read = || {
        running
            .status()
            .sources
            .first()
            .map_or(0, |source| source.rows_read)
    };
    while read() < rows {
        let _ = pause.recv_timeout(Duration::from_millis(10));
        patience -= 1;
        assert!(
            patience > 0 && !running.is_ended(),
            "{:?}",
            running.status()
        );
    }
    running.stop().expect("it stops");
}

/// A data directory with topics, tables, and checkpoints of several runs.
fn data(path: &Path) {
    for run in 0..3 {
        feed(path, run);
        count(path, 60 * (run as u64 + 1));
    }
    let directory = DataDirectory::open(path).expect("nobody has it");
    let storage = Arc::new(directory.storage());
    let savepoints = Savepoints::new(storage.clone(), "counts");
    savepoints.create("kept", 1_000).expect("there is an epoch");
    // What a server does once a second.
    let tables = HotTables::open(storage).expect("they are sound");
    while tables.maintain(EventTime(0)).expect("it can be written") {}
}

fn found(path: &Path) -> Verified {
    verify(path, &mut |_, _| ()).expect("it is a data directory")
}

fn files(root: &Path, folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(root, &path, paths),
            false => paths.push(path.strip_prefix(root).unwrap().display().to_string()),
        }
    }
    paths.sort();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// A flipped bit of the byte at so many thousandths of the file.
    Flip(usize),
    /// The first half is left.
    Half,
    Empty,
    Gone,
    /// Bytes are added.
    Longer,
}

const DAMAGES: [Damage; 8] = [
    Damage::Flip(0),
    Damage::Flip(300),
    Damage::Flip(700),
    Damage::Flip(1000),
    Damage::Half,
    Damage::Empty,
    Damage::Gone,
    Damage::Longer,
];

impl Damage {
    fn strike(self, path: &Path, bytes: &[u8]) {
        let mut damaged = bytes.to_vec();
        match self {
            Self::Flip(at) => damaged[(bytes.len() - 1) * at / 1000] ^= 4,
            Self::Half => damaged.truncate(bytes.len() / 2),
            Self::Empty => damaged.clear(),
            Self::Gone => return fs::remove_file(path).unwrap(),
            Self::Longer => damaged.extend_from_slice(b"more"),
        }
        fs::write(path, damaged).unwrap();
    }
}

/// What cannot be seen, and why.
fn is_unseen(
    (file, bytes): (&str, &[u8]),
    (damage, files): (Damage, &[String]),
) -> Option<&'static str> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let is_newest = |folder: &str| {
        let (own, _) = file.rsplit_once('/').unwrap_or_default();
        let mut beside = files.iter().filter(|path| path.starts_with(own));
        own.ends_with(folder) && beside.next_back().is_some_and(|newest| newest == file)
    };
    match damage {
        _ if file == "LOCK" => Some("its text counts only while a process holds it"),
        Damage::Gone if file.contains("/savepoints/") => Some("so it looks when it is dropped"),
        Damage::Longer if name.ends_with(".log") => {
            Some("looks like a write that a crash has torn, which the next start cuts off: a note")
        }
        Damage::Longer if name == "acknowledged" => Some("looks like a torn entry: a note"),
        Damage::Half if name == "acknowledged" && bytes.len() >= 64 => {
            Some("looks like a torn entry: a note")
        }
        Damage::Gone if name == "acknowledged" => {
            Some("older versions wrote none, and the next start makes it: a note")
        }
        Damage::Gone if is_newest("/versions") => {
            Some("the newest manifest commits it again, or the table has no rows and is made again")
        }
        Damage::Gone
            if is_newest("/manifests")
                && !String::from_utf8_lossy(bytes).contains(r#""staged":[{"#) =>
        {
            Some("nothing came out in that epoch, so the one before it is as good")
        }
        _ => None,
    }
}

#[test]
fn every_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    data(path);
    let sound = found(path);
    assert_eq!((&sound.problems[..], &sound.notes[..]), (&[][..], &[][..]));
    let counts = sound.counts;
    assert_eq!((counts.pipelines, counts.topics, counts.tables), (4, 2, 5));
    assert!(counts.state_segments > 0, "{counts:?}");
    assert_eq!(counts.records, 180 + 8, "two of each 20 s are open");
    let mut paths = vec![];
    files(path, path, &mut paths);
    assert_eq!(sound.files, paths.len() - 2, "all but LOCK and VERSION");
    let mut unseen = vec![];
    for file in &paths {
        let full = path.join(file);
        let bytes = fs::read(&full).unwrap();
        if bytes.is_empty() {
            assert_eq!(file, "LOCK", "an empty file");
            continue;
        }
        for damage in DAMAGES {
            damage.strike(&full, &bytes);
            let verified = found(path);
            let names = |text: &str| text.contains(file.as_str());
            let is_named = verified.problems.iter().any(|found| names(&found.path));
            match (is_named, is_unseen((file, &bytes), (damage, &paths))) {
                (true, None) | (false, Some(_)) => {}
                _ => unseen.push(format!(
                    "{file} {damage:?}: {is_named} {:?}",
                    verified.problems
                )),
            }
            if damage != Damage::Gone && file != "LOCK" {
                let is_noted = verified.notes.iter().any(|note| names(&note.path));
                assert!(
                    is_named || is_noted,
                    "{file} {damage:?}: {:?}",
                    verified.notes
                );
            }
            fs::write(&full, &bytes).unwrap();
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    assert!(found(path).problems.is_empty());
}

#[test]
fn a_directory_in_use_a_newer_one_and_one_of_somebody_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let refused = |expected: &str| {
        let error = verify(&path, &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused("does not exist");
    let owner = DataDirectory::open(&path).unwrap();
    refused("is in use by process");
    drop(owner);
    assert!(found(&path).problems.is_empty());
    fs::write(path.join("VERSION"), "millstream data 9\n").unwrap();
    refused("newer version: found 9, this one reads up to 1");
    fs::remove_file(path.join("VERSION")).unwrap();
    let problems = found(&path).problems;
    assert_eq!(
        problems[0].to_string(),
        "VERSION: is missing, expected `millstream data 1`"
    );
}

#[test]
fn what_the_next_start_removes_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    data(path);
    let loose = [
        "topics/events/0/.tmp-1-2",
        "pipelines/counts/state/00000000000000000009-0-0000000000000000.arrow",
        "staging/counts/totals/0000000000.00000000000000000001-0000000000000000-0-0",
        "tables/default.copies/parts/e-counts.copies-0-00000000000000009999-0.parquet",
        "tables/default.copies/parts/m-00000000000000000001.parquet",
        "notes.txt",
    ];
    for file in loose {
        let full = path.join(file);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, "x").unwrap();
    }
    let verified = found(path);
    assert_eq!(verified.problems, []);
    let mut noted: Vec<&str> = verified
        .notes
        .iter()
        .map(|note| note.path.as_str())
        .collect();
    noted.sort_unstable();
    let mut expected = loose.to_vec();
    expected.sort_unstable();
    assert_eq!(noted, expected);
}
