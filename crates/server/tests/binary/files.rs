//! Bounded input: files in, files and tables out.

use std::fmt::Write as _;
use std::path::Path;

use super::support::{Running, folder, run, write};

const COUNT: &str = "\
CREATE TABLE clicks (
  page STRING, ts BIGINT, event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '1' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json');
CREATE TABLE per_minute (window_start TIMESTAMP(3), page STRING, n BIGINT)
WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT, PRIMARY KEY (window_start) NOT ENFORCED)
WITH ('connector' = 'clickhouse');
INSERT INTO per_minute SELECT window_start, page, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page;
INSERT INTO totals SELECT window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
";

/// Two minutes of clicks on two pages, one that is late, one line that is not JSON.
fn input(folder: &Path) {
    write(folder, "count.sql", COUNT);
    let mut lines = String::new();
    for second in 0..120 {
        let page = if second % 3 == 0 { "/a" } else { "/b" };
        writeln!(lines, "{{\"page\":\"{page}\",\"ts\":{}}}", second * 1000).expect("memory");
    }
    lines.push_str("{\"page\":\"/late\",\"ts\":5000}\nnot json\n");
    write(folder, "in/clicks.jsonl", &lines);
}

fn rows_out(folder: &Path) -> Vec<String> {
    let mut rows = vec![];
    for entry in std::fs::read_dir(folder.join("out")).expect("it was written") {
        let entry = entry.expect("it can be read");
        if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            let text = std::fs::read_to_string(entry.path()).expect("it is text");
            rows.extend(text.lines().map(str::to_owned));
        }
    }
    rows.sort();
    rows
}

const EXPECTED: [&str; 4] = [
    r#"{"window_start":"1970-01-01 00:00:00","page":"/a","n":20}"#,
    r#"{"window_start":"1970-01-01 00:00:00","page":"/b","n":40}"#,
    r#"{"window_start":"1970-01-01 00:01:00","page":"/a","n":20}"#,
    r#"{"window_start":"1970-01-01 00:01:00","page":"/b","n":40}"#,
];
const RUN: [&str; 6] = ["run", "count.sql", "--var", "INPUT=in", "--summary", "json"];

#[test]
fn bounded_input_ends_by_itself_with_a_summary() {
    let folder = folder();
    input(folder.path());
    let ran = run(folder.path(), &RUN);
    ran.check_ok();
    let summary: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!(summary["state"], "finished");
    assert_eq!(summary["rows_read"], 122);
    assert_eq!(summary["rows_on_time"], 120);
    assert_eq!(summary["rows_late"], 1);
    assert_eq!(summary["rows_undecodable"], 1);
    assert_eq!(summary["sinks"]["per_minute"], 4);
    assert_eq!(summary["sinks"]["totals"], 2);
    assert_eq!(summary["sinks"]["clicks_dead"], 1);
    assert!(summary["epochs"].as_u64() > Some(0));
    assert!(summary["seconds"].as_f64() > Some(0.0));
    assert!(summary["cpu_seconds"].as_f64() > Some(0.0));
    assert!(summary["peak_rss_bytes"].as_u64() > Some(1 << 20));
    assert_eq!(rows_out(folder.path()), EXPECTED);

    let again = run(folder.path(), &RUN);
    again.check(0, "nothing to do");
    assert_eq!(
        rows_out(folder.path()),
        EXPECTED,
        "nothing is written twice"
    );
}

#[test]
fn an_epoch_to_go_on_from_must_be_there() {
    let folder = folder();
    input(folder.path());
    run(folder.path(), &RUN).check_ok();
    let arguments = [&RUN[..], &["--from-epoch", "99"]].concat();
    run(folder.path(), &arguments).check(2, "no manifest of epoch 99");
    let arguments = [&RUN[..], &["--from-epoch", "2"]].concat();
    run(folder.path(), &arguments).check_ok();
}

#[test]
fn a_table_that_lost_rows_is_noticed_and_computed_again() {
    let folder = folder();
    input(folder.path());
    // However slow the machine is: the newest checkpoint has staged all rows.
    let one_epoch = ["--set", "execution.checkpointing.interval=1 h"];
    let arguments = [&RUN[..], &one_epoch].concat();
    run(folder.path(), &arguments).check_ok();
    let ask = || {
        let sql = "SELECT * FROM totals ORDER BY window_start";
        let ran = run(folder.path(), &["sql", sql, "--format", "csv"]);
        ran.check_ok();
        ran.stdout
    };
    let before = ask();
    assert!(before.contains(",60\n"), "{before}");
    let table = folder.path().join("millstream-data/tables/default.totals");
    let versions = std::fs::read_dir(table.join("versions")).expect("it is there");
    let newest = versions.map(|entry| entry.expect("a file").path()).max();
    std::fs::remove_file(newest.expect("a version")).expect("it is there");
    // What the newest checkpoint staged is committed again.
    run(folder.path(), &RUN).check(0, "nothing to do");
    assert_eq!(ask(), before);

    std::fs::remove_dir_all(&table).expect("it is there");
    for _ in 0..2 {
        let ran = run(folder.path(), &RUN);
        ran.check(
            1,
            "table `default.totals` in `tables/default.totals/` holds nothing of pipeline",
        );
        // An epoch that was cut before the first rows has none that it misses: it can be offered.
        if !ran
            .stderr
            .contains("the newest sound checkpoint is epoch 2: ")
        {
            ran.check(1, "no older checkpoint is sound: ");
            ran.check(1, "give the pipeline another name");
        }
    }
    let arguments = [&RUN[..], &["--set", "pipeline.name=again"]].concat();
    run(folder.path(), &arguments).check_ok();
    assert_eq!(ask(), before);
}

