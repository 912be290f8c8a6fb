use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Int64Type, Schema, TimestampMillisecondType,
};
use millstream_core::env::Env;
use millstream_core::plan::{ConnectorConfig, RowShape, SourcePlan};
use millstream_core::source::{Read, ReadLimit, Source, SplitReader};
use millstream_core::{Offset, Result, SourceId, SplitId, types};

use super::reader::Part;
use crate::test_env::TestEnv;

/// 2015-07-15 00:00:00.
const BASE_MS: i64 = 1_436_918_400_000;
const LIMIT: ReadLimit = ReadLimit {
    rows: 1_000,
    bytes: 1 << 20,
};

fn row(name: &str, fields: &[(&str, DataType)]) -> Field {
    let fields = fields
        .iter()
        .map(|(name, of)| Field::new(*name, of.clone(), true));
    Field::new(name, DataType::Struct(Fields::from_iter(fields)), true)
}

/// The whole schema, as the benchmark has it.
fn all() -> Vec<Field> {
    let (long, text, time) = (DataType::Int64, DataType::Utf8, types::timestamp(3));
    vec![
        Field::new("event_type", DataType::Int32, true),
        row(
            "person",
            &[
                ("id", long.clone()),
                ("name", text.clone()),
                ("emailAddress", text.clone()),
                ("creditCard", text.clone()),
                ("city", text.clone()),
                ("state", text.clone()),
                ("dateTime", time.clone()),
                ("extra", text.clone()),
            ],
        ),
        row(
            "auction",
            &[
                ("id", long.clone()),
                ("itemName", text.clone()),
                ("description", text.clone()),
                ("initialBid", long.clone()),
                ("reserve", long.clone()),
                ("dateTime", time.clone()),
                ("expires", time.clone()),
                ("seller", long.clone()),
                ("category", long.clone()),
                ("extra", text.clone()),
            ],
        ),
        row(
            "bid",
            &[
                ("auction", long.clone()),
                ("bidder", long.clone()),
                ("price", long),
                ("channel", text.clone()),
                ("url", text.clone()),
                ("dateTime", time),
                ("extra", text),
            ],
        ),
    ]
}

fn made(fields: &[Field], options: &[(&str, &str)], env: &Arc<TestEnv>) -> Result<Box<dyn Source>> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let plan = SourcePlan {
        id: SourceId(0),
        table: "t".into(),
        connector: ConnectorConfig {
            connector: "nexmark".into(),
            options: options.iter().map(own).collect(),
        },
        shape: RowShape {
            decoded: Arc::new(Schema::new(fields.to_vec())),
            metadata: vec![],
            computed: vec![],
        },
        filter: None,
        event_time: None,
        late_events: None,
        dead_letters: None,
    };
    super::source(&plan, Arc::clone(env) as Arc<dyn Env>)
}

fn rows_of(reader: &mut dyn SplitReader, limit: ReadLimit) -> Option<RecordBatch> {
    match reader.read(limit).unwrap() {
        Read::Rows(rows) => Some(rows),
        Read::End | Read::Pending => None,
        Read::Records(_) => panic!("generators make rows"),
    }
}

/// All events of a bounded table, split by split, each read in pieces of `rows` by a new reader.
fn read(fields: &[Field], options: &[(&str, &str)], rows: usize) -> RecordBatch {
    let source = made(fields, options, &Arc::default()).unwrap();
    assert!(source.is_bounded());
    let mut batches = vec![];
    for split in source.splits().unwrap() {
        let mut from = None;
        loop {
            let mut reader = source.open(&split.id, from).unwrap();
            let limit = ReadLimit { rows, ..LIMIT };
            let Some(batch) = rows_of(&mut *reader, limit) else {
                assert!(matches!(reader.read(limit).unwrap(), Read::End));
                break;
            };
            assert!(batch.num_rows() <= rows);
            from = Some(reader.offset());
            batches.push(batch);
        }
    }
    concat_batches(&Arc::new(Schema::new(fields.to_vec())), &batches).unwrap()
}

