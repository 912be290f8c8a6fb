//! Writes and fsyncs that fail: nothing that failed stays, and the next append works.

use std::sync::Arc;

use millstream_core::storage::Storage;
use millstream_core::{ErrorKind, Offset, Result};

use super::faulty::{FaultyStorage, Operation};
use super::world::{ALL, check_error, drain, path, records};
use crate::test_env::TestEnv;
use crate::topic::{TopicLog, TopicLogConfig};

fn open(storage: &FaultyStorage) -> Result<Arc<TopicLog>> {
    let config = TopicLogConfig {
        segment_bytes: 200,
        ..TopicLogConfig::default()
    };
    TopicLog::open(
        Arc::new(storage.clone()),
        Arc::new(TestEnv::default()),
        config,
    )
}

fn world() -> (FaultyStorage, Arc<TopicLog>) {
    let storage = FaultyStorage::default();
    let log = open(&storage).unwrap();
    log.create_topic("t", 1).unwrap();
    (storage, log)
}

fn read(log: &TopicLog) -> String {
    drain(&mut log.reader("t", 0, Offset(0)).unwrap(), ALL).unwrap()
}

#[test]
fn a_failed_append_is_not_there_and_the_next_one_is() {
    use Operation::{Append, Sync, SyncThenFail};
    for operation in [Append, Sync, SyncThenFail] {
        for kind in [ErrorKind::StorageFull, ErrorKind::Unavailable] {
            let (storage, log) = world();
            log.append("t", None, &records("a b")).unwrap();
            let before = storage.inner.read(&path(0)).unwrap();
            storage.control.fail_next(operation, kind);
            check_error(
                log.append("t", None, &records("lost")),
                kind,
                &["failed on purpose"],
            );
            assert_eq!(read(&log), "0:a 1:b");
            assert_eq!(
                storage.inner.read(&path(0)).unwrap(),
                before,
                "{operation:?}"
            );
            assert_eq!(
                log.append("t", None, &records("c")).unwrap().base_offset,
                Offset(2)
            );
            storage.inner.crash();
            assert_eq!(read(&open(&storage).unwrap()), "0:a 1:b 2:c");
        }
    }
}

/// Found by the kill test: a folder that could not be written to, SIGKILL, and a batch that had been
/// refused was there, besides its repetition.
#[test]
fn a_refused_append_is_not_there_after_a_kill_although_nothing_could_be_written() {
    use Operation::{Note, Put};
    for (is_started_anew, failing) in [(true, [Put, Put]), (false, [Note, Put])] {
        let (storage, mut log) = world();
        log.append("t", None, &records("a b")).unwrap();
        if is_started_anew {
            log = open(&storage).unwrap();
        }
        for operation in failing {
            storage.control.fail_next(operation, ErrorKind::Unavailable);
        }
        let refused = log.append("t", None, &records("refused"));
        check_error(refused, ErrorKind::Unavailable, &["failed on purpose"]);
        drop(log);
        storage.control.heal();
        let log = open(&storage).unwrap();
        assert_eq!(read(&log), "0:a 1:b", "{failing:?}");
        let next = log.append("t", None, &records("c")).unwrap();
        assert_eq!(next.base_offset, Offset(2));
    }
}

#[test]
fn the_very_first_append_may_fail() {
    for operation in [Operation::Append, Operation::Sync, Operation::SyncThenFail] {
        let (storage, log) = world();
        storage.control.fail_next(operation, ErrorKind::StorageFull);
        log.append("t", None, &records("lost")).unwrap_err();
        assert_eq!(read(&log), "");
        storage.inner.crash();
        assert_eq!(read(&open(&storage).unwrap()), "");
        assert_eq!(
            log.append("t", None, &records("a")).unwrap().base_offset,
            Offset(0)
        );
        storage.inner.crash();
        assert_eq!(read(&open(&storage).unwrap()), "0:a");
    }
}

#[test]
fn a_partition_that_cannot_be_repaired_stays_shut_until_it_can() {
    let (storage, log) = world();
    log.append("t", None, &records("a")).unwrap();
    storage
        .control
        .fail_next(Operation::SyncThenFail, ErrorKind::Unavailable);
    for _ in 0..3 {
        storage
            .control
            .fail_next(Operation::Truncate, ErrorKind::Unavailable);
    }
    // It fails, and so does the repair; then the two repairs of the next append.
    log.append("t", None, &records("lost")).unwrap_err();
    check_error(
        log.append("t", None, &records("lost too")),
        ErrorKind::Unavailable,
        &["Truncate failed"],
    );
    assert_eq!(
        read(&log),
        "0:a",
        "what is acknowledged can be read all the time"
    );
    assert_eq!(
        log.append("t", None, &records("b")).unwrap().base_offset,
        Offset(1)
    );
    assert_eq!(read(&log), "0:a 1:b");
}

#[test]
fn a_segment_that_was_damaged_meanwhile_is_not_written_to() {
    let (storage, log) = world();
    log.append("t", None, &records("a")).unwrap();
    let mut bytes = storage.inner.read(&path(0)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    storage
        .control
        .fail_next(Operation::Sync, ErrorKind::Unavailable);
    storage.inner.put(&path(0), &bytes).unwrap();
    log.append("t", None, &records("lost")).unwrap_err();
    check_error(
        log.append("t", None, &records("b")),
        ErrorKind::Corrupt,
        &[&path(0)],
    );
    storage.inner.put(&path(0), &bytes[..last]).unwrap();
    let expected = [&path(0), "that were acknowledged"];
    check_error(
        log.append("t", None, &records("b")),
        ErrorKind::Corrupt,
        &expected,
    );
}

#[test]
fn a_new_segment_may_fail_to_begin() {
    use Operation::{Append, Sync, SyncThenFail};
    for operation in [Append, Sync, SyncThenFail] {
        let (storage, log) = world();
        let long = "x".repeat(200);
        log.append("t", None, &records(&long)).unwrap();
        storage.control.fail_next(operation, ErrorKind::StorageFull);
        log.append("t", None, &records("lost")).unwrap_err();
        let crashed = FaultyStorage {
            inner: storage.inner.snapshot(),
            ..Default::default()
        };
        crashed.inner.crash();
        assert_eq!(read(&open(&crashed).unwrap()), format!("0:{long}"));
        assert_eq!(
            log.append("t", None, &records("b")).unwrap().base_offset,
            Offset(1)
        );
        storage.inner.crash();
        assert_eq!(read(&open(&storage).unwrap()), format!("0:{long} 1:b"));
    }
}

#[test]
fn a_topic_that_cannot_be_made_is_not_there() {
    let (storage, log) = world();
    storage
        .control
        .fail_next(Operation::Put, ErrorKind::StorageFull);
    check_error(
        log.create_topic("x", 1),
        ErrorKind::StorageFull,
        &["Put failed"],
    );
    assert!(!log.topic_exists("x"));
    log.create_topic("x", 1).unwrap();
}

#[test]
fn a_topic_whose_making_got_no_answer_can_be_made_again() {
    let storage = FaultyStorage::default();
    let log = open(&storage).unwrap();
    let kind = ErrorKind::Unavailable;
    storage.control.fail_next(Operation::PutThenFail, kind);
    check_error(log.ensure_topic("t", Some(3)), kind, &["failed on purpose"]);
    assert!(!log.topic_exists("t"), "nobody was told that it is there");
    log.ensure_topic("t", Some(2)).unwrap();
    log.append("t", Some(1), &records("a")).unwrap();
    let log = open(&storage).unwrap();
    assert_eq!(log.end_offsets("t").unwrap(), [Offset(0), Offset(1)]);
}
