//! Aggregate functions that are another one with an expression around it, so that the engine has no
//! state of its own for them:
//!
//! | call | is |
//! |---|---|
//! | `JSON_ARRAYAGG(x)` | `'[' \|\| LISTAGG(JSON_STRING(x)) \|\| ']'` |
//! | `JSON_OBJECTAGG(k VALUE v)` | entries, gathered by `ARRAY_AGG`, as an object |
//! | `SINGLE_VALUE(x)` | the sole element of `ARRAY_AGG(x)` |
//! | `LAST_VALUE(DISTINCT x)` | the last element of `ARRAY_AGG(DISTINCT x IGNORE NULLS)` |
//! | `COUNT(DISTINCT x, y)` | `COUNT(DISTINCT ROW(x, y))` of rows without nulls |

use arrow::datatypes::{DataType, Field};
use millstream_core::expr::{Expr, ExprKind, Literal};
use millstream_core::plan::AggregateFunction;
use millstream_core::types::{array, sql_name};
use sqlparser::ast;

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::aggregate::{BoundAggregate, has_map};
use crate::expr::{ExprBinder, call, case, null};
use crate::functions::{self, Argument};
use crate::types::{convert, is_comparable};

/// Names that are those of no other aggregate function.
pub(crate) const NAMES: &[&str] = &["JSON_OBJECTAGG", "JSON_ARRAYAGG", "SINGLE_VALUE"];

impl ExprBinder<'_> {
    /// Binds a call of a function of this module that has a name of its own.
    pub(super) fn bind_composite(
        &mut self,
        name: &str,
        function: &ast::Function,
        place: Place,
    ) -> Result<Expr> {
        self.check_aggregates(name, place)?;
        match name {
            "SINGLE_VALUE" => self.bind_single_value(function, place),
            _ => self.bind_json_aggregate(name, function),
        }
    }

    fn bind_single_value(&mut self, function: &ast::Function, place: Place) -> Result<Expr> {
        let (argument, filter, distinct) = self.one_argument("SINGLE_VALUE", function, place)?;
        let data_type = value_type(&argument, "SINGLE_VALUE")?;
        let values = self.array_agg(argument.expr, (false, distinct), filter);
        Ok(Expr::call("SINGLE_VALUE", vec![values], data_type))
    }

    /// The parser gives what to do with nulls, then the arguments.
    fn bind_json_aggregate(&mut self, name: &str, function: &ast::Function) -> Result<Expr> {
        let filter = self.aggregate_filter(function)?;
        let args = call::arguments(function, name)?;
        let mut inner = self.inner("the argument of an aggregate function");
        let mut args = inner.bind_arguments(&args)?.into_iter();
        let on_null = args.next().expect("the parser gives the clause").expr;
        let with_nulls = on_null.kind == ExprKind::Literal(Literal::String("n".to_owned()));
        if name == "JSON_OBJECTAGG" {
            let key = args.next().expect("the parser gives the key");
            if key.expr.data_type != DataType::Utf8 {
                let found = sql_name(&key.expr.data_type);
                let message = format!("the key of `{name}`: found {found}, expected STRING");
                return Err(Fault::at(key.place, message));
            }
            let value = json_string(args.next().expect("the parser gives the value"))?;
            let entries = self.array_agg(row(vec![key.expr, value]), (false, false), filter);
            return Ok(Expr::call(name, vec![entries, on_null], DataType::Utf8));
        }
        let value = json_string(args.next().expect("the parser gives the value"))?;
        let value = match with_nulls {
            true => text_call("COALESCE", vec![value, text("null")]),
            false => value,
        };
        let joined = self.put_aside(BoundAggregate {
            function: AggregateFunction::ListAgg,
            native: None,
            argument: Some(value),
            parameters: vec![Literal::String(",".to_owned())],
            filter,
            distinct: false,
            data_type: DataType::Utf8,
        });
        let joined = text_call("COALESCE", vec![joined, text("")]);
        Ok(text_call("CONCAT", vec![text("["), joined, text("]")]))
    }

    /// `LAST_VALUE(DISTINCT x)`: of the values that are new when they come, the last.
    pub(super) fn bind_last_distinct(
        &mut self,
        argument: Argument,
        filter: Option<Expr>,
    ) -> Result<Expr> {
        let data_type = value_type(&argument, "LAST_VALUE")?;
        let values = self.array_agg(argument.expr, (true, true), filter);
        let count = Expr::call("CARDINALITY", vec![values.clone()], DataType::Int32);
        let args = vec![values, convert(count, &DataType::Int64)];
        Ok(Expr::call("ITEM", args, data_type))
    }

    fn array_agg(
        &mut self,
        argument: Expr,
        (ignores_nulls, distinct): (bool, bool),
        filter: Option<Expr>,
    ) -> Expr {
        let data_type = array(argument.data_type.clone());
        self.put_aside(BoundAggregate {
            function: AggregateFunction::ArrayAgg,
            native: None,
            argument: Some(argument),
            parameters: vec![Literal::Boolean(ignores_nulls)],
            filter,
            distinct,
            data_type,
        })
    }
}

/// What `COUNT(DISTINCT x, y)` counts: rows, null where one of the values is.
pub(super) fn counted_rows(args: Vec<Argument>, place: Place) -> Result<Expr> {
    let mut conditions = vec![];
    let mut values = vec![];
    for Argument { expr, place } in args {
        if !is_comparable(&expr.data_type) || expr.data_type == DataType::Null {
            let found = sql_name(&expr.data_type);
            let message = format!("`COUNT`: found {found}, expected a value that can be compared");
            return Err(Fault::at(place, message));
        }
        let is_null = ExprKind::IsNull {
            input: Box::new(expr.clone()),
            negated: false,
        };
        let is_null = Expr {
            kind: is_null,
            data_type: DataType::Boolean,
        };
        conditions.push((is_null, null()));
        values.push(expr);
    }
    case(conditions, Some(row(values)), place)
}

fn row(values: Vec<Expr>) -> Expr {
    let fields = values.iter().enumerate();
    let fields = fields
        .map(|(index, value)| Field::new(format!("EXPR${index}"), value.data_type.clone(), true));
    let data_type = DataType::Struct(fields.collect());
    Expr::call("ROW", values, data_type)
}

fn json_string(argument: Argument) -> Result<Expr> {
    let place = argument.place;
    let signature = functions::find("JSON_STRING").expect("JSON_STRING is in the table");
    signature.call(place, vec![argument])
}

fn text(value: &str) -> Expr {
    Expr::literal(Literal::String(value.to_owned()), DataType::Utf8)
}

fn text_call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::call(name, args, DataType::Utf8)
}

/// The type of a value that can be kept in an array.
fn value_type(argument: &Argument, name: &str) -> Result<DataType> {
    match &argument.expr.data_type {
        found if matches!(found, DataType::Null | DataType::Duration(_)) || has_map(found) => {
            let found = sql_name(found);
            let message = format!("`{name}`: found {found}, expected a value that is no MAP");
            Err(Fault::at(argument.place, message))
        }
        found => Ok(found.clone()),
    }
}