fn event_types(rows: &RecordBatch) -> Vec<i32> {
    let column = rows.column_by_name("event_type").unwrap();
    column.as_primitive::<Int32Type>().values().to_vec()
}

fn entity<'a>(rows: &'a RecordBatch, name: &str) -> &'a StructArray {
    rows.column_by_name(name).unwrap().as_struct()
}

/// The values of a number or time field, for the rows that have them.
fn longs(rows: &RecordBatch, entity_name: &str, field: &str) -> Vec<i64> {
    let of = entity(rows, entity_name);
    let column = of.column_by_name(field).unwrap();
    assert_eq!(column.nulls(), of.nulls(), "null where the row is");
    let values: Vec<Option<i64>> = match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().collect(),
        _ => column
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .collect(),
    };
    values.into_iter().flatten().collect()
}

fn texts(rows: &RecordBatch, entity_name: &str, field: &str) -> Vec<String> {
    let column = entity(rows, entity_name).column_by_name(field).unwrap();
    let texts = column.as_string::<i32>().iter().flatten();
    texts.map(str::to_owned).collect()
}

#[test]
fn of_fifty_events_one_is_a_person_three_are_auctions() {
    let rows = read(&all(), &[("events.num", "5000")], 1_000);
    let mut counts = BTreeMap::new();
    for of in event_types(&rows) {
        *counts.entry(of).or_insert(0) += 1;
    }
    assert_eq!(counts, [(0, 100), (1, 300), (2, 4_600)].into());
    for (of, name) in [(0, "person"), (1, "auction"), (2, "bid")] {
        let present = entity(&rows, name);
        let expected: Vec<bool> = event_types(&rows).iter().map(|it| *it == of).collect();
        let found: Vec<bool> = (0..rows.num_rows()).map(|i| present.is_valid(i)).collect();
        assert_eq!(found, expected, "{name}");
    }
    let options = [
        ("events.num", "100"),
        ("person.proportion", "0"),
        ("auction.proportion", "1"),
        ("bid.proportion", "3"),
    ];
    let types = event_types(&read(&all(), &options, 1_000));
    assert_eq!(types.iter().filter(|it| **it == 1).count(), 25);
    assert_eq!(types.iter().filter(|it| **it == 2).count(), 75);
}

#[test]
fn people_and_auctions_are_numbered_and_times_follow_the_rate() {
    let options = [
        ("events.num", "1000"),
        ("first-event.rate", "40"),
        ("next-event.rate", "40"),
        ("splits", "1"),
    ];
    let rows = read(&all(), &options, 77);
    assert_eq!(
        longs(&rows, "person", "id"),
        (1_000..1_020).collect::<Vec<_>>()
    );
    assert_eq!(
        longs(&rows, "auction", "id"),
        (1_000..1_060).collect::<Vec<_>>()
    );
    // Event n comes n / 40 s after the first; in a round, people come first, then auctions.
    let time = |n: i64| BASE_MS + n * 25;
    let people = (0..20).map(|round| time(50 * round));
    assert_eq!(
        longs(&rows, "person", "dateTime"),
        people.collect::<Vec<_>>()
    );
    let auctions = (0..60).map(|auction| time(auction / 3 * 50 + 1 + auction % 3));
    assert_eq!(
        longs(&rows, "auction", "dateTime"),
        auctions.collect::<Vec<_>>()
    );
    let bids = (0..920).map(|bid| time(bid / 46 * 50 + 4 + bid % 46));
    assert_eq!(longs(&rows, "bid", "dateTime"), bids.collect::<Vec<_>>());
    // An auction takes up to twice the time of 100 auctions, which is 100 * 50 / 3 events.
    let opened = longs(&rows, "auction", "dateTime");
    let expires = longs(&rows, "auction", "expires");
    for (opened, expires) in opened.iter().zip(&expires) {
        assert!((1..=2 * 1_666 * 25).contains(&(expires - opened)));
    }
    let other = [&options[..], &[("base-time", "2025-01-01 00:00:00.5")]].concat();
    let first = longs(&read(&all(), &other, 77), "person", "dateTime")[0];
    assert_eq!(first, 1_735_689_600_500);
}

