//! Names to tables. A table is found by `database.table`, or by its own name: in the default
//! database first, else in whichever one has it, if only one does. Hot tables come before those of the
//! lake; of these, a name can also mean an older state or what a table knows of itself ([`versions`]).

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::Result as DataFusionResult;
use datafusion::sql::TableReference;
use iceberg::TableIdent;
use millstream_connectors::hot_table::{DEFAULT_DATABASE, HotTable};
use millstream_connectors::iceberg::catalog::Catalog as LakeCatalog;
use millstream_connectors::iceberg::{AsOf, LakeTable, MetadataTable};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::lake::LakeProvider;
use super::scan::HotTableProvider;
use super::versions::{self, Part};

/// The one catalog.
pub const NAME: &str = "millstream";

/// The tables that there are as a query begins.
pub struct Catalog {
    tables: Vec<Entry>,
    lake: Option<Arc<dyn LakeCatalog>>,
}

/// A table.
#[derive(Clone)]
enum Entry {
    Hot(Arc<HotTable>),
    /// Of the lake: database and name.
    Lake(String, String),
}

impl Entry {
    fn database(&self) -> &str {
        match self {
            Self::Hot(table) => &table.name().database,
            Self::Lake(database, _) => database,
        }
    }

    fn table(&self) -> &str {
        match self {
            Self::Hot(table) => &table.name().table,
            Self::Lake(_, table) => table,
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", self.database(), self.table())
    }
}

impl Catalog {
    /// The catalog of `tables` and of those of the lake. May wait for the lake's catalog.
    pub fn new(tables: Vec<Arc<HotTable>>, lake: Option<Arc<dyn LakeCatalog>>) -> Result<Self> {
        let mut entries: Vec<Entry> = tables.into_iter().map(Entry::Hot).collect();
        let of_lake = lake.as_ref().map(|lake| lake.list()).transpose()?;
        entries.extend(of_lake.unwrap_or_default().into_iter().map(|table| {
            let database = table.namespace().to_url_string();
            Entry::Lake(database, table.name().to_owned())
        }));
        Ok(Self {
            tables: entries,
            lake,
        })
    }

