//! Many threads append: they share fsyncs, nothing is lost or doubled, and what waits is bounded.

use std::sync::Arc;

use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::{Epoch, ErrorKind, Incarnation, Offset};

use super::faulty::{FaultyStorage, Operation};
use super::world::{ALL, check_error, drain, records};
use crate::test_env::TestEnv;
use crate::topic::{ProducerEpoch, TopicLog, TopicLogConfig};

fn open(storage: &FaultyStorage, config: TopicLogConfig) -> Arc<TopicLog> {
    TopicLog::open(
        Arc::new(storage.clone()),
        Arc::new(TestEnv::default()),
        config,
    )
    .unwrap()
}

/// Waits until appends of so many bytes are under way. Fails after a while by not ending.
fn wait_for_pending(log: &TopicLog, bytes: usize) {
    while log.pending_bytes() < bytes {
        std::thread::yield_now();
    }
}

/// One append of one letter counts 5 bytes: the record and its length.
const LETTER: usize = 5;

#[test]
fn appends_that_wait_share_one_fsync() {
    let storage = FaultyStorage::default();
    let log = open(&storage, TopicLogConfig::default());
    log.create_topic("t", 1).unwrap();
    let before = storage.control.syncs();
    storage.control.close_gate();
    std::thread::scope(|scope| {
        let log = &log;
        let first = scope.spawn(move || log.append("t", None, &records("a")).unwrap());
        // The first one is in its fsync; the others gather behind it.
        while storage.control.syncs() == before {
            std::thread::yield_now();
        }
        let append = move |word: char| log.append("t", None, &records(&word.to_string())).unwrap();
        let others: Vec<_> = ('b'..='i')
            .map(|word| scope.spawn(move || append(word)))
            .collect();
        while log.queued("t") < 8 {
            std::thread::yield_now();
        }
        assert!(matches!(
            log.reader("t", 0, Offset(0)).unwrap().read(ALL).unwrap(),
            Read::Pending
        ));
        storage.control.open_gate();
        assert_eq!(first.join().unwrap().base_offset, Offset(0));
        let mut offsets: Vec<u64> = others
            .into_iter()
            .map(|thread| thread.join().unwrap().base_offset.0)
            .collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (1..=8).collect::<Vec<_>>());
    });
    assert_eq!(
        storage.control.syncs() - before,
        2,
        "one for the first, one for all others"
    );
    assert_eq!(log.pending_bytes(), 0);
}

#[test]
fn a_failed_fsync_fails_all_that_shared_it() {
    let storage = FaultyStorage::default();
    let log = open(&storage, TopicLogConfig::default());
    log.create_topic("t", 1).unwrap();
    storage.control.close_gate();
    let before = storage.control.syncs();
    std::thread::scope(|scope| {
        let log = &log;
        let first = scope.spawn(move || log.append("t", None, &records("a")));
        while storage.control.syncs() == before {
            std::thread::yield_now();
        }
        let others: Vec<_> = (0..3)
            .map(|_| scope.spawn(move || log.append("t", None, &records("b"))))
            .collect();
        while log.queued("t") < 3 {
            std::thread::yield_now();
        }
        storage
            .control
            .fail_next(Operation::Sync, ErrorKind::StorageFull);
        storage.control.open_gate();
        check_error(first.join().unwrap(), ErrorKind::StorageFull, &[]);
        for other in others {
            other.join().unwrap().unwrap();
        }
    });
    let mut reader = log.reader("t", 0, Offset(0)).unwrap();
    assert_eq!(drain(&mut reader, ALL).unwrap(), "0:b 1:b 2:b");
}

#[test]
fn what_waits_is_bounded() {
    let storage = FaultyStorage::default();
    let config = TopicLogConfig {
        pending_bytes_max: 12,
        ..TopicLogConfig::default()
    };
    let log = open(&storage, config);
    log.create_topic("t", 1).unwrap();
    log.append("t", None, &records("larger-than-the-bound-but-alone"))
        .unwrap();
    storage.control.close_gate();
    std::thread::scope(|scope| {
        let log = &log;
        let waiting = scope.spawn(move || log.append("t", None, &records("a b")).unwrap());
        wait_for_pending(log, 2 * LETTER);
        check_error(
            log.append("t", None, &records("c")),
            ErrorKind::Unavailable,
            &["10 bytes wait to be written, at most 12 may; try again"],
        );
        storage.control.open_gate();
        waiting.join().unwrap();
    });
    log.append("t", None, &records("c")).unwrap();
    assert_eq!(log.end_offsets("t").unwrap(), [Offset(4)]);
}

#[test]
fn an_epoch_has_room_whatever_waits() {
    let storage = FaultyStorage::default();
    let config = TopicLogConfig {
        pending_bytes_max: 12,
        ..TopicLogConfig::default()
    };
    let log = open(&storage, config);
    log.create_topic("t", 1).unwrap();
    let producer = ProducerEpoch {
        id: "p".into(),
        incarnation: Incarnation(0),
        epoch: Epoch(1),
    };
    storage.control.close_gate();
    std::thread::scope(|scope| {
        let (log, producer) = (&log, &producer);
        let waiting = scope.spawn(move || log.append("t", None, &records("a b")).unwrap());
        wait_for_pending(log, 2 * LETTER);
        let sets = [records("c d"), records("e")];
        let epoch = scope.spawn(move || log.append_epoch("t", 0, producer, &sets));
        while log.queued("t") < 1 && !epoch.is_finished() {
            std::thread::yield_now();
        }
        // Nor does the epoch take the room of what else is appended.
        assert_eq!(log.pending_bytes(), 2 * LETTER);
        storage.control.open_gate();
        waiting.join().unwrap();
        assert_eq!(epoch.join().unwrap().unwrap().unwrap().count, 3);
    });
    assert_eq!(log.end_offsets("t").unwrap(), [Offset(5)]);
}

#[test]
fn many_threads_lose_and_double_nothing_while_a_reader_follows() {
    const THREADS: usize = 8;
    const APPENDS: usize = 100;
    let storage = FaultyStorage::default();
    let config = TopicLogConfig {
        segment_bytes: 2_000,
        ..TopicLogConfig::default()
    };
    let log = open(&storage, config);
    log.create_topic("t", 1).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for number in 0..APPENDS {
                    let words = format!("{thread}/{number}/a {thread}/{number}/b");
                    log.append("t", None, &records(&words)).unwrap();
                }
            });
        }
        let mut reader = log.reader("t", 0, Offset(0)).unwrap();
        let mut last = [-1_i64; THREADS];
        while reader.offset().0 < (2 * THREADS * APPENDS) as u64 {
            let Read::Records(batch) = reader
                .read(ReadLimit {
                    rows: 7,
                    bytes: 100,
                })
                .unwrap()
            else {
                std::thread::yield_now();
                continue;
            };
            for index in 0..batch.len() {
                let record = std::str::from_utf8(batch.record(index)).unwrap();
                let parts: Vec<&str> = record.split('/').collect();
                let thread: usize = parts[0].parse().unwrap();
                let place = 2 * parts[1].parse::<i64>().unwrap() + i64::from(parts[2] == "b");
                assert_eq!(
                    place,
                    last[thread] + 1,
                    "each thread's records are in its order"
                );
                last[thread] = place;
            }
        }
        assert_eq!(last, [(2 * APPENDS - 1) as i64; THREADS]);
    });
    storage.inner.crash();
    let log = open(&storage, config);
    assert_eq!(
        log.end_offsets("t").unwrap(),
        [Offset((2 * THREADS * APPENDS) as u64)]
    );
}
