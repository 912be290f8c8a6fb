//! Functions on dates and times, in UTC.

mod zone;

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, PrimitiveArray, TimestampMillisecondArray};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};
use millstream_core::types::{TIME_ZONE, timestamp, timestamp_ltz};
use millstream_core::{Error, Result};

use super::args::{Args, Instants, Kernel, Numbers, ticks_per_second};
use super::args::{build_booleans, build_numbers, build_texts};
use super::calendar::{Date, Instant, SECONDS_PER_DAY, iso_weekday};
use super::definition::{Body, Call, ConstantText, Function, Kind, Params, Returns};
use super::math::Rounding;
use super::pattern::Pattern;
use super::text::plain;
use super::timestamp::parse_timestamp;

/// Flink's bounds for a time that comes from a number: the years 0000 to 9999.
pub(super) const MILLIS_MIN: i64 = -62_167_219_200_000;
pub(super) const MILLIS_MAX: i64 = 253_402_300_799_999;
const DEFAULT_FORMAT: &str = "yyyy-MM-dd HH:mm:ss";

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Long, Text, Time};
    use Returns as R;
    const ONE: (&[Kind], usize, usize) = (&[Time], 1, 1);
    let ltz = R::By(|_| Ok(timestamp_ltz(3)));
    let ts = R::By(|_| Ok(timestamp(3)));
    let date = R::By(|_| Ok(DataType::Date32));
    let diff = (&[Text, Time][..], 3, 3);
    vec![
        plain("TO_TIMESTAMP_LTZ", (&[Long], 1, 2), ltz, to_timestamp_ltz),
        prepared(
            "TEXT_TO_TIMESTAMP_LTZ",
            (&[Text], 1, 3),
            ltz,
            zone::to_timestamp_ltz,
        ),
        prepared("CONVERT_TZ", (&[Text], 3, 3), R::Text, zone::convert_tz),
        plain("OVERLAPS", (&[Time], 4, 4), R::Boolean, overlaps),
        prepared("TO_TIMESTAMP", (&[Text], 1, 2), ts, to_timestamp),
        prepared("TO_DATE", (&[Text], 1, 2), date, to_date),
        prepared("UNIX_TIMESTAMP", (&[Text], 1, 2), R::Long, unix_timestamp),
        prepared("DATE_FORMAT", (&[Time, Text], 2, 2), R::Text, date_format),
        prepared(
            "FROM_UNIXTIME",
            (&[Long, Text], 1, 2),
            R::Text,
            from_unixtime,
        ),
        plain("YEAR", ONE, R::Long, |a| field(a, |i| i.date().year)),
        plain("QUARTER", ONE, R::Long, |a| {
            field(a, |i| i.date().quarter())
        }),
        plain("MONTH", ONE, R::Long, |a| {
            field(a, |i| i64::from(i.date().month))
        }),
        plain("WEEK", ONE, R::Long, |a| field(a, |i| i.date().iso_week())),
        plain("DAYOFMONTH", ONE, R::Long, |a| {
            field(a, |i| i64::from(i.date().day))
        }),
        plain("DAYOFYEAR", ONE, R::Long, |a| {
            field(a, |i| i.date().day_of_year())
        }),
        plain("DAYOFWEEK", ONE, R::Long, |a| {
            field(a, |i| iso_weekday(i.day()) % 7 + 1)
        }),
        plain("HOUR", ONE, R::Long, |a| {
            field(a, |i| i.second_of_day() / 3_600)
        }),
        plain("MINUTE", ONE, R::Long, |a| {
            field(a, |i| i.second_of_day() / 60 % 60)
        }),
        plain("SECOND", ONE, R::Long, |a| {
            field(a, |i| i.second_of_day() % 60)
        }),
        prepared("FLOOR_TO", (&[Time, Text], 2, 2), R::Same(0), |call| {
            round_to_unit(call, Rounding::Down)
        }),
        prepared("CEIL_TO", (&[Time, Text], 2, 2), R::Same(0), |call| {
            round_to_unit(call, Rounding::Up)
        }),
        prepared("TIMESTAMPDIFF", diff, R::Int, timestamp_diff),
        prepared(
            "TIMESTAMPADD",
            (&[Text, Long, Time], 3, 3),
            R::Same(2),
            timestamp_add,
        ),
    ]
}

