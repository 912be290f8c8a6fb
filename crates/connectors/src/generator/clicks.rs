//! Web clicks as JSON: `event_id, user_id, ts, page, referrer, country, device`, about 165 bytes
//! each.
//!
//! Record i stands at `start_ms + i / events_per_second` of event time. An event that is on time
//! is dated up to `out_of_order_ms` back from there; a late one `late_by_ms` further. Bad records
//! are of five kinds in turn: no JSON at all, cut off, `ts` of the wrong type, `ts` missing, an
//! array.
//!
//! With `surge_every_minutes`, one minute of so many has a surge: one in a hundred of all clicks of
//! that minute is on the same page and from the same country.
//!
//! INVARIANT: integer arithmetic only, so that the bytes are the same on every platform.

use millstream_core::{Error, Result};

use super::Kind;
use super::random::SplitMix64;

/// The first records are never late: there must be something newer that they are later than.
const NEVER_LATE: u64 = 100;

/// Country codes and their shares in percent.
const COUNTRIES: [(&str, u8); 8] = [
    ("US", 18),
    ("IN", 15),
    ("DE", 13),
    ("BR", 12),
    ("GB", 12),
    ("FR", 11),
    ("JP", 10),
    ("MX", 9),
];

/// One in so many clicks of a minute with a surge is drawn to its page.
const SURGE_ONE_IN: u64 = 100;

const DEVICES: [&str; 4] = ["mobile", "mobile", "desktop", "tablet"];

const REFERRERS: [&str; 8] = [
    "/home",
    "/home",
    "/search",
    "/search",
    "/category/7",
    "https://example.com/news",
    "https://google.com/",
    "https://social.example/feed",
];

/// What clicks to make.
#[derive(Debug, Clone, PartialEq)]
pub struct ClickOptions {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Event time of the first record, ms since the Unix epoch.
    pub start_ms: i64,
    /// How many records there are in a second of event time; at least 1.
    pub events_per_second: u64,
    /// How far back an event that is on time may be dated, in ms.
    pub out_of_order_ms: u64,
    /// Share of late events, 0 to 1.
    pub late_fraction: f64,
    /// How far back late events are dated besides, in ms.
    pub late_by_ms: u64,
    /// Share of records that cannot be decoded, 0 to 1.
    pub bad_fraction: f64,
    /// Number of users; at least 1.
    pub users: u64,
    /// Number of pages; at least 1.
    pub pages: u64,
    /// How unevenly pages are visited: 0 evenly; s: page n is visited as often as n^(-s/(s+1)).
    pub page_skew: u32,
    /// A minute of event time has a surge if its number since 1970 is a multiple of this; 0: none.
    pub surge_every_minutes: u64,
}

impl Default for ClickOptions {
    /// 8,000 events a second from 2025-06-15 15:06:40 on, all of them good and on time.
    fn default() -> Self {
        Self {
            seed: 0,
            start_ms: 1_750_000_000_000,
            events_per_second: 8_000,
            out_of_order_ms: 5_000,
            late_fraction: 0.0,
            late_by_ms: 300_000,
            bad_fraction: 0.0,
            users: 100_000,
            pages: 5_000,
            page_skew: 0,
            surge_every_minutes: 0,
        }
    }
}

/// Makes clicks, one after another.
#[derive(Debug, Clone)]
pub struct ClickGenerator {
    options: ClickOptions,
    random: SplitMix64,
    records: u64,
    bad: u64,
    /// Random numbers below are bad, below the next late.
    bad_below: u64,
    late_below: u64,
    /// Country of each percent.
    countries: [&'static str; 100],
}

impl ClickGenerator {
    /// `InvalidInput` for an option that is out of bounds.
    pub fn new(options: ClickOptions) -> Result<Self> {
        let shares = options.bad_fraction + options.late_fraction;
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if !is_share(options.bad_fraction) || !is_share(options.late_fraction) || shares > 1.0 {
            return Err(Error::invalid(format!(
                "late fraction {} and bad fraction {}: expected shares from 0 to 1, and no more \
                 than 1 together",
                options.late_fraction, options.bad_fraction
            )));
        }
        if options.events_per_second == 0 || options.users == 0 || options.pages == 0 {
            return Err(Error::invalid(format!(
                "events_per_second={} users={} pages={}: expected at least 1 of each",
                options.events_per_second, options.users, options.pages
            )));
        }
        let mut countries = [""; 100];
        let shares = COUNTRIES.iter();
        let codes = shares.flat_map(|(code, share)| std::iter::repeat_n(*code, (*share).into()));
        for (country, code) in countries.iter_mut().zip(codes) {
            *country = code;
        }
        // A power of two is exact; the cast saturates.
        let threshold = |share: f64| (share * 18_446_744_073_709_551_616.0) as u64;
        Ok(Self {
            random: SplitMix64::new(options.seed),
            records: 0,
            bad: 0,
            bad_below: threshold(options.bad_fraction),
            late_below: threshold(shares_below_late(&options)),
            countries,
            options,
        })
    }

