//! Files that are damaged, cut short or of a newer version are refused, by name.

use std::sync::Arc;

use millstream::sink::Staged;
use millstream::{Error, ErrorKind, Result};
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::Epoch;
use millstream_core::connector::Connectors;
use millstream_engine::checkpoint::{Manifest, Savepoint, segment};

use super::made::{Still, connectors, context, storage};
use super::{Files, fixture};

/// What is done to the bytes of a file.
type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
/// Reads the files of a format.
type Read<'a> = &'a dyn Fn(&Files) -> Result<()>;

/// Damages the file `name`, reads the files, and compares the error.
fn check(
    files: &Files,
    (name, change): (&str, Change<'_>),
    read: Read<'_>,
    (kind, expected): (ErrorKind, &str),
) {
    let mut files = files.clone();
    change(
        files
            .get_mut(name)
            .unwrap_or_else(|| panic!("no file {name}")),
    );
    let error = read(&files).expect_err(expected);
    let text = error.to_string();
    assert!(text.contains(name), "expected `{name}` in: {text}");
    assert!(text.contains(expected), "expected `{expected}` in: {text}");
    assert_eq!(error.kind(), kind, "{text}");
}

fn flip(at: usize) -> impl Fn(&mut Vec<u8>) {
    move |bytes| bytes[at] ^= 1
}

fn cut(by: usize) -> impl Fn(&mut Vec<u8>) {
    move |bytes| bytes.truncate(bytes.len() - by)
}

fn replace<'a>(from: &'a str, to: &'a str) -> impl Fn(&mut Vec<u8>) + 'a {
    move |bytes| {
        let text = String::from_utf8(std::mem::take(bytes)).unwrap();
        assert!(text.contains(from), "no `{from}` in {text}");
        *bytes = text.replacen(from, to, 1).into_bytes();
    }
}

const CORRUPT: ErrorKind = ErrorKind::Corrupt;
const INVALID: ErrorKind = ErrorKind::InvalidInput;

#[test]
fn manifests_and_savepoints() {
    let manifest = |files: &Files| Manifest::decode("manifest", &files["manifest"]).map(drop);
    let savepoint = |files: &Files| Savepoint::decode("savepoint", &files["savepoint"]).map(drop);
    let read: [(&str, &str, Read<'_>); 2] = [
        ("manifest/v1", "manifest", &manifest),
        ("savepoint/v1", "savepoint", &savepoint),
    ];
    for (version, name, read) in read {
        let files = fixture(version);
        let header = format!("millstream-{name} 1 ");
        let newer = format!("millstream-{name} 2 ");
        let refused = |change: Change<'_>, expected: (ErrorKind, &str)| {
            check(&files, (name, change), read, expected);
        };
        let expected = "newer version: format 2, this one reads up to 1";
        refused(&replace(&header, &newer), (INVALID, expected));
        refused(&flip(200), (CORRUPT, "checksum crc32="));
        refused(&cut(1), (CORRUPT, "expected, found"));
        refused(&flip(0), (CORRUPT, "header `"));
    }
}

#[test]
fn state_segments() {
    let files = fixture("state-segment/v2");
    let read =
        |files: &Files| segment::decode("segment.arrow", files["segment.arrow"].clone()).map(drop);
    let newer = |bytes: &mut Vec<u8>| {
        let at = position(bytes, b"millstream.version");
        // The value stands near the key, as the only text `2` with its length before it.
        let value = position(bytes, b"\x01\0\0\x002\0\0\0");
        assert!(at.abs_diff(value) < 100, "{at} {value}");
        while let Some(value) = find(bytes, b"\x01\0\0\x002\0\0\0") {
            bytes[value + 4] = b'9';
        }
    };
    let expected = "newer version: format 9, this one reads up to 2";
    check(
        &files,
        ("segment.arrow", &newer),
        &read,
        (INVALID, expected),
    );
    check(
        &files,
        ("segment.arrow", &cut(1)),
        &read,
        (CORRUPT, "is damaged"),
    );
    // What else is damaged is found by the checksum that the manifest has of the whole file.
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}

fn position(bytes: &[u8], pattern: &[u8]) -> usize {
    find(bytes, pattern).expect("it is there")
}

fn open_topics(files: &Files) -> Result<()> {
    let storage = Arc::new(storage(files));
    TopicLog::open(storage, Arc::new(Still), TopicLogConfig::default()).map(drop)
}

#[test]
fn topics() {
    let files = fixture("topic/v1");
    let refused = |name: &str, change: Change<'_>, expected: (ErrorKind, &str)| {
        let name = format!("topics/orders/{name}");
        check(&files, (&name, change), &open_topics, expected);
    };
    let newer = "newer version: format 3, this one reads up to 2";
    refused(
        "topic.json",
        &replace("\"format\":2", "\"format\":3"),
        (INVALID, newer),
    );
    let partitions = replace("\"partitions\":2", "\"partitions\":3");
    refused(
        "topic.json",
        &partitions,
        (CORRUPT, "the checksum is wrong"),
    );
    refused("topic.json", &cut(1), (CORRUPT, "EOF while parsing"));
    let newer = "newer version: format 2, this one reads up to 1";
    let producers = "0/producers.json";
    refused(
        producers,
        &replace("\"format\":1", "\"format\":2"),
        (INVALID, newer),
    );
    refused(
        producers,
        &replace("\"epoch\":5", "\"epoch\":6"),
        (CORRUPT, "the checksum is wrong"),
    );
    refused(producers, &cut(1), (CORRUPT, "EOF while parsing"));
    let last = "0/00000000000000000002.log";
    let version = |bytes: &mut Vec<u8>| {
        bytes[6] = 2;
        let crc = crc32fast::hash(&bytes[..20]).to_le_bytes();
        bytes[20..24].copy_from_slice(&crc);
    };
    refused(
        last,
        &version,
        (CORRUPT, "found a segment of version 2, expected 1"),
    );
    refused(
        last,
        &flip(30),
        (CORRUPT, "the batch header's checksum is wrong"),
    );
    refused(last, &cut(1), (CORRUPT, "the file ends within a batch"));
    refused(
        last,
        &|bytes| *bytes.last_mut().unwrap() ^= 1,
        (CORRUPT, "the records' checksum"),
    );
    let other = |bytes: &mut Vec<u8>| {
        bytes.truncate(32);
        bytes[3] = b'2';
    };
    let expected = "expected those of version `MSA1`";
    refused("0/acknowledged", &other, (CORRUPT, expected));
    let expected = "found 31 bytes without a sound entry";
    refused(
        "0/acknowledged",
        &|bytes| bytes.truncate(31),
        (CORRUPT, expected),
    );
}

