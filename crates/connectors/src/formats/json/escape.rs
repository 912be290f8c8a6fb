//! Strings: where they end, what their escapes mean, and how to write them.

/// A byte in each byte of a word.
const fn spread(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const LOW: u64 = spread(0x01);
const HIGH: u64 = spread(0x80);

/// The first byte from `at` on that ends a run of plain text: a quote, a backslash or a control
/// character; the length if there is none.
///
/// PERF: eight bytes at a step. The subtraction borrows into bytes above a hit only, so the
/// lowest marked byte is exact (the first in memory, as words are read little-endian).
#[inline]
pub(super) fn find_special(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ spread(b'"');
        let backslash = word ^ spread(b'\\');
        let hits = (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash)
            | (word.wrapping_sub(spread(0x20)) & !word);
        let hits = hits & HIGH;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    at + tail.iter().position(is_special).unwrap_or(tail.len())
}

/// Reads the escape that begins `bytes` with its backslash: the character and the escape's length
/// in bytes, or what was expected.
pub(super) fn read(bytes: &[u8]) -> Result<(char, usize), &'static str> {
    let character = match bytes.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return read_unicode(bytes),
        _ => return Err("an escape such as `\\n`"),
    };
    Ok((character, 2))
}

fn read_unicode(bytes: &[u8]) -> Result<(char, usize), &'static str> {
    let first = hex4(bytes, 2)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    let pair = "a low surrogate after a high one";
    if first >= 0xdc00 || bytes.get(6..8) != Some(b"\\u") {
        return Err(pair);
    }
    let second = hex4(bytes, 8)?;
    if !(0xdc00..=0xdfff).contains(&second) {
        return Err(pair);
    }
    let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    let character = char::from_u32(scalar).expect("a surrogate pair is below 0x11_0000");
    Ok((character, 12))
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, &'static str> {
    let expected = "four hexadecimal digits";
    let digits = bytes.get(at..at + 4).ok_or(expected)?;
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(expected)?;
        Ok(value << 4 | digit)
    })
}

/// Appends what `raw`, with valid escapes, stands for.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..backslash]);
        rest = &rest[backslash..];
        let Ok((character, length)) = read(rest) else {
            break;
        };
        let mut buffer = [0; 4];
        out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
}

/// Appends `text` as a JSON string, with only the escapes that must be.
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut start = 0;
    loop {
        let end = find_special(text, start);
        out.extend_from_slice(&text[start..end]);
        let Some(byte) = text.get(end) else { break };
        write_escape(*byte, out);
        start = end + 1;
    }
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            return out.extend_from_slice(&digits);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends valid JSON `value` without white space between its tokens, its strings with only the
/// escapes that must be.
pub(super) fn write_compact(value: &[u8], out: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => at += 1,
            b'"' => {
                let end = string_end(value, at);
                scratch.clear();
                unescape(&value[at + 1..end], &mut scratch);
                write_string(&scratch, out);
                at = end + 1;
            }
            other => {
                out.push(*other);
                at += 1;
            }
        }
    }
}

/// Where the string that begins at `quote` has its closing quote.
fn string_end(value: &[u8], quote: usize) -> usize {
    let mut at = find_special(value, quote + 1);
    while value.get(at) == Some(&b'\\') {
        at = find_special(value, at + 2);
    }
    at.min(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_special_byte_at_any_distance() {
        for length in 0..40 {
            for (special, other) in [(b'"', b'x'), (b'\\', 0x80), (0x1f, 0xff), (0, b'!')] {
                let mut bytes = vec![other; length];
                bytes.extend([special, b'"', b'\\', 0]);
                for start in 0..=length {
                    assert_eq!(find_special(&bytes, start), length, "{bytes:?}");
                }
            }
        }
        assert_eq!(find_special(b"plain text", 0), 10);
        assert_eq!(find_special(b"", 0), 0);
    }

    #[test]
    fn a_byte_after_a_hit_is_not_taken_for_one() {
        // 0x23 is the quote plus one: a borrow from the quote before it marks it too.
        assert_eq!(find_special(b"a\"#bcdefg", 0), 1);
        assert_eq!(find_special(b"#\"", 0), 1);
        assert_eq!(find_special(b"######]]!!\"", 0), 10);
    }

    #[test]
    fn writes_what_serde_json_reads() {
        for text in [
            "",
            "plain",
            "q\"b\\s/",
            "\n\r\t\u{8}\u{c}\u{1}\u{1f}",
            "é😀",
            "a\0b",
        ] {
            let mut out = vec![];
            write_string(text.as_bytes(), &mut out);
            let read: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn compacts() {
        let mut out = vec![];
        let value = br#" { "a b" : [ 1.50 , true ,null ], "c\/\u00e9\n\"" : "\\" } "#;
        write_compact(value, &mut out);
        let expected = r#"{"a b":[1.50,true,null],"c/é\n\"":"\\"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
