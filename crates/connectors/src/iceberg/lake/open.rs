//! Opening catalogs and tables.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ::iceberg::spec::{Schema, Transform};
use ::iceberg::table::Table;
use ::iceberg::{TableCreation, TableRequirement, TableUpdate};
use millstream_core::plan::SinkPlan;
use millstream_core::{Error, ErrorKind, Result, Subject};

use super::Lake;
use crate::iceberg::catalog::{
    Catalog, Committed, PointerCatalog, Pointers, RestCatalog, RestSettings, SqlPointers,
    StoredPointers,
};
use crate::iceberg::commit::Commits;
use crate::iceberg::files::{Files, ObjectSettings};
use crate::iceberg::options::TableOptions;
use crate::iceberg::schema::{evolved, partition_spec, sort_order};

/// The catalog in a data directory.
const OWN_CATALOG: &str = "lake/catalog.db";
/// The catalog in a storage that is no directory.
const OWN_POINTERS: &str = "lake/pointers/";

/// How often a change of columns is tried while others change the table.
const TRIES: usize = 10;

/// A catalog that is open, and where files of its tables are.
#[derive(Clone)]
pub struct OpenCatalog {
    /// How its tables are changed; also the catalog itself.
    pub commits: Arc<Commits>,
    /// Files of its tables.
    pub files: Files,
}

impl Lake {
    pub(super) fn open_catalog(&self, options: &BTreeMap<String, String>) -> Result<OpenCatalog> {
        let get = |key: &str| options.get(key).map(String::as_str);
        let files = self.files(options)?;
        let name = get("catalog-name").unwrap_or("default");
        let catalog: Arc<dyn Catalog> = match (get("catalog-type"), get("uri")) {
            (None, None) => self.pointer_catalog(self.own_pointers(name)?, &files, options),
            (None | Some("sqlite"), Some(uri)) => {
                let pointers = SqlPointers::sqlite(&sqlite_path(uri), name)?;
                self.pointer_catalog(Arc::new(pointers), &files, options)
            }
            (Some("postgres"), Some(uri)) => {
                let pointers = SqlPointers::postgres(uri, name)?;
                self.pointer_catalog(Arc::new(pointers), &files, options)
            }
            (Some("sqlite"), None) => {
                self.pointer_catalog(self.own_pointers(name)?, &files, options)
            }
            (Some("rest"), Some(uri)) => Arc::new(RestCatalog::open(
                RestSettings {
                    uri: uri.to_owned(),
                    warehouse: options.get("warehouse").cloned(),
                    token: options.get("token").cloned(),
                    credential: options.get("credential").cloned(),
                },
                files.file_io(),
            )?),
            (Some(kind @ ("postgres" | "rest")), None) => {
                let message = format!("a catalog of type `{kind}` needs a `uri`");
                return Err(Error::of_option("uri", message));
            }
            (Some(other), _) => {
                let message = format!("unknown `{other}`; expected one of: sqlite, postgres, rest");
                return Err(Error::of_option("catalog-type", message));
            }
        };
        let mut commits = Commits::new(catalog, self.env.clone());
        if let Some(wait) = &self.wait {
            commits = commits.with_wait(wait.clone());
        }
        Ok(OpenCatalog {
            commits: Arc::new(commits),
            files,
        })
    }

    /// Whether there is a catalog to open, or one was configured.
    pub(super) fn is_there(&self) -> Result<bool> {
        let options = &self.config.options;
        let is_own = !options.contains_key("uri");
        if !is_own || !self.catalogs.lock().expect("no holder panics").is_empty() {
            return Ok(true);
        }
        match &self.config.data_dir {
            Some(folder) => Ok(folder.join(OWN_CATALOG).exists()),
            None => Ok(!self.storage.list(OWN_POINTERS)?.is_empty()),
        }
    }

    /// The catalog in the data directory, or in the storage if there is none.
    fn own_pointers(&self, name: &str) -> Result<Arc<dyn Pointers>> {
        Ok(match &self.config.data_dir {
            Some(folder) => Arc::new(SqlPointers::sqlite(&folder.join(OWN_CATALOG), name)?),
            None => Arc::new(StoredPointers::new(self.storage.clone(), OWN_POINTERS)),
        })
    }

    fn pointer_catalog(
        &self,
        pointers: Arc<dyn Pointers>,
        files: &Files,
        options: &BTreeMap<String, String>,
    ) -> Arc<dyn Catalog> {
        let warehouse = match (options.get("warehouse"), &self.config.data_dir) {
            (Some(warehouse), _) if warehouse.starts_with('/') => format!("file://{warehouse}"),
            (Some(warehouse), _) => warehouse.clone(),
            (None, Some(folder)) => format!("file://{}/lake/warehouse", folder.display()),
            (None, None) => "memory:///warehouse".to_owned(),
        };
        let env = self.env.clone();
        Arc::new(PointerCatalog::new(
            pointers,
            files.file_io(),
            warehouse,
            env,
        ))
    }

