//! [`LocalStorage`]: files below a directory, with `std::fs`.
//!
//! A new file is written under a temporary name in the folder it is going to be in, synced, then
//! linked or renamed to its name, and the folder synced: after a crash it is whole or absent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result};

/// What names of temporary files begin with.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Numbers temporary files, so that threads do not write the same one.
static TEMPORARY_FILES: AtomicU64 = AtomicU64::new(0);

/// A [`Storage`] on a directory of the machine. Errors show full paths. Clones are the same
/// directory.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: PathBuf,
}

impl LocalStorage {
    /// Files below `root`, which is made when the first file is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn full(&self, path: &str) -> PathBuf {
        debug_assert!(
            !path.starts_with('/') && path.split('/').all(|part| part != ".."),
            "`{path}` stays below the root"
        );
        self.root.join(path)
    }

    /// Writes and syncs a temporary file next to `path`, then lets `publish` give it its name.
    fn write_whole(
        &self,
        path: &str,
        bytes: &[u8],
        publish: impl FnOnce(&Path, &Path) -> io::Result<()>,
    ) -> Result<()> {
        let target = self.full(path);
        let folder = parent(&target);
        make_folders(folder)?;
        let number = TEMPORARY_FILES.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let temporary = folder.join(format!("{TEMPORARY_PREFIX}{process}-{number}"));
        let written = write_synced(&temporary, bytes).and_then(|()| publish(&temporary, &target));
        // CRASH: a temporary file that stays is not listed, and goes when the directory is opened.
        let removed = match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        written.and(removed).map_err(|e| write_error(&target, &e))?;
        sync_folder(folder)
    }
}

impl Storage for LocalStorage {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.full(path);
        fs::read(&path).map_err(|e| io_error(&path, &e))
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let path = self.full(path);
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::with_capacity(length);
            file.take(length as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|e| io_error(&path, &e))
    }

    fn length(&self, path: &str) -> Result<Option<u64>> {
        let path = self.full(path);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(&path, &error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let (folder, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let mut found = Vec::new();
        self.walk(folder, name, &mut found)?;
        found.sort_unstable();
        Ok(found)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        // A hard link fails if the name is taken; a rename would replace it.
        self.write_whole(path, bytes, |temporary, target| {
            fs::hard_link(temporary, target)
        })
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write_whole(path, bytes, |temporary, target| {
            fs::rename(temporary, target)
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.full(from), self.full(to));
        make_folders(parent(&to))?;
        fs::rename(&from, &to).map_err(|e| write_error(&from, &e))?;
        sync_folder(parent(&to))?;
        if parent(&from) != parent(&to) {
            sync_folder(parent(&from))?;
        }
        Ok(())
    }

    fn delete(&self, path: &str) -> Result<()> {
        let path = self.full(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(write_error(&path, &error))
            }
            _ => Ok(()),
        }
    }

    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        let path = self.full(path);
        make_folders(parent(&path))?;
        let open = || -> io::Result<(File, u64, bool)> {
            let mut options = OpenOptions::new();
            options.append(true);
            let (file, is_new) = match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    (options.create(true).open(&path)?, true)
                }
                other => (other?, false),
            };
            let length = file.metadata()?.len();
            Ok((file, length, is_new))
        };
        let (file, length, is_new) = open().map_err(|e| write_error(&path, &e))?;
        // CRASH: a process that died between creating and syncing has left an empty file whose
        // name may not be durable yet, so an empty file counts as new.
        let is_folder_synced = !is_new && length > 0;
        Ok(Box::new(LocalFile {
            path,
            file,
            length,
            is_folder_synced,
        }))
    }
}

impl LocalStorage {
    /// Adds the files below `folder` whose first name begins with `name`.
    fn walk(&self, folder: &str, name: &str, found: &mut Vec<String>) -> Result<()> {
        let full = self.full(folder);
        let entries = match fs::read_dir(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|e| io_error(&full, &e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| io_error(&full, &e))?;
            let file_name = entry.file_name();
            // Names that are not UTF-8 are not ours.
            let Some(file_name) = file_name.to_str() else {
                continue;
            };
            if !file_name.starts_with(name) || file_name.starts_with(TEMPORARY_PREFIX) {
                continue;
            }
            let separator = if folder.is_empty() { "" } else { "/" };
            let path = format!("{folder}{separator}{file_name}");
            // Follows links: a linked file or folder is as good as any.
            match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_dir() => self.walk(&path, "", found)?,
                Ok(metadata) if metadata.is_file() => found.push(path),
                Ok(_) => {}
                // Deleted meanwhile, or a dangling link.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(&entry.path(), &error)),
            }
        }
        Ok(())
    }
}

struct LocalFile {
    path: PathBuf,
    file: File,
    length: u64,
    is_folder_synced: bool,
}

