//! Expressions: from sqlparser's tree to typed [`Expr`]s over the columns of a [`Scope`].
//!
//! Aggregate calls are collected aside ([`Aggregates`]) and stand in the bound expression as
//! columns from [`aggregate::CALLS`] on; `aggregate` puts the real ones in their place.

pub(crate) mod aggregate;
mod call;
pub(crate) mod collection;
pub(crate) mod composite;
pub(crate) mod constants;
mod json;
pub(crate) mod literal;
pub(crate) mod native_function;
pub(crate) mod operator;
pub(crate) mod over;
pub(crate) mod surroundings;
pub(crate) mod user_function;

use arrow::datatypes::DataType;
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};
use millstream_core::types::sql_name;
use sqlparser::ast::{self, AccessExpr, Ident, Spanned, Subscript};

use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::FlinkDialect;
use crate::expr::aggregate::Aggregates;
use crate::expr::over::Overs;
use crate::functions;
use crate::query::window::auxiliary;
use crate::scope::{Scope, access};
use crate::types::{common_type, convert, is_integer};

/// Binds expressions of one clause.
pub(crate) struct ExprBinder<'a> {
    /// What names mean.
    pub scope: &'a Scope,
    /// Where the types of casts are.
    pub dialect: &'a FlinkDialect,
    /// Where aggregate calls go; without it they are refused.
    pub aggregates: Option<&'a mut Aggregates>,
    /// Where calls with OVER go; without it they are refused.
    pub over: Option<&'a mut Overs>,
    /// What names mean that `scope` does not know: the query around a subquery. Its columns then come
    /// before those of `scope`.
    pub outer: Option<&'a Scope>,
    /// What the clause is called in messages.
    pub clause: &'static str,
    /// The clause, also inside of AND and OR.
    pub whole: &'static str,
    /// Columns that were read, and where.
    pub uses: Vec<(usize, Place)>,
    /// The function whose body this is, in upper case.
    pub declaring: Option<&'a str>,
    /// Where the clause begins, for parts of the tree that know no place.
    pub start: Place,
}

impl<'a> ExprBinder<'a> {
    /// A binder of scalar expressions.
    pub fn scalar(scope: &'a Scope, dialect: &'a FlinkDialect, clause: &'static str) -> Self {
        Self {
            scope,
            dialect,
            aggregates: None,
            over: None,
            outer: None,
            clause,
            whole: clause,
            uses: vec![],
            declaring: None,
            start: Place::new(1, 1),
        }
    }

    /// Binds `expr`, which must be BOOLEAN.
    pub fn condition(&mut self, expr: &ast::Expr) -> Result<Expr> {
        let bound = self.bind(expr)?;
        if bound.data_type == DataType::Null {
            return Ok(convert(bound, &DataType::Boolean));
        }
        match bound.data_type {
            DataType::Boolean => Ok(bound),
            ref other => {
                let found = sql_name(other);
                let message = format!("found {found} in {}, expected BOOLEAN", self.clause);
                Err(Fault::at(self.place(expr), message))
            }
        }
    }

    /// Where `expr` begins.
    pub fn place(&self, expr: &ast::Expr) -> Place {
        let place = expr.span().start;
        match place.line {
            0 => self.start,
            _ => place,
        }
    }

