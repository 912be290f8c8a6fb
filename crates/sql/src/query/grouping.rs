//! `GROUP BY`, HAVING and the select list over groups.
//!
//! GROUP BY is a list of elements, each a list of grouping sets (one for a plain expression); the
//! sets of the whole are all combinations. Every set must hold the window's start and end.

use std::collections::BTreeSet;

use millstream_core::expr::{Expr, ExprKind};
use millstream_core::plan::WindowKind;
use sqlparser::ast;

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::expr::aggregate::{Aggregates, Grouping};
use crate::query::select::{Item, ItemSource, project};
use crate::query::window::is_group_window;
use crate::query::{Bound, QueryBinder};
use crate::rel::{GroupBy, Rel};
use crate::scope::{Role, Scope};
use crate::types::is_comparable;

const SETS_MAX: usize = 64;

/// What GROUP BY says.
#[derive(Default)]
struct Keys {
    /// Expressions besides the window's columns.
    exprs: Vec<Expr>,
    /// The columns that are the window's start, end and time, where grouped by.
    window: [Option<usize>; 3],
}

/// A member of a grouping set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    /// One of [`Keys::window`].
    Window(usize),
    /// One of [`Keys::exprs`].
    Key(usize),
}

impl QueryBinder<'_> {
    /// Binds a SELECT with GROUP BY.
    pub(super) fn bind_grouped(
        &self,
        input: Bound,
        grouped: &[ast::Expr],
        items: &[Item<'_>],
        having: Option<&ast::Expr>,
    ) -> Result<Bound> {
        let Bound { mut rel, scope } = input;
        let (keys, sets) = self.bind_keys(&scope, grouped)?;
        let place = place_of(&grouped[0]);
        let time = keys.window[2].is_some();
        let sets = plain_sets(&sets, &keys, place)?;
        let column = keys.window[0].expect("checked with the sets");
        let Some(mut window) = rel.window_of(column) else {
            return Err(Fault::unsupported(place, "a GROUP BY of this window is"));
        };
        if let WindowKind::Session { partition, .. } = &mut window.kind {
            let is_old = scope.group_window.is_some();
            *partition = session_keys(partition, (&keys.exprs, &sets), (&rel, is_old), place)?;
        }
        let mut aggregates = Aggregates {
            keys: keys.exprs,
            ..Aggregates::default()
        };
        let mut over = OverGroups {
            scope: &scope,
            binder: self,
            aggregates: &mut aggregates,
        };
        let mut exprs = vec![];
        for item in items {
            exprs.push(over.bind_item(item)?);
        }
        let having = having.map(|expr| over.bind_condition(expr)).transpose()?;
        let mut group_by = GroupBy {
            window,
            keys: aggregates.keys,
            sets,
            calls: aggregates.calls,
            grouping_id: aggregates.grouping_id,
        };
        let can_be_several = matches!(
            group_by.window.kind,
            WindowKind::Hop { .. } | WindowKind::Cumulate { .. }
        );
        if can_be_several && rel.is_placed(column, &reads(&group_by)) {
            // A row of several windows has become several rows: each counts in its own window.
            let placed = rel.window_of_placed(column);
            let refused = || Fault::unsupported(place, "a GROUP BY of this window is");
            group_by.window = placed.ok_or_else(refused)?;
        }
        finish((rel, &scope), group_by, time, (items, exprs, having))
    }

    fn bind_keys(&self, scope: &Scope, grouped: &[ast::Expr]) -> Result<(Keys, Vec<Vec<Member>>)> {
        let mut keys = Keys::default();
        let mut sets: Vec<Vec<Member>> = vec![vec![]];
        for element in grouped {
            let alternatives = self.bind_element(scope, element, &mut keys)?;
            let mut combined = vec![];
            for set in &sets {
                for alternative in &alternatives {
                    let mut set = set.clone();
                    set.extend(
                        alternative
                            .iter()
                            .filter(|member| !set.contains(member))
                            .copied()
                            .collect::<Vec<_>>(),
                    );
                    combined.push(set);
                }
            }
            if combined.len() > SETS_MAX {
                let message = format!(
                    "{} grouping sets, expected at most {SETS_MAX}",
                    combined.len()
                );
                return Err(Fault::at(place_of(element), message));
            }
            sets = combined;
        }
        Ok((keys, sets))
    }

    /// The grouping sets that one element of GROUP BY stands for.
    fn bind_element(
        &self,
        scope: &Scope,
        element: &ast::Expr,
        keys: &mut Keys,
    ) -> Result<Vec<Vec<Member>>> {
        let mut bind_set = |exprs: &[ast::Expr]| -> Result<Vec<Member>> {
            exprs
                .iter()
                .map(|expr| self.bind_key(scope, expr, keys))
                .collect()
        };
        match element {
            ast::Expr::GroupingSets(sets) => sets.iter().map(|set| bind_set(set)).collect(),
            ast::Expr::Rollup(parts) => {
                let parts: Vec<Vec<Member>> = parts
                    .iter()
                    .map(|part| bind_set(part))
                    .collect::<Result<_>>()?;
                Ok((0..=parts.len())
                    .rev()
                    .map(|length| parts[..length].concat())
                    .collect())
            }
            ast::Expr::Cube(parts) => {
                let parts: Vec<Vec<Member>> = parts
                    .iter()
                    .map(|part| bind_set(part))
                    .collect::<Result<_>>()?;
                if parts.len() > SETS_MAX.ilog2() as usize {
                    return Err(Fault::at(
                        place_of(element),
                        "a CUBE of more than 6 columns",
                    ));
                }
                let chosen = |mask: usize| {
                    let parts = parts.iter().enumerate();
                    // The first column is the highest bit, so all columns come first.
                    let bits = parts.clone().count();
                    let kept = parts.filter(|(index, _)| mask >> (bits - 1 - index) & 1 == 1);
                    kept.flat_map(|(_, part)| part.clone()).collect()
                };
                Ok((0..1 << parts.len()).rev().map(chosen).collect())
            }
            element if is_group_window(element, scope) => {
                let part = |is: fn(Role) -> bool| scope.columns.iter().position(|c| is(c.role));
                keys.window = [
                    part(|role| role == Role::WindowStart),
                    part(|role| role == Role::WindowEnd),
                    part(|role| matches!(role, Role::WindowTime(_))),
                ];
                Ok(vec![vec![Member::Window(0), Member::Window(1)]])
            }
            ast::Expr::Tuple(exprs) => Ok(vec![bind_set(exprs)?]),
            expr => Ok(vec![bind_set(std::slice::from_ref(expr))?]),
        }
    }

    fn bind_key(&self, scope: &Scope, expr: &ast::Expr, keys: &mut Keys) -> Result<Member> {
        let place = place_of(expr);
        let mut binder = ExprBinder::scalar(scope, self.dialect, "GROUP BY");
        binder.start = place;
        let bound = binder.bind(expr)?;
        if let ExprKind::Literal(_) = bound.kind {
            let fault = Fault::at(place, format!("constant {bound} in GROUP BY"));
            return Err(
                fault.help("name the column: positions of the select list are not supported")
            );
        }
        if !is_comparable(&bound.data_type) {
            let found = millstream_core::types::sql_name(&bound.data_type);
            return Err(Fault::at(place, format!("cannot group by {found}")));
        }
        let window = bound
            .as_column()
            .and_then(|index| match scope.columns[index].role {
                Role::WindowStart => Some((0, index)),
                Role::WindowEnd => Some((1, index)),
                Role::WindowTime(_) => Some((2, index)),
                _ => None,
            });
        if let Some((part, index)) = window {
            keys.window[part] = Some(index);
            return Ok(Member::Window(part));
        }
        let known = keys.exprs.iter().position(|key| *key == bound);
        Ok(Member::Key(known.unwrap_or_else(|| {
            keys.exprs.push(bound);
            keys.exprs.len() - 1
        })))
    }
}