impl AppendFile for LocalFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Part of it may have been written.
            self.length = self
                .file
                .metadata()
                .map_or(self.length, |metadata| metadata.len());
            return Err(write_error(&self.path, &error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|e| write_error(&self.path, &e))?;
        if !self.is_folder_synced {
            sync_folder(parent(&self.path))?;
            self.is_folder_synced = true;
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        self.file
            .set_len(length)
            .map_err(|e| write_error(&self.path, &e))?;
        self.length = length;
        Ok(())
    }

    fn length(&self) -> u64 {
        self.length
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes `folder` and those above it, each durable in the one that holds it.
pub(super) fn make_folders(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    make_folders(parent(folder))?;
    match fs::create_dir(folder) {
        // Another thread may have been faster.
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(write_error(folder, &error)),
        Ok(()) => sync_folder(parent(folder)),
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| io_error(folder, &e))
}

/// The folder of `path`; empty for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Of a write: what may not be written now can be allowed again, like a file system that an error has
/// made read-only.
fn write_error(path: &Path, error: &io::Error) -> Error {
    let is_forbidden = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    );
    match is_forbidden {
        true => Error::unavailable(format!("`{}`: {error}", path.display())),
        false => io_error(path, error),
    }
}

pub(super) fn io_error(path: &Path, error: &io::Error) -> Error {
    Error::io(&path.display().to_string(), error)
}

#[cfg(test)]
mod tests {
    use millstream_core::ErrorKind;

    use super::*;

    fn storage() -> (tempfile::TempDir, LocalStorage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = LocalStorage::new(folder.path().join("root"));
        (folder, storage)
    }

    fn all_files(storage: &LocalStorage) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(storage.root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn put_if_absent_keeps_the_first_and_leaves_no_temporary_file() {
        let (_folder, storage) = storage();
        storage.put_if_absent("a", b"one").unwrap();
        let error = storage.put_if_absent("a", b"two").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(storage.read("a").unwrap(), b"one");
        assert_eq!(all_files(&storage), ["a"]);
    }

    #[test]
    fn only_one_of_many_threads_puts() {
        let (_folder, storage) = storage();
        let put = |text: String| storage.put_if_absent("m/1", text.as_bytes()).is_ok();
        let put = &put;
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|i| scope.spawn(move || put(format!("owner {i}"))))
                .collect();
            threads
                .into_iter()
                .map(|thread| usize::from(thread.join().unwrap()))
                .sum()
        });
        assert_eq!(winners, 1);
        assert!(storage.read("m/1").unwrap().starts_with(b"owner "));
    }

    #[test]
    fn put_replaces_and_makes_folders() {
        let (_folder, storage) = storage();
        storage.put("x/y/z", b"one").unwrap();
        storage.put("x/y/z", b"three").unwrap();
        assert_eq!(storage.read("x/y/z").unwrap(), b"three");
        assert_eq!(storage.length("x/y/z").unwrap(), Some(5));
        assert_eq!(storage.length("x/y").unwrap(), None, "a folder is no file");
        assert_eq!(storage.length("x/no").unwrap(), None);
    }

    #[test]
    fn reads_ranges_up_to_the_end() {
        let (_folder, storage) = storage();
        storage.put("f", b"0123456789").unwrap();
        assert_eq!(storage.read_range("f", 3, 4).unwrap(), b"3456");
        assert_eq!(storage.read_range("f", 8, 4).unwrap(), b"89");
        assert_eq!(storage.read_range("f", 20, 4).unwrap(), b"");
    }

    #[test]
    fn a_missing_file_is_invalid_input_with_its_full_path() {
        let (_folder, storage) = storage();
        for error in [
            storage.read("no/f").unwrap_err(),
            storage.read_range("no/f", 0, 1).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let path = storage.root().join("no/f").display().to_string();
            assert!(error.to_string().contains(&path), "{error}");
        }
        storage.delete("no/f").unwrap();
        assert_eq!(
            storage.rename("no/f", "g").unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }

    #[test]
    fn lists_by_prefix_sorted_without_temporary_files() {
        let (_folder, storage) = storage();
        for path in ["b/2", "b/10", "b/c/3", "bb/4", "a", ".tmp-1"] {
            storage.put(path, b"x").unwrap();
        }
        let list = |prefix| storage.list(prefix).unwrap();
        assert_eq!(list(""), ["a", "b/10", "b/2", "b/c/3", "bb/4"]);
        assert_eq!(list("b"), ["b/10", "b/2", "b/c/3", "bb/4"]);
        assert_eq!(list("b/"), ["b/10", "b/2", "b/c/3"]);
        assert_eq!(list("b/c"), ["b/c/3"]);
        assert_eq!(list("nothing/here"), [""; 0]);
    }

    #[test]
    fn renames_into_another_folder() {
        let (_folder, storage) = storage();
        storage.put("staging/1", b"new").unwrap();
        storage.put("final/1", b"old").unwrap();
        storage.rename("staging/1", "final/1").unwrap();
        assert_eq!(storage.list("").unwrap(), ["final/1"]);
        assert_eq!(storage.read("final/1").unwrap(), b"new");
    }

    #[test]
    fn appends_truncates_and_reopens() {
        let (_folder, storage) = storage();
        let mut file = storage.append("log/0").unwrap();
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        file.sync().unwrap();
        assert_eq!(file.length(), 11);
        file.truncate(6).unwrap();
        file.append(b"you").unwrap();
        drop(file);
        let mut file = storage.append("log/0").unwrap();
        assert_eq!(file.length(), 9);
        file.append(b"!").unwrap();
        file.sync().unwrap();
        assert_eq!(storage.read("log/0").unwrap(), b"hello you!");
    }

    #[test]
    fn deletes() {
        let (_folder, storage) = storage();
        storage.put("a/b", b"x").unwrap();
        storage.delete("a/b").unwrap();
        assert_eq!(storage.list("").unwrap(), [""; 0]);
    }

    #[test]
    fn what_may_not_be_written_now_may_be_later() {
        let path = Path::new("/data/x");
        for code in [1, 13, 30] {
            // EPERM, EACCES, EROFS.
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(write_error(path, &error).kind(), ErrorKind::Unavailable);
            assert_eq!(io_error(path, &error).kind(), ErrorKind::InvalidInput);
        }
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(write_error(path, &full).kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn a_full_device_is_told_apart() {
        let mut options = OpenOptions::new();
        let Ok(file) = options.write(true).open("/dev/full") else {
            return;
        };
        let mut file = LocalFile {
            path: "/dev/full".into(),
            file,
            length: 0,
            is_folder_synced: true,
        };
        assert_eq!(
            file.append(b"x").unwrap_err().kind(),
            ErrorKind::StorageFull
        );
    }
}
