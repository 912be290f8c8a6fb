//! Offsets, limits, seeking, bounds, several partitions.

use std::time::Duration;

use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::{ErrorKind, Offset};

use super::world::{ALL, World, check_error, drain, records, text};
use crate::topic::{RecordSet, TopicOptions};

#[test]
fn records_come_back_in_order_with_offsets_and_times() {
    let world = World::new();
    world.set_time(100);
    assert_eq!(world.append("a b").base_offset, Offset(0));
    world.set_time(200);
    let appended = world.append("c");
    assert_eq!(
        (appended.partition, appended.base_offset, appended.count),
        (0, Offset(2), 1)
    );
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c");
    let mut reader = world.log.reader("t", 0, Offset(0)).unwrap();
    let Read::Records(batch) = reader.read(ALL).unwrap() else {
        panic!("three are there")
    };
    assert_eq!(batch.timestamps, Some(vec![100, 100, 200]));
}

#[test]
fn a_reader_goes_on_when_more_is_appended() {
    let world = World::with_small_segments();
    let mut reader = world.log.reader("t", 0, Offset(0)).unwrap();
    assert!(matches!(reader.read(ALL).unwrap(), Read::Pending));
    for word in ["a", "b b2", "c", "d", "e e2 e3", "f"] {
        world.append(word);
        assert!(reader.backlog().unwrap() > 0);
        assert!(!drain(&mut reader, ALL).unwrap().is_empty());
        assert_eq!(reader.offset(), Offset(world.end()));
        assert_eq!(reader.backlog(), Some(0));
    }
    assert!(world.segments().len() > 1);
    assert_eq!(
        world.read(0).unwrap(),
        "0:a 1:b 2:b2 3:c 4:d 5:e 6:e2 7:e3 8:f"
    );
}

#[test]
fn limits_are_kept_and_a_reader_opened_at_an_offset_continues_there() {
    let world = World::with_small_segments();
    for words in ["aa", "bb cc dd", "ee", "ff gg", "hh"] {
        world.append(words);
    }
    let all = "0:aa 1:bb 2:cc 3:dd 4:ee 5:ff 6:gg 7:hh";
    for rows in 1..10 {
        for bytes in [0, 1, 2, 3, 4, 5, 100] {
            let mut reader = world.log.reader("t", 0, Offset(0)).unwrap();
            let limit = ReadLimit { rows, bytes };
            assert_eq!(drain(&mut reader, limit).unwrap(), all, "{limit:?}");
        }
    }
    for from in 0..=8 {
        let words: Vec<&str> = all.split(' ').skip(from).collect();
        assert_eq!(world.read(from as u64).unwrap(), words.join(" "));
    }
    let mut reader = world.log.reader("t", 0, Offset(1)).unwrap();
    let read = reader.read(ReadLimit { rows: 10, bytes: 5 }).unwrap();
    let Read::Records(batch) = read else {
        panic!("records are there")
    };
    assert_eq!(text(&batch), "1:bb 2:cc", "six bytes would be too many");
}

#[test]
fn offsets_that_are_not_there_are_refused() {
    let world = World::new();
    world.append("a b");
    assert_eq!(world.read(2).unwrap(), "");
    check_error(
        world.read(3),
        ErrorKind::Corrupt,
        &[
            "offset 3 of `t-0` does not exist: the log ends at 2",
            "`topics/t/0/` was damaged",
            "--from-epoch",
        ],
    );
    check_error(
        world.log.reader("t", 1, Offset(0)).map(|_| ()),
        ErrorKind::InvalidInput,
        &["topic `t` has 1 partitions, found number 1"],
    );
    check_error(
        world.log.reader("none", 0, Offset(0)).map(|_| ()),
        ErrorKind::InvalidInput,
        &["unknown topic `none`"],
    );
}

#[test]
fn a_bounded_reader_ends_within_a_batch() {
    let world = World::new();
    world.append("a b c");
    let mut reader = world
        .log
        .bounded_reader("t", 0, (Offset(0), Offset(2)))
        .unwrap();
    assert_eq!(drain(&mut reader, ALL).unwrap(), "0:a 1:b");
    assert!(matches!(reader.read(ALL).unwrap(), Read::End));
    assert_eq!(reader.backlog(), Some(0));
    let mut empty = world
        .log
        .bounded_reader("t", 0, (Offset(3), Offset(3)))
        .unwrap();
    assert!(matches!(empty.read(ALL).unwrap(), Read::End));
}

