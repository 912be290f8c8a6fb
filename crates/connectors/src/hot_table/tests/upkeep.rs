//! Merging, retention and the deletion of files.

use std::collections::BTreeMap;

use millstream_core::sink::SinkContext;
use millstream_core::{Epoch, EventTime};

use super::Bed;

const NOW: EventTime = EventTime(0);

#[test]
fn a_commit_every_second_leaves_few_parts_and_files() {
    for keyed in [true, false] {
        let bed = if keyed { Bed::keyed() } else { Bed::appended() };
        let mut expected = vec![];
        for epoch in 1..=400 {
            bed.put(epoch, &format!("k{epoch}={epoch}"));
            expected.push(format!("k{epoch}={epoch}"));
            bed.tables.maintain(NOW).unwrap();
            assert!(bed.table().snapshot().parts().len() < 32);
            assert!(bed.files("versions").len() <= 4);
            assert!(bed.files("parts").len() < 32 + 16);
        }
        assert_eq!(bed.show(), expected.join(" "));
        assert_eq!(bed.reopened().show(), expected.join(" "));
    }
}

#[test]
fn replaced_rows_leave_the_files() {
    let bed = Bed::keyed();
    for epoch in 1..=8 {
        bed.put(epoch, &format!("a={epoch} k{epoch}=1"));
    }
    while bed.tables.maintain(NOW).unwrap() {}
    assert_eq!(bed.show(), "k1=1 k2=1 k3=1 k4=1 k5=1 k6=1 k7=1 a=8 k8=1");
    let snapshot = bed.table().snapshot();
    assert_eq!(snapshot.parts().len(), 1);
    assert_eq!(snapshot.parts()[0].part.entry.rows, 9);
}

#[test]
fn a_part_whose_rows_are_all_replaced_is_dropped_unread() {
    let bed = Bed::keyed();
    bed.put(1, "a=1 b=1");
    bed.put(2, "b=2 a=2");
    bed.damage("tables/default.t/parts/e-p.t-0-00000000000000000001-0.parquet");
    assert!(bed.tables.maintain(NOW).unwrap());
    assert!(!bed.tables.maintain(NOW).unwrap());
    assert_eq!(bed.table().snapshot().parts().len(), 1);
    assert_eq!(bed.reopened().show(), "b=2 a=2");
}

#[test]
fn a_snapshot_keeps_its_files() {
    let bed = Bed::keyed();
    for epoch in 1..=8 {
        bed.put(epoch, &format!("k{epoch}=1"));
    }
    let held = bed.reopened_snapshot();
    let bed = held.0;
    let before = super::show(&held.1);
    for epoch in 9..=40 {
        bed.put(epoch, &format!("k{}=2", epoch % 8 + 1));
        bed.tables.maintain(NOW).unwrap();
    }
    assert_eq!(super::show(&held.1), before);
    drop(held.1);
    for epoch in 41..=43 {
        bed.put(epoch, "z=1");
        bed.tables.maintain(NOW).unwrap();
    }
    let first = "e-p.t-0-00000000000000000001-0.parquet".to_owned();
    assert!(!bed.files("parts").contains(&first));
}

impl Bed {
    /// Opened again, so that rows come from files, with a snapshot.
    fn reopened_snapshot(&self) -> (Self, super::TableSnapshot) {
        let bed = self.reopened();
        let snapshot = bed.table().snapshot();
        (bed, snapshot)
    }
}

#[test]
fn rows_expire_by_the_key_time() {
    let bed = Bed::with(&[0, 2], &[("table.retention", "1 s")]);
    bed.put(1, "a=1@1000 b=1@1999");
    bed.put(2, "c=1@1500 d=1@2500");
    bed.put(3, "e=1@9000");
    assert!(
        !bed.tables.maintain(EventTime(2999)).unwrap(),
        "the last of them is not over"
    );
    assert!(bed.tables.maintain(EventTime(3000)).unwrap());
    assert_eq!(bed.show(), "c=1 d=1 e=1", "parts that are over go at once");
    for epoch in 4..=9 {
        bed.put(epoch, &format!("f{epoch}=1@9000"));
    }
    assert!(bed.tables.maintain(EventTime(3000)).unwrap());
    let expected = "d=1 e=1 f4=1 f5=1 f6=1 f7=1 f8=1 f9=1";
    assert_eq!(
        bed.show(),
        expected,
        "rows of other parts when they are merged"
    );
    bed.put(10, "c=2@1500");
    assert_eq!(
        bed.show(),
        format!("{expected} c=2"),
        "an expired key can come again"
    );
    assert_eq!(bed.reopened().show(), format!("{expected} c=2"));
    while bed.tables.maintain(EventTime(1_000_000)).unwrap() {}
    assert_eq!((bed.show(), bed.table().rows()), (String::new(), 0));
    assert_eq!(bed.reopened().show(), "");
}

#[test]
fn a_row_does_not_expire_while_one_that_it_replaced_is_there() {
    // Were the second part dropped, the first would show a=1 again after opening.
    let bed = Bed::with(&[0, 2], &[("table.retention", "1 s")]);
    bed.put(1, "a=1@1000 b=1@90000");
    bed.put(2, "a=2@1000");
    assert!(!bed.tables.maintain(EventTime(50_000)).unwrap());
    assert_eq!(bed.show(), "b=1 a=2");
    assert_eq!(bed.reopened().show(), "b=1 a=2");
}

/// Random epochs, merges, crashes and retries against a map.
#[test]
fn random_histories_equal_a_map() {
    for seed in 1..=20_u64 {
        let mut random = seed;
        let mut next = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let mut bed = Bed::keyed();
        let mut model = BTreeMap::new();
        for epoch in 1..=60 {
            let mut staged = vec![];
            for shard in 0..=next(2) {
                let rows: Vec<(u64, u64)> =
                    (0..=next(12)).map(|_| (next(30), next(1000))).collect();
                let text: Vec<String> = rows.iter().map(|(k, v)| format!("k{k}={v}")).collect();
                staged.push(bed.stage(epoch, u32::try_from(shard).unwrap(), &text.join(" ")));
                model.extend(rows);
            }
            if next(8) == 0 {
                bed = bed.crashed();
            }
            bed.commit(epoch, &staged).unwrap();
            if next(3) == 0 {
                bed.tables.maintain(NOW).unwrap();
            }
            if next(10) == 0 {
                bed = bed.crashed();
                bed.commit(epoch, &staged).unwrap();
                bed.sink()
                    .discard_before(&SinkContext {
                        run: Epoch(epoch + 1),
                        ..bed.context()
                    })
                    .unwrap();
            }
            let mut rows: Vec<String> = bed.show().split(' ').map(str::to_owned).collect();
            rows.sort();
            let mut expected: Vec<String> =
                model.iter().map(|(k, v)| format!("k{k}={v}")).collect();
            expected.sort();
            assert_eq!(rows, expected, "seed {seed} epoch {epoch}");
        }
    }
}
