//! Acknowledged or torn: what was promised is refused if it is damaged, what was not is cut and
//! kept.

use std::sync::Arc;

use millstream_core::storage::Storage;
use millstream_core::{ErrorKind, Offset};

use super::faulty::{FaultyStorage, Operation};
use super::world::{ALL, NOTED, World, check_error, drain, path, records};
use crate::test_env::TestEnv;
use crate::topic::{TopicLog, TopicLogConfig};

/// Where each of three appends ends in the segment: header, then 48 bytes and the records.
const ENDS: [usize; 3] = [24 + 48 + 10, 24 + 48 + 10 + 48 + 5, 24 + 96 + 15 + 58];

/// Three appends: `a b`, `c`, `d e`. The process is gone after them.
fn killed() -> World {
    let world = World::new();
    for words in ["a b", "c", "d e"] {
        world.append(words);
    }
    assert_eq!(world.segments(), [(0, ENDS[2] as u64)]);
    world
}

/// As [`killed`], but it was ended in order, and then the power was cut.
fn stopped() -> World {
    let world = killed();
    world.log.sync_acknowledged().unwrap();
    world.storage.crash();
    world
}

/// As [`killed`], but the power failed: what was noted of the second and third append is lost.
fn unpowered() -> World {
    let world = killed();
    world.storage.crash();
    world
}

fn all_files(world: &World) -> Vec<(String, Vec<u8>)> {
    let paths = world.storage.list("").unwrap();
    let read = |path: String| (path.clone(), world.storage.read(&path).unwrap());
    paths.into_iter().map(read).collect()
}

/// Refused, with the segment and these parts in the message, and nothing changed.
#[track_caller]
fn check_refused(world: &mut World, parts: &[&str]) {
    let before = all_files(world);
    let error = check_error(world.reopen(), ErrorKind::Corrupt, parts);
    assert!(all_files(world) == before, "{error}");
}