fn prepared(
    name: &'static str,
    params: (&'static [Kind], usize, usize),
    returns: Returns,
    prepare: fn(&Call<'_>) -> Result<Kernel>,
) -> Function {
    let (kinds, least, most) = params;
    Function {
        name,
        params: Params { kinds, least, most },
        returns,
        body: Body::Prepared(prepare),
    }
}

/// `OVERLAPS(from, to, from, to)`: whether two spans of time have a moment in common, ends included;
/// either end may be the earlier one, and the other end may be an interval.
fn overlaps(args: &Args<'_>) -> Result<ArrayRef> {
    let (first, second) = (Span::new(args, 0)?, Span::new(args, 2)?);
    Ok(build_booleans(args.rows, |row| {
        let (first, second) = (first.get(row)?, second.get(row)?);
        Some(second.1 >= first.0 && first.1 >= second.0)
    }))
}

/// Two arguments of OVERLAPS: where a span begins, and where it ends or how long it is.
struct Span {
    from: Instants,
    to: std::result::Result<Instants, Numbers<Int64Type>>,
    /// Of times of day, which go round at midnight.
    is_clock: bool,
}

impl Span {
    fn new(args: &Args<'_>, index: usize) -> Result<Self> {
        let is_interval = matches!(args.values[index + 1].data_type(), DataType::Duration(_));
        Ok(Self {
            from: args.instants(index)?,
            to: match is_interval {
                true => Err(args.longs(index + 1)?),
                false => Ok(args.instants(index + 1)?),
            },
            is_clock: matches!(args.values[index].data_type(), DataType::Time32(_)),
        })
    }

    /// The earlier end and the later one.
    fn get(&self, row: usize) -> Option<(Instant, Instant)> {
        let from = self.from.get(row)?;
        let mut to = match &self.to {
            Ok(times) => times.get(row)?,
            Err(lengths) => Unit::Millis(1).add(lengths.get(row)?, from)?,
        };
        if self.is_clock {
            to.seconds = to.second_of_day();
        }
        Some((from.min(to), from.max(to)))
    }
}

fn field(args: &Args<'_>, each: impl Fn(Instant) -> i64) -> Result<ArrayRef> {
    let input = args.instants(0)?;
    Ok(build_numbers::<Int64Type>(args.rows, |row| {
        Some(each(input.get(row)?))
    }))
}

/// `TO_TIMESTAMP_LTZ(number[, precision])`: precision 0 takes seconds, 3 (the default)
/// milliseconds; null outside of the years 0000 to 9999.
fn to_timestamp_ltz(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.longs(0)?;
    let precisions = match args.len() {
        1 => Numbers::One(Some(3)),
        _ => args.longs(1)?,
    };
    let in_range = |ms: &i64| (MILLIS_MIN..=MILLIS_MAX).contains(ms);
    if let (Numbers::Many(array), Numbers::One(Some(3))) = (&input, &precisions)
        && array.values().iter().all(in_range)
    {
        // PERF: event time comes this way for each row; the numbers stay where they are.
        let array = array.reinterpret_cast::<TimestampMillisecondType>();
        return Ok(Arc::new(array.with_timezone(TIME_ZONE)));
    }
    let mut wrong = None;
    let values = (0..args.rows).map(|row| {
        let (value, precision) = (input.get(row)?, precisions.get(row)?);
        let ms = match precision {
            0 => value.checked_mul(1_000)?,
            3 => value,
            other => {
                wrong = Some(other);
                return None;
            }
        };
        Some(ms).filter(in_range)
    });
    let result: TimestampMillisecondArray = values.collect();
    match wrong {
        Some(precision) => Err(Error::invalid(format!(
            "`TO_TIMESTAMP_LTZ`: found precision {precision}, expected 0 or 3"
        ))),
        None => Ok(Arc::new(result.with_timezone(TIME_ZONE))),
    }
}

/// The date pattern of each row.
pub(super) enum Patterns {
    Constant(Option<Pattern>),
    /// From this argument.
    PerRow(usize),
}

impl Patterns {
    pub(super) fn new(call: &Call<'_>, index: usize) -> Result<Self> {
        Ok(match call.text(index) {
            ConstantText::Is(pattern) => Self::Constant(Some(Pattern::new(&pattern)?)),
            ConstantText::Null => Self::Constant(None),
            ConstantText::Varies if index < call.constants.len() => Self::PerRow(index),
            ConstantText::Varies => Self::Constant(Some(Pattern::new(DEFAULT_FORMAT)?)),
        })
    }

    /// A way to get a row's pattern where it varies; none if it is null or wrong.
    pub(super) fn resolve(
        &self,
        args: &Args<'_>,
    ) -> Result<impl FnMut(usize) -> Option<Pattern> + use<'_>> {
        let texts = match self {
            Self::Constant(_) => None,
            Self::PerRow(index) => Some(args.texts(*index)?),
        };
        let mut last: Option<(String, Option<Pattern>)> = None;
        Ok(move |row| {
            let text = texts.as_ref()?.get(row)?;
            if last.as_ref().is_none_or(|(previous, _)| previous != text) {
                last = Some((text.to_owned(), Pattern::new(text).ok()));
            }
            last.as_ref()?.1.clone()
        })
    }
}

/// A column of texts, each written by its row's pattern.
fn format_all(
    args: &Args<'_>,
    patterns: &Patterns,
    instant: impl Fn(usize) -> Option<Instant>,
) -> Result<ArrayRef> {
    let mut per_row = patterns.resolve(args)?;
    Ok(build_texts(args.rows, |row, out| {
        let instant = instant(row)?;
        match patterns {
            Patterns::Constant(pattern) => pattern.as_ref()?.format(instant, out),
            Patterns::PerRow(_) => per_row(row)?.format(instant, out),
        }
        Some(())
    }))
}

fn date_format(call: &Call<'_>) -> Result<Kernel> {
    let patterns = Patterns::new(call, 1)?;
    Ok(Arc::new(move |args| {
        let input = args.instants(0)?;
        format_all(args, &patterns, |row| input.get(row))
    }))
}

fn from_unixtime(call: &Call<'_>) -> Result<Kernel> {
    let patterns = Patterns::new(call, 1)?;
    Ok(Arc::new(move |args| {
        let input = args.longs(0)?;
        format_all(args, &patterns, |row| {
            let seconds = input.get(row)?;
            // Further out than a timestamp can hold there is no calendar.
            let real = seconds.checked_mul(1_000).is_some();
            real.then(|| Instant::from_seconds(seconds))
        })
    }))
}

/// `TO_TIMESTAMP(text[, pattern])`: null if the text is no such time.
fn to_timestamp(call: &Call<'_>) -> Result<Kernel> {
    let patterns = match call.constants.len() {
        1 => None,
        _ => Some(Patterns::new(call, 1)?),
    };
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        let mut per_row = patterns.as_ref().map(|it| it.resolve(args)).transpose()?;
        let values = (0..args.rows).map(|row| {
            let text = input.get(row)?;
            let instant = match (&patterns, &mut per_row) {
                (Some(Patterns::Constant(pattern)), _) => pattern.as_ref()?.parse(text),
                (Some(Patterns::PerRow(_)), Some(pattern)) => pattern(row)?.parse(text),
                _ => parse_timestamp(text),
            };
            instant?.ticks(1_000)
        });
        Ok(Arc::new(values.collect::<TimestampMillisecondArray>()))
    }))
}

