//! Functions that find or cut out parts of a text. Positions count characters from 1.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use millstream_core::Result;

use super::args::{Args, build_booleans, build_numbers, slice_texts};
use super::definition::{Function, Kind, Returns};
use super::text::plain;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Long, Text};
    use Returns as R;
    vec![
        plain("SUBSTRING", (&[Text, Long], 2, 3), R::Text, substring),
        plain("SUBSTR", (&[Text, Long], 2, 3), R::Text, substring),
        plain("LEFT", (&[Text, Long], 2, 2), R::Text, left),
        plain("RIGHT", (&[Text, Long], 2, 2), R::Text, right),
        plain(
            "SPLIT_INDEX",
            (&[Text, Text, Long], 3, 3),
            R::Text,
            split_index,
        ),
        plain("POSITION", (&[Text], 2, 2), R::Int, |a| locate(a, 0, 1)),
        plain("LOCATE", (&[Text, Text, Long], 2, 3), R::Int, |a| {
            locate(a, 0, 1)
        }),
        plain("INSTR", (&[Text], 2, 2), R::Int, |a| locate(a, 1, 0)),
        plain("STARTSWITH", (&[Text], 2, 2), R::Boolean, |a| {
            compare(a, |text, part| text.starts_with(part))
        }),
        plain("ENDSWITH", (&[Text], 2, 2), R::Boolean, |a| {
            compare(a, |text, part| text.ends_with(part))
        }),
    ]
}

/// Where character `index` (from 0) starts; the text's length if there are not that many.
fn byte_of(text: &str, index: usize) -> usize {
    if text.is_ascii() {
        return index.min(text.len());
    }
    let mut starts = text.char_indices().map(|(at, _)| at);
    starts.nth(index).unwrap_or(text.len())
}

/// `SUBSTRING(text, start[, length])`. Start 0 is the same as 1; a negative one counts from the
/// end, and gives nothing if it points before the text; a negative length gives null.
fn substring(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, starts) = (args.texts(0)?, args.longs(1)?);
    let lengths = match args.len() {
        2 => None,
        _ => Some(args.longs(2)?),
    };
    Ok(slice_texts(args.rows, |row| {
        let (text, start) = (input.get(row)?, starts.get(row)?);
        let length = match &lengths {
            None => usize::MAX,
            Some(lengths) => usize::try_from(lengths.get(row)?).ok()?,
        };
        let start = match usize::try_from(start) {
            Ok(from_one) => from_one.saturating_sub(1),
            Err(_) => {
                let count = text.chars().count();
                match count.checked_sub(usize::try_from(start.unsigned_abs()).ok()?) {
                    Some(from_zero) => from_zero,
                    None => return Some(""),
                }
            }
        };
        let rest = &text[byte_of(text, start)..];
        Some(&rest[..byte_of(rest, length)])
    }))
}

fn left(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, lengths) = (args.texts(0)?, args.longs(1)?);
    Ok(slice_texts(args.rows, |row| {
        let (text, length) = (input.get(row)?, lengths.get(row)?);
        let length = usize::try_from(length).unwrap_or(0);
        Some(&text[..byte_of(text, length)])
    }))
}

fn right(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, lengths) = (args.texts(0)?, args.longs(1)?);
    Ok(slice_texts(args.rows, |row| {
        let (text, length) = (input.get(row)?, lengths.get(row)?);
        let length = usize::try_from(length).unwrap_or(0);
        let skipped = text.chars().count().saturating_sub(length);
        Some(&text[byte_of(text, skipped)..])
    }))
}

/// `SPLIT_INDEX(text, separator, index)`: part `index` (from 0); null if there is none, or if the
/// separator is empty.
fn split_index(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, separators, indexes) = (args.texts(0)?, args.texts(1)?, args.longs(2)?);
    Ok(slice_texts(args.rows, |row| {
        let (text, separator) = (input.get(row)?, separators.get(row)?);
        let index = usize::try_from(indexes.get(row)?).ok()?;
        if text.is_empty() || separator.is_empty() {
            return None;
        }
        // PERF: one byte is by far the most common separator, and searching for it is cheaper.
        match separator.as_bytes() {
            [byte] if byte.is_ascii() => text.split(char::from(*byte)).nth(index),
            _ => text.split(separator).nth(index),
        }
    }))
}

/// The position of argument `part` in argument `whole`, 0 if it is not there; a third argument is
/// the position to start from.
fn locate(args: &Args<'_>, part: usize, whole: usize) -> Result<ArrayRef> {
    let (parts, wholes) = (args.texts(part)?, args.texts(whole)?);
    let starts = match args.len() {
        3 => Some(args.longs(2)?),
        _ => None,
    };
    Ok(build_numbers::<Int32Type>(args.rows, |row| {
        let (part, whole) = (parts.get(row)?, wholes.get(row)?);
        let skipped = match &starts {
            None => 0,
            Some(starts) => match usize::try_from(starts.get(row)?) {
                Ok(start @ 1..) => start - 1,
                _ => return Some(0),
            },
        };
        let from = byte_of(whole, skipped);
        let Some(at) = whole[from..].find(part) else {
            return Some(0);
        };
        i32::try_from(whole[..from + at].chars().count() + 1).ok()
    }))
}

/// Of texts or of bytes.
fn compare(args: &Args<'_>, test: impl Fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    if args.values[0].data_type() == DataType::Binary {
        let (values, parts) = (args.full_array(0)?, args.full_array(1)?);
        let (values, parts) = (values.as_binary::<i32>(), parts.as_binary::<i32>());
        return Ok(build_booleans(args.rows, |row| {
            let both = values.is_valid(row) && parts.is_valid(row);
            both.then(|| test(values.value(row), parts.value(row)))
        }));
    }
    let (texts, parts) = (args.texts(0)?, args.texts(1)?);
    Ok(build_booleans(args.rows, |row| {
        Some(test(texts.get(row)?.as_bytes(), parts.get(row)?.as_bytes()))
    }))
}