    /// Where the next record stands in event time, ms since the Unix epoch. No event is newer.
    pub fn event_time_ms(&self) -> i64 {
        let elapsed = u128::from(self.records) * 1_000 / u128::from(self.options.events_per_second);
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        self.options.start_ms.saturating_add(elapsed)
    }

    /// Appends the next record to `out`, without a newline, and says what it is.
    pub fn next_record(&mut self, out: &mut Vec<u8>) -> Kind {
        let choice = self.random.next();
        let kind = if choice < self.bad_below {
            Kind::Bad
        } else if choice < self.late_below && self.records >= NEVER_LATE {
            Kind::Late
        } else {
            Kind::OnTime
        };
        let back = self
            .random
            .below(self.options.out_of_order_ms.saturating_add(1));
        let back = match kind {
            Kind::Late => back.saturating_add(self.options.late_by_ms),
            _ => back,
        };
        let time = self.event_time_ms().saturating_sub_unsigned(back);
        if kind == Kind::Bad {
            self.write_bad(time, out);
        } else {
            self.write_click(Time::Ms(time), out);
        }
        self.records += 1;
        kind
    }

    fn write_bad(&mut self, time: i64, out: &mut Vec<u8>) {
        let start = out.len();
        match self.bad % 5 {
            0 => out.extend_from_slice(b"<html>503 Service Unavailable</html>"),
            1 => {
                self.write_click(Time::Ms(time), out);
                // Whatever is cut off, the closing brace is.
                let length = (out.len() - start) as u64;
                let kept = 1 + self.random.below(length - 1) as usize;
                out.truncate(start + kept);
            }
            2 => self.write_click(Time::Text("yesterday"), out),
            3 => self.write_click(Time::Missing, out),
            _ => {
                out.push(b'[');
                self.write_click(Time::Ms(time), out);
                out.push(b']');
            }
        }
        self.bad += 1;
    }

    fn write_click(&mut self, time: Time, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"event_id\":\"");
        write_uuid(self.random.next(), self.random.next(), out);
        out.extend_from_slice(b"\",\"user_id\":\"u");
        let user = self.random.below(self.options.users);
        write_padded(user, out);
        match time {
            Time::Ms(ms) => {
                out.extend_from_slice(b"\",\"ts\":");
                out.extend_from_slice(itoa::Buffer::new().format(ms).as_bytes());
            }
            Time::Text(text) => {
                out.extend_from_slice(b"\",\"ts\":\"");
                out.extend_from_slice(text.as_bytes());
                out.push(b'"');
            }
            Time::Missing => out.push(b'"'),
        }
        out.extend_from_slice(b",\"page\":\"/product/");
        let page = self.page();
        let surge = match time {
            Time::Ms(ms) => self
                .surge(ms)
                .filter(|_| self.random.below(SURGE_ONE_IN) == 0),
            Time::Text(_) | Time::Missing => None,
        };
        let page = surge.map_or(page, |(page, _)| page);
        out.extend_from_slice(itoa::Buffer::new().format(page).as_bytes());
        let choice = self.random.next();
        let [referrer, device, ..] = choice.to_le_bytes();
        out.extend_from_slice(b"\",\"referrer\":\"");
        out.extend_from_slice(REFERRERS[usize::from(referrer % 8)].as_bytes());
        out.extend_from_slice(b"\",\"country\":\"");
        // The low bytes are used above; the high half decides here.
        let percent = ((choice >> 32) * 100) >> 32;
        let country = self.countries[percent as usize];
        let country = surge.map_or(country, |(_, country)| country);
        out.extend_from_slice(country.as_bytes());
        out.extend_from_slice(b"\",\"device\":\"");
        out.extend_from_slice(DEVICES[usize::from(device % 4)].as_bytes());
        out.extend_from_slice(b"\"}");
    }

