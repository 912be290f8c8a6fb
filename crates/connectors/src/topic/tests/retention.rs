//! Old segments go, by age and by size; the active one stays.

use millstream_core::source::SplitReader;
use millstream_core::storage::Storage;
use millstream_core::{ErrorKind, Offset};

use super::world::{ALL, World, check_error, drain, path, records};
use crate::topic::{TopicLogConfig, TopicOptions};

/// Six records at 0, 100, … ms, one a segment.
fn world(retention_ms: Option<u64>, retention_bytes: Option<u64>) -> World {
    let config = TopicLogConfig {
        segment_bytes: 1,
        retention_ms,
        retention_bytes,
        ..TopicLogConfig::default()
    };
    let world = World::with(config);
    for (time, word) in (0..).zip(["a", "b", "c", "d", "e", "f"]) {
        world.set_time(time * 100);
        world.append(word);
    }
    world
}

fn bases(world: &World) -> Vec<u64> {
    world.segments().into_iter().map(|(base, _)| base).collect()
}

#[test]
fn segments_go_by_age() {
    let mut world = world(Some(1_000), None);
    assert_eq!(world.log.enforce_retention(1_100).unwrap(), 0);
    // At 1,250 ms what was appended before 250 ms is too old: records 0 to 2. Segment 2 may hold
    // records up to the time of record 3, so it stays.
    assert!(world.log.enforce_retention(1_250).unwrap() > 0);
    assert_eq!(bases(&world), [2, 3, 4, 5]);
    assert_eq!(world.log.start_offsets("t").unwrap(), [Offset(2)]);
    world.crash();
    assert_eq!(world.log.start_offsets("t").unwrap(), [Offset(2)]);
    assert_eq!(world.read(2).unwrap(), "2:c 3:d 4:e 5:f");
    world.log.enforce_retention(1_000_000).unwrap();
    assert_eq!(bases(&world), [5], "the active one stays however old");
    assert_eq!(world.append("g").base_offset, Offset(6));
}

#[test]
fn segments_go_by_size() {
    let world = world(None, Some(200));
    let length = world.segments()[0].1;
    let kept = path(1) + ".cut-24";
    world.storage.put(&kept, b"torn").unwrap();
    assert_eq!(world.log.enforce_retention(i64::MAX).unwrap(), 4 * length);
    assert_eq!(bases(&world), [4, 5]);
    assert!(
        !world.storage.list("").unwrap().contains(&kept),
        "what was cut off a segment goes with it"
    );
    assert_eq!(
        world.log.status("t").unwrap().partitions[0].bytes,
        2 * length
    );
}

#[test]
fn without_limits_everything_stays() {
    let world = world(None, None);
    assert_eq!(world.log.enforce_retention(i64::MAX).unwrap(), 0);
    assert_eq!(bases(&world).len(), 6);
}

#[test]
fn a_topic_has_limits_of_its_own() {
    let world = world(None, None);
    let options = TopicOptions {
        retention_bytes: Some(1),
        ..TopicOptions::partitions(1)
    };
    world.log.create_topic_with("short", options).unwrap();
    for word in ["a", "b", "c"] {
        world.log.append("short", None, &records(word)).unwrap();
    }
    world.log.enforce_retention(0).unwrap();
    assert_eq!(world.log.start_offsets("short").unwrap(), [Offset(2)]);
    assert_eq!(bases(&world).len(), 6);
}

#[test]
fn reading_what_is_gone_says_so() {
    let world = world(Some(1_000), None);
    let mut at_start = world.log.reader("t", 0, Offset(0)).unwrap();
    let mut within = world.log.reader("t", 0, Offset(0)).unwrap();
    drain(
        &mut within,
        millstream_core::source::ReadLimit { rows: 1, bytes: 0 },
    )
    .unwrap();
    let mut caught_up = world.log.reader("t", 0, Offset(6)).unwrap();
    world.log.enforce_retention(1_250).unwrap();
    let gone = [
        "offset 0 of `t-0` is gone: retention has removed it, and the log begins at 2",
        "`scan.startup.mode`",
    ];
    check_error(world.read(0), ErrorKind::InvalidInput, &gone);
    check_error(drain(&mut at_start, ALL), ErrorKind::InvalidInput, &gone);
    assert_eq!(within.offset(), Offset(6));
    world.append("g");
    assert_eq!(drain(&mut within, ALL).unwrap(), "6:g");
    assert_eq!(drain(&mut caught_up, ALL).unwrap(), "6:g");
}

#[test]
fn a_file_that_is_missing_for_another_reason_is_named() {
    let world = world(None, None);
    world.storage.delete(&path(3)).unwrap();
    check_error(world.read(3), ErrorKind::InvalidInput, &[&path(3)]);
}
