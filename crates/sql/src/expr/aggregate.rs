//! Aggregate calls, and expressions over them.
//!
//! While a select list is bound over the rows that come in, each aggregate call is put aside and
//! stands as column `CALLS + n`, and the grouping id as column [`GROUPING_ID`]. [`Grouping::replace`]
//! then turns the whole expression into one over the rows that the aggregate puts out: keys,
//! window columns and calls by their position there, anything else is an error.

use arrow::datatypes::{DataType, Field};
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};
use millstream_core::function::{self, Named};
use millstream_core::plan::AggregateFunction;
use millstream_core::types::{array, map, sql_name};
use sqlparser::ast::{
    self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NullTreatment,
};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::composite::counted_rows;
use crate::expr::{ExprBinder, call};
use crate::functions::{Argument, check_count};
use crate::scope::Role;
use crate::types::{avg_type, convert, is_comparable, is_integer, is_number, sum_type};

/// Columns from here on are aggregate calls.
pub(crate) const CALLS: usize = 1 << 20;
/// The grouping id is a BIGINT with a bit for each key.
const GROUPING_KEYS_MAX: usize = 62;
/// The column that is the grouping id.
pub(crate) const GROUPING_ID: usize = 1 << 21;

/// One aggregate call over the rows that come in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BoundAggregate {
    /// Which.
    pub function: AggregateFunction,
    /// The function itself, if the embedding program brings it.
    pub native: Option<Named<dyn function::AggregateFunction>>,
    /// Its argument; none for `COUNT(*)`.
    pub argument: Option<Expr>,
    /// Its constant arguments.
    pub parameters: Vec<Literal>,
    /// `FILTER (WHERE …)`
    pub filter: Option<Expr>,
    /// `DISTINCT`
    pub distinct: bool,
    /// Type of the result.
    pub data_type: DataType,
}

/// The aggregate calls of a query, each once.
#[derive(Debug, Default)]
pub(crate) struct Aggregates {
    /// Keys of GROUP BY besides the window.
    pub keys: Vec<Expr>,
    /// The calls, in order of appearance.
    pub calls: Vec<BoundAggregate>,
    /// Whether GROUPING or GROUPING_ID is asked for.
    pub grouping_id: bool,
}

impl Aggregates {
    fn push(&mut self, call: BoundAggregate) -> Expr {
        let index = self.calls.iter().position(|known| *known == call);
        let index = index.unwrap_or_else(|| {
            self.calls.push(call.clone());
            self.calls.len() - 1
        });
        Expr::column(CALLS + index, call.name(), call.data_type)
    }
}

impl BoundAggregate {
    /// `COUNT(*)`
    pub fn count_rows() -> Self {
        Self {
            native: None,
            function: AggregateFunction::Count,
            argument: None,
            parameters: vec![],
            filter: None,
            distinct: false,
            data_type: DataType::Int64,
        }
    }

    /// A name for the column of results: `count`, `sum_bid`.
    pub fn name(&self) -> String {
        let native = self
            .native
            .as_ref()
            .map(|native| native.name.to_lowercase());
        let function = native.unwrap_or_else(|| self.function.to_string().to_lowercase());
        match self.argument.as_ref().map(|argument| &argument.kind) {
            Some(ExprKind::Column { name, .. } | ExprKind::Field { name, .. }) => {
                format!("{function}_{name}")
            }
            _ => function,
        }
    }
}

/// Names of aggregate functions.
pub(crate) const NAMES: &[(&str, AggregateFunction)] = {
    use AggregateFunction as F;
    &[
        ("COUNT", F::Count),
        ("SUM", F::Sum),
        ("MIN", F::Min),
        ("MAX", F::Max),
        ("AVG", F::Avg),
        ("VAR_POP", F::VarPop),
        ("VAR_SAMP", F::VarSamp),
        ("VARIANCE", F::VarSamp),
        ("STDDEV_POP", F::StddevPop),
        ("STDDEV_SAMP", F::StddevSamp),
        ("STDDEV", F::StddevSamp),
        ("FIRST_VALUE", F::FirstValue),
        ("LAST_VALUE", F::LastValue),
        ("LISTAGG", F::ListAgg),
        ("ARRAY_AGG", F::ArrayAgg),
        ("COLLECT", F::Collect),
        ("APPROX_COUNT_DISTINCT", F::ApproxCountDistinct),
        ("PERCENTILE", F::Percentile),
    ]
};

