//! `GET /api/v1/tables`: what can be queried and watched.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use millstream_connectors::hot_table::{DEFAULT_DATABASE, HotTable, HotTables};
use millstream_core::types::sql_name;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::sql::SqlColumn;
use super::state::AppState;

/// A table.
#[derive(Debug, Serialize, ToSchema)]
pub struct TableView {
    /// Its database.
    database: String,
    /// Its name.
    name: String,
    /// Its columns, in order.
    columns: Vec<SqlColumn>,
    /// Names of the columns of its primary key; none: rows are appended.
    primary_key: Vec<String>,
    /// How many rows it has.
    rows: u64,
    /// Bytes on disk.
    bytes: u64,
}

/// All tables.
#[utoipa::path(
    get,
    path = "/api/v1/tables",
    tag = "tables",
    responses((status = 200, body = Vec<TableView>))
)]
pub async fn list(State(state): State<Arc<AppState>>) -> Json<Vec<TableView>> {
    let tables = state.parts.tables.all();
    Json(tables.iter().map(|table| view(table)).collect())
}

fn view(table: &HotTable) -> TableView {
    let name = table.name();
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| SqlColumn {
        name: field.name().clone(),
        sql_type: sql_name(field.data_type()),
    });
    let key = table.primary_key();
    TableView {
        database: name.database.clone(),
        name: name.table.clone(),
        columns: columns.collect(),
        primary_key: key
            .iter()
            .map(|index| schema.field(*index).name().clone())
            .collect(),
        rows: table.rows(),
        bytes: table.bytes(),
    }
}

/// The table that `name` means: `database.table`, or a table of the default database, or the only
/// one of that name.
pub fn find(tables: &HotTables, name: &str) -> Result<Arc<HotTable>, Problem> {
    let unknown = || Problem::not_found(format!("unknown table `{name}`"));
    if let Some((database, table)) = name.split_once('.') {
        return tables.table(database, table).ok_or_else(unknown);
    }
    if let Some(table) = tables.table(DEFAULT_DATABASE, name) {
        return Ok(table);
    }
    let all = tables.all();
    let mut found = all.iter().filter(|table| table.name().table == name);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(unknown()),
        (Some(one), Some(other)) => Err(Problem::not_found(format!(
            "`{name}` is in several databases; write for example `{}` or `{}`",
            one.name(),
            other.name()
        ))),
    }
}
