//! What is wrong with a script, and where.
//!
//! Inside the crate an error is a [`Fault`]: a place in the text after `${…}` was substituted, a
//! message and perhaps help. At the edge it becomes a [`Diagnostic`]: the place in the file as the
//! user wrote it. The first fault ends the planning.

use std::fmt;

use sqlparser::tokenizer::{Location, Span};

/// An error in a script. Its `Display` is `FILE:LINE:COLUMN: message`, then, indented on a line of
/// its own, what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostic {
    /// Name of the script.
    pub file: String,
    /// Line in the script, from 1; 0 if the error is not in its text.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// What was found and what was expected.
    pub message: String,
    /// Near misses or what to do.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        match &self.help {
            Some(help) => write!(f, "\n  {help}"),
            None => Ok(()),
        }
    }
}

impl From<Diagnostic> for millstream_core::Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::invalid(diagnostic.to_string())
    }
}

/// A place in the substituted text.
pub(crate) type Place = Location;

/// An error at a place in the substituted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where.
    pub place: Origin,
    /// What was found and what was expected.
    pub message: String,
    /// Near misses or what to do.
    pub help: Option<String>,
}

/// What a [`Fault`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The script's text.
    Text(Place),
    /// A setting that was given beside the script.
    Setting(String),
}

/// `Result` with [`Fault`].
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// `message` at `place`.
    pub fn at(place: impl Into<Where>, message: impl Into<String>) -> Self {
        Self {
            place: place.into().0,
            message: message.into(),
            help: None,
        }
    }

    /// `what` is Flink SQL that Millstream does not do yet.
    pub fn unsupported(place: impl Into<Where>, what: impl fmt::Display) -> Self {
        Self::at(place, format!("{what} not supported yet"))
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with what `name` may have been meant to be, or else all that it could be.
    #[must_use]
    pub fn near<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(name, &known) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => self,
            None => self.help(format!("expected one of: {}", listed(&known))),
        }
    }
}

/// Whatever says where a fault is.
pub(crate) struct Where(Origin);

impl From<Place> for Where {
    fn from(place: Place) -> Self {
        Self(Origin::Text(place))
    }
}

impl From<Span> for Where {
    fn from(span: Span) -> Self {
        Self(Origin::Text(span.start))
    }
}

impl From<&Origin> for Where {
    fn from(origin: &Origin) -> Self {
        Self(origin.clone())
    }
}

/// At most a dozen names, in backticks.
pub(crate) fn listed(names: &[&str]) -> String {
    const MOST: usize = 12;
    let mut names: Vec<&str> = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let shown: Vec<String> = names.iter().take(MOST).map(|n| format!("`{n}`")).collect();
    let rest = names.len().saturating_sub(MOST);
    match rest {
        0 => shown.join(", "),
        _ => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// The known name that `name` is most likely a slip of.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let most = (lower.chars().count() / 3).max(1);
    let distances = known
        .iter()
        .map(|known| (distance(&lower, &known.to_lowercase()), *known));
    let (distance, near) = distances.min()?;
    (distance <= most).then_some(near)
}

/// How many characters to insert, delete, replace or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = vec![];
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let replaced = previous[j] + usize::from(l != r);
            let mut best = replaced.min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let check = |name: &str, known: &[&str], expected: Option<&str>| {
            assert_eq!(nearest(name, known), expected, "{name}");
        };
        check("pgae", &["page", "user_id"], Some("page"));
        check("PAGE", &["page", "user_id"], Some("page"));
        check("userid", &["page", "user_id"], Some("user_id"));
        check("country", &["page", "user_id"], None);
        check("x", &[], None);
    }

    #[test]
    fn lists_at_most_a_dozen() {
        let names: Vec<String> = (10..25).map(|n| format!("n{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(listed(&names).ends_with("`n21` and 3 more"));
        assert_eq!(listed(&["b", "a"]), "`a`, `b`");
    }
}
