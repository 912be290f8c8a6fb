//! Constant arguments that tell a function what to do: a wrong one has a place in the file, so it is
//! found when the file is read, not when the pipeline is made.

use arrow::datatypes::DataType;
use millstream_core::expr::{Expr, ExprKind, Literal};
use millstream_core::pattern::date::DatePattern;
use millstream_core::pattern::json_path::JsonPath;
use millstream_core::pattern::printf::Format;
use millstream_core::pattern::{regular_expression, zone};
use millstream_core::types::sql_name;

use crate::diagnostic::{Fault, Result};
use crate::functions::Argument;

/// What a constant argument is.
#[derive(Debug, Clone, Copy)]
enum Constant {
    DateFormat,
    JsonPath,
    /// Java's.
    RegularExpression,
    /// Of SIMILAR TO.
    Similar,
    TimeZone,
}

/// Function, argument from 0, and what it is.
const CONSTANTS: &[(&str, usize, Constant)] = &[
    ("CONVERT_TZ", 1, Constant::TimeZone),
    ("CONVERT_TZ", 2, Constant::TimeZone),
    ("DATE_FORMAT", 1, Constant::DateFormat),
    ("FROM_UNIXTIME", 1, Constant::DateFormat),
    ("JSON_LENGTH", 1, Constant::JsonPath),
    ("REGEXP", 1, Constant::RegularExpression),
    ("REGEXP_COUNT", 1, Constant::RegularExpression),
    ("REGEXP_EXTRACT", 1, Constant::RegularExpression),
    ("REGEXP_EXTRACT_ALL", 1, Constant::RegularExpression),
    ("REGEXP_INSTR", 1, Constant::RegularExpression),
    ("REGEXP_REPLACE", 1, Constant::RegularExpression),
    ("REGEXP_SUBSTR", 1, Constant::RegularExpression),
    ("SIMILAR_TO", 1, Constant::Similar),
    ("STR_TO_MAP", 1, Constant::RegularExpression),
    ("STR_TO_MAP", 2, Constant::RegularExpression),
    ("TEXT_TO_TIMESTAMP_LTZ", 1, Constant::DateFormat),
    ("TEXT_TO_TIMESTAMP_LTZ", 2, Constant::TimeZone),
    ("TO_DATE", 1, Constant::DateFormat),
    ("TO_TIMESTAMP", 1, Constant::DateFormat),
    ("UNIX_TIMESTAMP", 1, Constant::DateFormat),
];

/// The text, if the expression is a constant one.
pub(crate) fn text(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Literal(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// Refuses constant arguments of `name` that it cannot work with.
pub(crate) fn check(name: &str, args: &[Argument]) -> Result<()> {
    for (_, index, constant) in CONSTANTS.iter().filter(|(known, ..)| *known == name) {
        let Some(argument) = args.get(*index) else {
            continue;
        };
        let Some(text) = text(&argument.expr) else {
            continue;
        };
        let escape = args.get(2).and_then(|escape| self::text(&escape.expr));
        let checked = match constant {
            Constant::DateFormat => DatePattern::parse(text).map(drop),
            Constant::JsonPath => JsonPath::parse(text).map(drop),
            Constant::RegularExpression => regular_expression::compile(text).map(drop),
            Constant::Similar => {
                let escape = escape.and_then(|escape| escape.chars().next());
                regular_expression::similar(text, escape).map(drop)
            }
            Constant::TimeZone => zone::parse(text).map(drop),
        };
        checked.map_err(|error| Fault::at(argument.place, error.to_string()))?;
    }
    match name {
        "PRINTF" => check_printf(args),
        _ => Ok(()),
    }
}

fn check_printf(args: &[Argument]) -> Result<()> {
    let (format, values) = args.split_first().expect("counted");
    for (index, value) in values.iter().enumerate() {
        let found = &value.expr.data_type;
        let writable = matches!(found, DataType::Utf8 | DataType::Boolean | DataType::Null);
        if !writable && !found.is_numeric() {
            let (number, found) = (index + 2, sql_name(found));
            let expected = "STRING, a number or BOOLEAN";
            let message =
                format!("argument {number} of `PRINTF`: found {found}, expected {expected}");
            let fault = Fault::at(value.place, message);
            return Err(fault.help("write CAST(… AS STRING)"));
        }
    }
    let Some(text) = text(&format.expr) else {
        return Ok(());
    };
    let types: Vec<DataType> = values.iter().map(|it| it.expr.data_type.clone()).collect();
    let checked = Format::parse(text).and_then(|format| format.check(&types));
    checked.map_err(|error| Fault::at(format.place, format!("`PRINTF`: {error}")))
}
