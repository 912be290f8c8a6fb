//! Crashes, torn tails, bit flips: what was acknowledged is there or is missed loudly.

use millstream_core::ErrorKind;
use millstream_core::storage::Storage;

use super::world::{World, check_error, path, records};
use crate::topic::{RecordSet, TopicLog, TopicLogConfig};

#[test]
fn everything_acknowledged_survives_a_crash() {
    let mut world = World::with_small_segments();
    let mut expected = Vec::new();
    for number in 0..20 {
        world.append(&format!("r{number}"));
        expected.push(format!("{number}:r{number}"));
        world.crash();
        assert_eq!(world.read(0).unwrap(), expected.join(" "));
    }
    assert!(world.segments().len() > 5);
}

#[test]
fn a_torn_tail_is_cut_at_every_length() {
    let whole = World::new();
    whole.append("a b");
    let sound = whole.storage.read(&path(0)).unwrap().len();
    whole.append("cc dd");
    let bytes = whole.storage.read(&path(0)).unwrap();
    for length in 0..bytes.len() {
        let mut world = World::new();
        world.storage.put(&path(0), &bytes[..length]).unwrap();
        world.reopen().unwrap();
        let (kept, next) = if length < sound {
            ("", 0)
        } else {
            ("0:a 1:b", 2)
        };
        assert_eq!(world.read(0).unwrap(), kept, "length {length}");
        // Appending goes on behind what was kept, and that is durable too.
        assert_eq!(world.append("new").base_offset.0, next);
        world.crash();
        assert_eq!(
            world.read(0).unwrap(),
            format!("{kept} {next}:new").trim_start()
        );
    }
}

#[test]
fn zeros_and_garbage_behind_the_end_are_cut() {
    let tails: [&[u8]; 4] = [
        &[0; 500],
        b"MSB1",
        &[0xff; 7],
        &b"MSB1 not a header ".repeat(30),
    ];
    for tail in tails {
        let mut world = World::new();
        world.append("a");
        let sound = world.segments();
        world.edit(0, |bytes| bytes.extend_from_slice(tail));
        world.reopen().unwrap();
        assert_eq!(world.segments(), sound);
        assert_eq!(world.read(0).unwrap(), "0:a");
    }
}

#[test]
fn every_flipped_bit_of_acknowledged_batches_is_found() {
    let whole = World::new();
    let mut ends = Vec::new();
    for words in ["a b", "c", "d e"] {
        whole.append(words);
        ends.push(usize::try_from(whole.segments()[0].1).unwrap());
    }
    let bytes = whole.storage.read(&path(0)).unwrap();
    // The third batch says that the two before it were acknowledged.
    for bit in 0..ends[1] * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut world = World::new();
        world.storage.put(&path(0), &damaged).unwrap();
        check_error(world.reopen(), ErrorKind::Corrupt, &[&path(0)]);
    }
    // In the last batch a flipped bit looks like a torn write where nothing else says what was
    // acknowledged; it never yields wrong records, and the bytes are kept.
    for bit in ends[1] * 8..ends[2] * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut world = World::new();
        world.storage.put(&path(0), &damaged).unwrap();
        world.reopen().unwrap();
        assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c", "bit {bit}");
        let kept = format!("{}.cut-{}", path(0), ends[1]);
        assert_eq!(world.storage.read(&kept).unwrap(), damaged[ends[1]..]);
    }
}

#[test]
fn damage_is_named_with_position_and_offset() {
    let mut world = World::new();
    world.append("a b");
    world.append("c");
    world.append("d");
    let second = 24 + 48 + 10;
    world.edit(0, |bytes| bytes[second + 48 + 4] ^= 1);
    let position = format!("position={second} offset=2");
    let expected = [path(0), "the records' checksum is wrong".into(), position];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    // Reading finds it, after what comes before it; so does opening.
    let mut reader = world
        .log
        .reader("t", 0, millstream_core::Offset(0))
        .unwrap();
    let first = super::world::drain(&mut reader, super::world::ALL);
    check_error(first, ErrorKind::Corrupt, &expected);
    check_error(world.read(2), ErrorKind::Corrupt, &expected);
    assert_eq!(world.read(3).unwrap(), "3:d", "what is sound can be read");
    check_error(world.reopen(), ErrorKind::Corrupt, &expected);
}

