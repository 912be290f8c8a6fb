//! An epoch of a producer is appended once: across restarts, new segments and retention.

use millstream_core::storage::Storage;
use millstream_core::{Epoch, ErrorKind, Incarnation};

use super::world::{World, check_error, records};
use crate::topic::{ProducerEpoch, TopicLogConfig};

fn producer(id: &str, incarnation: u64, epoch: u64) -> ProducerEpoch {
    let (incarnation, epoch) = (Incarnation(incarnation), Epoch(epoch));
    ProducerEpoch {
        id: id.into(),
        incarnation,
        epoch,
    }
}

fn append(world: &World, incarnation: u64, epoch: u64, words: &str) -> Option<u64> {
    let producer = producer("p/s", incarnation, epoch);
    let appended = world
        .log
        .append_epoch("t", 0, &producer, &[records(words)])
        .unwrap();
    appended.map(|appended| appended.base_offset.0)
}

fn last(world: &World) -> Option<(Incarnation, Epoch)> {
    world.log.last_epoch("t", "p/s").unwrap()
}

#[test]
fn an_epoch_is_appended_once() {
    let mut world = World::new();
    assert_eq!(last(&world), None);
    assert_eq!(append(&world, 0, 1, "a b"), Some(0));
    assert_eq!(append(&world, 0, 1, "a b"), None);
    world.append("x");
    assert_eq!(append(&world, 0, 3, "c"), Some(3));
    assert_eq!(append(&world, 0, 2, "late"), None);
    world.crash();
    assert_eq!(append(&world, 0, 3, "c"), None);
    assert_eq!(last(&world), Some((Incarnation(0), Epoch(3))));
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:x 3:c");
}

#[test]
fn producers_do_not_know_each_other() {
    let world = World::new();
    append(&world, 0, 5, "a");
    let other = producer("q/s", 0, 5);
    world
        .log
        .append_epoch("t", 0, &other, &[records("b"), records("c d")])
        .unwrap()
        .unwrap();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c 3:d");
}

#[test]
fn epochs_survive_new_segments_and_retention() {
    let config = TopicLogConfig {
        segment_bytes: 100,
        retention_ms: Some(10),
        ..TopicLogConfig::default()
    };
    let mut world = World::with(config);
    append(&world, 0, 1, "a");
    for number in 0..10 {
        world.set_time(number * 100);
        world.append("filler-so-that-segments-end");
    }
    assert!(world.log.enforce_retention(1_000).unwrap() > 0);
    assert!(world.segments()[0].0 > 1, "the segment of epoch 1 is gone");
    for _ in 0..2 {
        assert_eq!(append(&world, 0, 1, "a"), None);
        assert_eq!(last(&world), Some((Incarnation(0), Epoch(1))));
        world.crash();
    }
    assert!(append(&world, 0, 2, "b").is_some());
}

#[test]
fn an_older_incarnation_is_fenced() {
    let mut world = World::new();
    append(&world, 0, 9, "a");
    assert_eq!(
        append(&world, 1, 4, "again"),
        Some(1),
        "rewound: older epochs come again"
    );
    world.crash();
    let old = producer("p/s", 0, 10);
    check_error(
        world.log.append_epoch("t", 0, &old, &[records("zombie")]),
        ErrorKind::Fenced,
        &["`p/s` is at incarnation 1, found an append of the older incarnation 0"],
    );
    assert_eq!(world.read(0).unwrap(), "0:a 1:again");
}

#[test]
fn a_producer_needs_a_name_and_records() {
    let world = World::new();
    for id in [String::new(), "x".repeat(5_000)] {
        let nameless = producer(&id, 0, 1);
        let result = world.log.append_epoch("t", 0, &nameless, &[records("a")]);
        check_error(result, ErrorKind::InvalidInput, &["a producer's name has"]);
    }
    assert_eq!(append(&world, 0, 1, ""), None);
    assert_eq!(last(&world), None);
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let mut world = World::with_small_segments();
    append(&world, 0, 1, "a");
    for _ in 0..5 {
        world.append("filler-so-that-segments-end");
    }
    let path = "topics/t/0/producers.json";
    let mut bytes = world.storage.read(path).unwrap();
    let digit = bytes.iter().rposition(u8::is_ascii_digit).unwrap();
    bytes[digit] = b'7';
    world.storage.put(path, &bytes).unwrap();
    check_error(
        world.reopen(),
        ErrorKind::Corrupt,
        &[path, "the checksum is wrong"],
    );
}