    /// The page and the country of the surge in the minute of `ms`, the same for every seed.
    fn surge(&self, ms: i64) -> Option<(u64, &'static str)> {
        let minute = ms.div_euclid(60_000).cast_unsigned();
        let every = self.options.surge_every_minutes;
        if every == 0 || !minute.is_multiple_of(every) {
            return None;
        }
        let mut random = SplitMix64::new(minute);
        let page = random.below(self.options.pages);
        let percent = random.below(100);
        Some((page, self.countries[percent as usize]))
    }

    /// With skew s a uniform number to the power of s + 1, in 64-bit fixed point.
    fn page(&mut self) -> u64 {
        let uniform = self.random.next();
        let power = (0..self.options.page_skew)
            .fold(uniform, |power, _| super::random::scale(power, uniform));
        super::random::scale(power, self.options.pages)
    }
}

/// What stands as `ts`.
enum Time {
    Ms(i64),
    Text(&'static str),
    Missing,
}

fn shares_below_late(options: &ClickOptions) -> f64 {
    options.bad_fraction + options.late_fraction
}

/// Two hexadecimal digits for each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = *b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        hex[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    hex
};

/// A UUID of version 4 (RFC 9562).
fn write_uuid(high: u64, low: u64, out: &mut Vec<u8>) {
    let high = high & !0xf000 | 0x4000;
    let low = low & (u64::MAX >> 2) | 1 << 63;
    let mut text = [b'-'; 36];
    let bytes = high.to_be_bytes().into_iter().chain(low.to_be_bytes());
    let mut at = 0;
    for byte in bytes {
        if matches!(at, 8 | 13 | 18 | 23) {
            at += 1;
        }
        text[at..at + 2].copy_from_slice(&HEX[usize::from(byte)]);
        at += 2;
    }
    out.extend_from_slice(&text);
}