/// The columns that keys and calls read.
fn reads(group_by: &GroupBy) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    for expr in group_by.exprs() {
        expr.for_each_column(&mut |index| columns.extend([index]));
    }
    columns
}

fn place_of(expr: &ast::Expr) -> Place {
    use sqlparser::ast::Spanned;
    match expr {
        ast::Expr::GroupingSets(sets) | ast::Expr::Rollup(sets) | ast::Expr::Cube(sets) => {
            let mut exprs = sets.iter().flatten();
            exprs
                .next()
                .map_or(expr.span().start, |expr| expr.span().start)
        }
        expr => expr.span().start,
    }
}

/// The sets without the window, which all of them must have.
fn plain_sets(sets: &[Vec<Member>], keys: &Keys, place: Place) -> Result<Vec<Vec<usize>>> {
    let help = "read TABLE(TUMBLE(…)) and group by window_start and window_end";
    if keys.window.iter().all(Option::is_none) {
        let fault = Fault::unsupported(place, "a GROUP BY without a window is");
        return Err(fault.help(help));
    }
    for (part, name) in ["window_start", "window_end"].into_iter().enumerate() {
        if !sets.iter().all(|set| set.contains(&Member::Window(part))) {
            let fault = Fault::at(place, format!("GROUP BY of a window without `{name}`"));
            return Err(fault.help(help));
        }
    }
    let plain = sets.iter().map(|set| {
        let mut set: Vec<usize> = set
            .iter()
            .filter_map(|member| match member {
                Member::Key(key) => Some(*key),
                Member::Window(_) => None,
            })
            .collect();
        set.sort_unstable();
        set
    });
    Ok(plain.collect())
}