/// Pages reach the disk in any order: of two batches of one round the first may be torn and the
/// second whole. Neither was acknowledged.
#[test]
fn a_sound_batch_behind_a_torn_one_proves_nothing_if_neither_was_acknowledged() {
    let mut world = World::new();
    world.append("a");
    let sound = world.segments()[0].1;
    // One append of two batches stands for a round of two appends: the same bytes but one bit.
    let big = "x".repeat(700 << 10);
    let set = RecordSet::from_records([&big, &big]).unwrap();
    let noted = world.noted();
    world.log.append("t", Some(0), &set).unwrap();
    world.set_noted(&noted);
    let torn = usize::try_from(sound).unwrap() + 48 + 1000;
    world.edit(0, |bytes| bytes[torn] ^= 1);
    world.reopen().unwrap();
    assert_eq!(world.segments(), [(0, sound)]);
    assert_eq!(world.read(0).unwrap(), "0:a");
}

#[test]
fn an_append_of_several_batches_is_all_or_nothing() {
    let big = "x".repeat(700 << 10);
    let mut world = World::new();
    world.append("a");
    let sound = usize::try_from(world.segments()[0].1).unwrap();
    let set = RecordSet::from_records([&big, &big, &big]).unwrap();
    world.log.append("t", Some(0), &set).unwrap();
    let batch = 48 + 4 + big.len();
    for batches in 0..3 {
        let mut torn = World::new();
        let bytes = world.storage.read(&path(0)).unwrap();
        torn.storage
            .put(&path(0), &bytes[..sound + batches * batch])
            .unwrap();
        torn.reopen().unwrap();
        assert_eq!(torn.read(0).unwrap(), "0:a", "{batches} batches are whole");
    }
    world.reopen().unwrap();
    assert_eq!(world.end(), 4);
}

#[test]
fn damage_in_old_segments_is_found_when_they_are_read() {
    let mut world = World::with_small_segments();
    for word in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
        world.append(word);
    }
    let base = world.segments()[1].0;
    let sound = world.storage.read(&path(base)).unwrap();
    let read = |world: &World| check_error(world.read(base), ErrorKind::Corrupt, &[&path(base)]);
    world.edit(base, |bytes| bytes[24 + 48 + 4] ^= 1);
    world.reopen().unwrap();
    read(&world);
    world
        .storage
        .put(&path(base), &sound[..sound.len() - 1])
        .unwrap();
    world.reopen().unwrap();
    read(&world);
    // A batch that is missing as a whole.
    world
        .storage
        .put(&path(base), &sound[..24 + 48 + 5])
        .unwrap();
    world.reopen().unwrap();
    read(&world);
    assert!(world.read(world.segments()[2].0).unwrap().ends_with(":i"));
}

#[test]
fn other_versions_are_refused_and_nothing_is_cut() {
    let mut world = World::new();
    world.append("a");
    world.edit(0, |bytes| {
        bytes[6] = 2;
        let crc = crc32fast::hash(&bytes[..20]);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    });
    let before = world.storage.read(&path(0)).unwrap();
    let expected = [&path(0), "found a segment of version 2, expected 1"];
    check_error(world.reopen(), ErrorKind::Corrupt, &expected);
    assert_eq!(world.storage.read(&path(0)).unwrap(), before);
}

#[test]
fn a_topic_without_its_definition_is_not_opened() {
    let mut world = World::new();
    world.append("a");
    world.storage.delete("topics/t/topic.json").unwrap();
    check_error(
        world.reopen(),
        ErrorKind::Corrupt,
        &["`topics/t/topic.json` is missing"],
    );
}

#[test]
fn files_of_others_are_left_alone() {
    let mut world = World::new();
    world.append("a");
    for name in [
        "README",
        "topics/notes.txt",
        "topics/t/0/0.log",
        "topics/t/0/notes",
    ] {
        world.storage.put(name, b"text").unwrap();
    }
    world.crash();
    assert_eq!(world.read(0).unwrap(), "0:a");
    assert_eq!(world.storage.read("topics/t/0/notes").unwrap(), b"text");
}

#[test]
fn the_log_works_on_a_real_directory() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let storage = crate::storage::LocalStorage::new(folder.path());
        let env = std::sync::Arc::new(crate::test_env::TestEnv::default());
        let config = TopicLogConfig {
            segment_bytes: 1000,
            ..TopicLogConfig::default()
        };
        TopicLog::open(std::sync::Arc::new(storage), env, config).unwrap()
    };
    let log = open();
    log.create_topic("t", 2).unwrap();
    for number in 0..50 {
        log.append("t", None, &records(&format!("r{number} s{number}")))
            .unwrap();
    }
    drop(log);
    let log = open();
    let mut read = String::new();
    for partition in 0..2 {
        let mut reader = log
            .reader("t", partition, millstream_core::Offset(0))
            .unwrap();
        read += &super::world::drain(&mut reader, super::world::ALL).unwrap();
        read += " ";
    }
    assert_eq!(read.split_whitespace().count(), 100);
    assert!(read.contains("49:s49"), "{read}");
}
