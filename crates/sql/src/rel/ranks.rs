//! Steps that look at rows in an order: the best rows of each window, and OVER.

use arrow::datatypes::DataType;
use millstream_core::TimeDomain;
use millstream_core::expr::{BinaryOp, Expr, ExprKind, Literal};
use millstream_core::plan::Frame;

use super::{Rel, Step, unused_name};
use crate::diagnostic::{Fault, Place, Result};
use crate::expr::aggregate::BoundAggregate;

/// An expression to sort by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortBy {
    /// Over the columns of the input.
    pub expr: Expr,
    /// `DESC`
    pub descending: bool,
    /// Whether nulls come first.
    pub nulls_first: bool,
}

/// `ROW_NUMBER() OVER (PARTITION BY window_start, window_end, …)`.
#[derive(Debug, Clone)]
pub(crate) struct RankBy {
    /// The window's start and end.
    pub window: [usize; 2],
    /// What else to partition by.
    pub keys: Vec<Expr>,
    /// What ranks rows.
    pub order: Vec<SortBy>,
    /// Whether the order is that of an event time, the latest first.
    pub latest: bool,
    /// First and last rank that is kept; no last rank until WHERE says one.
    pub ranks: (u64, Option<u64>),
    /// Where it stands.
    pub place: Place,
}

/// Calls over the rows before each row.
#[derive(Debug, Clone)]
pub(crate) struct OverBy {
    /// PARTITION BY
    pub keys: Vec<Expr>,
    /// The time of ORDER BY.
    pub time_column: usize,
    /// Which time that is.
    pub domain: TimeDomain,
    /// What else to sort by.
    pub order: Vec<SortBy>,
    /// What is computed; nothing: rows are only sorted.
    pub calls: Vec<BoundOver>,
    /// Where a ROW_NUMBER stands whose state only `table.exec.state.ttl` bounds.
    pub needs_ttl: Option<Place>,
}

/// One call with OVER.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BoundOver {
    /// An aggregate of the rows in a frame.
    Aggregate(Frame, BoundAggregate),
    /// The value of the row so many rows before, or the default.
    Lag(Expr, u64, Option<Expr>),
}

impl BoundOver {
    /// Type of the result.
    pub fn data_type(&self) -> &DataType {
        match self {
            Self::Aggregate(_, call) => &call.data_type,
            Self::Lag(argument, ..) => &argument.data_type,
        }
    }

    /// The expressions that it reads.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Self::Aggregate(_, call) => call.argument.iter().chain(&call.filter).collect(),
            Self::Lag(argument, _, default) => [argument].into_iter().chain(default).collect(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Aggregate(_, call) => call.name(),
            Self::Lag(argument, ..) => match super::natural_name(argument) {
                Some(name) => format!("lag_{name}"),
                None => "lag".to_owned(),
            },
        }
    }
}

impl Rel {
    /// Ranks rows.
    #[must_use]
    pub fn rank(self, by: RankBy) -> Self {
        let mut fields = self.fields.clone();
        let name = unused_name("row_number", &fields);
        fields.push((name, DataType::Int64));
        Self {
            step: Step::Rank(Box::new(self), by),
            fields,
        }
    }

    /// Computes calls over the rows before each row.
    #[must_use]
    pub fn over(self, by: OverBy) -> Self {
        let mut fields = self.fields.clone();
        for call in &by.calls {
            let name = unused_name(&call.name(), &fields);
            fields.push((name, call.data_type().clone()));
        }
        Self {
            step: Step::Over(Box::new(self), by),
            fields,
        }
    }

    /// Takes what `predicate` says of a rank into the step that ranks, if that is what makes the
    /// rows, perhaps with filters after it. The rest of the predicate.
    pub(super) fn narrow_ranks(&mut self, predicate: Expr) -> Option<Expr> {
        match &mut self.step {
            Step::Filter(input, _) => input.narrow_ranks(predicate),
            Step::Project(input, exprs) => {
                let is_rank = |column: usize| exprs[column].as_column().is_some();
                split(predicate, &mut |part| {
                    let mut only_columns = true;
                    part.for_each_column(&mut |index| only_columns &= is_rank(index));
                    if !only_columns {
                        return Some(part);
                    }
                    let mut of_input = part.clone();
                    super::substitute(&mut of_input, exprs);
                    input.narrow_ranks(of_input).map(|_| part)
                })
            }
            Step::Rank(input, by) => by.narrow(predicate, input.fields.len()),
            _ => Some(predicate),
        }
    }

