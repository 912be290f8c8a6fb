//! JSON records, with the meaning that Flink's JSON format gives them.
//!
//! Decoding is one pass over the bytes, from `cursor` (the grammar) through `keys` (from a key
//! to its column) into `column`s; what no column needs is checked and stepped over. A record is
//! accepted if it is one JSON object and every value fits its column:
//!
//! | column | takes |
//! |---|---|
//! | any | `null`, or no such key: null |
//! | STRING | a string; a number or a boolean as written; an object or array as compact JSON |
//! | BOOLEAN | a boolean, or `"true"` and `"false"` in any case |
//! | TINYINT … BIGINT | a whole number in range (`1`, `1.0`, `1e3`, not `1.5`, which Flink cuts) |
//! | FLOAT, DOUBLE | a number in range, or `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | DECIMAL(p, s) | a number, exactly, rounded half up to s digits; p digits at most |
//! | all of these | also a string with such a number, white space around it |
//! | TIMESTAMP | `2025-06-15 15:06:00.123`, or with a `T` between if the option says ISO-8601 |
//! | TIMESTAMP_LTZ | the same, with or without `Z`, or with an offset such as `+02:00` |
//! | DATE, TIME | `2025-06-15`, `15:06:00.123` |
//! | BYTES | base64 |
//! | INTERVAL DAY TO SECOND | milliseconds |
//! | ROW, ARRAY, MAP<STRING, T> | an object, an array, an object |
//!
//! Of a key that comes twice the last value counts. What is JSON is what `serde_json` says:
//! numbers must fit a double, strings must be UTF-8 without lone surrogates, nesting goes 127
//! levels deep. Anything else rejects the record, which becomes a dead letter and changes no
//! column; so `json.ignore-parse-errors` is accepted and changes nothing.
//!
//! Encoding writes columns by name in order; nulls as null; timestamps as `2025-06-15 15:06:00`,
//! with a fraction only if it is not zero and a `Z` if they are TIMESTAMP_LTZ; DECIMAL as a plain
//! number; BYTES as base64; what is not a number as `"NaN"`.

mod cells;
mod column;
mod cursor;
mod decoder;
mod encoder;
mod escape;
mod keys;
mod nested;
mod number;
mod object;
#[cfg(test)]
mod tests;

use millstream_core::connector::{FormatInfo, OptionInfo, OptionKind};
use millstream_core::plan::ConnectorConfig;
use millstream_core::{Error, Result};

pub use self::decoder::JsonDecoder;
pub use self::encoder::JsonEncoder;
use crate::formats::temporal::TimestampStandard;

/// The value of `'format'`.
pub const NAME: &str = "json";

const IGNORE_PARSE_ERRORS: &str = "json.ignore-parse-errors";
const FAIL_ON_MISSING_FIELD: &str = "json.fail-on-missing-field";
const TIMESTAMP_FORMAT: &str = "json.timestamp-format.standard";

/// What SQL needs to know of the format.
pub const INFO: FormatInfo = FormatInfo {
    name: NAME,
    options: &[
        OptionInfo {
            key: IGNORE_PARSE_ERRORS,
            required: false,
            kind: OptionKind::Boolean,
            help: "changes nothing: undecodable records never stop a pipeline, they become dead \
                   letters",
        },
        OptionInfo {
            key: FAIL_ON_MISSING_FIELD,
            required: false,
            kind: OptionKind::Boolean,
            help: "whether a record that lacks a field is undecodable; by default the field is null",
        },
        OptionInfo {
            key: TIMESTAMP_FORMAT,
            required: false,
            kind: OptionKind::OneOf(&["SQL", "ISO-8601"]),
            help: "how timestamps are read: `2025-06-15 15:06:00` (SQL, the default) or \
                   `2025-06-15T15:06:00`",
        },
    ],
};

/// The `json.…` options that decoding depends on.
#[derive(Debug, Clone, Copy, Default)]
struct JsonOptions {
    fail_on_missing_field: bool,
    timestamps: TimestampStandard,
}

impl JsonOptions {
    fn from_config(config: &ConnectorConfig) -> Result<Self> {
        boolean(config, IGNORE_PARSE_ERRORS)?;
        let timestamps = match config.get(TIMESTAMP_FORMAT) {
            None => TimestampStandard::Sql,
            Some(text) if text.eq_ignore_ascii_case("SQL") => TimestampStandard::Sql,
            Some(text) if text.eq_ignore_ascii_case("ISO-8601") => TimestampStandard::Iso8601,
            Some(other) => {
                let message =
                    format!("`{TIMESTAMP_FORMAT}`: found `{other}`, expected `SQL` or `ISO-8601`");
                return Err(Error::of_option(TIMESTAMP_FORMAT, message));
            }
        };
        Ok(Self {
            fail_on_missing_field: boolean(config, FAIL_ON_MISSING_FIELD)?,
            timestamps,
        })
    }
}

fn boolean(config: &ConnectorConfig, key: &str) -> Result<bool> {
    match config.get(key) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(other) => {
            let message = format!("`{key}`: found `{other}`, expected `true` or `false`");
            Err(Error::of_option(key, message))
        }
    }
}

/// The unscaled value of a number written in text as `DECIMAL(precision, scale)`, rounded half up;
/// `None` if it is not a number or does not fit.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let number = number::in_string(text.as_bytes())?;
    number::to_decimal(number.text, precision, scale)
}
