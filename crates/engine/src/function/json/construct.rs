//! JSON_STRING, JSON_OBJECT, JSON_ARRAY: values as JSON text.
//!
//! `JSON_OBJECT(flags, key, value, …)` and `JSON_ARRAY(flags, value, …)`: the flags are a constant, a
//! letter for each value, `j` where it is JSON already and `v` where not, then `n` if nulls are
//! written and `a` if they are left out. Keys are sorted, as Flink does, also those of a ROW or MAP.
//!
//! `JSON_OBJECTAGG(array of ROW<key, value>, 'n' or 'a')`, of entries that an aggregate has gathered:
//! values are JSON already.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use millstream_core::{Error, Result};

use super::super::text::plain;
use super::value::{java_order, write_quoted};
use crate::function::args::{Args, build_texts};
use crate::function::definition::{Function, Kind, Returns};

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Any, Text};
    const UNBOUNDED: usize = usize::MAX;
    const KINDS: &[Kind] = &[Text, Any];
    vec![
        plain("JSON_STRING", (&[Any], 1, 1), Returns::Text, string),
        plain("JSON_OBJECT", (KINDS, 1, UNBOUNDED), Returns::Text, object),
        plain("JSON_ARRAY", (KINDS, 1, UNBOUNDED), Returns::Text, array),
        plain(
            "JSON_OBJECTAGG",
            (&[Any, Text], 2, 2),
            Returns::Text,
            entries,
        ),
    ]
}

/// Writes the value of a row; null as `null`.
pub(super) type Writer<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// Writes values of `array` as JSON.
fn writer(array: &ArrayRef) -> Result<Writer<'_>> {
    let write = value_writer(array)?;
    Ok(Box::new(move |row, out| match array.is_null(row) {
        true => out.push_str("null"),
        false => write(row, out),
    }))
}

fn value_writer(array: &ArrayRef) -> Result<Writer<'_>> {
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, out| out.push_str(if values.value(row) { "true" } else { "false" }))
        }
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            Box::new(|row, out| write_quoted(texts.value(row), out))
        }
        found if found.is_numeric() => crate::expr::text_writer(array)?,
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            Box::new(|row, out| {
                out.push('"');
                crate::function::encoding::write_base64(bytes.value(row), out);
                out.push('"');
            })
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let write = writer(list.values())?;
            Box::new(move |row, out| {
                let elements = range(list.value_offsets(), row);
                surrounded(('[', ']'), elements, out, |element, out| {
                    write(element, out)
                });
            })
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let writers = columns.iter().map(writer).collect::<Result<Vec<_>>>()?;
            let mut order: Vec<usize> = (0..writers.len()).collect();
            order.sort_by(|a, b| java_order(fields[*a].name(), fields[*b].name()));
            Box::new(move |row, out| {
                surrounded(('{', '}'), order.iter().copied(), out, |field, out| {
                    write_quoted(fields[field].name(), out);
                    out.push(':');
                    writers[field](row, out);
                });
            })
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (keys, values) = (crate::expr::text_writer(map.keys())?, writer(map.values())?);
            Box::new(move |row, out| {
                let entries = range(map.value_offsets(), row).map(|entry| {
                    let mut key = String::new();
                    keys(entry, &mut key);
                    (key, entry)
                });
                let mut entries: Vec<(String, usize)> = entries.collect();
                entries.sort_by(|(left, _), (right, _)| java_order(left, right));
                surrounded(('{', '}'), entries, out, |(key, entry), out| {
                    write_quoted(&key, out);
                    out.push(':');
                    values(entry, out);
                });
            })
        }
        found => time_writer(array, found)?,
    })
}

/// Dates and times in ISO 8601: `2025-06-15T15:06:00.5Z`.
fn time_writer<'a>(array: &'a ArrayRef, data_type: &DataType) -> Result<Writer<'a>> {
    let write = crate::expr::text_writer(array)?;
    let is_timestamp = matches!(data_type, DataType::Timestamp(..));
    let is_local = matches!(data_type, DataType::Timestamp(_, Some(_)));
    Ok(Box::new(move |row, out| {
        let mut text = String::new();
        write(row, &mut text);
        out.push('"');
        match text.split_once(' ').filter(|_| is_timestamp) {
            Some((date, time)) => {
                // A timestamp as text has at least three digits after the point.
                let time = time.trim_end_matches('0').trim_end_matches('.');
                out.extend([date, "T", time]);
            }
            None => out.push_str(&text),
        }
        out.push_str(if is_local { "Z\"" } else { "\"" });
    }))
}

fn surrounded<T>(
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    mut each: impl FnMut(T, &mut String),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        each(item, out);
    }
    out.push(close);
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let offset = |index: usize| usize::try_from(offsets[index]).expect("offsets are not negative");
    offset(row)..offset(row + 1)
}

