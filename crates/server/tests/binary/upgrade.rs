//! A pipeline file that has changed, over what the one before has left.

use super::savepoint::{JOB, RUN, ask, counts, post, raw, start, stopped};
use super::support::{folder, run, until, write};

/// The job with a query more, over windows of two seconds, and a column more in `raw`.
fn with_more() -> String {
    let wider = "\
CREATE TABLE wide (
  window_start TIMESTAMP(3), k STRING, n BIGINT, PRIMARY KEY (window_start, k) NOT ENFORCED
) WITH ('connector' = 'clickhouse');
INSERT INTO wide SELECT window_start, k, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '2' SECOND))
GROUP BY window_start, window_end, k;
";
    let job = JOB
        .replace(
            "raw (k STRING, ts BIGINT)",
            "raw (k STRING, ts BIGINT, twice BIGINT)",
        )
        .replace(
            "SELECT k, ts FROM clicks",
            "SELECT k, ts, 2 * ts FROM clicks",
        );
    assert_ne!(job, JOB);
    format!("{job}{wider}")
}

#[test]
fn it_says_what_it_keeps_before_and_keeps_it() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "job.sql", JOB);
    run(folder, &["plan", "job.sql", "--against", "latest"])
        .check(2, "data directory `millstream-data` does not exist");
    let (running, url) = start(folder, &[]);
    post(&url, &[1_000, 1_500, 2_000, 2_500]);
    let same = run(folder, &["plan", "job.sql", "--against", "latest"]);
    same.check_ok();
    assert!(
        same.stdout
            .contains("keep     everything: the plan is the same"),
        "{}",
        same.stdout
    );

    // Asked while it runs.
    write(folder, "new/job.sql", &with_more());
    run(folder, &["savepoint", "create", "before"]).check_ok();
    for against in ["latest", "before"] {
        let told = run(folder, &["plan", "new/job.sql", "--against", against]);
        told.check_ok();
        let lines: Vec<&str> = told.stdout.lines().skip(1).collect();
        let begins = [
            "keep     source clicks: it is read on where it was",
            "keep     aggregate tumble(at, 1000 ms) by [k] [COUNT(*) AS count] for `counts`: ",
            "rebuild  aggregate tumble(at, 2000 ms) by [k] [COUNT(*) AS count] for `wide`: it is new; ",
            "keep     sink counts: it computes the same",
            "keep     sink raw: its rows have other columns from here on",
            "new      sink wide: it gets rows from here on",
        ];
        for begin in begins {
            let is_there = lines.iter().any(|line| line.starts_with(begin));
            assert!(is_there, "expected `{begin}` in {}", told.stdout);
        }
    }
    let told = run(
        folder,
        &[
            "plan",
            "new/job.sql",
            "--against",
            "latest",
            "--format",
            "json",
        ],
    );
    told.check_ok();
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("it is JSON");
    assert_eq!(told["is_refused"], false);
    assert_eq!(
        (&told["changes"][0]["part"], &told["changes"][0]["fate"]),
        (&"source".into(), &"keep".into())
    );
    stopped(running);

    std::fs::rename(folder.join("new/job.sql"), folder.join("job.sql")).expect("it is there");
    let (running, url) = start(folder, &[]);
    post(&url, &[2_600, 3_000, 4_000]);
    assert_eq!(counts(&url), ["1,2", "2,3", "3,1"]);
    let wide = "SELECT CAST(window_start AS BIGINT) / 1000 AS s, n FROM wide ORDER BY s";
    assert_eq!(ask(&url, wide), ["2,4"], "two of them were read before");
    let twice = "SELECT ts, twice FROM raw WHERE ts IN (2500, 2600) ORDER BY ts";
    assert_eq!(ask(&url, twice), ["2500,", "2600,5200"]);
    let ran = stopped(running);
    let said = "`job` has changed since epoch ";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    // Started once more, it has not changed.
    let (running, url) = start(folder, &[]);
    until(|| raw(&url) == 7);
    let ran = stopped(running);
    assert!(!ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn what_would_change_results_is_refused_with_what_to_do() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "job.sql", JOB);
    let (running, url) = start(folder, &[]);
    post(&url, &[1_000, 1_500]);
    stopped(running);
    write(
        folder,
        "job.sql",
        &JOB.replace("INTERVAL '0' SECOND", "INTERVAL '5' SECOND"),
    );
    let told = run(folder, &["plan", "job.sql", "--against", "latest"]);
    told.check(
        2,
        "error: the changed pipeline cannot go on: clicks\nhint: ",
    );
    let expected = "REFUSED  source clicks: its WATERMARK has changed (it was `at (";
    assert!(told.stdout.contains(expected), "{}", told.stdout);
    let refused = run(folder, &RUN);
    refused.check(
        2,
        "error: the changed pipeline cannot go on: clicks\nhint: ",
    );
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    run(folder, &[&RUN[..], &["--drop-state", "nobody"]].concat())
        .check(2, "no table `nobody` whose state could be dropped");
    // Another name begins afresh.
    let (running, url) = start(folder, &["--set", "pipeline.name=other"]);
    until(|| raw(&url) == 4);
    stopped(running);
}
