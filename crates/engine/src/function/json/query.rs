//! JSON_EXISTS, JSON_VALUE, JSON_QUERY. The path and what to do on empty or on error are constants:
//! `JSON_EXISTS(json, path, onError)`, `JSON_VALUE(json, path, onEmpty, onError, defaultOnEmpty,
//! defaultOnError)`, `JSON_QUERY(json, path, wrapper, onEmpty, onError)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
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
    /// Nothing, or null.
    Empty,
    /// The text is not JSON, or a strict path leads nowhere.
    Wrong,
}

fn find(text: &str, path: &Path) -> Found {
    let Some(whole) = Json::parse(text) else {
        return Found::Wrong;
    };
    match path.find(&whole) {
        Ok(Json::Null) => Found::Empty,
        Ok(value) => Found::Value(value),
        Err(_) if path.is_strict => Found::Wrong,
        Err(_) => Found::Empty,
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

/// The value if it can be one of type `wanted`.
fn fit(value: Json, wanted: &DataType) -> Option<Json> {
    Some(match (wanted, value) {
        (DataType::Boolean, Json::String(text)) => Json::Boolean(text.parse().ok()?),
        (DataType::Boolean, value @ Json::Boolean(_)) => value,
        (DataType::Int32, Json::Integer(value)) => {
            Json::Integer(i128::from(i32::try_from(value).ok()?))
        }
        (DataType::Int32, Json::String(text)) => {
            Json::Integer(i128::from(text.trim().parse::<i32>().ok()?))
        }
        (DataType::Float64, Json::Integer(value)) => Json::Double(value as f64),
        (DataType::Float64, Json::String(text)) => {
            Json::Double(crate::function::parse_double(&text)?)
        }
        (DataType::Float64, value @ Json::Double(_)) => value,
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
            Json::Integer(value) => i32::try_from(*value).ok(),
            _ => None,
        }),
        DataType::Float64 => build_numbers::<Float64Type>(rows, |row| match value(row)? {
            Json::Double(value) => Some(*value),
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
        let mut failed = None;
        let result = build_texts(args.rows, |row, out| {
            let text = input.get(row)?;
            let found = match find(text, &path) {
                Found::Value(value) => wrapped(value, &wrapper, path.is_strict),
                found => found,
            };
            let behaviour = match found {
                Found::Value(value) => {
                    value.write(out);
                    return Some(());
                }
                Found::Empty => on_empty,
                Found::Wrong => on_error,
            };
            match behaviour {
                Behaviour::EmptyArray => out.push_str("[]"),
                Behaviour::EmptyObject => out.push_str("{}"),
                Behaviour::Error => {
                    failed = Some(wrong("JSON_QUERY", text));
                    return None;
                }
                _ => return None,
            }
            Some(())
        });
        failed.map_or(Ok(result), Err)
    }))
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
