//! Value constructors (`ARRAY[…]`, `MAP[…]`, `ROW(…)`) and functions on arrays and maps.

use arrow::datatypes::{DataType, Field};
use millstream_core::expr::Expr;
use millstream_core::types::{array, map, sql_name};
use sqlparser::ast;

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::functions::{Argument, check_count};
use crate::types::{common_type, convert, converts_implicitly, is_comparable, is_integer};

const MANY: usize = usize::MAX;

/// How many arguments, of which the first is an array, and what the others are.
const ARRAYS: &[(&str, (usize, usize), Others)] = &[
    ("ARRAY_APPEND", (2, 2), Others::Element),
    ("ARRAY_PREPEND", (2, 2), Others::Element),
    ("ARRAY_REMOVE", (2, 2), Others::Element),
    ("ARRAY_CONTAINS", (2, 2), Others::Element),
    ("ARRAY_POSITION", (2, 2), Others::Element),
    ("ARRAY_CONCAT", (1, MANY), Others::Array),
    ("ARRAY_UNION", (2, 2), Others::Array),
    ("ARRAY_EXCEPT", (2, 2), Others::Array),
    ("ARRAY_INTERSECT", (2, 2), Others::Array),
    ("ARRAY_DISTINCT", (1, 1), Others::Array),
    ("ARRAY_REVERSE", (1, 1), Others::Array),
    ("ARRAY_MAX", (1, 1), Others::Array),
    ("ARRAY_MIN", (1, 1), Others::Array),
    ("ELEMENT", (1, 1), Others::Array),
    ("ARRAY_SORT", (1, 3), Others::Boolean),
    ("ARRAY_SLICE", (2, 3), Others::Long),
    ("ARRAY_JOIN", (2, 3), Others::Text),
];

/// What stands beside an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// One of its elements
    Element,
    /// Another one
    Array,
    Boolean,
    Long,
    Text,
}

/// Names of functions of this module.
pub(crate) const NAMES: &[&str] = &[
    "ARRAY_APPEND",
    "ARRAY_PREPEND",
    "ARRAY_REMOVE",
    "ARRAY_CONTAINS",
    "ARRAY_POSITION",
    "ARRAY_CONCAT",
    "ARRAY_UNION",
    "ARRAY_EXCEPT",
    "ARRAY_INTERSECT",
    "ARRAY_DISTINCT",
    "ARRAY_REVERSE",
    "ARRAY_MAX",
    "ARRAY_MIN",
    "ELEMENT",
    "ARRAY_SORT",
    "ARRAY_SLICE",
    "ARRAY_JOIN",
    "MAP_KEYS",
    "MAP_VALUES",
    "MAP_FROM_ARRAYS",
    "MAP_ENTRIES",
    "MAP_UNION",
    "ROW",
];

impl ExprBinder<'_> {
    /// `ARRAY[value, …]`
    pub(super) fn bind_array(&mut self, elements: &[ast::Expr], place: Place) -> Result<Expr> {
        let elements: Vec<&ast::Expr> = elements.iter().collect();
        let args = self.bind_arguments(&elements)?;
        if args.is_empty() {
            return Err(Fault::unsupported(place, "an empty `ARRAY[]` is"));
        }
        let (args, element) = to_common(args, "ARRAY")?;
        Ok(Expr::call("ARRAY", args, array(element)))
    }

    /// `MAP[key, value, …]`
    pub(super) fn bind_map(&mut self, parts: &[&ast::Expr], place: Place) -> Result<Expr> {
        let args = self.bind_arguments(parts)?;
        if args.is_empty() || args.len() % 2 == 1 {
            let message = format!(
                "found {} values in `MAP[…]`, expected keys and values",
                args.len()
            );
            return Err(Fault::at(place, message));
        }
        let (mut keys, mut values) = (vec![], vec![]);
        for (index, arg) in args.into_iter().enumerate() {
            if index % 2 == 0 {
                &mut keys
            } else {
                &mut values
            }
            .push(arg);
        }
        let (keys, key) = to_common(keys, "MAP")?;
        let (values, value) = to_common(values, "MAP")?;
        let pairs = keys.into_iter().zip(values);
        let args = pairs.flat_map(|(key, value)| [key, value]).collect();
        Ok(Expr::call("MAP", args, map(key, value)))
    }

    /// `ROW(value, …)`, also `(value, value, …)`
    pub(super) fn bind_row(&mut self, parts: &[&ast::Expr]) -> Result<Expr> {
        let mut args = vec![];
        for arg in self.bind_arguments(parts)? {
            args.push(typed(arg, "ROW")?);
        }
        let fields = args.iter().enumerate();
        let fields = fields
            .map(|(index, arg)| Field::new(format!("EXPR${index}"), arg.data_type.clone(), true));
        let data_type = DataType::Struct(fields.collect());
        Ok(Expr::call("ROW", args, data_type))
    }

    /// Binds `name` if it is a function of this module.
    pub(super) fn bind_collection(
        &mut self,
        name: &str,
        args: &[&ast::Expr],
        place: Place,
    ) -> Result<Option<Expr>> {
        let count = |least, most| check_count(name, place, args.len(), (least, most));
        if name == "ROW" {
            count(1, MANY)?;
            return self.bind_row(args).map(Some);
        }
        if let "MAP_KEYS" | "MAP_VALUES" = name {
            count(1, 1)?;
            let bound = self.bind_arguments(args)?.remove(0);
            let Some((key, value)) = parts_of_map(&bound.expr.data_type) else {
                return Err(wrong((name, 1), &bound, "MAP"));
            };
            let element = if name == "MAP_KEYS" { key } else { value };
            return Ok(Some(Expr::call(name, vec![bound.expr], array(element))));
        }
        if name == "MAP_FROM_ARRAYS" {
            count(2, 2)?;
            let args = self.bind_arguments(args)?;
            let (keys, values) = (
                element_of((name, 1), &args[0])?,
                element_of((name, 2), &args[1])?,
            );
            let args = args.into_iter().map(|arg| arg.expr).collect();
            return Ok(Some(Expr::call(name, args, map(keys, values))));
        }
        if let "MAP_ENTRIES" | "MAP_UNION" = name {
            count(1, if name == "MAP_UNION" { MANY } else { 1 })?;
            return map_call(name, self.bind_arguments(args)?).map(Some);
        }
        let Some((_, (least, most), others)) = ARRAYS.iter().find(|(known, ..)| *known == name)
        else {
            return Ok(None);
        };
        count(*least, *most)?;
        let args = self.bind_arguments(args)?;
        array_call(name, args, *others).map(Some)
    }
}

