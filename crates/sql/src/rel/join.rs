//! Joins as steps.

use arrow::datatypes::DataType;
use millstream_core::TimeDomain;
use millstream_core::expr::Expr;
use millstream_core::plan::{JoinKey, JoinKind, WindowKind, WindowSpec};

use super::{Rel, Step, unused_name};

/// How rows of two inputs become one.
#[derive(Debug, Clone)]
pub(crate) struct JoinSpec {
    /// Which rows come out.
    pub kind: JoinKind,
    /// What is equal.
    pub keys: Vec<JoinKey>,
    /// Over the columns of both.
    pub condition: Option<Expr>,
    /// How long rows wait for each other.
    pub on: JoinOn,
}

/// How long rows wait for each other.
#[derive(Debug, Clone)]
pub(crate) enum JoinOn {
    /// The right side is a table that is held in memory.
    Table {
        /// Whether it is read again when it has changed.
        is_refreshed: bool,
    },
    /// Start and end of the window on both sides.
    Window {
        /// Columns of the left.
        left: [usize; 2],
        /// Columns of the right.
        right: [usize; 2],
    },
    /// right time - left time is within bounds.
    Interval {
        /// Which time the rows go by.
        domain: TimeDomain,
        /// Column of the left.
        left: usize,
        /// Column of the right.
        right: usize,
        /// Least difference.
        lower_ms: i64,
        /// Greatest difference.
        upper_ms: i64,
    },
}

impl Rel {
    /// Puts rows of `self` and `right` side by side. Columns: those of the left, then those of the
    /// right, if they come out at all.
    #[must_use]
    pub fn join(self, right: Self, spec: JoinSpec) -> Self {
        let mut fields = self.fields.clone();
        if spec.kind.has_right() {
            add_fields(&mut fields, &right.fields);
        }
        Self {
            step: Step::Join(Box::new(self), Box::new(right), spec),
            fields,
        }
    }

    /// The columns of both sides of a join, each with a name of its own.
    pub fn both_fields(left: &Self, right: &Self) -> Vec<(String, DataType)> {
        let mut fields = left.fields.clone();
        add_fields(&mut fields, &right.fields);
        fields
    }

    /// The gap and the time of the sessions of which these rows are results, if `column` is their start or end.
    pub fn sessions_of(&self, column: usize) -> Option<(i64, TimeDomain)> {
        match &self.step {
            Step::Aggregate(_, group_by) => match group_by.window.kind {
                WindowKind::Session { gap_ms, .. } => {
                    (column < 2).then_some((gap_ms, group_by.window.domain))
                }
                _ => None,
            },
            Step::Filter(input, _)
            | Step::Unnest(input, _)
            | Step::Rank(input, _)
            | Step::Over(input, _) => input.sessions_of(column),
            Step::Project(input, exprs) => {
                let column = exprs.get(column)?.as_column()?;
                input.sessions_of(column)
            }
            Step::Union(inputs) => {
                let gaps = inputs.iter().map(|input| input.sessions_of(column));
                let gaps = gaps.collect::<Option<Vec<_>>>()?;
                let first = *gaps.first()?;
                gaps.iter().all(|gap| *gap == first).then_some(first)
            }
            Step::Join(left, right, _) => match column.checked_sub(left.fields.len()) {
                None => left.sessions_of(column),
                Some(column) => right.sessions_of(column),
            },
            Step::Scan(_) | Step::Window(..) => None,
        }
    }

    /// The window that made `column`, if its time is there already: a column that is carried up would
    /// move those after it.
    pub(super) fn window_in_place(&self, column: usize, placed: bool) -> Option<WindowSpec> {
        let mut carried = self.clone();
        let is_there = column < self.fields.len();
        let window = is_there.then(|| carried.find_window(column, placed))??;
        (carried.fields.len() == self.fields.len()).then_some(window)
    }

    /// The window that made `column` of a join.
    pub(super) fn window_of_join(
        left: &Self,
        right: &Self,
        (column, placed): (usize, bool),
    ) -> Option<WindowSpec> {
        let width = left.fields.len();
        match column.checked_sub(width) {
            None => left.window_in_place(column, placed),
            Some(column) => {
                let mut window = right.window_in_place(column, placed)?;
                window.time_column += width;
                Some(window)
            }
        }
    }
}

impl JoinSpec {
    /// Whether a condition on what comes out can be a condition on the left rows.
    pub fn passes_left(&self) -> bool {
        !self.kind.keeps_right()
    }

    /// The same for the right rows.
    pub fn passes_right(&self) -> bool {
        !self.kind.keeps_left() && self.kind.has_right()
    }
}

fn add_fields(fields: &mut Vec<(String, DataType)>, more: &[(String, DataType)]) {
    for (name, data_type) in more {
        let name = unused_name(name, fields);
        fields.push((name, data_type.clone()));
    }
}