/// `TO_DATE(text[, pattern])`: null if the text is no such date.
fn to_date(call: &Call<'_>) -> Result<Kernel> {
    parsed(call, 10, |args, instant| {
        let days = (0..args.rows).map(|row| i32::try_from(instant(row)?.day()).ok());
        Arc::new(days.collect::<Date32Array>())
    })
}

/// `UNIX_TIMESTAMP(text[, pattern])`: seconds since 1970; the least BIGINT if the text is no such time,
/// as in Flink.
fn unix_timestamp(call: &Call<'_>) -> Result<Kernel> {
    let reading = parsed(call, usize::MAX, |args, instant| {
        let seconds = (0..args.rows).map(|row| Some(instant(row).map_or(i64::MIN, |i| i.seconds)));
        Arc::new(seconds.collect::<Int64Array>())
    })?;
    Ok(Arc::new(move |args| {
        let input = args.full_array(0)?;
        let missing = arrow::compute::is_null(&input)?;
        Ok(nullif(&reading(args)?, &missing)?)
    }))
}

/// A kernel that reads texts, by a pattern if there is one, else the first `width` bytes in the usual
/// form.
fn parsed(
    call: &Call<'_>,
    width: usize,
    build: fn(&Args<'_>, &mut dyn FnMut(usize) -> Option<Instant>) -> ArrayRef,
) -> Result<Kernel> {
    let patterns = match call.constants.len() {
        1 => None,
        _ => Some(Patterns::new(call, 1)?),
    };
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        let mut per_row = patterns.as_ref().map(|it| it.resolve(args)).transpose()?;
        let mut instant = |row: usize| {
            let text = input.get(row)?;
            match (&patterns, &mut per_row) {
                (Some(Patterns::Constant(pattern)), _) => pattern.as_ref()?.parse(text),
                (Some(Patterns::PerRow(_)), Some(pattern)) => pattern(row)?.parse(text),
                _ => parse_timestamp(text.get(..width).unwrap_or(text)),
            }
        };
        Ok(build(args, &mut instant))
    }))
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Months(i64),
    Week,
    Millis(i64),
}