    /// Binds `expr`.
    pub fn bind(&mut self, expr: &ast::Expr) -> Result<Expr> {
        use ast::Expr as E;
        let place = self.place(expr);
        let outer = std::mem::replace(&mut self.start, place);
        let bound = match expr {
            E::Identifier(name) => self.bind_name(std::slice::from_ref(name)),
            E::CompoundIdentifier(names) => self.bind_name(names),
            E::CompoundFieldAccess { root, access_chain } => self.bind_access(root, access_chain),
            E::Nested(inner) => self.bind(inner),
            E::Value(value) => literal::value(&value.value, place),
            E::TypedString(typed) => literal::typed(typed, place),
            E::Interval(interval) => literal::interval(interval, place),
            E::Cast {
                kind,
                expr,
                data_type,
                ..
            } => self.bind_cast(expr, data_type, *kind == ast::CastKind::TryCast, place),
            E::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.bind_case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                place,
            ),
            E::InList {
                expr,
                list,
                negated,
            } => self.bind_in(expr, list, *negated),
            E::Array(array) => self.bind_array(&array.elem, place),
            E::Tuple(parts) => self.bind_row(&parts.iter().collect::<Vec<_>>()),
            E::Function(function) => match auxiliary(function, self.scope)? {
                Some(column) => {
                    self.uses.push((column, place));
                    Ok(self.scope.column(column))
                }
                None => self.bind_function(function),
            },
            _ => match self.bind_operator(expr)? {
                Some(bound) => Ok(bound),
                None => match self.bind_named_call(expr)? {
                    Some(bound) => Ok(bound),
                    None => Err(refuse(expr, place)),
                },
            },
        };
        self.start = outer;
        bound
    }

    fn bind_name(&mut self, names: &[Ident]) -> Result<Expr> {
        let expr = match (self.scope.resolve(names), self.outer) {
            (bound, None) => bound?,
            (Ok(mut inner), Some(outer)) => {
                inner.map_columns(&|index| index + outer.columns.len());
                inner
            }
            (Err(fault), Some(outer)) => outer.resolve(names).map_err(|_| fault)?,
        };
        let place = names[0].span.start;
        let uses = &mut self.uses;
        expr.for_each_column(&mut |index| uses.push((index, place)));
        Ok(expr)
    }

    /// `a[1].b['k']`.
    fn bind_access(&mut self, root: &ast::Expr, chain: &[AccessExpr]) -> Result<Expr> {
        // Names that follow each other may be a table and its column.
        let mut names = vec![];
        if let ast::Expr::Identifier(name) = root {
            names.push(name.clone());
        }
        let dots = chain.iter().take_while(|part| {
            !names.is_empty() && matches!(part, AccessExpr::Dot(ast::Expr::Identifier(_)))
        });
        let dots = dots.count();
        for part in &chain[..dots] {
            if let AccessExpr::Dot(ast::Expr::Identifier(name)) = part {
                names.push(name.clone());
            }
        }
        let mut expr = match names.is_empty() {
            true => self.bind(root)?,
            false => self.bind_name(&names)?,
        };
        for part in &chain[dots..] {
            expr = match part {
                AccessExpr::Dot(ast::Expr::Identifier(field)) => access(expr, field)?,
                AccessExpr::Subscript(Subscript::Index { index }) => self.bind_item(expr, index)?,
                _ => return Err(Fault::unsupported(self.start, "this access is")),
            };
        }
        Ok(expr)
    }

    fn bind_item(&mut self, input: Expr, index: &ast::Expr) -> Result<Expr> {
        let place = self.place(index);
        let bound = self.bind(index)?;
        let (wanted, element) = match &input.data_type {
            DataType::List(item) => (DataType::Int64, item.data_type().clone()),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => {
                    (fields[0].data_type().clone(), fields[1].data_type().clone())
                }
                other => unreachable!("entries of a MAP are a ROW, not {other}"),
            },
            other => {
                let message = format!("`{input}` is {}, expected ARRAY or MAP", sql_name(other));
                return Err(Fault::at(place, message));
            }
        };
        let found = &bound.data_type;
        let fits = *found == wanted
            || *found == DataType::Null
            || (is_integer(found) && common_type(found, &wanted) == Some(wanted.clone()));
        if !fits {
            let message = format!(
                "found {}, expected {} in `[…]`",
                sql_name(found),
                sql_name(&wanted)
            );
            return Err(Fault::at(place, message));
        }
        let args = vec![input, convert(bound, &wanted)];
        Ok(Expr::call("ITEM", args, element))
    }

    fn bind_cast(
        &mut self,
        expr: &ast::Expr,
        data_type: &ast::DataType,
        safe: bool,
        place: Place,
    ) -> Result<Expr> {
        let Some(to) = self.dialect.cast_type(data_type) else {
            return Err(Fault::unsupported(place, "this form of CAST is"));
        };
        let input = self.bind(expr)?;
        if !crate::types::casts(&input.data_type, &to) {
            let (from, to) = (sql_name(&input.data_type), sql_name(&to));
            let fault = Fault::at(place, format!("cannot cast {from} to {to}"));
            let to_time = to.starts_with("TIMESTAMP") && crate::types::is_number(&input.data_type);
            return Err(match to_time {
                true => fault.help("use TO_TIMESTAMP_LTZ(milliseconds, 3)"),
                false => fault,
            });
        }
        if !safe {
            return Ok(convert(input, &to));
        }
        Ok(Expr {
            kind: ExprKind::Cast {
                input: Box::new(input),
                safe,
            },
            data_type: to,
        })
    }

    fn bind_case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        place: Place,
    ) -> Result<Expr> {
        let mut branches = vec![];
        for when in conditions {
            let condition = match operand {
                Some(operand) => self.compare(BinaryOp::Equal, operand, &when.condition)?,
                None => self.condition(&when.condition)?,
            };
            branches.push((condition, self.bind(&when.result)?));
        }
        let otherwise = otherwise.map(|expr| self.bind(expr)).transpose()?;
        case(branches, otherwise, place)
    }

    fn bind_in(&mut self, expr: &ast::Expr, list: &[ast::Expr], negated: bool) -> Result<Expr> {
        let input = self.bind(expr)?;
        let mut common = input.data_type.clone();
        let mut items = vec![];
        for item in list {
            let place = self.place(item);
            let item = self.bind(item)?;
            common = operator::comparison_type(&common, &item, place)?;
            items.push(item);
        }
        let list = items
            .into_iter()
            .map(|item| convert(item, &common))
            .collect();
        Ok(Expr {
            kind: ExprKind::InList {
                input: Box::new(convert(input, &common)),
                list,
                negated,
            },
            data_type: DataType::Boolean,
        })
    }

    /// Binds a call of an aggregate function of any kind, if `name` is one.
    fn bind_any_aggregate(
        &mut self,
        name: &str,
        function: &ast::Function,
        place: Place,
    ) -> Result<Option<Expr>> {
        if aggregate::is_aggregate(name) {
            return self.bind_aggregate(name, function, place).map(Some);
        }
        if composite::NAMES.contains(&name) {
            return self.bind_composite(name, function, place).map(Some);
        }
        self.bind_native_aggregate(name, function, place)
    }

    fn bind_function(&mut self, function: &ast::Function) -> Result<Expr> {
        let place = function.name.span().start;
        let name = call::name(function)?;
        if let Some(over) = &function.over {
            return self.bind_over(&name, function, over);
        }
        if let Some(bound) = self.bind_any_aggregate(&name, function, place)? {
            return Ok(bound);
        }
        if function.filter.is_some() {
            let message = format!("FILTER after `{name}`, expected an aggregate function");
            return Err(Fault::at(place, message));
        }
        if let "GROUPING" | "GROUPING_ID" = name.as_str() {
            return self.bind_grouping(&name, function, place);
        }
        let args = call::arguments(function, &name)?;
        match self.bind_special(&name, &args, place)? {
            Some(bound) => Ok(bound),
            None => {
                let signature = functions::find(&name);
                if signature.is_none() {
                    if let Some(bound) = self.bind_native(&name, &args, place)? {
                        return Ok(bound);
                    }
                    if let Some(bound) = self.bind_user_function(&name, &args, place)? {
                        return Ok(bound);
                    }
                }
                let known = self.dialect.user_functions();
                let signature =
                    signature.ok_or_else(|| functions::unknown(&name, &known, place))?;
                let args = self.bind_arguments(&args)?;
                signature.call(place, args)
            }
        }
    }
}

