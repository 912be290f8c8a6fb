//! Functions between text, bytes and numbers in other notations.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::datatypes::DataType;
use millstream_core::{Error, Result};

use super::args::{Args, build_texts};
use super::definition::{Function, Kind, Returns};
use super::text::plain;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Any, Long, Text};
    use Returns as R;
    let bytes = R::By(|_| Ok(DataType::Binary));
    vec![
        plain("TO_BASE64", (&[Text], 1, 1), R::Text, to_base64),
        plain("FROM_BASE64", (&[Text], 1, 1), R::Text, from_base64),
        plain("ENCODE", (&[Text], 2, 2), bytes, encode),
        plain("DECODE", (&[Any, Text], 2, 2), R::Text, decode),
        plain("HEX", (&[Any], 1, 1), R::Text, hex),
        plain("UNHEX", (&[Text], 1, 1), bytes, unhex),
        plain("BIN", (&[Long], 1, 1), R::Text, bin),
        plain("URL_ENCODE", (&[Text], 1, 1), R::Text, url_encode),
        plain("URL_DECODE", (&[Text], 1, 1), R::Text, url_decode),
    ]
}

fn build_bytes(rows: usize, mut each: impl FnMut(usize, &mut Vec<u8>) -> Option<()>) -> ArrayRef {
    let mut scratch = vec![];
    let mut out = BinaryBuilder::new();
    for row in 0..rows {
        scratch.clear();
        match each(row, &mut scratch) {
            Some(()) => out.append_value(&scratch),
            None => out.append_null(),
        }
    }
    Arc::new(out.finish())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes `bytes` in base64 (RFC 4648, section 4), padded.
pub(super) fn write_base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(group);
        for place in 0..4 {
            let value = (word >> (18 - 6 * place) & 63) as usize;
            out.push(match place > chunk.len() {
                true => '=',
                false => char::from(ALPHABET[value]),
            });
        }
    }
}

fn to_base64(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        write_base64(input.get(row)?.as_bytes(), out);
        Some(())
    }))
}

/// Null if the text is not base64, or not of text.
fn from_base64(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        let text = input.get(row)?;
        let digits = text.trim_end_matches('=').as_bytes();
        let (mut word, mut bits, mut bytes) = (0_u32, 0, vec![]);
        for digit in digits {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            word = word << 6 | u32::try_from(value).ok()?;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from(word >> bits & 0xFF).ok()?);
            }
        }
        let padded = text.len() - digits.len();
        if digits.len() % 4 == 1 || padded > 2 || (padded > 0 && text.len() % 4 != 0) {
            return None;
        }
        out.push_str(std::str::from_utf8(&bytes).ok()?);
        Some(())
    }))
}

/// A character set of Java.
#[derive(Clone, Copy)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    Utf16 { big_endian: bool, marked: bool },
}

fn charset(name: &str) -> Result<Charset> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "US-ASCII" => Charset::Ascii,
        "ISO-8859-1" => Charset::Latin1,
        "UTF-8" => Charset::Utf8,
        "UTF-16BE" => Charset::Utf16 {
            big_endian: true,
            marked: false,
        },
        "UTF-16LE" => Charset::Utf16 {
            big_endian: false,
            marked: false,
        },
        "UTF-16" => Charset::Utf16 {
            big_endian: true,
            marked: true,
        },
        _ => {
            let known = "US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE or UTF-16";
            return Err(Error::invalid(format!(
                "found character set `{name}`, expected {known}"
            )));
        }
    })
}

/// Characters that the set lacks become `?`, as in Java.
fn encode(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, names) = (args.texts(0)?, args.texts(1)?);
    let mut failed = None;
    let result = build_bytes(args.rows, |row, out| {
        let (text, name) = (input.get(row)?, names.get(row)?);
        let charset = charset(name).map_err(|error| failed = Some(error)).ok()?;
        match charset {
            Charset::Utf8 => out.extend_from_slice(text.as_bytes()),
            Charset::Ascii | Charset::Latin1 => {
                let limit = if matches!(charset, Charset::Ascii) {
                    0x80
                } else {
                    0x100
                };
                let byte = |c: char| match u32::from(c) {
                    code if code < limit => u8::try_from(code).unwrap_or(b'?'),
                    _ => b'?',
                };
                out.extend(text.chars().map(byte));
            }
            Charset::Utf16 { big_endian, marked } => {
                let mark = marked.then_some(0xFEFF);
                for unit in mark.into_iter().chain(text.encode_utf16()) {
                    out.extend(match big_endian {
                        true => unit.to_be_bytes(),
                        false => unit.to_le_bytes(),
                    });
                }
            }
        }
        Some(())
    });
    failed.map_or(Ok(result), Err)
}

