//! DataFusion's errors as ours: what the user can do about it, without the library's prefixes.

use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use millstream_core::{Error, ErrorKind};

/// Why a query has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// It took longer than this.
    #[error(
        "the query took longer than {} s; narrow it, for example by a time range",
        .0.as_secs_f64()
    )]
    TimedOut(Duration),
    /// It cannot be answered as it is, or what it reads is damaged.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// The error that a user sees.
pub fn into_error(error: DataFusionError) -> Error {
    let root = error.find_root();
    if let Some(ours) = own(root) {
        return ours;
    }
    match root {
        DataFusionError::SQL(parser, _) => Error::invalid(syntax(parser)),
        DataFusionError::ResourcesExhausted(_) => Error::invalid(
            "the query needs more memory than queries may use; narrow it, for example by a time \
             range or fewer groups",
        ),
        DataFusionError::Internal(text) => Error::bug(format!("datafusion: {text}")),
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Configuration(text) => Error::invalid(lower(first_line(text))),
        other => {
            let text = other.strip_backtrace();
            let text = ["Schema error: ", "Arrow error: "]
                .iter()
                .fold(text.as_str(), |text, prefix| {
                    text.strip_prefix(prefix).unwrap_or(text)
                });
            Error::new(ErrorKind::InvalidInput, lower(first_line(text)))
        }
    }
}

/// An error of our own, that DataFusion only carried.
fn own(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return Some(ours.clone());
        }
        cause = match current.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            _ => current.source(),
        };
    }
    None
}

/// `Expected: an expression, found: EOF at Line: 1, Column: 7` with the place in front.
fn syntax(error: &ParserError) -> String {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply",
    };
    let text = first_line(text);
    let (what, place) = match text.split_once(" at Line: ") {
        Some((what, place)) => (what, Some(place)),
        None => (text, None),
    };
    let what = lower(what)
        .replacen("expected: ", "expected ", 1)
        .replacen("found: ", "found ", 1);
    match place.and_then(|place| place.split_once(", Column: ")) {
        Some((line, column)) => format!("line {line}, column {column}: {what}"),
        None => what,
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text).trim_end_matches('.')
}

/// The text with a small first letter, unless its first word is a name or an abbreviation.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