impl Unit {
    /// The unit that constant argument `index` names.
    fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        let ConstantText::Is(name) = call.text(index) else {
            return Err(Error::invalid("expected a constant unit such as `MINUTE`"));
        };
        Ok(match name.to_uppercase().as_str() {
            "YEAR" => Self::Months(12),
            "QUARTER" => Self::Months(3),
            "MONTH" => Self::Months(1),
            "WEEK" => Self::Week,
            "DAY" => Self::Millis(SECONDS_PER_DAY * 1_000),
            "HOUR" => Self::Millis(3_600_000),
            "MINUTE" => Self::Millis(60_000),
            "SECOND" => Self::Millis(1_000),
            "MILLISECOND" => Self::Millis(1),
            _ => {
                let expected = "YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE or SECOND";
                let message = format!("found unit `{name}`, expected {expected}");
                return Err(Error::invalid(message));
            }
        })
    }

    /// The start of the unit that `instant` is in. Weeks start on Sunday, as in Flink.
    fn floor(self, instant: Instant) -> Instant {
        let days = |days: i64| Instant::from_seconds(days * SECONDS_PER_DAY);
        match self {
            Self::Months(count) => {
                let date = instant.date();
                let month = i64::from(date.month) - 1;
                let start = Date { day: 1, ..date }.plus_months(-(month % count));
                days(start.days())
            }
            Self::Week => days(instant.day() - iso_weekday(instant.day()) % 7),
            Self::Millis(length) => {
                let ms = instant.millis();
                Instant::from_ticks(ms - ms.rem_euclid(length), 1_000)
            }
        }
    }

    /// `count` units later.
    fn add(self, count: i64, instant: Instant) -> Option<Instant> {
        let millis = match self {
            Self::Months(each) => {
                let months = count.checked_mul(each)?;
                // A million years either way is further than any timestamp reaches.
                let in_reach = (-12_000_000..=12_000_000).contains(&months);
                let date = in_reach.then(|| instant.date().plus_months(months))?;
                let seconds = date.days() * SECONDS_PER_DAY + instant.second_of_day();
                return Some(Instant { seconds, ..instant });
            }
            Self::Week => count.checked_mul(7 * SECONDS_PER_DAY * 1_000)?,
            Self::Millis(length) => count.checked_mul(length)?,
        };
        let nanos = i64::from(instant.nanos) + millis.rem_euclid(1_000) * 1_000_000;
        let seconds = instant.seconds.checked_add(millis.div_euclid(1_000))?;
        Some(Instant {
            seconds: seconds.checked_add(nanos / 1_000_000_000)?,
            nanos: u32::try_from(nanos % 1_000_000_000).ok()?,
        })
    }

    /// How many whole units lie between, negative if `to` is earlier.
    fn between(self, from: Instant, to: Instant) -> i64 {
        let millis = to.millis().saturating_sub(from.millis());
        match self {
            Self::Millis(length) => millis / length,
            Self::Week => millis / (7 * SECONDS_PER_DAY * 1_000),
            Self::Months(each) if to < from => -Self::Months(each).between(to, from),
            Self::Months(each) => {
                let (start, end) = (from.date(), to.date());
                let month = |date: Date| date.year * 12 + i64::from(date.month);
                let mut months = month(end) - month(start);
                let reached = Self::Months(1).add(months, from);
                if reached.is_none_or(|reached| reached > to) {
                    months -= 1;
                }
                months / each
            }
        }
    }
}

