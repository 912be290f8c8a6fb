//! [`GatedStorage`]: a data directory that can be held still for a moment, while it is in use.
//!
//! Every change passes a gate that all share. [`GatedStorage::snapshot`] closes it, links every file into
//! a folder of its own, and notes the lengths. A link costs a few microseconds and no space, so nobody
//! notices.
//!
//! INVARIANT: a snapshot is what a process that was killed in that moment would have left. So it is as
//! consistent as a crash, after which nothing is lost and nothing is doubled.
//!
//! The lake's catalog, a database that is changed in place and not through the gate, is copied as it is
//! between two statements. That fits: files that it names were there before, and what waits for a commit
//! is removed behind the gate, so the snapshot has it, and the table's marks say what of it counts.
//!
//! Other files that are there are only ever appended to, or take the place of another as a whole. So the first
//! bytes of a linked file, as many as it had in that moment, stay what they were, but for bytes behind
//! the last acknowledged record of a topic, which count for nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use millstream_core::Result;
use millstream_core::storage::{AppendFile, Storage};

use crate::iceberg::catalog::copy_sqlite;

use super::local::{LocalStorage, TEMPORARY_PREFIX, io_error, make_folders};

/// The lake's catalog, and what names of files begin with that belong to it.
const CATALOG: &str = "lake/catalog.db";

/// Numbers snapshots, so that two have folders of their own.
static SNAPSHOTS: AtomicU64 = AtomicU64::new(0);

/// Files below a directory, behind a gate. Clones share it.
#[derive(Debug, Clone)]
pub struct GatedStorage {
    inner: LocalStorage,
    gate: Arc<RwLock<()>>,
}

/// The files of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder in the data directory in which they are. It is for who asked to remove it; the next
    /// start removes it, too.
    pub folder: String,
    /// Their paths below it, and how many bytes of each count.
    pub files: Vec<(String, u64)>,
}

impl GatedStorage {
    /// The files of `inner`.
    pub fn new(inner: LocalStorage) -> Self {
        Self {
            inner,
            gate: Arc::default(),
        }
    }

    /// Links all files as they are now into a new folder.
    ///
    /// # Errors
    /// What the system says if a file can be neither linked nor copied.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let number = SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{TEMPORARY_PREFIX}snapshot-{}-{number}", std::process::id());
        let root = self.inner.root().join(&folder);
        let closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let files = self.link_all(&root);
        drop(closed);
        match files {
            Ok(files) => Ok(Snapshot { folder, files }),
            Err(error) => {
                // What stays is removed at the next start.
                let _ = fs::remove_dir_all(&root);
                Err(error)
            }
        }
    }

    fn link_all(&self, root: &Path) -> Result<Vec<(String, u64)>> {
        let mut paths = self.inner.list("")?;
        paths.retain(|path| path != "LOCK");
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            if path.starts_with(CATALOG) && path != CATALOG {
                // What a statement under way keeps; the copy is of a moment between statements.
                continue;
            }
            let (from, to) = (self.inner.root().join(&path), root.join(&path));
            if let Some(parent) = to.parent() {
                make_folders(parent)?;
            }
            if path == CATALOG {
                copy_sqlite(&from, &to)?;
                let length = fs::metadata(&to).map_err(|error| io_error(&to, &error))?;
                files.push((path, length.len()));
                continue;
            }
            let bytes = link(&from, &to).map_err(|error| io_error(&from, &error))?;
            files.push((path, bytes));
        }
        Ok(files)
    }

    fn open(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Links the file, or copies it where there are no links. Its length.
fn link(from: &Path, to: &PathBuf) -> std::io::Result<u64> {
    let is_link = fs::symlink_metadata(from)?.is_symlink();
    if is_link || fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(fs::metadata(to)?.len())
}

impl Storage for GatedStorage {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner.read_range(path, offset, length)
    }

    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.inner.length(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let _open = self.open();
        self.inner.put_if_absent(path, bytes)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let _open = self.open();
        self.inner.put(path, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let _open = self.open();
        self.inner.rename(from, to)
    }

    fn delete(&self, path: &str) -> Result<()> {
        let _open = self.open();
        self.inner.delete(path)
    }

    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        let _open = self.open();
        Ok(Box::new(GatedFile {
            inner: self.inner.append(path)?,
            gate: self.gate.clone(),
        }))
    }
}

