//! Regular expressions: Java's, and those of SQL's `SIMILAR TO`.
//!
//! A pattern is translated to the syntax of the `regex` crate: there `\d`, `\w`, `\s` and `\b` mean
//! all of Unicode, in Java only ASCII; and `\Q…\E` quotes. Look-around, back-references and
//! possessive quantifiers do not exist (matching takes linear time in exchange).

use regex::Regex;

use crate::{Error, Result};

/// Java's `pattern`.
///
/// # Errors
/// It is not a regular expression, or has something that is not supported.
pub fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(&translate(pattern)).map_err(|error| {
        let text = error.to_string();
        let reason = text
            .lines()
            .last()
            .unwrap_or("")
            .trim_start_matches("error: ");
        Error::invalid(format!("`{pattern}` is not a regular expression: {reason}"))
    })
}

/// From Java's syntax to that of the `regex` crate.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str("[ \\t\\n\\x0B\\f\\r]"),
            Some('S') => out.push_str("[^ \\t\\n\\x0B\\f\\r]"),
            Some('h') => out.push_str("[ \\t\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{202F}]"),
            Some('R') => out.push_str("(?:\\r\\n|[\\n\\x0B\\f\\r])"),
            Some('Z') => out.push_str("(?:\\n?\\z)"),
            Some('b') => out.push_str("(?-u:\\b)"),
            Some('Q') => {
                let rest = chars.as_str();
                let (quoted, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                out.push_str(&regex::escape(quoted));
                chars = after.chars();
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// SQL's `pattern`, for the whole text: `%` is any text, `_` any character; `| * + ? { } ( ) [ ]` are as
/// in other regular expressions. After `escape` a character stands for itself.
///
/// # Errors
/// It is no such pattern.
pub fn similar(pattern: &str, escape: Option<char>) -> Result<Regex> {
    let wrong =
        |why: &str| Error::invalid(format!("`{pattern}` is not a pattern of SIMILAR TO{why}"));
    let mut regex = String::from("(?s)^(?:");
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let next = chars.next();
            let next = next.ok_or_else(|| wrong(": it ends with the escape character"))?;
            regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            continue;
        }
        match c {
            '%' if !in_class => regex.push_str(".*"),
            '_' if !in_class => regex.push('.'),
            '.' | '$' | '\\' => regex.extend(['\\', c]),
            '^' if !in_class => regex.push_str("\\^"),
            c => regex.push(c),
        }
        in_class = match c {
            '[' => true,
            ']' => false,
            _ => in_class,
        };
    }
    regex.push_str(")$");
    Regex::new(&regex).map_err(|_| wrong(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_characters_stand_for_themselves() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let regex = similar(pattern, Some('!')).unwrap();
            assert_eq!(regex.is_match(text), expected, "{pattern} {text}");
        };
        check("100!%", "100%", true);
        check("100!%", "100x", false);
        check("a!_(b|c)", "a_c", true);
        check("!(!!!)", "(!)", true);
        check("[a!-c]", "b", false);
        check("[a!-c]", "-", true);
        assert_eq!(
            similar("a!", Some('!')).unwrap_err().to_string(),
            "`a!` is not a pattern of SIMILAR TO: it ends with the escape character"
        );
    }
}