/// A column of the result type from points in time.
fn build_times(args: &Args<'_>, each: impl Fn(usize) -> Option<Instant>) -> Result<ArrayRef> {
    let ticks: PrimitiveArray<Int64Type> = match args.return_type {
        DataType::Date32 => (0..args.rows).map(|row| Some(each(row)?.day())).collect(),
        DataType::Timestamp(unit, _) => {
            let per_second = ticks_per_second(*unit);
            let rows = 0..args.rows;
            rows.map(|row| each(row)?.ticks(per_second)).collect()
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let day = SECONDS_PER_DAY * 1_000;
            let rows = 0..args.rows;
            rows.map(|row| Some(each(row)?.millis().rem_euclid(day)))
                .collect()
        }
        other => {
            let message = format!("found {other}, expected a date or time");
            return Err(Error::invalid(message));
        }
    };
    let narrow = match args.return_type {
        DataType::Timestamp(..) => DataType::Int64,
        _ => DataType::Int32,
    };
    let ticks = arrow::compute::cast(&ticks, &narrow)?;
    Ok(arrow::compute::cast(&ticks, args.return_type)?)
}

/// `FLOOR(time TO unit)`, `CEIL(time TO unit)`.
fn round_to_unit(call: &Call<'_>, rounding: Rounding) -> Result<Kernel> {
    let unit = Unit::of(call, 1)?;
    Ok(Arc::new(move |args| {
        let input = args.instants(0)?;
        build_times(args, |row| {
            let instant = input.get(row)?;
            let floor = unit.floor(instant);
            match rounding {
                Rounding::Up if floor < instant => unit.add(1, floor),
                _ => Some(floor),
            }
        })
    }))
}

fn timestamp_add(call: &Call<'_>) -> Result<Kernel> {
    let unit = Unit::of(call, 0)?;
    Ok(Arc::new(move |args| {
        let (counts, input) = (args.longs(1)?, args.instants(2)?);
        build_times(args, |row| unit.add(counts.get(row)?, input.get(row)?))
    }))
}

/// `TIMESTAMPDIFF(unit, from, to)`; null if it does not fit an INT.
fn timestamp_diff(call: &Call<'_>) -> Result<Kernel> {
    let unit = Unit::of(call, 0)?;
    Ok(Arc::new(move |args| {
        let (from, to) = (args.instants(1)?, args.instants(2)?);
        Ok(build_numbers::<Int32Type>(args.rows, |row| {
            i32::try_from(unit.between(from.get(row)?, to.get(row)?)).ok()
        }))
    }))
}
