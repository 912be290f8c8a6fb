//! A [`Storage`] in memory that can crash: what was not synced is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, ErrorKind, Result};
use crate::storage::{AppendFile, Storage};

/// Files in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    files: Arc<Mutex<BTreeMap<String, File>>>,
}

#[derive(Debug, Clone, Default)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
}

impl MemoryStorage {
    /// What a power failure leaves: every file cut to what was synced.
    pub fn crash(&self) {
        let mut files = self.files();
        for file in files.values_mut() {
            file.bytes.truncate(file.synced);
        }
        files.retain(|_, file| file.synced > 0);
    }

    /// A copy with files of its own.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self {
            files: Arc::new(Mutex::new(self.files().clone())),
        }
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.files.lock().expect("no panic while locked")
    }

    fn with_file<T>(&self, path: &str, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self.files().get(path) {
            Some(file) => Ok(read(&file.bytes)),
            None => Err(Error::invalid(format!("`{path}`: no such file"))),
        }
    }
}

impl Storage for MemoryStorage {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.with_file(path, <[u8]>::to_vec)
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.with_file(path, |bytes| {
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let end = start.saturating_add(length).min(bytes.len());
            bytes[start..end].to_vec()
        })
    }

    fn length(&self, path: &str) -> Result<Option<u64>> {
        Ok(self.files().get(path).map(|file| file.bytes.len() as u64))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let files = self.files();
        let names = files.keys().filter(|name| name.starts_with(prefix));
        Ok(names.cloned().collect())
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        if self.files().contains_key(path) {
            let message = format!("`{path}` exists already");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.put(path, bytes)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let file = File {
            bytes: bytes.to_vec(),
            synced: bytes.len(),
        };
        self.files().insert(path.to_owned(), file);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut files = self.files();
        match files.remove(from) {
            Some(file) => {
                files.insert(to.to_owned(), file);
                Ok(())
            }
            None => Err(Error::invalid(format!("`{from}`: no such file"))),
        }
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.files().remove(path);
        Ok(())
    }

    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        self.files().entry(path.to_owned()).or_default();
        Ok(Box::new(MemoryFile {
            storage: self.clone(),
            path: path.to_owned(),
        }))
    }
}

struct MemoryFile {
    storage: MemoryStorage,
    path: String,
}

impl MemoryFile {
    fn with<T>(&self, change: impl FnOnce(&mut File) -> T) -> T {
        change(self.storage.files().entry(self.path.clone()).or_default())
    }
}

impl AppendFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.with(|file| file.bytes.extend_from_slice(bytes));
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.with(|file| file.synced = file.bytes.len());
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        self.with(|file| {
            file.bytes
                .truncate(usize::try_from(length).unwrap_or(usize::MAX));
            file.synced = file.synced.min(file.bytes.len());
        });
        Ok(())
    }

    fn length(&self) -> u64 {
        self.with(|file| file.bytes.len() as u64)
    }
}
