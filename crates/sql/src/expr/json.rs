//! Binds the calls that `dialect::json` makes.

use arrow::datatypes::DataType;
use millstream_core::expr::{Expr, ExprKind, Literal};
use millstream_core::pattern::json_path::JsonPath;
use millstream_core::types::{array, sql_name};
use sqlparser::ast;

use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::json::IS_JSON;
use crate::expr::ExprBinder;
use crate::expr::call::{arguments, name};
use crate::expr::constants::text as constant;
use crate::functions::{Argument, check_count};
use crate::types::{convert, converts_implicitly};

impl ExprBinder<'_> {
    /// Binds `name` if it is a function of this module. The number of arguments is the parser's.
    pub(super) fn bind_json(
        &mut self,
        name: &str,
        args: &[&ast::Expr],
        place: Place,
    ) -> Result<Option<Expr>> {
        if !matches!(
            name,
            IS_JSON
                | "JSON"
                | "JSON_EXISTS"
                | "JSON_QUERY"
                | "JSON_VALUE"
                | "JSON_OBJECT"
                | "JSON_ARRAY"
        ) {
            return Ok(None);
        }
        if name == "JSON" {
            let message = "`JSON` outside of JSON_OBJECT and JSON_ARRAY";
            let fault = Fault::at(place, message);
            return Err(fault.help("the text is JSON already"));
        }
        if let "JSON_OBJECT" | "JSON_ARRAY" = name {
            let args = self.bind_json_values(args)?;
            let step = if name == "JSON_OBJECT" { 2 } else { 1 };
            return construct(name, args, step).map(Some);
        }
        let mut args = self.bind_arguments(args)?;
        let shown = if name == IS_JSON { "IS JSON" } else { name };
        args[0].expr = json_text(&args[0], shown)?;
        let call = |name: &str, args: Vec<Argument>, data_type: DataType| {
            let args = args.into_iter().map(|arg| arg.expr).collect();
            Expr::call(name, args, data_type)
        };
        Ok(Some(match name {
            IS_JSON => call("IS_JSON", args, DataType::Boolean),
            "JSON_EXISTS" => {
                check_path(&args[1], name)?;
                call(name, args, DataType::Boolean)
            }
            "JSON_QUERY" => self.bind_json_query(args, place)?,
            _ => self.bind_json_value(args, place)?,
        }))
    }

    /// Arguments of JSON_OBJECT and JSON_ARRAY, among which `JSON(text)` may be.
    fn bind_json_values(&mut self, args: &[&ast::Expr]) -> Result<Vec<Argument>> {
        let mut bound = vec![];
        for arg in args {
            let place = self.place(arg);
            let raw = match arg {
                ast::Expr::Function(function) if name(function)? == "JSON" => {
                    arguments(function, "JSON")?
                }
                _ => {
                    bound.extend(self.bind_arguments(&[arg])?);
                    continue;
                }
            };
            check_count("JSON", place, raw.len(), (1, 1))?;
            let text = json_text(&self.bind_arguments(&raw)?[0], "JSON")?;
            let expr = Expr::call("JSON", vec![text], DataType::Utf8);
            bound.push(Argument { expr, place });
        }
        Ok(bound)
    }

    fn bind_json_query(&mut self, mut args: Vec<Argument>, place: Place) -> Result<Expr> {
        let number = args.pop().expect("the parser gives the type");
        check_path(&args[1], "JSON_QUERY")?;
        let number = constant(&number.expr).unwrap_or_default();
        let data_type = match number.is_empty() {
            true => DataType::Utf8,
            false => self.dialect.kept_type(number).expect("the parser kept it"),
        };
        let is_array = data_type == array(DataType::Utf8);
        if data_type != DataType::Utf8 && !is_array {
            let found = sql_name(&data_type);
            let fault = Fault::unsupported(place, format!("`JSON_QUERY … RETURNING {found}` is"));
            return Err(fault.help("use STRING or ARRAY<STRING>"));
        }
        let is_object = |arg: &Argument| constant(&arg.expr) == Some("EMPTY OBJECT");
        if is_array && args[3..].iter().any(is_object) {
            let message = "`EMPTY OBJECT` of a JSON_QUERY that returns ARRAY<STRING>";
            return Err(Fault::at(place, message).help("use EMPTY ARRAY, NULL or ERROR"));
        }
        let args = args.into_iter().map(|arg| arg.expr).collect();
        Ok(Expr::call("JSON_QUERY", args, data_type))
    }

    fn bind_json_value(&mut self, mut args: Vec<Argument>, place: Place) -> Result<Expr> {
        let number = args.pop().expect("the parser gives the type");
        check_path(&args[1], "JSON_VALUE")?;
        let number = constant(&number.expr).unwrap_or_default();
        let data_type = match number.is_empty() {
            true => DataType::Utf8,
            false => self.dialect.kept_type(number).expect("the parser kept it"),
        };
        let returned = [
            DataType::Utf8,
            DataType::Boolean,
            DataType::Int32,
            DataType::Float64,
        ];
        if !returned.contains(&data_type) {
            let found = sql_name(&data_type);
            let fault = Fault::unsupported(place, format!("`JSON_VALUE … RETURNING {found}` is"));
            return Err(fault.help("use STRING, BOOLEAN, INT or DOUBLE, and CAST the result"));
        }
        for default in &mut args[4..] {
            let found = &default.expr.data_type;
            let to_text = data_type == DataType::Utf8 && crate::types::casts(found, &data_type);
            if !converts_implicitly(found, &data_type) && !to_text {
                let (found, expected) = (sql_name(found), sql_name(&data_type));
                let message = format!("found {found} after DEFAULT, expected {expected}");
                return Err(Fault::at(default.place, message));
            }
            default.expr = convert(default.expr.clone(), &data_type);
        }
        let args = args.into_iter().map(|arg| arg.expr).collect();
        Ok(Expr::call("JSON_VALUE", args, data_type))
    }
}

