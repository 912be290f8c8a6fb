//! Savepoints, as a user makes them and goes back to them.

use std::path::Path;

use millstream_server::client::Client;

use super::support::{Ran, Running, folder, run, until, write};

/// Clicks of a topic per second, and all of them as they come.
pub const JOB: &str = "\
CREATE TABLE clicks (
  k STRING, ts BIGINT, at AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR at AS at - INTERVAL '0' SECOND
) WITH ('connector' = 'http', 'topic' = 'clicks', 'format' = 'json', 'topic.partitions' = '1');
CREATE TABLE counts (
  window_start TIMESTAMP(3), k STRING, n BIGINT, PRIMARY KEY (window_start, k) NOT ENFORCED
) WITH ('connector' = 'clickhouse');
CREATE TABLE raw (k STRING, ts BIGINT) WITH ('connector' = 'clickhouse');
INSERT INTO counts SELECT window_start, k, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '1' SECOND))
GROUP BY window_start, window_end, k;
INSERT INTO raw SELECT k, ts FROM clicks;
";

pub const RUN: [&str; 6] = [
    "run",
    "job.sql",
    "--listen",
    "127.0.0.1:0",
    "--set",
    "execution.checkpointing.interval=20ms",
];

pub fn start(folder: &Path, more: &[&str]) -> (Running, String) {
    let mut running = Running::start(folder, &[&RUN[..], more].concat());
    let url = running.url();
    (running, url)
}

/// Posts clicks of `a` at these times (ms), and waits until they are counted and kept.
pub fn post(url: &str, times: &[i64]) {
    let before = raw(url);
    let lines = times
        .iter()
        .map(|ts| format!("{{\"k\":\"a\",\"ts\":{ts}}}\n"));
    let lines: String = lines.collect();
    let address = format!("{url}/v1/events/clicks");
    let posted = Client::new().post_events(&address, lines.as_bytes());
    posted.expect("it is served");
    until(|| raw(url) == before + times.len());
}

pub fn ask(url: &str, sql: &str) -> Vec<String> {
    let text = Client::new().query(url, sql, "csv").expect("it is served");
    text.lines().skip(1).map(str::to_owned).collect()
}

pub fn raw(url: &str) -> usize {
    let rows = ask(url, "SELECT COUNT(*) AS n FROM raw");
    rows[0].parse().expect("a number")
}

pub fn counts(url: &str) -> Vec<String> {
    let sql = "SELECT CAST(window_start AS BIGINT) / 1000 AS s, n FROM counts ORDER BY s";
    ask(url, sql)
}

pub fn stopped(running: Running) -> Ran {
    running.signal("INT");
    let ran = running.end();
    ran.check_ok();
    ran
}

#[test]
fn it_is_made_while_the_pipeline_runs_and_gone_back_to() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "job.sql", JOB);
    let (running, url) = start(folder, &[]);
    // The second from 1 has ended when the savepoint is made, that from 2 has two of three rows.
    post(&url, &[1_000, 1_500, 2_000, 2_500]);
    let made = run(folder, &["savepoint", "create", "before"]);
    made.check(0, "savepoint `before` of `job` keeps epoch ");
    run(folder, &["savepoint", "create", "before"]).check(1, "is there already");
    run(folder, &["savepoint", "create", "a b"]).check(2, "expected 1 to 100 letters");
    run(folder, &["savepoint", "create", "x", "--pipeline", "y"])
        .check(2, "no pipeline `y`; there are: job");
    let list = run(folder, &["savepoint", "list"]);
    list.check_ok();
    let lines: Vec<Vec<&str>> = list
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 2, "{}", list.stdout);
    assert_eq!(lines[1][..2], ["job", "before"]);
    post(&url, &[2_600, 3_000, 4_000]);
    assert_eq!(counts(&url), ["1,2", "2,3", "3,1"]);
    stopped(running);

    // `raw` has no key: three rows would be there twice.
    let back = ["--from-savepoint", "before"];
    let refused = run(folder, &[&RUN[..], &back].concat());
    refused.check(2, "error: rows would be twice in `raw`\nhint: `--yes`");
    assert!(
        refused.stderr.contains("going back to epoch "),
        "{}",
        refused.stderr
    );
    assert!(
        refused
            .stderr
            .contains("  raw: 3 rows have come since; they stay, and come again"),
        "{}",
        refused.stderr
    );
    assert!(
        refused
            .stderr
            .contains("  counts: 2 rows have come since; as they come again they take"),
        "{}",
        refused.stderr
    );

    let (running, url) = start(folder, &[&back[..], &["--yes"]].concat());
    until(|| raw(&url) == 10);
    assert_eq!(counts(&url), ["1,2", "2,3", "3,1"]);
    run(folder, &["savepoint", "drop", "before"]).check(0, "dropped savepoint `before`");
    run(folder, &["savepoint", "drop", "before"]).check(2, "has no savepoint `before`");
    stopped(running);
}

#[test]
fn it_is_made_of_a_pipeline_that_is_stopped() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "job.sql", JOB);
    let create = ["savepoint", "create", "a", "--file", "job.sql"];
    run(folder, &create).check(2, "data directory `millstream-data` does not exist");
    let (running, url) = start(folder, &[]);
    post(&url, &[1_000]);
    stopped(running);
    run(folder, &create).check_ok();
    let list = run(folder, &["savepoint", "list", "--format", "json"]);
    list.check_ok();
    let list: serde_json::Value = serde_json::from_str(&list.stdout).expect("it is JSON");
    assert_eq!(
        (&list[0]["name"], &list[0]["rows"]),
        (&"a".into(), &1.into())
    );
    // Nothing came since, so nothing is rewound.
    let (running, url) = start(folder, &["--from-savepoint", "a"]);
    assert_eq!(raw(&url), 1);
    let ran = stopped(running);
    assert!(!ran.stderr.contains("going back"), "{}", ran.stderr);
    run(folder, &["savepoint", "drop", "a"]).check_ok();
    let list = run(folder, &["savepoint", "list"]);
    assert_eq!(list.stdout, "no savepoints\n");
    run(folder, &[&RUN[..], &["--from-savepoint", "a"]].concat())
        .check(2, "has no savepoint `a`; there are none");
}
