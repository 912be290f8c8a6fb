//! Expressions over a row, as text of Flink and of the batch.
//!
//! Most is written the same. Kept out is what Flink and DataFusion define differently: overflow,
//! division by zero, `CONCAT` and `GREATEST` with nulls, rounding, casts of fractions to text.

use millstream_sim::chance::Chance;

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// STRING
    Text,
    /// INT
    Int,
    /// BIGINT
    Long,
    /// DOUBLE
    Double,
    /// DECIMAL(38, 2)
    Decimal,
}

/// Every [`Kind`].
pub const KINDS: &[Kind] = &[
    Kind::Text,
    Kind::Int,
    Kind::Long,
    Kind::Double,
    Kind::Decimal,
];

impl Kind {
    /// As a type of both sides.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "VARCHAR",
            Self::Int => "INT",
            Self::Long => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Decimal => "DECIMAL(38, 2)",
        }
    }

    /// As a type of Flink.
    pub fn flink(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            kind => kind.sql(),
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        let name = name.into();
        Self { name, kind }
    }
}

/// An expression. `flink` and `batch` mean the same.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// For Millstream.
    pub flink: String,
    /// For DataFusion.
    pub batch: String,
    /// Its type.
    pub kind: Kind,
    /// Whether it looks at no column.
    pub is_constant: bool,
}

impl Scalar {
    /// Written the same on both sides.
    pub fn new(text: impl Into<String>, kind: Kind) -> Self {
        let flink = text.into();
        let batch = flink.clone();
        Self {
            flink,
            batch,
            kind,
            is_constant: false,
        }
    }
}

/// Makes expressions over some columns.
pub struct Scalars<'a> {
    /// Decides.
    pub chance: &'a mut Chance,
    /// What is there.
    pub columns: &'a [Column],
}

impl Scalars<'_> {
    /// An expression of type `kind`, `depth` levels deep at most.
    pub fn value(&mut self, kind: Kind, depth: usize) -> Scalar {
        if depth == 0 || self.chance.one_in(3) {
            return self.leaf(kind);
        }
        let depth = depth - 1;
        match self.chance.below(6) {
            0 => {
                let (when, then, other) = (
                    self.condition(depth),
                    self.value(kind, depth),
                    self.value(kind, depth),
                );
                combine(
                    kind,
                    "CASE WHEN {0} THEN {1} ELSE {2} END",
                    &[when, then, other],
                )
            }
            1 => {
                let parts = [self.value(kind, depth), self.value(kind, depth)];
                combine(kind, "COALESCE({0}, {1})", &parts)
            }
            2 => {
                let parts = [self.value(kind, depth), self.literal(kind)];
                combine(kind, "NULLIF({0}, {1})", &parts)
            }
            _ => match kind {
                Kind::Text => self.text(depth),
                Kind::Int | Kind::Long => self.integer(kind, depth),
                Kind::Double => self.double(depth),
                Kind::Decimal => self.decimal(depth),
            },
        }
    }

    /// A condition.
    pub fn condition(&mut self, depth: usize) -> Scalar {
        let kind = *self.chance.pick(KINDS);
        let truth = Kind::Int;
        match self.chance.below(if depth > 0 { 9 } else { 6 }) {
            0 => {
                let parts = [self.leaf(kind)];
                let shape = self.chance.text(&["{0} IS NULL", "{0} IS NOT NULL"]);
                combine(truth, shape, &parts)
            }
            1 => {
                let shapes = ["{0} LIKE 'a%'", "{0} LIKE '%b'", "{0} NOT LIKE '_'"];
                let shape = self.chance.text(&shapes);
                combine(truth, shape, &[self.value(Kind::Text, depth)])
            }
            2 => {
                let parts = [self.leaf(kind), self.literal(kind), self.literal(kind)];
                let shapes = ["{0} IN ({1}, {2})", "{0} NOT IN ({1}, {2})"];
                combine(truth, self.chance.text(&shapes), &parts)
            }
            3 if kind != Kind::Text => {
                let parts = [self.leaf(kind), self.literal(kind), self.literal(kind)];
                combine(truth, "{0} BETWEEN {1} AND {2}", &parts)
            }
            3..=5 => {
                let parts = [self.value(kind, depth), self.value(kind, depth)];
                let shapes = [
                    "{0} = {1}",
                    "{0} <> {1}",
                    "{0} < {1}",
                    "{0} >= {1}",
                    "{0} IS DISTINCT FROM {1}",
                ];
                combine(truth, self.chance.text(&shapes), &parts)
            }
            6 => combine(truth, "NOT ({0})", &[self.condition(depth - 1)]),
            _ => {
                let parts = [self.condition(depth - 1), self.condition(depth - 1)];
                let shapes = ["({0}) AND ({1})", "({0}) OR ({1})"];
                combine(truth, self.chance.text(&shapes), &parts)
            }
        }
    }

    /// A column of type `kind`, or a constant if there is none.
    pub fn leaf(&mut self, kind: Kind) -> Scalar {
        let columns: Vec<&Column> = self.columns.iter().filter(|c| c.kind == kind).collect();
        if columns.is_empty() || self.chance.one_in(5) {
            return self.literal(kind);
        }
        let column = *self.chance.pick(&columns);
        Scalar::new(column.name.as_str(), kind)
    }

    fn literal(&mut self, kind: Kind) -> Scalar {
        let number = self.chance.between(-4, 9);
        let text = match kind {
            Kind::Text => format!(
                "'{}'",
                self.chance.text(&["", "a", "b", "Zoë", "日本", "x y"])
            ),
            Kind::Int => number.to_string(),
            Kind::Long => format!("CAST({number} AS BIGINT)"),
            Kind::Double => format!("CAST({number}.5 AS DOUBLE)"),
            Kind::Decimal => format!("CAST({number}.25 AS DECIMAL(38, 2))"),
        };
        Scalar {
            is_constant: true,
            ..Scalar::new(text, kind)
        }
    }

    fn text(&mut self, depth: usize) -> Scalar {
        let own = self.value(Kind::Text, depth);
        match self.chance.below(8) {
            0 => combine(Kind::Text, "UPPER({0})", &[own]),
            1 => combine(Kind::Text, "LOWER({0})", &[own]),
            2 => combine(Kind::Text, "({0} || {1})", &[own, self.leaf(Kind::Text)]),
            3 => {
                let shapes = ["SUBSTRING({0} FROM 2 FOR 2)", "SUBSTRING({0} FROM 2)"];
                combine(Kind::Text, self.chance.text(&shapes), &[own])
            }
            4 => combine(Kind::Text, "TRIM({0})", &[own]),
            5 => combine(Kind::Text, "REPLACE({0}, 'a', 'ba')", &[own]),
            6 => combine(Kind::Text, "REVERSE({0})", &[own]),
            _ => {
                let number = self.value(Kind::Int, depth);
                combine(Kind::Text, "CAST({0} AS VARCHAR)", &[number])
            }
        }
    }

    fn integer(&mut self, kind: Kind, depth: usize) -> Scalar {
        let own = self.value(kind, depth);
        match self.chance.below(8) {
            0 => combine(kind, "({0} + {1})", &[own, self.leaf(kind)]),
            1 => combine(kind, "({0} - {1})", &[own, self.leaf(kind)]),
            2 => combine(kind, "({0} * 3)", &[own]),
            3 => combine(kind, self.chance.text(&["({0} / 2)", "({0} / -3)"]), &[own]),
            4 => combine(kind, "({0} % 3)", &[own]),
            5 => combine_both(kind, *self.chance.pick(&[ABS, MOD]), &[own]),
            6 => {
                let text = self.value(Kind::Text, depth);
                let length = combine(kind, "CHAR_LENGTH({0})", &[text]);
                cast(length, kind)
            }
            _ => {
                let source = *self.chance.pick(&[Kind::Int, Kind::Long, Kind::Double]);
                cast(self.value(source, depth), kind)
            }
        }
    }

    fn double(&mut self, depth: usize) -> Scalar {
        let own = self.value(Kind::Double, depth);
        match self.chance.below(6) {
            0 => combine(Kind::Double, "({0} + {1})", &[own, self.leaf(Kind::Double)]),
            1 => combine(Kind::Double, "({0} - {1})", &[own, self.leaf(Kind::Double)]),
            2 => combine(Kind::Double, "({0} * 2)", &[own]),
            3 => combine(Kind::Double, "({0} / 4)", &[own]),
            4 => combine_both(Kind::Double, *self.chance.pick(&[ABS, FLOOR, CEIL]), &[own]),
            _ => cast(self.value(Kind::Long, depth), Kind::Double),
        }
    }

    fn decimal(&mut self, depth: usize) -> Scalar {
        let own = self.value(Kind::Decimal, depth);
        if self.chance.one_in(4) {
            return combine_both(Kind::Decimal, ABS, &[own]);
        }
        let shape = self.chance.text(&["({0} + {1})", "({0} - {1})", "-({0})"]);
        cast(
            combine(Kind::Decimal, shape, &[own, self.leaf(Kind::Decimal)]),
            Kind::Decimal,
        )
    }
}

