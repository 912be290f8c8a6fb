//! Numbers: their grammar, and exact conversion to integers, doubles and decimals.

/// A number as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    /// Its characters.
    pub text: &'a [u8],
    /// Its value, if it is written as a whole number (without point and exponent) that fits.
    pub integer: Option<i64>,
}

/// Reads the number that begins `bytes`; else how far it was one and what was expected there.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Result<Number<'_>, (usize, &'static str)> {
    let negative = bytes.first() == Some(&b'-');
    let first = usize::from(negative);
    let (magnitude, end) = digits(bytes, first);
    let count = end - first;
    if count == 0 {
        return Err((first, "a digit"));
    }
    if count > 1 && bytes[first] == b'0' {
        return Err((first + 1, "no digit after a leading zero"));
    }
    if let Some(b'.' | b'e' | b'E') = bytes.get(end) {
        return read_fraction(bytes, end);
    }
    let text = &bytes[..end];
    if count > 18 {
        return read_long(text);
    }
    // Below 10^18, so it fits with either sign.
    let magnitude = magnitude.cast_signed();
    let integer = Some(if negative { -magnitude } else { magnitude });
    Ok(Number { text, integer })
}

/// The value (modulo 2^64) and end of the digits from `at` on.
#[inline]
fn digits(bytes: &[u8], at: usize) -> (u64, usize) {
    let mut at = at;
    let mut value = 0_u64;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        if !is_eight_digits(word) {
            break;
        }
        value = value
            .wrapping_mul(100_000_000)
            .wrapping_add(eight_digits(word));
        at += 8;
    }
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (value, at)
}

/// Whether all eight bytes are ASCII digits.
#[inline]
fn is_eight_digits(word: u64) -> bool {
    let above = word.wrapping_add(0x4646_4646_4646_4646);
    let below = word.wrapping_sub(0x3030_3030_3030_3030);
    (above | below) & 0x8080_8080_8080_8080 == 0
}

/// The value of eight ASCII digits, the first in the lowest byte: pairs, then fours, then eight.
#[inline]
fn eight_digits(word: u64) -> u64 {
    let word = word.wrapping_sub(0x3030_3030_3030_3030);
    let word = word.wrapping_mul(10).wrapping_add(word >> 8);
    let low = (word & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (word >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

fn read_fraction(bytes: &[u8], point: usize) -> Result<Number<'_>, (usize, &'static str)> {
    let mut at = point;
    if bytes[at] == b'.' {
        at = some_digits(bytes, at + 1)?;
    }
    let mut exponent = false;
    if let Some(b'e' | b'E') = bytes.get(at) {
        exponent = true;
        let sign = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = some_digits(bytes, at + 1 + usize::from(sign))?;
    }
    let text = &bytes[..at];
    if exponent || text.len() > 300 {
        check_range(text)?;
    }
    Ok(Number {
        text,
        integer: None,
    })
}

fn some_digits(bytes: &[u8], at: usize) -> Result<usize, (usize, &'static str)> {
    match digits(bytes, at).1 {
        end if end == at => Err((at, "a digit")),
        end => Ok(end),
    }
}

#[cold]
fn read_long(text: &[u8]) -> Result<Number<'_>, (usize, &'static str)> {
    if text.len() > 300 {
        check_range(text)?;
    }
    let integer = as_str(text).parse().ok();
    Ok(Number { text, integer })
}

/// Numbers beyond a double are refused, as `serde_json` does, lest they become infinite.
fn check_range(text: &[u8]) -> Result<(), (usize, &'static str)> {
    match as_str(text).parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(()),
        _ => Err((0, "a number that fits a double")),
    }
}

fn as_str(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("digits, signs, points and letters are ASCII")
}

impl Number<'_> {
    /// The nearest double.
    #[inline]
    pub fn to_f64(self) -> f64 {
        match self.integer {
            Some(0) | None => as_str(self.text).parse().expect("a number's grammar"),
            // Rounds to nearest, ties to even, as parsing does.
            Some(integer) => integer as f64,
        }
    }

    /// The nearest float.
    pub fn to_f32(self) -> f32 {
        as_str(self.text).parse().expect("a number's grammar")
    }

    /// The value, if it is whole and fits, however it is written (`1.0`, `1e3`).
    #[inline]
    pub fn to_i64(self) -> Option<i64> {
        match self.integer {
            Some(integer) => Some(integer),
            None => scaled(self.text, 0, true).and_then(|value| i64::try_from(value).ok()),
        }
    }
}

/// The unscaled value of number `text` as `DECIMAL(precision, scale)`, rounded half up as Flink
/// does; `None` if it does not fit.
pub(super) fn to_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let value = scaled(text, i64::from(scale), false)?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value.abs() < limit).then_some(value)
}

