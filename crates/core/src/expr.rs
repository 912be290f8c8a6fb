//! Typed scalar expressions as plain data. `sql` makes them, `engine` compiles them.
//!
//! Every implicit conversion is already an explicit [`ExprKind::Cast`]: both sides of a comparison
//! or of arithmetic have the same type, and a call's arguments have the types that it declares.
//! `Display` is the text that plans, snapshots and state fingerprints show.

use std::fmt;

use arrow::datatypes::DataType;

use crate::function::{Named, ScalarFunction};
use crate::surroundings::{Looks, looks};
use crate::types::sql_name;

/// An expression over the columns of one input row.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it computes.
    pub kind: ExprKind,
    /// Type of the result.
    pub data_type: DataType,
}

/// What an [`Expr`] computes.
#[allow(missing_docs, reason = "a variant's own text names its fields")]
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// Column `index` of the input; `name` is for people.
    Column { index: usize, name: String },
    /// A constant of the expression's type.
    Literal(Literal),
    /// `left op right`.
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `NOT input`.
    Not(Box<Expr>),
    /// `-input`.
    Negate(Box<Expr>),
    /// `input IS NULL`, or `IS NOT NULL` when `negated`.
    IsNull { input: Box<Expr>, negated: bool },
    /// `CASE WHEN condition THEN value … ELSE otherwise END`; no `otherwise` means null.
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(input AS data_type)`; with `safe` (TRY_CAST) a value that does not fit is null,
    /// otherwise it fails.
    Cast { input: Box<Expr>, safe: bool },
    /// `input.name` of a `ROW`.
    Field { input: Box<Expr>, name: String },
    /// `input [NOT] LIKE pattern`, `%` and `_` as wildcards, escaped by a backslash.
    Like {
        input: Box<Expr>,
        pattern: Box<Expr>,
        negated: bool,
    },
    /// `input [NOT] IN (list)`.
    InList {
        input: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    /// A built-in scalar function by its Flink name in upper case, for example `SPLIT_INDEX`.
    Call { function: String, args: Vec<Expr> },
    /// A function that the embedding program brings.
    Native {
        function: Named<dyn ScalarFunction>,
        args: Vec<Expr>,
    },
}

/// Operators that take two operands of the same type. Logic is three-valued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`; a timestamp plus an interval too.
    Add,
    /// `-`; a timestamp minus an interval too.
    Subtract,
    /// `*`
    Multiply,
    /// `/`; integers divide towards zero.
    Divide,
    /// `%`, sign of the dividend.
    Modulo,
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `IS NOT DISTINCT FROM`
    IsNotDistinctFrom,
    /// `IS DISTINCT FROM`
    IsDistinctFrom,
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `NULL` of the expression's type.
    Null,
    /// `TRUE`, `FALSE`
    Boolean(bool),
    /// Any integer type.
    Int(i64),
    /// `FLOAT`, `DOUBLE`
    Float(f64),
    /// `DECIMAL`: the unscaled value.
    Decimal(i128),
    /// `STRING`
    String(String),
    /// `BYTES`
    Bytes(Vec<u8>),
    /// `DATE`: days since 1970-01-01.
    Date(i32),
    /// `TIME`: milliseconds since midnight.
    Time(i32),
    /// `TIMESTAMP`, `TIMESTAMP_LTZ`: in the unit of the expression's type.
    Timestamp(i64),
    /// `INTERVAL … DAY TO SECOND`: milliseconds.
    Interval(i64),
}

impl Expr {
    /// Column `index`, called `name`.
    pub fn column(index: usize, name: impl Into<String>, data_type: DataType) -> Self {
        let name = name.into();
        Self {
            kind: ExprKind::Column { index, name },
            data_type,
        }
    }

    /// A constant.
    pub fn literal(value: Literal, data_type: DataType) -> Self {
        Self {
            kind: ExprKind::Literal(value),
            data_type,
        }
    }

    /// A call of `function` (its Flink name in upper case).
    pub fn call(function: impl Into<String>, args: Vec<Expr>, data_type: DataType) -> Self {
        let function = function.into();
        Self {
            kind: ExprKind::Call { function, args },
            data_type,
        }
    }

    /// `left op right`.
    pub fn binary(op: BinaryOp, left: Expr, right: Expr, data_type: DataType) -> Self {
        let (left, right) = (Box::new(left), Box::new(right));
        Self {
            kind: ExprKind::Binary { op, left, right },
            data_type,
        }
    }

    /// `CAST(self AS data_type)`, or `self` where it has that type already.
    #[must_use]
    pub fn cast_to(self, data_type: DataType) -> Self {
        if self.data_type == data_type {
            return self;
        }
        Self {
            kind: ExprKind::Cast {
                input: Box::new(self),
                safe: false,
            },
            data_type,
        }
    }

    /// The index, if this is a bare column.
    pub fn as_column(&self) -> Option<usize> {
        match self.kind {
            ExprKind::Column { index, .. } => Some(index),
            _ => None,
        }
    }

