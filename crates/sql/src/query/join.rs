//! What stands after FROM: tables, joins, UNNEST.
//!
//! A join is one of four, by its condition: with a lookup (`FOR SYSTEM_TIME AS OF`), of windows (their
//! start and end are equal), of intervals (times within bounds), or with a table that ends and
//! is held in memory. Anything else would have to keep all rows for ever, and is refused.

use millstream_core::TimeDomain;
use millstream_core::expr::Expr;
use millstream_core::plan::JoinKind;
use sqlparser::ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor, TableVersion};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::expr::operator::equal;
use crate::functions::{self, Argument};
use crate::query::condition::Conditions;
use crate::query::unnest::{UnnestCall, carry_times, reordered};
use crate::query::{Bound, QueryBinder};
use crate::rel::{JoinOn, JoinSpec, Rel, Step};
use crate::scope::{Common, Role, Scope};
use millstream_core::plan::WindowKind;

/// What is joined with what is there already.
pub(super) struct Joined<'a> {
    /// Which rows come out.
    pub kind: JoinKind,
    /// The right side.
    pub right: Bound,
    /// What must be true, over the columns of both, each with its own AND apart.
    pub conjuncts: Vec<Expr>,
    /// `FOR SYSTEM_TIME AS OF`.
    pub is_lookup: bool,
    /// Where it stands.
    pub place: Place,
    /// What it is called in messages.
    pub name: &'a str,
}

