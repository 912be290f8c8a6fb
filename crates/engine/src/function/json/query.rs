//! JSON_EXISTS, JSON_VALUE, JSON_QUERY. The path and what to do on empty or on error are constants:
//! `JSON_EXISTS(json, path, onError)`, `JSON_VALUE(json, path, onEmpty, onError, defaultOnEmpty,
//! defaultOnError)`, `JSON_QUERY(json, path, wrapper, onEmpty, onError)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListBuilder, StringBuilder};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use millstream_core::{Error, Result};

use super::path::Path;
use super::value::Json;
use super::{constant, prepared};
use crate::function::args::{Args, Kernel, build_booleans, build_numbers, build_texts};
use crate::function::definition::{Call, Function, Kind, Returns};

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Any, Text};
    const VALUE: &[Kind] = &[Text, Text, Text, Text, Any];
    vec![
        prepared("JSON_EXISTS", (&[Text], 2, 3), Returns::Boolean, exists),
        prepared("JSON_VALUE", (VALUE, 2, 6), Returns::Text, value),
        prepared("JSON_QUERY", (&[Text], 2, 5), Returns::Text, query),
    ]
}

/// What to do where there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Null,
    Error,
    Default,
    EmptyArray,
    EmptyObject,
    True,
    False,
}

impl Behaviour {
    /// What constant argument `index` says.
    fn of(call: &Call<'_>, index: usize, default: Self) -> Result<Self> {
        if index >= call.constants.len() {
            return Ok(default);
        }
        let text = constant(call, index)?;
        Ok(match text.as_str() {
            "NULL" | "UNKNOWN" => Self::Null,
            "ERROR" => Self::Error,
            "DEFAULT" => Self::Default,
            "EMPTY ARRAY" => Self::EmptyArray,
            "EMPTY OBJECT" => Self::EmptyObject,
            "TRUE" => Self::True,
            "FALSE" => Self::False,
            other => return Err(Error::bug(format!("JSON behaviour `{other}`"))),
        })
    }
}

/// What a path finds in a text that is not null.
enum Found {
    Value(Json),
    /// A lax path leads nowhere or to null, or the text is not JSON.
    Empty,
    /// The same for a strict path.
    Wrong,
}

/// As Flink's `SqlJsonUtils.jsonApiCommonSyntax`: there a JSON text that is `null` is an error in both
/// modes.
fn find(text: &str, path: &Path) -> Found {
    let nothing = match path.is_strict {
        true => Found::Wrong,
        false => Found::Empty,
    };
    match Json::parse(text) {
        None => nothing,
        Some(Json::Null) => Found::Wrong,
        Some(whole) => match path.find(&whole) {
            Ok(Json::Null) | Err(_) => nothing,
            Ok(value) => Found::Value(value),
        },
    }
}

fn exists(call: &Call<'_>) -> Result<Kernel> {
    let path = Path::parse(&constant(call, 1)?)?;
    let on_error = Behaviour::of(call, 2, Behaviour::False)?;
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        let mut failed = None;
        let result = build_booleans(args.rows, |row| {
            let text = input.get(row)?;
            match find(text, &path) {
                Found::Value(_) => Some(true),
                Found::Empty => Some(false),
                Found::Wrong => match on_error {
                    Behaviour::True => Some(true),
                    Behaviour::Null => None,
                    Behaviour::Error => {
                        failed = Some(wrong("JSON_EXISTS", text));
                        None
                    }
                    _ => Some(false),
                },
            }
        });
        failed.map_or(Ok(result), Err)
    }))
}

fn wrong(function: &str, text: &str) -> Error {
    let shown: String = text.chars().take(60).collect();
    Error::invalid(format!("`{function}`: no result for `{shown}`"))
}

/// Where a row's result comes from.
enum Outcome {
    Value(Json),
    Null,
    DefaultOnEmpty,
    DefaultOnError,
}

fn value(call: &Call<'_>) -> Result<Kernel> {
    let path = Path::parse(&constant(call, 1)?)?;
    let on_empty = Behaviour::of(call, 2, Behaviour::Null)?;
    let on_error = Behaviour::of(call, 3, Behaviour::Null)?;
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        let wanted = args.return_type;
        let mut outcomes = Vec::with_capacity(args.rows);
        for row in 0..args.rows {
            let Some(text) = input.get(row) else {
                outcomes.push(Outcome::Null);
                continue;
            };
            let found = match find(text, &path) {
                Found::Value(value) if !value.is_scalar() && path.is_strict => Found::Wrong,
                Found::Value(value) if !value.is_scalar() => Found::Empty,
                Found::Value(value) => match fit(value, wanted) {
                    Some(value) => Found::Value(value),
                    None => Found::Wrong,
                },
                found => found,
            };
            outcomes.push(match (found, on_empty, on_error) {
                (Found::Value(value), ..) => Outcome::Value(value),
                (Found::Empty, Behaviour::Default, _) => Outcome::DefaultOnEmpty,
                (Found::Wrong, _, Behaviour::Default) => Outcome::DefaultOnError,
                (Found::Empty, Behaviour::Error, _) | (Found::Wrong, _, Behaviour::Error) => {
                    return Err(wrong("JSON_VALUE", text));
                }
                _ => Outcome::Null,
            });
        }
        value_column(args, &outcomes)
    }))
}