fn built_in(name: &str) -> Option<AggregateFunction> {
    let found = NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, function)| *function)
}

/// Whether `name` (in upper case) is an aggregate function.
pub(crate) fn is_aggregate(name: &str) -> bool {
    built_in(name).is_some()
}

impl ExprBinder<'_> {
    /// Binds an aggregate call.
    pub(super) fn bind_aggregate(
        &mut self,
        name: &str,
        call: &ast::Function,
        place: Place,
    ) -> Result<Expr> {
        self.check_aggregates(name, place)?;
        let function = built_in(name).expect("checked by the caller");
        let arguments = self.aggregate_arguments(name, call, place)?;
        let filter = self.aggregate_filter(call)?;
        let mut distinct = arguments.distinct;
        if distinct && function == AggregateFunction::LastValue {
            let argument = arguments.bound.into_iter().next().expect("counted");
            return self.bind_last_distinct(argument, filter);
        }
        let (argument, parameters) = match function {
            AggregateFunction::Count if arguments.bound.len() > 1 => {
                (Some(counted_rows(arguments.bound, place)?), vec![])
            }
            AggregateFunction::ListAgg => list_parameters(arguments.bound)?,
            AggregateFunction::Percentile => self.percentages(arguments, place)?,
            AggregateFunction::ArrayAgg => {
                let ignored = vec![Literal::Boolean(arguments.ignores_nulls)];
                (arguments.argument(), ignored)
            }
            _ => (arguments.argument(), vec![]),
        };
        let data_type = result_type(function, argument.as_ref(), place)?;
        let data_type = match (function, call_is_array(call)) {
            (AggregateFunction::Percentile, true) => array(data_type),
            _ => data_type,
        };
        // Every constant but NULL counts each row.
        let constant = |expr: &Expr| matches!(&expr.kind, ExprKind::Literal(literal) if *literal != Literal::Null);
        let counts_rows = function == AggregateFunction::Count && !distinct;
        let argument = argument.filter(|expr| !(counts_rows && constant(expr)));
        distinct &= !comes_out_the_same(function);
        let bound = BoundAggregate {
            function,
            native: None,
            argument,
            parameters,
            filter,
            distinct,
            data_type,
        };
        Ok(self.put_aside(bound))
    }

    /// What stands for a call in the expression around it.
    pub(super) fn put_aside(&mut self, call: BoundAggregate) -> Expr {
        let aggregates = self.aggregates.as_mut();
        aggregates.expect("checked before it was bound").push(call)
    }

    /// The argument of an aggregate that takes one value, its FILTER, and whether it is DISTINCT.
    pub(super) fn one_argument(
        &mut self,
        name: &str,
        call: &ast::Function,
        place: Place,
    ) -> Result<(Argument, Option<Expr>, bool)> {
        self.check_aggregates(name, place)?;
        let arguments = self.aggregate_arguments(name, call, place)?;
        let filter = self.aggregate_filter(call)?;
        let distinct = arguments.distinct;
        let argument = arguments.bound.into_iter().next().expect("counted");
        Ok((argument, filter, distinct))
    }

    /// Refuses aggregate functions where there can be none.
    pub(super) fn check_aggregates(&self, name: &str, place: Place) -> Result<()> {
        match self.aggregates {
            Some(_) => Ok(()),
            None => {
                let message = format!("aggregate function `{name}` in {}", self.clause);
                Err(Fault::at(place, message))
            }
        }
    }

    /// FILTER of a call.
    pub(super) fn aggregate_filter(&self, call: &ast::Function) -> Result<Option<Expr>> {
        let filter = call.filter.as_deref();
        let bind = |filter| self.inner("FILTER").condition(filter);
        filter.map(bind).transpose()
    }

    /// A binder for what stands inside an aggregate call.
    pub(super) fn inner(&self, clause: &'static str) -> ExprBinder<'_> {
        let mut binder = ExprBinder::scalar(self.scope, self.dialect, clause);
        binder.start = self.start;
        binder
    }

    fn aggregate_arguments<'c>(
        &mut self,
        name: &str,
        function: &'c ast::Function,
        place: Place,
    ) -> Result<Arguments<'c>> {
        let FunctionArguments::List(list) = &function.args else {
            return Err(Fault::at(place, format!("`{name}` without an argument")));
        };
        let ignores_nulls = null_treatment(name, function, place)?;
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let count = match name {
            "LISTAGG" => (1, 2),
            "PERCENTILE" => (2, 3),
            "COUNT" if distinct => (1, usize::MAX),
            _ => (1, 1),
        };
        check_count(name, place, list.args.len(), count)?;
        let mut arguments = Arguments {
            distinct,
            ignores_nulls,
            exprs: vec![],
            bound: vec![],
        };
        for (position, arg) in list.args.iter().enumerate() {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    let mut inner = self.inner("the argument of an aggregate function");
                    let place = inner.place(expr);
                    // Percentages are constants with a grammar of their own.
                    if (name, position) != ("PERCENTILE", 1) {
                        let expr = inner.bind(expr)?;
                        arguments.bound.push(Argument { expr, place });
                    }
                    arguments.exprs.push(expr);
                }
                FunctionArg::Unnamed(_) if name == "COUNT" && !distinct => {}
                FunctionArg::Unnamed(_) => {
                    return Err(Fault::at(place, format!("`*` in `{name}`")));
                }
                _ => {
                    let what = format!("a named argument of `{name}` is");
                    return Err(Fault::unsupported(place, what));
                }
            }
        }
        Ok(arguments)
    }

    /// The value, or the value and how often it counts as one row, and the percentages.
    fn percentages(
        &mut self,
        arguments: Arguments<'_>,
        place: Place,
    ) -> Result<(Option<Expr>, Vec<Literal>)> {
        let mut percentages = vec![];
        let elements = match arguments.exprs[1] {
            ast::Expr::Array(array) => array.elem.iter().collect(),
            single => vec![single],
        };
        for element in elements {
            let place = self.place(element);
            let bound = self
                .inner("the argument of an aggregate function")
                .bind(element)?;
            match convert(bound, &DataType::Float64).kind {
                ExprKind::Literal(Literal::Float(share)) if (0.0..=1.0).contains(&share) => {
                    percentages.push(Literal::Float(share));
                }
                _ => {
                    let message = format!(
                        "argument 2 of `PERCENTILE`: found `{element}`, expected a constant from 0 to 1"
                    );
                    return Err(Fault::at(place, message));
                }
            }
        }
        if percentages.is_empty() {
            let message = "argument 2 of `PERCENTILE`: found an empty array";
            return Err(Fault::at(place, message));
        }
        let distinct = arguments.distinct;
        let mut bound = arguments.bound.into_iter();
        let value = bound.next().expect("counted");
        check_kind(&value, ("PERCENTILE", 1), is_number, "a number")?;
        let value = convert(value.expr, &DataType::Float64);
        let Some(frequency) = bound.next() else {
            return Ok((Some(value), percentages));
        };
        if distinct {
            let what = "`PERCENTILE(DISTINCT …)` with frequencies is";
            return Err(Fault::unsupported(place, what));
        }
        check_kind(&frequency, ("PERCENTILE", 3), is_integer, "BIGINT")?;
        let frequency = convert(frequency.expr, &DataType::Int64);
        let fields = vec![
            Field::new("value", DataType::Float64, true),
            Field::new("frequency", DataType::Int64, true),
        ];
        let data_type = DataType::Struct(fields.into());
        let row = Expr::call("ROW", vec![value, frequency], data_type);
        Ok((Some(row), percentages))
    }

    /// `GROUPING(key)` is 1 where the key is not in the grouping set; `GROUPING_ID(a, b)` has a bit
    /// for each.
    pub(super) fn bind_grouping(
        &mut self,
        name: &str,
        function: &ast::Function,
        place: Place,
    ) -> Result<Expr> {
        let args = call::arguments(function, name)?;
        check_count(name, place, args.len(), (1, GROUPING_KEYS_MAX))?;
        let long = |value: i64| Expr::literal(Literal::Int(value), DataType::Int64);
        let mut result: Option<Expr> = None;
        for arg in args {
            let place = self.place(arg);
            let bound = self.inner("GROUPING").bind(arg)?;
            let Some(aggregates) = &mut self.aggregates else {
                return Err(Fault::at(place, format!("`{name}` in {}", self.clause)));
            };
            if aggregates.keys.len() > GROUPING_KEYS_MAX {
                let keys = aggregates.keys.len();
                let message =
                    format!("`{name}` over {keys} columns, expected at most {GROUPING_KEYS_MAX}");
                return Err(Fault::at(place, message));
            }
            let bit = match aggregates.keys.iter().position(|key| *key == bound) {
                Some(key) => {
                    aggregates.grouping_id = true;
                    let weight = 1i64 << (aggregates.keys.len() - 1 - key);
                    let id = Expr::column(GROUPING_ID, "grouping_id", DataType::Int64);
                    let shifted = match weight {
                        1 => id,
                        _ => binary(BinaryOp::Divide, id, long(weight)),
                    };
                    binary(BinaryOp::Modulo, shifted, long(2))
                }
                None => {
                    let message = format!("`{bound}` in `{name}`, expected a column of GROUP BY");
                    return Err(Fault::at(place, message));
                }
            };
            result = Some(match result {
                None => bit,
                Some(higher) => {
                    let higher = binary(BinaryOp::Multiply, higher, long(2));
                    binary(BinaryOp::Add, higher, bit)
                }
            });
        }
        Ok(result.expect("at least one argument"))
    }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::binary(op, left, right, DataType::Int64)
}