/// Null for null.
fn string(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.full_array(0)?;
    let write = writer(&input)?;
    Ok(build_texts(args.rows, |row, out| {
        if input.is_null(row) {
            return None;
        }
        write(row, out);
        Some(())
    }))
}

/// How the values of a call are written.
struct Flags {
    is_json: Vec<bool>,
    with_nulls: bool,
}

fn flags(args: &Args<'_>) -> Result<Flags> {
    let texts = args.texts(0)?;
    let text = texts.get(0).unwrap_or_default();
    let (kinds, nulls) = text
        .split_at_checked(text.len().saturating_sub(1))
        .unwrap_or_default();
    Ok(Flags {
        is_json: kinds.chars().map(|kind| kind == 'j').collect(),
        with_nulls: nulls == "n",
    })
}

/// Writes the value of argument `index`, JSON as it is.
fn argument_writer<'a>(array: &'a ArrayRef, is_json: bool) -> Result<Writer<'a>> {
    let Some(texts) = array.as_string_opt::<i32>().filter(|_| is_json) else {
        return writer(array);
    };
    Ok(Box::new(|row, out| match texts.is_null(row) {
        true => out.push_str("null"),
        false => out.push_str(texts.value(row)),
    }))
}

fn object(args: &Args<'_>) -> Result<ArrayRef> {
    let flags = flags(args)?;
    let mut entries = vec![];
    for (index, is_json) in flags.is_json.iter().enumerate() {
        let keys = args.texts(1 + 2 * index)?;
        let key = keys.get(0).map(str::to_owned);
        let key = key.ok_or_else(|| Error::invalid("`JSON_OBJECT`: a key is null"))?;
        entries.push((key, args.full_array(2 + 2 * index)?, *is_json));
    }
    // Of a key that is there twice the last value counts.
    entries.reverse();
    entries.sort_by(|(left, ..), (right, ..)| java_order(left, right));
    entries.dedup_by(|(left, ..), (right, ..)| left == right);
    let writers = entries.iter();
    let writers = writers.map(|(_, values, is_json)| argument_writer(values, *is_json));
    let writers = writers.collect::<Result<Vec<_>>>()?;
    Ok(build_texts(args.rows, |row, out| {
        out.push('{');
        let mut is_first = true;
        for ((key, values, _), write) in entries.iter().zip(&writers) {
            if values.is_null(row) && !flags.with_nulls {
                continue;
            }
            out.push_str(if std::mem::take(&mut is_first) {
                ""
            } else {
                ","
            });
            write_quoted(key, out);
            out.push(':');
            write(row, out);
        }
        out.push('}');
        Some(())
    }))
}

fn array(args: &Args<'_>) -> Result<ArrayRef> {
    let flags = flags(args)?;
    let values = (1..args.len()).map(|index| args.full_array(index));
    let values = values.collect::<Result<Vec<_>>>()?;
    let writers = values.iter().zip(&flags.is_json);
    let writers = writers.map(|(values, is_json)| argument_writer(values, *is_json));
    let writers = writers.collect::<Result<Vec<_>>>()?;
    Ok(build_texts(args.rows, |row, out| {
        out.push('[');
        let mut is_first = true;
        for (values, write) in values.iter().zip(&writers) {
            if values.is_null(row) && !flags.with_nulls {
                continue;
            }
            out.push_str(if std::mem::take(&mut is_first) {
                ""
            } else {
                ","
            });
            write(row, out);
        }
        out.push(']');
        Some(())
    }))
}

fn entries(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.full_array(0)?;
    let list = input.as_list::<i32>();
    let pairs = list.values().as_struct();
    let (keys, values) = (
        pairs.column(0).as_string::<i32>(),
        pairs.column(1).as_string::<i32>(),
    );
    let with_nulls = args.texts(1)?.get(0) == Some("n");
    let mut failed = None;
    let result = build_texts(args.rows, |row, out| {
        let of_row = match list.is_null(row) {
            true => 0..0,
            false => range(list.value_offsets(), row),
        };
        let mut entries: Vec<usize> = of_row.collect();
        entries.retain(|entry| with_nulls || values.is_valid(*entry));
        entries.sort_by(|a, b| java_order(keys.value(*a), keys.value(*b)));
        for pair in entries.windows(2) {
            if keys.value(pair[0]) == keys.value(pair[1]) {
                failed = Some(format!("key `{}` is there twice", keys.value(pair[0])));
            }
        }
        if entries.iter().any(|entry| keys.is_null(*entry)) {
            failed = Some("a key is null".to_owned());
        }
        surrounded(('{', '}'), entries, out, |entry, out| {
            write_quoted(keys.value(entry), out);
            out.push(':');
            let is_null = values.is_null(entry);
            out.push_str(if is_null { "null" } else { values.value(entry) });
        });
        Some(())
    });
    match failed {
        Some(why) => Err(Error::invalid(format!("`JSON_OBJECTAGG`: {why}"))),
        None => Ok(result),
    }
}
