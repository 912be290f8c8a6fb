//! Date and time patterns ([`DatePattern`]) at work.
//!
//! A pattern is compiled once into fields and literal text, then formats or reads any number of
//! values. Names are English.

use millstream_core::Result;
use millstream_core::pattern::date::{DatePattern, Item};

use super::calendar::{Instant, SECONDS_PER_DAY, iso_weekday};
use super::timestamp::{Cursor, resolve_date, write_padded};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    items: Vec<Item>,
}

/// What reading has found so far; a field that a pattern lacks has its least value.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    hour: i64,
    half_hour: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    nanos: i64,
    weekday: Option<i64>,
}

impl Pattern {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// It is no pattern.
    pub fn new(pattern: &str) -> Result<Self> {
        let items = DatePattern::parse(pattern)?.items;
        Ok(Self { items })
    }

    /// Writes `instant`.
    pub fn format(&self, instant: Instant, out: &mut String) {
        for item in &self.items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Field(letter, count) => write_field(*letter, *count, instant, out),
            }
        }
    }

    /// Reads `text`, all of it; none if it does not match the pattern or is no real time.
    pub fn parse(&self, text: &str) -> Option<Instant> {
        let mut cursor = Cursor::new(text);
        let mut fields = Fields {
            year: 1970,
            month: 1,
            day: 1,
            day_of_year: None,
            hour: 0,
            half_hour: None,
            afternoon: false,
            minute: 0,
            second: 0,
            nanos: 0,
            weekday: None,
        };
        for item in &self.items {
            match item {
                Item::Literal(text) => cursor.expect_text(text)?,
                Item::Field(letter, count) => {
                    read_field(*letter, *count, &mut cursor, &mut fields)?;
                }
            }
        }
        if !cursor.is_at_end() {
            return None;
        }
        fields.resolve()
    }
}

fn write_field(letter: char, count: usize, instant: Instant, out: &mut String) {
    let second = instant.second_of_day();
    let hour = second / 3_600;
    let number = match letter {
        'H' => hour,
        'k' => (hour + 23) % 24 + 1,
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => second / 60 % 60,
        's' => second % 60,
        'S' => return write_fraction(instant.nanos, count, out),
        'a' => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'z' | 'V' => return out.push_str("UTC"),
        'X' => return out.push('Z'),
        'Z' | 'x' => return out.push_str(zero_offset(letter, count)),
        _ => return write_date_field(letter, count, instant, out),
    };
    write_padded(out, number.unsigned_abs(), count);
}

fn write_date_field(letter: char, count: usize, instant: Instant, out: &mut String) {
    let date = instant.date();
    let number = match letter {
        'y' | 'u' if count == 2 => date.year.rem_euclid(100),
        'y' | 'u' => {
            if date.year < 0 {
                out.push('-');
            }
            date.year.abs()
        }
        'M' | 'L' if count >= 3 => {
            let index = usize::try_from(date.month - 1).expect("1 to 12");
            return out.push_str(name(MONTHS[index], count));
        }
        'M' | 'L' => i64::from(date.month),
        'E' => {
            let index = usize::try_from(iso_weekday(instant.day()) - 1).expect("1 to 7");
            return out.push_str(name(WEEKDAYS[index], count));
        }
        'd' => i64::from(date.day),
        'D' => date.day_of_year(),
        'Q' => date.quarter(),
        _ => return out.push_str(if date.year > 0 { "AD" } else { "BC" }),
    };
    write_padded(out, number.unsigned_abs(), count);
}

fn write_fraction(nanos: u32, count: usize, out: &mut String) {
    let dropped = u32::try_from(9 - count).expect("at most nine letters");
    write_padded(out, u64::from(nanos / 10u32.pow(dropped)), count);
}

fn zero_offset(letter: char, count: usize) -> &'static str {
    match (letter, count) {
        ('x', 1) => "+00",
        ('x', 3) => "+00:00",
        _ => "+0000",
    }
}

