//! `SELECT`: FROM, WHERE, then either a projection or an aggregation.

use millstream_core::expr::Expr;
use sqlparser::ast::{
    self, GroupByExpr, SelectItem, SelectItemQualifiedWildcardKind, Spanned,
    WildcardAdditionalOptions,
};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::expr::aggregate::is_aggregate;
use crate::expr::over::{OVER, Overs};
use crate::query::subquery::{conjuncts, subquery};
use crate::query::{Bound, QueryBinder};
use crate::rel::natural_name;
use crate::scope::{Role, Scope, ScopeColumn, Star};

/// A column of a select list.
pub(super) struct Item<'a> {
    /// Its alias.
    pub alias: Option<&'a str>,
    /// What it computes.
    pub source: ItemSource<'a>,
    /// Where it stands.
    pub place: Place,
}

/// What a column of a select list computes.
pub(super) enum ItemSource<'a> {
    /// An expression.
    Expr(&'a ast::Expr),
    /// A column, from `*`.
    Column(usize),
    /// A column of both sides of a join with USING, from `*`.
    Common(&'a Expr),
}

impl QueryBinder<'_> {
    /// Binds a SELECT.
    pub(super) fn bind_select(&self, select: &ast::Select) -> Result<Bound> {
        let place = select.select_token.0.span.start;
        refuse_clauses(select, place)?;
        let input = self.bind_input(select, place)?;
        let grouped = match &select.group_by {
            GroupByExpr::All(_) => {
                return Err(Fault::unsupported(place, "`GROUP BY ALL` is"));
            }
            GroupByExpr::Expressions(exprs, modifiers) => {
                if !modifiers.is_empty() {
                    let what = "`GROUP BY … WITH` and GROUPING SETS without a comma before are";
                    return Err(Fault::unsupported(exprs[0].span(), what));
                }
                exprs.as_slice()
            }
        };
        let input = self.bind_group_window(input, grouped)?;
        let scope = input.scope.clone();
        let items = items(&select.projection, &scope)?;
        if !grouped.is_empty() {
            return self.bind_grouped(input, grouped, &items, select.having.as_ref());
        }
        if let Some(having) = &select.having {
            return Err(Fault::at(having.span(), "HAVING without GROUP BY"));
        }
        if let Some(place) = items.iter().find_map(aggregate_place) {
            let fault = Fault::unsupported(place, "an aggregation without a window is");
            return Err(
                fault.help("read TABLE(TUMBLE(…)) and group by window_start and window_end")
            );
        }
        self.bind_projection(input, &items, &select.named_window)
    }

    /// Binds FROM and WHERE.
    fn bind_input(&self, select: &ast::Select, place: Place) -> Result<Bound> {
        let all: Vec<&ast::Expr> = select.selection.iter().flat_map(conjuncts).collect();
        let mut left = all.clone();
        let mut input = self.bind_from(&select.from, place, &mut left)?;
        let is_whole = left.len() == all.len() && !all.iter().any(|it| subquery(it).is_some());
        let predicates = match (&select.selection, is_whole) {
            (Some(predicate), true) => vec![predicate],
            _ => left,
        };
        for predicate in predicates {
            if let Some(subquery) = subquery(predicate) {
                input = self.bind_subquery(input, &subquery)?;
                continue;
            }
            let mut binder = ExprBinder::scalar(&input.scope, self.dialect, "WHERE");
            binder.start = place;
            let predicate = binder.condition(predicate)?;
            input.rel = input.rel.filter(predicate);
        }
        Ok(input)
    }

    fn bind_projection(
        &self,
        input: Bound,
        items: &[Item<'_>],
        windows: &[ast::NamedWindowDefinition],
    ) -> Result<Bound> {
        let Bound { mut rel, scope } = input;
        let mut columns = vec![];
        let mut exprs = vec![];
        let mut overs = Overs::new(windows);
        for (position, item) in items.iter().enumerate() {
            let expr = match item.source {
                ItemSource::Column(index) => scope.column(index),
                ItemSource::Common(value) => value.clone(),
                ItemSource::Expr(expr) => {
                    let mut binder = ExprBinder::scalar(&scope, self.dialect, "SELECT");
                    binder.start = item.place;
                    binder.over = Some(&mut overs);
                    binder.bind(expr)?
                }
            };
            let of_input = expr.as_column().and_then(|index| scope.columns.get(index));
            let role = match of_input {
                Some(column) => column.role,
                None if expr.is_processing_time() => Role::ProcessingTime,
                None => Role::Plain,
            };
            let mut column = item.column(position, &expr, role);
            let is_call = expr.as_column().is_some_and(|index| index >= OVER);
            if is_call && item.alias.is_none() {
                column.name = format!("EXPR${position}");
            }
            columns.push(column);
            exprs.push(expr);
        }
        if let Some(time) = overs.time_column() {
            let of_columns = columns.iter_mut().zip(&exprs);
            let others = of_columns.filter(|(_, expr)| expr.as_column() != Some(time));
            for (column, _) in others.filter(|(column, _)| column.role.is_time()) {
                column.role = Role::Plain;
            }
        }
        if overs.has_calls() {
            // Rows come out later than they were read. What is computed when they do is the time of that.
            let time = overs.time_column();
            let of_columns = columns.iter_mut().zip(&exprs);
            let read =
                of_columns.filter(|(_, expr)| expr.as_column().is_some_and(|it| Some(it) != time));
            for (column, _) in read.filter(|(column, _)| column.role == Role::ProcessingTime) {
                column.role = Role::Plain;
            }
        }
        rel = overs.append(rel, &mut exprs);
        Ok(project(rel, columns, exprs))
    }
}

/// `rel` with `exprs` as columns.
pub(super) fn project(rel: crate::rel::Rel, columns: Vec<ScopeColumn>, exprs: Vec<Expr>) -> Bound {
    let names = columns.iter().map(|column| column.name.clone());
    let rel = rel.project(names.zip(exprs).collect());
    Bound {
        rel,
        scope: Scope {
            columns,
            ..Scope::default()
        },
    }
}

impl Item<'_> {
    /// The column that it becomes.
    pub fn column(&self, position: usize, expr: &Expr, role: Role) -> ScopeColumn {
        let alias = self.alias.map(str::to_owned);
        let name = alias.or_else(|| natural_name(expr));
        ScopeColumn {
            table: None,
            name: name.unwrap_or_else(|| format!("EXPR${position}")),
            data_type: expr.data_type.clone(),
            role,
            place: self.place,
        }
    }
}

