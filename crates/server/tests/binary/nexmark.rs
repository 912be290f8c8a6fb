//! The queries of the Nexmark benchmark in `pipelines/nexmark`, each against the same computed here
//! from the events, one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use super::support::{folder, run};

const EVENTS: &str = "EVENTS=10000";
/// So few in a second that windows of 10 s come and go.
const RATE: &str = "TPS=100";
const SECOND: i64 = 1_000;

/// The fields of an event.
struct Event {
    row: Value,
}

impl Event {
    fn long(&self, field: &str) -> i64 {
        self.row[field].as_i64().expect("a number")
    }

    fn text(&self, field: &str) -> &str {
        self.row[field].as_str().expect("a text")
    }

    fn time_ms(&self) -> i64 {
        let format = "%Y-%m-%d %H:%M:%S%.f";
        let time = chrono::NaiveDateTime::parse_from_str(self.text("dateTime"), format);
        time.expect("a timestamp").and_utc().timestamp_millis()
    }

    /// Start of the window of `size` that it is in, in ms.
    fn window(&self, size: i64) -> i64 {
        self.time_ms() / size * size
    }
}

struct Events {
    people: Vec<Event>,
    auctions: Vec<Event>,
    bids: Vec<Event>,
}

/// All events, as a pipeline without a query writes them.
fn events() -> &'static Events {
    static ALL: OnceLock<Events> = OnceLock::new();
    ALL.get_or_init(|| {
        let folder = folder();
        let q0 = std::fs::read_to_string(query_file("q0")).expect("it is there");
        let source = q0.split("CREATE VIEW").next().expect("a beginning");
        let copy = format!(
            "{source} CREATE TABLE copy (event_type INT, {}) \
             WITH ('connector' = 'filesystem', 'path' = 'copy', 'format' = 'json'); \
             INSERT INTO copy SELECT event_type, person, auction, bid FROM nexmark;",
            columns_of(source)
        );
        std::fs::write(folder.path().join("copy.sql"), copy).expect("it is written");
        run(
            folder.path(),
            &["run", "copy.sql", "--var", EVENTS, "--var", RATE],
        )
        .check_ok();
        let mut all = Events {
            people: vec![],
            auctions: vec![],
            bids: vec![],
        };
        for row in json_rows(&folder.path().join("copy")) {
            let (of, name) = match row["event_type"].as_i64() {
                Some(0) => (&mut all.people, "person"),
                Some(1) => (&mut all.auctions, "auction"),
                _ => (&mut all.bids, "bid"),
            };
            of.push(Event {
                row: row[name].clone(),
            });
        }
        all
    })
}

/// The declarations of the three rows.
fn columns_of(source: &str) -> &str {
    let from = source.find("person  ROW").expect("declared");
    let to = source.find(",\n  dateTime AS").expect("declared");
    &source[from..to]
}

fn query_file(name: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    format!("{root}/../../pipelines/nexmark/{name}.sql")
}

fn json_rows(folder: &Path) -> Vec<Value> {
    let mut rows = vec![];
    for entry in std::fs::read_dir(folder).expect("it was written") {
        let path = entry.expect("it can be read").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            let text = std::fs::read_to_string(path).expect("it is text");
            let parsed = text
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"));
            rows.extend(parsed);
        }
    }
    rows
}

/// Runs query `name` and compares its rows, as CSV in any order, with `expected`.
#[track_caller]
fn check(name: &str, expected: Vec<String>) {
    check_in(
        folder().path(),
        (name, &format!("SELECT * FROM nexmark_{name}")),
        expected,
    );
}

/// Runs query `name` in `folder` and compares what `sql` finds in its table.
#[track_caller]
fn check_in(folder: &Path, (name, sql): (&str, &str), mut expected: Vec<String>) {
    let file = query_file(name);
    run(folder, &["run", &file, "--var", EVENTS, "--var", RATE]).check_ok();
    let asked = run(folder, &["sql", sql, "--format", "csv"]);
    asked.check_ok();
    let mut found: Vec<&str> = asked.stdout.lines().skip(1).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert!(!expected.is_empty(), "a test of nothing");
    assert_eq!(found.len(), expected.len());
    let mut pairs = found.iter().zip(&expected);
    if let Some((found, expected)) = pairs.find(|(found, expected)| found != expected) {
        panic!("{name}: found {found}, expected {expected}");
    }
}

