//! Crashes, lost answers and damaged files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_core::memory::MemoryStorage;
use millstream_core::sink::SinkContext;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Epoch, Error, ErrorKind, EventTime, Result};

use super::super::{HotTables, sink};
use super::Bed;

#[test]
fn a_crash_after_the_manifest_loses_nothing() {
    let bed = Bed::keyed();
    bed.put(1, "a=1");
    let staged = [bed.stage(2, 0, "a=2"), bed.stage(2, 1, "b=2")];
    let bed = bed.crashed();
    assert_eq!(bed.show(), "a=1");
    bed.commit(2, &staged).unwrap();
    assert_eq!(bed.show(), "a=2 b=2");
    bed.put(3, "b=3");
    assert_eq!(bed.crashed().show(), "a=2 b=3");
}

#[test]
fn what_no_manifest_names_is_discarded() {
    let mut bed = Bed::keyed();
    bed.put(1, "a=1");
    bed.stage(2, 0, "a=2");
    let bed_after = bed.crashed();
    assert_eq!(bed_after.files("parts").len(), 2);
    bed_after
        .sink()
        .discard_before(&SinkContext {
            run: Epoch(2),
            ..bed.context()
        })
        .unwrap();
    assert_eq!(
        bed_after.files("parts"),
        ["e-p.t-0-00000000000000000001-0.parquet"]
    );
    // The epoch is run again, with other rows.
    bed_after.put(2, "a=3");
    assert_eq!(bed_after.reopened().show(), "a=3");
    // A new incarnation discards what the one before it staged and never committed.
    bed_after.stage(3, 0, "a=4");
    bed.incarnation = 1;
    bed_after
        .sink()
        .discard_before(&SinkContext {
            run: Epoch(3),
            ..bed.context()
        })
        .unwrap();
    assert_eq!(bed_after.files("parts").len(), 2);
    assert_eq!(bed_after.reopened().show(), "a=3");
}

#[test]
fn staging_again_overwrites_a_torn_file() {
    let bed = Bed::keyed();
    bed.stage(1, 0, &"long=1 ".repeat(100));
    bed.put(1, "a=1");
    assert_eq!(bed.crashed().show(), "a=1");
}

