//! Compares what the server holds with the model: offsets, counters, late and dead tables record
//! by record, and every window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::model::{Key, Model};
use super::process::{Client, Timer, pause};

/// Longest wait for what is in the log to be in the tables.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Rows asked for at once: below any limit that a server has by default.
const PAGE: usize = 500;

/// Fails unless the server holds exactly what the model says.
pub fn check(client: &Client, model: &Model, timer: &Timer) {
    check_offsets(client, model);
    let complete = model.complete();
    let views: u64 = complete.values().map(|(views, _)| views).sum();
    let mut source = source(client);
    while number(&source["rows_read"]) < model.total() || sum_of_views(client) < views {
        assert!(
            timer.elapsed() < SETTLED_WITHIN,
            "not settled: read {} of {}, {} of {views} views are in the table",
            source["rows_read"],
            model.summary(),
            sum_of_views(client)
        );
        pause();
        source = self::source(client);
    }
    check_counters(&source, model);
    check_tables(client, model);
    check_windows(client, &complete);
}

fn check_offsets(client: &Client, model: &Model) {
    let topics = client.get("/api/v1/topics").expect("the topics");
    let topics = topics.as_array().expect("a list");
    let clicks = topics
        .iter()
        .find(|topic| topic["topic"] == "web.clicks")
        .expect("the topic");
    let partitions = clicks["partitions"].as_array().expect("its partitions");
    let found: BTreeMap<u32, u64> = partitions
        .iter()
        .map(|p| (number(&p["partition"]) as u32, number(&p["end_offset"])))
        .collect();
    assert_eq!(found, model.offsets, "end offsets and records that are in");
}

/// The clicks' counters as the pipeline shows them.
fn source(client: &Client) -> Value {
    let pipelines = client.get("/api/v1/pipelines").expect("the pipelines");
    pipelines[0]["sources"][0].clone()
}

fn check_counters(source: &Value, model: &Model) {
    let found = ["rows_read", "rows_on_time", "rows_late", "rows_undecodable"];
    let found = found.map(|key| number(&source[key]));
    let (late, dead) = (model.late.len() as u64, model.dead.len() as u64);
    let expected = [model.total(), model.on_time, late, dead];
    assert_eq!(
        found,
        expected,
        "read, on time, late, undecodable: {}",
        model.summary()
    );
}

fn check_tables(client: &Client, model: &Model) {
    let late = texts(client, "late_clicks", "event_id");
    assert_same("late clicks", &late, &model.late);
    let dead = texts(client, "dead_clicks", "CAST(raw AS VARCHAR)");
    assert_same("dead clicks", &dead, &model.dead);
}

fn assert_same(what: &str, found: &[String], expected: &BTreeSet<String>) {
    let set: BTreeSet<String> = found.iter().cloned().collect();
    let missing: Vec<&String> = expected.difference(&set).take(5).collect();
    let extra: Vec<&String> = set.difference(expected).take(5).collect();
    let twice = found.len() - set.len();
    assert!(
        missing.is_empty() && extra.is_empty() && twice == 0,
        "{what}: {} of {}; missing {missing:?}, too much {extra:?}, twice {twice}",
        found.len(),
        expected.len()
    );
}

fn check_windows(client: &Client, expected: &BTreeMap<Key, (u64, u64)>) {
    let columns = "window_start, page, country, views, visitors";
    let order = "window_start, page, country";
    let rows = pages(
        client,
        &format!("SELECT {columns} FROM page_minute_agg ORDER BY {order}"),
    );
    let mut found = BTreeMap::new();
    for row in &rows {
        let text = |index: usize| row[index].as_str().expect("text").to_owned();
        let key = (text(0), text(1), text(2));
        let counts = (number(&row[3]), number(&row[4]));
        let before = found.insert(key.clone(), counts);
        assert_eq!(before, None, "window {key:?} is there twice");
    }
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(key, counts)| found.get(*key) != Some(*counts))
        .map(|(key, counts)| format!("{key:?}: {counts:?} expected, {:?} found", found.get(key)))
        .take(10)
        .collect();
    assert!(
        wrong.is_empty(),
        "views and visitors:\n{}",
        wrong.join("\n")
    );
    assert_eq!(found.len(), expected.len(), "windows that nobody expects");
}

fn sum_of_views(client: &Client) -> u64 {
    let rows = client.sql("SELECT SUM(views) FROM page_minute_agg");
    rows[0][0].as_u64().unwrap_or(0)
}

fn texts(client: &Client, table: &str, column: &str) -> Vec<String> {
    let rows = pages(
        client,
        &format!("SELECT {column} FROM {table} ORDER BY {column}"),
    );
    rows.iter()
        .map(|row| row[0].as_str().expect("text").to_owned())
        .collect()
}

/// All rows of an ordered query, a page at a time.
fn pages(client: &Client, query: &str) -> Vec<Vec<Value>> {
    let mut rows = vec![];
    loop {
        let page = client.sql(&format!("{query} LIMIT {PAGE} OFFSET {}", rows.len()));
        let is_last = page.len() < PAGE;
        rows.extend(page);
        if is_last {
            return rows;
        }
    }
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("`{value}` is no number"))
}
