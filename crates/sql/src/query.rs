//! Queries: from sqlparser's tree to [`Rel`]s. Views and subqueries are bound where they are named,
//! so each use is a tree of its own.

mod condition;
mod grouping;
mod join;
mod order;
mod select;
mod subquery;
mod union;
mod unnest;
pub(crate) mod window;

use std::rc::Rc;

use arrow::datatypes::DataType;
use sqlparser::ast::{self, Ident, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor};

use crate::catalog::{Catalog, Named, TableColumnKind};
use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::FlinkDialect;
use crate::rel::Rel;
use crate::scope::{Role, Scope, ScopeColumn};

/// A bound query: rows, and what its columns are called.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    /// The steps. It may have more columns than `scope`, never fewer.
    pub rel: Rel,
    /// The columns that a query over this one can name.
    pub scope: Scope,
}

/// Binds queries against the tables and views declared so far.
#[derive(Clone)]
pub(crate) struct QueryBinder<'a> {
    /// Tables and views.
    pub catalog: &'a Catalog,
    /// Where the types of casts are.
    pub dialect: &'a FlinkDialect,
    /// Queries named by WITH.
    locals: Vec<(String, Rc<Bound>)>,
    /// Whether tables can be named that are only read whole, for joins.
    takes_whole: bool,
}

impl<'a> QueryBinder<'a> {
    /// A binder over `catalog`.
    pub fn new(catalog: &'a Catalog, dialect: &'a FlinkDialect) -> Self {
        Self {
            catalog,
            dialect,
            locals: vec![],
            takes_whole: false,
        }
    }

    /// Binds a whole query.
    pub fn bind(&self, query: &ast::Query) -> Result<Bound> {
        let place = query.span().start;
        let Some(order_by) = &query.order_by else {
            return self.bind_unordered(query, place);
        };
        let bound = self.bind_unordered(query, place)?;
        self.bind_order(bound, order_by)
    }

    fn bind_unordered(&self, query: &ast::Query, place: Place) -> Result<Bound> {
        refuse_clauses(query, place)?;
        let mut binder = self.clone();
        if let Some(with) = &query.with {
            if with.recursive {
                return Err(Fault::unsupported(
                    with.with_token.0.span,
                    "`WITH RECURSIVE` is",
                ));
            }
            for cte in &with.cte_tables {
                let bound = binder.bind(&cte.query)?;
                let columns: Vec<Ident> = cte
                    .alias
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect();
                let bound = rename(bound, &cte.alias.name, &columns)?;
                let name = cte.alias.name.value.clone();
                binder.locals.push((name, Rc::new(bound)));
            }
        }
        let bound = binder.bind_body(&query.body, place)?;
        crate::rel::depth::check(&bound.rel, place)?;
        Ok(bound)
    }

    fn bind_body(&self, body: &SetExpr, place: Place) -> Result<Bound> {
        let mut others = vec![];
        let mut first = body;
        while let SetExpr::SetOperation {
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            left,
            right,
        } = first
        {
            others.push(right);
            first = left;
        }
        let mut bound = self.bind_term(first, place)?;
        for other in others.into_iter().rev() {
            let place = other.span().start;
            bound = union::union(bound, self.bind_term(other, place)?, place)?;
        }
        Ok(bound)
    }

    fn bind_term(&self, body: &SetExpr, place: Place) -> Result<Bound> {
        match body {
            SetExpr::Select(select) => self.bind_select(select),
            SetExpr::Query(query) => self.bind(query),
            SetExpr::SetOperation { op, right, .. } => {
                let fault = Fault::unsupported(right.span(), format!("`{op}` is"));
                Err(match op {
                    SetOperator::Union => fault.help("use UNION ALL"),
                    _ => fault,
                })
            }
            SetExpr::Values(_) => Err(Fault::unsupported(place, "`VALUES` is")),
            _ => Err(Fault::unsupported(place, "this statement as a query is")),
        }
    }