struct GatedFile {
    inner: Box<dyn AppendFile>,
    gate: Arc<RwLock<()>>,
}

impl AppendFile for GatedFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.inner.append(bytes)
    }

    /// Changes no bytes, and takes long: nobody waits for it.
    fn sync(&mut self) -> Result<()> {
        self.inner.sync()
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.inner.truncate(length)
    }

    fn length(&self) -> u64 {
        self.inner.length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::DataDirectory;

    #[test]
    fn a_snapshot_is_a_moment_and_pins_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(folder.path()).unwrap();
        let storage = directory.gated_storage();
        let mut log = storage.append("a/log").unwrap();
        log.append(b"one").unwrap();
        storage.put("a/state", b"1").unwrap();
        storage.put("gone", b"x").unwrap();
        let snapshot = storage.snapshot().unwrap();
        let names: Vec<(&str, u64)> = snapshot
            .files
            .iter()
            .map(|(path, n)| (&**path, *n))
            .collect();
        assert_eq!(
            names,
            [("VERSION", 18), ("a/log", 3), ("a/state", 1), ("gone", 1)]
        );
        log.append(b"two").unwrap();
        storage.put("a/state", b"22").unwrap();
        storage.delete("gone").unwrap();
        let read = |path: &str| fs::read(folder.path().join(&snapshot.folder).join(path)).unwrap();
        assert_eq!(&read("a/log")[..3], b"one");
        assert_eq!(
            (read("a/state"), read("gone")),
            (b"1".to_vec(), b"x".to_vec())
        );
        assert_eq!(
            storage.list("").unwrap(),
            ["LOCK", "VERSION", "a/log", "a/state"],
            "it is hidden"
        );
        drop(directory);
        DataDirectory::open(folder.path()).unwrap();
        assert!(
            !folder.path().join(&snapshot.folder).exists(),
            "a start removes it"
        );
    }

    #[test]
    fn a_catalog_is_copied_as_it_is_between_statements() {
        use crate::iceberg::catalog::{Pointers, SqlPointers};
        use ::iceberg::TableIdent;

        let folder = tempfile::tempdir().unwrap();
        let storage = GatedStorage::new(LocalStorage::new(folder.path()));
        let catalog = SqlPointers::sqlite(&folder.path().join(CATALOG), "default").unwrap();
        let table = TableIdent::from_strs(["lake", "t"]).unwrap();
        catalog.swap(&table, None, "1");
        let snapshot = storage.snapshot().unwrap();
        catalog.swap(&table, Some("1"), "2");
        let copy = folder.path().join(&snapshot.folder).join(CATALOG);
        let copy = SqlPointers::sqlite(&copy, "default").unwrap();
        assert_eq!(copy.get(&table).unwrap().as_deref(), Some("1"));
        let names: Vec<&str> = snapshot.files.iter().map(|(path, _)| &**path).collect();
        assert_eq!(names, [CATALOG]);
    }

    #[test]
    fn changes_wait_while_the_gate_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = GatedStorage::new(LocalStorage::new(folder.path()));
        let mut file = storage.append("file").unwrap();
        file.append(b"x").unwrap();
        let closed = storage.gate.write().unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| file.append(b"y").unwrap());
            let deleter = scope.spawn(|| storage.delete("file").unwrap());
            // Reading does not wait.
            assert_eq!(storage.read("file").unwrap(), b"x");
            drop(closed);
            writer.join().unwrap();
            deleter.join().unwrap();
        });
        assert_eq!(storage.length("file").unwrap(), None);
    }
}