#[test]
fn a_flipped_bit_in_the_last_acknowledged_batch_is_refused() {
    for mut world in [killed(), stopped()] {
        let bytes = world.storage.read(&path(0)).unwrap();
        for bit in ENDS[1] * 8..ENDS[2] * 8 {
            world.edit(0, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let parts = [&path(0), "offsets 3 to 4 were acknowledged", "to 135 bytes"];
            check_refused(&mut world, &parts);
            world.storage.put(&path(0), &bytes).unwrap();
        }
        world.reopen().unwrap();
        assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c 3:d 4:e");
    }
}

#[test]
fn an_acknowledged_segment_that_is_too_short_is_refused_at_every_length() {
    for mut world in [killed(), stopped()] {
        let bytes = world.storage.read(&path(0)).unwrap();
        for length in 0..bytes.len() {
            world.storage.put(&path(0), &bytes[..length]).unwrap();
            let first = match length {
                length if length < ENDS[0] => 0,
                length if length < ENDS[1] => 2,
                _ => 3,
            };
            let offsets = format!("offsets {first} to 4 were acknowledged");
            check_refused(&mut world, &[&path(0), &offsets, "from a backup"]);
        }
    }
}

#[test]
fn segments_that_are_gone_are_missed() {
    let mut world = World::with_small_segments();
    for word in ["a", "b", "c", "d"] {
        world.append(word);
    }
    let last = world.segments().last().unwrap().0;
    assert!(last > 0);
    world.storage.delete(&path(last)).unwrap();
    let missing = format!("the segment of offset {last} is missing");
    check_refused(&mut world, &[NOTED, "before offset 4", &missing]);
    world.storage.delete(&path(0)).unwrap();
    check_refused(&mut world, &[NOTED, &missing]);
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let mut world = killed();
    let other = World::new();
    // Longer, but with fewer records.
    other.append(&"x".repeat(500));
    let bytes = other.storage.read(&path(0)).unwrap();
    world.storage.put(&path(0), &bytes).unwrap();
    let parts = [&path(0), "offsets 1 to 4 were acknowledged"];
    check_refused(&mut world, &parts);
}

#[test]
fn a_torn_write_is_cut_and_kept_every_time() {
    let mut world = killed();
    let batch = world.storage.read(&path(0)).unwrap()[ENDS[1]..].to_vec();
    let torn = [&batch[..50], &batch[..20], &batch[..50], &[0; 100]];
    for bytes in torn {
        world.append_unsynced(0, bytes);
        world.reopen().unwrap();
        assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c 3:d 4:e");
        assert_eq!(world.segments(), [(0, ENDS[2] as u64)]);
    }
    let cut = format!("{}.cut-{}", path(0), ENDS[2]);
    let kept = ["", "-2", "-3"].map(|number| world.storage.read(&format!("{cut}{number}")));
    let expected = [torn[0], torn[1], torn[3]];
    assert_eq!(kept.map(Result::unwrap), expected.map(<[u8]>::to_vec));
    assert_eq!(world.append("f").base_offset, Offset(5));
}

/// The one case that stays in doubt: the power failed within a second after the last append, and
/// that append is damaged. It is cut, with a warning, and kept.
#[test]
fn after_a_power_failure_only_the_last_append_is_in_doubt() {
    let mut world = unpowered();
    let bytes = world.storage.read(&path(0)).unwrap();
    for position in [24 + 60, ENDS[0] + 50] {
        world.edit(0, |bytes| bytes[position] ^= 1);
        check_refused(&mut world, &[&path(0), "acknowledged"]);
        world.storage.put(&path(0), &bytes).unwrap();
    }
    world.edit(0, |bytes| bytes[ENDS[1] + 50] ^= 1);
    let damaged = world.storage.read(&path(0)).unwrap();
    world.reopen().unwrap();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c");
    let kept = format!("{}.cut-{}", path(0), ENDS[1]);
    assert_eq!(world.storage.read(&kept).unwrap(), damaged[ENDS[1]..]);
    // Who has read more than there is now is told.
    let parts = ["offset 5 of `t-0` does not exist: the log ends at 3"];
    check_error(world.read(5), ErrorKind::Corrupt, &parts);
}

#[test]
fn a_power_failure_alone_loses_nothing() {
    let mut world = unpowered();
    world.reopen().unwrap();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c 3:d 4:e");
    // From then on all of it is known to be acknowledged.
    world.edit(0, |bytes| bytes[ENDS[1] + 50] ^= 1);
    check_refused(&mut world, &["offsets 3 to 4 were acknowledged"]);
}

#[test]
fn files_of_an_older_version_are_opened_and_guarded_from_then_on() {
    let mut world = killed();
    world.storage.delete(NOTED).unwrap();
    world.crash();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c 3:d 4:e");
    world.edit(0, |bytes| bytes.truncate(ENDS[1]));
    check_refused(&mut world, &["offsets 3 to 4 were acknowledged"]);
}

/// Whole, but not synced and not answered: once it was seen, it must not vanish.
#[test]
fn what_is_found_whole_is_made_durable_before_it_is_seen() {
    let mut world = World::new();
    world.append("a b");
    let noted = world.noted();
    let whole = killed().storage.read(&path(0)).unwrap();
    world.append_unsynced(0, &whole[ENDS[0]..ENDS[1]]);
    world.reopen().unwrap();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c");
    assert_ne!(world.noted(), noted);
    world.crash();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c");
}

#[test]
fn the_way_out_that_the_error_names_works() {
    let mut world = killed();
    world.edit(0, |bytes| bytes[ENDS[1] + 50] ^= 1);
    let cut = "cut `topics/t/0/00000000000000000000.log` to 135 bytes and delete the file";
    check_refused(&mut world, &[cut]);
    world.edit(0, |bytes| bytes.truncate(135));
    world.storage.delete(NOTED).unwrap();
    world.reopen().unwrap();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c");
    assert_eq!(world.append("f").base_offset, Offset(3));
}

#[test]
fn a_damaged_note_is_named_and_an_older_entry_will_do() {
    let mut world = killed();
    let noted = world.noted();
    world.set_noted(&noted[..noted.len() - 1]);
    world.reopen().unwrap();
    assert_eq!(world.read(0).unwrap(), "0:a 1:b 2:c 3:d 4:e");
    world.set_noted(b"");
    check_refused(&mut world, &[NOTED, "without a sound entry"]);
    world.set_noted(&[b'x'; 64]);
    check_refused(&mut world, &[NOTED, "without a sound entry"]);
}

/// An append whose note fails is removed; the note must not outlive it, or the log would be taken
/// for damaged.
#[test]
fn an_append_that_cannot_be_noted_is_not_there() {
    use Operation::{Note, Put, PutThenFail};
    let open = |storage: &FaultyStorage| {
        let env = Arc::new(TestEnv::default());
        TopicLog::open(Arc::new(storage.clone()), env, TopicLogConfig::default()).unwrap()
    };
    let read = |log: &TopicLog| drain(&mut log.reader("t", 0, Offset(0)).unwrap(), ALL).unwrap();
    for (operation, before) in [(Put, 0), (PutThenFail, 0), (Note, 1), (Note, 2)] {
        let storage = FaultyStorage::default();
        let log = open(&storage);
        log.create_topic("t", 1).unwrap();
        for _ in 0..before {
            log.append("t", None, &records("a")).unwrap();
        }
        storage.control.fail_next(operation, ErrorKind::StorageFull);
        let failed = log.append("t", None, &records("lost"));
        check_error(failed, ErrorKind::StorageFull, &["failed on purpose"]);
        let expected = ["", "0:a", "0:a 1:a"][before];
        assert_eq!(read(&log), expected, "{operation:?}");
        storage.inner.crash();
        let log = open(&storage);
        assert_eq!(read(&log), expected, "{operation:?}");
        log.append("t", None, &records("b")).unwrap();
        let log = open(&storage);
        assert_eq!(read(&log), format!("{expected} {before}:b").trim());
    }
}
