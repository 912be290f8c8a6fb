//! Files that parse, and files that do not.

use super::*;

/// The steps of the only case of `text`.
fn steps(text: &str) -> Vec<Action> {
    let script = Script::parse(text).unwrap();
    assert_eq!(script.cases.len(), 1);
    let steps = script.cases.into_iter().flat_map(|case| case.steps);
    steps.map(|step| step.action).collect()
}

fn refused(text: &str, message: &str) {
    let error = format!("{:#}", Script::parse(text).unwrap_err());
    assert!(
        error.contains(message),
        "`{error}` does not contain `{message}`"
    );
}

const ASKED: &str = "\nquery\nSELECT 1\n----\n1\n";

#[test]
fn a_pipeline_goes_on_over_blank_lines_until_a_directive() {
    let text = format!("# promise\npipeline\nCREATE A;\n\nINSERT B;\n\npoll\n{ASKED}");
    let case = &Script::parse(&text).unwrap().cases[0];
    assert_eq!(case.line, 2);
    assert_eq!(
        case.sql, "\n\nCREATE A;\n\nINSERT B;\n",
        "lines keep their numbers"
    );
    assert_eq!(case.steps[0].line, 7);
}

#[test]
fn each_pipeline_begins_a_case() {
    let script = Script::parse(&format!("pipeline\nA\n{ASKED}\npipeline\nB\n\nerror\nno\n"));
    let cases = script.unwrap().cases;
    assert_eq!(cases.len(), 2);
    assert!(!cases[0].is_steady);
    assert_eq!(cases[1].steps[0].action, Action::Refused("no".into()));
}

#[test]
fn a_steady_pipeline_is_marked() {
    let text = format!("pipeline steady\nA\n{ASKED}");
    assert!(Script::parse(&text).unwrap().cases[0].is_steady);
}

#[test]
fn a_pipeline_can_be_in_a_file() {
    let text = format!("pipeline of ../a.sql\npoll\n{ASKED}");
    let case = &Script::parse(&text).unwrap().cases[0];
    assert_eq!(case.file.as_deref(), Some("../a.sql"));
    assert_eq!((case.sql.as_str(), case.steps.len()), ("", 2));
    refused(
        "pipeline of\nA\n",
        "expected `steady`, `of FILE` or nothing",
    );
}

#[test]
fn simple_directives() {
    let text = format!("pipeline\nA\n\npoll\ncheckpoint\ncrash\nstop\nend\nadvance 5 s\n{ASKED}");
    let expected = [
        Action::Poll,
        Action::Checkpoint,
        Action::Crash,
        Action::Stop,
        Action::End,
        Action::Advance(5_000),
    ];
    assert_eq!(steps(&text)[..6], expected);
}

#[test]
fn input_has_a_partition_and_bytes() {
    let text = "pipeline\nA\n\ninput web.clicks partition 2\n{\"a\":1}\n(empty)\n\
                \ninput t hex\nff 0a\n";
    let found = steps(&format!("{text}{ASKED}"));
    let input = |topic: &str, partition, records: &[&[u8]]| Action::Input {
        topic: topic.into(),
        partition,
        records: records.iter().map(|record| record.to_vec()).collect(),
    };
    assert_eq!(found[0], input("web.clicks", 2, &[b"{\"a\":1}", b""]));
    assert_eq!(found[1], input("t", 0, &[&[0xff, 0x0a]]));
}

#[test]
fn a_query_knows_where_its_rows_stand() {
    let text = "pipeline\nA\n\nquery rowsort\nSELECT\n1\n----\nb\na\n\ncounters t\n----\n";
    let expected = |rows: &[&str], lines| Expected {
        rows: rows.iter().map(|row| (*row).to_owned()).collect(),
        lines,
    };
    let query = Action::Query {
        sql: "SELECT\n1\n".into(),
        is_sorted: true,
        expected: expected(&["b", "a"], 7..9),
    };
    let counters = Action::Counters {
        table: "t".into(),
        expected: expected(&[], 12..12),
    };
    assert_eq!(steps(text), [query, counters]);
}

#[test]
fn bad_files_are_refused_with_their_line() {
    refused("", "no `pipeline` in the file");
    refused("poll\n", "line 1: `poll`: no `pipeline` before it");
    refused(
        "pipeline\nA\n\npoll\n",
        "line 1: a pipeline that nothing is asked of",
    );
    refused(
        "pipeline x\nA\n",
        "line 1: `pipeline x`: expected `steady`, `of FILE` or nothing",
    );
    let with = |step: &str| format!("pipeline\nA\n\npoll\n{step}");
    refused(&with("pol"), "line 5: `pol`: not a directive");
    refused(&with("advance 5 parsecs"), "is not a duration");
    refused(&with("input t\n"), "expected records");
    refused(&with("input t partition x\n{}"), "not a partition number");
    refused(&with("input t of 3\n{}"), "expected `partition N` or `hex`");
    refused(
        &with("input t hex\nf"),
        "is not pairs of hexadecimal digits",
    );
    refused(&with("input t hex\nzz"), "not hexadecimal");
    refused(
        &with("query sorted\nSELECT 1\n----\n"),
        "expected `rowsort`",
    );
    refused(
        &with("query\nSELECT 1\n\n----\n"),
        "no `----` after the query",
    );
    refused(&with("query\nSELECT 1"), "no `----` after the query");
    refused(&with("counters t\n3"), "expected `----`");
}