fn cast(value: Scalar, kind: Kind) -> Scalar {
    let shape = format!("CAST({{0}} AS {})", kind.sql());
    combine(kind, &shape, &[value])
}

/// Puts `parts` in the places `{0}`, `{1}` … of `shape`.
fn combine(kind: Kind, shape: &str, parts: &[Scalar]) -> Scalar {
    combine_both(kind, [shape, shape], parts)
}

/// The same where Flink's and the batch's shapes are different.
fn combine_both(kind: Kind, [flink, batch]: [&str; 2], parts: &[Scalar]) -> Scalar {
    let mut made = Scalar {
        flink: flink.into(),
        batch: batch.into(),
        kind,
        is_constant: parts.iter().all(|part| part.is_constant),
    };
    // A place is never inside of a part: parts have no braces.
    for (index, part) in parts.iter().enumerate() {
        let place = format!("{{{index}}}");
        made.flink = made.flink.replace(&place, &part.flink);
        made.batch = made.batch.replace(&place, &part.batch);
    }
    made
}

/// DataFusion's functions of numbers are not compiled in.
const ABS: [&str; 2] = ["ABS({0})", "(CASE WHEN {0} < 0 THEN -({0}) ELSE {0} END)"];
const MOD: [&str; 2] = ["MOD({0}, 4)", "({0} % 4)"];
const FLOOR: [&str; 2] = [
    "FLOOR({0})",
    "CAST(CAST({0} AS BIGINT) - CASE WHEN {0} < CAST({0} AS BIGINT) THEN 1 ELSE 0 END AS DOUBLE)",
];
const CEIL: [&str; 2] = [
    "CEIL({0})",
    "CAST(CAST({0} AS BIGINT) + CASE WHEN {0} > CAST({0} AS BIGINT) THEN 1 ELSE 0 END AS DOUBLE)",
];
