//! Date and time patterns in the letters of Java's `DateTimeFormatter`: `yyyy-MM-dd HH:mm:ss.SSS`.
//!
//! Letters: `y u M L d D H h K k m s S a E Q G`, and the zone letters `z V Z X x`, which write UTC.

use crate::{Error, Result};

/// A pattern as its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatePattern {
    /// In order.
    pub items: Vec<Item>,
}

/// A part of a [`DatePattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text that stands for itself.
    Literal(String),
    /// A letter, and how many of it.
    Field(char, usize),
}

impl DatePattern {
    /// Reads `pattern`.
    ///
    /// # Errors
    /// A letter that has no meaning or is not supported, a quote that is not closed.
    pub fn parse(pattern: &str) -> Result<Self> {
        let refuse = |why: String| Error::invalid(format!("date pattern `{pattern}`: {why}"));
        let mut items = vec![];
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                let quoted = read_quoted(&mut chars);
                let text = quoted.ok_or_else(|| refuse("a quote is not closed".into()))?;
                push_literal(&mut items, &text);
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                let most = most_letters(c);
                if count > most {
                    let letters = c.to_string().repeat(count);
                    return Err(refuse(format!("`{letters}` is not supported")));
                }
                items.push(Item::Field(c, count));
            } else if matches!(c, '[' | ']' | '{' | '}' | '#') {
                return Err(refuse(format!("`{c}` is not supported")));
            } else {
                push_literal(&mut items, c.encode_utf8(&mut [0; 4]));
            }
        }
        Ok(Self { items })
    }
}

/// Most repetitions of a letter; 0 if it is not supported.
fn most_letters(letter: char) -> usize {
    match letter {
        'y' | 'u' | 'S' => 9,
        'M' | 'L' | 'E' => 4,
        'd' | 'H' | 'h' | 'K' | 'k' | 'm' | 's' | 'Q' | 'V' => 2,
        'D' | 'Z' | 'X' | 'x' | 'z' | 'G' => 3,
        'a' => 1,
        _ => 0,
    }
}

/// The text up to the closing quote, the opening one being read; `''` is one quote.
fn read_quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' if text.is_empty() => return Some("'".into()),
            '\'' => return Some(text),
            c => text.push(c),
        }
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(last)) => last.push_str(text),
        _ => items.push(Item::Literal(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_patterns_are_errors() {
        let check = |pattern: &str, expected: &str| {
            let error = DatePattern::parse(pattern).unwrap_err();
            assert_eq!(error.to_string(), expected, "{pattern}");
        };
        check("yyyy 'x", "date pattern `yyyy 'x`: a quote is not closed");
        check("b", "date pattern `b`: `b` is not supported");
        check("ddd", "date pattern `ddd`: `ddd` is not supported");
        check(
            "yyyy[-MM]",
            "date pattern `yyyy[-MM]`: `[` is not supported",
        );
    }
}
