//! Dates and times as SQL text: `2025-06-15 15:06:00.000`.
//!
//! Reading accepts what Flink's CAST does: months, days, hours, minutes and seconds of one or two
//! digits, a fraction of up to nine digits, a date without a time. A day that its month lacks (up
//! to 31) becomes the month's last, as in Java's default resolver.

use std::fmt::Write;

use super::calendar::{Date, Instant, SECONDS_PER_DAY, days_in_month};

/// Reads `2025-06-15[ 15:06:00[.123456789]]`.
pub(crate) fn parse_timestamp(text: &str) -> Option<Instant> {
    let mut cursor = Cursor::new(text);
    let year = cursor.digits(4, 4)?;
    cursor.expect('-')?;
    let month = cursor.digits(1, 2)?;
    cursor.expect('-')?;
    let day = cursor.digits(1, 2)?;
    let date = resolve_date(year, month, day)?;
    let midnight = Instant::from_seconds(date.days() * SECONDS_PER_DAY);
    if cursor.is_at_end() {
        return Some(midnight);
    }
    cursor.expect(' ')?;
    let (second_of_day, nanos) = clock(&mut cursor)?;
    cursor.is_at_end().then_some(Instant {
        seconds: midnight.seconds + second_of_day,
        nanos,
    })
}

/// Reads `2025-06-15`, `2025-06` or `2025`; anything after a blank is left out. Days since the
/// epoch.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let text = match text.find(' ') {
        Some(blank @ 1..) => &text[..blank],
        _ => text,
    };
    let mut parts = text.splitn(3, '-');
    let mut number = || -> Option<Option<i64>> {
        let Some(part) = parts.next() else {
            return Some(None);
        };
        let all_digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if all_digits {
            Some(part.parse().ok())
        } else {
            None
        }
    };
    let (year, month, day) = (number()??, number()?, number()?);
    let (month, day) = (month.unwrap_or(1), day.unwrap_or(1));
    let in_range = (0..=9_999).contains(&year);
    let date = Date::valid(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    in_range.then(|| date.days())
}

/// Reads `15:06:00[.123]`, `15:06` or `15`. Milliseconds since midnight.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (hms, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut total = 0;
    let mut parts = hms.splitn(3, ':');
    for (unit, limit) in [(3_600, 23), (60, 59), (1, 59)] {
        let Some(part) = parts.next() else { continue };
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: i64 = part.parse().ok()?;
        total += if value <= limit {
            value * unit
        } else {
            return None;
        };
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut digits = fraction.bytes().map(|byte| i64::from(byte - b'0'));
    let millis = (0..3).fold(0, |ms, _| ms * 10 + digits.next().unwrap_or(0));
    Some(total * 1_000 + millis)
}

/// Hours, minutes, seconds and a fraction: seconds since midnight, nanoseconds.
fn clock(cursor: &mut Cursor<'_>) -> Option<(i64, u32)> {
    let hour = cursor.digits(1, 2)?;
    cursor.expect(':')?;
    let minute = cursor.digits(1, 2)?;
    cursor.expect(':')?;
    let second = cursor.digits(1, 2)?;
    let mut nanos = 0;
    if cursor.expect('.').is_some() {
        let rest = cursor.rest();
        let count = rest.bytes().take_while(u8::is_ascii_digit).count().min(9);
        if count > 0 {
            let value = cursor.digits(count, count)?;
            nanos = value * 10i64.pow(9 - u32::try_from(count).ok()?);
        }
    }
    let in_range = hour < 24 && minute < 60 && second < 60;
    in_range.then_some((
        hour * 3_600 + minute * 60 + second,
        u32::try_from(nanos).ok()?,
    ))
}

/// A day after the end of its month, up to 31, is the month's last day.
pub(super) fn resolve_date(year: i64, month: i64, day: i64) -> Option<Date> {
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Date::valid(year, month, day.min(days_in_month(year, month)))
}

/// Writes `2025-06-15`.
pub(crate) fn write_date(date: Date, out: &mut String) {
    let Date { year, month, day } = date;
    if year < 0 {
        out.push('-');
    }
    write_padded(out, year.unsigned_abs(), 4);
    out.push('-');
    write_padded(out, u64::from(month), 2);
    out.push('-');
    write_padded(out, u64::from(day), 2);
}

/// Writes `15:06:00`, and a fraction if there is one.
pub(crate) fn write_time(instant: Instant, out: &mut String) {
    write_clock(instant, out);
    write_fraction(instant.nanos, 0, out);
}

/// Writes `2025-06-15 15:06:00.000`, with at least `digits` digits in the fraction.
pub(crate) fn write_timestamp(instant: Instant, digits: usize, out: &mut String) {
    write_date(instant.date(), out);
    out.push(' ');
    write_clock(instant, out);
    write_fraction(instant.nanos, digits, out);
}

fn write_clock(instant: Instant, out: &mut String) {
    let second = instant.second_of_day().unsigned_abs();
    write_padded(out, second / 3_600, 2);
    out.push(':');
    write_padded(out, second / 60 % 60, 2);
    out.push(':');
    write_padded(out, second % 60, 2);
}

fn write_fraction(nanos: u32, least_digits: usize, out: &mut String) {
    let (mut value, mut digits) = (nanos, 9);
    while digits > least_digits && value % 10 == 0 {
        value /= 10;
        digits -= 1;
    }
    if digits > 0 {
        out.push('.');
        write_padded(out, u64::from(value), digits);
    }
}

/// Writes `value` with zeros before it, up to `width` digits.
pub(super) fn write_padded(out: &mut String, value: u64, width: usize) {
    // PERF: two digits are nearly all there is to write; formatting takes several times as long.
    match (value, width) {
        (0..=99, 2) => {
            out.push(char::from(
                b'0' + u8::try_from(value / 10).expect("one digit"),
            ));
            out.push(char::from(
                b'0' + u8::try_from(value % 10).expect("one digit"),
            ));
        }
        (100..=9_999, 4) => {
            write_padded(out, value / 100, 2);
            write_padded(out, value % 100, 2);
        }
        _ => write!(out, "{value:0width$}").expect("writing to a string never fails"),
    }
}

/// Reads a text from the left.
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads `c`.
    pub fn expect(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// Reads `text`.
    pub fn expect_text(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    /// Reads as many digits as there are, at least `least`, at most `most` (18 or fewer).
    pub fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let bytes = self.rest.bytes().take(most);
        let count = bytes.take_while(u8::is_ascii_digit).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let value = digits.bytes();
        Some(value.fold(0, |so_far, byte| so_far * 10 + i64::from(byte - b'0')))
    }
}
