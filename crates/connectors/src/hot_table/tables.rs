//! All hot tables of a data directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use millstream_core::storage::Storage;
use millstream_core::{Error, EventTime, Result};

use super::name::TableName;
use super::table::{HotTable, TableDefinition};
use super::version::read_newest;

/// Bytes of rows that a table keeps in memory.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// The tables of a data directory.
pub struct HotTables {
    storage: Arc<dyn Storage>,
    tables: RwLock<BTreeMap<TableName, Arc<HotTable>>>,
    cache_bytes_max: usize,
}

impl HotTables {
    /// Opens all tables of `storage`, changing nothing. `Corrupt` if a table's newest version or
    /// the keys of one of its parts are damaged.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Arc<Self>> {
        Self::open_with_cache(storage, CACHE_BYTES_MAX)
    }

    /// The same with another number of bytes of rows that each table keeps in memory.
    pub fn open_with_cache(storage: Arc<dyn Storage>, cache_bytes_max: usize) -> Result<Arc<Self>> {
        let mut tables = BTreeMap::new();
        let paths = storage.list("tables/")?;
        let folder = |path: &String| {
            let end = path.find("/versions/").or_else(|| path.find("/parts/"))?;
            Some(path[..=end].to_owned())
        };
        let folders: BTreeSet<String> = paths.iter().filter_map(folder).collect();
        for folder in folders {
            let Some((number, version)) = read_newest(storage.as_ref(), &folder)? else {
                let message = format!(
                    "`{folder}versions/` has no version, expected one, as the table has rows in \
                     `{folder}parts/`"
                );
                return Err(Error::corrupt(message));
            };
            let table = HotTable::open(&storage, number, version, cache_bytes_max)?;
            if table.folder != folder {
                let (name, expected) = (table.name(), &table.folder);
                let message =
                    format!("`{folder}` has a version of table `{name}`, expected `{expected}`");
                return Err(Error::corrupt(message));
            }
            tables.insert(table.name().clone(), Arc::new(table));
        }
        Ok(Arc::new(Self {
            storage,
            tables: RwLock::new(tables),
            cache_bytes_max,
        }))
    }

    /// The table, if it is there.
    pub fn table(&self, database: &str, name: &str) -> Option<Arc<HotTable>> {
        let tables = self.read();
        let found = tables
            .iter()
            .find(|(key, _)| key.database == database && key.table == name);
        found.map(|(_, table)| table.clone())
    }

    /// The tables' names, sorted by database and name.
    pub fn names(&self) -> Vec<TableName> {
        self.read().keys().cloned().collect()
    }

    /// All tables, sorted by database and name.
    pub fn all(&self) -> Vec<Arc<HotTable>> {
        self.read().values().cloned().collect()
    }

    /// The table of `definition`, which is made if it is not there. If it is, columns may be added
    /// at its end and retention may change; `InvalidInput` if anything else differs.
    pub fn create(&self, definition: &TableDefinition) -> Result<Arc<HotTable>> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(&definition.name) {
            table.adopt(definition)?;
            return Ok(table.clone());
        }
        let table = HotTable::create(&self.storage, definition, self.cache_bytes_max)?;
        let table = Arc::new(table);
        tables.insert(definition.name.clone(), table.clone());
        Ok(table)
    }

    /// One step of upkeep for each table: whether there was something to do. A table that fails
    /// does not keep the others from it; the first error is returned.
    pub fn maintain(&self, now: EventTime) -> Result<bool> {
        let mut changed = Ok(false);
        for table in self.all() {
            match (table.maintain(now), &mut changed) {
                (Ok(step), Ok(changed)) => *changed |= step,
                (Err(error), Ok(_)) => {
                    changed = Err(error.context(format!("table `{}`", table.name())));
                }
                (_, Err(_)) => {}
            }
        }
        changed
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TableName, Arc<HotTable>>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}
