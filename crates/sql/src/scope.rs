//! What names mean at one place of a query.

use arrow::datatypes::DataType;
use millstream_core::TimeDomain;
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::types::sql_name;
use sqlparser::ast::Ident;

use crate::diagnostic::{Fault, Place, Result};

/// A column that a query can name.
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// The table or alias that it belongs to.
    pub table: Option<String>,
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// What it is to event time.
    pub role: Role,
    /// Where it was selected.
    pub place: Place,
}

/// What a column is to event time and processing time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Data.
    Plain,
    /// The event time that a WATERMARK declares.
    EventTime,
    /// `PROCTIME()`.
    ProcessingTime,
    /// What was the event time before the rows were put in windows.
    WindowedTime,
    /// Start of a window.
    WindowStart,
    /// End of a window.
    WindowEnd,
    /// The last moment of a window: a time again, of this domain.
    WindowTime(TimeDomain),
}

impl Role {
    /// Whether it is an event time.
    pub fn is_time(self) -> bool {
        self.domain() == Some(TimeDomain::Event)
    }

    /// Which time it is, if a window function can use it.
    pub fn domain(self) -> Option<TimeDomain> {
        match self {
            Self::EventTime => Some(TimeDomain::Event),
            Self::ProcessingTime => Some(TimeDomain::Processing),
            Self::WindowTime(domain) => Some(domain),
            _ => None,
        }
    }

    /// Whether a window function made it.
    pub fn is_window(self) -> bool {
        matches!(
            self,
            Self::WindowStart | Self::WindowEnd | Self::WindowTime(_)
        )
    }
}

/// The columns of the rows that come in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// In the order of the input.
    pub columns: Vec<ScopeColumn>,
    /// The window that GROUP BY names, as text, in the older syntax.
    pub group_window: Option<String>,
    /// Columns that joins with USING have made one.
    pub common: Vec<Common>,
}

/// A column of both sides of a join with USING.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// Its name.
    pub name: String,
    /// The columns that it stands for.
    pub columns: Vec<usize>,
    /// What it is: the column of the side whose rows all come out, or the first that is not null.
    pub value: Expr,
}

impl Common {
    /// The same where the columns stand `by` places later.
    pub fn shifted(mut self, by: usize) -> Self {
        self.value.map_columns(&|index| index + by);
        self.columns.iter_mut().for_each(|index| *index += by);
        self
    }
}

/// What `*` stands for.
pub(crate) enum Star<'a> {
    /// A column by its index.
    Column(usize),
    /// A column of both sides.
    Common(&'a Common),
}

impl Scope {
    /// The column, or field of a column, that `parts` names: `c`, `t.c`, `c.f`, `t.c.f.g`.
    pub fn resolve(&self, parts: &[Ident]) -> Result<Expr> {
        let (mut expr, fields) = match self.find_common(parts) {
            Some(common) => (common.value.clone(), &parts[1..]),
            None => {
                let (column, fields) = self.find(parts)?;
                (self.column(column), fields)
            }
        };
        for field in fields {
            expr = access(expr, field)?;
        }
        Ok(expr)
    }

    /// Column `index` as an expression.
    pub fn column(&self, index: usize) -> Expr {
        let column = &self.columns[index];
        Expr::column(index, &column.name, column.data_type.clone())
    }

    /// The column of both sides that `parts` begins with.
    fn find_common(&self, parts: &[Ident]) -> Option<&Common> {
        let [first, rest @ ..] = parts else {
            return None;
        };
        let is_qualified = rest.first().is_some_and(|second| {
            let mut columns = self.columns.iter();
            columns.any(|it| it.table.as_deref() == Some(&first.value) && it.name == second.value)
        });
        let mut common = self.common.iter();
        common.find(|common| common.name == first.value && !is_qualified)
    }

