//! A cursor over the bytes of one record: the grammar of JSON (RFC 8259), one pass, no tree.
//!
//! It accepts exactly what `serde_json` accepts for a `Value`: strict numbers that fit a double,
//! no control characters in strings, no lone surrogates, at most [`DEPTH_MAX`] - 1 levels.
//!
//! INVARIANT: the bytes are valid UTF-8 (checked once for the record, by its owner), so bytes
//! between two quotes are UTF-8 too.
//! INVARIANT: after [`Fault::Value`] the cursor stands behind the value, so that the rest of the
//! record is still checked; after [`Fault::Syntax`] nothing more is read.

use super::escape;
use super::number::{self, Number};

/// Nesting at which a record is refused, as in `serde_json`.
pub(super) const DEPTH_MAX: u32 = 128;

/// Longest part of a value that an error message shows, in bytes.
const SHOWN_MAX: usize = 64;

/// Why a value was not decoded. The cursor holds the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The record is not JSON: [`Cursor::syntax_error`].
    Syntax,
    /// The record is JSON, but a value is not what its column takes: [`Cursor::take_mismatch`].
    Value,
}

/// A value that its column does not take.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// Where in the record, for example `geo.country`.
    pub path: String,
    /// What was found: `string "abc"`; empty when the field is missing.
    pub found: String,
    /// The type that was expected, in SQL's words.
    pub expected: String,
}

/// A string's bytes between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// As written.
    pub raw: &'a [u8],
    /// Whether `raw` has escapes, all of them valid.
    pub escaped: bool,
}