/// At least six digits.
fn write_padded(number: u64, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    let zeros = 6_usize.saturating_sub(digits.len());
    out.extend_from_slice(&b"000000"[..zeros]);
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::super::Summary;
    use super::*;

    fn records(options: ClickOptions, count: usize) -> Vec<(Kind, String)> {
        let mut generator = ClickGenerator::new(options).unwrap();
        let mut out = vec![];
        let next = |_| {
            out.clear();
            let kind = generator.next_record(&mut out);
            (kind, String::from_utf8(out.clone()).unwrap())
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn the_bytes_of_a_seed_never_change() {
        let options = ClickOptions {
            seed: 42,
            ..ClickOptions::default()
        };
        let made = records(options, 2);
        assert_eq!(
            made[0].1,
            concat!(
                r#"{"event_id":"47526757-130f-4f52-981c-e1ff0e4ae394","user_id":"u003803","ts":1749999999201,"page"#,
                r#"":"/product/4341","referrer":"https://example.com/news","country":"IN","device":"mobile"}"#
            )
        );
        assert_eq!(
            made[1].1,
            concat!(
                r#"{"event_id":"9e54d738-297f-47ae-b474-724a775b19bf","user_id":"u049298","ts":1749999998301,"page"#,
                r#"":"/product/2566","referrer":"https://social.example/feed","country":"BR","device":"mobile"}"#
            )
        );
    }

    #[test]
    fn clicks_have_the_shape_and_spread_that_they_should() {
        let options = ClickOptions {
            seed: 1,
            users: 50,
            pages: 20,
            ..ClickOptions::default()
        };
        let count = 20_000;
        let made = records(options.clone(), count);
        let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut bytes = 0;
        for (index, (kind, record)) in made.iter().enumerate() {
            assert_eq!(*kind, Kind::OnTime);
            bytes += record.len();
            let click: Value = serde_json::from_str(record).unwrap();
            let keys: Vec<&String> = click.as_object().unwrap().keys().collect();
            assert_eq!(keys.len(), 7);
            for key in keys {
                seen.entry(key.clone())
                    .or_default()
                    .insert(click[key].to_string());
            }
            let newest = options.start_ms + index as i64 / 8;
            let ts = click["ts"].as_i64().unwrap();
            assert!((newest - 5_000..=newest).contains(&ts));
        }
        assert_eq!(seen["event_id"].len(), count);
        assert_eq!(seen["user_id"].len(), 50);
        assert!(seen["user_id"].contains("\"u000007\""));
        assert_eq!(seen["page"].len(), 20);
        assert_eq!(seen["country"].len(), 8);
        assert_eq!(seen["device"].len(), 3);
        assert_eq!(seen["referrer"].len(), 6);
        assert!(
            (155..175).contains(&(bytes / count)),
            "{} bytes each",
            bytes / count
        );
    }

    #[test]
    fn kinds_are_what_they_say() {
        let options = ClickOptions {
            seed: 3,
            late_fraction: 0.1,
            bad_fraction: 0.05,
            ..ClickOptions::default()
        };
        let mut summary = Summary::default();
        let mut errors = BTreeSet::new();
        for (index, (kind, record)) in records(options.clone(), 20_000).into_iter().enumerate() {
            summary.add(kind);
            let behind = serde_json::from_str::<Value>(&record)
                .ok()
                .and_then(|click| {
                    let newest = options.start_ms + index as i64 / 8;
                    Some(newest - click.get("ts")?.as_i64()?)
                });
            match (kind, behind) {
                (Kind::OnTime, Some(0..=5_000)) | (Kind::Late, Some(300_000..=305_000)) => {}
                (Kind::Bad, None) => {
                    errors.insert(record.chars().take(12).collect::<String>());
                }
                (kind, behind) => panic!("{kind:?} {behind:?} {record}"),
            }
            assert!(kind != Kind::Late || index >= 100);
        }
        assert_eq!(summary.total(), 20_000);
        assert!((1_800..2_200).contains(&summary.late), "{summary:?}");
        assert!((900..1_100).contains(&summary.bad), "{summary:?}");
        assert!(errors.len() >= 4, "{errors:?}");
    }

    #[test]
    fn skew_favours_the_first_pages() {
        let share_of_first_tenth = |page_skew| {
            let options = ClickOptions {
                pages: 100,
                page_skew,
                ..ClickOptions::default()
            };
            let made = records(options, 10_000);
            let page =
                |record: &str| serde_json::from_str::<Value>(record).unwrap()["page"].to_string();
            let first = made
                .iter()
                .filter(|(_, record)| page(record).len() < "\"/product/10\"".len());
            first.count() / 100
        };
        assert!((8..=12).contains(&share_of_first_tenth(0)));
        // The square root and the cube root of a tenth.
        assert!((29..=34).contains(&share_of_first_tenth(1)));
        assert!((43..=49).contains(&share_of_first_tenth(2)));
    }

    #[test]
    fn a_surge_is_one_page_and_country_for_a_minute() {
        // Four minutes, from the start of one that 3 divides.
        let options = ClickOptions {
            start_ms: 1_750_000_140_000,
            events_per_second: 100,
            out_of_order_ms: 0,
            surge_every_minutes: 3,
            ..ClickOptions::default()
        };
        assert!((options.start_ms / 60_000) % 3 == 0);
        for seed in [1, 2] {
            let options = ClickOptions {
                seed,
                ..options.clone()
            };
            let mut counts: BTreeMap<(i64, String, String), u64> = BTreeMap::new();
            for (_, record) in records(options.clone(), 4 * 6_000) {
                let click: Value = serde_json::from_str(&record).unwrap();
                let minute = (click["ts"].as_i64().unwrap() - options.start_ms) / 60_000;
                let key = (
                    minute,
                    click["page"].to_string(),
                    click["country"].to_string(),
                );
                *counts.entry(key).or_default() += 1;
            }
            // 6,000 clicks in a minute on 40,000 groups: two or three are there by chance.
            let many = counts.iter().filter(|(_, count)| **count > 10);
            let many: Vec<_> = many.map(|(key, count)| (key.0, *count)).collect();
            let [(0, first), (3, second)] = many[..] else {
                panic!("seed {seed}: {many:?}");
            };
            assert!((40..80).contains(&first), "{many:?}");
            assert!((40..80).contains(&second), "{many:?}");
        }
    }

    #[test]
    fn refuses_options_out_of_bounds() {
        let refused = |change: fn(&mut ClickOptions)| {
            let mut options = ClickOptions::default();
            change(&mut options);
            ClickGenerator::new(options).is_err()
        };
        assert!(refused(|options| options.late_fraction = 1.5));
        assert!(refused(|options| options.bad_fraction = f64::NAN));
        assert!(refused(|options| (
            options.bad_fraction,
            options.late_fraction
        ) = (0.6, 0.6)));
        assert!(refused(|options| options.pages = 0));
        assert!(refused(|options| options.users = 0));
        assert!(refused(|options| options.events_per_second = 0));
    }
}
