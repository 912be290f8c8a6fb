//! The lake asked by the real binary: its present and older states, what a table knows of itself, files
//! that filters leave out; and read by pipelines, whole and in part.

use std::path::Path;

use super::support::{folder, run, write};

/// 600 rows of three parts, appended to a table; numbers from `FIRST` on.
const WRITE: &str = "\
CREATE TABLE made (id BIGINT) WITH (
  'connector' = 'datagen', 'number-of-rows' = '600',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '${FIRST}', 'fields.id.end' = '${LAST}');
CREATE TABLE raw (id BIGINT, part BIGINT, name STRING) WITH (
  'connector' = 'iceberg', 'catalog-table' = 'lake.raw', 'partitioning' = 'part');
INSERT INTO raw SELECT id, MOD(id, 3), CONCAT('n', CAST(id AS STRING)) FROM made;
";

/// Copies rows of the table to another one, keyed so that they can be asked for.
const READ: &str = "\
CREATE TABLE raw (id BIGINT, part BIGINT) WITH (
  'connector' = 'iceberg', 'catalog-table' = 'lake.raw'${OPTIONS});
CREATE TABLE ${NAME} (id BIGINT, part BIGINT) WITH ('connector' = 'clickhouse');
INSERT INTO ${NAME} SELECT id, part FROM raw WHERE part = 1;
";

fn append(folder: &Path, name: &str, first: u32) {
    let text = format!("SET 'pipeline.name' = '{name}';\n{WRITE}");
    write(folder, "write.sql", &text);
    let (first, last) = (format!("FIRST={first}"), format!("LAST={}", first + 599));
    let arguments = [
        "run",
        "write.sql",
        "--data-dir",
        "data",
        "--var",
        &first,
        "--var",
        &last,
    ];
    run(folder, &arguments).check_ok();
}

/// The answer as CSV without its header, rows with `|` between.
fn ask(folder: &Path, query: &str) -> String {
    let ran = run(
        folder,
        &["sql", query, "--data-dir", "data", "--format", "csv"],
    );
    ran.check_ok();
    ran.stdout.lines().skip(1).collect::<Vec<_>>().join("|")
}

/// The ids of the two snapshots, oldest first.
fn snapshots(folder: &Path) -> Vec<String> {
    let answer = ask(
        folder,
        "SELECT snapshot_id FROM lake.\"raw$snapshots\" ORDER BY committed_at",
    );
    answer.split('|').map(str::to_owned).collect()
}

fn written() -> tempfile::TempDir {
    let folder = folder();
    append(folder.path(), "first", 1);
    append(folder.path(), "second", 601);
    folder
}

#[test]
fn the_lake_answers_for_now_and_for_then() {
    let written = written();
    let folder = written.path();
    let ids = snapshots(folder);
    assert_eq!(ids.len(), 2);
    let all = "SELECT COUNT(*), SUM(id), MIN(name) FROM lake.raw";
    assert_eq!(ask(folder, all), "1200,720600,n1");
    let then = format!(
        "SELECT COUNT(*), MAX(raw.id) FROM lake.raw FOR SYSTEM_VERSION AS OF {}",
        ids[0]
    );
    assert_eq!(ask(folder, &then), "600,600");
    let now = "SELECT COUNT(*) FROM raw FOR SYSTEM_TIME AS OF TIMESTAMP '2100-01-01 00:00:00'";
    assert_eq!(ask(folder, now), "1200");
    let both = format!(
        "SELECT COUNT(*) FROM lake.raw AS a LEFT JOIN lake.raw FOR SYSTEM_VERSION AS OF {} AS b \
         ON a.id = b.id WHERE b.id IS NULL",
        ids[0]
    );
    assert_eq!(ask(folder, &both), "600");
    let files = "SELECT partition, SUM(record_count) FROM \"raw$files\" GROUP BY partition ORDER BY partition";
    assert_eq!(ask(folder, files), "{part=0},400|{part=1},400|{part=2},400");
    let history =
        "SELECT COUNT(*), COUNT(parent_id) FROM lake.\"raw$history\" WHERE is_current_ancestor";
    assert_eq!(ask(folder, history), "2,1");
    assert!(ask(folder, "SHOW TABLES").contains("lake,raw,1200,"));
    assert_eq!(
        ask(folder, "DESCRIBE lake.raw"),
        "id,BIGINT,|part,BIGINT,|name,STRING,"
    );
}

#[test]
fn explain_shows_the_files_that_filters_leave() {
    let written = written();
    let folder = written.path();
    let plan = ask(
        folder,
        "EXPLAIN SELECT id FROM lake.raw WHERE part = 2 AND id > 600",
    );
    // Two of six are of the part, and one of them has such numbers.
    assert!(plan.contains("files=1 of 6"), "{plan}");
    let count = "SELECT COUNT(*) FROM lake.raw WHERE part = 2 AND id > 600";
    assert_eq!(ask(folder, count), "200");
}

#[test]
fn what_is_not_there_is_named() {
    let written = written();
    let folder = written.path();
    let refused = |query: &str, expected: &str| {
        run(folder, &["sql", query, "--data-dir", "data"]).check(2, expected);
    };
    refused(
        "SELECT * FROM lake.raw FOR SYSTEM_VERSION AS OF 7",
        "no snapshot 7; `\"raw$snapshots\"` lists",
    );
    let old = "SELECT * FROM lake.raw FOR SYSTEM_TIME AS OF TIMESTAMP '2001-01-01 00:00:00'";
    refused(
        old,
        "no snapshot from before 2001-01-01 00:00:00.000; the oldest is of ",
    );
    refused(
        "SELECT * FROM \"raw$nothing\"",
        "expected one of `$snapshots`, `$history`, `$files`",
    );
    refused("SELECT * FROM row", "did you mean `lake.raw`?");
}

fn copy(folder: &Path, name: &str, options: &str) -> String {
    let text = READ.replace("${NAME}", name).replace("${OPTIONS}", options);
    write(
        folder,
        "read.sql",
        &format!("SET 'pipeline.name' = '{name}';\n{text}"),
    );
    run(folder, &["run", "read.sql", "--data-dir", "data"]).check_ok();
    ask(
        folder,
        &format!("SELECT COUNT(*), MIN(id), MAX(id) FROM {name}"),
    )
}

#[test]
fn pipelines_read_snapshots_and_what_came_between_them() {
    let written = written();
    let folder = written.path();
    let ids = snapshots(folder);
    assert_eq!(copy(folder, "everything", ""), "400,1,1198");
    let first = format!(", 'snapshot-id' = '{}'", ids[0]);
    assert_eq!(copy(folder, "first_only", &first), "200,1,598");
    let since = format!(", 'start-snapshot-id' = '{}'", ids[0]);
    assert_eq!(copy(folder, "since", &since), "200,601,1198");
    // A pipeline that has ended keeps what it has read, whatever was appended meanwhile.
    append(folder, "third", 1201);
    assert_eq!(copy(folder, "everything", ""), "400,1,1198");
    assert_eq!(copy(folder, "everything_now", ""), "600,1,1798");
}