    fn bind_factor(&self, factor: &TableFactor) -> Result<Bound> {
        let place = factor.span().start;
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version,
                sample,
                ..
            } => {
                if version.is_some() {
                    return Err(Fault::unsupported(place, "`FOR SYSTEM_TIME AS OF` is"));
                }
                if sample.is_some() {
                    return Err(Fault::unsupported(place, "`TABLESAMPLE` is"));
                }
                let name = bare_name(name)?;
                let bound = self.bind_table(name)?;
                with_alias(bound, alias.as_ref())
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                ..
            } => {
                let name = bare_name(name)?;
                let bound = self.bind_window_function(name, &args.args)?;
                with_alias(bound, alias.as_ref())
            }
            TableFactor::TableFunction { expr, alias } => {
                let bound = self.bind_table_function(expr, place)?;
                with_alias(bound, alias.as_ref())
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                ..
            } => {
                let mut bound = self.bind(subquery)?;
                for column in &mut bound.scope.columns {
                    column.table = None;
                }
                with_alias(bound, alias.as_ref())
            }
            TableFactor::Derived { .. } | TableFactor::Function { .. } => {
                Err(Fault::unsupported(place, "`LATERAL` is"))
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => {
                let joins = std::slice::from_ref(table_with_joins.as_ref());
                self.bind_from(joins, place, &mut vec![])
            }
            TableFactor::MatchRecognize { .. } => {
                Err(Fault::unsupported(place, "`MATCH_RECOGNIZE` is"))
            }
            _ => Err(Fault::unsupported(place, "this in FROM is")),
        }
    }

    /// Binds a table, a view or a query named by WITH.
    fn bind_table(&self, name: &Ident) -> Result<Bound> {
        let mut bound = match self
            .locals
            .iter()
            .rev()
            .find(|(known, _)| *known == name.value)
        {
            Some((_, bound)) => bound.as_ref().clone(),
            None => match self.catalog.find(&name.value) {
                Some(Named::View(bound)) => bound.clone(),
                Some(Named::Table(index)) => self.scan(index, name)?,
                None => {
                    let locals = self.locals.iter().map(|(name, _)| name.as_str());
                    let known = self.catalog.names().chain(locals);
                    let message = format!("unknown table or view `{}`", name.value);
                    return Err(Fault::at(name.span, message).near(&name.value, known));
                }
            },
        };
        for column in &mut bound.scope.columns {
            column.table = Some(name.value.clone());
        }
        Ok(bound)
    }

    fn scan(&self, index: usize, name: &Ident) -> Result<Bound> {
        let table = &self.catalog.tables[index];
        let is_whole = self.takes_whole && table.info.is_whole(&table.connector);
        if !table.info.is_source && !is_whole {
            let message = format!(
                "table `{}` cannot be read: connector `{}` only writes",
                name.value, table.info.name
            );
            return Err(Fault::at(name.span, message));
        }
        let time = table.watermark.as_ref().map(|watermark| watermark.column);
        let columns = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| ScopeColumn {
                table: None,
                name: column.name.clone(),
                data_type: column.data_type.clone(),
                role: match &column.kind {
                    _ if time == Some(index) => Role::EventTime,
                    TableColumnKind::Computed(expr) if expr.is_processing_time() => {
                        Role::ProcessingTime
                    }
                    _ => Role::Plain,
                },
                place: name.span.start,
            });
        let scope = Scope {
            columns: columns.collect(),
            ..Scope::default()
        };
        Ok(Bound {
            rel: Rel::scan(index, fields(&scope)),
            scope,
        })
    }
}

fn fields(scope: &Scope) -> Vec<(String, DataType)> {
    let columns = scope.columns.iter();
    columns
        .map(|column| (column.name.clone(), column.data_type.clone()))
        .collect()
}

fn refuse_clauses(query: &ast::Query, place: Place) -> Result<()> {
    if let Some(limit) = &query.limit_clause {
        let place = match limit.span().start {
            start if start.line == 0 => place,
            start => start,
        };
        let fault = Fault::unsupported(place, "`LIMIT` is");
        return Err(fault.help(
            "for the first rows of each window: ROW_NUMBER() OVER (PARTITION BY window_start, \
             window_end ORDER BY …) in a subquery, WHERE row_num <= 10",
        ));
    }
    if query.fetch.is_some() {
        return Err(Fault::unsupported(place, "`FETCH` is"));
    }
    let other = query.for_clause.is_some()
        || !query.locks.is_empty()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty();
    match other {
        true => Err(Fault::unsupported(place, "a clause after the query is")),
        false => Ok(()),
    }
}

/// A name without catalog or database.
fn bare_name(name: &ast::ObjectName) -> Result<&Ident> {
    match name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] => Ok(name),
        _ => {
            let fault = Fault::unsupported(name.span(), "a name with a catalog or database is");
            Err(fault.help("use the table's bare name"))
        }
    }
}

fn with_alias(bound: Bound, alias: Option<&ast::TableAlias>) -> Result<Bound> {
    let Some(alias) = alias else {
        return Ok(bound);
    };
    let columns: Vec<Ident> = alias
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    rename(bound, &alias.name, &columns)
}

/// Gives the rows a name and, unless `columns` is empty, the columns too.
pub(crate) fn rename(mut bound: Bound, name: &Ident, columns: &[Ident]) -> Result<Bound> {
    let found = bound.scope.columns.len();
    if !columns.is_empty() && columns.len() != found {
        let message = format!(
            "`{}` has {found} columns, found {} names",
            name.value,
            columns.len()
        );
        return Err(Fault::at(columns[0].span, message));
    }
    for column in &mut bound.scope.columns {
        column.table = Some(name.value.clone());
    }
    for (column, name) in bound.scope.columns.iter_mut().zip(columns) {
        column.name.clone_from(&name.value);
    }
    Ok(bound)
}