impl QueryBinder<'_> {
    /// Binds what stands after FROM. Takes those of the `conditions` in WHERE that belong to its
    /// joins.
    pub(super) fn bind_from(
        &self,
        from: &[ast::TableWithJoins],
        place: Place,
        conditions: &mut Vec<&ast::Expr>,
    ) -> Result<Bound> {
        let [first, others @ ..] = from else {
            return Err(Fault::unsupported(place, "a SELECT without FROM is"));
        };
        let none = JoinOperator::CrossJoin(JoinConstraint::None);
        let mut joined: Vec<(&TableFactor, &JoinOperator)> = vec![];
        let of_first = first.joins.iter();
        joined.extend(of_first.map(|it| (&it.relation, &it.join_operator)));
        for table in others {
            joined.push((&table.relation, &none));
            let joins = table.joins.iter();
            joined.extend(joins.map(|it| (&it.relation, &it.join_operator)));
        }
        // What WHERE says holds before an outer join only for rows that it keeps anyway: those on its
        // left, unless the rows on its right come out without them.
        let last_turning = joined.iter().rposition(|(_, it)| !keeps_left_rows(it));
        let mut none = vec![];
        let first = match joined.is_empty() {
            true => return self.bind_factor(&first.relation),
            false => self.bind_factor(&first.relation)?,
        };
        let mut bound = first;
        for (index, (relation, operator)) in joined.into_iter().enumerate() {
            let is_before = last_turning.is_some_and(|last| index < last);
            let conditions = if is_before {
                &mut none
            } else {
                &mut *conditions
            };
            let place = relation.span().start;
            crate::rel::depth::check(&bound.rel, place)?;
            bound = match unnest_call(relation, operator)? {
                Some(call) => self.bind_unnest(bound, &call)?,
                None => self.bind_join(bound, (relation, operator), conditions)?,
            };
        }
        Ok(bound)
    }

    fn bind_join(
        &self,
        left: Bound,
        (relation, operator): (&TableFactor, &JoinOperator),
        conditions: &mut Vec<&ast::Expr>,
    ) -> Result<Bound> {
        let place = relation.span().start;
        let (kind, name, constraint) = kind_of(operator, place)?;
        let mut binder = self.clone();
        binder.takes_whole = true;
        let (right, is_lookup) = binder.bind_right(relation, &left.scope)?;
        let scope = both(&left.scope, &right.scope);
        let mut common = scope.common.clone();
        let mut conjuncts = match constraint {
            JoinConstraint::On(expr) => {
                let mut binder = ExprBinder::scalar(&scope, self.dialect, "ON");
                binder.start = place;
                split(binder.condition(expr)?)
            }
            JoinConstraint::None => vec![],
            JoinConstraint::Using(names) => {
                let (conjuncts, made) = using(kind, names, (&left.scope, &right.scope))?;
                common.retain(|known| made.iter().all(|made| made.name != known.name));
                common.splice(0..0, made);
                conjuncts
            }
            JoinConstraint::Natural => {
                let fault = Fault::unsupported(place, "`NATURAL JOIN` is");
                return Err(fault.help("name the columns: JOIN … USING (…)"));
            }
        };
        if kind == JoinKind::Inner {
            let width = left.scope.columns.len();
            conditions.retain(|condition| {
                let mut binder = ExprBinder::scalar(&scope, self.dialect, "WHERE");
                binder.start = place;
                match binder.condition(condition) {
                    Ok(bound) if reads_both(&bound, width) && !bound.looks(|_| true) => {
                        conjuncts.extend(split(bound));
                        false
                    }
                    _ => true,
                }
            });
        }
        let mut bound = self.join(
            left,
            Joined {
                kind,
                right,
                conjuncts,
                is_lookup,
                place,
                name,
            },
        )?;
        bound.scope.common = common;
        Ok(bound)
    }

    /// The right side of a join, and whether it is looked up.
    fn bind_right(&self, relation: &TableFactor, left: &Scope) -> Result<(Bound, bool)> {
        let mut plain = relation.clone();
        let TableFactor::Table { version, .. } = &mut plain else {
            return Ok((self.bind_factor(relation)?, false));
        };
        match version.take() {
            None => Ok((self.bind_factor(relation)?, false)),
            Some(TableVersion::ForSystemTimeAsOf(time)) => {
                let mut binder = ExprBinder::scalar(left, self.dialect, "FOR SYSTEM_TIME AS OF");
                binder.start = relation.span().start;
                let place = binder.place(&time);
                let bound = binder.bind(&time)?;
                let role = bound.as_column().map(|index| left.columns[index].role);
                let is_time = role.is_some_and(|role| role.domain().is_some());
                if !is_time {
                    let message = format!(
                        "found `{time}`, expected a time of the left side: PROCTIME() or an event time"
                    );
                    return Err(Fault::at(place, message));
                }
                Ok((self.bind_factor(&plain)?, true))
            }
            Some(_) => {
                let what = "a table version other than `FOR SYSTEM_TIME AS OF` is";
                Err(Fault::unsupported(relation.span(), what))
            }
        }
    }

    /// `left` joined with something.
    pub(super) fn join(&self, mut left: Bound, joined: Joined<'_>) -> Result<Bound> {
        let Joined {
            kind, mut right, ..
        } = joined;
        carry_times(&mut left.rel, &left.scope.columns);
        carry_times(&mut right.rel, &right.scope.columns);
        let scope = both(&left.scope, &right.scope);
        let conditions = Conditions::of(joined.conjuncts, &scope, left.scope.columns.len());
        let found = Found {
            kind,
            is_lookup: joined.is_lookup,
            place: joined.place,
            name: joined.name,
        };
        let Some((on, is_swapped)) = self.join_on(&found, (&mut left, &mut right), &conditions)?
        else {
            return Err(regular(&found, &conditions));
        };
        self.check_sources(&on, is_swapped, (&left.rel, &right.rel), joined.place)?;
        if is_swapped {
            let widths = (left.scope.columns.len(), right.scope.columns.len());
            let kind = match kind {
                JoinKind::Right => JoinKind::Left,
                kind => kind,
            };
            let swapped = conditions.swapped(&right.scope, &left.scope);
            let bound = put_together(right, left, (kind, on), swapped);
            return Ok(turned(bound, widths));
        }
        Ok(put_together(left, right, (kind, on), conditions))
    }

    /// How the rows wait for each other, and whether the sides change places; none if they would have
    /// to wait for ever.
    fn join_on(
        &self,
        found: &Found<'_>,
        (left, right): (&mut Bound, &mut Bound),
        conditions: &Conditions,
    ) -> Result<Option<(JoinOn, bool)>> {
        let place = found.place;
        let kind = found.kind;
        let whole_right = self.whole_table(&right.rel);
        if found.is_lookup {
            if whole_right.is_none() {
                let message = "only a table whose rows can be read whole can be looked up: files \
                               without `source.monitor-interval`, an embedded `clickhouse` table";
                return Err(Fault::at(place, message));
            }
            if kind.keeps_right() {
                return Err(Fault::unsupported(
                    place,
                    format!("`{}` with a lookup is", found.name),
                ));
            }
            return Ok(Some((JoinOn::Table { is_refreshed: true }, false)));
        }
        if let (Some(starts), Some(ends)) = (conditions.starts, conditions.ends) {
            check_windows((left, right), starts, place)?;
            let [left, right] = [0, 1].map(|side| [starts[side], ends[side]]);
            return Ok(Some((JoinOn::Window { left, right }, false)));
        }
        if let Some(interval) = &conditions.interval {
            if !kind.has_right() {
                let what = "a subquery whose rows match within an interval is";
                return Err(Fault::unsupported(place, what));
            }
            if interval.lower_ms > interval.upper_ms {
                let message = "no two times fit the bounds of this join";
                return Err(Fault::at(place, message));
            }
            return Ok(Some((interval.on(), false)));
        }
        if whole_right.is_some() && !kind.keeps_right() {
            return Ok(Some((
                JoinOn::Table {
                    is_refreshed: false,
                },
                false,
            )));
        }
        let can_turn = matches!(kind, JoinKind::Inner | JoinKind::Right);
        if can_turn && self.whole_table(&left.rel).is_some() {
            return Ok(Some((
                JoinOn::Table {
                    is_refreshed: false,
                },
                true,
            )));
        }
        if whole_right.is_some() {
            let what = format!("`{}` with a table that is held in memory is", found.name);
            let fault = Fault::unsupported(place, what);
            return Err(fault.help("use INNER JOIN or LEFT JOIN"));
        }
        Ok(None)
    }

    /// Refuses tables that can be held in memory but not read where they would have to be read.
    fn check_sources(
        &self,
        on: &JoinOn,
        is_swapped: bool,
        (left, right): (&Rel, &Rel),
        place: Place,
    ) -> Result<()> {
        let read = match (on, is_swapped) {
            (JoinOn::Table { .. }, false) => vec![left],
            (JoinOn::Table { .. }, true) => vec![right],
            _ => vec![left, right],
        };
        let mut open = read;
        while let Some(rel) = open.pop() {
            if let Step::Join(_, _, spec) = &rel.step
                && let JoinOn::Table { .. } = spec.on
            {
                open.push(rel.inputs()[0]);
                continue;
            }
            if let Step::Scan(index) = &rel.step
                && !self.catalog.tables[*index].info.is_source
            {
                let table = &self.catalog.tables[*index];
                let message = format!(
                    "table `{}` can only be joined with as a whole: connector `{}` is not read \
                     otherwise",
                    table.name, table.info.name
                );
                return Err(Fault::at(place, message));
            }
            open.extend(rel.inputs());
        }
        Ok(())
    }

    /// The table that these rows are of, if nothing but filters and projections is between and all of
    /// its rows can be read.
    fn whole_table(&self, rel: &Rel) -> Option<usize> {
        match &rel.step {
            Step::Scan(index) => {
                let table = &self.catalog.tables[*index];
                table.info.is_whole(&table.connector).then_some(*index)
            }
            Step::Filter(input, _) | Step::Project(input, _) => self.whole_table(input),
            _ => None,
        }
    }
}

