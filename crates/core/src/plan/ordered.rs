//! Operators that look at rows in an order: ranks within windows, and OVER.

use std::fmt;

use arrow::datatypes::Schema;

use super::AggregateCall;
use crate::time::TimeDomain;

/// A column to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// Index in the input.
    pub column: usize,
    /// `DESC`
    pub descending: bool,
    /// Whether nulls come before everything else; in Flink by default for `ASC`, not for `DESC`.
    pub nulls_first: bool,
}

/// The best rows of each window and key: `ROW_NUMBER() OVER (PARTITION BY window_start, window_end,
/// keys ORDER BY order)` between two ranks. Output columns: the input's, then, if `number`, the
/// BIGINT rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRank {
    /// Input columns that are the start and the end of the window.
    pub window: [usize; 2],
    /// Input columns to partition by besides.
    pub keys: Vec<usize>,
    /// What ranks rows; equal ones rank in order of arrival, see [`WindowRank::latest`].
    pub order: Vec<SortKey>,
    /// Whether of equal rows the last to arrive ranks first, as in Flink's deduplication that
    /// keeps the last row.
    pub latest: bool,
    /// First and last rank that is kept, from 1.
    pub ranks: (u64, u64),
    /// Whether the rank is put out.
    pub number: bool,
    /// Names of the sinks that its rows go to: `late_for` of rows that come late.
    pub query: String,
}

/// Aggregates over the rows before each row. Rows are put out once the watermark has reached their
/// time, in the order of time, `order`, and arrival. Output columns: the input's, then one for each
/// call. Without calls it only sorts.
#[derive(Debug, Clone, PartialEq)]
pub struct OverAggregate {
    /// Input columns of PARTITION BY.
    pub keys: Vec<usize>,
    /// Input column of ORDER BY: a time.
    pub time_column: usize,
    /// Which time that is.
    pub domain: TimeDomain,
    /// What else to sort by.
    pub order: Vec<SortKey>,
    /// What is computed.
    pub calls: Vec<OverCall>,
    /// `table.exec.state.ttl`: rows so much older than the current one are forgotten.
    pub ttl_ms: Option<i64>,
    /// Names of the sinks that its rows go to: `late_for` of rows that come late.
    pub query: String,
}

/// One call of an [`OverAggregate`].
#[derive(Debug, Clone, PartialEq)]
pub enum OverCall {
    /// An aggregate of the rows in a frame.
    Aggregate(Frame, AggregateCall),
    /// `LAG(argument, rows, default)`: the value of the row so many rows before.
    Lag {
        /// Input column.
        argument: usize,
        /// How many rows before.
        rows: u64,
        /// Input column of the current row that stands in where there is no such row.
        default: Option<usize>,
    },
}

/// The rows up to the current one that a call sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frame {
    /// `ROWS BETWEEN n PRECEDING AND CURRENT ROW`; none: UNBOUNDED.
    Rows(Option<u64>),
    /// `RANGE BETWEEN n ms PRECEDING AND CURRENT ROW`: rows of the same time included; none:
    /// UNBOUNDED.
    Range(Option<i64>),
}

impl SortKey {
    pub(super) fn text(keys: &[Self], input: &Schema) -> String {
        let texts = keys.iter().map(|key| {
            let name = input.field(key.column).name();
            let direction = if key.descending { " DESC" } else { "" };
            let nulls = match (key.descending, key.nulls_first) {
                (true, true) => " NULLS FIRST",
                (false, false) => " NULLS LAST",
                _ => "",
            };
            format!("{name}{direction}{nulls}")
        });
        texts.collect::<Vec<_>>().join(", ")
    }
}

fn names(columns: &[usize], input: &Schema) -> String {
    let names = columns.iter().map(|column| input.field(*column).name());
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What EXPLAIN shows, given the input's columns.
pub(super) struct RankText<'a>(pub &'a WindowRank, pub &'a Schema);

impl fmt::Display for RankText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rank, input) = self;
        let (first, last) = rank.ranks;
        write!(f, "rank {first} to {last} by window")?;
        write!(f, " [{}]", names(&rank.keys, input))?;
        write!(f, " order by {}", SortKey::text(&rank.order, input))?;
        if rank.latest {
            f.write_str(", latest first")?;
        }
        if rank.number {
            f.write_str(" with number")?;
        }
        Ok(())
    }
}

/// What EXPLAIN shows, given the input's and the output's columns.
pub(super) struct OverText<'a>(pub &'a OverAggregate, pub &'a Schema, pub &'a Schema);

impl fmt::Display for OverText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(over, input, output) = self;
        let time = input.field(over.time_column).name();
        let clock = match over.domain {
            TimeDomain::Event => "",
            TimeDomain::Processing => " (processing time)",
        };
        if over.calls.is_empty() {
            write!(f, "sort by {time}{clock}")?;
            if !over.order.is_empty() {
                write!(f, ", {}", SortKey::text(&over.order, input))?;
            }
            return Ok(());
        }
        write!(
            f,
            "over [{}] order by {time}{clock}",
            names(&over.keys, input)
        )?;
        if let Some(ttl_ms) = over.ttl_ms {
            write!(f, " ttl {ttl_ms} ms")?;
        }
        let first = output.fields().len() - over.calls.len();
        let calls = over.calls.iter().enumerate().map(|(index, call)| {
            let text = call_text(call, input);
            format!("{text} AS {}", output.field(first + index).name())
        });
        write!(f, " [{}]", calls.collect::<Vec<_>>().join(", "))
    }
}

fn call_text(call: &OverCall, input: &Schema) -> String {
    let name = |column: &usize| input.field(*column).name();
    match call {
        OverCall::Aggregate(frame, call) => format!("{} {frame}", call.text(input)),
        OverCall::Lag {
            argument,
            rows,
            default,
        } => {
            let default = default.as_ref().map(name);
            let default = default.map_or(String::new(), |name| format!(", {name}"));
            format!("LAG({}, {rows}{default})", name(argument))
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(Some(rows)) => write!(f, "rows {rows}"),
            Self::Range(Some(ms)) => write!(f, "range {ms} ms"),
            Self::Rows(None) => f.write_str("rows unbounded"),
            Self::Range(None) => f.write_str("range unbounded"),
        }
    }
}
