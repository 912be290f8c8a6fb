//! The functions in queries of the query engine, where arguments have whatever type they have.

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::executor::block_on;

use super::super::all;

fn check(select: &str, expected: &str) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for function in all() {
        context.register_udf(function.as_ref().clone());
    }
    let found = block_on(async {
        let frame = context.sql(select).await?;
        frame.collect().await
    });
    let found = match found {
        Ok(batches) => pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => error.find_root().to_string(),
    };
    // Without the header, the lines around and the blanks that align.
    let is_table = found.starts_with('+');
    let rows: Vec<String> = found
        .lines()
        .skip(if is_table { 3 } else { 0 })
        .filter(|line| line.starts_with('|') == is_table)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let found = rows.join("\n");
    // The planner wraps our message in its own.
    let found = if is_table {
        found.as_str()
    } else {
        ours(&found)
    };
    assert_eq!(found, expected, "{select}");
}

/// What our error says, between the quotes that the planner puts around it.
fn ours(message: &str) -> &str {
    let (_, message) = message
        .split_once("External error: ")
        .unwrap_or(("", message));
    message.split('"').next().unwrap_or(message)
}

#[test]
fn names_are_unique_and_all_are_found() {
    let mut names: Vec<String> = all().iter().map(|it| it.name().to_owned()).collect();
    for name in &names {
        assert!(super::super::lookup(&name.to_uppercase()).is_some());
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(super::super::lookup("NO_SUCH").is_none());
}

#[test]
fn arguments_are_converted() {
    check("SELECT split_index('a/b', '/', 1)", "| b |");
    check("SELECT concat('a', 1)", "| a1 |");
    check(
        "SELECT round(2.5), upper('a'), mod(7, 2)",
        "| 3.0 | A | 1 |",
    );
    check("SELECT coalesce(NULL, 1, 2.5)", "| 1.0 |");
    check("SELECT year('2025-06-15 00:00:00')", "| 2025 |");
    check(
        "SELECT date_format(v, 'HH:mm') FROM (VALUES (TIMESTAMP '2025-06-15 15:06:40')) AS t(v)",
        "| 15:06 |",
    );
    check(
        "SELECT regexp_extract(v, '[0-9]+') FROM (VALUES ('a12'), ('b')) AS t(v)",
        "| 12 |\n| |",
    );
    check(
        "SELECT upper(arrow_cast('a', 'Utf8View')), char_length(arrow_cast('é', 'LargeUtf8'))",
        "| A | 1 |",
    );
}

#[test]
fn special_syntax_finds_the_functions_too() {
    check(
        "SELECT trim(BOTH 'x' FROM 'xax'), trim(LEADING ' ' FROM ' a')",
        "| a | a |",
    );
    check(
        "SELECT substring('hello' FROM 2 FOR 3), position('l' IN 'hello')",
        "| ell | 3 |",
    );
    check(
        "SELECT floor(1.5), ceil(1.2), floor(7)",
        "| 1.0 | 2.0 | 7 |",
    );
    check(
        "SELECT extract(hour FROM TIMESTAMP '2025-06-15 15:06:40')",
        "| 15 |",
    );
    check(
        "SELECT 'a' || NULL || 'b' IS NULL, nullif(1, 1) IS NULL",
        "| true | true |",
    );
    check(
        "SELECT abs(-3), round(CAST(2.345 AS DECIMAL(5, 3)), 2), greatest(1, 2.5)",
        "| 3 | 2.350 | 2.5 |",
    );
    check(
        "SELECT sum(abs(v)), max(mod(v, 2)) FROM (VALUES (-3), (2)) AS t(v)",
        "| 5 | 0 |",
    );
}

#[test]
fn wrong_arguments_are_refused() {
    check(
        "SELECT hour(TRUE)",
        "`HOUR`: found Boolean, expected a date or time",
    );
    check(
        "SELECT date_format(now(), 'b')",
        "`DATE_FORMAT`: date pattern `b`: `b` is not supported",
    );
}