/// `CASE` whose results are converted to the type that they have in common.
pub(crate) fn case(
    branches: Vec<(Expr, Expr)>,
    otherwise: Option<Expr>,
    place: Place,
) -> Result<Expr> {
    let mut common = DataType::Null;
    let results = branches.iter().map(|(_, result)| result);
    for result in results.chain(&otherwise) {
        let found = &result.data_type;
        common = common_type(&common, found).ok_or_else(|| {
            let (common, found) = (sql_name(&common), sql_name(found));
            Fault::at(
                place,
                format!("found {found} after {common}, expected one type for all"),
            )
        })?;
    }
    let branches = branches
        .into_iter()
        .map(|(condition, result)| (condition, convert(result, &common)))
        .collect();
    Ok(Expr {
        kind: ExprKind::Case {
            branches,
            otherwise: otherwise.map(|result| Box::new(convert(result, &common))),
        },
        data_type: common,
    })
}

/// `NULL` of no type yet.
pub(crate) fn null() -> Expr {
    Expr::literal(Literal::Null, DataType::Null)
}

fn refuse(expr: &ast::Expr, place: Place) -> Fault {
    use ast::Expr as E;
    let what = match expr {
        E::Subquery(_) | E::Exists { .. } | E::InSubquery { .. } => {
            "a subquery in an expression is"
        }
        E::ILike { .. } => "`ILIKE` is",
        E::RLike { .. } => "`RLIKE` is",
        E::AtTimeZone { .. } => "`AT TIME ZONE` is",
        E::Map(_) => "`MAP[…]` is",
        E::GroupingSets(_) | E::Rollup(_) | E::Cube(_) => "GROUPING SETS outside of GROUP BY is",
        E::AnyOp { .. } | E::AllOp { .. } => "`ANY` and `ALL` are",
        E::Prefixed { .. } => "`TABLE` outside of a window function is",
        _ => return Fault::unsupported(place, format!("`{expr}` is")),
    };
    Fault::unsupported(place, what)
}
