use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::spec::ManifestEntryRef;
use iceberg::table::Table;
use millstream_core::ErrorKind;

use super::*;
use crate::iceberg::snapshot::{load_list, load_manifest};
use crate::iceberg::test_lake::{Answer, Chance, TestLake};

const PROPERTIES: [(&str, &str); 3] = [
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "5"),
    ("commit.manifest.min-count-to-merge", "10"),
];

/// Live entries of the current snapshot.
fn live(table: &Table) -> Vec<ManifestEntryRef> {
    let Some(snapshot) = table.metadata().current_snapshot() else {
        return Vec::new();
    };
    let mut live = Vec::new();
    for manifest in block_on(load_list(table, snapshot)).unwrap() {
        live.extend(block_on(load_manifest(table, &manifest)).unwrap());
    }
    live.retain(|entry| entry.is_alive());
    live
}

fn names(table: &Table) -> Vec<String> {
    let name = |entry: &ManifestEntryRef| {
        let path = entry.file_path();
        path.rsplit('/')
            .next()
            .unwrap()
            .trim_end_matches(".parquet")
            .to_owned()
    };
    let mut names: Vec<String> = live(table).iter().map(name).collect();
    names.sort();
    names
}

fn manifests(table: &Table) -> usize {
    let snapshot = table.metadata().current_snapshot().unwrap();
    block_on(load_list(table, snapshot)).unwrap().len()
}

fn summary(table: &Table) -> BTreeMap<String, String> {
    let summary = table.metadata().current_snapshot().unwrap().summary();
    summary.additional_properties.clone().into_iter().collect()
}

fn append(lake: &TestLake, epoch: u64) -> Result<Appended> {
    let append = lake.append("s", epoch, vec![lake.file(&format!("f{epoch}"), epoch)]);
    lake.commits.append(&lake.table, &append)
}

