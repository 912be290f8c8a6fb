//! Durations and sizes as users write them: `10s`, `5 min`, `64MiB`.

use crate::error::{Error, Result};

/// Milliseconds of a duration: a whole number and a unit as Flink takes them, with or without a
/// space between (`ms`, `s`, `min`, `h`, `d` and their long forms); a bare number is milliseconds.
///
/// ```
/// use millstream_core::quantity::duration_ms;
/// assert_eq!(duration_ms("10s").unwrap(), 10_000);
/// assert_eq!(duration_ms("5 min").unwrap(), 300_000);
/// assert!(duration_ms("5 parsecs").is_err());
/// ```
pub fn duration_ms(text: &str) -> Result<u64> {
    let (number, unit) = split(text);
    let scale = match unit.as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return Err(not_a("duration", text, "10s, 5 min, 1 h")),
    };
    scaled(&number, scale).ok_or_else(|| not_a("duration", text, "10s, 5 min, 1 h"))
}

/// Bytes of a size: a whole number and a unit (`b`, `kb`/`KiB`, `mb`/`MiB`, `gb`/`GiB`), each step
/// 1024 as in Flink; a bare number is bytes.
///
/// ```
/// use millstream_core::quantity::size_bytes;
/// assert_eq!(size_bytes("64MiB").unwrap(), 64 << 20);
/// ```
pub fn size_bytes(text: &str) -> Result<u64> {
    let (number, unit) = split(text);
    let scale = match unit.as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(not_a("size", text, "64MiB, 1 gb")),
    };
    scaled(&number, scale).ok_or_else(|| not_a("size", text, "64MiB, 1 gb"))
}

fn split(text: &str) -> (String, String) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit = text[end..].trim().to_ascii_lowercase();
    (text[..end].to_owned(), unit)
}

fn scaled(number: &str, scale: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(scale)
}

fn not_a(what: &str, text: &str, examples: &str) -> Error {
    Error::invalid(format!(
        "`{text}` is not a {what}; expected for example {examples}"
    ))
}
