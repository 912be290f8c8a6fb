//! Statements as parsed: names and places, nothing resolved. Queries and expressions are
//! sqlparser's own tree.

use arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Ident, Query};

use crate::diagnostic::Place;

/// A string literal and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    /// Its value.
    pub value: String,
    /// Where it begins.
    pub place: Place,
}

/// One statement of a script.
#[derive(Debug)]
pub(crate) enum Statement {
    /// `CREATE [TEMPORARY] TABLE`
    CreateTable(Box<CreateTable>),
    /// `CREATE [TEMPORARY] VIEW`
    CreateView(CreateView),
    /// `CREATE [TEMPORARY] FUNCTION`
    CreateFunction(CreateFunction),
    /// `INSERT INTO`, also inside a statement set
    Insert(Insert),
    /// `SET 'key' = 'value'`
    Set(Text, Text),
    /// `EXPLAIN` of an INSERT or of a query
    Explain(Place, Explained),
}

/// What EXPLAIN explains.
#[derive(Debug)]
pub(crate) enum Explained {
    /// `EXPLAIN INSERT INTO …`
    Insert(Insert),
    /// `EXPLAIN SELECT …`
    Query(Box<Query>),
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Debug)]
pub(crate) struct Insert {
    /// The sink.
    pub table: Ident,
    /// The columns that are given; empty: all.
    pub columns: Vec<Ident>,
    /// What is written.
    pub query: Box<Query>,
}

/// `CREATE VIEW name [(columns)] AS query`.
#[derive(Debug)]
pub(crate) struct CreateView {
    /// Its name.
    pub name: Ident,
    /// New names for the query's columns; empty: as they are.
    pub columns: Vec<Ident>,
    /// What it stands for.
    pub query: Box<Query>,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
}

/// `CREATE FUNCTION name(a type, …) RETURNS type AS expression`.
#[derive(Debug)]
pub(crate) struct CreateFunction {
    /// Its name.
    pub name: Ident,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Its parameters.
    pub params: Vec<(Ident, DataType)>,
    /// The type of its result.
    pub returns: DataType,
    /// What it computes.
    pub body: Box<Expr>,
}

/// `CREATE TABLE name (…) WITH (…)`.
#[derive(Debug)]
pub(crate) struct CreateTable {
    /// Its name.
    pub name: Ident,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// `WATERMARK FOR`
    pub watermark: Option<WatermarkClause>,
    /// `PRIMARY KEY (…) NOT ENFORCED`
    pub primary_key: Vec<Ident>,
    /// `WITH (…)`
    pub options: Vec<(Text, Text)>,
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its name.
    pub name: Ident,
    /// What fills it.
    pub kind: ColumnKind,
}

/// What fills a column.
#[derive(Debug)]
pub(crate) enum ColumnKind {
    /// The record.
    Physical(DataType),
    /// Something about the record.
    Metadata {
        /// Its type.
        data_type: DataType,
        /// `FROM 'key'`; by default the column's name.
        key: Option<Text>,
        /// `VIRTUAL`: not written.
        is_virtual: bool,
    },
    /// An expression over the other columns.
    Computed(Box<Expr>),
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug)]
pub(crate) struct WatermarkClause {
    /// The event-time column.
    pub column: Ident,
    /// `column` or `column - INTERVAL '…' unit`.
    pub expr: Expr,
}