/// A name, or its first three letters for fewer than four pattern letters.
fn name(full: &'static str, count: usize) -> &'static str {
    if count < 4 { &full[..3] } else { full }
}

fn read_field(
    letter: char,
    count: usize,
    cursor: &mut Cursor<'_>,
    fields: &mut Fields,
) -> Option<()> {
    let mut number = |most: usize| match count {
        1 => cursor.digits(1, most),
        _ => cursor.digits(count, count),
    };
    match letter {
        'y' | 'u' => {
            let year = number(9)?;
            fields.year = if count == 2 { 2_000 + year } else { year };
        }
        'M' | 'L' if count < 3 => fields.month = number(2)?,
        'M' | 'L' => fields.month = read_name(&MONTHS, count, cursor)?,
        'E' => fields.weekday = Some(read_name(&WEEKDAYS, count, cursor)?),
        'd' => fields.day = number(2)?,
        'D' => fields.day_of_year = Some(number(3)?),
        'H' => fields.hour = within(number(2)?, 0, 23)?,
        'k' => fields.hour = within(number(2)?, 1, 24)? % 24,
        'h' => fields.half_hour = Some(within(number(2)?, 1, 12)? % 12),
        'K' => fields.half_hour = Some(within(number(2)?, 0, 11)?),
        'm' => fields.minute = within(number(2)?, 0, 59)?,
        's' => fields.second = within(number(2)?, 0, 59)?,
        'S' => {
            let dropped = u32::try_from(9 - count).ok()?;
            fields.nanos = cursor.digits(count, count)? * 10i64.pow(dropped);
        }
        'a' => {
            fields.afternoon = cursor.expect_text("PM").is_some();
            if !fields.afternoon {
                cursor.expect_text("AM")?;
            }
        }
        'z' | 'V' => cursor.expect_text("UTC")?,
        'X' => cursor.expect('Z')?,
        'Z' | 'x' => cursor.expect_text(zero_offset(letter, count))?,
        'G' => cursor.expect_text("AD")?,
        // A quarter says nothing that the month does not.
        _ => drop(within(number(2)?, 1, 4)?),
    }
    Some(())
}

fn within(value: i64, least: i64, most: i64) -> Option<i64> {
    (least..=most).contains(&value).then_some(value)
}

/// The position, from 1, of the name that is read.
fn read_name(names: &[&'static str], count: usize, cursor: &mut Cursor<'_>) -> Option<i64> {
    let found = names
        .iter()
        .position(|full| cursor.expect_text(name(full, count)).is_some())?;
    i64::try_from(found + 1).ok()
}

impl Fields {
    fn resolve(self) -> Option<Instant> {
        let mut days = resolve_date(self.year, self.month, self.day)?.days();
        if let Some(day_of_year) = self.day_of_year {
            let first = resolve_date(self.year, 1, 1)?.days();
            let length = resolve_date(self.year, 12, 31)?.day_of_year();
            days = first + within(day_of_year, 1, length)? - 1;
        }
        if self
            .weekday
            .is_some_and(|weekday| weekday != iso_weekday(days))
        {
            return None;
        }
        let hour = match self.half_hour {
            Some(half) => half + if self.afternoon { 12 } else { 0 },
            None => self.hour,
        };
        Some(Instant {
            seconds: days * SECONDS_PER_DAY + hour * 3_600 + self.minute * 60 + self.second,
            nanos: u32::try_from(self.nanos).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formats 2025-06-05 03:07:09.012345678 UTC, a Thursday.
    fn check(pattern: &str, expected: &str) {
        let instant = Instant {
            seconds: 1_749_092_829,
            nanos: 12_345_678,
        };
        let found = match Pattern::new(pattern) {
            Ok(pattern) => {
                let mut out = String::new();
                pattern.format(instant, &mut out);
                out
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn letters_format_as_in_java() {
        check("yyyy-MM-dd HH:mm:ss.SSS", "2025-06-05 03:07:09.012");
        check("yy/M/d H:m:s", "25/6/5 3:7:9");
        check("yyyyMMddHHmmssSSSSSS", "20250605030709012345");
        check("EEE, d MMM yyyy hh:mm a", "Thu, 5 Jun 2025 03:07 AM");
        check("EEEE MMMM DDD Q G", "Thursday June 156 2 AD");
        check("k K h kk", "3 3 3 03");
        check("'day' dd '''' ''", "day 05 ' '");
        check("yyyy-MM-dd'T'HH:mm:ssXXX", "2025-06-05T03:07:09Z");
        check("Z xxx z", "+0000 +00:00 UTC");
        check("", "");
        check("yyyy 年", "2025 年");
    }

    #[test]
    fn reading() {
        let check = |pattern: &str, text: &str, expected: Option<&str>| {
            let instant = Pattern::new(pattern).unwrap().parse(text);
            let found = instant.map(|instant| {
                let mut out = String::new();
                super::super::timestamp::write_timestamp(instant, 3, &mut out);
                out
            });
            assert_eq!(found.as_deref(), expected, "{pattern} {text}");
        };
        let iso = "yyyy-MM-dd HH:mm:ss";
        check(iso, "2025-06-05 03:07:09", Some("2025-06-05 03:07:09.000"));
        check(iso, "2025-06-05 3:07:09", None);
        check(iso, "2025-06-05 03:07:09 ", None);
        check(iso, "2025-06-05 24:07:09", None);
        check(iso, "2025-13-05 03:07:09", None);
        check("yyyy-MM-dd", "2023-02-31", Some("2023-02-28 00:00:00.000"));
        check(
            "yyyyMMddHHmm",
            "202506051530",
            Some("2025-06-05 15:30:00.000"),
        );
        check(
            "d.M.yy h:mm a",
            "5.6.25 3:30 PM",
            Some("2025-06-05 15:30:00.000"),
        );
        check("d MMM yyyy", "5 Jun 2025", Some("2025-06-05 00:00:00.000"));
        check("EEE d MMM yyyy", "Fri 5 Jun 2025", None);
        check("yyyy DDD", "2024 366", Some("2024-12-31 00:00:00.000"));
        check("yyyy DDD", "2023 366", None);
        check(
            "HH:mm:ss.SSS",
            "01:02:03.456",
            Some("1970-01-01 01:02:03.456"),
        );
        check(
            "yyyy-MM-dd'T'HH:mm:ssX",
            "2025-06-05T00:00:00Z",
            Some("2025-06-05 00:00:00.000"),
        );
    }
}
