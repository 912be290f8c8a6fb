//! [`StoredPointers`]: pointers as numbered files, for processes without a database: programs that use
//! the library on a storage of their own, tests, simulations.
//!
//! `<folder><namespace>.<table>/<20 digits>` holds the path of the metadata file of that version; the
//! newest is the table's. A swap is put-if-absent of the next.

use std::sync::Arc;

use iceberg::{NamespaceIdent, TableIdent};
use millstream_core::storage::Storage;
use millstream_core::{Error, ErrorKind, Result};

use super::pointer::{Pointers, Swapped};

/// Versions that are kept behind the newest one: whoever has just read one still finds it.
const KEPT: u64 = 3;

/// Pointers in a storage.
pub struct StoredPointers {
    storage: Arc<dyn Storage>,
    folder: String,
}

impl StoredPointers {
    /// Pointers below `folder`, which ends in `/`.
    pub fn new(storage: Arc<dyn Storage>, folder: &str) -> Self {
        Self {
            storage,
            folder: folder.to_owned(),
        }
    }

    fn table_folder(&self, table: &TableIdent) -> String {
        let namespace = table.namespace().as_ref().join(".");
        format!("{}{namespace}/{}/", self.folder, table.name())
    }

    fn newest(&self, table: &TableIdent) -> Result<Option<(u64, String)>> {
        let folder = self.table_folder(table);
        let Some(path) = self.storage.list(&folder)?.pop() else {
            return Ok(None);
        };
        let wrong = || Error::corrupt(format!("`{path}`: expected a number and a path"));
        let number = path[folder.len()..].parse().map_err(|_| wrong())?;
        let location = String::from_utf8(self.storage.read(&path)?).map_err(|_| wrong())?;
        Ok(Some((number, location)))
    }
}

impl Pointers for StoredPointers {
    fn get(&self, table: &TableIdent) -> Result<Option<String>> {
        Ok(self.newest(table)?.map(|(_, location)| location))
    }

    fn swap(&self, table: &TableIdent, from: Option<&str>, to: &str) -> Swapped {
        let newest = match self.newest(table) {
            Ok(newest) => newest,
            Err(error) => return Swapped::Failed(error),
        };
        if newest.as_ref().map(|(_, location)| location.as_str()) != from {
            return Swapped::Rejected;
        }
        let number = newest.map_or(0, |(number, _)| number + 1);
        let folder = self.table_folder(table);
        let path = format!("{folder}{number:020}");
        match self.storage.put_if_absent(&path, to.as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => return Swapped::Rejected,
            Err(error) => return Swapped::Unknown(error),
        }
        if let Some(old) = number.checked_sub(KEPT + 1) {
            // Best effort: one that stays is one small file too many.
            let _ = self.storage.delete(&format!("{folder}{old:020}"));
        }
        Swapped::Done
    }

    fn list(&self) -> Result<Vec<TableIdent>> {
        let mut found = vec![];
        for path in self.storage.list(&self.folder)? {
            let mut parts = path[self.folder.len()..].split('/');
            let (Some(namespace), Some(table)) = (parts.next(), parts.next()) else {
                continue;
            };
            let namespace = namespace.split('.').map(str::to_owned).collect();
            if let Ok(namespace) = NamespaceIdent::from_vec(namespace) {
                found.push(TableIdent::new(namespace, table.to_owned()));
            }
        }
        found.dedup();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::memory::MemoryStorage;

    use super::*;

    #[test]
    fn a_swap_wants_what_is_there() {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let pointers = StoredPointers::new(storage.clone(), "lake/pointers/");
        let table = TableIdent::from_strs(["lake", "t"]).unwrap();
        let swap = |from: Option<&str>, to: &str| match pointers.swap(&table, from, to) {
            Swapped::Done => true,
            Swapped::Rejected => false,
            other => panic!("{other:?}"),
        };
        assert!(!swap(Some("a"), "b"));
        assert!(swap(None, "0"));
        assert!(!swap(None, "1"));
        for version in 0..10 {
            let (from, to) = (version.to_string(), (version + 1).to_string());
            assert!(swap(Some(&from), &to));
        }
        assert_eq!(pointers.get(&table).unwrap().as_deref(), Some("10"));
        assert_eq!(pointers.list().unwrap(), std::slice::from_ref(&table));
        assert_eq!(storage.list("lake/").unwrap().len(), 4, "old ones go");
    }
}