/// What is known of a join before it is known which it is.
struct Found<'a> {
    kind: JoinKind,
    is_lookup: bool,
    place: Place,
    name: &'a str,
}

/// Refuses windows that cannot be joined. `starts` are the columns of their start.
fn check_windows(
    (left, right): (&mut Bound, &mut Bound),
    starts: [usize; 2],
    place: Place,
) -> Result<()> {
    let differ = || {
        let message = "the windows of the two sides differ in kind, size or offset";
        Fault::at(place, message)
    };
    let gaps = [
        left.rel.sessions_of(starts[0]),
        right.rel.sessions_of(starts[1]),
    ];
    let (left, right) = match gaps {
        [None, None] => {
            let left = left.rel.window_of(starts[0]);
            (left, right.rel.window_of(starts[1]))
        }
        // Sessions are joined once they are complete: results whose bounds are the same.
        [Some(left), Some(right)] if left == right => return Ok(()),
        [Some(left), Some(right)] if left.1 != right.1 => return Err(two_times(place)),
        [Some(_), Some(_)] => return Err(differ()),
        _ => return Err(Fault::unsupported(place, "a join of these windows is")),
    };
    let (Some(left), Some(right)) = (left, right) else {
        return Err(Fault::unsupported(place, "a join of these windows is"));
    };
    if let WindowKind::Session { .. } = plain(&left.kind) {
        let fault = Fault::unsupported(place, "a join of rows of sessions is");
        return Err(fault.help("aggregate both sides by their sessions and join the results"));
    }
    if left.domain != right.domain {
        return Err(two_times(place));
    }
    match plain(&left.kind) == plain(&right.kind) {
        true => Ok(()),
        false => Err(differ()),
    }
}