/// A number that is divided by another one of its record.
const DIVIDE: &str = "\
CREATE TABLE numbers (a INT, b INT)
WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'json');
CREATE TABLE quotients (q INT) WITH ('connector' = 'clickhouse');
INSERT INTO quotients SELECT a / b FROM numbers;
";

#[test]
fn a_row_that_cannot_be_computed_ends_the_run_with_one_message() {
    let folder = folder();
    write(folder.path(), "divide.sql", DIVIDE);
    write(folder.path(), "in/numbers.jsonl", "{\"a\":1,\"b\":0}\n");
    let ran = run(folder.path(), &["run", "divide.sql"]);
    ran.check(1, "division by zero");
    let told = ran.stderr.matches("division by zero").count();
    assert_eq!(told, 1, "{}", ran.stderr);
}

#[test]
fn tables_are_asked_when_nobody_runs() {
    let folder = folder();
    input(folder.path());
    run(folder.path(), &RUN).check_ok();
    let ask = |sql: &str, format: &str| {
        let ran = run(folder.path(), &["sql", sql, "--format", format]);
        ran.check_ok();
        ran.stdout
    };
    let sql = "SELECT * FROM totals ORDER BY window_start";
    let csv = "window_start,n\n1970-01-01 00:00:00,60\n1970-01-01 00:01:00,60\n";
    assert_eq!(ask(sql, "csv"), csv);
    let json = concat!(
        r#"[{"window_start":"1970-01-01 00:00:00","n":60},"#,
        r#"{"window_start":"1970-01-01 00:01:00","n":60}]"#,
        "\n"
    );
    assert_eq!(ask(sql, "json"), json);
    assert!(ask(sql, "table").contains("| 1970-01-01 00:01:00 | 60 |"));
    // BYTES are shown as hexadecimal digits, and as text where they are decoded.
    let dead = "SELECT raw, DECODE(raw, 'UTF-8') AS text, source_table FROM clicks_dead";
    let hex = "6e6f74206a736f6e";
    let csv = format!("raw,text,source_table\n{hex},not json,clicks\n");
    assert_eq!(ask(dead, "csv"), csv);
    let json =
        format!("[{{\"raw\":\"{hex}\",\"text\":\"not json\",\"source_table\":\"clicks\"}}]\n");
    assert_eq!(ask(dead, "json"), json);
    let row = format!("| {hex} | not json | clicks       |");
    assert!(ask(dead, "table").contains(&row));
    let late = ask(
        "SELECT page, late_for FROM clicks_late ORDER BY late_for",
        "csv",
    );
    assert_eq!(late, "page,late_for\n/late,per_minute\n/late,totals\n");
    run(folder.path(), &["sql", "SELECT * FROM nowhere"]).check(2, "nowhere");
    run(folder.path(), &["sql", "DROP TABLE totals"]).check(2, "error: ");
}

#[test]
fn input_that_is_not_there_is_told() {
    let folder = folder();
    write(folder.path(), "count.sql", COUNT);
    let ran = run(folder.path(), &["run", "count.sql", "--var", "INPUT=none"]);
    ran.check(2, "none");
}

#[test]
fn a_server_answers_for_the_directory_that_it_runs_on() {
    let folder = folder();
    let endless = COUNT.replace(
        "'path' = '${INPUT}'",
        "'path' = '${INPUT}', 'source.monitor-interval' = '100ms'",
    );
    input(folder.path());
    write(folder.path(), "count.sql", &endless);
    let arguments = [
        "run",
        "count.sql",
        "--var",
        "INPUT=in",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut running = Running::start(folder.path(), &arguments);
    running.url();
    let ran = run(folder.path(), &["sql", "SHOW TABLES", "--format", "csv"]);
    ran.check_ok();
    assert!(ran.stdout.contains("totals"), "{}", ran.stdout);
    run(folder.path(), &["sql", "SELECT * FROM nowhere"]).check(2, "nowhere");
    let second = run(folder.path(), &RUN);
    second.check(2, "in use by process");
    running.signal("INT");
    let ended = running.end();
    ended.check(0, "stopped");
}

/// The late table has a column that no query reads: a generator makes it all the same.
const LATE_OF_GENERATOR: &str = "
SET 'millstream.g.late-events' = 'late';
CREATE TABLE g (
  id BIGINT, extra BIGINT, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time
) WITH (
  'connector' = 'datagen', 'number-of-rows' = '5000',
  'fields.ts.min' = '0', 'fields.ts.max' = '100000000'
);
CREATE TABLE late (id BIGINT, extra BIGINT, late_for STRING) WITH ('connector' = 'clickhouse');
CREATE TABLE counts (window_start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'clickhouse');
INSERT INTO counts
SELECT window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE g, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
";

#[test]
fn late_rows_of_a_generator_are_whole() {
    let folder = folder();
    std::fs::write(folder.path().join("late.sql"), LATE_OF_GENERATOR).expect("a file");
    run(folder.path(), &["run", "late.sql"]).check_ok();
    let sql = "SELECT (SELECT SUM(n) FROM counts) + COUNT(*) AS rows, COUNT(extra) > 0 AS whole \
               FROM late";
    let asked = run(folder.path(), &["sql", sql, "--format", "csv"]);
    asked.check_ok();
    assert_eq!(asked.stdout, "rows,whole\n5000,true\n");
}