/// The value if it can be one of type `wanted`: text is read as it, digits after the point of an INT
/// are cut off.
fn fit(value: Json, wanted: &DataType) -> Option<Json> {
    Some(match (wanted, value) {
        (DataType::Boolean, Json::Boolean(value)) => Json::Boolean(value),
        (DataType::Boolean, Json::String(text)) => {
            match text.trim().to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "1" => Json::Boolean(true),
                "false" | "f" | "no" | "0" => Json::Boolean(false),
                _ => return None,
            }
        }
        (DataType::Int32, Json::Number(text) | Json::String(text)) => {
            let whole = crate::function::parse_double(&text)?.trunc();
            let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole);
            // Every INT is a double, and it was cut off above.
            Json::Number((fits.then_some(whole as i32)?).to_string())
        }
        (DataType::Float64, Json::Number(text) | Json::String(text)) => {
            let value = crate::function::parse_double(&text)?;
            value.is_finite().then_some(Json::Number(text))?
        }
        (DataType::Boolean | DataType::Int32 | DataType::Float64, _) => return None,
        (_, value) => value,
    })
}

fn value_column(args: &Args<'_>, outcomes: &[Outcome]) -> Result<ArrayRef> {
    let value = |row: usize| match &outcomes[row] {
        Outcome::Value(value) => Some(value),
        _ => None,
    };
    let rows = args.rows;
    let mut result = match args.return_type {
        DataType::Boolean => build_booleans(rows, |row| match value(row)? {
            Json::Boolean(value) => Some(*value),
            _ => None,
        }),
        DataType::Int32 => build_numbers::<Int32Type>(rows, |row| match value(row)? {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        }),
        DataType::Float64 => build_numbers::<Float64Type>(rows, |row| match value(row)? {
            Json::Number(text) | Json::String(text) => crate::function::parse_double(text),
            _ => None,
        }),
        _ => build_texts(rows, |row, out| {
            value(row)?.write_scalar(out);
            Some(())
        }),
    };
    for (index, default) in [(4, Outcome::DefaultOnEmpty), (5, Outcome::DefaultOnError)] {
        let kind = std::mem::discriminant(&default);
        let is_default = |outcome: &Outcome| std::mem::discriminant(outcome) == kind;
        if index < args.len() && outcomes.iter().any(is_default) {
            let mask = build_booleans(rows, |row| Some(is_default(&outcomes[row])));
            result = zip(mask.as_boolean(), &args.full_array(index)?, &result)?;
        }
    }
    Ok(result)
}

/// Gives text, or an array of the elements' texts if that is the type of the call.
fn query(call: &Call<'_>) -> Result<Kernel> {
    let path = Path::parse(&constant(call, 1)?)?;
    let wrapper = match call.constants.len() {
        0..3 => "WITHOUT".to_owned(),
        _ => constant(call, 2)?,
    };
    let on_empty = Behaviour::of(call, 3, Behaviour::Null)?;
    let on_error = Behaviour::of(call, 4, Behaviour::Null)?;
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        let is_array = matches!(args.return_type, DataType::List(_));
        let mut results = Vec::with_capacity(args.rows);
        for row in 0..args.rows {
            let Some(text) = input.get(row) else {
                results.push(None);
                continue;
            };
            let found = match find(text, &path) {
                Found::Value(value) => wrapped(value, &wrapper, path.is_strict),
                found => found,
            };
            let behaviour = match found {
                Found::Value(value) if !is_array || matches!(value, Json::Array(_)) => {
                    results.push(Some(value));
                    continue;
                }
                Found::Empty => on_empty,
                Found::Wrong | Found::Value(_) => on_error,
            };
            results.push(match behaviour {
                Behaviour::EmptyArray => Some(Json::Array(vec![])),
                Behaviour::EmptyObject => Some(Json::Object(vec![])),
                Behaviour::Error => return Err(wrong("JSON_QUERY", text)),
                _ => None,
            });
        }
        match is_array {
            true => Ok(text_lists(&results)),
            false => Ok(build_texts(args.rows, |row, out| {
                results[row].as_ref()?.write(out);
                Some(())
            })),
        }
    }))
}

/// `ARRAY<STRING>`: strings without quotes, other elements as JSON, null for null.
fn text_lists(rows: &[Option<Json>]) -> ArrayRef {
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in rows {
        let Some(Json::Array(elements)) = row else {
            out.append_null();
            continue;
        };
        for element in elements {
            let mut text = String::new();
            element.write_scalar(&mut text);
            let is_null = matches!(element, Json::Null);
            out.values().append_option((!is_null).then_some(text));
        }
        out.append(true);
    }
    Arc::new(out.finish())
}

fn wrapped(value: Json, wrapper: &str, is_strict: bool) -> Found {
    let value = match (wrapper, &value) {
        ("UNCONDITIONAL", _) => Json::Array(vec![value]),
        ("CONDITIONAL", Json::Array(_)) => value,
        ("CONDITIONAL", _) => Json::Array(vec![value]),
        _ => value,
    };
    match (value.is_scalar(), is_strict) {
        (false, _) => Found::Value(value),
        (true, true) => Found::Wrong,
        (true, false) => Found::Empty,
    }
}