fn two_times(place: Place) -> Fault {
    let what = "a join of windows of event time with windows of processing time is";
    Fault::unsupported(place, what)
}

fn plain(kind: &WindowKind) -> &WindowKind {
    match kind {
        WindowKind::Same(kind) => plain(kind),
        kind => kind,
    }
}

/// Why a join is refused that fits none of the kinds.
fn regular(found: &Found<'_>, conditions: &Conditions) -> Fault {
    if conditions.starts.is_some() != conditions.ends.is_some() {
        let missing = match conditions.starts {
            Some(_) => "window_end",
            None => "window_start",
        };
        let message = format!("a join of windows without `{missing}` of both sides being equal");
        return Fault::at(found.place, message);
    }
    if conditions.mixes_times {
        let what = "a join of event time with processing time is";
        return Fault::unsupported(found.place, what).help("bound two times of one kind");
    }
    let what = format!("`{}` of rows that would be kept for ever is", found.name);
    Fault::unsupported(found.place, what).help(
        "join windows (ON l.window_start = r.window_start AND l.window_end = r.window_end …), \
         intervals (l.time BETWEEN r.time - INTERVAL … AND r.time + INTERVAL …), or with a table \
         that ends",
    )
}

/// The columns of both sides.
fn both(left: &Scope, right: &Scope) -> Scope {
    let columns = left.columns.iter().chain(&right.columns).cloned();
    let of_right = right.common.iter().cloned();
    let of_right = of_right.map(|common| common.shifted(left.columns.len()));
    Scope {
        columns: columns.collect(),
        common: left.common.iter().cloned().chain(of_right).collect(),
        ..Scope::default()
    }
}

