//! Joins: rows of two inputs, side by side.

use std::fmt::{self, Write as _};

use arrow::datatypes::{Schema, SchemaRef};

use super::{Operator, SourcePlan, columns_text};
use crate::expr::Expr;
use crate::ids::TableId;
use crate::time::TimeDomain;

/// Puts rows of the left input (port 0) and the right one (port 1, or a table) side by side. Output
/// columns: the left ones, then, except for `Semi` and `Anti`, the right ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Which rows come out.
    pub kind: JoinKind,
    /// What must be equal.
    pub keys: Vec<JoinKey>,
    /// What must be true besides, over the left columns and then the right ones.
    pub condition: Option<Expr>,
    /// How long rows wait for each other.
    pub on: JoinOn,
    /// Names of the sinks that its rows go to: `late_for` of rows that come late.
    pub query: String,
}

/// Two values that must be equal.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinKey {
    /// Over the left columns.
    pub left: Expr,
    /// Over the right columns, of the same type.
    pub right: Expr,
    /// `IS NOT DISTINCT FROM`: null equals null. Otherwise it equals nothing.
    pub nulls_equal: bool,
}

/// Which rows of a [`Join`] come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Those that match.
    Inner,
    /// And those of the left that match nothing, with nulls.
    Left,
    /// And those of the right that match nothing, with nulls.
    Right,
    /// Both.
    Full,
    /// Those of the left that match something, once.
    Semi,
    /// Those of the left that match nothing.
    Anti,
}

/// How long the rows of a [`Join`] wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinOn {
    /// Not at all: the right side is a table of [`Plan::tables`](super::Plan::tables).
    Table(TableId),
    /// Until their window ends: `window_start` and `window_end` of both sides, which are equal.
    Window {
        /// Columns of the left side.
        left: [usize; 2],
        /// Columns of the right side.
        right: [usize; 2],
    },
    /// As long as a partner can come: right time - left time is between the bounds.
    Interval {
        /// Which time the rows go by.
        domain: TimeDomain,
        /// Column with this time of the left side.
        left: usize,
        /// The same of the right side.
        right: usize,
        /// Least difference in ms.
        lower_ms: i64,
        /// Greatest difference in ms, not less than `lower_ms`.
        upper_ms: i64,
    },
}

/// A table that is held in memory, to be joined with. It is read whole before the job reads anything.
#[derive(Debug, Clone, PartialEq)]
pub struct TablePlan {
    /// Position in [`Plan::tables`](super::Plan::tables).
    pub id: TableId,
    /// What is read, as of a source; its own id means nothing.
    pub source: SourcePlan,
    /// What happens to its rows before they are joined: filters and projections.
    pub steps: Vec<TableStep>,
    /// Whether it is read again when it has changed.
    pub is_refreshed: bool,
    /// For so long its rows count as current, in ms.
    pub cache_ms: u64,
}

/// A filter or projection of a [`TablePlan`].
#[derive(Debug, Clone, PartialEq)]
pub struct TableStep {
    /// A filter or a projection.
    pub operator: Operator,
    /// Columns that it puts out.
    pub schema: SchemaRef,
}

impl TablePlan {
    /// The columns that are joined.
    pub fn schema(&self) -> SchemaRef {
        let last = self.steps.last();
        last.map_or_else(|| self.source.shape.schema(), |step| step.schema.clone())
    }

    /// What EXPLAIN shows.
    pub(super) fn text(&self) -> String {
        let SourcePlan {
            table, connector, ..
        } = &self.source;
        let columns = columns_text(&self.source.shape.schema()).join(", ");
        let again = match (self.is_refreshed, self.cache_ms) {
            (false, _) => String::new(),
            (true, 0) => ", read again when changed".to_owned(),
            (true, ms) => format!(", read again when changed after {ms} ms"),
        };
        let mut text = format!(
            "table #{} {table} ({}{again}) [{columns}]",
            self.id, connector.connector
        );
        for step in &self.steps {
            let columns = columns_text(&step.schema).join(", ");
            let _infallible = match &step.operator {
                Operator::Filter(predicate) => write!(text, " filter {predicate}"),
                _ => write!(text, " project [{columns}]"),
            };
        }
        text
    }
}

impl fmt::Display for JoinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = match self.nulls_equal {
            false => "=",
            true => "IS NOT DISTINCT FROM",
        };
        write!(f, "{} {equal} {}", self.left, self.right)
    }
}

impl JoinKind {
    /// Whether rows of the left come out that match nothing.
    pub fn keeps_left(self) -> bool {
        matches!(self, Self::Left | Self::Full | Self::Anti)
    }

    /// Whether rows of the right come out that match nothing.
    pub fn keeps_right(self) -> bool {
        matches!(self, Self::Right | Self::Full)
    }

    /// Whether the right columns come out.
    pub fn has_right(self) -> bool {
        !matches!(self, Self::Semi | Self::Anti)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Inner => "inner",
            Self::Left => "left",
            Self::Right => "right",
            Self::Full => "full",
            Self::Semi => "semi",
            Self::Anti => "anti",
        }
    }
}

impl Join {
    /// How much later than a row of either side another row can come that matches it, in ms of event
    /// time: how long state is needed, and how far behind the watermark results can be.
    pub fn waits_ms(&self) -> [i64; 2] {
        match self.on {
            JoinOn::Interval {
                lower_ms, upper_ms, ..
            } => [upper_ms.max(0), lower_ms.saturating_neg().max(0)],
            JoinOn::Table(_) | JoinOn::Window { .. } => [0, 0],
        }
    }

    /// Whether it remembers rows.
    pub(super) fn is_stateful(&self) -> bool {
        !matches!(self.on, JoinOn::Table(_))
    }

    /// How far results can be behind the watermark, in ms.
    pub(super) fn holds_back_ms(&self) -> i64 {
        let [left, right] = self.waits_ms();
        left.saturating_add(right)
    }

    /// What EXPLAIN shows, given the inputs' columns.
    pub(super) fn text(&self, left: &Schema, right: &Schema) -> String {
        let name = |schema: &Schema, column: usize| schema.field(column).name().clone();
        let mut text = format!("{} join ", self.kind.name());
        let on = match &self.on {
            JoinOn::Table(id) => format!("with table #{id}"),
            JoinOn::Window { .. } => "of windows".to_owned(),
            JoinOn::Interval {
                domain,
                left: l,
                right: r,
                lower_ms,
                upper_ms,
            } => format!(
                "of intervals{}: {} - {} in [{lower_ms}, {upper_ms}] ms",
                match domain {
                    TimeDomain::Event => "",
                    TimeDomain::Processing => " (processing time)",
                },
                name(right, *r),
                name(left, *l)
            ),
        };
        text.push_str(&on);
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        if !keys.is_empty() {
            let _infallible = write!(text, " on {}", keys.join(", "));
        }
        if let Some(condition) = &self.condition {
            let _infallible = write!(text, " where {condition}");
        }
        text
    }
}
