//! Functions that put parts of a text in place of others, or take a text apart.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field};
use millstream_core::pattern::regular_expression::compile;
use millstream_core::{Result, types};

use super::args::{Args, Texts, build_texts, slice_texts};
use super::definition::{Function, Kind, Returns};
use super::text::plain;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Common, Long, Text};
    use Returns as R;
    let texts = R::By(|_| Ok(types::array(DataType::Utf8)));
    let map = R::By(|_| Ok(types::map(DataType::Utf8, DataType::Utf8)));
    vec![
        plain("OVERLAY", (&[Text, Text, Long], 3, 4), R::Text, overlay),
        plain("TRANSLATE", (&[Text], 3, 3), R::Text, translate),
        plain("ELT", (&[Long, Common], 2, usize::MAX), R::Same(1), elt),
        plain("SPLIT", (&[Text], 2, 2), texts, split),
        plain("STR_TO_MAP", (&[Text], 1, 3), map, str_to_map),
        plain("PARSE_URL", (&[Text], 2, 3), R::Text, parse_url),
    ]
}

/// `OVERLAY(text, part, from[, length])`: puts the part in the place of as many characters as it has,
/// or of `length`. A place outside of the text changes nothing; what comes after a length that is not
/// positive is left out, as in Flink.
fn overlay(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, parts, starts) = (args.texts(0)?, args.texts(1)?, args.longs(2)?);
    let lengths = match args.len() {
        4 => Some(args.longs(3)?),
        _ => None,
    };
    Ok(build_texts(args.rows, |row, out| {
        let (text, part, start) = (input.get(row)?, parts.get(row)?, starts.get(row)?);
        let length = match &lengths {
            Some(lengths) => lengths.get(row)?,
            None => i64::try_from(part.chars().count()).ok()?,
        };
        let start = usize::try_from(start).unwrap_or(0);
        if start == 0 || start > text.chars().count() {
            out.push_str(text);
            return Some(());
        }
        out.extend(text.chars().take(start - 1));
        out.push_str(part);
        if let Ok(length @ 1..) = usize::try_from(length) {
            out.extend(text.chars().skip((start - 1).saturating_add(length)));
        }
        Some(())
    }))
}

/// `TRANSLATE(text, from, to)`: each character of `from` becomes the one at its place in `to`, or
/// nothing if `to` is shorter.
fn translate(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, from, to) = (args.texts(0)?, args.texts(1)?, args.texts(2)?);
    Ok(build_texts(args.rows, |row, out| {
        let (text, from, to) = (input.get(row)?, from.get(row)?, to.get(row)?);
        for c in text.chars() {
            match from.chars().position(|known| known == c) {
                None => out.push(c),
                Some(place) => out.extend(to.chars().nth(place)),
            }
        }
        Some(())
    }))
}

/// `ELT(index, value…)`: the value at `index`, from 1; null if there is none.
fn elt(args: &Args<'_>) -> Result<ArrayRef> {
    let indexes = args.longs(0)?;
    let mut values = vec![arrow::array::new_null_array(args.return_type, 1)];
    for index in 1..args.len() {
        values.push(args.full_array(index)?);
    }
    let columns: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let places: Vec<(usize, usize)> = (0..args.rows)
        .map(|row| match indexes.get(row).map(usize::try_from) {
            Some(Ok(index)) if (1..columns.len()).contains(&index) => (index, row),
            _ => (0, 0),
        })
        .collect();
    Ok(interleave(&columns, &places)?)
}

/// `SPLIT(text, delimiter)`; an empty delimiter gives the characters.
fn split(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, delimiters) = (args.texts(0)?, args.texts(1)?);
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let Some((text, delimiter)) = input.get(row).zip(delimiters.get(row)) else {
            out.append_null();
            continue;
        };
        match delimiter {
            "" => text
                .chars()
                .for_each(|c| out.values().append_value(c.to_string())),
            // As in Flink, there is no part of an empty text.
            _ if text.is_empty() => {}
            _ => text
                .split(delimiter)
                .for_each(|part| out.values().append_value(part)),
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// Parts as Java's `String.split` gives them: without empty ones at the end.
fn java_split<'a>(text: &'a str, delimiter: &regex::Regex) -> Vec<&'a str> {
    let mut parts: Vec<&str> = delimiter.split(text).collect();
    while parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    parts
}

/// `STR_TO_MAP(text[, between pairs, between key and value])`; delimiters are regular expressions. A pair
/// is cut in two at the first delimiter; without one its value is null. No text is no pair. Of a
/// key that is there twice the last value counts.
fn str_to_map(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    let delimiter = |index: usize, default: &str| -> Result<Texts> {
        match index < args.len() {
            true => args.texts(index),
            false => Ok(Texts::One(Some(default.to_owned()))),
        }
    };
    let (pairs, values) = (delimiter(1, ",")?, delimiter(2, "=")?);
    let names = MapFieldNames {
        entry: "entries".into(),
        key: "key".into(),
        value: "value".into(),
    };
    let mut out = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(Field::new("key", DataType::Utf8, false));
    let mut compiled: Option<(String, String, regex::Regex, regex::Regex)> = None;
    for row in 0..args.rows {
        let (Some(text), Some(pair), Some(value)) =
            (input.get(row), pairs.get(row), values.get(row))
        else {
            out.append(false)?;
            continue;
        };
        if compiled
            .as_ref()
            .is_none_or(|(p, v, ..)| p != pair || v != value)
        {
            let regexes = (compile(pair)?, compile(value)?);
            compiled = Some((pair.to_owned(), value.to_owned(), regexes.0, regexes.1));
        }
        let Some((_, _, pair, value)) = &compiled else {
            continue;
        };
        let mut entries: Vec<(&str, Option<&str>)> = vec![];
        let pairs = match text {
            "" => vec![],
            _ => java_split(text, pair),
        };
        for part in pairs {
            let mut halves = value.splitn(part, 2);
            let (key, value) = (halves.next().unwrap_or_default(), halves.next());
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        for (key, value) in entries {
            out.keys().append_value(key);
            out.values().append_option(value);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}

/// `PARSE_URL(url, part[, key of the query])`; null if there is no such part.
fn parse_url(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, parts) = (args.texts(0)?, args.texts(1)?);
    let keys = match args.len() {
        3 => Some(args.texts(2)?),
        _ => None,
    };
    Ok(slice_texts(args.rows, |row| {
        let (url, part) = (input.get(row)?, parts.get(row)?);
        let Some(keys) = &keys else {
            return url_part(url, part);
        };
        let key = keys.get(row)?;
        let query = url_part(url, "QUERY").filter(|_| part == "QUERY")?;
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }))
}

fn url_part<'a>(url: &'a str, part: &str) -> Option<&'a str> {
    let (protocol, rest) = url.split_once("://")?;
    let (rest, reference) = match rest.split_once('#') {
        Some((rest, reference)) => (rest, Some(reference)),
        None => (rest, None),
    };
    let (authority, file) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = match file.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (file, None),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
    match part {
        "PROTOCOL" => Some(protocol),
        "AUTHORITY" => Some(authority),
        "USERINFO" => user,
        "HOST" => Some(&host[..port.unwrap_or(host.len())]),
        "PATH" => Some(path),
        "QUERY" => query,
        "FILE" => Some(file),
        "REF" => reference,
        _ => None,
    }
}
