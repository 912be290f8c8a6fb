//! What the condition of a join says: equal columns, equal windows, times within bounds, and the rest.
//!
//! Conditions are over the columns of both scopes, the left ones first; what belongs to one side is
//! in terms of that side.

use arrow::datatypes::{DataType, TimeUnit};
use millstream_core::TimeDomain;
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};
use millstream_core::plan::JoinKey;

use crate::query::join::reads;
use crate::rel::JoinOn;
use crate::scope::{Role, Scope};
use crate::types::is_comparable;

/// See the module.
pub(super) struct Conditions {
    width: usize,
    parts: Vec<Part>,
    /// `window_start` of both sides, if they are equal.
    pub starts: Option<[usize; 2]>,
    /// `window_end` of both sides, if they are equal.
    pub ends: Option<[usize; 2]>,
    /// Two times of one kind whose difference has bounds.
    pub interval: Option<Interval>,
    /// Whether event time is compared with processing time.
    pub mixes_times: bool,
}

/// right time - left time is between the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    /// Which time it is.
    pub domain: TimeDomain,
    /// The times of both sides.
    times: [usize; 2],
    /// Least difference.
    pub lower_ms: i64,
    /// Greatest difference.
    pub upper_ms: i64,
}

/// What is not said by how the rows wait for each other.
pub(super) struct Rest {
    /// What is equal.
    pub keys: Vec<JoinKey>,
    /// Over both.
    pub condition: Vec<Expr>,
}

struct Part {
    expr: Expr,
    meaning: Meaning,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Start,
    End,
    Bound([usize; 2]),
    Other,
}

impl Interval {
    /// As the plan says it.
    pub fn on(&self) -> JoinOn {
        JoinOn::Interval {
            domain: self.domain,
            left: self.times[0],
            right: self.times[1],
            lower_ms: self.lower_ms,
            upper_ms: self.upper_ms,
        }
    }
}

impl Conditions {
    /// Of `conjuncts` over `scope`, of which the first `width` columns are the left's.
    pub fn of(conjuncts: Vec<Expr>, scope: &Scope, width: usize) -> Self {
        let mut conditions = Self {
            width,
            parts: vec![],
            starts: None,
            ends: None,
            interval: None,
            mixes_times: false,
        };
        let mut bounds: Vec<Interval> = vec![];
        for expr in conjuncts {
            let meaning = conditions.meaning(&expr, scope);
            conditions.mixes_times |= mixes_times(&expr, scope);
            match meaning {
                Meaning::Start => conditions.starts = conditions.pair_of(&expr),
                Meaning::End => conditions.ends = conditions.pair_of(&expr),
                Meaning::Bound(_) => bounds.extend(conditions.bound(&expr, scope)),
                Meaning::Other => {}
            }
            conditions.parts.push(Part { expr, meaning });
        }
        conditions.interval = narrowest(&bounds);
        conditions
    }

    /// The same with the sides in each other's place.
    pub fn swapped(self, left: &Scope, right: &Scope) -> Self {
        let (old, new) = (self.width, left.columns.len());
        let turned = |index: usize| match index < old {
            true => index + new,
            false => index - old,
        };
        let exprs = self.parts.into_iter().map(|mut part| {
            part.expr.map_columns(&turned);
            part.expr
        });
        let exprs = exprs.collect();
        let columns = left.columns.iter().chain(&right.columns).cloned();
        let scope = Scope {
            columns: columns.collect(),
            ..Scope::default()
        };
        Self::of(exprs, &scope, new)
    }

    /// What `on` does not say.
    pub fn finish(self, on: &JoinOn) -> Rest {
        let mut rest = Rest {
            keys: vec![],
            condition: vec![],
        };
        for Part { expr, meaning } in self.parts {
            let is_said = match (meaning, on) {
                // Rows of one end are joined; sessions of one end can have several starts.
                (Meaning::End, JoinOn::Window { right, left }) => {
                    pair(&expr, self.width) == Some([left[1], right[1]])
                }
                (Meaning::Bound(times), JoinOn::Interval { left, right, .. }) => {
                    times == [*left, *right]
                }
                _ => false,
            };
            if is_said {
                continue;
            }
            match key(&expr, self.width) {
                Some(key) => rest.keys.push(key),
                None => rest.condition.push(expr),
            }
        }
        rest
    }

    fn pair_of(&self, expr: &Expr) -> Option<[usize; 2]> {
        pair(expr, self.width)
    }

    fn meaning(&self, expr: &Expr, scope: &Scope) -> Meaning {
        if let Some([left, right]) = self.pair_of(expr) {
            let roles = [left, self.width + right].map(|index| scope.columns[index].role);
            match roles {
                [Role::WindowStart, Role::WindowStart] => return Meaning::Start,
                [Role::WindowEnd, Role::WindowEnd] => return Meaning::End,
                _ => {}
            }
        }
        match self.bound(expr, scope) {
            Some(interval) => Meaning::Bound(interval.times),
            None => Meaning::Other,
        }
    }

