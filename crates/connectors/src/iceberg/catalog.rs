//! Which metadata file is a table's current one.
//!
//! A catalog of the pointer kind ([`PointerCatalog`] over a [`Pointers`]: memory, SQLite, PostgreSQL)
//! stores that path and swaps it; a REST catalog takes requirements and updates and writes the file
//! itself. Both take a commit as the same list of updates.

mod memory;
mod moment;
mod pointer;
mod rest;
mod sql;
mod stored;

pub use memory::MemoryPointers;
pub use pointer::{PointerCatalog, Pointers, Swapped};
pub use rest::{RestCatalog, RestSettings};
pub use sql::SqlPointers;
pub(crate) use sql::copy_sqlite;
pub use stored::StoredPointers;

use iceberg::table::Table;
use iceberg::{TableCreation, TableIdent, TableRequirement, TableUpdate};
use millstream_core::{Error, Result};

/// The tables of a lake.
pub trait Catalog: Send + Sync {
    /// The table as it is now; `None` if it is not there.
    fn load(&self, table: &TableIdent) -> Result<Option<Table>>;

    /// Makes a table and, if need be, its namespace. `Conflict` if it exists.
    fn create(&self, table: &TableIdent, creation: TableCreation) -> Result<Table>;

    /// Changes `base` if `requirements` hold of what the catalog has now, all updates or none.
    fn commit(
        &self,
        base: &Table,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Committed;

    /// All tables, sorted by name.
    fn list(&self) -> Result<Vec<TableIdent>>;
}

/// What came of a commit.
#[derive(Debug)]
pub enum Committed {
    /// It is the table's current state, which this is.
    Done(Box<Table>),
    /// It is proven that nothing was changed: somebody else was first.
    Rejected(Error),
    /// It is proven that nothing was changed, and not because of others: the catalog or the storage
    /// could not do it.
    Failed(Error),
    /// Nobody knows: the table has to be loaded and searched before anything else is done.
    Unknown(Error),
}