#[test]
fn an_event_depends_on_the_seed_and_its_number_alone() {
    let sorted = |rows: &RecordBatch| {
        let mut lines: Vec<String> = (0..rows.num_rows())
            .map(|row| format!("{:?}", rows.slice(row, 1).columns()))
            .collect();
        lines.sort_unstable();
        lines
    };
    let with = |more: &[(&'static str, &'static str)]| {
        [&[("events.num", "530"), ("seed", "7")][..], more].concat()
    };
    let whole = read(&all(), &with(&[("splits", "1")]), 1_000);
    for (splits, rows) in [("1", 1), ("3", 7), ("8", 1_000), ("64", 1_000)] {
        let found = read(&all(), &with(&[("splits", splits)]), rows);
        assert_eq!(sorted(&found), sorted(&whole), "splits {splits}");
    }
    // Fewer columns and fields, in another order: the same values.
    let few = [
        row(
            "bid",
            &[("url", DataType::Utf8), ("price", DataType::Int64)],
        ),
        row("auction", &[]),
    ];
    let found = read(&few, &with(&[("splits", "1")]), 1_000);
    for field in ["price", "url"] {
        let expected = entity(&whole, "bid").column_by_name(field).unwrap();
        let found = entity(&found, "bid").column_by_name(field).unwrap();
        assert_eq!(found, expected);
    }
    assert_eq!(entity(&found, "auction").null_count(), 530 - 33);
    let nothing = made(&[], &with(&[]), &Arc::default()).unwrap();
    let mut reader = nothing.open(&SplitId::new("0"), None).unwrap();
    // 0, 8, 16 and so on, below 530.
    assert_eq!(
        rows_of(&mut *reader, LIMIT).map(|rows| rows.num_rows()),
        Some(67)
    );
    let other = read(
        &all(),
        &[("events.num", "530"), ("seed", "8"), ("splits", "1")],
        1_000,
    );
    assert_ne!(longs(&other, "bid", "price"), longs(&whole, "bid", "price"));
}

#[test]
fn events_are_dealt_to_the_splits() {
    for splits in [1, 3, 8, 2_000] {
        let part = |index| Part { index, splits };
        let mut numbers = vec![];
        for index in 0..splits {
            let of_split = (0..).map(|offset| part(index).number(offset));
            let of_split: Vec<u64> = of_split.take_while(|n| *n < 1_234).collect();
            assert_eq!(part(index).count(1_234), of_split.len() as u64);
            assert!(of_split.is_sorted(), "event time never goes back");
            numbers.extend(of_split);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1_234).collect::<Vec<_>>());
    }
}

/// How many of `found` are what `hot` says.
fn share<T: PartialEq>(found: &[T], hot: impl Fn(usize) -> T) -> f64 {
    let hits = found.iter().enumerate().filter(|(i, it)| **it == hot(*i));
    hits.count() as f64 / found.len() as f64
}

#[test]
fn hot_auctions_bidders_and_sellers_have_their_shares() {
    let shares = |ratio: &str| {
        let options = [
            ("events.num", "100000"),
            ("splits", "1"),
            ("bid.hot-ratio.auctions", ratio),
            ("bid.hot-ratio.bidders", ratio),
            ("auction.hot-ratio.sellers", ratio),
        ];
        let rows = read(&all(), &options, 1_000);
        // 46 bids come in a round, after its person and its three auctions.
        let hundred = |last: usize| (last / 100 * 100) as i64;
        let auctions = longs(&rows, "bid", "auction");
        let bidders = longs(&rows, "bid", "bidder");
        let sellers = longs(&rows, "auction", "seller");
        for (index, auction) in auctions.iter().enumerate() {
            let last = 1_000 + (index / 46 * 3 + 2) as i64;
            assert!((1_000.max(last - 102)..=last + 10).contains(auction));
        }
        for (index, bidder) in bidders.iter().enumerate() {
            let last = 1_000 + (index / 46) as i64;
            assert!((1_000.max(last - 999)..=last + 10).contains(bidder));
        }
        [
            share(&auctions, |bid| 1_000 + hundred(bid / 46 * 3 + 2)),
            share(&bidders, |bid| 1_001 + hundred(bid / 46)),
            share(&sellers, |auction| 1_000 + hundred(auction / 3)),
        ]
    };
    // All but one in the ratio, and a few of the others by chance.
    for (ratio, expected) in [("1", 0.0), ("2", 0.5), ("4", 0.75), ("100", 0.99)] {
        for share in shares(ratio) {
            assert!(
                (expected - 0.02..expected + 0.02).contains(&share),
                "ratio {ratio}: {share}"
            );
        }
    }
}