    /// The expressions directly inside this one, in order.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Column { .. } | ExprKind::Literal(_) => vec![],
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::Not(input)
            | ExprKind::Negate(input)
            | ExprKind::IsNull { input, .. }
            | ExprKind::Cast { input, .. }
            | ExprKind::Field { input, .. } => vec![input],
            ExprKind::Like { input, pattern, .. } => vec![input, pattern],
            ExprKind::InList { input, list, .. } => {
                std::iter::once(input.as_ref()).chain(list).collect()
            }
            ExprKind::Call { args, .. } | ExprKind::Native { args, .. } => args.iter().collect(),
            ExprKind::Case {
                branches,
                otherwise,
            } => branches
                .iter()
                .flat_map(|(condition, value)| [condition, value])
                .chain(otherwise.as_deref())
                .collect(),
        }
    }

    /// The expressions directly inside this one, to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Column { .. } | ExprKind::Literal(_) => vec![],
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::Not(input)
            | ExprKind::Negate(input)
            | ExprKind::IsNull { input, .. }
            | ExprKind::Cast { input, .. }
            | ExprKind::Field { input, .. } => vec![input],
            ExprKind::Like { input, pattern, .. } => vec![input, pattern],
            ExprKind::InList { input, list, .. } => {
                std::iter::once(input.as_mut()).chain(list).collect()
            }
            ExprKind::Call { args, .. } | ExprKind::Native { args, .. } => {
                args.iter_mut().collect()
            }
            ExprKind::Case {
                branches,
                otherwise,
            } => branches
                .iter_mut()
                .flat_map(|(condition, value)| [condition, value])
                .chain(otherwise.as_deref_mut())
                .collect(),
        }
    }

    /// Whether it, or anything inside, looks at something besides its row for which `is` is true.
    pub fn looks(&self, is: impl Fn(Looks) -> bool + Copy) -> bool {
        let own = match &self.kind {
            ExprKind::Call { function, args } => looks(function, args.len()),
            _ => None,
        };
        own.is_some_and(is) || self.children().into_iter().any(|child| child.looks(is))
    }

    /// Whether it is `PROCTIME()` and nothing else.
    pub fn is_processing_time(&self) -> bool {
        matches!(&self.kind, ExprKind::Call { function, .. } if function == "PROCTIME")
    }

    /// Calls `visit` with the index of each column that is read, children first.
    pub fn for_each_column(&self, visit: &mut impl FnMut(usize)) {
        if let ExprKind::Column { index, .. } = &self.kind {
            visit(*index);
        }
        for child in self.children() {
            child.for_each_column(visit);
        }
    }

    /// Replaces each column index `i` by `map(i)`.
    pub fn map_columns(&mut self, map: &impl Fn(usize) -> usize) {
        if let ExprKind::Column { index, .. } = &mut self.kind {
            *index = map(*index);
        }
        for child in self.children_mut() {
            child.map_columns(map);
        }
    }
}

impl BinaryOp {
    /// As written in SQL.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::And => "AND",
            Self::Or => "OR",
            Self::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
            Self::IsDistinctFrom => "IS DISTINCT FROM",
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Decimal(value) => write!(f, "decimal:{value}"),
            Self::String(value) => write!(f, "'{}'", value.replace('\'', "''")),
            Self::Bytes(value) => write!(f, "bytes:{value:?}"),
            Self::Date(days) => write!(f, "date:{days}"),
            Self::Time(ms) => write!(f, "time:{ms}"),
            Self::Timestamp(value) => write!(f, "timestamp:{value}"),
            Self::Interval(ms) => write!(f, "interval:{ms}ms"),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match &self.kind {
            ExprKind::Column { name, .. } => f.write_str(name),
            ExprKind::Literal(value) => value.fmt(f),
            ExprKind::Binary { op, left, right } => write!(f, "({left} {} {right})", op.symbol()),
            ExprKind::Not(input) => write!(f, "NOT {input}"),
            ExprKind::Negate(input) => write!(f, "-{input}"),
            ExprKind::IsNull { input, negated } => write!(f, "{input} IS {}NULL", not(negated)),
            ExprKind::Field { input, name } => write!(f, "{input}.{name}"),
            ExprKind::Cast { input, safe } => {
                let word = if *safe { "TRY_CAST" } else { "CAST" };
                write!(f, "{word}({input} AS {})", sql_name(&self.data_type))
            }
            ExprKind::Like {
                input,
                pattern,
                negated,
            } => write!(f, "{input} {}LIKE {pattern}", not(negated)),
            ExprKind::InList {
                input,
                list,
                negated,
            } => write!(f, "{input} {}IN ({})", not(negated), Joined(list)),
            ExprKind::Call { function, args } => write!(f, "{function}({})", Joined(args)),
            ExprKind::Native { function, args } => {
                write!(f, "{}({})", function.name, Joined(args))
            }
            ExprKind::Case {
                branches,
                otherwise,
            } => {
                f.write_str("CASE")?;
                for (condition, value) in branches {
                    write!(f, " WHEN {condition} THEN {value}")?;
                }
                if let Some(value) = otherwise {
                    write!(f, " ELSE {value}")?;
                }
                f.write_str(" END")
            }
        }
    }
}

/// Shows a list with commas between.
pub(crate) struct Joined<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