#[test]
fn an_unsynced_part_that_a_crash_took_is_named() {
    let bed = Bed::keyed();
    let staged = bed.stage(1, 0, "a=1");
    bed.storage
        .delete("tables/default.t/parts/e-p.t-0-00000000000000000001-0.parquet")
        .unwrap();
    let error = bed.reopened().commit(1, &[staged]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let expected = "`tables/default.t/parts/e-p.t-0-00000000000000000001-0.parquet`: the part is \
                    missing";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_damaged_part_is_named_and_never_read() {
    for keyed in [true, false] {
        let bed = if keyed { Bed::keyed() } else { Bed::appended() };
        bed.put(1, "a=1 b=2");
        let path = "tables/default.t/parts/e-p.t-0-00000000000000000001-0.parquet";
        bed.damage(path);
        // Keys are read on opening; without a key the first query finds it.
        let tables = HotTables::open(Arc::new(bed.storage.clone()));
        let error = match tables {
            Err(error) => error,
            Ok(tables) => {
                let table = tables.table("default", "t").unwrap();
                let mut scan = table.snapshot().scan(None, None).unwrap();
                scan.next().unwrap().unwrap_err()
            }
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let expected = format!("`{path}`: checksum does not match: found=");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn a_shortened_part_is_named() {
    let bed = Bed::keyed();
    bed.put(1, "a=1");
    let path = "tables/default.t/parts/e-p.t-0-00000000000000000001-0.parquet";
    let bytes = bed.storage.read(path).unwrap();
    bed.storage.put(path, &bytes[..10]).unwrap();
    let error = HotTables::open(Arc::new(bed.storage.clone()))
        .err()
        .unwrap();
    let expected = format!("`{path}`: found bytes=10, expected bytes={}", bytes.len());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_damaged_version_is_named_with_the_newest_sound_one() {
    let bed = Bed::keyed();
    bed.put(1, "a=1");
    bed.put(2, "a=2");
    let version = |number| format!("tables/default.t/versions/{number:020}.json");
    let open = || {
        HotTables::open(Arc::new(bed.storage.clone()))
            .err()
            .unwrap()
    };
    bed.damage(&version(3));
    let error = open();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let (text, sound) = (error.to_string(), version(2));
    assert!(text.starts_with(&format!("`{}`: ", version(3))), "{text}");
    assert!(
        text.ends_with(&format!("; the newest sound version is `{sound}`")),
        "{text}"
    );
    bed.storage.put(&version(2), b"{").unwrap();
    bed.storage.put(&version(1), b"").unwrap();
    assert!(open().to_string().ends_with("; there is no sound version"));
}

#[test]
fn a_version_of_a_newer_format_is_refused() {
    let bed = Bed::keyed();
    let path = "tables/default.t/versions/00000000000000000002.json";
    bed.storage
        .put(path, br#"{"format":2,"anything":true}"#)
        .unwrap();
    let error = HotTables::open(Arc::new(bed.storage.clone()))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let expected = format!("`{path}`: format=2 is from a newer version; expected 1");
    assert_eq!(error.to_string(), expected);
}

/// A storage whose answer to the next `put_if_absent` can get lost after the write.
struct LosesAnswers {
    inner: MemoryStorage,
    lose: AtomicBool,
}

impl Storage for LosesAnswers {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner.read_range(path, offset, length)
    }

    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.inner.length(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put_if_absent(path, bytes)?;
        if self.lose.swap(false, Ordering::Relaxed) {
            return Err(Error::unavailable("the answer was lost"));
        }
        Ok(())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put(path, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path)
    }

    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        self.inner.append(path)
    }
}

#[test]
fn rows_without_a_version_are_no_new_table() {
    let bed = Bed::keyed();
    bed.put(1, "a=1");
    for file in bed.files("versions") {
        let path = format!("tables/default.t/versions/{file}");
        bed.storage.delete(&path).unwrap();
    }
    let error = HotTables::open(Arc::new(bed.storage.clone()))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let expected = "`tables/default.t/versions/` has no version, expected one, as the table has \
                    rows in `tables/default.t/parts/`";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_table_says_what_it_holds_of_whichever_incarnation() {
    let held = |bed: &Bed| bed.sink().held(&bed.context()).unwrap().unwrap();
    let mut bed = Bed::keyed();
    assert_eq!(held(&bed).last, None);
    assert_eq!(held(&bed).place, "table `default.t` in `tables/default.t/`");
    bed.put(1, "a=1");
    bed.put(4, "a=4");
    let last = |bed: &Bed| held(bed).last.unwrap().to_string();
    assert_eq!(last(&bed.reopened()), "epoch 4");
    bed.incarnation = 2;
    assert_eq!(last(&bed), "epoch 4");
    bed.put(3, "a=3");
    assert_eq!(last(&bed.reopened()), "epoch 3 of incarnation 2");
    // Without its newest version it is the table of before.
    let newest = bed.files("versions").pop().unwrap();
    bed.storage
        .delete(&format!("tables/default.t/versions/{newest}"))
        .unwrap();
    assert_eq!(last(&bed.reopened()), "epoch 4");
}

/// `bed` on a storage whose answers can get lost.
fn losing_answers(bed: &mut Bed) -> Arc<LosesAnswers> {
    let inner = bed.storage.clone();
    let storage = Arc::new(LosesAnswers {
        inner,
        lose: AtomicBool::new(false),
    });
    bed.tables = HotTables::open(storage.clone()).unwrap();
    storage
}

#[test]
fn a_merge_whose_answer_was_lost_does_not_stop_the_writers() {
    for keyed in [true, false] {
        let mut bed = if keyed { Bed::keyed() } else { Bed::appended() };
        let storage = losing_answers(&mut bed);
        for epoch in 1..=8 {
            bed.put(epoch, &format!("k{epoch}={epoch}"));
        }
        let rows = "k1=1 k2=2 k3=3 k4=4 k5=5 k6=6 k7=7 k8=8";
        storage.lose.store(true, Ordering::Relaxed);
        let error = bed.table().maintain(EventTime(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(bed.reopened().show(), rows, "a crash right after it");
        bed.put(9, "z=9");
        let rows = format!("{rows} z=9");
        assert_eq!(bed.show(), rows);
        assert_eq!(bed.reopened().show(), rows);
        while bed.table().maintain(EventTime(0)).unwrap() {}
        assert_eq!(bed.reopened().show(), rows);
    }
}

#[test]
fn a_commit_whose_answer_was_lost_does_not_stop_a_merge_or_another_writer() {
    let mut bed = Bed::appended();
    let storage = losing_answers(&mut bed);
    for epoch in 1..=8 {
        bed.put(epoch, &format!("k{epoch}={epoch}"));
    }
    let staged = bed.stage(9, 0, "z=9");
    storage.lose.store(true, Ordering::Relaxed);
    bed.commit(9, std::slice::from_ref(&staged)).unwrap_err();
    assert!(bed.table().maintain(EventTime(0)).unwrap());
    bed.commit(9, &[staged]).unwrap();
    let rows = "k1=1 k2=2 k3=3 k4=4 k5=5 k6=6 k7=7 k8=8 z=9";
    assert_eq!(bed.show(), rows);
    assert_eq!(bed.reopened().show(), rows);
}

#[test]
fn a_commit_whose_answer_was_lost_can_be_repeated() {
    let mut bed = Bed::appended();
    let storage = losing_answers(&mut bed);
    let staged = bed.stage(1, 0, "a=1");
    storage.lose.store(true, Ordering::Relaxed);
    let error = bed.commit(1, std::slice::from_ref(&staged)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(bed.show(), "", "unknown is not shown");
    bed.commit(1, &[staged]).unwrap();
    assert_eq!(bed.show(), "a=1");
    bed.put(2, "b=2");
    assert_eq!(bed.reopened().show(), "a=1 b=2");
}

#[test]
fn a_second_owner_is_noticed() {
    let bed = Bed::keyed();
    let other = bed.reopened();
    bed.put(1, "a=1");
    let staged = other.stage(1, 1, "b=1");
    let error = other.commit(1, &[staged]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let expected = "`tables/default.t/versions/00000000000000000002.json` was written by another \
                    process, which owns the table";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn opening_changes_nothing() {
    let bed = Bed::keyed();
    bed.put(1, "a=1");
    bed.stage(2, 0, "a=2");
    let before = bed.storage.list("").unwrap();
    HotTables::open(Arc::new(bed.storage.clone())).unwrap();
    assert_eq!(bed.storage.list("").unwrap(), before);
}

#[test]
fn files_of_an_earlier_process_are_swept() {
    let bed = Bed::keyed();
    for epoch in 1..=8 {
        bed.put(epoch, &format!("k{epoch}=1"));
    }
    assert!(bed.table().maintain(EventTime(0)).unwrap());
    let merged = bed.show();
    for epoch in 9..=11 {
        bed.put(epoch, "z=1");
    }
    bed.stage(12, 0, "a=2");
    assert_eq!(
        bed.files("parts").len(),
        13,
        "kept versions refer to the parts before the merge"
    );
    let bed = bed.crashed();
    bed.table().maintain(EventTime(0)).unwrap();
    let names = bed.files("parts");
    assert_eq!(
        names.len(),
        5,
        "merged, three committed, one staged: {names:?}"
    );
    assert_eq!(bed.files("versions").len(), 3);
    assert_eq!(bed.reopened().show(), format!("{merged} z=1"));
    // Whatever else lies there is not ours.
    bed.storage
        .put("tables/default.t/parts/notes.txt", b"mine")
        .unwrap();
    let bed = bed.reopened();
    bed.table().maintain(EventTime(0)).unwrap();
    assert!(bed.files("parts").contains(&"notes.txt".to_owned()));
    sink(&bed.tables, &bed.plan).unwrap();
}
