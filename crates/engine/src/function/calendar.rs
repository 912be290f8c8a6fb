//! The proleptic Gregorian calendar in UTC, for any date that a timestamp can hold.
//!
//! Day numbers count from 1970-01-01. Source of the conversions: Howard Hinnant,
//! "chrono-Compatible Low-Level Date Algorithms".

/// Seconds in a day; UTC without leap seconds, as Java and Flink count.
pub(crate) const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time: whole seconds since 1970-01-01T00:00:00Z and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    /// Negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// A calendar date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    /// Astronomical year: 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

impl Instant {
    /// From whole seconds.
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// From ticks of which a second has `per_second` (at most 10^9).
    #[inline]
    pub fn from_ticks(ticks: i64, per_second: i64) -> Self {
        let rest = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
        Self {
            seconds: ticks.div_euclid(per_second),
            nanos: u32::try_from(rest).expect("less than a second"),
        }
    }

    /// In ticks of which a second has `per_second`, cut off below; none if out of range.
    pub fn ticks(self, per_second: i64) -> Option<i64> {
        let fraction = i64::from(self.nanos) / (1_000_000_000 / per_second);
        self.seconds.checked_mul(per_second)?.checked_add(fraction)
    }

    /// Milliseconds since the epoch, saturating.
    pub fn millis(self) -> i64 {
        self.seconds
            .saturating_mul(1_000)
            .saturating_add(i64::from(self.nanos) / 1_000_000)
    }

    /// Days since the epoch.
    pub fn day(self) -> i64 {
        self.seconds.div_euclid(SECONDS_PER_DAY)
    }

    /// Seconds since midnight.
    pub fn second_of_day(self) -> i64 {
        self.seconds.rem_euclid(SECONDS_PER_DAY)
    }

    /// The calendar date.
    pub fn date(self) -> Date {
        Date::from_days(self.day())
    }
}

impl Date {
    /// The date `days` after 1970-01-01.
    pub fn from_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = match month_from_march {
            0..=9 => month_from_march + 3,
            _ => month_from_march - 9,
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month: u32::try_from(month).expect("1 to 12"),
            day: u32::try_from(day).expect("1 to 31"),
        }
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = i64::from(self.month);
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The date, if there is such a day.
    pub fn valid(year: i64, month: u32, day: u32) -> Option<Self> {
        let real = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        real.then_some(Self { year, month, day })
    }

    /// `months` later (earlier if negative); a day that the month lacks becomes its last.
    pub fn plus_months(self, months: i64) -> Self {
        let total = self.year * 12 + i64::from(self.month) - 1 + months;
        let year = total.div_euclid(12);
        let month = u32::try_from(total.rem_euclid(12) + 1).expect("1 to 12");
        let day = self.day.min(days_in_month(year, month));
        Self { year, month, day }
    }

    /// 1 to 366.
    pub fn day_of_year(self) -> i64 {
        let first = Self {
            month: 1,
            day: 1,
            ..self
        };
        self.days() - first.days() + 1
    }

    /// 1 to 4.
    pub fn quarter(self) -> i64 {
        i64::from(self.month - 1) / 3 + 1
    }

    /// The ISO week, 1 to 53: weeks start on Monday, week 1 has the year's first Thursday.
    pub fn iso_week(self) -> i64 {
        let days = self.days();
        let thursday = days - (iso_weekday(days) - 1) + 3;
        (Self::from_days(thursday).day_of_year() - 1) / 7 + 1
    }
}

/// Monday is 1, Sunday is 7.
pub(crate) fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Number of days of a month.
pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree_with_chrono() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-800_000..800_000).step_by(37) {
            use chrono::Datelike;
            let expected = epoch + chrono::TimeDelta::days(days);
            let date = Date::from_days(days);
            assert_eq!(date.year, i64::from(expected.year()));
            assert_eq!((date.month, date.day), (expected.month(), expected.day()));
            assert_eq!(date.days(), days);
            assert_eq!(date.day_of_year(), i64::from(expected.ordinal()));
            assert_eq!(date.iso_week(), i64::from(expected.iso_week().week()));
            assert_eq!(
                iso_weekday(days),
                i64::from(expected.weekday().number_from_monday())
            );
        }
    }

    #[test]
    fn months_clamp_to_the_last_day() {
        let date = Date::valid(2024, 1, 31).unwrap();
        assert_eq!(date.plus_months(1), Date::valid(2024, 2, 29).unwrap());
        assert_eq!(date.plus_months(-2), Date::valid(2023, 11, 30).unwrap());
        assert_eq!(Date::valid(2023, 2, 29), None);
    }

    #[test]
    fn ticks_before_1970_round_down() {
        let instant = Instant::from_ticks(-1, 1_000);
        assert_eq!((instant.seconds, instant.nanos), (-1, 999_000_000));
        assert_eq!(instant.ticks(1_000), Some(-1));
    }
}