/// What stands in the parentheses of an aggregate call.
struct Arguments<'a> {
    distinct: bool,
    ignores_nulls: bool,
    exprs: Vec<&'a ast::Expr>,
    /// The arguments that are values, bound.
    bound: Vec<Argument>,
}

impl Arguments<'_> {
    /// The only argument; none for `*`.
    fn argument(self) -> Option<Expr> {
        self.bound.into_iter().next().map(|argument| argument.expr)
    }
}

/// Whether DISTINCT changes nothing.
fn comes_out_the_same(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(
        function,
        F::Min | F::Max | F::FirstValue | F::ApproxCountDistinct
    )
}

/// Whether the second argument is written `ARRAY[…]`.
fn call_is_array(call: &ast::Function) -> bool {
    let FunctionArguments::List(list) = &call.args else {
        return false;
    };
    matches!(
        list.args.get(1),
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(
            ast::Expr::Array(_)
        )))
    )
}

/// Whether nulls are left out: `ARRAY_AGG(x IGNORE NULLS)`. Other functions take no such clause, and
/// none takes another one.
fn null_treatment(name: &str, function: &ast::Function, place: Place) -> Result<bool> {
    let mut treatment = function.null_treatment;
    if let FunctionArguments::List(list) = &function.args {
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(inner) if treatment.is_none() => {
                    treatment = Some(*inner);
                }
                _ => {
                    let what = format!("`{clause}` in a call is");
                    return Err(Fault::unsupported(place, what));
                }
            }
        }
    }
    match treatment {
        Some(clause) if name != "ARRAY_AGG" => {
            let what = format!("`{clause}` of `{name}` is");
            Err(Fault::unsupported(place, what))
        }
        treatment => Ok(treatment == Some(NullTreatment::IgnoreNulls)),
    }
}

