//! A file that is wrong must say so, where, and in which setup.

use super::*;

const COPY: &str = "pipeline
CREATE TABLE t (id INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE copy (id INT) WITH ('connector' = 'clickhouse');
INSERT INTO copy SELECT id FROM t;

input t
{\"id\":1}
{\"id\":2}

";

fn run(text: &str, is_update: bool) -> (String, Vec<Replacement>) {
    let mut run = Run::new("a.slt", is_update);
    run.file(text).unwrap();
    (run.report, run.replacements)
}

fn check(steps: &str, expected: &[&str]) {
    let (report, _) = run(&format!("{COPY}{steps}"), false);
    for part in expected {
        assert!(report.contains(part), "no `{part}` in\n{report}");
    }
    assert_eq!(report.is_empty(), expected.is_empty(), "{report}");
}

#[test]
fn right_rows_give_no_report() {
    check("query\nSELECT id FROM copy ORDER BY id\n----\n1\n2\n", &[]);
    check("query rowsort\nSELECT id FROM copy\n----\n2\n1\n", &[]);
    check(
        "counters t\n----\nread 2 on_time 2 late 0 undecodable 0\n",
        &[],
    );
}

#[test]
fn wrong_rows_are_named_by_place_and_setup() {
    let expected = [
        "a.slt:10: parallelism=1 batch=1024: - expected, + found\n          1\n        - 3\n        + 2\n",
        "a.slt:10: parallelism=4 batch=1 crashing: - expected, + found",
    ];
    check(
        "query\nSELECT id FROM copy ORDER BY id\n----\n1\n3\n",
        &expected,
    );
    check(
        "counters t\n----\nread 3 on_time 2 late 0 undecodable 0\n",
        &["- read 3", "+ read 2"],
    );
}

#[test]
fn what_fails_is_named() {
    check(
        "query\nSELECT * FROM nothing\n----\n",
        &["a.slt:10: parallelism=1", "nothing"],
    );
    check("counters nothing\n----\n", &["no source table `nothing`"]);
    check(
        "end\n\ninput t\n{}\n\nquery\nSELECT 1\n----\n1\n",
        &["a.slt:12", "`input` after `end`"],
    );
    check(
        "input u\n{}\n\nquery\nSELECT 1\n----\n1\n",
        &["a.slt:10", "`u`"],
    );
}

#[test]
fn refusals_are_compared() {
    check(
        "error\nanything\n",
        &["a.slt:10: the pipeline was not refused, expected\n    anything"],
    );
    let wrong = COPY.replace("FROM t;", "FROM tt;");
    let (report, _) = run(&format!("{wrong}error\n`tt`\n"), false);
    assert_eq!(report, "");
    let (report, _) = run(&format!("{wrong}error\nanything\n"), false);
    assert!(report.contains("refused for another reason"), "{report}");
    let (report, _) = run(&format!("{wrong}poll\n\nquery\nSELECT 1\n----\n1\n"), false);
    assert!(
        report.starts_with("a.slt:1: the pipeline was refused"),
        "{report}"
    );
}

#[test]
fn expected_rows_can_be_replaced_where_they_stand() {
    let text = format!(
        "{COPY}query\nSELECT id FROM copy ORDER BY id\n----\nold\n\n# between\n\
         counters t\n----\n\nquery\nSELECT COUNT(*) FROM copy\n----\n7\n8\n"
    );
    let (report, replacements) = run(&text, true);
    assert_eq!(report, "");
    let expected = format!(
        "{COPY}query\nSELECT id FROM copy ORDER BY id\n----\n1\n2\n\n# between\n\
         counters t\n----\nread 2  on_time 2  late 0  undecodable 0\n\n\
         query\nSELECT COUNT(*) FROM copy\n----\n2\n"
    );
    assert_eq!(replaced(&text, &replacements), expected);
}