    /// The table that `name` means.
    fn find(&self, name: &TableReference) -> Result<&Entry> {
        let database = name.schema();
        // Behind a `$` stands what of a lake table is meant.
        let is_whole = self
            .tables
            .iter()
            .any(|found| found.table() == name.table());
        let table = match is_whole {
            true => name.table(),
            false => name.table().split('$').next().unwrap_or_default(),
        };
        if name.catalog().is_some_and(|catalog| catalog != NAME) {
            let message = format!(
                "no catalog `{}`; expected {NAME}",
                name.catalog().unwrap_or("")
            );
            return Err(Error::invalid(message));
        }
        let named = self.tables.iter().filter(|found| found.table() == table);
        let named: Vec<&Entry> = named.collect();
        let wanted = database.unwrap_or(DEFAULT_DATABASE);
        if let Some(found) = named.iter().find(|found| found.database() == wanted) {
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
                    distance(&wanted, &table.table().to_lowercase()),
                    table.name(),
                )
            })
            .filter(|(distance, _)| *distance <= most)
            .map(|(distance, name)| (distance, format!("`{}`", short(&name))))
            .collect();
        near.sort();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }

    /// Providers of the tables that a query names, each as of now unless its name says otherwise.
    pub async fn providers<'a>(
        &self,
        names: impl Iterator<Item = &'a TableReference>,
    ) -> Result<QueryTables> {
        let mut tables = QueryTables::default();
        let mut opened = Opened::default();
        for name in names {
            let provider = match self.find(name)? {
                Entry::Hot(table) => opened.hot(table, name)?,
                Entry::Lake(database, table) => {
                    let ident = TableIdent::from_strs([database, table]);
                    let ident = ident.map_err(|error| Error::invalid(error.to_string()))?;
                    let table = opened.lake(self.lake.as_ref(), ident).await?;
                    of_lake(table, name).await?
                }
            };
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
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let sizes = self.tables.iter().map(|table| match table {
            Entry::Hot(table) => {
                let snapshot = table.snapshot();
                Ok((
                    Some(number(snapshot.rows())),
                    Some(number(snapshot.bytes())),
                ))
            }
            Entry::Lake(..) => self.lake_size(table),
        });
        let sizes: Vec<(Option<i64>, Option<i64>)> = sizes.collect::<Result<_>>()?;
        let tables = || self.tables.iter();
        let databases: StringArray = tables().map(|t| Some(t.database().to_owned())).collect();
        let names: StringArray = tables().map(|t| Some(t.table().to_owned())).collect();
        let rows: Int64Array = sizes.iter().map(|(rows, _)| *rows).collect();
        let bytes: Int64Array = sizes.iter().map(|(_, bytes)| *bytes).collect();
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

    /// Rows and bytes of a table of the lake, as its current snapshot says.
    fn lake_size(&self, table: &Entry) -> Result<(Option<i64>, Option<i64>)> {
        let loaded = self.load(table)?;
        let snapshot = loaded.metadata().current_snapshot();
        let Some(snapshot) = snapshot else {
            return Ok((Some(0), Some(0)));
        };
        let said = &snapshot.summary().additional_properties;
        let number = |key: &str| said.get(key).and_then(|text| text.parse().ok());
        Ok((number("total-records"), number("total-files-size")))
    }

    fn load(&self, table: &Entry) -> Result<iceberg::table::Table> {
        let ident = TableIdent::from_strs([table.database(), table.table()]);
        let ident = ident.map_err(|error| Error::invalid(error.to_string()))?;
        loaded(self.lake.as_ref(), &ident)
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
        let (schema, primary_key) = match table {
            Entry::Hot(table) => (table.schema(), table.primary_key().to_vec()),
            Entry::Lake(..) => {
                let table = LakeTable::new(self.load(table)?, AsOf::Now)?;
                (table.schema().clone(), vec![])
            }
        };
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
            Some(if primary_key.contains(&index) {
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

/// Tables that a query has opened. Each is opened once, so that all of the query sees one state.
#[derive(Default)]
struct Opened {
    hot: BTreeMap<String, Arc<HotTableProvider>>,
    lake: BTreeMap<String, iceberg::table::Table>,
}

impl Opened {
    fn hot(
        &mut self,
        table: &Arc<HotTable>,
        name: &TableReference,
    ) -> Result<Arc<dyn TableProvider>> {
        if table.name().table != name.table() {
            let table = table.name();
            return Err(Error::invalid(format!(
                "`{table}` is not in the lake: it has only its present state"
            )));
        }
        let provider = self.hot.entry(table.name().to_string());
        let provider = provider.or_insert_with(|| Arc::new(HotTableProvider::new(table)));
        Ok(provider.clone())
    }

    async fn lake(
        &mut self,
        lake: Option<&Arc<dyn LakeCatalog>>,
        table: TableIdent,
    ) -> Result<iceberg::table::Table> {
        let key = table.to_string();
        if let Some(opened) = self.lake.get(&key) {
            return Ok(opened.clone());
        }
        let lake = lake.cloned();
        // The catalog waits for files and services.
        let load = tokio::task::spawn_blocking(move || loaded(lake.as_ref(), &table));
        let load = load.await;
        let opened = load.map_err(|panic| Error::bug(format!("the lake's catalog: {panic}")))??;
        self.lake.insert(key, opened.clone());
        Ok(opened)
    }
}

fn loaded(
    lake: Option<&Arc<dyn LakeCatalog>>,
    table: &TableIdent,
) -> Result<iceberg::table::Table> {
    let found = lake.map(|lake| lake.load(table)).transpose()?.flatten();
    found.ok_or_else(|| Error::invalid(format!("no table `{table}` any more")))
}

/// What `name` means of a lake table.
async fn of_lake(
    table: iceberg::table::Table,
    name: &TableReference,
) -> Result<Arc<dyn TableProvider>> {
    let known = || {
        let known = MetadataTable::ALL.map(|(known, _)| format!("`${known}`"));
        let (found, known) = (name.table(), known.join(", "));
        Error::invalid(format!(
            "`{found}`: expected one of {known} behind the name"
        ))
    };
    let (_, part) = versions::split(name.table()).ok_or_else(known)?;
    match part {
        Part::Rows(as_of) => {
            let display = table.identifier().to_string();
            let table = LakeTable::new(table, as_of)?;
            Ok(Arc::new(LakeProvider::new(display, table)))
        }
        Part::Metadata(which) => {
            let table = LakeTable::new(table, AsOf::Now)?;
            let rows = table.metadata_rows(which).await?;
            let provider = MemTable::try_new(rows.schema(), vec![vec![rows]]);
            let provider = provider.map_err(|error| Error::bug(error.to_string()))?;
            Ok(Arc::new(provider))
        }
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
    databases: BTreeMap<String, BTreeMap<String, Arc<dyn TableProvider>>>,
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
    tables: BTreeMap<String, Arc<dyn TableProvider>>,
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
        Ok(self.tables.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }
}
