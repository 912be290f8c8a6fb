//! Time zones by the names that Java's `TimeZone.getTimeZone` knows: `UTC`, `Europe/Berlin`, `PST`,
//! `GMT-08:00`. A name that it does not know is GMT there; here it is an error.

use arrow::array::timezone::Tz;

use crate::{Error, Result};

/// Java's short names. Source: `java.time.ZoneId.SHORT_IDS`.
const SHORT: &[(&str, &str)] = &[
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "-05:00"),
    ("HST", "-10:00"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "-07:00"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("Z", "+00:00"),
];

/// The zone called `name`.
///
/// # Errors
/// There is none.
pub fn parse(name: &str) -> Result<Tz> {
    let unknown = || {
        let expected = "expected a name such as `UTC`, `Europe/Berlin` or `GMT+01:00`";
        Error::invalid(format!("unknown time zone `{name}`, {expected}"))
    };
    let short = SHORT.iter().find(|(short, _)| *short == name);
    let full = short.map_or(name, |(_, full)| full);
    let custom = ["GMT", "UTC", ""];
    let offset = custom.iter().find_map(|prefix| {
        let rest = full.strip_prefix(prefix)?;
        rest.starts_with(['+', '-']).then(|| offset(rest))
    });
    match offset {
        Some(offset) => offset.and_then(|offset| offset.parse().ok()),
        None => full.parse().ok(),
    }
    .ok_or_else(unknown)
}

/// `+8`, `-08`, `+0830` and `+08:30` as `+08:30`.
fn offset(text: &str) -> Option<String> {
    let (sign, digits) = text.split_at(1);
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "00"),
    };
    let number = |text: &str, most: u32| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number: u32 = text.parse().ok().filter(|_| digits)?;
        (number <= most).then_some(number)
    };
    let (hours, minutes) = (number(hours, 23)?, number(minutes, 59)?);
    Some(format!("{sign}{hours:02}:{minutes:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_java() {
        for name in [
            "UTC",
            "GMT",
            "Z",
            "Europe/Berlin",
            "America/Los_Angeles",
            "PST",
            "EST",
            "CET",
            "GMT-08:00",
            "GMT+8",
            "GMT+0830",
            "UTC+01:00",
            "+08:00",
            "-8",
        ] {
            assert!(parse(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "Europe/Berlint",
            "GMT+25",
            "GMT+8:3",
            "GMT+08:60",
            "+",
            "XYZ",
            "GMT+é1",
        ] {
            assert!(parse(name).is_err(), "{name}");
        }
        assert_eq!(
            parse("Mars").unwrap_err().to_string(),
            "unknown time zone `Mars`, expected a name such as `UTC`, `Europe/Berlin` or `GMT+01:00`"
        );
    }
}