fn items<'a>(projection: &'a [SelectItem], scope: &'a Scope) -> Result<Vec<Item<'a>>> {
    let mut items = vec![];
    for item in projection {
        let place = item.span().start;
        let (alias, expr) = match item {
            SelectItem::UnnamedExpr(expr) => (None, expr),
            SelectItem::ExprWithAlias { expr, alias } => (Some(alias.value.as_str()), expr),
            SelectItem::Wildcard(options) => {
                let place = options.wildcard_token.0.span.start;
                refuse_options(options, place)?;
                items.extend(scope.star().into_iter().map(|star| match star {
                    Star::Column(index) => Item {
                        alias: None,
                        source: ItemSource::Column(index),
                        place,
                    },
                    Star::Common(common) => Item {
                        alias: Some(&common.name),
                        source: ItemSource::Common(&common.value),
                        place,
                    },
                }));
                continue;
            }
            SelectItem::QualifiedWildcard(kind, options) => {
                refuse_options(options, place)?;
                let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                    return Err(Fault::unsupported(place, "`.*` after an expression is"));
                };
                let indices = scope.columns_of(super::bare_name(name)?)?;
                items.extend(wildcard(indices, place));
                continue;
            }
        };
        items.push(Item {
            alias,
            source: ItemSource::Expr(expr),
            place,
        });
    }
    Ok(items)
}

fn wildcard<'a>(indices: Vec<usize>, place: Place) -> impl Iterator<Item = Item<'a>> {
    indices.into_iter().map(move |index| Item {
        alias: None,
        source: ItemSource::Column(index),
        place,
    })
}

fn refuse_options(options: &WildcardAdditionalOptions, place: Place) -> Result<()> {
    let plain = options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none();
    match plain {
        true => Ok(()),
        false => Err(Fault::unsupported(
            place,
            "`*` with EXCEPT, REPLACE or RENAME is",
        )),
    }
}

fn refuse_clauses(select: &ast::Select, place: Place) -> Result<()> {
    if select.distinct.is_some() {
        return Err(Fault::unsupported(place, "`SELECT DISTINCT` is"));
    }
    if let Some(qualify) = &select.qualify {
        return Err(Fault::unsupported(qualify.span(), "`QUALIFY` is"));
    }
    let other = select.top.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.value_table_mode.is_some();
    match other {
        true => Err(Fault::unsupported(place, "a clause of this SELECT is")),
        false => Ok(()),
    }
}

/// Where an item calls an aggregate function.
fn aggregate_place(item: &Item<'_>) -> Option<Place> {
    let ItemSource::Expr(expr) = item.source else {
        return None;
    };
    let mut place = None;
    let _ = ast::visit_expressions(expr, |expr| {
        if let ast::Expr::Function(function) = expr
            && function.over.is_none()
            && is_aggregate(&function.name.to_string().to_uppercase())
        {
            place = Some(function.name.span().start);
            return std::ops::ControlFlow::Break(());
        }
        std::ops::ControlFlow::Continue(())
    });
    place
}
