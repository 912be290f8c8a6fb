//! The tables and views that a script has declared so far.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use millstream_core::connector::ConnectorInfo;
use millstream_core::expr::Expr;
use millstream_core::plan::ConnectorConfig;
use sqlparser::ast::Ident;

use crate::diagnostic::{Fault, Place, Result};
use crate::query::Bound;

/// A declared table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub place: Place,
    /// Where the value of each option stands.
    pub option_places: BTreeMap<String, Place>,
    /// All columns in the order of the declaration.
    pub columns: Vec<TableColumn>,
    /// `WATERMARK FOR`
    pub watermark: Option<TableWatermark>,
    /// Columns of the primary key.
    pub primary_key: Vec<usize>,
    /// Where the primary key is declared.
    pub primary_key_place: Place,
    /// Its connector and options.
    pub connector: ConnectorConfig,
    /// What its connector can do.
    pub info: &'static ConnectorInfo,
    /// `'scan.watermark.idle-timeout'`
    pub idle_timeout_ms: Option<u64>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone)]
pub(crate) struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// What fills it.
    pub kind: TableColumnKind,
    /// Where it is declared.
    pub place: Place,
}

/// What fills a [`TableColumn`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TableColumnKind {
    /// The record.
    Physical,
    /// The record's metadata under this key; written too unless it is virtual.
    Metadata {
        /// Which.
        key: String,
        /// Whether it is only read.
        is_virtual: bool,
    },
    /// An expression over physical and metadata columns of the table, by position.
    Computed(Expr),
}

/// `WATERMARK FOR column AS column - delay`.
#[derive(Debug, Clone)]
pub(crate) struct TableWatermark {
    /// The column's position.
    pub column: usize,
    /// How much later the watermark is, in milliseconds.
    pub delay_ms: i64,
}

/// What a name stands for.
pub(crate) enum Named<'a> {
    /// A table, by position in [`Catalog::tables`].
    Table(usize),
    /// A view.
    View(&'a Bound),
}

/// All that is declared.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// In order of declaration.
    pub tables: Vec<Table>,
    views: Vec<(String, Bound)>,
}

impl Catalog {
    /// What `name` stands for.
    pub fn find(&self, name: &str) -> Option<Named<'_>> {
        if let Some(index) = self.tables.iter().position(|table| table.name == name) {
            return Some(Named::Table(index));
        }
        let view = self.views.iter().find(|(known, _)| known == name);
        view.map(|(_, bound)| Named::View(bound))
    }

    /// The table called `name`.
    pub fn table(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.name == name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let tables = self.tables.iter().map(|table| table.name.as_str());
        tables.chain(self.views.iter().map(|(name, _)| name.as_str()))
    }

    /// Whether `name` is free; with `if_not_exists` a name that is taken is fine.
    pub fn is_free(&self, name: &Ident, if_not_exists: bool) -> Result<bool> {
        match self.find(&name.value) {
            None => Ok(true),
            Some(_) if if_not_exists => Ok(false),
            Some(_) => {
                let message = format!("`{}` is declared already", name.value);
                Err(Fault::at(name.span, message))
            }
        }
    }

    /// Declares a view.
    pub fn add_view(&mut self, name: &Ident, bound: Bound) {
        self.views.push((name.value.clone(), bound));
    }
}

impl Table {
    /// The columns that INSERT INTO writes, by position.
    pub fn sink_columns(&self) -> Vec<usize> {
        let physical = |index: &usize| self.columns[*index].kind == TableColumnKind::Physical;
        (0..self.columns.len()).filter(physical).collect()
    }

    /// Position of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
