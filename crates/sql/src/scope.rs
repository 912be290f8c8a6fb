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
}

impl Scope {
    /// The column, or field of a column, that `parts` names: `c`, `t.c`, `c.f`, `t.c.f.g`.
    pub fn resolve(&self, parts: &[Ident]) -> Result<Expr> {
        let (column, fields) = self.find(parts)?;
        let mut expr = self.column(column);
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

    /// Indices of the columns of the table or alias `name`; all columns without one.
    pub fn columns_of(&self, table: Option<&Ident>) -> Result<Vec<usize>> {
        let Some(table) = table else {
            return Ok((0..self.columns.len()).collect());
        };
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
