//! Paths into JSON: `[strict | lax] $.name['name'][0][-1][*].*..name[0:2]['a','b'][0,2]`.
//!
//! Source: Jayway's JsonPath, which Flink uses. Its filters (`?(…)`) and functions (`length()`) are
//! refused.

use crate::{Error, Result};

/// A path as its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    /// Whether what leads nowhere is an error.
    pub is_strict: bool,
    /// From the whole value to what is meant.
    pub steps: Vec<Step>,
}

/// A step of a [`JsonPath`].
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// One or several keys.
    Keys(Vec<String>),
    /// One or several elements, from the end if negative.
    Elements(Vec<i64>),
    /// `[from:to]`
    Range(Option<i64>, Option<i64>),
    /// `*`
    All,
    /// `..`: this value and all that it holds.
    Deep,
}

impl JsonPath {
    /// Reads `text`.
    ///
    /// # Errors
    /// It is no path, or has something that is not supported.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::invalid(format!("JSON path `{text}`: {why}"));
        let trimmed = text.trim();
        let (is_strict, rest) = match trimmed.split_once(char::is_whitespace) {
            Some((mode, rest)) if mode.eq_ignore_ascii_case("lax") => (false, rest.trim()),
            Some((mode, rest)) if mode.eq_ignore_ascii_case("strict") => (true, rest.trim()),
            _ => (true, trimmed),
        };
        let rest = rest.strip_prefix('$');
        let mut rest = rest.ok_or_else(|| refuse("expected `$` at the beginning"))?;
        let mut steps = vec![];
        while !rest.is_empty() {
            rest = step(rest, &mut steps).map_err(refuse)?;
        }
        if steps.last() == Some(&Step::Deep) {
            return Err(refuse("expected a name after `..`"));
        }
        Ok(Self { is_strict, steps })
    }
}

/// Reads one step; gives the rest of the text.
fn step<'a>(text: &'a str, steps: &mut Vec<Step>) -> std::result::Result<&'a str, &'static str> {
    if let Some(rest) = text.strip_prefix("..") {
        steps.push(Step::Deep);
        return match rest.starts_with('[') {
            true => Ok(rest),
            false => name(rest, steps),
        };
    }
    if let Some(rest) = text.strip_prefix('.') {
        // `$.['name']` is another way to write `$['name']`.
        return match rest.starts_with('[') {
            true => Ok(rest),
            false => name(rest, steps),
        };
    }
    let inner = text.strip_prefix('[').ok_or("expected `.` or `[`")?;
    let inner = inner.trim_start();
    if inner.starts_with(['\'', '"']) {
        return quoted(inner, steps);
    }
    let (inner, rest) = inner.split_once(']').ok_or("`[` is not closed")?;
    steps.push(elements(inner.trim())?);
    Ok(rest)
}

fn name<'a>(text: &'a str, steps: &mut Vec<Step>) -> std::result::Result<&'a str, &'static str> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match name {
        "" => return Err("expected a name after `.`"),
        "*" => steps.push(Step::All),
        name if name.contains(['(', ' ', '?', '@']) => {
            return Err(
                "filters and functions are not supported; write names in quotes: `['a b']`",
            );
        }
        name => steps.push(Step::Keys(vec![name.to_owned()])),
    }
    Ok(rest)
}

/// `'a','b']`
fn quoted<'a>(text: &'a str, steps: &mut Vec<Step>) -> std::result::Result<&'a str, &'static str> {
    let (mut keys, mut rest) = (vec![], text);
    loop {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let quote = quote.ok_or("expected a name in quotes")?;
        let mut key = String::new();
        let mut chars = rest[1..].char_indices();
        let end = loop {
            match chars.next().ok_or("a quote is not closed")? {
                (at, c) if c == quote => break at + 2,
                (_, '\\') => key.extend(chars.next().map(|(_, c)| c)),
                (_, c) => key.push(c),
            }
        };
        keys.push(key);
        rest = rest[end..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => break,
        }
    }
    steps.push(Step::Keys(keys));
    rest.strip_prefix(']').ok_or("`[` is not closed")
}

/// `*`, `0`, `-1`, `0,2`, `1:3`, `:3`, `1:`
fn elements(inner: &str) -> std::result::Result<Step, &'static str> {
    let wrong = "expected a number, a range, `*` or a name in quotes in `[…]`";
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| wrong);
    if inner == "*" {
        return Ok(Step::All);
    }
    if let Some((from, to)) = inner.split_once(':') {
        let bound = |text: &str| match text.trim() {
            "" => Ok(None),
            text => number(text).map(Some),
        };
        return Ok(Step::Range(bound(from)?, bound(to)?));
    }
    let positions = inner.split(',').map(number);
    Ok(Step::Elements(
        positions.collect::<std::result::Result<_, _>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_path_is_refused() {
        let check = |path: &str, expected: &str| {
            let error = JsonPath::parse(path).unwrap_err();
            assert_eq!(error.to_string(), expected, "{path}");
        };
        check("a.b", "JSON path `a.b`: expected `$` at the beginning");
        check("$.a[", "JSON path `$.a[`: `[` is not closed");
        check("$a", "JSON path `$a`: expected `.` or `[`");
        check(
            "$.a.length()",
            "JSON path `$.a.length()`: filters and functions are not supported; write names in quotes: `['a b']`",
        );
        check(
            "$.a[?(@.b > 1)]",
            "JSON path `$.a[?(@.b > 1)]`: expected a number, a range, `*` or a name in quotes in `[…]`",
        );
    }
}