/// MAP_ENTRIES or MAP_UNION; maps are converted to the type of the first by its keys and values.
fn map_call(name: &str, args: Vec<Argument>) -> Result<Expr> {
    let parts = parts_of_map(&args[0].expr.data_type);
    let (key, value) = parts.ok_or_else(|| wrong((name, 1), &args[0], "MAP"))?;
    let wanted = map(key.clone(), value.clone());
    for (index, arg) in args.iter().enumerate().skip(1) {
        if arg.expr.data_type != wanted {
            return Err(wrong((name, index + 1), arg, &sql_name(&wanted)));
        }
    }
    let data_type = match name {
        "MAP_UNION" => wanted,
        _ => {
            let field = |name, of: DataType| Field::new(name, of, true);
            let fields = vec![field("key", key), field("value", value)];
            array(DataType::Struct(fields.into()))
        }
    };
    let args = args.into_iter().map(|arg| arg.expr).collect();
    Ok(Expr::call(name, args, data_type))
}

fn array_call(name: &str, args: Vec<Argument>, others: Others) -> Result<Expr> {
    let element = element_of((name, 1), &args[0])?;
    if has_map(&element) {
        return Err(wrong((name, 1), &args[0], "an ARRAY without MAPs"));
    }
    if matches!(name, "ARRAY_MAX" | "ARRAY_MIN" | "ARRAY_SORT") && !is_comparable(&element) {
        return Err(wrong((name, 1), &args[0], "elements that can be compared"));
    }
    if name == "ARRAY_JOIN" && element != DataType::Utf8 {
        return Err(wrong((name, 1), &args[0], "ARRAY<STRING>"));
    }
    let list = array(element.clone());
    let mut converted = vec![];
    for (index, arg) in args.into_iter().enumerate() {
        let (wanted, fits) = match others {
            _ if index == 0 => (list.clone(), true),
            Others::Element => (element.clone(), false),
            Others::Array => (list.clone(), false),
            Others::Boolean => (DataType::Boolean, false),
            Others::Long => (DataType::Int64, is_integer(&arg.expr.data_type)),
            Others::Text => (DataType::Utf8, false),
        };
        if !fits && !converts_implicitly(&arg.expr.data_type, &wanted) {
            return Err(wrong((name, index + 1), &arg, &sql_name(&wanted)));
        }
        converted.push(convert(arg.expr, &wanted));
    }
    let data_type = match name {
        "ARRAY_CONTAINS" => DataType::Boolean,
        "ARRAY_POSITION" => DataType::Int32,
        "ARRAY_JOIN" => DataType::Utf8,
        "ARRAY_MAX" | "ARRAY_MIN" | "ELEMENT" => element,
        _ => list,
    };
    Ok(Expr::call(name, converted, data_type))
}

fn wrong((name, position): (&str, usize), arg: &Argument, expected: &str) -> Fault {
    let found = sql_name(&arg.expr.data_type);
    let message = format!("argument {position} of `{name}`: found {found}, expected {expected}");
    Fault::at(arg.place, message)
}

fn element_of(which: (&str, usize), arg: &Argument) -> Result<DataType> {
    match &arg.expr.data_type {
        DataType::List(item) => Ok(item.data_type().clone()),
        _ => Err(wrong(which, arg, "ARRAY")),
    }
}

fn parts_of_map(data_type: &DataType) -> Option<(DataType, DataType)> {
    let DataType::Map(entries, _) = data_type else {
        return None;
    };
    match entries.data_type() {
        DataType::Struct(fields) => {
            Some((fields[0].data_type().clone(), fields[1].data_type().clone()))
        }
        _ => None,
    }
}

/// Whether it is or holds a MAP, whose values cannot be compared.
fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(item) => has_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

fn typed(arg: Argument, name: &str) -> Result<Expr> {
    match arg.expr.data_type {
        DataType::Null | DataType::Duration(_) => Err(wrong((name, 1), &arg, "a typed value")),
        _ => Ok(arg.expr),
    }
}

/// The values with the type that they have in common.
fn to_common(args: Vec<Argument>, name: &str) -> Result<(Vec<Expr>, DataType)> {
    let mut common = DataType::Null;
    for arg in &args {
        let found = &arg.expr.data_type;
        common = common_type(&common, found).ok_or_else(|| {
            let (common, found) = (sql_name(&common), sql_name(found));
            let message =
                format!("`{name}`: found {found} after {common}, expected one type for all");
            Fault::at(arg.place, message)
        })?;
    }
    if let (DataType::Null | DataType::Duration(_), Some(first)) = (&common, args.first()) {
        return Err(wrong((name, 1), first, "a typed value"));
    }
    let values = args.into_iter().map(|arg| convert(arg.expr, &common));
    Ok((values.collect(), common))
}
