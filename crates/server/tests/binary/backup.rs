//! Backups, as a user makes them of a process at work, and goes on from them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millstream_server::client::{Client, Posted};

use super::support::{Running, folder, run, until, write};

/// Clicks of a topic per second, and all of them as they come: a click that is read twice shows.
const JOB: &str = "\
CREATE TABLE clicks (
  id BIGINT, ts BIGINT, at AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR at AS at - INTERVAL '0' SECOND
) WITH ('connector' = 'http', 'topic' = 'clicks', 'format' = 'json', 'topic.partitions' = '1');
CREATE TABLE counts (
  window_start TIMESTAMP(3), n BIGINT, ids BIGINT, PRIMARY KEY (window_start) NOT ENFORCED
) WITH ('connector' = 'clickhouse');
CREATE TABLE raw (id BIGINT) WITH ('connector' = 'clickhouse');
CREATE TABLE copies (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'copies', 'format' = 'json');
INSERT INTO counts SELECT window_start, COUNT(*), COUNT(DISTINCT id)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;
INSERT INTO raw SELECT id FROM clicks;
INSERT INTO copies SELECT id FROM clicks;
";

/// A click each 10 ms.
const CLICKS_A_WINDOW: u64 = 100;
const BATCH: u64 = 20;

fn start(folder: &Path, data_dir: &str) -> (Running, String) {
    let arguments = [
        "run",
        "job.sql",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data_dir,
        "--set",
        "execution.checkpointing.interval=20ms",
    ];
    let mut running = Running::start(folder, &arguments);
    let url = running.url();
    (running, url)
}

/// Posts the clicks from `from` on, up to `to`. Whether they were taken.
fn post(url: &str, from: u64, to: u64) -> bool {
    let lines = (from..to).map(|id| format!("{{\"id\":{id},\"ts\":{}}}\n", id * 10));
    let lines: String = lines.collect();
    let address = format!("{url}/v1/events/clicks");
    let posted = Client::new().post_events(&address, lines.as_bytes());
    matches!(posted, Ok(Posted::Accepted(_)))
}

fn ask(url: &str, sql: &str) -> Vec<u64> {
    let text = Client::new().query(url, sql, "csv").expect("it is served");
    let rows = text.lines().skip(1);
    rows.flat_map(|row| {
        row.split(',')
            .map(|cell| cell.parse().expect("a number"))
            .collect::<Vec<_>>()
    })
    .collect()
}

/// How many records the topic has.
fn stored(url: &str, topic: &str) -> u64 {
    let text = Client::new()
        .get(&format!("{url}/api/v1/topics"))
        .expect("it is served");
    let topics: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let topics = topics.as_array().expect("a list");
    let topic = topics
        .iter()
        .find(|found| found["topic"] == topic)
        .expect("it is there");
    let partitions = topic["partitions"].as_array().expect("a list").iter();
    partitions
        .map(|partition| partition["end_offset"].as_u64().expect("a number"))
        .sum()
}

/// All clicks up to `count` are counted, once each.
fn check_results(url: &str, count: u64) {
    until(|| ask(url, "SELECT COUNT(*) AS n FROM raw") == [count]);
    let raw = ask(
        url,
        "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids, MAX(id) AS last FROM raw",
    );
    assert_eq!(raw, [count, count, count - 1]);
    // All but the last window have come out.
    let windows = (count - 1) / CLICKS_A_WINDOW;
    until(|| ask(url, "SELECT COUNT(*) AS n FROM counts") == [windows]);
    let counts = ask(
        url,
        "SELECT MIN(n) AS a, MAX(n) AS b, MIN(ids) AS c, MAX(ids) AS d FROM counts",
    );
    assert_eq!(counts, [CLICKS_A_WINDOW; 4]);
    assert_eq!(stored(url, "copies"), count);
}

/// Says that it is over when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn it_is_made_while_events_come_in_and_gone_on_from() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "job.sql", JOB);
    let (running, url) = start(folder, "data");
    let (accepted, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    // Asking takes a while, in which others get on.
    let at_least = |count: u64| until(|| stored(&url, "clicks") >= count);
    let mut backups = vec![];
    std::thread::scope(|scope| {
        // A test that fails ends the thread, too.
        let _over = Over(&is_over);
        scope.spawn(|| {
            let mut next = 0;
            while !is_over.load(Ordering::SeqCst) && post(&url, next, next + BATCH) {
                next += BATCH;
                accepted.store(next, Ordering::SeqCst);
            }
        });
        for number in 1..=3 {
            at_least(number * 400);
            let name = format!("backup-{number}");
            let before = accepted.load(Ordering::SeqCst);
            let ran = run(folder, &["backup", "--data-dir", "data", "--to", &name]);
            let after = accepted.load(Ordering::SeqCst) + BATCH;
            ran.check_ok();
            assert!(ran.stdout.starts_with("backed up "), "{}", ran.stdout);
            backups.push((name, before..=after));
        }
        at_least(1_600);
        running.signal("KILL");
    });
    running.end();
    let leftovers = std::fs::read_dir(folder.join("data")).expect("it is a folder");
    let names = leftovers.map(|entry| entry.expect("it can be read").file_name());
    assert!(
        !names
            .into_iter()
            .any(|name| name.to_string_lossy().contains("snapshot"))
    );
    let accepted = accepted.into_inner();
    for (backup, expected) in backups {
        let data = format!("{backup}-restored");
        run(folder, &["verify", "--data-dir", &backup]).check_ok();
        run(folder, &["restore", "--from", &backup, "--data-dir", &data]).check_ok();
        let verified = run(folder, &["verify", "--data-dir", &data]);
        assert_eq!(verified.code, 0, "{}", verified.stdout);
        let (running, url) = start(folder, &data);
        let stored = stored(&url, "clicks");
        assert!(expected.contains(&stored), "{stored} of {expected:?}");
        // The input that is left, as its sender has it.
        assert!(post(&url, stored, accepted));
        check_results(&url, accepted);
        running.signal("INT");
        running.end().check_ok();
        run(folder, &["verify", "--data-dir", &data]).check_ok();
    }
}

#[test]
fn a_stopped_directory_is_copied_as_it_is() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "job.sql", JOB);
    let (running, url) = start(folder, "data");
    assert!(post(&url, 0, 250));
    check_results(&url, 250);
    running.signal("INT");
    running.end().check_ok();
    run(
        folder,
        &["backup", "--data-dir", "data", "--to", "a/backup"],
    )
    .check_ok();
    run(
        folder,
        &["backup", "--data-dir", "data", "--to", "a/backup"],
    )
    .check(2, "is not empty");
    let restore =
        |from: &str, to: &str| run(folder, &["restore", "--from", from, "--data-dir", to]);
    restore("a/backup", "data").check(2, "`data` is not empty, expected a new folder");
    restore("a", "new").check(2, "is no whole backup: it has no file `BACKUP`");
    restore("a/backup", "new").check_ok();
    let (running, url) = start(folder, "new");
    check_results(&url, 250);
    assert!(post(&url, 250, 500));
    check_results(&url, 500);
    let in_use = run(folder, &["verify", "--data-dir", "new"]);
    in_use.check(2, "is in use by process");
    in_use.check(2, "hint: stop it first, or verify a backup");
    running.signal("INT");
    running.end().check_ok();
}