/// The text and its separator, by default a comma.
fn list_parameters(bound: Vec<Argument>) -> Result<(Option<Expr>, Vec<Literal>)> {
    let mut bound = bound.into_iter();
    let text = bound.next().expect("counted");
    let is_text = |found: &DataType| *found == DataType::Utf8;
    check_kind(&text, ("LISTAGG", 1), is_text, "STRING")?;
    let separator = match bound.next() {
        None => Literal::String(",".to_owned()),
        Some(separator) => match separator.expr.kind {
            ExprKind::Literal(text @ Literal::String(_)) => text,
            _ => {
                let message = "argument 2 of `LISTAGG`: expected a constant string";
                return Err(Fault::at(separator.place, message));
            }
        },
    };
    Ok((Some(text.expr), vec![separator]))
}

fn check_kind(
    argument: &Argument,
    (name, position): (&str, usize),
    fits: impl Fn(&DataType) -> bool,
    expected: &str,
) -> Result<()> {
    let found = &argument.expr.data_type;
    if fits(found) {
        return Ok(());
    }
    let found = sql_name(found);
    let message = format!("argument {position} of `{name}`: found {found}, expected {expected}");
    Err(Fault::at(argument.place, message))
}

fn result_type(
    function: AggregateFunction,
    argument: Option<&Expr>,
    place: Place,
) -> Result<DataType> {
    use AggregateFunction as F;
    let Some(argument) = argument else {
        return Ok(DataType::Int64);
    };
    let found = &argument.data_type;
    let wrong = |expected: &str| {
        let message = format!(
            "`{function}`: found {}, expected {expected}",
            sql_name(found)
        );
        Fault::at(place, message)
    };
    let is_interval = matches!(found, DataType::Duration(_));
    let comparable = is_comparable(found) && !is_interval;
    match function {
        _ if *found == DataType::Null => Err(wrong("a typed value")),
        // Of several values it counts rows of them.
        F::Count if is_comparable(found) || matches!(found, DataType::Struct(_)) => {
            Ok(DataType::Int64)
        }
        F::ApproxCountDistinct if comparable => Ok(DataType::Int64),
        F::Sum if is_number(found) => Ok(sum_type(found)),
        F::Avg | F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp if is_number(found) => {
            Ok(avg_type(found))
        }
        F::Min | F::Max if comparable => Ok(found.clone()),
        F::FirstValue | F::LastValue if !is_interval && !has_map(found) => Ok(found.clone()),
        F::ListAgg => Ok(DataType::Utf8),
        F::ArrayAgg if !is_interval && !has_map(found) => Ok(array(found.clone())),
        F::Collect if comparable => Ok(map(found.clone(), DataType::Int32)),
        F::Percentile => Ok(DataType::Float64),
        F::FirstValue | F::LastValue | F::ArrayAgg => Err(wrong("a value that is no MAP")),
        F::Sum | F::Avg | F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp => {
            Err(wrong("a number"))
        }
        _ => Err(wrong("a value that can be compared")),
    }
}

