//! [`StoredPointers`]: pointers as numbered files, for processes without a database: programs that use
//! the library on a storage of their own, tests, simulations.
//!
//! `<folder><namespace>/<table>/<20 digits>` holds the path of the metadata file of that version, behind
//! the CRC-32 of it in 8 hexadecimal digits; the newest is the table's. A swap is put-if-absent of the next.

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
        let wrong = |what: &str| Error::corrupt(format!("`{path}`: {what}"));
        let number = path[folder.len()..].parse();
        let number = number.map_err(|_| wrong("expected a number as its name"))?;
        let bytes = self.storage.read(&path)?;
        let text = String::from_utf8(bytes).unwrap_or_default();
        match text.split_once(' ') {
            Some((crc, location)) if crc == checksum(location) => {
                Ok(Some((number, location.to_owned())))
            }
            _ => Err(wrong("expected a checksum and a path")),
        }
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
        let text = format!("{} {to}", checksum(to));
        match self.storage.put_if_absent(&path, text.as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => return Swapped::Rejected,
            Err(error) => return Swapped::Unknown(error),
        }
        // Whoever looked so long ago that the next number was used and removed since has changed nothing.
        match self.newest(table) {
            Ok(Some((newest, _))) if newest == number => {}
            Ok(_) => {
                let message = format!("table `{table}` was changed by others meanwhile");
                return Swapped::Unknown(Error::unavailable(message));
            }
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

fn checksum(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
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

    #[test]
    fn a_damaged_pointer_is_named() {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let pointers = StoredPointers::new(storage.clone(), "lake/pointers/");
        let table = TableIdent::from_strs(["lake", "t"]).unwrap();
        assert!(matches!(pointers.swap(&table, None, "a"), Swapped::Done));
        let path = storage.list("lake/").unwrap().remove(0);
        let text = String::from_utf8(storage.read(&path).unwrap()).unwrap();
        storage
            .put(&path, text.replace('a', "b").as_bytes())
            .unwrap();
        let error = pointers.get(&table).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&path), "{error}");
    }
}
