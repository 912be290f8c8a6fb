//! What must come out, worked out from what is in the log: the rules of event time in thirty lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// 2025-06-15 06:00:00 UTC in ms: the time of the first event.
pub const START_MS: i64 = DAY_MS + 6 * 3_600_000;
/// 2025-06-15 00:00:00 UTC in ms.
const DAY_MS: i64 = 1_749_945_600_000;
/// As in the pipeline's WATERMARK.
const DELAY_MS: i64 = 10_000;
const MINUTE_MS: i64 = 60_000;

/// A click.
#[derive(Debug, Clone)]
pub struct Event {
    /// Unique.
    pub id: String,
    /// When, in ms.
    pub time_ms: i64,
    /// Key.
    pub page: u64,
    /// Key.
    pub country: &'static str,
    /// Counted distinct.
    pub user: u64,
    /// Whether its text is damaged.
    pub is_bad: bool,
}

impl Event {
    /// The record as it is sent, without a line end.
    pub fn text(&self) -> String {
        // Cut off before the last field's value.
        let end = if self.is_bad { "" } else { "\"mobile\"}" };
        format!(
            "{{\"event_id\":\"{}\",\"user_id\":\"u{}\",\"ts\":{},\"page\":\"/p{}\",\
             \"referrer\":\"/home\",\"country\":\"{}\",\"device\":{end}",
            self.id, self.user, self.time_ms, self.page, self.country
        )
    }
}

/// A group's key as the table shows it: window, page, country.
pub type Key = (String, String, String);

/// What the tables must hold.
#[derive(Debug, Default)]
pub struct Model {
    watermarks: BTreeMap<u32, i64>,
    /// Records in each partition.
    pub offsets: BTreeMap<u32, u64>,
    groups: BTreeMap<(i64, Key), (u64, BTreeSet<u64>)>,
    /// Ids of late clicks.
    pub late: BTreeSet<String>,
    /// Raw text of damaged ones.
    pub dead: BTreeSet<String>,
    /// Clicks that are neither.
    pub on_time: u64,
}

impl Model {
    /// Takes events that are in `partition` of the log, in their order.
    pub fn accept(&mut self, partition: u32, events: &[Event]) {
        *self.offsets.entry(partition).or_default() += events.len() as u64;
        let watermark = self.watermarks.entry(partition).or_insert(i64::MIN);
        for event in events {
            if event.is_bad {
                assert!(self.dead.insert(event.text()), "{event:?} was sent twice");
                continue;
            }
            let start = event.time_ms - event.time_ms.rem_euclid(MINUTE_MS);
            if *watermark >= start + MINUTE_MS - 1 {
                assert!(
                    self.late.insert(event.id.clone()),
                    "{event:?} was sent twice"
                );
                continue;
            }
            *watermark = (*watermark).max(event.time_ms - DELAY_MS);
            self.on_time += 1;
            let page = format!("/p{}", event.page);
            let key = (time_text(start), page, event.country.to_owned());
            let (views, users) = self.groups.entry((start, key)).or_default();
            *views += 1;
            users.insert(event.user);
        }
    }

    /// Records in the log.
    pub fn total(&self) -> u64 {
        self.offsets.values().sum()
    }

    /// Views and visitors of each group whose window is complete.
    pub fn complete(&self) -> BTreeMap<Key, (u64, u64)> {
        let watermark = self.watermarks.values().min().copied().unwrap_or(i64::MIN);
        let complete = self.groups.iter().filter(|((start, _), _)| {
            let last = start + MINUTE_MS - 1;
            watermark >= last
        });
        complete
            .map(|((_, key), (views, users))| (key.clone(), (*views, users.len() as u64)))
            .collect()
    }

    /// One line.
    pub fn summary(&self) -> String {
        let mut text = format!("{} records", self.total());
        let (late, dead) = (self.late.len(), self.dead.len());
        write!(
            text,
            " = {} on time + {late} late + {dead} undecodable",
            self.on_time
        )
        .expect("text can always grow");
        text
    }
}

/// `2025-06-15 06:01:00`.
fn time_text(ms: i64) -> String {
    let seconds = (ms - DAY_MS) / 1_000;
    assert!(
        (0..86_400).contains(&seconds),
        "the test runs within one day of event time"
    );
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("2025-06-15 {hour:02}:{minute:02}:{second:02}")
}

#[test]
fn the_model_knows_what_is_late() {
    let event = |id: &str, time: i64, is_bad| Event {
        id: id.into(),
        time_ms: START_MS + time,
        page: 1,
        country: "DE",
        user: 1,
        is_bad,
    };
    let mut model = Model::default();
    let events = [
        event("a", 0, false),
        event("b", 69_998, false),
        event("c", 59_999, false),
        event("d", 69_999, false),
        event("e", 59_999, false),
        event("f", 900_000, true),
    ];
    model.accept(0, &events);
    assert_eq!(
        (model.on_time, model.late.len(), model.dead.len()),
        (4, 1, 1)
    );
    model.accept(1, &[event("g", 0, false)]);
    assert!(model.complete().is_empty(), "partition 1 holds time back");
    model.accept(1, &[event("h", 70_000, false)]);
    let minute = (
        "2025-06-15 06:00:00".to_owned(),
        "/p1".to_owned(),
        "DE".to_owned(),
    );
    assert_eq!(model.complete(), BTreeMap::from([(minute, (3, 1))]));
    assert_eq!(model.total(), 8);
}
