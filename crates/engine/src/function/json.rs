//! Functions on JSON text. Values are read as [`Json`], which keeps the order of keys.
//!
//! Paths are those of Flink (Jayway's JsonPath) without filters and functions: see [`Path`]. `strict`,
//! the default, makes a path that leads nowhere an error, `lax` an empty result; what then happens is
//! said by ON ERROR and ON EMPTY.

mod construct;
mod parse;
mod path;
mod query;
mod value;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;
use millstream_core::{Error, Result};

use super::args::{Args, Kernel, build_booleans, build_numbers, build_texts};
use super::definition::{Body, Call, ConstantText, Function, Kind, Params, Returns};
use super::text::plain;
use path::Path;
use value::Json;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    use Kind::Text;
    let mut functions = vec![
        plain("IS_JSON", (&[Text], 2, 2), Returns::Boolean, is_json),
        plain("JSON_QUOTE", (&[Text], 1, 1), Returns::Text, quote),
        plain("JSON_UNQUOTE", (&[Text], 1, 1), Returns::Text, unquote),
        plain("JSON", (&[Text], 1, 1), Returns::Text, json),
        prepared("JSON_LENGTH", (&[Text], 1, 2), Returns::Int, length),
    ];
    functions.extend(query::functions());
    functions.extend(construct::functions());
    functions
}

fn prepared(
    name: &'static str,
    (kinds, least, most): (&'static [Kind], usize, usize),
    returns: Returns,
    prepare: fn(&Call<'_>) -> Result<Kernel>,
) -> Function {
    Function {
        name,
        params: Params { kinds, least, most },
        returns,
        body: Body::Prepared(prepare),
    }
}

/// The constant text of argument `index`.
fn constant(call: &Call<'_>, index: usize) -> Result<String> {
    match call.text(index) {
        ConstantText::Is(text) => Ok(text),
        _ => Err(Error::invalid(format!(
            "argument {}: expected a constant string",
            index + 1
        ))),
    }
}

/// `IS_JSON(text, kind)`, for `text IS JSON kind`: false for null.
fn is_json(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, kinds) = (args.texts(0)?, args.texts(1)?);
    Ok(build_booleans(args.rows, |row| {
        let found = input.get(row).and_then(Json::parse);
        Some(found.is_some_and(|found| match kinds.get(row) {
            Some("OBJECT") => matches!(found, Json::Object(_)),
            Some("ARRAY") => matches!(found, Json::Array(_)),
            Some("SCALAR") => found.is_scalar(),
            _ => true,
        }))
    }))
}

/// In quotes; as in Flink `/` and everything beyond ASCII are escaped too, other control characters not.
fn quote(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        let text = input.get(row)?;
        out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' | '/' => out.extend(['\\', c]),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c <= '\u{7f}' => out.push(c),
                c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                    out.push_str(&format!("\\u{unit:04x}"));
                }),
            }
        }
        out.push('"');
        Some(())
    }))
}

/// `JSON(text)`: the JSON that a text is, for JSON_OBJECT and JSON_ARRAY; null for an empty text.
fn json(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    let mut failed = None;
    let result = build_texts(args.rows, |row, out| {
        let text = input.get(row)?;
        if text.trim().is_empty() {
            return None;
        }
        match Json::parse(text) {
            Some(value) => value.write(out),
            None => {
                let shown: String = text.chars().take(60).collect();
                failed = Some(Error::invalid(format!("`JSON`: `{shown}` is not JSON")));
            }
        }
        Some(())
    });
    failed.map_or(Ok(result), Err)
}

/// What stands in quotes, without escapes; as it is without quotes, or if an escape is wrong. As in
/// Flink, quotes inside need no escape.
fn unquote(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        let text = input.get(row)?;
        let inner = text.strip_prefix('"');
        let inner = inner.and_then(|text| text.strip_suffix('"'));
        match inner.and_then(parse::unescaped) {
            Some(inner) => out.push_str(&inner),
            None => out.push_str(text),
        }
        Some(())
    }))
}

/// `JSON_LENGTH(json[, path])`: how many elements or keys; 1 for a scalar; null if there is nothing. A
/// path that may find several values must find one.
fn length(call: &Call<'_>) -> Result<Kernel> {
    let path = match call.constants.len() {
        1 => None,
        _ => Some(Path::parse(&constant(call, 1)?)?),
    };
    Ok(Arc::new(move |args| {
        let input = args.texts(0)?;
        Ok(build_numbers::<Int32Type>(args.rows, |row| {
            let whole = Json::parse(input.get(row)?)?;
            let found = match &path {
                Some(path) => path.find(&whole).ok()?,
                None => whole,
            };
            let is_list = path.as_ref().is_some_and(|path| !path.is_definite());
            let length = match found {
                Json::Array(matches) if is_list => match matches.as_slice() {
                    [only] => only.len(),
                    _ => return None,
                },
                found => found.len(),
            };
            i32::try_from(length).ok()
        }))
    }))
}