/// Whether it is or holds a MAP, which has no order to store it by.
pub(super) fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(item) => has_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

/// How columns of the input are found in the output of an aggregate.
pub(crate) struct Grouping<'a> {
    /// Keys besides the window.
    pub keys: &'a [Expr],
    /// How many calls there are.
    pub calls: usize,
    /// Roles of the input's columns.
    pub roles: &'a [Role],
    /// Whether `window_time` is grouped by.
    pub window_time: bool,
    /// Where each column was read.
    pub uses: &'a [(usize, Place)],
}

impl Grouping<'_> {
    /// Turns an expression over the input into one over the output.
    pub fn replace(&self, expr: &mut Expr) -> Result<()> {
        if let Some(key) = self.keys.iter().position(|key| key == expr) {
            *expr = self.output(3 + key, expr);
            return Ok(());
        }
        let ExprKind::Column { index, name } = &expr.kind else {
            for child in expr.children_mut() {
                self.replace(child)?;
            }
            return Ok(());
        };
        let position = match *index {
            GROUPING_ID => 3 + self.keys.len() + self.calls,
            index if index >= CALLS => 3 + self.keys.len() + index - CALLS,
            index => match self.roles[index] {
                Role::WindowStart => 0,
                Role::WindowEnd => 1,
                Role::WindowTime(_) if self.window_time => 2,
                _ => return Err(self.not_grouped(index, name)),
            },
        };
        *expr = self.output(position, expr);
        Ok(())
    }

    fn output(&self, position: usize, expr: &Expr) -> Expr {
        let name = match &expr.kind {
            ExprKind::Column { name, .. } | ExprKind::Field { name, .. } => name.clone(),
            _ => format!("key_{}", position - 3),
        };
        Expr::column(position, name, expr.data_type.clone())
    }

    fn not_grouped(&self, index: usize, name: &str) -> Fault {
        let used = self.uses.iter().find(|(used, _)| *used == index);
        let place = used.map_or(Place::new(1, 1), |(_, place)| *place);
        let message =
            format!("column `{name}` is neither in GROUP BY nor in an aggregate function");
        Fault::at(place, message)
    }
}