/// What is wrong becomes U+FFFD, as in Java.
fn decode(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, names) = (args.full_array(0)?, args.texts(1)?);
    let input = input
        .as_binary_opt::<i32>()
        .ok_or_else(|| Error::bug("`DECODE` takes bytes"))?;
    let mut failed = None;
    let result = build_texts(args.rows, |row, out| {
        let bytes = input.is_valid(row).then(|| input.value(row))?;
        let charset = charset(names.get(row)?);
        match charset.map_err(|error| failed = Some(error)).ok()? {
            Charset::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Charset::Latin1 => out.extend(bytes.iter().map(|byte| char::from(*byte))),
            Charset::Ascii => out.extend(bytes.iter().map(|byte| match byte.is_ascii() {
                true => char::from(*byte),
                false => char::REPLACEMENT_CHARACTER,
            })),
            Charset::Utf16 { big_endian, marked } => {
                let (bytes, big_endian) = match (marked, bytes) {
                    (true, [0xFE, 0xFF, rest @ ..]) => (rest, true),
                    (true, [0xFF, 0xFE, rest @ ..]) => (rest, false),
                    (_, bytes) => (bytes, big_endian),
                };
                let units = bytes.chunks(2).map(|pair| match (pair, big_endian) {
                    ([high, low], true) | ([low, high], false) => u16::from_be_bytes([*high, *low]),
                    _ => 0xFFFD,
                });
                let chars = char::decode_utf16(units);
                out.extend(chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
            }
        }
        Some(())
    });
    failed.map_or(Ok(result), Err)
}

/// Of a number its digits, of text those of its UTF-8 bytes, in upper case.
fn hex(args: &Args<'_>) -> Result<ArrayRef> {
    const FITS: &str = "writing to a string never fails";
    if args.values[0].data_type().is_integer() {
        let input = args.longs(0)?;
        return Ok(build_texts(args.rows, |row, out| {
            write!(out, "{:X}", input.get(row)?).expect(FITS);
            Some(())
        }));
    }
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        for byte in input.get(row)?.bytes() {
            write!(out, "{byte:02X}").expect(FITS);
        }
        Some(())
    }))
}

/// Null for other characters. Of an odd number of digits the first becomes a zero byte, as in Flink.
fn unhex(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_bytes(args.rows, |row, out| {
        let text = input.get(row)?.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (first, pairs) = text.split_at(text.len() % 2);
        if let [first] = first {
            digit(*first)?;
            out.push(0);
        }
        for pair in pairs.chunks_exact(2) {
            out.push(u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?);
        }
        Some(())
    }))
}

fn bin(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.longs(0)?;
    Ok(build_texts(args.rows, |row, out| {
        write!(out, "{:b}", input.get(row)?).expect("writing to a string never fails");
        Some(())
    }))
}

/// As HTML forms are sent: a blank becomes `+`.
fn url_encode(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        for byte in input.get(row)?.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                    out.push(char::from(byte));
                }
                b' ' => out.push('+'),
                _ => write!(out, "%{byte:02X}").expect("writing to a string never fails"),
            }
        }
        Some(())
    }))
}

/// Null if the text was not encoded so.
fn url_decode(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        let mut decoded = vec![];
        let mut bytes = input.get(row)?.bytes();
        while let Some(byte) = bytes.next() {
            decoded.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    let digits = std::str::from_utf8(&digits).ok()?;
                    u8::from_str_radix(digits, 16).ok()?
                }
                byte => byte,
            });
        }
        out.push_str(&String::from_utf8_lossy(&decoded));
        Some(())
    }))
}
