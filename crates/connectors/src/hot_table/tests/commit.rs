//! Commits: once, in order, last one wins.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::{Epoch, ErrorKind, EventTime};

use super::super::{HotTables, LiveEvent};
use super::{Bed, show_batches};
use crate::storage::LocalStorage;

#[test]
fn what_is_staged_is_invisible_until_it_is_committed_and_counts_once() {
    let bed = Bed::appended();
    let staged = bed.stage(1, 0, "a=1 b=2");
    assert_eq!(bed.show(), "");
    assert_eq!(bed.sink().committed(&bed.context()).unwrap(), None);
    for _ in 0..3 {
        bed.commit(1, std::slice::from_ref(&staged)).unwrap();
        assert_eq!(bed.show(), "a=1 b=2");
    }
    assert_eq!(
        bed.sink().committed(&bed.context()).unwrap(),
        Some(Epoch(1))
    );
    assert_eq!((bed.table().rows(), staged.rows), (2, 2));
    assert_eq!(bed.table().bytes(), staged.bytes);
    assert_eq!(bed.reopened().show(), "a=1 b=2");
    assert_eq!(
        bed.reopened().sink().committed(&bed.context()).unwrap(),
        Some(Epoch(1))
    );
    bed.reopened().commit(1, &[staged]).unwrap();
    assert_eq!(bed.reopened().show(), "a=1 b=2");
}

#[test]
fn a_writer_without_rows_stages_nothing() {
    let bed = Bed::appended();
    let mut writer = bed
        .sink()
        .writer(&bed.context(), millstream_core::ShardIndex(0))
        .unwrap();
    writer.write(&super::batch("")).unwrap();
    assert!(writer.prepare(Epoch(1)).unwrap().is_none());
    assert_eq!(bed.files("parts"), [""; 0]);
}

#[test]
fn the_last_row_of_a_key_wins_within_and_across_epochs_and_shards() {
    let bed = Bed::keyed();
    bed.put(1, "a=1 b=2 a=3");
    assert_eq!(bed.show(), "b=2 a=3");
    bed.put(2, "b=4 c=5");
    assert_eq!(bed.show(), "a=3 b=4 c=5");
    bed.commit(3, &[bed.stage(3, 0, "c=6 d=7"), bed.stage(3, 1, "d=8")])
        .unwrap();
    assert_eq!(bed.show(), "a=3 b=4 c=6 d=8");
    assert_eq!(bed.table().rows(), 4);
    assert_eq!(bed.reopened().show(), "a=3 b=4 c=6 d=8");
}

#[test]
fn null_is_a_key_like_any_other() {
    let bed = Bed::keyed();
    bed.put(1, "-=1 a=2");
    bed.put(2, "-=3");
    assert_eq!(bed.show(), "a=2 -=3");
    assert_eq!(bed.reopened().show(), "a=2 -=3");
}

#[test]
fn without_a_key_equal_rows_stay() {
    let bed = Bed::appended();
    bed.put(1, "a=1 a=1");
    bed.put(2, "a=1");
    assert_eq!(bed.show(), "a=1 a=1 a=1");
}

#[test]
fn a_snapshot_does_not_change() {
    let bed = Bed::keyed();
    bed.put(1, "a=1 b=1");
    let before = bed.table().snapshot();
    bed.put(2, "a=2");
    assert_eq!(super::show(&before), "a=1 b=1");
    assert_eq!((before.rows(), before.number()), (2, 2));
    assert_eq!(bed.show(), "b=1 a=2");
}

#[test]
fn a_rewound_pipeline_counts_anew_and_its_older_self_is_fenced() {
    let mut bed = Bed::keyed();
    bed.put(1, "a=1");
    bed.put(2, "a=2");
    let zombie = bed.stage(3, 0, "a=3");
    bed.incarnation = 1;
    assert_eq!(bed.sink().committed(&bed.context()).unwrap(), None);
    bed.put(2, "a=20");
    assert_eq!(bed.show(), "a=20");
    bed.incarnation = 0;
    let error = bed.commit(3, &[zombie]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let expected = "table `default.t` holds incarnation=1 of `p/t`; found incarnation=0";
    assert_eq!(error.to_string(), expected);
    assert_eq!(bed.show(), "a=20");
}

#[test]
fn a_savepoints_epoch_that_was_committed_before_counts_once() {
    let mut bed = Bed::appended();
    let saved = bed.stage(1, 0, "a=1");
    bed.commit(1, std::slice::from_ref(&saved)).unwrap();
    bed.put(2, "b=2");
    bed.incarnation = 1;
    bed.commit(1, std::slice::from_ref(&saved)).unwrap();
    assert_eq!(bed.show(), "a=1 b=2");
    assert_eq!(
        bed.sink().committed(&bed.context()).unwrap(),
        Some(Epoch(1))
    );
    // One that was staged and never committed is not lost.
    let mut bed = Bed::appended();
    let saved = bed.stage(1, 0, "a=1");
    bed.incarnation = 1;
    bed.commit(1, &[saved]).unwrap();
    assert_eq!(bed.show(), "a=1");
}

#[test]
fn a_directory_holds_tables() {
    let folder = tempfile::tempdir().unwrap();
    let open = || HotTables::open(Arc::new(LocalStorage::new(folder.path()))).unwrap();
    let bed = Bed {
        tables: open(),
        ..Bed::keyed()
    };
    for epoch in 1..=20 {
        bed.put(epoch, &format!("a={epoch} k{epoch}=1"));
        bed.tables.maintain(EventTime(0)).unwrap();
    }
    let shown = bed.show();
    assert!(shown.ends_with("k19=1 a=20 k20=1"), "{shown}");
    let bed = Bed {
        tables: open(),
        ..bed
    };
    assert_eq!(bed.show(), shown);
}

#[test]
fn subscribers_see_live_rows_and_are_told_when_they_lag() {
    let bed = Bed::keyed();
    bed.put(1, "a=1");
    let (snapshot, subscription) = bed.table().snapshot_and_subscribe(2);
    assert_eq!(super::show(&snapshot), "a=1");
    let next = || match subscription.next(Duration::ZERO) {
        LiveEvent::Rows(rows) => show_batches(&rows),
        LiveEvent::Lagged(commits) => format!("lagged {commits}"),
        LiveEvent::Idle => "idle".into(),
        LiveEvent::Closed => "closed".into(),
    };
    assert_eq!(next(), "idle");
    bed.put(2, "b=2 b=3");
    assert_eq!(
        next(),
        "b=3",
        "rows that were replaced at once are not told"
    );
    for epoch in 3..=6 {
        bed.put(epoch, &format!("c={epoch}"));
    }
    assert_eq!(
        [next(), next(), next(), next()],
        ["lagged 2", "c=3", "c=4", "idle"]
    );
    bed.put(7, "d=7");
    assert_eq!(next(), "d=7");
    drop(bed);
    assert_eq!(next(), "closed");
}

#[test]
fn a_payload_of_another_sink_is_corrupt() {
    let bed = Bed::keyed();
    let mut staged = bed.stage(1, 0, "a=1");
    staged.payload = serde_json::json!({"path": "x"});
    let error = bed.commit(1, &[staged]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let message = error.to_string();
    assert!(
        message.starts_with("table `default.t`: not a staged part: "),
        "{message}"
    );
}