    fn files(&self, options: &BTreeMap<String, String>) -> Result<Files> {
        let key = "s3.path-style-access";
        let is_path_style = match options.get(key).map(String::as_str) {
            None => options.contains_key("s3.endpoint"),
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                let message = format!("found `{other}`, expected `true` or `false`");
                return Err(Error::of_option(key, message));
            }
        };
        let files = Files::new(ObjectSettings {
            endpoint: options.get("s3.endpoint").cloned(),
            region: options.get("s3.region").cloned(),
            is_path_style,
        });
        Ok(match &self.config.data_dir {
            // What is in the data directory goes through its own storage, as everything there.
            Some(folder) => {
                let prefix = format!("file://{}/", folder.display());
                files.with_place(&prefix, &self.storage, "")
            }
            None => files.with_place("memory:///", &self.storage, "lake/"),
        })
    }
}

/// `sqlite:///path`, `sqlite:path` or a path.
fn sqlite_path(uri: &str) -> PathBuf {
    let path = uri.strip_prefix("sqlite:").unwrap_or(uri);
    let path = path.strip_prefix("//").unwrap_or(path);
    PathBuf::from(path.split('?').next().unwrap_or(path))
}

/// The table, which is made or gets columns if need be.
pub(super) fn table(
    catalog: &OpenCatalog,
    (options, schema): (&TableOptions, Schema),
    plan: &SinkPlan,
) -> Result<Table> {
    let ident = options.ident()?;
    let catalog = catalog.commits.catalog();
    for _ in 0..TRIES {
        let Some(table) = catalog.load(&ident)? else {
            match catalog.create(&ident, creation(options, schema.clone())?) {
                Err(error) if error.kind() == ErrorKind::Conflict => continue,
                other => return other,
            }
        };
        check_partitioning(&table, options)?;
        if let Some(table) = with_columns(&**catalog, table, plan)? {
            return Ok(table);
        }
    }
    let message = format!("lake table `{ident}` was changed by others in all of tries={TRIES}");
    Err(Error::unavailable(message))
}

fn creation(options: &TableOptions, schema: Schema) -> Result<TableCreation> {
    let defaults = [
        (
            "write.metadata.delete-after-commit.enabled",
            "true".to_owned(),
        ),
        ("write.metadata.previous-versions-max", "20".to_owned()),
        ("write.parquet.compression-codec", "zstd".to_owned()),
        (
            "write.target-file-size-bytes",
            options.commit.target_bytes.to_string(),
        ),
        ("history.expire.max-snapshot-age-ms", "86400000".to_owned()),
        ("history.expire.min-snapshots-to-keep", "10".to_owned()),
        ("commit.manifest.min-count-to-merge", "100".to_owned()),
    ];
    let mut properties: BTreeMap<String, String> = defaults
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    properties.extend(options.properties.clone());
    let partition_spec = partition_spec(&schema, &options.partitioning)?;
    let sort_order = sort_order(&schema, &options.sorting)?;
    Ok(TableCreation::builder()
        .name(options.table.clone())
        .schema(schema)
        .partition_spec(partition_spec)
        .sort_order(sort_order)
        .properties(properties)
        .build())
}

/// A table that is there is partitioned as it is; one that says otherwise is told.
fn check_partitioning(table: &Table, options: &TableOptions) -> Result<()> {
    if options.partitioning.is_empty() {
        return Ok(());
    }
    let metadata = table.metadata();
    let name = |id: i32| metadata.current_schema().name_by_field_id(id);
    let found: Vec<(&str, Transform)> = metadata
        .default_partition_spec()
        .fields()
        .iter()
        .map(|field| (name(field.source_id).unwrap_or("?"), field.transform))
        .collect();
    let wanted = options.partitioning.iter();
    let wanted: Vec<(&str, Transform)> = wanted
        .map(|part| (part.column.as_str(), part.transform))
        .collect();
    if found == wanted {
        return Ok(());
    }
    let text = |parts: &[(&str, Transform)]| {
        let parts = parts.iter().map(|(column, by)| format!("{by}({column})"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let (found, wanted) = (text(&found), text(&wanted));
    let message = format!("the lake table is partitioned by {found}, found {wanted}");
    Err(Error::of_option("partitioning", message))
}

/// The table with all columns of the plan; `None` if somebody else changed it meanwhile.
fn with_columns(catalog: &dyn Catalog, table: Table, plan: &SinkPlan) -> Result<Option<Table>> {
    let metadata = table.metadata();
    let current = metadata.current_schema();
    let Some(schema) = evolved(current, &plan.schema, metadata.last_column_id())? else {
        return Ok(Some(table));
    };
    let requirements = vec![
        TableRequirement::UuidMatch {
            uuid: metadata.uuid(),
        },
        TableRequirement::CurrentSchemaIdMatch {
            current_schema_id: current.schema_id(),
        },
        TableRequirement::LastAssignedFieldIdMatch {
            last_assigned_field_id: metadata.last_column_id(),
        },
    ];
    let updates = vec![
        TableUpdate::AddSchema { schema },
        // The one that was just added.
        TableUpdate::SetCurrentSchema { schema_id: -1 },
    ];
    match catalog.commit(&table, requirements, updates) {
        Committed::Done(table) => {
            tracing::info!(table = %table.identifier(), "the lake table has new columns");
            Ok(Some(*table))
        }
        Committed::Rejected(_) => Ok(None),
        // Nothing was changed, or the next try finds the columns there.
        Committed::Failed(error) | Committed::Unknown(error) => Err(about_column(error)),
    }
}

/// An error of the catalog is nobody's column.
fn about_column(error: Error) -> Error {
    match error.subject() {
        Some(Subject::Column(_)) | None => error,
        Some(_) => Error::new(error.kind(), error.to_string()),
    }
}
