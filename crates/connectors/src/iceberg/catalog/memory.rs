//! [`MemoryPointers`]: for tests and simulations.

use std::collections::BTreeMap;
use std::sync::Mutex;

use iceberg::TableIdent;
use millstream_core::Result;

use super::pointer::{Pointers, Swapped};

/// Pointers that end with the process.
#[derive(Debug, Default)]
pub struct MemoryPointers {
    tables: Mutex<BTreeMap<String, (TableIdent, String)>>,
}

impl Pointers for MemoryPointers {
    fn get(&self, table: &TableIdent) -> Result<Option<String>> {
        let tables = self.tables.lock().expect("no holder panics");
        let found = tables.get(&table.to_string());
        Ok(found.map(|(_, location)| location.clone()))
    }

    fn swap(&self, table: &TableIdent, from: Option<&str>, to: &str) -> Swapped {
        let mut tables = self.tables.lock().expect("no holder panics");
        let key = table.to_string();
        let found = tables.get(&key).map(|(_, location)| location.as_str());
        if found != from {
            return Swapped::Rejected;
        }
        tables.insert(key, (table.clone(), to.to_owned()));
        Swapped::Done
    }

    fn list(&self) -> Result<Vec<TableIdent>> {
        let tables = self.tables.lock().expect("no holder panics");
        Ok(tables.values().map(|(table, _)| table.clone()).collect())
    }
}