fn of_bids(row: impl Fn(&Event) -> Option<String>) -> Vec<String> {
    events().bids.iter().filter_map(row).collect()
}

/// `0.908 * price` with its three digits.
fn converted(price: i64) -> String {
    let thousandths = price * 908;
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

fn bid_row(bid: &Event, price: &str) -> String {
    let (auction, bidder) = (bid.long("auction"), bid.long("bidder"));
    let (time, extra) = (timestamp(bid.time_ms()), bid.text("extra"));
    format!("{auction},{bidder},{price},{time},{extra}")
}

fn timestamp(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms).expect("in range");
    time.format("%Y-%m-%d %H:%M:%S%.f").to_string()
}

#[test]
fn q0_passes_bids_through() {
    check(
        "q0",
        of_bids(|bid| Some(bid_row(bid, &bid.long("price").to_string()))),
    );
}

#[test]
fn q1_converts_prices() {
    check(
        "q1",
        of_bids(|bid| Some(bid_row(bid, &converted(bid.long("price"))))),
    );
}

#[test]
fn q2_picks_auctions() {
    let row = |bid: &Event| {
        let (auction, price) = (bid.long("auction"), bid.long("price"));
        (auction % 123 == 0).then(|| format!("{auction},{price}"))
    };
    check("q2", of_bids(row));
}

#[test]
fn q10_writes_bids_with_day_and_minute() {
    let folder = folder();
    let file = query_file("q10");
    let arguments = ["--var", EVENTS, "--var", RATE, "--var", "OUTPUT=out"];
    run(folder.path(), &[&["run", &file][..], &arguments].concat()).check_ok();
    let mut found = BTreeMap::new();
    for row in json_rows(&folder.path().join("out")) {
        *found.entry(row.to_string()).or_insert(0) += 1;
    }
    let mut expected = BTreeMap::new();
    for bid in &events().bids {
        let mut row = bid.row.clone();
        let fields = row.as_object_mut().expect("a row");
        fields.remove("channel");
        fields.remove("url");
        let time = bid.text("dateTime");
        fields.insert("dt".into(), time[..10].into());
        fields.insert("hm".into(), time[11..16].into());
        *expected.entry(row.to_string()).or_insert(0) += 1;
    }
    assert!(found == expected, "different bids");
}

#[test]
fn q14_computes() {
    let row = |bid: &Event| {
        let price = bid.long("price");
        let hour: u8 = bid.text("dateTime")[11..13].parse().expect("two digits");
        let of_day = match hour {
            8..=18 => "dayTime",
            7 | 19 => "otherTime",
            _ => "nightTime",
        };
        let thousandths = price * 908;
        let wanted = thousandths > 1_000_000_000 && thousandths < 50_000_000_000;
        let (auction, bidder) = (bid.long("auction"), bid.long("bidder"));
        let (time, extra) = (timestamp(bid.time_ms()), bid.text("extra"));
        let letters = extra.matches('c').count();
        let price = converted(price);
        wanted.then(|| format!("{auction},{bidder},{price},{of_day},{time},{extra},{letters}"))
    };
    check("q14", of_bids(row));
}

#[test]
fn q21_finds_channels() {
    let row = |bid: &Event| {
        let channel = bid.text("channel");
        let id = match channel {
            "Apple" => "0",
            "Google" => "1",
            "Facebook" => "2",
            "Baidu" => "3",
            _ => bid.text("url").split_once("&channel_id=")?.1,
        };
        let (auction, bidder) = (bid.long("auction"), bid.long("bidder"));
        let price = bid.long("price");
        Some(format!("{auction},{bidder},{price},{channel},{id}"))
    };
    check("q21", of_bids(row));
}

#[test]
fn q22_splits_urls() {
    let row = |bid: &Event| {
        let (auction, bidder) = (bid.long("auction"), bid.long("bidder"));
        let (price, channel) = (bid.long("price"), bid.text("channel"));
        let folders: Vec<&str> = bid.text("url").split('/').skip(3).take(3).collect();
        let folders = folders.join(",");
        Some(format!("{auction},{bidder},{price},{channel},{folders}"))
    };
    check("q22", of_bids(row));
}