/// A position in a record.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: u32,
    expected: &'static str,
    mismatch: Option<Box<Mismatch>>,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`, which are valid UTF-8.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            depth: 0,
            expected: "",
            mismatch: None,
        }
    }

    /// The byte that it stands on.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    /// Its place in the record, in bytes.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes to a place where it has been.
    #[inline]
    pub fn go_to(&mut self, position: usize) {
        self.position = position;
    }

    /// The bytes from `start` to here.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }

    /// Steps over `expected` if it stands exactly here.
    #[inline]
    pub fn eat_exactly(&mut self, expected: &[u8]) -> bool {
        let found = self
            .bytes
            .get(self.position..self.position + expected.len());
        let same = found == Some(expected);
        if same {
            self.position += expected.len();
        }
        same
    }

    /// Steps over white space.
    #[inline]
    pub fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.position += 1;
        }
    }

    /// Steps over `byte`, which must stand here. `expected` names it.
    #[inline]
    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.position += 1;
            return Ok(());
        }
        Err(self.syntax(expected))
    }

    /// Into an array or object. Every call but one that fails is paired with `leave`.
    #[inline]
    pub fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth >= DEPTH_MAX {
            return Err(self.syntax("at most 127 levels of nesting"));
        }
        Ok(())
    }

    /// Out of an array or object.
    #[inline]
    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// After a member or an element: whether another one follows.
    #[inline]
    pub fn more(&mut self, close: u8, expected: &'static str) -> Result<bool, Fault> {
        self.skip_whitespace();
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                self.skip_whitespace();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.position += 1;
                Ok(false)
            }
            _ => Err(self.syntax(expected)),
        }
    }

    /// After the opening bracket, which is stepped over: whether it closes at once.
    #[inline]
    pub fn is_empty_container(&mut self, close: u8) -> bool {
        self.position += 1;
        self.skip_whitespace();
        let empty = self.peek() == Some(close);
        if empty {
            self.position += 1;
        }
        empty
    }

    /// A key and its colon.
    pub fn key(&mut self) -> Result<Text<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax("a key in double quotes"));
        }
        let key = self.string()?;
        self.skip_whitespace();
        self.expect(b':', "`:`")?;
        Ok(key)
    }

    /// The string whose opening quote stands here.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.position + 1;
        let end = escape::find_special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.position = end + 1;
            let raw = &self.bytes[start..end];
            return Ok(Text {
                raw,
                escaped: false,
            });
        }
        self.string_with_escapes(start, end)
    }

    #[cold]
    fn string_with_escapes(&mut self, start: usize, special: usize) -> Result<Text<'a>, Fault> {
        let mut at = special;
        loop {
            self.position = at;
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => match escape::read(&self.bytes[at..]) {
                    Ok((_, length)) => at += length,
                    Err(expected) => return Err(self.syntax(expected)),
                },
                Some(_) => return Err(self.syntax("no control character in a string")),
                None => return Err(self.syntax("`\"` at the end of a string")),
            }
            at = escape::find_special(self.bytes, at);
        }
        self.position = at + 1;
        let raw = &self.bytes[start..at];
        Ok(Text { raw, escaped: true })
    }

    /// The number that begins here.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Fault> {
        match number::read(&self.bytes[self.position..]) {
            Ok(number) => {
                self.position += number.text.len();
                Ok(number)
            }
            Err((length, expected)) => {
                self.position += length;
                Err(self.syntax(expected))
            }
        }
    }

    /// `null`, `true` or `false`, whose first byte stands here.
    #[inline]
    pub fn literal(&mut self, literal: &'static str) -> Result<(), Fault> {
        if self.eat_exactly(literal.as_bytes()) {
            return Ok(());
        }
        Err(self.syntax("a value"))
    }

    /// Steps over a value of any kind, checking it.
    #[inline]
    pub fn skip_value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'n') => self.literal("null"),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'{') => self.skip_object(),
            Some(b'[') => self.skip_array(),
            _ => Err(self.syntax("a value")),
        }
    }

    fn skip_object(&mut self) -> Result<(), Fault> {
        self.enter()?;
        if !self.is_empty_container(b'}') {
            loop {
                self.key()?;
                self.skip_whitespace();
                self.skip_value()?;
                if !self.more(b'}', "`,` or `}`")? {
                    break;
                }
            }
        }
        self.leave();
        Ok(())
    }

    fn skip_array(&mut self) -> Result<(), Fault> {
        self.enter()?;
        if !self.is_empty_container(b']') {
            loop {
                self.skip_value()?;
                if !self.more(b']', "`,` or `]`")? {
                    break;
                }
            }
        }
        self.leave();
        Ok(())
    }

    /// The record is not JSON: `expected` does not stand here.
    #[cold]
    pub fn syntax(&mut self, expected: &'static str) -> Fault {
        self.expected = expected;
        Fault::Syntax
    }

    /// The value that begins at `start` is not an `expected`. Steps over it.
    #[cold]
    pub fn wrong_value(&mut self, start: usize, expected: String) -> Fault {
        self.position = start;
        if let Err(fault) = self.skip_value() {
            return fault;
        }
        let found = describe(self.since(start));
        self.mismatch(Mismatch {
            path: String::new(),
            found,
            expected,
        })
    }

    /// A value is not what its column takes.
    #[cold]
    pub fn mismatch(&mut self, mismatch: Mismatch) -> Fault {
        self.mismatch = Some(Box::new(mismatch));
        Fault::Value
    }

    /// What [`Fault::Value`] is about.
    #[cold]
    pub fn take_mismatch(&mut self) -> Box<Mismatch> {
        self.mismatch
            .take()
            .expect("a value fault leaves its details")
    }

    /// What [`Fault::Syntax`] is about.
    #[cold]
    pub fn syntax_error(&self) -> String {
        format!(
            "not JSON: expected {} at byte {}",
            self.expected, self.position
        )
    }
}

impl Mismatch {
    /// The same, one level up: in the field or element `outer`.
    pub fn within(&mut self, outer: &str) {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{outer}{dot}{}", self.path);
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "field `{}`: ", self.path)?;
        }
        if self.found.is_empty() {
            return write!(f, "missing, expected {}", self.expected);
        }
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

/// The kind of a valid value, and its text if that is short.
fn describe(value: &[u8]) -> String {
    let kind = match value.first() {
        Some(b'{') => return "object".to_owned(),
        Some(b'[') => return "array".to_owned(),
        Some(b'"') => "string ",
        Some(b'-' | b'0'..=b'9') => "number ",
        _ => "",
    };
    let text = String::from_utf8_lossy(value);
    let Some(end) = (0..=SHOWN_MAX)
        .rev()
        .find(|end| text.is_char_boundary(*end))
    else {
        return kind.trim_end().to_owned();
    };
    if text.len() <= SHOWN_MAX {
        return format!("{kind}{text}");
    }
    format!("{kind}{}…", &text[..end])
}
