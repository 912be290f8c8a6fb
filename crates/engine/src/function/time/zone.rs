//! Functions that read or write times in a time zone ([`millstream_core::pattern::zone`]).

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, TimestampMillisecondArray};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use millstream_core::Result;
use millstream_core::pattern::zone;
use millstream_core::types::TIME_ZONE;

use super::{MILLIS_MAX, MILLIS_MIN, Patterns};
use crate::function::args::{Args, Kernel, Texts, build_texts};
use crate::function::calendar::Instant;
use crate::function::definition::{Call, ConstantText};
use crate::function::timestamp::{parse_timestamp, write_timestamp};

/// The zone of each row.
enum Zones {
    Constant(Option<Tz>),
    /// From this argument.
    PerRow(usize),
}

impl Zones {
    fn new(call: &Call<'_>, index: usize) -> Result<Self> {
        Ok(match call.text(index) {
            ConstantText::Is(name) => Self::Constant(Some(zone::parse(&name)?)),
            ConstantText::Null => Self::Constant(None),
            ConstantText::Varies => Self::PerRow(index),
        })
    }

    /// A way to get a row's zone; none if it is null or unknown.
    fn resolve(&self, args: &Args<'_>) -> Result<impl FnMut(usize) -> Option<Tz> + use<>> {
        let (constant, names) = match self {
            Self::Constant(zone) => (*zone, Texts::One(None)),
            Self::PerRow(index) => (None, args.texts(*index)?),
        };
        let mut last: Option<(String, Option<Tz>)> = None;
        Ok(move |row| {
            if constant.is_some() {
                return constant;
            }
            let name = names.get(row)?;
            if last.as_ref().is_none_or(|(known, _)| known != name) {
                last = Some((name.to_owned(), zone::parse(name).ok()));
            }
            last.as_ref()?.1
        })
    }
}

/// The moment at which clocks in the zone show `local`; where they are put forward, as if they had not
/// been. Where they are put back there are two: Java's older classes take the later one (`is_late`), its
/// newer ones the earlier.
fn moment(local: Instant, zone: Tz, is_late: bool) -> Option<Instant> {
    let shown = naive(local)?;
    let offset = match zone.offset_from_local_datetime(&shown) {
        LocalResult::Single(offset) => offset,
        LocalResult::Ambiguous(earlier, later) => match is_late {
            true => later,
            false => earlier,
        },
        LocalResult::None => {
            let before = shown.checked_sub_signed(TimeDelta::days(1))?;
            zone.offset_from_local_datetime(&before).earliest()?
        }
    };
    let seconds = local.seconds - i64::from(offset.fix().local_minus_utc());
    Some(Instant { seconds, ..local })
}

/// What clocks in the zone show at `moment`.
fn local(moment: Instant, zone: Tz) -> Option<Instant> {
    let offset = zone.offset_from_utc_datetime(&naive(moment)?);
    let seconds = moment.seconds + i64::from(offset.fix().local_minus_utc());
    Some(Instant { seconds, ..moment })
}

fn naive(instant: Instant) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(instant.seconds, instant.nanos).map(|time| time.naive_utc())
}

/// `CONVERT_TZ(text, from zone, to zone)`: `yyyy-MM-dd HH:mm:ss` in the other zone.
pub(super) fn convert_tz(call: &Call<'_>) -> Result<Kernel> {
    let (from, to) = (Zones::new(call, 1)?, Zones::new(call, 2)?);
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        let (mut from, mut to) = (from.resolve(args)?, to.resolve(args)?);
        Ok(build_texts(args.rows, |row, out| {
            let text = input.get(row).filter(|text| text.contains(' '))?;
            let moment = moment(parse_timestamp(text)?, from(row)?, true)?;
            let shown = local(moment, to(row)?)?;
            write_timestamp(Instant { nanos: 0, ..shown }, 0, out);
            Some(())
        }))
    }))
}

/// `TO_TIMESTAMP_LTZ(text[, format[, zone]])`: null if the text is no such time.
pub(super) fn to_timestamp_ltz(call: &Call<'_>) -> Result<Kernel> {
    let count = call.constants.len();
    let patterns = (count > 1).then(|| Patterns::new(call, 1)).transpose()?;
    let zones = (count > 2).then(|| Zones::new(call, 2)).transpose()?;
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        let mut pattern = patterns.as_ref().map(|it| it.resolve(args)).transpose()?;
        let mut zone = zones.as_ref().map(|it| it.resolve(args)).transpose()?;
        let values = (0..args.rows).map(|row| {
            let text = input.get(row)?;
            let shown = match (&patterns, &mut pattern) {
                (Some(Patterns::Constant(pattern)), _) => pattern.as_ref()?.parse(text),
                (Some(Patterns::PerRow(_)), Some(pattern)) => pattern(row)?.parse(text),
                _ => parse_timestamp(text),
            };
            let at = match &mut zone {
                Some(zone) => moment(shown?, zone(row)?, false)?,
                None => shown?,
            };
            at.ticks(1_000)
                .filter(|ms| (MILLIS_MIN..=MILLIS_MAX).contains(ms))
        });
        let result: TimestampMillisecondArray = values.collect();
        Ok(Arc::new(result.with_timezone(TIME_ZONE)) as ArrayRef)
    }))
}