/// What `USING (names)` says, over the columns of both sides, and the columns that it makes one.
fn using(
    kind: JoinKind,
    names: &[ast::ObjectName],
    (left, right): (&Scope, &Scope),
) -> Result<(Vec<Expr>, Vec<Common>)> {
    let width = left.columns.len();
    let (mut conjuncts, mut made) = (vec![], vec![]);
    for name in names {
        let place = name.span().start;
        let name = super::bare_name(name)?;
        let one = std::slice::from_ref(name);
        let (on_left, mut on_right) = (left.resolve(one)?, right.resolve(one)?);
        on_right.map_columns(&|index| index + width);
        conjuncts.push(equal(on_left.clone(), on_right.clone(), place)?);
        let mut columns = vec![];
        on_left.for_each_column(&mut |index| columns.push(index));
        on_right.for_each_column(&mut |index| columns.push(index));
        let value = match kind {
            JoinKind::Right => on_right,
            JoinKind::Full => coalesce(on_left, on_right, place)?,
            _ => on_left,
        };
        made.push(Common {
            name: name.value.clone(),
            columns,
            value,
        });
    }
    Ok((conjuncts, made))
}

fn coalesce(left: Expr, right: Expr, place: Place) -> Result<Expr> {
    let signature = functions::find("COALESCE").expect("COALESCE is in the table");
    let args = [left, right].map(|expr| Argument { expr, place });
    signature.call(place, args.into())
}

fn put_together(
    mut left: Bound,
    mut right: Bound,
    (kind, on): (JoinKind, JoinOn),
    conditions: Conditions,
) -> Bound {
    let (visible, hidden) = (left.scope.columns.len(), right.scope.columns.len());
    let mut rest = conditions.finish(&on);
    // What only one side decides is decided before the join where that changes nothing.
    let (mut before_left, mut before_right) = (vec![], vec![]);
    rest.condition.retain(|expr| {
        let (l, r) = reads(expr, visible);
        let pushed = match (l, r) {
            (true, false) if !kind.keeps_left() => &mut before_left,
            (false, true) if !kind.keeps_right() => &mut before_right,
            _ => return true,
        };
        pushed.push(expr.clone());
        false
    });
    for predicate in before_left {
        left.rel = left.rel.filter(predicate);
    }
    for mut predicate in before_right {
        predicate.map_columns(&|index| index - visible);
        right.rel = right.rel.filter(predicate);
    }
    let (width, total) = (
        left.rel.fields.len(),
        left.rel.fields.len() + right.rel.fields.len(),
    );
    let moved = |index: usize| match index < visible {
        true => index,
        false => width + index - visible,
    };
    let condition = rest.condition.into_iter().map(|mut expr| {
        expr.map_columns(&moved);
        expr
    });
    let spec = JoinSpec {
        kind,
        keys: rest.keys,
        condition: condition.reduce(and),
        on: on.clone(),
    };
    let mut scope = left.scope;
    forget_times((kind, &on), (&mut scope, &mut right.scope));
    let rel = left.rel.join(right.rel, spec);
    if !kind.has_right() {
        return Bound { rel, scope };
    }
    scope.columns.extend(right.scope.columns);
    scope.group_window = None;
    let order = (0..visible).chain(width..width + hidden);
    let order = order.chain(visible..width).chain(width + hidden..total);
    Bound {
        rel: reordered(rel, order.collect()),
        scope,
    }
}

/// Makes columns plain that are no times any more once rows are joined.
fn forget_times((kind, on): (JoinKind, &JoinOn), (left, right): (&mut Scope, &mut Scope)) {
    let nullable_left = kind.keeps_right();
    let nullable_right = matches!(kind, JoinKind::Left | JoinKind::Full);
    let is_table = matches!(on, JoinOn::Table { .. });
    // Rows that go by the clock come out later than any watermark.
    let goes_by_clock = matches!(
        on,
        JoinOn::Interval {
            domain: TimeDomain::Processing,
            ..
        }
    );
    for (scope, forgets_all) in [
        (left, nullable_left || goes_by_clock),
        (right, nullable_right || is_table || goes_by_clock),
    ] {
        for column in &mut scope.columns {
            // Rows that wait come out later than they were read.
            let is_of_clock = column.role == Role::ProcessingTime;
            if forgets_all || (is_of_clock && !is_table) {
                column.role = Role::Plain;
            }
        }
    }
}

