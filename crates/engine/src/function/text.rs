//! Functions that make text from text: case, trimming, padding, joining, characters.

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;
use millstream_core::Result;
use millstream_core::pattern::regular_expression::compile;

use super::args::{Args, Texts, build_booleans, build_numbers, build_texts, slice_texts};
use super::definition::{Body, Function, Kind, Params, Returns};

const UNBOUNDED: usize = usize::MAX;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Any, Long, Text};
    use Returns as R;
    vec![
        plain("UPPER", (&[Text], 1, 1), R::Text, upper),
        plain("LOWER", (&[Text], 1, 1), R::Text, lower),
        plain("INITCAP", (&[Text], 1, 1), R::Text, initcap),
        plain("REVERSE", (&[Text], 1, 1), R::Text, reverse),
        plain("TRIM", (&[Text], 1, 2), R::Text, |a| trim(a, true, true)),
        plain("BTRIM", (&[Text], 1, 2), R::Text, |a| trim(a, true, true)),
        plain("LTRIM", (&[Text], 1, 2), R::Text, |a| trim(a, true, false)),
        plain("RTRIM", (&[Text], 1, 2), R::Text, |a| trim(a, false, true)),
        plain("LPAD", (&[Text, Long, Text], 3, 3), R::Text, |a| {
            pad(a, true)
        }),
        plain("RPAD", (&[Text, Long, Text], 3, 3), R::Text, |a| {
            pad(a, false)
        }),
        plain("REPEAT", (&[Text, Long], 2, 2), R::Text, repeat),
        plain("REPLACE", (&[Text], 3, 3), R::Text, replace),
        plain("CONCAT", (&[Text], 1, UNBOUNDED), R::Text, concat),
        plain("CONCAT_WS", (&[Text], 1, UNBOUNDED), R::Text, concat_ws),
        plain("CHAR_LENGTH", (&[Text], 1, 1), R::Int, char_length),
        plain("CHARACTER_LENGTH", (&[Text], 1, 1), R::Int, char_length),
        plain("ASCII", (&[Text], 1, 1), R::Int, ascii),
        plain("CHR", (&[Long], 1, 1), R::Text, chr),
        // Java's letters and digits are these categories of Unicode, which Rust's methods go beyond.
        plain("IS_ALPHA", (&[Any], 1, 1), R::Boolean, |a| {
            is_all(a, r"^\p{L}+$")
        }),
        plain("IS_DIGIT", (&[Any], 1, 1), R::Boolean, |a| {
            is_all(a, r"^\p{Nd}+$")
        }),
        plain("IS_DECIMAL", (&[Any], 1, 1), R::Boolean, is_decimal),
    ]
}

/// A function whose kernel is the same for each call; `params` are kinds, fewest, most.
pub(super) fn plain(
    name: &'static str,
    params: (&'static [Kind], usize, usize),
    returns: Returns,
    kernel: fn(&Args<'_>) -> Result<ArrayRef>,
) -> Function {
    let (kinds, least, most) = params;
    Function {
        name,
        params: Params { kinds, least, most },
        returns,
        body: Body::Plain(kernel),
    }
}

fn map_text(args: &Args<'_>, each: impl Fn(&str, &mut String)) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        each(input.get(row)?, out);
        Some(())
    }))
}

fn upper(args: &Args<'_>) -> Result<ArrayRef> {
    map_text(args, |text, out| {
        out.push_str(text);
        match text.is_ascii() {
            true => out.make_ascii_uppercase(),
            false => *out = text.to_uppercase(),
        }
    })
}

fn lower(args: &Args<'_>) -> Result<ArrayRef> {
    map_text(args, |text, out| {
        out.push_str(text);
        match text.is_ascii() {
            true => out.make_ascii_lowercase(),
            false => *out = text.to_lowercase(),
        }
    })
}

/// The first letter of each word in upper case, the others in lower case. A word is a run of ASCII
/// letters and digits, as in Flink.
fn initcap(args: &Args<'_>) -> Result<ArrayRef> {
    map_text(args, |text, out| {
        let mut in_word = false;
        for c in text.chars() {
            out.push(match in_word {
                true => c.to_ascii_lowercase(),
                false => c.to_ascii_uppercase(),
            });
            in_word = c.is_ascii_alphanumeric();
        }
    })
}

fn reverse(args: &Args<'_>) -> Result<ArrayRef> {
    map_text(args, |text, out| out.extend(text.chars().rev()))
}

/// `TRIM(text[, characters])`: removes any of the characters, blanks by default.
fn trim(args: &Args<'_>, start: bool, end: bool) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    let characters = match args.len() {
        1 => Texts::One(Some(" ".into())),
        _ => args.texts(1)?,
    };
    Ok(slice_texts(args.rows, |row| {
        let mut text = input.get(row)?;
        let characters = characters.get(row)?;
        if start {
            text = text.trim_start_matches(|c| characters.contains(c));
        }
        if end {
            text = text.trim_end_matches(|c| characters.contains(c));
        }
        Some(text)
    }))
}

/// Most bytes that padding or repeating makes of one value, and of the values of one batch. A value
/// beyond is null: a number from outside must not take all memory.
const BYTES_MAX: usize = 64 << 20;

