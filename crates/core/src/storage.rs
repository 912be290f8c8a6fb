//! Files as Millstream needs them. Paths are relative, `/`-separated, within one data directory or
//! bucket prefix. The real one is a directory; tests and simulations use
//! [`MemoryStorage`](crate::memory::MemoryStorage).

use crate::error::Result;

/// A place for files.
///
/// ```
/// use millstream_core::memory::MemoryStorage;
/// use millstream_core::storage::Storage;
/// use millstream_core::ErrorKind;
///
/// let storage = MemoryStorage::default();
/// storage.put_if_absent("manifests/1", b"one").unwrap();
/// let second = storage.put_if_absent("manifests/1", b"other").unwrap_err();
/// assert_eq!(second.kind(), ErrorKind::Conflict);
/// assert_eq!(storage.read("manifests/1").unwrap(), b"one");
/// ```
pub trait Storage: Send + Sync {
    /// The whole file. A file that is not there is `InvalidInput`.
    fn read(&self, path: &str) -> Result<Vec<u8>>;

    /// Up to `length` bytes from `offset`; fewer at the end of the file.
    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>>;

    /// The file's length, or `None` if it is not there.
    fn length(&self, path: &str) -> Result<Option<u64>>;

    /// Names of all files whose path begins with `prefix`, sorted, as full paths.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Writes a new file durably and atomically: after a crash it is whole or absent. `Conflict`
    /// if it exists.
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()>;

    /// Writes a file durably and atomically, replacing what was there.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()>;

    /// Renames a file atomically and durably, replacing `to`.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Deletes a file; one that is not there is fine.
    fn delete(&self, path: &str) -> Result<()>;

    /// Opens for appending, making it (and its folders) if it is not there.
    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>>;
}

/// A file open for appending. What was appended may be lost in a crash until `sync` returns.
pub trait AppendFile: Send {
    /// Appends all of `bytes`. After an error the file may end in a part of them.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes everything appended so far durable. After an error nothing is known: reopen.
    fn sync(&mut self) -> Result<()>;

    /// Cuts the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> Result<()>;

    /// Length in bytes, unsynced ones included.
    fn length(&self) -> u64;
}
