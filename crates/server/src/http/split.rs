//! Cuts the body of a collector request into records, without copying a byte.
//!
//! - `application/json`: an object is one record; an array of objects is one record an element.
//!   The body must be JSON throughout, or nothing of it is taken.
//! - `application/x-ndjson`: a record a line; blank lines are skipped, a `\r` before the line's end
//!   is not part of it. Lines are not looked into: what is not JSON becomes a dead letter later.

use std::ops::Range;

use axum::body::Bytes;
use millstream_connectors::topic::RecordSet;
use serde_json::value::RawValue;

/// How a body is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// One JSON value.
    Json,
    /// A record a line.
    Lines,
}

impl BodyKind {
    /// From a `Content-Type`; the text is UTF-8.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !is_utf8(content_type) {
            return None;
        }
        match essence.to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/jsonl" => Some(Self::Lines),
            _ => None,
        }
    }
}

/// Whether the `charset` of a `Content-Type` is UTF-8 (which has ASCII in it), or not told.
pub fn is_utf8(content_type: &str) -> bool {
    let parameters = content_type.split(';').skip(1);
    let charsets = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    let known = ["utf-8", "utf8", "us-ascii"];
    charsets
        .into_iter()
        .all(|charset| known.contains(&&*charset))
}

/// The records of `body`, in order. `Err` says what is wrong with it.
pub fn split(kind: BodyKind, body: Bytes) -> Result<RecordSet, String> {
    if u32::try_from(body.len()).is_err() {
        return Err(format!(
            "the body has {} bytes, expected less than 4 GiB",
            body.len()
        ));
    }
    let records = match kind {
        BodyKind::Lines => RecordSet::from_lines(body),
        BodyKind::Json => json(&body).map(|ranges| RecordSet::new(body, ranges))?,
    };
    let records = records.map_err(|error| error.to_string())?;
    match records.is_empty() {
        true => Err("the body has no event".to_owned()),
        false => Ok(records),
    }
}

fn json(body: &[u8]) -> Result<Vec<Range<u32>>, String> {
    let not_json = |error: serde_json::Error| format!("the body is not JSON: {error}");
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let elements: Vec<&RawValue> = match first {
        Some(b'[') => serde_json::from_slice(body).map_err(not_json)?,
        Some(b'{') => vec![serde_json::from_slice(body).map_err(not_json)?],
        Some(_) => {
            serde_json::from_slice::<&RawValue>(body).map_err(not_json)?;
            return Err("the body is no event; expected a JSON object or an array of them".into());
        }
        None => return Ok(vec![]),
    };
    for (index, element) in elements.iter().enumerate() {
        if !element.get().starts_with('{') {
            return Err(format!("element {index} of the array is no JSON object"));
        }
    }
    let begin = body.as_ptr().addr();
    let place = |element: &&RawValue| {
        let text = element.get();
        let start = text.as_ptr().addr() - begin;
        range(start, start + text.len())
    };
    Ok(elements.iter().map(place).collect())
}

fn range(start: usize, end: usize) -> Range<u32> {
    let small = |index: usize| u32::try_from(index).expect("`split` checked the body's length");
    small(start)..small(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: BodyKind, body: &str, expected: &[&str]) {
        let records = split(kind, Bytes::copy_from_slice(body.as_bytes()));
        let records = records.expect("the body is right");
        let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(records.iter().collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn check_error(kind: BodyKind, body: &'static [u8], expected: &str) {
        let error = split(kind, Bytes::from_static(body)).expect_err("the body is wrong");
        assert!(
            error.contains(expected),
            "found `{error}`, expected it to say `{expected}`"
        );
    }

    #[test]
    fn lines_are_records_and_blank_ones_are_skipped() {
        check(
            BodyKind::Lines,
            "{\"a\":1}\n{\"a\":2}",
            &["{\"a\":1}", "{\"a\":2}"],
        );
        check(BodyKind::Lines, "\r\n\n a \r\n  \nb\n\n", &[" a ", "b"]);
        check(
            BodyKind::Lines,
            "not json\n\u{1F980}",
            &["not json", "\u{1F980}"],
        );
        check_error(BodyKind::Lines, b"", "no event");
        check_error(BodyKind::Lines, b" \r\n\n", "no event");
    }

    #[test]
    fn invalid_utf8_in_a_line_is_taken_as_it_is() {
        let body = Bytes::from_static(b"\xff\xfe\n");
        let records = split(BodyKind::Lines, body).expect("not looked into");
        assert_eq!(records.iter().collect::<Vec<_>>(), [b"\xff\xfe"]);
    }

    #[test]
    fn an_object_is_one_record_and_an_array_one_an_element() {
        check(BodyKind::Json, " {\"a\": [1, 2]}\n", &["{\"a\": [1, 2]}"]);
        check(
            BodyKind::Json,
            "[{\"a\":1} , {\"b\":\"]\"}]",
            &["{\"a\":1}", "{\"b\":\"]\"}"],
        );
        check_error(BodyKind::Json, b"[]", "no event");
        check_error(BodyKind::Json, b"  ", "no event");
    }

    #[test]
    fn a_body_that_is_not_json_throughout_is_refused() {
        check_error(BodyKind::Json, b"{\"a\":1", "not JSON: EOF");
        check_error(BodyKind::Json, b"{\"a\":1} {\"a\":2}", "not JSON: trailing");
        check_error(BodyKind::Json, b"[{\"a\":1},]", "not JSON");
        check_error(BodyKind::Json, b"nonsense", "not JSON");
        check_error(BodyKind::Json, b"{\"a\":\"\xff\"}", "not JSON");
        check_error(BodyKind::Json, b"42", "expected a JSON object");
        check_error(BodyKind::Json, b"[{\"a\":1}, 2]", "element 1");
    }

    #[test]
    fn media_types_are_compared_without_parameters_and_case() {
        let check = |text, expected| assert_eq!(BodyKind::of(text), expected, "{text}");
        check("application/json", Some(BodyKind::Json));
        check("Application/JSON; charset=utf-8", Some(BodyKind::Json));
        check("application/x-ndjson", Some(BodyKind::Lines));
        check("application/jsonl", Some(BodyKind::Lines));
        check("text/plain", None);
        check("", None);
    }
}
