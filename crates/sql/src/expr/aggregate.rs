//! Aggregate calls, and expressions over them.
//!
//! While a select list is bound over the rows that come in, each aggregate call is put aside and
//! stands as column `CALLS + n`, and the grouping id as column [`GROUPING_ID`]. [`Grouping::replace`]
//! then turns the whole expression into one over the rows that the aggregate puts out: keys,
//! window columns and calls by their position there, anything else is an error.

use arrow::datatypes::DataType;
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};
use millstream_core::plan::AggregateFunction;
use millstream_core::types::sql_name;
use sqlparser::ast::{self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArguments};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::{ExprBinder, call};
use crate::functions::check_count;
use crate::scope::Role;
use crate::types::{avg_type, is_comparable, is_number, sum_type};

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
    /// Its argument; none for `COUNT(*)`.
    pub argument: Option<Expr>,
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
    /// A name for the column of results: `count`, `sum_bid`.
    pub fn name(&self) -> String {
        let function = self.function.to_string().to_lowercase();
        match self.argument.as_ref().map(|argument| &argument.kind) {
            Some(ExprKind::Column { name, .. } | ExprKind::Field { name, .. }) => {
                format!("{function}_{name}")
            }
            _ => function,
        }
    }
}

fn function(name: &str) -> Option<AggregateFunction> {
    Some(match name {
        "COUNT" => AggregateFunction::Count,
        "SUM" => AggregateFunction::Sum,
        "MIN" => AggregateFunction::Min,
        "MAX" => AggregateFunction::Max,
        "AVG" => AggregateFunction::Avg,
        _ => return None,
    })
}

/// Whether `name` (in upper case) is an aggregate function.
pub(crate) fn is_aggregate(name: &str) -> bool {
    function(name).is_some()
}

impl ExprBinder<'_> {
    /// Binds an aggregate call.
    pub(super) fn bind_aggregate(
        &mut self,
        name: &str,
        call: &ast::Function,
        place: Place,
    ) -> Result<Expr> {
        if self.aggregates.is_none() {
            let message = format!("aggregate function `{name}` in {}", self.clause);
            return Err(Fault::at(place, message));
        }
        let function = function(name).expect("checked by the caller");
        let (distinct, argument) = self.aggregate_argument(name, call, place)?;
        let filter = match &call.filter {
            Some(filter) => Some(self.inner("FILTER").condition(filter)?),
            None => None,
        };
        let data_type = result_type(function, argument.as_ref(), place)?;
        // Every constant but NULL counts each row.
        let constant = |expr: &Expr| matches!(&expr.kind, ExprKind::Literal(literal) if *literal != Literal::Null);
        let counts_rows = function == AggregateFunction::Count && !distinct;
        let argument = argument.filter(|expr| !(counts_rows && constant(expr)));
        let extreme = matches!(function, AggregateFunction::Min | AggregateFunction::Max);
        let bound = BoundAggregate {
            function,
            argument,
            filter,
            distinct: distinct && !extreme,
            data_type,
        };
        let aggregates = self.aggregates.as_mut().expect("checked above");
        Ok(aggregates.push(bound))
    }

    /// A binder for what stands inside an aggregate call.
    fn inner(&self, clause: &'static str) -> ExprBinder<'_> {
        let mut binder = ExprBinder::scalar(self.scope, self.dialect, clause);
        binder.start = self.start;
        binder
    }

    fn aggregate_argument(
        &mut self,
        name: &str,
        function: &ast::Function,
        place: Place,
    ) -> Result<(bool, Option<Expr>)> {
        let FunctionArguments::List(list) = &function.args else {
            return Err(Fault::at(place, format!("`{name}` without an argument")));
        };
        if let Some(clause) = list.clauses.first() {
            return Err(Fault::unsupported(
                place,
                format!("`{clause}` in a call is"),
            ));
        }
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        check_count(name, place, list.args.len(), (1, 1))?;
        match &list.args[0] {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                let argument = self
                    .inner("the argument of an aggregate function")
                    .bind(expr)?;
                Ok((distinct, Some(argument)))
            }
            FunctionArg::Unnamed(_) if name == "COUNT" && !distinct => Ok((false, None)),
            FunctionArg::Unnamed(_) => Err(Fault::at(place, format!("`*` in `{name}`"))),
            _ => Err(Fault::unsupported(
                place,
                format!("a named argument of `{name}` is"),
            )),
        }
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
        if name == "GROUPING" {
            check_count(name, place, args.len(), (1, 1))?;
        }
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

fn result_type(
    function: AggregateFunction,
    argument: Option<&Expr>,
    place: Place,
) -> Result<DataType> {
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
    match function {
        _ if *found == DataType::Null => Err(wrong("a typed value")),
        AggregateFunction::Count if is_comparable(found) => Ok(DataType::Int64),
        AggregateFunction::Sum if is_number(found) => Ok(sum_type(found)),
        AggregateFunction::Avg if is_number(found) => Ok(avg_type(found)),
        AggregateFunction::Min | AggregateFunction::Max
            if is_comparable(found) && !matches!(found, DataType::Duration(_)) =>
        {
            Ok(found.clone())
        }
        AggregateFunction::Sum | AggregateFunction::Avg => Err(wrong("a number")),
        _ => Err(wrong("a value that can be compared")),
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
                Role::WindowTime if self.window_time => 2,
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