#[test]
fn texts_are_what_the_queries_look_for() {
    let rows = read(&all(), &[("events.num", "50000"), ("splits", "1")], 1_000);
    let channels = texts(&rows, "bid", "channel");
    let urls = texts(&rows, "bid", "url");
    let mut url_of = BTreeMap::new();
    let mut with_id = 0;
    for (channel, url) in channels.iter().zip(&urls) {
        assert_eq!(url_of.entry(channel).or_insert(url), &url, "one url each");
        let folders: Vec<&str> = url.split('/').collect();
        assert_eq!(folders.len(), 7, "{url}");
        assert!(folders[3..6].iter().all(|folder| folder.len() == 5));
        with_id += usize::from(url.contains("&channel_id="));
    }
    let is_hot = |channel: &&String| !channel.starts_with("channel-");
    let hot = channels.iter().filter(is_hot).count();
    let half = channels.len() / 2;
    assert!(hot.abs_diff(half) < half / 20, "{hot} of {}", 2 * half);
    assert!(with_id.abs_diff(half * 9 / 10) < half / 20, "{with_id}");
    let mut states = texts(&rows, "person", "state");
    states.sort();
    states.dedup();
    assert_eq!(states, ["AZ", "CA", "ID", "OR", "WA", "WY"]);
    for (entity, least, most, average) in [
        ("person", 106, 158, 132),
        ("auction", 312, 466, 389),
        ("bid", 55, 81, 68),
    ] {
        let extras = texts(&rows, entity, "extra");
        let different: BTreeSet<&String> = extras.iter().collect();
        assert!(different.len() * 10 > extras.len() * 9, "{entity}");
        let lengths: Vec<usize> = extras.iter().map(String::len).collect();
        assert!(lengths.iter().all(|it| (least..=most).contains(it)));
        let mean = lengths.iter().sum::<usize>() / lengths.len();
        assert!(mean.abs_diff(average) <= 3, "{entity}: {mean}");
    }
    let prices = longs(&rows, "bid", "price");
    assert!(
        prices
            .iter()
            .all(|price| (100..=100_000_000).contains(price))
    );
    // Even by the logarithm: half of them are below the middle, 1000 dollars.
    let low = prices.iter().filter(|price| **price < 100_000).count();
    assert!(low.abs_diff(half) < half / 20, "{low}");
}

#[test]
fn events_come_no_faster_than_their_times_if_asked() {
    let env = Arc::new(TestEnv::default());
    let options = [
        ("first-event.rate", "1000"),
        ("max-emit-speed", "false"),
        ("splits", "2"),
    ];
    let source = made(&all()[..1], &options, &env).unwrap();
    assert!(!source.is_bounded());
    let splits = source.splits().unwrap();
    let mut readers: Vec<_> = splits
        .iter()
        .map(|split| source.open(&split.id, None).unwrap())
        .collect();
    let mut read_at = |now: i64| {
        env.now_ms.store(now, Ordering::SeqCst);
        let count = |reader: &mut Box<dyn SplitReader>| {
            rows_of(&mut **reader, LIMIT).map_or(0, |rows| rows.num_rows())
        };
        readers.iter_mut().map(count).collect::<Vec<_>>()
    };
    // An event each millisecond, in turns.
    assert_eq!(read_at(0), [0, 0]);
    assert_eq!(read_at(10), [5, 5]);
    assert_eq!(read_at(11), [1, 0]);
    assert_eq!(read_at(60), [24, 25]);
    // Opened again much later, it goes on from there.
    env.now_ms.store(1_000_000, Ordering::SeqCst);
    let mut again = source.open(&splits[0].id, Some(Offset(30))).unwrap();
    assert!(rows_of(&mut *again, LIMIT).is_none());
    assert_eq!(again.backlog(), Some(0));
    env.now_ms.store(1_000_009, Ordering::SeqCst);
    assert_eq!(again.backlog(), Some(5));
    assert_eq!(
        rows_of(&mut *again, LIMIT).map(|rows| rows.num_rows()),
        Some(5)
    );
    assert_eq!(again.offset(), Offset(35));
}

