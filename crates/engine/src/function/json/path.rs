//! Paths into JSON: `[strict | lax] $.name['name'][0][-1][*].*..name[0:2]['a','b'][0,2]`.
//!
//! A path with `*`, `..`, a range or a list gives an array of all that it finds; any other one value.
//! A list of names at the end gives an object with those that are there.
//! Source: Jayway's JsonPath, which Flink uses. Its filters (`?(…)`) and functions (`length()`) are
//! refused.

use millstream_core::{Error, Result};

use super::value::Json;

/// A compiled path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    /// Whether what leads nowhere is an error.
    pub is_strict: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
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

/// A path that leads nowhere.
#[derive(Debug)]
pub(super) struct NotFound;

impl Path {
    /// Compiles `text`.
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

    /// Whether it leads to one value, not to a list of all that it finds.
    pub fn is_definite(&self) -> bool {
        let (last, before) = match self.steps.split_last() {
            Some((Step::Keys(_), before)) => (true, before),
            Some((last, before)) => (last.is_definite(), before),
            None => (true, [].as_slice()),
        };
        last && before.iter().all(Step::is_definite)
    }

    /// What it leads to.
    ///
    /// # Errors
    /// A path to one value leads nowhere, or the part before the first `*` or its like.
    pub fn find(&self, whole: &Json) -> std::result::Result<Json, NotFound> {
        let (steps, merged) = match self.steps.split_last() {
            Some((Step::Keys(keys), steps)) if keys.len() > 1 => (steps, Some(keys)),
            _ => (self.steps.as_slice(), None),
        };
        let mut found = vec![whole];
        let mut is_definite = true;
        for step in steps {
            let mut next = vec![];
            for value in found {
                step.follow(value, &mut next);
            }
            found = next;
            is_definite &= step.is_definite();
            if is_definite && found.is_empty() {
                return Err(NotFound);
            }
        }
        if let Some(keys) = merged {
            return merge(found, keys, is_definite);
        }
        match (is_definite, found.first()) {
            (false, _) => Ok(Json::Array(found.into_iter().cloned().collect())),
            (true, Some(value)) => Ok((*value).clone()),
            (true, None) => Err(NotFound),
        }
    }
}

/// The entries of these keys, as one object for each that is found.
fn merge(
    found: Vec<&Json>,
    keys: &[String],
    is_definite: bool,
) -> std::result::Result<Json, NotFound> {
    let mut objects = vec![];
    for value in found {
        let Json::Object(entries) = value else {
            continue;
        };
        let kept = entries.iter().filter(|(key, _)| keys.contains(key));
        objects.push(Json::Object(kept.cloned().collect()));
    }
    match is_definite {
        true => objects.pop().ok_or(NotFound),
        false => Ok(Json::Array(objects)),
    }
}

impl Step {
    /// Whether it can lead to only one value.
    fn is_definite(&self) -> bool {
        match self {
            Self::Keys(keys) => keys.len() == 1,
            Self::Elements(elements) => elements.len() == 1,
            Self::Range(..) | Self::All | Self::Deep => false,
        }
    }

    fn follow<'a>(&self, value: &'a Json, found: &mut Vec<&'a Json>) {
        match (self, value) {
            (Self::Keys(keys), Json::Object(entries)) => {
                let of_key = |key: &String| entries.iter().find(|(name, _)| name == key);
                found.extend(keys.iter().filter_map(of_key).map(|(_, value)| value));
            }
            (Self::Elements(positions), Json::Array(elements)) => {
                let of = |position: &i64| elements.get(place(*position, elements.len())?);
                found.extend(positions.iter().filter_map(of));
            }
            (Self::Range(from, to), Json::Array(elements)) => {
                let end = |bound: Option<i64>, default: usize| match bound {
                    None => default,
                    Some(at) => place(at, elements.len()).unwrap_or(0).min(elements.len()),
                };
                let range = end(*from, 0)..end(*to, elements.len());
                found.extend(elements.get(range).unwrap_or_default());
            }
            (Self::All, Json::Array(elements)) => found.extend(elements),
            (Self::All, Json::Object(entries)) => {
                found.extend(entries.iter().map(|(_, value)| value));
            }
            (Self::Deep, value) => deep(value, found),
            _ => {}
        }
    }
}

fn deep<'a>(value: &'a Json, found: &mut Vec<&'a Json>) {
    found.push(value);
    match value {
        Json::Array(elements) => elements.iter().for_each(|element| deep(element, found)),
        Json::Object(entries) => entries.iter().for_each(|(_, value)| deep(value, found)),
        _ => {}
    }
}

/// A position from the start; none if it lies before it.
fn place(position: i64, length: usize) -> Option<usize> {
    match usize::try_from(position) {
        Ok(position) => Some(position),
        Err(_) => length.checked_sub(usize::try_from(position.unsigned_abs()).ok()?),
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

    fn check(path: &str, json: &str, expected: &str) {
        let found = match Path::parse(path) {
            Err(error) => error.to_string(),
            Ok(path) => match path.find(&Json::parse(json).unwrap()) {
                Err(NotFound) => "nothing".into(),
                Ok(found) => {
                    let mut text = String::new();
                    found.write(&mut text);
                    text
                }
            },
        };
        assert_eq!(found, expected, "{path} of {json}");
    }

    #[test]
    fn paths_lead_to_values() {
        let json = r#"{"a":[{"b":1},{"b":2,"c":[3]},4],"x y":true,"n":null}"#;
        check("$", "1", "1");
        check("$.a[1].b", json, "2");
        check("lax $.a[-1]", json, "4");
        check("$.a[9]", json, "nothing");
        check("$.b", json, "nothing");
        check("$.n", json, "null");
        check("$['x y']", json, "true");
        check(r#"$.["x y"]"#, json, "true");
        check("$.a[*].b", json, "[1,2]");
        check("$.b[*].b", json, "nothing");
        check("$.a[*].x.y", json, "[]");
        check("$.a[0,2]", json, r#"[{"b":1},4]"#);
        check("$.a[1:]", json, r#"[{"b":2,"c":[3]},4]"#);
        check("$.a[-1:]", json, "[4]");
        check("$.a[5:9]", json, "[]");
        check("$..b", json, "[1,2]");
        check("$['n','x y','z']", json, "{\"n\":null,\"x y\":true}");
        check("$.a[*]['b','c']", json, r#"[{"b":1},{"b":2,"c":[3]}]"#);
        check("$.a['b','c']", json, "nothing");
        check("$.*", r#"{"p":1,"q":[2]}"#, "[1,[2]]");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        check("a.b", "1", "JSON path `a.b`: expected `$` at the beginning");
        check("$.a[", "1", "JSON path `$.a[`: `[` is not closed");
        check("$a", "1", "JSON path `$a`: expected `.` or `[`");
        check(
            "$.a.length()",
            "1",
            "JSON path `$.a.length()`: filters and functions are not supported; write names in quotes: `['a b']`",
        );
        check(
            "$.a[?(@.b > 1)]",
            "1",
            "JSON path `$.a[?(@.b > 1)]`: expected a number, a range, `*` or a name in quotes in `[…]`",
        );
    }
}