    /// What a comparison of a time of each side says of their difference.
    fn bound(&self, expr: &Expr, scope: &Scope) -> Option<Interval> {
        let ExprKind::Binary { op, left, right } = &expr.kind else {
            return None;
        };
        let ((l, l_shift), (r, r_shift)) = (shifted(left, scope)?, shifted(right, scope)?);
        let [domain, other] = [l, r].map(|index| scope.columns[index].role.domain());
        let domain = domain.filter(|_| domain == other)?;
        // l + l_shift op r + r_shift
        let (op, left, right, shift) = match (l < self.width, r < self.width) {
            (true, false) => (*op, l, r, l_shift.saturating_sub(r_shift)),
            (false, true) => (turned(*op)?, r, l, r_shift.saturating_sub(l_shift)),
            _ => return None,
        };
        // left op right - shift, that is: right - left opposite-of-op shift
        let (lower_ms, upper_ms) = match op {
            BinaryOp::Less => (shift.saturating_add(1), i64::MAX),
            BinaryOp::LessOrEqual => (shift, i64::MAX),
            BinaryOp::Greater => (i64::MIN, shift.saturating_sub(1)),
            BinaryOp::GreaterOrEqual => (i64::MIN, shift),
            BinaryOp::Equal => (shift, shift),
            _ => return None,
        };
        Some(Interval {
            domain,
            times: [left, right - self.width],
            lower_ms,
            upper_ms,
        })
    }
}

/// All bounds of the first two times that have both a lower and an upper one.
fn narrowest(bounds: &[Interval]) -> Option<Interval> {
    let mut all: Vec<Interval> = vec![];
    for bound in bounds {
        match all.iter_mut().find(|known| known.times == bound.times) {
            Some(known) => {
                known.lower_ms = known.lower_ms.max(bound.lower_ms);
                known.upper_ms = known.upper_ms.min(bound.upper_ms);
            }
            None => all.push(*bound),
        }
    }
    let is_bounded = |it: &Interval| it.lower_ms != i64::MIN && it.upper_ms != i64::MAX;
    all.into_iter().find(is_bounded)
}

/// The two columns of `left = right`, each in terms of its side.
fn pair(expr: &Expr, width: usize) -> Option<[usize; 2]> {
    let (left, right) = equal(expr, width)?;
    Some([left.as_column()?, right.as_column()?])
}

/// `left = right` as a key: equal bytes are equal values, which does not hold for floating point.
fn key(expr: &Expr, width: usize) -> Option<JoinKey> {
    let nulls_equal = matches!(
        expr.kind,
        ExprKind::Binary {
            op: BinaryOp::IsNotDistinctFrom,
            ..
        }
    );
    let (left, right) = equal(expr, width)?;
    let is_float = matches!(left.data_type, DataType::Float32 | DataType::Float64);
    let is_key = is_comparable(&left.data_type) && !is_float && left.data_type == right.data_type;
    is_key.then_some(JoinKey {
        left,
        right,
        nulls_equal,
    })
}

/// The sides of `left = right` or `left IS NOT DISTINCT FROM right`, each in terms of its side.
fn equal(expr: &Expr, width: usize) -> Option<(Expr, Expr)> {
    let ExprKind::Binary {
        op: BinaryOp::Equal | BinaryOp::IsNotDistinctFrom,
        left,
        right,
    } = &expr.kind
    else {
        return None;
    };
    let (left, mut right) = match (reads(left, width), reads(right, width)) {
        ((true, false), (false, true)) => (left.as_ref().clone(), right.as_ref().clone()),
        ((false, true), (true, false)) => (right.as_ref().clone(), left.as_ref().clone()),
        _ => return None,
    };
    right.map_columns(&|index| index - width);
    Some((left, right))
}

/// Whether an expression reads times of both kinds.
fn mixes_times(expr: &Expr, scope: &Scope) -> bool {
    let mut domains = vec![];
    expr.for_each_column(&mut |index| domains.extend(scope.columns[index].role.domain()));
    domains.iter().any(|domain| *domain != domains[0])
}

/// The column with event or processing time, and the ms that are added to it.
fn shifted(expr: &Expr, scope: &Scope) -> Option<(usize, i64)> {
    if !matches!(
        expr.data_type,
        DataType::Timestamp(TimeUnit::Millisecond, _)
    ) {
        return None;
    }
    match &expr.kind {
        ExprKind::Column { index, .. } if scope.columns[*index].role.domain().is_some() => {
            Some((*index, 0))
        }
        // Between TIMESTAMP and TIMESTAMP_LTZ: the session's time zone is UTC.
        ExprKind::Cast { input, .. } => shifted(input, scope),
        ExprKind::Binary { op, left, right } => {
            let ExprKind::Literal(Literal::Interval(ms)) = &right.kind else {
                return None;
            };
            let (column, shift) = shifted(left, scope)?;
            match op {
                BinaryOp::Add => Some((column, shift.saturating_add(*ms))),
                BinaryOp::Subtract => Some((column, shift.saturating_sub(*ms))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `b op a` for `a op b`.
fn turned(op: BinaryOp) -> Option<BinaryOp> {
    Some(match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        BinaryOp::Equal => BinaryOp::Equal,
        _ => return None,
    })
}