/// The columns in the order in which the sides stand, after they changed places for the join.
fn turned(bound: Bound, (left, right): (usize, usize)) -> Bound {
    let Bound { rel, mut scope } = bound;
    let order = (right..right + left).chain(0..right);
    let order = order.chain(right + left..rel.fields.len());
    scope.columns.rotate_left(right);
    Bound {
        rel: reordered(rel, order.collect()),
        scope,
    }
}

/// The parts of `a AND b AND …`.
pub(super) fn split(expr: Expr) -> Vec<Expr> {
    use millstream_core::expr::{BinaryOp, ExprKind};
    match expr.kind {
        ExprKind::Binary {
            op: BinaryOp::And,
            left,
            right,
        } => {
            let mut parts = split(*left);
            parts.extend(split(*right));
            parts
        }
        ExprKind::Literal(millstream_core::expr::Literal::Boolean(true)) => vec![],
        _ => vec![expr],
    }
}

fn and(left: Expr, right: Expr) -> Expr {
    use millstream_core::expr::BinaryOp;
    let data_type = left.data_type.clone();
    Expr::binary(BinaryOp::And, left, right, data_type)
}

/// Whether it reads columns before `width`, and from there on.
pub(super) fn reads(expr: &Expr, width: usize) -> (bool, bool) {
    let (mut left, mut right) = (false, false);
    expr.for_each_column(&mut |index| match index < width {
        true => left = true,
        false => right = true,
    });
    (left, right)
}

fn reads_both(expr: &Expr, width: usize) -> bool {
    reads(expr, width) == (true, true)
}

fn keeps_left_rows(operator: &JoinOperator) -> bool {
    use JoinOperator as J;
    matches!(
        operator,
        J::Join(_) | J::Inner(_) | J::CrossJoin(_) | J::Left(_) | J::LeftOuter(_)
    )
}

fn kind_of(
    operator: &JoinOperator,
    place: Place,
) -> Result<(JoinKind, &'static str, &JoinConstraint)> {
    use JoinOperator as J;
    Ok(match operator {
        J::Join(on) | J::Inner(on) => (JoinKind::Inner, "JOIN", on),
        J::CrossJoin(on) => (JoinKind::Inner, "CROSS JOIN", on),
        J::Left(on) | J::LeftOuter(on) => (JoinKind::Left, "LEFT JOIN", on),
        J::Right(on) | J::RightOuter(on) => (JoinKind::Right, "RIGHT JOIN", on),
        J::FullOuter(on) => (JoinKind::Full, "FULL JOIN", on),
        _ => return Err(Fault::unsupported(place, "this kind of join is")),
    })
}

/// What is joined, if that is an UNNEST.
fn unnest_call<'a>(
    relation: &'a TableFactor,
    operator: &JoinOperator,
) -> Result<Option<UnnestCall<'a>>> {
    let TableFactor::Table {
        name,
        args: Some(args),
        alias,
        with_ordinality,
        ..
    } = relation
    else {
        return Ok(None);
    };
    let place = name.span().start;
    if !name.to_string().eq_ignore_ascii_case("UNNEST") {
        return Ok(None);
    }
    let (kind, _, constraint) = kind_of(operator, place)?;
    let outer = match kind {
        JoinKind::Inner => false,
        JoinKind::Left => true,
        _ => return Err(Fault::unsupported(place, "this join with `UNNEST` is")),
    };
    let is_plain = match constraint {
        JoinConstraint::None => !outer,
        JoinConstraint::On(ast::Expr::Value(value)) => value.value == ast::Value::Boolean(true),
        _ => false,
    };
    if !is_plain {
        let fault = Fault::unsupported(place, "a join with `UNNEST` on a condition is");
        return Err(fault.help("write ON TRUE, and the condition in WHERE"));
    }
    Ok(Some(UnnestCall {
        args: &args.args,
        ordinality: *with_ordinality,
        alias: alias.as_ref(),
        outer,
        place,
    }))
}