    /// All columns; those that joins with USING have made one come first, once.
    pub fn star(&self) -> Vec<Star<'_>> {
        let hidden = |index: &usize| self.common.iter().any(|it| it.columns.contains(index));
        let common = self.common.iter().map(Star::Common);
        let others = (0..self.columns.len()).filter(|index| !hidden(index));
        common.chain(others.map(Star::Column)).collect()
    }

    /// Indices of the columns of the table or alias `table`.
    pub fn columns_of(&self, table: &Ident) -> Result<Vec<usize>> {
        let of_table = |index: &usize| self.columns[*index].table.as_deref() == Some(&table.value);
        let indices: Vec<usize> = (0..self.columns.len()).filter(of_table).collect();
        match indices.is_empty() {
            true => Err(self.unknown_table(table)),
            false => Ok(indices),
        }
    }

    fn find<'a>(&self, parts: &'a [Ident]) -> Result<(usize, &'a [Ident])> {
        let [first, rest @ ..] = parts else {
            unreachable!("a name has at least one part");
        };
        if let Some(second) = rest.first() {
            let qualified = |column: &ScopeColumn| {
                column.table.as_deref() == Some(&first.value) && column.name == second.value
            };
            if let Some(index) = self.unique(second, qualified)? {
                return Ok((index, &rest[1..]));
            }
        }
        if let Some(index) = self.unique(first, |column| column.name == first.value)? {
            return Ok((index, rest));
        }
        let is_table = |column: &ScopeColumn| column.table.as_deref() == Some(&first.value);
        match rest.first() {
            Some(second) if self.columns.iter().any(is_table) => {
                let columns = self.columns.iter().filter(|column| is_table(column));
                let message = format!("unknown column `{}` of `{}`", second.value, first.value);
                let names = columns.map(|column| column.name.as_str());
                Err(Fault::at(second.span, message).near(&second.value, names))
            }
            Some(_) => {
                let tables = self
                    .columns
                    .iter()
                    .filter_map(|column| column.table.as_deref());
                let known = tables.chain(self.columns.iter().map(|column| column.name.as_str()));
                let message = format!("unknown table, alias or column `{}`", first.value);
                Err(Fault::at(first.span, message).near(&first.value, known))
            }
            None => Err(self.unknown_column(first)),
        }
    }

    fn unique(
        &self,
        name: &Ident,
        matches: impl Fn(&ScopeColumn) -> bool,
    ) -> Result<Option<usize>> {
        let mut found = (0..self.columns.len()).filter(|index| matches(&self.columns[*index]));
        let first = found.next();
        match found.next() {
            None => Ok(first),
            Some(_) => {
                let message = format!("column `{}` is ambiguous", name.value);
                Err(Fault::at(name.span, message).help("give one of the columns another name"))
            }
        }
    }

    fn unknown_column(&self, name: &Ident) -> Fault {
        let names = self.columns.iter().map(|column| column.name.as_str());
        Fault::at(name.span, format!("unknown column `{}`", name.value)).near(&name.value, names)
    }

    fn unknown_table(&self, name: &Ident) -> Fault {
        let names = self
            .columns
            .iter()
            .filter_map(|column| column.table.as_deref());
        let message = format!("unknown table or alias `{}`", name.value);
        Fault::at(name.span, message).near(&name.value, names)
    }
}

/// `input.field` of a ROW.
pub(crate) fn access(input: Expr, field: &Ident) -> Result<Expr> {
    let DataType::Struct(fields) = &input.data_type else {
        let found = sql_name(&input.data_type);
        let message = format!(
            "`{input}` is {found}, expected a ROW with a field `{}`",
            field.value
        );
        return Err(Fault::at(field.span, message));
    };
    let Some((_, found)) = fields.find(&field.value) else {
        let names = fields.iter().map(|field| field.name().as_str());
        let message = format!("`{input}` has no field `{}`", field.value);
        return Err(Fault::at(field.span, message).near(&field.value, names));
    };
    let data_type = found.data_type().clone();
    Ok(Expr {
        kind: ExprKind::Field {
            input: Box::new(input),
            name: field.value.clone(),
        },
        data_type,
    })
}