/// What the parquet reader of another engine would not forgive is in the summary's numbers.
#[test]
fn a_summary_tells_what_the_specification_asks_for() {
    let lake = TestLake::new(&PROPERTIES);
    append(&lake, 3).unwrap();
    append(&lake, 4).unwrap();
    let expected = [
        ("added-data-files", "1"),
        ("added-files-size", "4"),
        ("added-records", "4"),
        ("changed-partition-count", "1"),
        ("millstream.epoch", "4"),
        ("millstream.incarnation", "1"),
        ("millstream.pipeline", "p"),
        ("millstream.sink", "s"),
        ("total-data-files", "2"),
        ("total-delete-files", "0"),
        ("total-equality-deletes", "0"),
        ("total-files-size", "8"),
        ("total-position-deletes", "0"),
        ("total-records", "7"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(summary(&lake.load()), BTreeMap::from(expected));
}

#[test]
fn an_append_is_made_once_for_each_mark() {
    let lake = TestLake::new(&PROPERTIES);
    assert!(matches!(append(&lake, 5).unwrap(), Appended::Done(_)));
    for (epoch, incarnation) in [(5, 1), (4, 1), (9, 0)] {
        let mut again = lake.append("s", epoch, vec![lake.file("again", 1)]);
        again.mark.incarnation = incarnation;
        again.first = again.mark;
        match lake.commits.append(&lake.table, &again).unwrap() {
            Appended::AlreadyThere { found, .. } => {
                assert_eq!(
                    found,
                    Mark {
                        incarnation: 1,
                        epoch: 5
                    }
                );
            }
            other => panic!("{epoch} of {incarnation}: {other:?}"),
        }
    }
    let mut more = lake.append("s", 6, vec![lake.file("more", 1)]);
    more.first.epoch = 5;
    let partly = lake.commits.append(&lake.table, &more).unwrap();
    assert!(
        matches!(partly, Appended::Partly { found, .. } if found == more.first),
        "epoch 5 would be there twice"
    );
    // Another writer, a later epoch, a later incarnation: each its own.
    let other = lake.append("other", 5, vec![lake.file("other", 1)]);
    lake.commits.append(&lake.table, &other).unwrap();
    append(&lake, 6).unwrap();
    let mut rewound = lake.append("s", 2, vec![lake.file("rewound", 1)]);
    rewound.mark.incarnation = 2;
    rewound.first = rewound.mark;
    lake.commits.append(&lake.table, &rewound).unwrap();
    assert_eq!(names(&lake.load()), ["f5", "f6", "other", "rewound"]);
}

#[test]
fn a_mark_outlives_its_snapshot_and_its_property() {
    let lake = TestLake::new(&PROPERTIES);
    append(&lake, 5).unwrap();
    let writer = lake.append("s", 5, Vec::new()).writer;
    let mark = Some(Mark {
        incarnation: 1,
        epoch: 5,
    });
    // Somebody takes the property out: the summary of an ancestor has it.
    let table = lake.load();
    let removals = vec![writer.property()];
    let updates = vec![TableUpdate::RemoveProperties { removals }];
    let catalog = lake.commits.catalog();
    assert!(matches!(
        catalog.commit(&table, Vec::new(), updates),
        Committed::Done(_)
    ));
    let other = lake.append("other", 1, vec![lake.file("other", 1)]);
    lake.commits.append(&lake.table, &other).unwrap();
    assert_eq!(mark_of(&lake.load(), &writer).unwrap(), mark);
    append(&lake, 6).unwrap();
    // All its snapshots expire: the property has it.
    for epoch in 2..5 {
        let other = lake.append("other", epoch, vec![lake.file(&format!("o{epoch}"), 1)]);
        lake.commits.append(&lake.table, &other).unwrap();
    }
    lake.pass(1);
    let expire = Expire {
        older_than_ms: Some(i64::MAX),
        keep: Some(1),
        ..Expire::default()
    };
    let expired = lake.commits.expire(&lake.table, &expire).unwrap().unwrap();
    assert_eq!(expired.removed.len(), 5);
    let mark = Some(Mark {
        incarnation: 1,
        epoch: 6,
    });
    assert_eq!(mark_of(&lake.load(), &writer).unwrap(), mark);
}

#[test]
fn a_lost_answer_is_looked_up() {
    for (answers, expected) in [
        (&[Answer::Lost][..], 1),
        (&[Answer::Never], 1),
        (&[Answer::Late], 1),
        (&[Answer::Never, Answer::Late, Answer::Lost], 1),
    ] {
        let lake = TestLake::new(&PROPERTIES);
        lake.pointers.answer(answers);
        assert!(append(&lake, 1).is_ok(), "{answers:?}");
        append(&lake, 2).unwrap();
        let table = lake.load();
        assert_eq!(names(&table), ["f1", "f2"], "{answers:?}");
        assert_eq!(
            table.metadata().snapshots().len(),
            expected + 1,
            "{answers:?}"
        );
    }
    let lake = TestLake::new(&PROPERTIES);
    lake.pointers.answer(&[Answer::Never; 12]);
    assert_eq!(append(&lake, 1).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(matches!(append(&lake, 1).unwrap(), Appended::Done(_)));
}

#[test]
fn an_append_that_cannot_be_made_leaves_nothing_but_data_files() {
    let lake = TestLake::new(&PROPERTIES);
    append(&lake, 1).unwrap();
    let before: BTreeSet<String> = lake.files.paths().into_iter().collect();
    lake.pointers.answer(&[Answer::Failed]);
    assert_eq!(append(&lake, 2).unwrap_err().kind(), ErrorKind::Unavailable);
    let after: BTreeSet<String> = lake.files.paths().into_iter().collect();
    let more: Vec<&String> = after.difference(&before).collect();
    assert_eq!(more, ["memory:///wh/db/t/data/f2.parquet"]);
    let empty = lake
        .commits
        .append(&lake.table, &lake.append("s", 3, Vec::new()));
    assert_eq!(empty.unwrap_err().kind(), ErrorKind::Bug);
    assert_eq!(lake.load().metadata().snapshots().len(), 1);
}

#[test]
fn appends_of_several_processes_lose_nothing() {
    let lake = Arc::new(TestLake::new(&PROPERTIES));
    let threads: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let (lake, commits) = (lake.clone(), lake.process());
            std::thread::Builder::new().spawn(move || {
                for epoch in 1..=20 {
                    let file = lake.file(&format!("{name}{epoch}"), 1);
                    let append = lake.append(name, epoch, vec![file]);
                    // Who gave up comes again.
                    while let Err(error) = commits.append(&lake.table, &append) {
                        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.unwrap().join().unwrap();
    }
    let table = lake.load();
    assert_eq!(names(&table).into_iter().collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(live(&table).len(), 60);
    assert_eq!(summary(&table)["total-records"], "60");
}

fn replace(lake: &TestLake, removed: &[&str], added: &str) -> Replace {
    let table = lake.load();
    let mut found = Vec::new();
    for entry in live(&table) {
        let name = entry.file_path().to_owned();
        if removed
            .iter()
            .any(|removed| name.ends_with(&format!("/{removed}.parquet")))
        {
            found.push((entry.data_file().record_count(), name));
        }
    }
    let rows = found.iter().map(|(rows, _)| rows).sum();
    Replace {
        sequence_number: table.metadata().last_sequence_number(),
        removed: found
            .into_iter()
            .map(|(_, path)| RemovedFile {
                path,
                manifest: String::new(),
            })
            .collect(),
        added: vec![lake.file(added, rows)],
        properties: BTreeMap::new(),
    }
}

#[test]
fn a_replacement_goes_on_beside_appends_and_stays_within_its_rows() {
    let lake = TestLake::new(&PROPERTIES);
    for epoch in 1..=4 {
        append(&lake, epoch).unwrap();
    }
    let one = replace(&lake, &["f1", "f3"], "c");
    append(&lake, 5).unwrap();
    assert!(matches!(
        lake.commits.replace(&lake.table, &one).unwrap(),
        Replaced::Done(_)
    ));
    let table = lake.load();
    assert_eq!(names(&table), ["c", "f2", "f4", "f5"]);
    let told = summary(&table);
    for (key, value) in [
        ("total-records", "15"),
        ("total-data-files", "4"),
        ("deleted-data-files", "2"),
        ("deleted-records", "4"),
        ("added-records", "4"),
        ("removed-files-size", "8"),
    ] {
        assert_eq!(told[key], value, "{key}");
    }
    // Rows keep the sequence number at which they were read; other files keep theirs.
    let numbers: BTreeMap<String, Option<i64>> = live(&table)
        .iter()
        .map(|entry| (entry.file_path().to_owned(), entry.sequence_number()))
        .collect();
    let number = |name: &str| numbers[&format!("memory:///wh/db/t/data/{name}.parquet")];
    assert_eq!(
        ["c", "f2", "f4", "f5"].map(number),
        [Some(4), Some(2), Some(4), Some(5)]
    );
    // The mark of the last append still holds.
    assert!(matches!(
        append(&lake, 5).unwrap(),
        Appended::AlreadyThere { .. }
    ));
}

#[test]
fn a_replacement_of_what_is_gone_is_stale() {
    let lake = TestLake::new(&PROPERTIES);
    for epoch in 1..=3 {
        append(&lake, epoch).unwrap();
    }
    let (one, other) = (
        replace(&lake, &["f1", "f2"], "c"),
        replace(&lake, &["f2", "f3"], "d"),
    );
    lake.commits.replace(&lake.table, &one).unwrap();
    let stale = lake.commits.replace(&lake.table, &other).unwrap();
    assert!(matches!(stale, Replaced::Stale(_)), "{stale:?}");
    assert_eq!(names(&lake.load()), ["c", "f3"]);
    // Again after a lost answer: done, whoever has asked.
    assert!(matches!(
        lake.commits.replace(&lake.table, &one).unwrap(),
        Replaced::Done(_)
    ));
    assert_eq!(lake.load().metadata().snapshots().len(), 4);
}

#[test]
fn a_lost_answer_of_a_replacement_is_looked_up() {
    for answer in [Answer::Lost, Answer::Never, Answer::Late] {
        let lake = TestLake::new(&PROPERTIES);
        append(&lake, 1).unwrap();
        append(&lake, 2).unwrap();
        let one = replace(&lake, &["f1", "f2"], "c");
        lake.pointers.answer(&[answer]);
        let done = lake.commits.replace(&lake.table, &one).unwrap();
        assert!(matches!(done, Replaced::Done(_)), "{answer:?}: {done:?}");
        assert_eq!(names(&lake.load()), ["c"], "{answer:?}");
        assert_eq!(lake.load().metadata().snapshots().len(), 3, "{answer:?}");
    }
}

#[test]
fn an_append_that_meets_another_is_tried_again() {
    let lake = Arc::new(TestLake::new(&PROPERTIES));
    append(&lake, 1).unwrap();
    let (other, commits) = (lake.clone(), lake.process());
    lake.pointers.before_swap(move || {
        let append = other.append("other", 1, vec![other.file("other", 1)]);
        commits.append(&other.table, &append).unwrap();
    });
    append(&lake, 2).unwrap();
    assert_eq!(names(&lake.load()), ["f1", "f2", "other"]);
    // Metadata and manifests of the rejected try are gone.
    let unused = lake
        .files
        .paths()
        .into_iter()
        .filter(|path| path.contains("/snap-"));
    assert_eq!(unused.count(), 3);
}

#[test]
fn snapshots_expire_by_age_and_number_but_never_those_that_are_named() {
    let lake = TestLake::new(&PROPERTIES);
    for epoch in 1..=6 {
        append(&lake, epoch).unwrap();
        lake.pass(1000);
    }
    let table = lake.load();
    let ids: Vec<i64> = ancestors(table.metadata())
        .map(|snapshot| snapshot.snapshot_id())
        .collect();
    let reference = iceberg::spec::SnapshotReference::new(
        ids[5],
        iceberg::spec::SnapshotRetention::Tag {
            max_ref_age_ms: None,
        },
    );
    let tag = TableUpdate::SetSnapshotRef {
        ref_name: "first".to_owned(),
        reference,
    };
    let catalog = lake.commits.catalog();
    assert!(matches!(
        catalog.commit(&table, Vec::new(), vec![tag]),
        Committed::Done(_)
    ));
    let now = 1_800_000_000_000 + 6000;
    let check = |older_than_ms: i64, keep, expected: &[usize]| {
        let expire = Expire {
            older_than_ms: Some(older_than_ms),
            keep: Some(keep),
            snapshots_max: None,
        };
        let base = lake.load();
        let outdated = expire::outdated(base.metadata(), &expire, now).unwrap();
        let places = outdated.iter().map(|snapshot| {
            ids.iter()
                .position(|id| *id == snapshot.snapshot_id())
                .unwrap()
        });
        assert_eq!(
            places.collect::<Vec<_>>(),
            expected,
            "{older_than_ms} {keep}"
        );
    };
    // The oldest, at place 5, has a name; they were made at 5000 (place 0), 4000, 3000, …
    check(now - 2500, 1, &[4, 3, 2]);
    check(now - 2500, 4, &[4]);
    check(now - 2500, 9, &[]);
    check(i64::MAX, 1, &[4, 3, 2, 1]);
    check(i64::MAX, 0, &[4, 3, 2, 1]);
    let expire = Expire {
        older_than_ms: Some(i64::MAX),
        keep: Some(2),
        snapshots_max: Some(2),
    };
    lake.pointers.answer(&[Answer::Lost]);
    let expired = lake.commits.expire(&lake.table, &expire).unwrap().unwrap();
    let removed: Vec<i64> = expired
        .removed
        .iter()
        .map(|snapshot| snapshot.snapshot_id())
        .collect();
    assert_eq!(removed, [ids[4], ids[3]]);
    assert_eq!(lake.load().metadata().snapshots().len(), 4);
}

/// Bytes read and written by the 900th to the 1000th commit are those of the 200th to the 300th.
#[test]
fn a_thousand_commits_cost_a_thousand_times_one() {
    let properties = [
        ("write.metadata.delete-after-commit.enabled", "true"),
        ("write.metadata.previous-versions-max", "20"),
        ("history.expire.max-snapshot-age-ms", "300000"),
        ("commit.manifest.target-size-bytes", "32768"),
    ];
    let lake = TestLake::new(&properties);
    let mut costs = Vec::new();
    for epoch in 1..=1000 {
        append(&lake, epoch).unwrap();
        costs.push(lake.files.take_bytes());
        lake.pass(60_000);
        if epoch % 10 == 0 {
            lake.commits
                .expire(&lake.table, &Expire::default())
                .unwrap();
            lake.files.take_bytes();
        }
    }
    let table = lake.load();
    assert_eq!(live(&table).len(), 1000);
    assert_eq!(summary(&table)["total-records"], "500500");
    assert!(manifests(&table) < 150, "{}", manifests(&table));
    assert!(table.metadata().snapshots().len() <= 30);
    let sum = |range: std::ops::Range<usize>| costs[range].iter().sum::<u64>();
    let (early, late) = (sum(200..400), sum(800..1000));
    assert!(
        late < early * 13 / 10,
        "bytes of 200 commits: {early}, later {late}"
    );
    let metadata = lake
        .files
        .paths()
        .into_iter()
        .filter(|path| path.ends_with(".metadata.json"));
    assert!(metadata.count() <= 21);
}

/// Appends, replacements and expiry by two processes, while storage and catalog fail in all ways
/// between any two steps.
#[test]
fn rows_are_there_once_whatever_fails() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let lake = TestLake::new(&PROPERTIES);
        let processes = [lake.process(), lake.process()];
        let mut chance = Chance::new(seed);
        lake.files.fail_one_in(chance.below(30) + 5, seed);
        lake.pointers.fault_one_in(3, seed);
        let mut epochs = [1; 2];
        let mut stale_outputs = BTreeSet::new();
        let mut steps = 0;
        while epochs.iter().any(|epoch| *epoch <= 25) {
            steps += 1;
            if steps == 400 {
                // Once faults stop, everything is made.
                lake.files.fail_one_in(0, 0);
                lake.pointers.fault_one_in(0, 0);
            }
            assert!(steps < 700, "seed {seed}: no progress");
            lake.pass(1000);
            let who = usize::from(chance.one_in(2));
            let commits = &processes[who];
            match chance.below(5) {
                0..3 => {
                    let epoch = epochs[who];
                    let file = lake.file(&format!("{who}-{epoch}"), 1);
                    let append = lake.append(["a", "b"][who], epoch, vec![file]);
                    if commits.append(&lake.table, &append).is_ok() {
                        epochs[who] += 1;
                    }
                }
                3 => {
                    let Some(replace) = some_replace(&lake, &mut chance, steps) else {
                        continue;
                    };
                    match commits.replace(&lake.table, &replace) {
                        Ok(Replaced::Stale(_)) => {
                            stale_outputs.insert(replace.added[0].file.file_path().to_owned());
                        }
                        Ok(Replaced::Done(_)) | Err(_) => {}
                    }
                }
                _ => {
                    let older_than_ms = Some(lake.env.now_ms() - 8000);
                    let expire = Expire {
                        older_than_ms,
                        keep: Some(2),
                        snapshots_max: None,
                    };
                    let _ = commits.expire(&lake.table, &expire);
                }
            }
        }
        let rows = epochs.iter().map(|next| next - 1).sum();
        check_after_faults(&lake, rows, &stale_outputs);
    }
}

fn check_after_faults(lake: &TestLake, expected: u64, stale_outputs: &BTreeSet<String>) {
    lake.files.fail_one_in(0, 0);
    lake.pointers.fault_one_in(0, 0);
    // The first look may make a late swap land.
    lake.load();
    let table = lake.load();
    let (mut rows, mut paths) = (0, BTreeSet::new());
    for entry in live(&table) {
        assert!(
            paths.insert(entry.file_path().to_owned()),
            "twice: {entry:?}"
        );
        rows += entry.record_count();
    }
    assert_eq!(rows, expected);
    assert!(paths.is_disjoint(stale_outputs), "a stale output is live");
    assert_eq!(summary(&table)["total-records"], rows.to_string());
}

/// Some of the live files, by what can be read now.
fn some_replace(lake: &TestLake, chance: &mut Chance, step: u64) -> Option<Replace> {
    let table = lake.commits.load(&lake.table).ok()?;
    let snapshot = table.metadata().current_snapshot()?;
    let mut removed = Vec::new();
    let mut rows = 0;
    for manifest in block_on(load_list(&table, snapshot)).ok()? {
        for entry in block_on(load_manifest(&table, &manifest)).ok()? {
            if entry.is_alive() && chance.one_in(3) {
                rows += entry.record_count();
                let path = entry.file_path().to_owned();
                removed.push(RemovedFile {
                    path,
                    manifest: manifest.manifest_path.clone(),
                });
            }
        }
    }
    (!removed.is_empty()).then(|| Replace {
        sequence_number: table.metadata().last_sequence_number(),
        removed,
        added: vec![lake.file(&format!("compact-{step}"), rows)],
        properties: BTreeMap::new(),
    })
}
