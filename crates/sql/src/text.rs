//! The script's text with `${NAME}` substituted, and the way back to the places in the file.
//!
//! Variables stand anywhere but in comments; `${NAME:-value}` has a value if none is given. In a string literal or a quoted name the value is
//! escaped, so that it cannot end the literal. Each substitution is remembered, and a place in the
//! result maps to the place in the original: inside a value, to the `$`.

use std::collections::BTreeMap;

use sqlparser::tokenizer::Location;

use crate::diagnostic::{Fault, Result};

/// Text after substitution.
pub(crate) struct Text {
    /// What is parsed.
    pub substituted: String,
    original: String,
    replacements: Vec<Replacement>,
}

/// A variable's value in the text. All positions are in bytes.
struct Replacement {
    /// Where the value begins in the substituted text.
    at: usize,
    /// Length of the value.
    length: usize,
    /// Where `${NAME}` begins in the original.
    original_at: usize,
    /// Length of `${NAME}`.
    original_length: usize,
}

/// What surrounds a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Code,
    LineComment,
    BlockComment,
    Quoted(char),
}

impl Text {
    /// Substitutes `variables` in `original`. The places of faults are in the original, without
    /// the byte order mark that some editors put before it.
    pub fn new(original: &str, variables: &BTreeMap<String, String>) -> Result<Self> {
        let original = original.strip_prefix('\u{feff}').unwrap_or(original);
        let mut text = Self {
            substituted: String::with_capacity(original.len()),
            original: original.to_owned(),
            replacements: vec![],
        };
        let mut context = Context::Code;
        let mut at = 0;
        while let Some(next) = original[at..].chars().next() {
            let rest = &original[at..];
            let in_comment = matches!(context, Context::LineComment | Context::BlockComment);
            if !in_comment && rest.starts_with("${") {
                at += text.substitute(at, context, variables)?;
                continue;
            }
            let (length, after) = step(context, rest, next);
            context = after;
            text.substituted.push_str(&rest[..length]);
            at += length;
        }
        Ok(text)
    }

    /// Appends the value of the variable at `at` and returns how long `${NAME}` is.
    fn substitute(
        &mut self,
        at: usize,
        context: Context,
        variables: &BTreeMap<String, String>,
    ) -> Result<usize> {
        let rest = &self.original[at..];
        let place = location(&self.original, at);
        let Some(end) = rest.find('}') else {
            return Err(Fault::at(place, "`${` without `}`").help("write ${NAME}"));
        };
        let (name, default) = match rest[2..end].split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (&rest[2..end], None),
        };
        let Some(value) = variables.get(name).cloned().or(default) else {
            let known: Vec<&str> = variables.keys().map(String::as_str).collect();
            let fault = Fault::at(place, format!("unknown variable `${{{name}}}`"));
            return Err(match known.is_empty() {
                true => fault.help(format!("give it with --var {name}=VALUE")),
                false => fault.near(name, known),
            });
        };
        let value = match context {
            Context::Quoted(quote) => value.replace(quote, &format!("{quote}{quote}")),
            _ => value,
        };
        self.replacements.push(Replacement {
            at: self.substituted.len(),
            length: value.len(),
            original_at: at,
            original_length: end + 1,
        });
        self.substituted.push_str(&value);
        Ok(end + 1)
    }

    /// The place in the original that `place` in the substituted text comes from.
    pub fn original_place(&self, place: Location) -> Location {
        let at = offset(&self.substituted, place);
        let mut shift = 0isize;
        for replacement in &self.replacements {
            if at < replacement.at {
                break;
            }
            if at < replacement.at + replacement.length {
                return location(&self.original, replacement.original_at);
            }
            let end = replacement.original_at + replacement.original_length;
            shift = end.cast_signed() - (replacement.at + replacement.length).cast_signed();
        }
        location(&self.original, at.saturating_add_signed(shift))
    }
}

