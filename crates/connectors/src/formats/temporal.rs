//! Dates and times as SQL text: `2025-06-15`, `15:06:00`, `2025-06-15 15:06:00.5`.
//!
//! Written years have four digits (more, with a sign, outside 0 to 9999, as in ISO 8601); read
//! ones have exactly four. A fraction is written only when it is not zero and without trailing
//! zeros; up to nine digits are read and what the column cannot hold is cut off. Leap seconds are
//! refused.

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What stands between date and time, and whether seconds may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampStandard {
    /// `2025-06-15 15:06:00`
    #[default]
    Sql,
    /// `2025-06-15T15:06:00`
    Iso8601,
}

/// A point in time without a zone: seconds since 1970-01-01 00:00:00 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl DateTime {
    /// In units of which a second has `per_second` (a power of ten up to 10^9); `None` if that
    /// overflows.
    pub fn to_units(self, per_second: i64) -> Option<i64> {
        let fraction = i64::from(self.nanos) / (1_000_000_000 / per_second);
        self.seconds.checked_mul(per_second)?.checked_add(fraction)
    }

    /// From units of which a second has `per_second` (a power of ten up to 10^9).
    pub fn from_units(value: i64, per_second: i64) -> Self {
        let fraction = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
        Self {
            seconds: value.div_euclid(per_second),
            nanos: u32::try_from(fraction).expect("less than a second"),
        }
    }
}

/// Days since 1970-01-01 of `2025-06-15`.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    let mut scanner = Scanner(text);
    let days = scanner.date()?;
    scanner.0.is_empty().then_some(days)
}

/// Milliseconds since midnight of `15:06:00.5`.
pub fn parse_time(text: &[u8]) -> Option<i32> {
    let mut scanner = Scanner(text);
    let (seconds, nanos) = scanner.time(TimestampStandard::Sql)?;
    let ms = i64::from(nanos / 1_000_000) + seconds * 1_000;
    scanner.0.is_empty().then(|| i32::try_from(ms).ok())?
}

/// A timestamp without zone.
pub fn parse_timestamp(text: &[u8], standard: TimestampStandard) -> Option<DateTime> {
    let mut scanner = Scanner(text);
    let timestamp = scanner.timestamp(standard)?;
    scanner.0.is_empty().then_some(timestamp)
}

/// A point in time: a timestamp in UTC, with or without `Z`, or with an offset such as `+02:00`.
pub fn parse_timestamp_ltz(text: &[u8], standard: TimestampStandard) -> Option<DateTime> {
    let mut scanner = Scanner(text);
    let mut timestamp = scanner.timestamp(standard)?;
    timestamp.seconds -= scanner.zone()?;
    scanner.0.is_empty().then_some(timestamp)
}

struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let mut value = 0;
        for byte in number {
            value = value * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        self.0 = rest;
        Some(value)
    }

    fn up_to(&mut self, digits: usize, max: i64) -> Option<i64> {
        self.number(digits).filter(|value| *value <= max)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn date(&mut self) -> Option<i32> {
        let year = self.number(4)?;
        self.expect(b'-')?;
        let month = self.up_to(2, 12)?;
        self.expect(b'-')?;
        let day = self.up_to(2, 31)?;
        let days = days_of(year, month, day);
        // A day that the month does not have comes back as another date.
        (civil(days) == (year, month, day)).then(|| i32::try_from(days).ok())?
    }

    /// Seconds since midnight, and nanoseconds.
    fn time(&mut self, standard: TimestampStandard) -> Option<(i64, u32)> {
        let hour = self.up_to(2, 23)?;
        self.expect(b':')?;
        let minute = self.up_to(2, 59)?;
        if standard == TimestampStandard::Iso8601 && self.0.first() != Some(&b':') {
            return Some((hour * 3_600 + minute * 60, 0));
        }
        self.expect(b':')?;
        let second = self.up_to(2, 59)?;
        let nanos = if self.eat(b'.') { self.fraction()? } else { 0 };
        Some((hour * 3_600 + minute * 60 + second, nanos))
    }

    fn fraction(&mut self) -> Option<u32> {
        let digits = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let value = u32::try_from(self.number(digits)?).ok()?;
        Some(value * 10_u32.pow(9 - u32::try_from(digits).ok()?))
    }

    fn timestamp(&mut self, standard: TimestampStandard) -> Option<DateTime> {
        let days = self.date()?;
        self.expect(match standard {
            TimestampStandard::Sql => b' ',
            TimestampStandard::Iso8601 => b'T',
        })?;
        let (seconds, nanos) = self.time(standard)?;
        let seconds = i64::from(days) * (DAY_MS / 1_000) + seconds;
        Some(DateTime { seconds, nanos })
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        let sign = match self.0.first() {
            None => return Some(0),
            Some(b'Z') => {
                self.0 = &self.0[1..];
                return Some(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.up_to(2, 18)?;
        self.expect(b':')?;
        let minutes = self.up_to(2, 59)?;
        Some(sign * (hours * 3_600 + minutes * 60))
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of days since 1970-01-01. Source: as above, `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Appends `2025-06-15`.
pub fn write_date(days: i32, out: &mut Vec<u8>) {
    write_civil(i64::from(days), out);
}

/// Appends `15:06:00.5`; `ms` since midnight.
pub fn write_time(ms: i32, out: &mut Vec<u8>) {
    let time = DateTime::from_units(i64::from(ms), 1_000);
    write_clock(time.seconds.rem_euclid(DAY_MS / 1_000), time.nanos, out);
}

/// Appends `2025-06-15 15:06:00.5`, or with a `T` between.
pub fn write_timestamp(time: DateTime, standard: TimestampStandard, out: &mut Vec<u8>) {
    let day = DAY_MS / 1_000;
    write_civil(time.seconds.div_euclid(day), out);
    out.push(match standard {
        TimestampStandard::Sql => b' ',
        TimestampStandard::Iso8601 => b'T',
    });
    write_clock(time.seconds.rem_euclid(day), time.nanos, out);
}

fn write_civil(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        write_two(year / 100, out);
        write_two(year % 100, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(year.unsigned_abs());
        out.extend(std::iter::repeat_n(
            b'0',
            4_usize.saturating_sub(digits.len()),
        ));
        out.extend_from_slice(digits.as_bytes());
    }
    out.push(b'-');
    write_two(month, out);
    out.push(b'-');
    write_two(day, out);
}

fn write_clock(seconds: i64, nanos: u32, out: &mut Vec<u8>) {
    write_two(seconds / 3_600, out);
    out.push(b':');
    write_two(seconds / 60 % 60, out);
    out.push(b':');
    write_two(seconds % 60, out);
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    let mut rest = nanos;
    let mut unit = 100_000_000;
    while rest > 0 {
        out.push(digit(i64::from(rest / unit)));
        rest %= unit;
        unit /= 10;
    }
}

fn write_two(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(value / 10), digit(value % 10)]);
}

fn digit(value: i64) -> u8 {
    b'0' + u8::try_from(value).expect("a digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = vec![];
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_agree_with_chrono() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-719_528..2_932_896).step_by(97).chain([0, -1, 19_523, 59]) {
            let date = epoch + chrono::Duration::days(i64::from(days));
            let expected = date.format("%Y-%m-%d").to_string();
            assert_eq!(text(|out| write_date(days, out)), expected);
            assert_eq!(parse_date(expected.as_bytes()), Some(days));
        }
        for bad in [
            "2025-02-29",
            "2025-13-01",
            "2025-00-01",
            "2025-01-00",
            "2025-1-1",
            "",
            "2025-06-31",
            "2025-06-15 ",
            "20250615",
            "+2025-06-15",
        ] {
            assert_eq!(parse_date(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(text(|out| write_date(i32::MAX, out)), "+5881580-07-11");
        assert_eq!(text(|out| write_date(-719_529, out)), "-0001-12-31");
    }

    #[test]
    fn timestamps_lose_only_trailing_zeros() {
        let sql = TimestampStandard::Sql;
        for (input, ms, output) in [
            (
                "2025-06-15 15:57:13.590",
                1_750_003_033_590,
                "2025-06-15 15:57:13.59",
            ),
            (
                "2025-06-15 15:06:00",
                1_749_999_960_000,
                "2025-06-15 15:06:00",
            ),
            ("1969-12-31 23:59:59.999", -1, "1969-12-31 23:59:59.999"),
            ("1969-12-31 23:59:59.9999", -1, "1969-12-31 23:59:59.999"),
            ("1970-01-01 00:00:00.001", 1, "1970-01-01 00:00:00.001"),
        ] {
            let time = parse_timestamp(input.as_bytes(), sql).unwrap();
            assert_eq!(time.to_units(1_000), Some(ms), "{input}");
            let time = DateTime::from_units(ms, 1_000);
            assert_eq!(text(|out| write_timestamp(time, sql, out)), output);
        }
    }

    #[test]
    fn zones_and_standards() {
        let ltz = |text: &str, standard| {
            parse_timestamp_ltz(text.as_bytes(), standard).map(|time| time.seconds)
        };
        let (sql, iso) = (TimestampStandard::Sql, TimestampStandard::Iso8601);
        assert_eq!(ltz("1970-01-01 00:00:01", sql), Some(1));
        assert_eq!(ltz("1970-01-01 00:00:01Z", sql), Some(1));
        assert_eq!(ltz("1970-01-01T02:00:01.5+02:00", iso), Some(1));
        assert_eq!(ltz("1970-01-01T00:00-01:30", iso), Some(5_400));
        assert_eq!(ltz("1970-01-01T00:00:01Z", sql), None);
        assert_eq!(ltz("1970-01-01 00:00:01Z", iso), None);
        assert_eq!(ltz("1970-01-01 00:00", sql), None);
        assert_eq!(ltz("1970-01-01 00:00:01X", sql), None);
        assert_eq!(ltz("1970-01-01 24:00:00", sql), None);
        assert_eq!(ltz("1970-01-01 00:00:60", sql), None);
        assert_eq!(ltz("1970-01-01 00:00:00.", sql), None);
        assert_eq!(ltz("1970-01-01 00:00:00.1234567890", sql), None);
        assert_eq!(parse_timestamp(b"1970-01-01 00:00:01Z", sql), None);
        let far = parse_timestamp(b"9999-12-31 23:59:59", sql).unwrap();
        assert_eq!(far.to_units(1_000_000_000), None);
    }

    #[test]
    fn times() {
        assert_eq!(parse_time(b"15:06:00.5"), Some(54_360_500));
        assert_eq!(parse_time(b"15:06"), None);
        assert_eq!(text(|out| write_time(54_360_500, out)), "15:06:00.5");
        assert_eq!(text(|out| write_time(0, out)), "00:00:00");
    }
}
