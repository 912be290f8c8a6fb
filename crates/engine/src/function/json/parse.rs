//! Reads JSON text. A parser of our own, as the digits of a number must come out as they went in.

use super::value::Json;

/// Most arrays and objects within each other: they are walked by recursion.
const DEPTH_MAX: usize = 128;

impl Json {
    /// The value of `text`, if that is JSON.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.skip_blanks();
        (parser.at == text.len()).then_some(value)
    }
}

/// `text` without escapes; none if one of them is wrong, or a control character is not escaped.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut parser = Parser { text, at: 0 };
    let mut out = String::new();
    loop {
        let rest = &text[parser.at..];
        let Some(end) = rest.find(|c: char| c == '\\' || c < ' ') else {
            out.push_str(rest);
            return Some(out);
        };
        out.push_str(&rest[..end]);
        parser.at += end;
        parser.take("\\")?;
        out.push(parser.escaped()?);
    }
}

/// Where reading stands, always between characters.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `expected` if it is next.
    fn take(&mut self, expected: &str) -> Option<()> {
        let rest = &self.text[self.at..];
        rest.starts_with(expected)
            .then(|| self.at += expected.len())
    }

    /// Takes `expected` after blanks.
    fn take_mark(&mut self, expected: &str) -> Option<()> {
        self.skip_blanks();
        self.take(expected)
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_blanks();
        match self.peek()? {
            b'{' | b'[' if depth == DEPTH_MAX => None,
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Json::String),
            b't' => self.take("true").map(|()| Json::Boolean(true)),
            b'f' => self.take("false").map(|()| Json::Boolean(false)),
            b'n' => self.take("null").map(|()| Json::Null),
            _ => self.number().map(Json::Number),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.take("[")?;
        let mut elements = vec![];
        if self.take_mark("]").is_some() {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            if self.take_mark("]").is_some() {
                return Some(Json::Array(elements));
            }
            self.take(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take("{")?;
        let mut entries: Vec<(String, Json)> = vec![];
        if self.take_mark("}").is_some() {
            return Some(Json::Object(entries));
        }
        loop {
            self.skip_blanks();
            let key = self.string()?;
            self.take_mark(":")?;
            let value = self.value(depth)?;
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => entries.push((key, value)),
            }
            if self.take_mark("}").is_some() {
                return Some(Json::Object(entries));
            }
            self.take(",")?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find(|c: char| c == '"' || c == '\\' || c < ' ')?;
            out.push_str(&rest[..end]);
            self.at += end + 1;
            match rest.as_bytes()[end] {
                b'"' => return Some(out),
                b'\\' => out.push(self.escaped()?),
                _ => return None,
            }
        }
    }

    /// What stands after a backslash.
    fn escaped(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                if !(0xD800..0xDC00).contains(&unit) {
                    return char::from_u32(u32::from(unit));
                }
                self.take("\\u")?;
                let pair = [unit, self.hex()?];
                char::decode_utf16(pair).next()?.ok()?
            }
            _ => {
                // Not the middle of a character: nothing is read after a failure.
                self.at -= 1;
                return None;
            }
        })
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        self.at += 4;
        u16::from_str_radix(digits, 16).ok().filter(|_| all_hex)
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_digit());
        let digits = &rest[..end.unwrap_or(rest.len())];
        self.at += digits.len();
        (!digits.is_empty()).then_some(digits)
    }

    fn number(&mut self) -> Option<String> {
        let sign = if self.take("-").is_some() { "-" } else { "" };
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let fraction = match self.take(".") {
            Some(()) => Some(self.digits()?),
            None => None,
        };
        let exponent = match self.take("e").or_else(|| self.take("E")) {
            Some(()) => {
                let negative = self.take("-").is_some();
                let _ = if negative { None } else { self.take("+") };
                let digits: i64 = self.digits()?.parse().ok()?;
                Some(if negative { -digits } else { digits })
            }
            None => None,
        };
        if fraction.is_none() && exponent.is_none() {
            let sign = if whole == "0" { "" } else { sign };
            return Some(format!("{sign}{whole}"));
        }
        decimal(sign, whole, (fraction.unwrap_or(""), exponent.unwrap_or(0)))
    }
}

/// As `BigDecimal.toString` of Java writes it; none for an exponent that it cannot have.
fn decimal(sign: &str, whole: &str, (fraction, exponent): (&str, i64)) -> Option<String> {
    let digits = format!("{whole}{fraction}");
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let sign = if digits == "0" { "" } else { sign };
    let count = i64::try_from(digits.len()).ok()?;
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    i32::try_from(scale).ok()?;
    let magnitude = count - 1 - scale;
    if scale == 0 {
        return Some(format!("{sign}{digits}"));
    }
    if scale > 0 && magnitude >= -6 {
        let scale = usize::try_from(scale).ok()?;
        let padded = format!(
            "{}{digits}",
            "0".repeat((scale + 1).saturating_sub(digits.len()))
        );
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        return Some(format!("{sign}{whole}.{fraction}"));
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    Some(format!("{sign}{first}{point}{rest}E{magnitude:+}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let found = Json::parse(text).map(|json| {
            let mut out = String::new();
            json.write(&mut out);
            out
        });
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn what_is_json() {
        check(
            " { \"b\" : [ 1 , true , null ] , \"a\" : \"x\" } ",
            Some("{\"a\":\"x\",\"b\":[1,true,null]}"),
        );
        check("{\"a\":1,\"a\":2}", Some("{\"a\":2}"));
        check("[]", Some("[]"));
        check("{ }", Some("{}"));
        check(r#""\u00e9\n\ud83d\ude00\/""#, Some("\"é\\n😀/\""));
        for wrong in [
            "",
            " ",
            "tru",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "1 2",
            "'a'",
            "\"a",
            "\"\t\"",
            "\"\\x\"",
            "\"\\é\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud83d\"",
            "\"\\ud83dé",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "-",
            "NaN",
            "1e99999999999",
        ] {
            check(wrong, None);
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(&deep(128)).is_some());
        assert!(Json::parse(&deep(129)).is_none());
    }

    /// Expected values: the documentation of Java's `BigDecimal.toString`.
    #[test]
    fn numbers_keep_their_digits() {
        check("-0", Some("0"));
        check(
            "123456789012345678901234567890",
            Some("123456789012345678901234567890"),
        );
        check("1.50", Some("1.50"));
        check("-0.000123", Some("-0.000123"));
        check("0.00000012", Some("1.2E-7"));
        check("1e3", Some("1E+3"));
        check("1.25e1", Some("12.5"));
        check("12.5e1", Some("125"));
        check("123e-10", Some("1.23E-8"));
        check("0.0", Some("0.0"));
        check("0e5", Some("0E+5"));
    }
}
