//! Names to tables. A table is found by `database.table`, or by its own name: in the default
//! database first, else in whichever one has it, if only one does.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::sql::TableReference;
use millstream_connectors::hot_table::{DEFAULT_DATABASE, HotTable};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::scan::HotTableProvider;

/// The one catalog.
pub const NAME: &str = "millstream";

/// The tables that there are as a query begins.
pub struct Catalog {
    tables: Vec<Arc<HotTable>>,
}

impl Catalog {
    /// The catalog of `tables`.
    pub fn new(tables: Vec<Arc<HotTable>>) -> Self {
        Self { tables }
    }

    /// The table that `name` means.
    fn find(&self, name: &TableReference) -> Result<&Arc<HotTable>> {
        let (database, table) = (name.schema(), name.table());
        if name.catalog().is_some_and(|catalog| catalog != NAME) {
            let message = format!(
                "no catalog `{}`; expected {NAME}",
                name.catalog().unwrap_or("")
            );
            return Err(Error::invalid(message));
        }
        let named: Vec<&Arc<HotTable>> = self
            .tables
            .iter()
            .filter(|found| found.name().table == table)
            .collect();
        let wanted = database.unwrap_or(DEFAULT_DATABASE);
        if let Some(found) = named.iter().find(|found| found.name().database == wanted) {
            return Ok(found);
        }
        match (database, named.as_slice()) {
            (None, [only]) => Ok(only),
            (None, [_, _, ..]) => {
                let names: Vec<String> = named.iter().map(|t| format!("`{}`", t.name())).collect();
                let message = format!(
                    "`{table}` is in several databases; expected {}",
                    names.join(" or ")
                );
                Err(Error::invalid(message))
            }
            _ => Err(self.not_found(name)),
        }
    }

    fn not_found(&self, name: &TableReference) -> Error {
        let mut message = format!("no table `{}`", text(name));
        let near = self.near(name);
        if !near.is_empty() {
            let _ = write!(message, "; did you mean {}?", near.join(" or "));
        } else if self.tables.is_empty() {
            message.push_str("; there are no tables yet");
        } else {
            message.push_str("; SHOW TABLES lists those that there are");
        }
        Error::invalid(message)
    }

    /// Up to three names that look like `name`, the nearest first.
    fn near(&self, name: &TableReference) -> Vec<String> {
        let wanted = name.table().to_lowercase();
        let most = (wanted.chars().count() / 3).max(1);
        let mut near: Vec<(usize, String)> = self
            .tables
            .iter()
            .map(|table| {
                (
                    distance(&wanted, &table.name().table.to_lowercase()),
                    table.name(),
                )
            })
            .filter(|(distance, _)| *distance <= most)
            .map(|(distance, name)| (distance, format!("`{}`", short(&name.to_string()))))
            .collect();
        near.sort();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }

    /// Providers of the tables that a query names, each as of now.
    pub fn providers<'a>(
        &self,
        names: impl Iterator<Item = &'a TableReference>,
    ) -> Result<QueryTables> {
        let mut tables = QueryTables::default();
        let mut snapshots: BTreeMap<String, Arc<HotTableProvider>> = BTreeMap::new();
        for name in names {
            let table = self.find(name)?;
            let provider = snapshots
                .entry(table.name().to_string())
                .or_insert_with(|| Arc::new(HotTableProvider::new(table)))
                .clone();
            let database = name.schema().unwrap_or(DEFAULT_DATABASE).to_owned();
            tables
                .databases
                .entry(database)
                .or_default()
                .insert(name.table().to_owned(), provider);
        }
        Ok(tables)
    }

    /// `SHOW TABLES`.
    pub fn show_tables(&self) -> Result<RecordBatch> {
        let snapshots: Vec<_> = self
            .tables
            .iter()
            .map(|t| (t.name(), t.snapshot()))
            .collect();
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let databases: StringArray = snapshots
            .iter()
            .map(|(name, _)| Some(name.database.as_str()))
            .collect();
        let names: StringArray = snapshots
            .iter()
            .map(|(name, _)| Some(name.table.as_str()))
            .collect();
        let rows: Int64Array = snapshots
            .iter()
            .map(|(_, s)| Some(number(s.rows())))
            .collect();
        let bytes: Int64Array = snapshots
            .iter()
            .map(|(_, s)| Some(number(s.bytes())))
            .collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("database", Arc::new(databases)),
            ("table", Arc::new(names)),
            ("rows", Arc::new(rows)),
            ("bytes", Arc::new(bytes)),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(
            columns.map(|(n, a)| (n, a, true)),
        )?)
    }

    /// `DESCRIBE table`.
    pub fn describe(&self, name: &[String]) -> Result<RecordBatch> {
        let name = match name {
            [table] => TableReference::bare(table.as_str()),
            [database, table] => TableReference::partial(database.as_str(), table.as_str()),
            [catalog, database, table] => {
                TableReference::full(catalog.as_str(), database.as_str(), table.as_str())
            }
            _ => return Err(Error::invalid("expected the name of a table")),
        };
        let table = self.find(&name)?;
        let schema = table.schema();
        let fields = schema.fields();
        let names: StringArray = fields
            .iter()
            .map(|field| Some(field.name().as_str()))
            .collect();
        let types: StringArray = fields
            .iter()
            .map(|field| Some(sql_name(field.data_type())))
            .collect();
        let key = (0..fields.len()).map(|index| {
            Some(if table.primary_key().contains(&index) {
                "primary key"
            } else {
                ""
            })
        });
        let columns: [(&str, ArrayRef); 3] = [
            ("column", Arc::new(names)),
            ("type", Arc::new(types)),
            ("key", Arc::new(key.collect::<StringArray>())),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(
            columns.map(|(n, a)| (n, a, true)),
        )?)
    }
}

/// A name as the user wrote it.
fn text(name: &TableReference) -> String {
    let parts = [name.catalog(), name.schema(), Some(name.table())];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    parts.join(".")
}

/// A full name without the default database.
fn short(name: &str) -> &str {
    let own = name
        .strip_prefix(DEFAULT_DATABASE)
        .and_then(|rest| rest.strip_prefix('.'));
    own.unwrap_or(name)
}

/// How many characters have to be inserted, deleted or replaced to get from `a` to `b`
/// (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The tables of one query, by database and name as it writes them.
#[derive(Debug, Default)]
pub struct QueryTables {
    databases: BTreeMap<String, BTreeMap<String, Arc<HotTableProvider>>>,
}

impl CatalogProvider for QueryTables {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema_names(&self) -> Vec<String> {
        self.databases.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let tables = self.databases.get(name)?.clone();
        Some(Arc::new(Database { tables }))
    }
}

#[derive(Debug)]
struct Database {
    tables: BTreeMap<String, Arc<HotTableProvider>>,
}

#[async_trait]
impl SchemaProvider for Database {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let found = self.tables.get(name);
        Ok(found.map(|table| Arc::clone(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }
}