/// The keys that sessions are of, by position. `columns` are those of PARTITION BY; sessions of the older
/// syntax (`is_old`) are of all keys.
fn session_keys(
    columns: &[usize],
    (keys, sets): (&[Expr], &[Vec<usize>]),
    (rel, is_old): (&Rel, bool),
    place: Place,
) -> Result<Vec<usize>> {
    let is_whole = |partition: &[usize]| {
        partition.len() == keys.len() && matches!(sets, [set] if set.len() == keys.len())
    };
    if is_old {
        let all: Vec<usize> = (0..keys.len()).collect();
        return match is_whole(&all) {
            true => Ok(all),
            false => Err(Fault::unsupported(
                place,
                "GROUPING SETS with a window in GROUP BY are",
            )),
        };
    }
    let mut partition = vec![];
    for column in columns {
        let of_column = |key: &Expr| key.as_column() == Some(*column);
        let key = keys.iter().position(of_column);
        let in_all = key.filter(|key| sets.iter().all(|set| set.contains(key)));
        partition.push(in_all.ok_or_else(|| {
            let name = &rel.fields[*column].0;
            let what = format!("GROUP BY of sessions without `{name}` of their PARTITION BY is");
            Fault::unsupported(place, what)
        })?);
    }
    if rel.is_filtered() && !is_whole(&partition) {
        let what = "a condition on rows of sessions that GROUP BY splits is";
        let fault = Fault::unsupported(place, what);
        return Err(fault.help("put it into a subquery, before SESSION"));
    }
    Ok(partition)
}

/// Binds expressions over groups, still in terms of the rows that come in.
struct OverGroups<'a, 'b> {
    scope: &'a Scope,
    binder: &'a QueryBinder<'b>,
    aggregates: &'a mut Aggregates,
}

/// A bound expression and where its columns were read.
type Used = (Expr, Vec<(usize, Place)>);

impl OverGroups<'_, '_> {
    fn bind_item(&mut self, item: &Item<'_>) -> Result<Used> {
        match item.source {
            ItemSource::Column(index) => Ok((self.scope.column(index), vec![(index, item.place)])),
            ItemSource::Common(value) => {
                let mut uses = vec![];
                value.for_each_column(&mut |index| uses.push((index, item.place)));
                Ok((value.clone(), uses))
            }
            ItemSource::Expr(expr) => self.bind(expr, "SELECT", |binder, expr| binder.bind(expr)),
        }
    }

    fn bind_condition(&mut self, expr: &ast::Expr) -> Result<Used> {
        self.bind(expr, "HAVING", |binder, expr| binder.condition(expr))
    }

    fn bind(
        &mut self,
        expr: &ast::Expr,
        clause: &'static str,
        bind: impl Fn(&mut ExprBinder<'_>, &ast::Expr) -> Result<Expr>,
    ) -> Result<Used> {
        let mut binder = ExprBinder::scalar(self.scope, self.binder.dialect, clause);
        binder.aggregates = Some(&mut *self.aggregates);
        binder.start = place_of(expr);
        let bound = bind(&mut binder, expr)?;
        Ok((bound, binder.uses))
    }
}

/// The aggregate with HAVING and the select list on top.
fn finish(
    (rel, scope): (Rel, &Scope),
    group_by: GroupBy,
    window_time: bool,
    (items, exprs, having): (&[Item<'_>], Vec<Used>, Option<Used>),
) -> Result<Bound> {
    let roles: Vec<Role> = scope.columns.iter().map(|column| column.role).collect();
    let keys = group_by.keys.clone();
    let calls = group_by.calls.len();
    let domain = group_by.window.domain;
    let replace = |(mut expr, uses): Used| -> Result<Expr> {
        let grouping = Grouping {
            keys: &keys,
            calls,
            roles: &roles,
            window_time,
            uses: &uses,
        };
        grouping.replace(&mut expr)?;
        Ok(expr)
    };
    let mut columns = vec![];
    let mut outputs = vec![];
    for (position, (item, used)) in items.iter().zip(exprs).enumerate() {
        let name = crate::rel::natural_name(&used.0);
        let is_call = used
            .0
            .as_column()
            .is_some_and(|index| index >= crate::expr::aggregate::CALLS);
        let expr = replace(used)?;
        let role = match expr.as_column() {
            Some(0) => Role::WindowStart,
            Some(1) => Role::WindowEnd,
            Some(2) => Role::WindowTime(domain),
            _ if expr.is_processing_time() => Role::ProcessingTime,
            _ => Role::Plain,
        };
        let mut column = item.column(position, &expr, role);
        if item.alias.is_none() {
            let named = name.filter(|_| !is_call);
            column.name = named.unwrap_or_else(|| format!("EXPR${position}"));
        }
        columns.push(column);
        outputs.push(expr);
    }
    let having = having.map(replace).transpose()?;
    let mut rel = rel.aggregate(group_by);
    if let Some(having) = having {
        rel = rel.filter(having);
    }
    Ok(project(rel, columns, outputs))
}
