//! [`PointerCatalog`]: a catalog that is a map from tables to paths of metadata files, with
//! compare-and-swap. The metadata file is written first, under a name of its own; the swap decides.

use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use iceberg::table::Table;
use iceberg::{MetadataLocation, TableCreation, TableIdent, TableRequirement, TableUpdate};
use millstream_core::env::Env;
use millstream_core::{Error, ErrorKind, Result};
use std::str::FromStr;

use super::{Catalog, Committed, moment};
use crate::iceberg::blocking::{block_on, table_runtime};
use crate::iceberg::error::from_iceberg;

/// The path of each table's current metadata file.
pub trait Pointers: Send + Sync {
    /// The path, or `None` if there is no such table.
    fn get(&self, table: &TableIdent) -> Result<Option<String>>;

    /// Sets the path to `to` if it is `from` now; `from` = `None`: if there is no such table.
    fn swap(&self, table: &TableIdent, from: Option<&str>, to: &str) -> Swapped;

    /// All tables, sorted by name.
    fn list(&self) -> Result<Vec<TableIdent>>;
}

/// What came of a swap.
#[derive(Debug)]
pub enum Swapped {
    /// The path is set.
    Done,
    /// It was another one: nothing changed.
    Rejected,
    /// Nothing changed: the catalog could not be asked.
    Failed(Error),
    /// No answer came: it may be set or not.
    Unknown(Error),
}

/// A catalog over `Pointers`, with its files in one warehouse.
pub struct PointerCatalog {
    pointers: Arc<dyn Pointers>,
    files: FileIO,
    /// `file:///…` or `s3://…`, without a slash at the end.
    warehouse: String,
    env: Arc<dyn Env>,
}

impl PointerCatalog {
    /// A catalog whose tables are at `<warehouse>/<namespace>/<table>` unless they say otherwise.
    pub fn new(
        pointers: Arc<dyn Pointers>,
        files: FileIO,
        warehouse: impl Into<String>,
        env: Arc<dyn Env>,
    ) -> Self {
        Self {
            pointers,
            files,
            warehouse: warehouse.into().trim_end_matches('/').to_owned(),
            env,
        }
    }

    fn table(&self, ident: &TableIdent, location: &str, metadata: TableMetadata) -> Result<Table> {
        let table = Table::builder()
            .file_io(self.files.clone())
            .identifier(ident.clone())
            .metadata_location(location)
            .metadata(metadata)
            .runtime(table_runtime())
            .build();
        table.map_err(from_iceberg)
    }

    fn new_uuid(&self) -> uuid::Uuid {
        let bits = (u128::from(self.env.random()) << 64) | u128::from(self.env.random());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    /// A path for the `version`th metadata file that nobody else has.
    fn metadata_path(&self, table_location: &str, version: i32) -> Result<MetadataLocation> {
        let id = self.new_uuid();
        let path = format!("{table_location}/metadata/{version:05}-{id}.metadata.json");
        MetadataLocation::from_str(&path).map_err(from_iceberg)
    }

    fn write(&self, path: &MetadataLocation, metadata: &TableMetadata) -> Result<()> {
        block_on(metadata.write_to(&self.files, path)).map_err(from_iceberg)
    }

    fn applied(&self, base: &Table, updates: Vec<TableUpdate>) -> iceberg::Result<TableMetadata> {
        let location = base.metadata_location_result()?.to_owned();
        moment::applied(base.metadata(), location, updates, self.env.now_ms())
    }

    /// Swaps to what is written at `path`. Files of a proven rejection are removed.
    fn swap(&self, table: &TableIdent, from: Option<&str>, next: Next) -> Committed {
        let path = next.path.to_string();
        let undone = |error| {
            // Best effort: nothing refers to it.
            let _ = block_on(self.files.delete(&path));
            error
        };
        match self.pointers.swap(table, from, &path) {
            Swapped::Done => match self.table(table, &path, next.metadata) {
                Ok(table) => Committed::Done(Box::new(table)),
                Err(error) => Committed::Unknown(error),
            },
            Swapped::Rejected => Committed::Rejected(undone(changed(table))),
            Swapped::Failed(error) => Committed::Failed(undone(error)),
            Swapped::Unknown(error) => Committed::Unknown(error),
        }
    }
}

/// A metadata file that is written.
struct Next {
    path: MetadataLocation,
    metadata: TableMetadata,
}

impl Catalog for PointerCatalog {
    fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        let Some(location) = self.pointers.get(ident)? else {
            return Ok(None);
        };
        let metadata = block_on(TableMetadata::read_from(&self.files, &location));
        let metadata = metadata.map_err(|error| {
            from_iceberg(error).context(format!("table `{ident}`: metadata file `{location}`"))
        })?;
        self.table(ident, &location, metadata).map(Some)
    }

    fn create(&self, ident: &TableIdent, mut creation: TableCreation) -> Result<Table> {
        let location = creation.location.get_or_insert_with(|| {
            let namespace = ident.namespace().to_url_string();
            format!("{}/{namespace}/{}", self.warehouse, ident.name())
        });
        let path = self.metadata_path(location, 0)?;
        let built = TableMetadataBuilder::from_table_creation(creation);
        let metadata = built.and_then(|builder| {
            moment::created(builder.assign_uuid(self.new_uuid()), self.env.now_ms())
        });
        let metadata = metadata.map_err(from_iceberg)?;
        self.write(&path, &metadata)?;
        match self.swap(ident, None, Next { path, metadata }) {
            Committed::Done(table) => Ok(*table),
            Committed::Rejected(error) | Committed::Failed(error) | Committed::Unknown(error) => {
                Err(error)
            }
        }
    }

    fn commit(
        &self,
        base: &Table,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Committed {
        let ident = base.identifier();
        for requirement in &requirements {
            if let Err(error) = requirement.check(Some(base.metadata())) {
                return Committed::Rejected(from_iceberg(error));
            }
        }
        let written = || -> Result<(String, Next)> {
            let metadata = self.applied(base, updates).map_err(from_iceberg)?;
            let from = base.metadata_location_result().map_err(from_iceberg)?;
            let path = self.metadata_path(metadata.location(), next_version(from))?;
            self.write(&path, &metadata)?;
            Ok((from.to_owned(), Next { path, metadata }))
        };
        match written() {
            Ok((from, next)) => self.swap(ident, Some(&from), next),
            Err(error) => Committed::Failed(error),
        }
    }

    fn list(&self) -> Result<Vec<TableIdent>> {
        self.pointers.list()
    }
}

fn changed(table: &TableIdent) -> Error {
    let message = format!("table `{table}` was changed by somebody else");
    Error::new(ErrorKind::Conflict, message)
}

/// The number before the first `-` of a metadata file's name, and one.
fn next_version(path: &str) -> i32 {
    let name = path.rsplit('/').next().unwrap_or(path);
    let number = name
        .split('-')
        .next()
        .and_then(|number| number.parse().ok());
    number.unwrap_or(0) + 1
}