#[test]
fn records_of_any_size_and_content_come_back() {
    let world = World::new();
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut fake = b"MSB1".repeat(100);
    fake.resize(500, 0);
    let set: Vec<&[u8]> = vec![b"", &big, b"\0\xff", &fake, b""];
    world
        .log
        .append("t", Some(0), &RecordSet::from_records(&set).unwrap())
        .unwrap();
    let mut reader = world.log.reader("t", 0, Offset(0)).unwrap();
    let mut found = Vec::new();
    while let Read::Records(batch) = reader
        .read(ReadLimit {
            rows: 100,
            bytes: 1000,
        })
        .unwrap()
    {
        found.extend((0..batch.len()).map(|index| batch.record(index).to_vec()));
    }
    assert!(found == set, "twelve megabytes and the small ones");
}

#[test]
fn seeking_in_a_segment_of_many_batches() {
    let mut world = World::new();
    let record = "x".repeat(5_000);
    for number in 0..400 {
        world.append(&format!("{number}-{record}"));
    }
    let check = |world: &World| {
        for from in [399, 0, 123, 57, 56, 250] {
            let mut reader = world.log.reader("t", 0, Offset(from)).unwrap();
            let Read::Records(batch) = reader.read(ReadLimit { rows: 1, bytes: 1 }).unwrap() else {
                panic!("a record is there")
            };
            assert!(batch.record(0).starts_with(format!("{from}-x").as_bytes()));
        }
    };
    check(&world);
    world.reopen().unwrap();
    check(&world);
}

#[test]
fn appends_go_round_the_partitions() {
    let world = World::new();
    world.log.create_topic("p", 3).unwrap();
    let partition = |_| {
        world
            .log
            .append("p", None, &records("a"))
            .unwrap()
            .partition
    };
    assert_eq!(
        (0..6).map(partition).collect::<Vec<_>>(),
        [0, 1, 2, 0, 1, 2]
    );
    let status = world.log.status("p").unwrap();
    let ends: Vec<Offset> = status
        .partitions
        .iter()
        .map(|partition| partition.end)
        .collect();
    assert_eq!(ends, [Offset(2); 3]);
    assert!(
        status
            .partitions
            .iter()
            .all(|partition| partition.bytes > 0)
    );
    let names: Vec<String> = world
        .log
        .topics()
        .into_iter()
        .map(|topic| topic.name)
        .collect();
    assert_eq!(names, ["p", "t"]);
}

#[test]
fn an_append_of_nothing_changes_nothing() {
    let world = World::new();
    world.append("a");
    let appended = world.append("");
    assert_eq!((appended.base_offset, appended.count), (Offset(1), 0));
    assert_eq!(world.read(0).unwrap(), "0:a");
}

#[test]
fn topics_are_made_once_and_survive() {
    let mut world = World::new();
    check_error(
        world.log.create_topic("t", 1),
        ErrorKind::Conflict,
        &["topic `t` exists"],
    );
    check_error(
        world.log.create_topic("a/b", 1),
        ErrorKind::InvalidInput,
        &["`a/b` is no topic"],
    );
    check_error(
        world.log.create_topic("none", 0),
        ErrorKind::InvalidInput,
        &["topic `none`: found 0 partitions, expected 1 to 4096"],
    );
    let options = TopicOptions {
        retention_ms: Some(1),
        ..TopicOptions::partitions(4)
    };
    world.log.create_topic_with("four", options).unwrap();
    world.log.ensure_topic("four", None).unwrap();
    world.log.ensure_topic("four", Some(4)).unwrap();
    check_error(
        world.log.ensure_topic("four", Some(2)),
        ErrorKind::InvalidInput,
        &["topic `four` has 4 partitions, expected 2"],
    );
    world.log.ensure_topic("two", None).unwrap();
    world.crash();
    assert!(world.log.topic_exists("four") && !world.log.topic_exists("none"));
    assert_eq!(world.log.end_offsets("four").unwrap().len(), 4);
    assert_eq!(world.log.end_offsets("two").unwrap().len(), 2);
}

#[test]
fn those_who_wait_are_told_of_appends() {
    let world = World::new();
    let seen = world.log.wait_for_data(0, Duration::ZERO);
    assert_eq!(seen, 0, "nothing was appended");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| world.log.wait_for_data(seen, Duration::from_secs(60)));
        world.append("a");
        assert_eq!(waiter.join().unwrap(), 1);
    });
    assert_eq!(
        world.log.wait_for_data(0, Duration::from_secs(60)),
        1,
        "no need to wait"
    );
}