/// `text` times 10^`scale`, rounded half up (away from zero), or `None` where rounding would be
/// needed and `exact`; `None` too from 10^38 on. `text` has a number's grammar.
fn scaled(text: &[u8], scale: i64, exact: bool) -> Option<i128> {
    let negative = text.first() == Some(&b'-');
    let mantissa_end = memchr::memchr2(b'e', b'E', text).unwrap_or(text.len());
    let mantissa = &text[usize::from(negative)..mantissa_end];
    let exponent = match text.get(mantissa_end + 1..) {
        Some(digits) => saturating_exponent(digits),
        None => 0,
    };
    let point = memchr::memchr(b'.', mantissa);
    let fraction = point.map_or(0, |point| mantissa.len() - point - 1);
    let digits = mantissa.iter().filter(|byte| **byte != b'.');
    let mut digits = digits
        .map(|byte| byte - b'0')
        .skip_while(|digit| *digit == 0);
    let count = digits.clone().count();
    if count == 0 {
        return Some(0);
    }
    let count = i64::try_from(count).ok()?;
    let shift = exponent
        .saturating_sub(i64::try_from(fraction).ok()?)
        .saturating_add(scale);
    let whole = count.saturating_add(shift);
    if whole > 38 {
        return None;
    }
    let mut value = 0_i128;
    for _ in 0..whole {
        value = value * 10 + i128::from(digits.next().unwrap_or(0));
    }
    // With `whole` below zero, the first dropped digit is a zero that is not written.
    let first_dropped = if whole < 0 {
        0
    } else {
        digits.clone().next().unwrap_or(0)
    };
    if exact && digits.any(|digit| digit != 0) {
        return None;
    }
    value += i128::from(first_dropped >= 5);
    Some(if negative { -value } else { value })
}

fn saturating_exponent(text: &[u8]) -> i64 {
    let negative = text.first() == Some(&b'-');
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let magnitude = digits.fold(0_i64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    // Half the range, so that sums of it with lengths stay exact.
    let magnitude = magnitude.min(i64::MAX / 4);
    if negative { -magnitude } else { magnitude }
}

/// A number in a string, as Java's `parseLong` and `parseDouble` take it: white space around, and
/// a plus sign.
pub(super) fn in_string(text: &[u8]) -> Option<Number<'_>> {
    let text = text.trim_ascii();
    let text = match text {
        [b'+', rest @ ..] if rest.first() != Some(&b'-') => rest,
        _ => text,
    };
    match read(text) {
        Ok(number) if number.text.len() == text.len() => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(text: &str) -> Option<i64> {
        read(text.as_bytes()).unwrap().to_i64()
    }

    #[test]
    fn reads_integers_of_every_length() {
        let mut text = String::new();
        for digit in "9223372036854775807".chars() {
            text.push(digit);
            assert_eq!(integer(&text), text.parse().ok());
            assert_eq!(
                integer(&format!("-{text}")),
                format!("-{text}").parse().ok()
            );
        }
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("18446744073709551617"), None);
        assert_eq!(integer("12345678/"), Some(12_345_678));
        assert_eq!(integer("1234567:"), Some(1_234_567));
    }

    #[test]
    fn whole_numbers_may_have_a_point_or_an_exponent() {
        assert_eq!(integer("1.0"), Some(1));
        assert_eq!(integer("-12e3"), Some(-12_000));
        assert_eq!(integer("1.50e1"), Some(15));
        assert_eq!(integer("9223372036854775807.0"), Some(i64::MAX));
        assert_eq!(integer("9007199254740993.0"), Some(9_007_199_254_740_993));
        assert_eq!(integer("0e999"), Some(0));
        assert_eq!(integer("1.5"), None);
        assert_eq!(integer("15e-1"), None);
        assert_eq!(integer("1e-400"), None);
        assert_eq!(integer("1e19"), None);
    }

    #[test]
    fn decimals_are_exact_and_rounded_half_up() {
        let decimal = |text: &str| to_decimal(text.as_bytes(), 5, 2);
        assert_eq!(decimal("1"), Some(100));
        assert_eq!(decimal("-1.005"), Some(-101));
        assert_eq!(
            decimal("1.0049999999999999999999999999999999999999999"),
            Some(100)
        );
        assert_eq!(decimal("999.99"), Some(99_999));
        assert_eq!(decimal("999.995"), None);
        assert_eq!(decimal("1e2"), Some(10_000));
        assert_eq!(decimal("1e3"), None);
        assert_eq!(decimal("0.005"), Some(1));
        assert_eq!(decimal("0.0049"), Some(0));
        assert_eq!(decimal("0.0005"), Some(0));
        assert_eq!(decimal("5e-99999999999999999999"), Some(0));
        assert_eq!(decimal("0.1"), Some(10));
        let large = "12345678901234567890123456789012345678";
        assert_eq!(to_decimal(large.as_bytes(), 38, 0), large.parse().ok());
        assert_eq!(to_decimal(b"1e38", 38, 0), None);
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for (text, at) in [
            ("-", 1),
            ("01", 1),
            ("-01", 2),
            ("1.", 2),
            ("1.e5", 2),
            ("1e", 2),
            ("1e+", 3),
            (".5", 0),
            ("1e309", 0),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().0, at, "{text}");
        }
        assert!(read("9".repeat(400).as_bytes()).is_err());
        assert!(in_string(b"1 2").is_none());
        assert!(in_string(b"").is_none());
        assert_eq!(in_string(b" +7 ").unwrap().integer, Some(7));
        assert!(in_string(b"+-7").is_none());
    }
}
