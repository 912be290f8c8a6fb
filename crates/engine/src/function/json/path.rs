//! Follows a path into JSON ([`JsonPath`]).
//!
//! A path with `*`, `..`, a range or a list gives an array of all that it finds; any other one value.
//! A list of names at the end gives an object with those that are there.

use millstream_core::Result;
use millstream_core::pattern::json_path::{JsonPath, Step};

use super::value::Json;

/// A compiled path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    /// Whether what leads nowhere is an error.
    pub is_strict: bool,
    steps: Vec<Step>,
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
        let JsonPath { is_strict, steps } = JsonPath::parse(text)?;
        Ok(Self { is_strict, steps })
    }

    /// Whether it leads to one value, not to a list of all that it finds.
    pub fn is_definite(&self) -> bool {
        let (last, before) = match self.steps.split_last() {
            Some((Step::Keys(_), before)) => (true, before),
            Some((last, before)) => (is_definite(last), before),
            None => (true, [].as_slice()),
        };
        last && before.iter().all(is_definite)
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
        let mut is_one = true;
        for step in steps {
            let mut next = vec![];
            for value in found {
                follow(step, value, &mut next);
            }
            found = next;
            is_one &= is_definite(step);
            if is_one && found.is_empty() {
                return Err(NotFound);
            }
        }
        if let Some(keys) = merged {
            return merge(found, keys, is_one);
        }
        match (is_one, found.first()) {
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

/// Whether it can lead to only one value.
fn is_definite(step: &Step) -> bool {
    match step {
        Step::Keys(keys) => keys.len() == 1,
        Step::Elements(elements) => elements.len() == 1,
        Step::Range(..) | Step::All | Step::Deep => false,
    }
}

fn follow<'a>(step: &Step, value: &'a Json, found: &mut Vec<&'a Json>) {
    match (step, value) {
        (Step::Keys(keys), Json::Object(entries)) => {
            let of_key = |key: &String| entries.iter().find(|(name, _)| name == key);
            found.extend(keys.iter().filter_map(of_key).map(|(_, value)| value));
        }
        (Step::Elements(positions), Json::Array(elements)) => {
            let of = |position: &i64| elements.get(place(*position, elements.len())?);
            found.extend(positions.iter().filter_map(of));
        }
        (Step::Range(from, to), Json::Array(elements)) => {
            let end = |bound: Option<i64>, default: usize| match bound {
                None => default,
                Some(at) => place(at, elements.len()).unwrap_or(0).min(elements.len()),
            };
            let range = end(*from, 0)..end(*to, elements.len());
            found.extend(elements.get(range).unwrap_or_default());
        }
        (Step::All, Json::Array(elements)) => found.extend(elements),
        (Step::All, Json::Object(entries)) => {
            found.extend(entries.iter().map(|(_, value)| value));
        }
        (Step::Deep, value) => deep(value, found),
        _ => {}
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
}
