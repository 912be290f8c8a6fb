//! Patterns of LIKE. In a plan a backslash escapes; in Flink the character after ESCAPE does, and without
//! ESCAPE none.

use crate::{Error, Result};

/// The escape character that `text` is; none if it is empty.
///
/// # Errors
/// It is longer, or the character U+0000, which Flink refuses.
pub fn escape_character(text: &str) -> Result<Option<char>> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Ok(None),
        (Some(c), None) if c != '\0' => Ok(Some(c)),
        _ => Err(Error::invalid(format!(
            "found `{text}` after ESCAPE, expected one character"
        ))),
    }
}

/// `pattern` with backslashes in the place of `escape`.
///
/// # Errors
/// The escape character stands before anything but `%`, `_` and itself, as in Flink.
pub fn with_backslashes(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().enumerate();
    while let Some((at, c)) = chars.next() {
        let escaped = match Some(c) == escape {
            false => None,
            true => match chars.next() {
                Some((_, next)) if matches!(next, '%' | '_') || next == c => Some(next),
                _ => {
                    let position = at + 1;
                    return Err(Error::invalid(format!(
                        "pattern `{pattern}`: `{c}` at position {position} escapes neither `%` nor `_` nor itself"
                    )));
                }
            },
        };
        match escaped {
            Some(next) => out.extend(['\\', next]),
            None if c == '\\' => out.push_str("\\\\"),
            None => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Flink's `LikeFunctionITCase`.
    #[test]
    fn an_escape_becomes_a_backslash() {
        let check = |pattern: &str, escape: &str, expected: std::result::Result<&str, &str>| {
            let escape = escape_character(escape).unwrap();
            let found = with_backslashes(pattern, escape).map_err(|error| error.to_string());
            assert_eq!(
                found.as_deref().map_err(String::as_str),
                expected,
                "{pattern}"
            );
        };
        check(r"a\b%", "", Ok(r"a\\b%"));
        check("test✅%", "✅", Ok(r"test\%"));
        check("te__st", "_", Ok(r"te\_st"));
        check("te%_st", "%", Ok(r"te\_st"));
        check("te!!st", "!", Ok(r"te\!st"));
        check(r"te\_st", r"\", Ok(r"te\_st"));
        check("✅%", r"\", Ok("✅%"));
        let wrong = "pattern `te_st`: `_` at position 3 escapes neither `%` nor `_` nor itself";
        check("te_st", "_", Err(wrong));
        let wrong = "pattern `test_`: `_` at position 5 escapes neither `%` nor `_` nor itself";
        check("test_", "_", Err(wrong));
        assert!(escape_character("ab").is_err());
        assert!(escape_character("\0").is_err());
    }
}