    /// Fails for ranks without an end, and for numbers of rows that are never forgotten.
    pub fn check_bounded(&self, has_ttl: bool) -> Result<()> {
        match &self.step {
            Step::Rank(_, RankBy { ranks, place, .. }) if ranks.1.is_none() => {
                let fault =
                    Fault::unsupported(*place, "`ROW_NUMBER` of a window without a limit is");
                return Err(fault.help("keep the first rows only: WHERE row_num <= 10"));
            }
            Step::Over(_, by) => {
                if let (Some(place), false) = (by.needs_ttl, has_ttl) {
                    let what = "`ROW_NUMBER` without a window and without an end to its state is";
                    let help = "say after how much event time a key is forgotten: \
                                SET 'table.exec.state.ttl' = '1 d'";
                    return Err(Fault::unsupported(place, what).help(help));
                }
            }
            _ => {}
        }
        match &self.step {
            Step::Scan(_) => Ok(()),
            Step::Join(left, right, _) => {
                left.check_bounded(has_ttl)?;
                right.check_bounded(has_ttl)
            }
            Step::Union(inputs) => {
                let mut inputs = inputs.iter();
                inputs.try_for_each(|input| input.check_bounded(has_ttl))
            }
            Step::Filter(input, _)
            | Step::Project(input, _)
            | Step::Window(input, _)
            | Step::Aggregate(input, _)
            | Step::Unnest(input, _)
            | Step::Rank(input, _)
            | Step::Over(input, _) => input.check_bounded(has_ttl),
        }
    }
}

impl RankBy {
    /// Whether of equal rows the last to arrive ranks first.
    /// Source: Apache Flink, `RowTimeDeduplicateFunction`, which keeps the last row.
    pub fn is_latest(&self) -> bool {
        self.latest && self.ranks == (1, Some(1))
    }

    /// Whether it ranks as `other` does.
    pub fn is_same(&self, other: &Self) -> bool {
        let parts = |by: &Self| (by.window, by.keys.clone(), by.order.clone());
        parts(self) == parts(other)
    }

    /// Every expression over the input.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.keys.iter().chain(self.order.iter().map(|by| &by.expr))
    }

    /// Takes what `predicate` says of column `rank`; the rest of the predicate.
    fn narrow(&mut self, predicate: Expr, rank: usize) -> Option<Expr> {
        split(predicate, &mut |part| self.narrow_part(part, rank))
    }

    fn narrow_part(&mut self, predicate: Expr, rank: usize) -> Option<Expr> {
        let Some((op, number)) = comparison(&predicate, rank) else {
            return Some(predicate);
        };
        let at = |number: i64| u64::try_from(number).unwrap_or(0);
        let (least, most) = match op {
            BinaryOp::Equal => (Some(number), Some(number)),
            BinaryOp::Less => (None, Some(number.saturating_sub(1))),
            BinaryOp::LessOrEqual => (None, Some(number)),
            BinaryOp::Greater => (Some(number.saturating_add(1)), None),
            BinaryOp::GreaterOrEqual => (Some(number), None),
            _ => return Some(predicate),
        };
        if let Some(least) = least {
            self.ranks.0 = self.ranks.0.max(at(least));
        }
        if let Some(most) = most {
            let known = self.ranks.1.unwrap_or(u64::MAX);
            // A rank of 0 is nobody's.
            self.ranks.1 = Some(known.min(at(most)));
            self.ranks.0 = self
                .ranks
                .0
                .max(u64::from(most < 1 || op == BinaryOp::Equal));
        }
        None
    }
}

/// What remains of the parts of a predicate that AND connects.
fn split(predicate: Expr, keep: &mut dyn FnMut(Expr) -> Option<Expr>) -> Option<Expr> {
    let ExprKind::Binary {
        op: BinaryOp::And,
        left,
        right,
    } = predicate.kind
    else {
        return keep(predicate);
    };
    match (split(*left, keep), split(*right, keep)) {
        (Some(left), Some(right)) => {
            Some(Expr::binary(BinaryOp::And, left, right, DataType::Boolean))
        }
        (left, right) => left.or(right),
    }
}

/// The parts of `a AND b AND …`.
pub(super) fn parts(predicate: Expr) -> Vec<Expr> {
    let mut parts = vec![];
    split(predicate, &mut |part| {
        parts.push(part);
        None
    });
    parts
}

/// `column op number`, whichever way round it is written.
fn comparison(predicate: &Expr, column: usize) -> Option<(BinaryOp, i64)> {
    let ExprKind::Binary { op, left, right } = &predicate.kind else {
        return None;
    };
    let number = |expr: &Expr| match expr.kind {
        ExprKind::Literal(Literal::Int(number)) => Some(number),
        _ => None,
    };
    if left.as_column() == Some(column) {
        return Some((*op, number(right)?));
    }
    if right.as_column() != Some(column) {
        return None;
    }
    let turned = match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        op => *op,
    };
    Some((turned, number(left)?))
}

impl OverBy {
    /// Every expression over the input, without those of calls.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.keys.iter().chain(self.order.iter().map(|by| &by.expr))
    }
}