/// The argument as JSON text.
fn json_text(json: &Argument, name: &str) -> Result<Expr> {
    let found = &json.expr.data_type;
    if matches!(found, DataType::Utf8 | DataType::Null) {
        return Ok(convert(json.expr.clone(), &DataType::Utf8));
    }
    let found = sql_name(found);
    let message = format!("argument 1 of `{name}`: found {found}, expected STRING");
    Err(Fault::at(json.place, message).help("JSON is text here"))
}

/// Refuses what is no constant path.
fn check_path(path: &Argument, name: &str) -> Result<()> {
    let text = constant(&path.expr).ok_or_else(|| {
        let message = format!("argument 2 of `{name}`: expected a constant path such as '$.a'");
        Fault::at(path.place, message)
    })?;
    let parsed = JsonPath::parse(text).map(drop);
    parsed.map_err(|error| Fault::at(path.place, error.to_string()))
}

/// `JSON_OBJECT` (keys and values) or `JSON_ARRAY`: a letter for each value says whether it is JSON
/// already, as results of JSON_OBJECT, JSON_ARRAY and JSON are.
fn construct(name: &str, args: Vec<Argument>, step: usize) -> Result<Expr> {
    let mut args = args.into_iter();
    let on_null = args.next().expect("the parser gives the clause").expr;
    let (mut flags, mut values) = (String::new(), vec![]);
    for (index, arg) in args.enumerate() {
        let Argument { expr, place } = arg;
        if step == 2 && index % 2 == 0 {
            if constant(&expr).is_none() {
                let message = "a key of `JSON_OBJECT`: expected a constant string";
                return Err(Fault::at(place, message));
            }
            values.push(expr);
            continue;
        }
        if let DataType::Duration(_) = expr.data_type {
            let message = format!("found {} in `{name}`", sql_name(&expr.data_type));
            return Err(Fault::at(place, message));
        }
        let is_json = match &expr.kind {
            ExprKind::Call { function, .. } => {
                matches!(function.as_str(), "JSON_OBJECT" | "JSON_ARRAY" | "JSON")
            }
            _ => false,
        };
        flags.push(if is_json { 'j' } else { 'v' });
        values.push(match expr.data_type {
            DataType::Null => convert(expr, &DataType::Utf8),
            _ => expr,
        });
    }
    flags.push_str(constant(&on_null).unwrap_or("n"));
    values.insert(0, Expr::literal(Literal::String(flags), DataType::Utf8));
    Ok(Expr::call(name, values, DataType::Utf8))
}