#[test]
fn hot_tables() {
    let files = fixture("hot-table/v1");
    let read = |files: &Files| HotTables::open(Arc::new(storage(files))).map(drop);
    let refused = |name: &str, change: Change<'_>, expected: (ErrorKind, &str)| {
        let name = format!("tables/rt.totals/{name}");
        check(&files, (&name, change), &read, expected);
    };
    let version = "versions/00000000000000000002.json";
    let newer = "format=7 is from a newer version; expected 1";
    refused(
        version,
        &replace("\"format\":1", "\"format\":7"),
        (INVALID, newer),
    );
    refused(
        version,
        &replace("\"rows\":2", "\"rows\":3"),
        (CORRUPT, "checksum does not match"),
    );
    refused(version, &cut(2), (CORRUPT, "not a table version"));
    let part = "parts/e-orders.totals-1-00000000000000000005-1.parquet";
    refused(part, &flip(40), (CORRUPT, "checksum does not match"));
    refused(part, &cut(1), (CORRUPT, "expected bytes="));
}

#[test]
fn staged_records() {
    let files = fixture("staged/v1");
    let staged: Staged = serde_json::from_slice(&files["in-the-manifest.json"]).unwrap();
    let path = files
        .keys()
        .find(|path| path.starts_with("staging/"))
        .unwrap();
    let read = |files: &Files| -> Result<()> {
        let storage = storage(files);
        let (connectors, plan) = connectors(&storage);
        let plan = plan
            .sinks
            .iter()
            .find(|plan| plan.table == "copies")
            .unwrap();
        let sink = connectors.sink(plan)?;
        sink.commit(&context("copies"), Epoch(5), std::slice::from_ref(&staged))
    };
    check(&files, (path, &flip(8)), &read, (CORRUPT, "with crc32="));
    check(
        &files,
        (path, &cut(1)),
        &read,
        (CORRUPT, "bytes with crc32="),
    );
    let error: Error = {
        let mut files = files.clone();
        files.remove(path);
        read(&files).unwrap_err()
    };
    assert!(
        error.to_string().contains("the staged file is gone"),
        "{error}"
    );
}