#[test]
fn the_end_comes_with_the_last_event_unless_kept_alive() {
    let few = [("events.num", "121"), ("splits", "2")];
    let source = made(&all(), &few, &Arc::default()).unwrap();
    for (split, expected) in [("0", 61), ("1", 60)] {
        let mut reader = source.open(&SplitId::new(split), None).unwrap();
        assert_eq!(reader.backlog(), Some(expected));
        let rows = rows_of(&mut *reader, LIMIT).unwrap();
        assert_eq!(rows.num_rows() as u64, expected);
        assert!(matches!(reader.read(LIMIT).unwrap(), Read::End));
    }
    let unknown = source.open(&SplitId::new("2"), None).err().unwrap();
    assert_eq!(unknown.to_string(), "no split `2`");
    let alive = [&few[..], &[("keep-alive", "true")]].concat();
    let source = made(&all(), &alive, &Arc::default()).unwrap();
    assert!(!source.is_bounded());
    let mut reader = source.open(&SplitId::new("1"), Some(Offset(60))).unwrap();
    assert!(matches!(reader.read(LIMIT).unwrap(), Read::Pending));
}

#[test]
fn says_what_is_wrong() {
    let refused = |fields: &[Field], options: &[(&str, &str)]| {
        let made = made(fields, options, &Arc::default());
        made.err().expect("it is refused").to_string()
    };
    let option = |key, value| refused(&[], &[(key, value)]);
    assert_eq!(
        option("first-event.rate", "0"),
        "`first-event.rate`: found `0`, expected a whole number from 1 to 1000000000"
    );
    assert_eq!(
        option("next-event.rate", "20"),
        "`next-event.rate`: found `20`, expected `10000` as `first-event.rate` says: a rate that \
         changes is not supported"
    );
    assert_eq!(
        option("base-time", "now"),
        "`base-time`: found `now`, expected a timestamp like `2015-07-15 00:00:00`"
    );
    assert_eq!(
        option("bid.avg-size", "2mb"),
        "`bid.avg-size`: found `2mb`, expected at most 1048576 bytes"
    );
    let none = ["person", "auction", "bid"].map(|kind| format!("{kind}.proportion"));
    let none: Vec<(&str, &str)> = none.iter().map(|key| (key.as_str(), "0")).collect();
    assert_eq!(
        refused(&[], &none),
        "`person.proportion`, `auction.proportion` and `bid.proportion`: found 0 for all, expected \
         at least one more"
    );
    assert_eq!(
        refused(&[Field::new("bids", DataType::Int64, true)], &[]),
        "`nexmark` has no column `bids`; expected one of: event_type, person, auction, bid"
    );
    assert_eq!(
        refused(&[Field::new("event_type", DataType::Int64, true)], &[]),
        "`event_type` of `nexmark`: found BIGINT, expected INT"
    );
    assert_eq!(
        refused(&[row("bid", &[("cost", DataType::Int64)])], &[]),
        "`bid` of `nexmark` has no field `cost`; expected one of: auction, bidder, price, channel, \
         url, dateTime, extra"
    );
    assert_eq!(
        refused(&[row("bid", &[("price", DataType::Int32)])], &[]),
        "`bid.price` of `nexmark`: found INT, expected BIGINT"
    );
    assert_eq!(
        refused(&[Field::new("bid", DataType::Utf8, true)], &[]),
        "`bid` of `nexmark`: found STRING, expected ROW<auction BIGINT, bidder BIGINT, price \
         BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), extra STRING>"
    );
}
