//! What the shop's sinks hold, compared with what its topics hold, and that with what was acknowledged.
//! The process has ended: logs, files and tables are read as they lie.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millstream_connectors::storage::LocalStorage;
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::Offset;
use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_sim::env::SimEnv;
use serde_json::Value;

use super::process::Server;
use super::shop::{BOUGHT_MS, GAP_MS, Sent, TOPICS};

/// Things and how often they are there.
type Bag = BTreeMap<String, usize>;

struct Event {
    id: String,
    user: String,
    ts: i64,
}

/// Fails unless every sink holds what follows from the events, once. One line about it.
pub fn check(server: &Server, (data, out): (&Path, &Path), sent: Sent) -> String {
    let config = TopicLogConfig::default();
    let storage = Arc::new(LocalStorage::new(data));
    let log = TopicLog::open(storage, Arc::new(SimEnv::new(0)), config).expect("a sound log");
    let orders = sent.orders;
    let [clicks, purchases] = events(&log, sent);
    let copies = records(&log, "shop.orders");
    let copies = bag(copies.iter().map(|record| field(record, "id")));
    let expected = bag((0..orders).map(|n| format!("o{n}")));
    check_same("orders, copied from files to a topic", &copies, &expected);
    let even = clicks.iter().filter(|click| click.ts % 2 == 0);
    let even = bag(even.map(|click| click.id.clone()));
    check_same("clicks, copied to files", &lines_below(out), &even);
    let odd = clicks.iter().filter(|click| click.ts % 2 == 1);
    let odd = bag(odd.map(|click| format!("{} {}", click.id, click.ts)));
    let rows = server.sql_offline("SELECT id, ts FROM odd_clicks");
    check_same(
        "clicks, copied to the lake",
        &bag(rows.iter().map(row_text)),
        &odd,
    );
    let rows = server.sql_offline("SELECT user_id, first_ts, last_ts, clicks FROM visits");
    let expected = visits(&clicks);
    check_same("visits", &bag(rows.iter().map(row_text)), &expected);
    let rows = server.sql_offline("SELECT click, purchase FROM bought");
    let pairs = pairs(&clicks, &purchases);
    check_same(
        "purchases with clicks",
        &bag(rows.iter().map(row_text)),
        &pairs,
    );
    format!(
        "{} clicks and {} purchases in topics, {orders} orders in files -> {} visits, {} pairs, {} lines \
         in files, {} rows in the lake, {orders} records in a topic",
        clicks.len(),
        purchases.len(),
        expected.len(),
        pairs.len(),
        even.len(),
        odd.len()
    )
}

/// The events of each topic, which must be those that were acknowledged, where they were, and of the
/// others whole batches, once.
fn events(log: &TopicLog, mut sent: Sent) -> [Vec<Event>; 2] {
    TOPICS.map(|(topic, partitions)| {
        let mut events = vec![];
        for partition in 0..partitions {
            let records = partition_records(log, topic, partition);
            let mut at = 0;
            while at < records.len() {
                let batch = sent.acknowledged.remove(&(topic, partition, at as u64));
                let batch = batch.or_else(|| sent.in_doubt.remove(&records[at]));
                let batch = batch.unwrap_or_else(|| {
                    panic!(
                        "{topic}-{partition} offset {at}: nobody sent {}, or twice",
                        records[at]
                    )
                });
                let end = records.len().min(at + batch.len());
                assert_eq!(batch, records[at..end], "{topic}-{partition} offset {at}");
                at = end;
            }
            events.extend(records.iter().map(|record| event(record)));
        }
        let lost = sent
            .acknowledged
            .keys()
            .find(|position| position.0 == topic);
        assert_eq!(lost, None, "an acknowledged batch is not in the log");
        events
    })
}

fn event(record: &str) -> Event {
    let value: Value = serde_json::from_str(record).expect("it was sent as JSON");
    Event {
        id: field(record, "id"),
        user: field(record, "user_id"),
        ts: value["ts"].as_i64().expect("a time"),
    }
}

fn field(record: &str, key: &str) -> String {
    let value: Value = serde_json::from_str(record).expect("a record of JSON");
    value[key].as_str().expect("text").to_owned()
}