/// How many bytes of `rest` belong together, and what surrounds what comes after them.
fn step(context: Context, rest: &str, next: char) -> (usize, Context) {
    match context {
        Context::Code if rest.starts_with("--") => (2, Context::LineComment),
        Context::Code if rest.starts_with("/*") => (2, Context::BlockComment),
        Context::Code if matches!(next, '\'' | '`' | '"') => (1, Context::Quoted(next)),
        Context::LineComment if next == '\n' => (1, Context::Code),
        Context::BlockComment if rest.starts_with("*/") => (2, Context::Code),
        // A doubled quote ends one literal and begins the next: the same in effect.
        Context::Quoted(quote) if next == quote => (1, Context::Code),
        same => (next.len_utf8(), same),
    }
}

/// Line and column, in characters from 1, of the byte `at`.
fn location(text: &str, at: usize) -> Location {
    let before = &text[..at.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[start..].chars().count() + 1;
    Location::new(line as u64, column as u64)
}

/// The byte at a line and column.
fn offset(text: &str, place: Location) -> usize {
    let lines = text.split_inclusive('\n');
    let line = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(place.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = 0;
    for (index, content) in lines.enumerate() {
        if index == line {
            let characters = content.char_indices().nth(column);
            return start + characters.map_or(content.len(), |(at, _)| at);
        }
        start += content.len();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Origin;

    fn variables() -> BTreeMap<String, String> {
        let pairs = [("INPUT", "/data/in"), ("OWNER", "it's"), ("LINES", "a\nb")];
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    fn check(input: &str, expected: &str) {
        let text = Text::new(input, &variables()).expect("known variables");
        assert_eq!(text.substituted, expected);
    }

    #[test]
    fn substitutes_outside_comments() {
        check("'${INPUT}/a' ${INPUT}", "'/data/in/a' /data/in");
        check("-- ${NONE}\n'${INPUT}'", "-- ${NONE}\n'/data/in'");
        check("/* '${NONE} */ ${INPUT}", "/* '${NONE} */ /data/in");
        check("'--' ${INPUT}", "'--' /data/in");
        check("'it''s -- ${INPUT}'", "'it''s -- /data/in'");
    }

    #[test]
    fn a_default_stands_for_a_value_that_is_not_given() {
        check(
            "'${INPUT:-in}' ${NONE:-10} '${NONE:-it's}'",
            "'/data/in' 10 'it''s'",
        );
        check("[${NONE:-}]", "[]");
        check("${NONE:-a:-b}", "a:-b");
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_has_no_column() {
        let text = Text::new("\u{feff}SELECT ${INPUT}", &variables()).expect("known variables");
        assert_eq!(text.substituted, "SELECT /data/in");
        let place = text.original_place(Location::new(1, 1));
        assert_eq!((place.line, place.column), (1, 1));
    }

    #[test]
    fn a_value_cannot_end_its_literal() {
        check("'${OWNER}'", "'it''s'");
        check("`${OWNER}`", "`it's`");
    }

    #[test]
    fn places_lead_back_to_the_file() {
        let input = "a '${INPUT}' é b\n${LINES} c";
        let text = Text::new(input, &variables()).expect("known variables");
        let back = |line, column| {
            let place = text.original_place(Location::new(line, column));
            (place.line, place.column)
        };
        assert_eq!(back(1, 1), (1, 1));
        assert_eq!(back(1, 6), (1, 4), "inside a value: its variable");
        assert_eq!(back(1, 12), (1, 12), "the closing quote");
        assert_eq!(back(1, 16), (1, 16), "after a character of two bytes");
        assert_eq!(back(3, 1), (2, 1), "a value of two lines");
        assert_eq!(back(3, 3), (2, 10));
        assert_eq!(back(9, 9), (2, 11), "past the end");
    }

    #[test]
    fn names_unknown_variables() {
        let fault = |input: &str| match Text::new(input, &variables()) {
            Ok(_) => panic!("accepted {input}"),
            Err(fault) => fault,
        };
        let unknown = fault("\n '${INPT}'");
        assert_eq!(unknown.place, Origin::Text(Location::new(2, 3)));
        assert_eq!(unknown.message, "unknown variable `${INPT}`");
        assert_eq!(unknown.help.as_deref(), Some("did you mean `INPUT`?"));
        assert_eq!(fault("${INPUT").message, "`${` without `}`");
    }
}