/// Counts a value of the batch; none if it is too long, or the batch is.
fn grow(total: &mut usize, bytes: usize) -> Option<()> {
    let next = total.checked_add(bytes)?;
    if bytes > BYTES_MAX || next > 16 * BYTES_MAX {
        return None;
    }
    *total = next;
    Some(())
}

/// `LPAD(text, length, pad)`: exactly `length` characters, cut off if longer; null if `length` is
/// negative or `pad` is empty.
fn pad(args: &Args<'_>, left: bool) -> Result<ArrayRef> {
    let (input, lengths, pads) = (args.texts(0)?, args.longs(1)?, args.texts(2)?);
    let mut total = 0;
    Ok(build_texts(args.rows, |row, out| {
        let (text, length, pad) = (input.get(row)?, lengths.get(row)?, pads.get(row)?);
        let length = usize::try_from(length).ok()?;
        if pad.is_empty() {
            return None;
        }
        let missing = length.saturating_sub(text.chars().count());
        grow(
            &mut total,
            missing.saturating_mul(4).saturating_add(text.len()),
        )?;
        if left {
            out.extend(pad.chars().cycle().take(missing));
        }
        out.extend(text.chars().take(length));
        if !left {
            out.extend(pad.chars().cycle().take(missing));
        }
        Some(())
    }))
}

/// Null for more than [`BYTES_MAX`].
fn repeat(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, counts) = (args.texts(0)?, args.longs(1)?);
    let mut total = 0;
    Ok(build_texts(args.rows, |row, out| {
        let (text, count) = (input.get(row)?, counts.get(row)?);
        let count = usize::try_from(count).unwrap_or(0);
        let bytes = text.len().checked_mul(count)?;
        grow(&mut total, bytes)?;
        out.extend(std::iter::repeat_n(
            text,
            if bytes == 0 { 0 } else { count },
        ));
        Some(())
    }))
}

fn replace(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, searches, replacements) = (args.texts(0)?, args.texts(1)?, args.texts(2)?);
    Ok(build_texts(args.rows, |row, out| {
        let (text, search) = (input.get(row)?, searches.get(row)?);
        let replacement = replacements.get(row)?;
        let mut rest = 0;
        for (at, found) in text.match_indices(search) {
            out.push_str(&text[rest..at]);
            out.push_str(replacement);
            rest = at + found.len();
        }
        out.push_str(&text[rest..]);
        Some(())
    }))
}

fn all_texts(args: &Args<'_>) -> Result<Vec<Texts>> {
    (0..args.len()).map(|index| args.texts(index)).collect()
}

/// Null if any argument is null.
fn concat(args: &Args<'_>) -> Result<ArrayRef> {
    let parts = all_texts(args)?;
    Ok(build_texts(args.rows, |row, out| {
        for part in &parts {
            out.push_str(part.get(row)?);
        }
        Some(())
    }))
}

/// `CONCAT_WS(separator, text…)`: leaves null texts out; null only if the separator is.
fn concat_ws(args: &Args<'_>) -> Result<ArrayRef> {
    let parts = all_texts(args)?;
    Ok(build_texts(args.rows, |row, out| {
        let separator = parts[0].get(row)?;
        let present = parts[1..].iter().filter_map(|part| part.get(row));
        for (index, text) in present.enumerate() {
            if index > 0 {
                out.push_str(separator);
            }
            out.push_str(text);
        }
        Some(())
    }))
}

fn char_length(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_numbers::<Int32Type>(args.rows, |row| {
        let text = input.get(row)?;
        i32::try_from(text.chars().count()).ok()
    }))
}

/// The first byte of the UTF-8 text as Java's signed byte, 0 for no text.
fn ascii(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_numbers::<Int32Type>(args.rows, |row| {
        let first = input.get(row)?.bytes().next().unwrap_or(0);
        Some(i32::from(first.cast_signed()))
    }))
}

/// The character of this code modulo 256; nothing for a negative one.
fn chr(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.longs(0)?;
    Ok(build_texts(args.rows, |row, out| {
        let code = input.get(row)?;
        if let (0.., Ok(byte)) = (code, u8::try_from(code & 0xFF)) {
            out.push(char::from(byte));
        }
        Some(())
    }))
}

/// False for null, for no text and for anything but text, as in Flink.
fn is_all(args: &Args<'_>, pattern: &str) -> Result<ArrayRef> {
    let Ok(input) = args.texts(0) else {
        return Ok(build_booleans(args.rows, |_| Some(false)));
    };
    let regex = compile(pattern)?;
    Ok(build_booleans(args.rows, |row| {
        Some(input.get(row).is_some_and(|text| regex.is_match(text)))
    }))
}

/// Whether it is a number, or text that is one. False for null.
fn is_decimal(args: &Args<'_>) -> Result<ArrayRef> {
    let array = args.full_array(0)?;
    if array.data_type().is_numeric() {
        return Ok(build_booleans(args.rows, |row| Some(array.is_valid(row))));
    }
    let Ok(input) = args.texts(0) else {
        return Ok(build_booleans(args.rows, |_| Some(false)));
    };
    Ok(build_booleans(args.rows, |row| {
        let number = input.get(row).and_then(super::math::parse_double);
        Some(number.is_some())
    }))
}