fn records(log: &TopicLog, topic: &str) -> Vec<String> {
    let partitions = log.end_offsets(topic).expect("the topic is there").len();
    let partitions = 0..u32::try_from(partitions).expect("a few");
    partitions
        .flat_map(|partition| partition_records(log, topic, partition))
        .collect()
}

fn partition_records(log: &TopicLog, topic: &str, partition: u32) -> Vec<String> {
    let ends = log.end_offsets(topic).expect("the topic is there");
    let range = (Offset(0), ends[partition as usize]);
    let reader = log.bounded_reader(topic, partition, range);
    let mut reader = reader.expect("the partition is there");
    let limit = ReadLimit {
        rows: 10_000,
        bytes: 1 << 20,
    };
    let mut records = vec![];
    while let Read::Records(batch) = reader.read(limit).expect("a sound log") {
        for range in &batch.records {
            let bytes = &batch.data[range.start as usize..range.end as usize];
            records.push(String::from_utf8(bytes.to_vec()).expect("text"));
        }
    }
    records
}

/// The ids in all files of the sink.
fn lines_below(out: &Path) -> Bag {
    let mut found = Bag::new();
    for entry in std::fs::read_dir(out).expect("the sink's folder") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            let text = std::fs::read_to_string(&path).expect("a file of lines");
            for line in text.lines() {
                *found.entry(field(line, "id")).or_default() += 1;
            }
        }
    }
    found
}

/// User, first and last time, and number of clicks of each visit that is over.
fn visits(clicks: &[Event]) -> Bag {
    let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for click in clicks.iter().filter(|click| click.user.starts_with('u')) {
        times.entry(&click.user).or_default().push(click.ts);
    }
    let mut visits = vec![];
    for (user, mut times) in times {
        times.sort_unstable();
        for visit in times.chunk_by(|before, after| after - before < GAP_MS) {
            let (first, last) = (visit[0], visit[visit.len() - 1]);
            visits.push(format!("{user} {first} {last} {}", visit.len()));
        }
    }
    bag(visits)
}

/// Each click with each purchase of the same user within the time after it.
fn pairs(clicks: &[Event], purchases: &[Event]) -> Bag {
    let mut by_user: BTreeMap<&str, BTreeMap<i64, Vec<&str>>> = BTreeMap::new();
    for purchase in purchases {
        let times = by_user.entry(&purchase.user).or_default();
        times.entry(purchase.ts).or_default().push(&purchase.id);
    }
    let mut pairs = vec![];
    for click in clicks {
        let Some(times) = by_user.get(click.user.as_str()) else {
            continue;
        };
        let near = times.range(click.ts..=click.ts + BOUGHT_MS);
        let ids = near.flat_map(|(_, ids)| ids);
        pairs.extend(ids.map(|id| format!("{} {id}", click.id)));
    }
    bag(pairs)
}

fn bag(items: impl IntoIterator<Item = String>) -> Bag {
    let mut bag = Bag::new();
    for item in items {
        *bag.entry(item).or_default() += 1;
    }
    bag
}

/// The values of a row in the order of the columns' names in the query, with blanks between.
fn row_text(row: &Value) -> String {
    let columns = [
        "id", "ts", "user_id", "first_ts", "last_ts", "clicks", "click", "purchase",
    ];
    let values = columns.iter().filter_map(|column| row.get(column));
    let texts = values.map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    texts.collect::<Vec<String>>().join(" ")
}

fn check_same(what: &str, found: &Bag, expected: &Bag) {
    assert!(!expected.is_empty(), "{what}: nothing was tested");
    let wrong = |bag: &Bag, other: &Bag| -> Vec<String> {
        let more = bag.iter().filter(|(item, count)| {
            let there = other.get(*item).copied().unwrap_or(0);
            **count > there
        });
        more.map(|(item, _)| item.clone()).take(5).collect()
    };
    let (lost, twice) = (wrong(expected, found), wrong(found, expected));
    assert!(
        lost.is_empty() && twice.is_empty(),
        "{what}: {} of {}; missing {lost:?}, too much {twice:?}",
        found.values().sum::<usize>(),
        expected.values().sum::<usize>()
    );
}