#[test]
fn q5_finds_hot_items() {
    let (slide, size) = (2 * SECOND, 10 * SECOND);
    let mut counts: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    for bid in &events().bids {
        let last = bid.window(slide);
        for start in (0..size / slide).map(|back| last - back * slide) {
            let of_window = counts.entry(start).or_default();
            *of_window.entry(bid.long("auction")).or_insert(0) += 1;
        }
    }
    let mut expected = vec![];
    for of_window in counts.values() {
        let most = of_window.values().max().expect("windows have bids");
        let hot = of_window.iter().filter(|(_, count)| *count == most);
        expected.extend(hot.map(|(auction, count)| format!("{auction},{count}")));
    }
    check("q5", expected);
}

#[test]
fn q7_finds_the_highest_bids() {
    let mut highest: BTreeMap<i64, i64> = BTreeMap::new();
    for bid in &events().bids {
        let most = highest.entry(bid.window(10 * SECOND)).or_default();
        *most = bid.long("price").max(*most);
    }
    let row = |bid: &Event| {
        let price = bid.long("price");
        (price == highest[&bid.window(10 * SECOND)]).then(|| bid_row(bid, &price.to_string()))
    };
    check("q7", of_bids(row));
}

#[test]
fn q8_finds_new_users() {
    let auctions = events().auctions.iter();
    let sellers: BTreeSet<(i64, i64)> = auctions
        .map(|auction| (auction.window(10 * SECOND), auction.long("seller")))
        .collect();
    let people = events().people.iter().filter_map(|person| {
        let (window, id) = (person.window(10 * SECOND), person.long("id"));
        let row = || format!("{id},{},{}", person.text("name"), timestamp(window));
        sellers.contains(&(window, id)).then(row)
    });
    check("q8", people.collect());
}

#[test]
fn q11_finds_sessions() {
    let mut times: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for bid in &events().bids {
        let of_bidder = times.entry(bid.long("bidder")).or_default();
        of_bidder.push(bid.time_ms());
    }
    let mut expected = vec![];
    for (bidder, mut times) in times {
        times.sort_unstable();
        // As in Flink, a bid that comes right when a session would end still belongs to it.
        for session in times.chunk_by(|before, after| after - before <= 10 * SECOND) {
            let (first, last) = (session[0], session[session.len() - 1]);
            let (start, end) = (timestamp(first), timestamp(last + 10 * SECOND));
            expected.push(format!("{bidder},{},{start},{end}", session.len()));
        }
    }
    check("q11", expected);
}

#[test]
fn q12_counts_in_processing_time() {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    for bid in &events().bids {
        *counts.entry(bid.long("bidder")).or_insert(0) += 1;
    }
    let rows = counts.iter();
    let rows = rows.map(|(bidder, count)| format!("{bidder},{count},true"));
    // Which window a bid is in depends on the clock: together they have each bid once.
    let sql = "SELECT bidder, SUM(bid_count), \
               BOOL_AND(endtime = starttime + INTERVAL '10' SECOND \
                        AND EXTRACT(SECOND FROM starttime) % 10 = 0) \
               FROM nexmark_q12 GROUP BY bidder";
    check_in(folder().path(), ("q12", sql), rows.collect());
}

#[test]
fn q13_looks_auctions_up() {
    let folder = folder();
    let is_known = |auction: i64| auction % 3 > 0;
    let known = (0..10_000).filter(|key| is_known(*key));
    let lines = known.map(|key| format!("{{\"key\":{key},\"value\":\"side {key}\"}}\n"));
    let lines: String = lines.collect();
    std::fs::write(folder.path().join("side_input.jsonl"), lines).expect("it is written");
    let row = |bid: &Event| {
        let (auction, bidder) = (bid.long("auction"), bid.long("bidder"));
        let (price, time) = (bid.long("price"), timestamp(bid.time_ms()));
        let key = auction % 10_000;
        is_known(key).then(|| format!("{auction},{bidder},{price},{time},side {key}"))
    };
    let sql = "SELECT * FROM nexmark_q13";
    check_in(folder.path(), ("q13", sql), of_bids(row));
}
