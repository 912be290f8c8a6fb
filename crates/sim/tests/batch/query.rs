//! What is asked, without a dialect: a chain of stages, each a view over one or two before it; the
//! last one's rows are the result.
//!
//! A stage has columns of its own and, implied, `rt` (its event time) if [`Rows::has_time`], and
//! `window_start` and `window_end` if [`Rows::window_time`] names the time of its windows.

mod rows;

pub use self::rows::Rows;
use super::scalar::Scalar;

/// A question.
#[derive(Debug, Clone)]
pub struct Query {
    /// Each may use those before it.
    pub stages: Vec<Stage>,
}

/// A view.
#[derive(Debug, Clone)]
pub enum Stage {
    /// Rows as they are read.
    Input(InputStage),
    /// Some rows, with more columns.
    Select(Select),
    /// Rows with windows.
    Windowed { input: usize, window: Window },
    /// Aggregates of windows.
    Aggregate(Aggregate),
    /// The best rows of each window.
    Rank(Rank),
    /// Aggregates of the rows before each row.
    Over(Over),
    /// Rows of the same window, or close in time, of two stages.
    Join(Join),
}

/// Rows as they are read.
#[derive(Debug, Clone)]
pub struct InputStage {
    /// From where.
    pub from: From,
    /// Columns that are computed.
    pub computed: Vec<Scalar>,
    /// Which rows.
    pub filter: Option<Scalar>,
}

/// Some rows of a stage, with more columns.
#[derive(Debug, Clone)]
pub struct Select {
    /// The stage.
    pub input: usize,
    /// Columns that are computed.
    pub computed: Vec<Scalar>,
    /// Which rows.
    pub filter: Option<Scalar>,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq)]
pub enum From {
    /// A stream.
    Stream(&'static str),
    /// Both streams.
    Union,
    /// A row for each of its tags.
    Tags { is_left: bool },
    /// With what the small table says.
    Labels { is_left: bool, is_lookup: bool },
    /// Those that the small table knows, or does not.
    Known { is_negated: bool },
}

/// Windows; all lengths in ms.
#[derive(Debug, Clone, PartialEq)]
pub enum Window {
    /// TUMBLE
    Tumble { size: i64, offset: i64 },
    /// HOP
    Hop { slide: i64, size: i64, offset: i64 },
    /// CUMULATE
    Cumulate { step: i64, size: i64, offset: i64 },
    /// SESSION, partitioned by all keys.
    Session { gap: i64 },
}

/// Aggregates of windows.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// The rows.
    pub input: usize,
    /// Their windows; `None` if they have some.
    pub window: Option<Window>,
    /// What they are grouped by.
    pub keys: Vec<Scalar>,
    /// How many of them, the first, sessions are kept apart by.
    pub session_keys: usize,
    /// Whether the window is written in GROUP BY.
    pub is_legacy: bool,
    /// Grouping sets as indices of keys; empty if there is just GROUP BY.
    pub sets: Vec<Vec<usize>>,
    /// What is computed.
    pub calls: Vec<Call>,
    /// Only groups for which this is so.
    pub having: Option<Having>,
}

/// A condition on a call whose result is a number: `call op number`.
#[derive(Debug, Clone)]
pub struct Having {
    /// The call.
    pub call: Call,
    /// What follows it.
    pub rest: String,
}

/// An aggregate function with its arguments.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which.
    pub function: Function,
    /// Of what; `None`: of rows.
    pub argument: Option<Scalar>,
    /// Whether equal values count once.
    pub is_distinct: bool,
    /// Only of rows for which this is so.
    pub filter: Option<Scalar>,
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Count,
    Sum,
    Avg,
    /// Of decimals, in millionths.
    AvgMillionths,
    Min,
    Max,
    StddevPop,
    StddevSamp,
    VarPop,
    VarSamp,
    First,
    Last,
    Listagg,
    /// With OVER only: the value so many rows before.
    Lag(usize),
    /// With OVER only.
    RowNumber,
}

/// The best rows of each window.
#[derive(Debug, Clone)]
pub struct Rank {
    /// Rows with windows.
    pub input: usize,
    /// Each of these has its own ranks, besides the window.
    pub keys: Vec<String>,
    /// What is best.
    pub order: Vec<Order>,
    /// The first and the last rank that come out.
    pub ranks: (usize, usize),
}

/// A column of ORDER BY.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its name; `rt` is the event time.
    pub column: String,
    /// Whether the largest is first.
    pub is_descending: bool,
    /// Where nulls stand, if it is said.
    pub nulls_first: Option<bool>,
}

/// Aggregates of the rows before each row.
#[derive(Debug, Clone)]
pub struct Over {
    /// Rows with event time.
    pub input: usize,
    /// PARTITION BY.
    pub keys: Vec<String>,
    /// Which rows each call sees.
    pub calls: Vec<(Call, Frame)>,
}

/// Rows up to the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// So many before it, or all.
    Rows(Option<usize>),
    /// Those at most so many ms before it, or all; with those of its own time.
    Range(Option<i64>),
}

/// Two stages joined.
#[derive(Debug, Clone)]
pub struct Join {
    /// Their stages.
    pub inputs: [usize; 2],
    /// Which.
    pub kind: JoinKind,
    /// Columns that must be equal, of the left and the right.
    pub keys: Vec<[String; 2]>,
    /// Columns of which the left must be less than the right.
    pub residual: Option<[String; 2]>,
    /// Bounds of right time - left time in ms; `None` joins windows.
    pub bounds: Option<(i64, i64)>,
}

/// Kinds of join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    /// EXISTS
    Semi,
    /// NOT EXISTS
    Anti,
}
