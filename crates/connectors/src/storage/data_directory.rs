//! [`DataDirectory`]: the directory that a process owns.
//!
//! ```text
//! <dir>/LOCK      locked by its owner as long as that lives: `pid 123`, then `url http://…`
//! <dir>/VERSION   `millstream data 1`
//! ```
//!
//! Flow of [`DataDirectory::open`]: make the directory, lock it, compare versions, try to write,
//! remove temporary files that a crash has left. The lock is the operating system's, so it ends
//! with the process, however that ends. Owners lock exclusively, readers share.
//!
//! INVARIANT: the text of `LOCK` counts only while somebody holds the lock exclusively; after a
//! crash it is stale.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use millstream_core::storage::Storage;
use millstream_core::{Error, ErrorKind, Result};

use super::gate::GatedStorage;
use super::local::{LocalStorage, TEMPORARY_PREFIX, io_error, make_folders};

const LOCK: &str = "LOCK";
const VERSION: &str = "VERSION";
const VERSION_TEXT: &str = "millstream data ";
const VERSION_NUMBER: u32 = 1;

/// A data directory that this process owns, or reads while nobody owns it, until dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    lock: File,
    is_owner: bool,
}

impl DataDirectory {
    /// Makes the directory if it is not there, and locks it for this process alone. `InvalidInput`
    /// if another process has it, if it is a file, read-only or of a newer version; `StorageFull`
    /// if nothing can be written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(named(&path, "is a file, expected a directory"));
        }
        make_folders(&path)
            .map_err(|e| Error::invalid(format!("cannot make the data directory: {e}")))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = options
            .open(path.join(LOCK))
            .map_err(|e| not_writable(&path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path)),
            Err(TryLockError::Error(error)) => return Err(io_error(&path.join(LOCK), &error)),
        }
        let directory = Self {
            path,
            lock,
            is_owner: true,
        };
        directory.write_lock(None)?;
        directory.claim_version()?;
        remove_temporary_files(&directory.path)?;
        Ok(directory)
    }

    /// Shares the directory with other readers as long as nobody owns it. Changes no data.
    /// `InvalidInput` if a process owns it, or if it is no data directory of this version.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<Self> {
        let directory = Self::share(path)?;
        if !directory.check_version()? {
            return Err(named(
                &directory.path,
                "holds no Millstream data: it has no `VERSION`",
            ));
        }
        Ok(directory)
    }

    /// As [`DataDirectory::open_read_only`], whatever its version.
    pub fn share(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let lock = File::open(path.join(LOCK)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if path.is_dir() => {
                named(&path, "holds no Millstream data: it has no file `LOCK`")
            }
            io::ErrorKind::NotFound => named(&path, "does not exist"),
            io::ErrorKind::NotADirectory => named(&path, "is a file, expected a directory"),
            _ => io_error(&path.join(LOCK), &error),
        })?;
        match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path)),
            Err(TryLockError::Error(error)) => return Err(io_error(&path.join(LOCK), &error)),
        }
        let directory = Self {
            path,
            lock,
            is_owner: false,
        };
        // What an owner that was killed has left there would be taken for ours. Best effort: the
        // directory may be read-only.
        let _ = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(directory.path.join(LOCK));
        Ok(directory)
    }

    /// What is wrong with the file that says the version, if anything is. `InvalidInput` if a newer
    /// version has made the directory.
    pub fn version_problem(&self) -> Result<Option<String>> {
        let storage = self.storage();
        let expected = version_text();
        if storage.length(VERSION)?.is_none() {
            return Ok(Some(format!(
                "is missing, expected `{}`",
                expected.trim_end()
            )));
        }
        let bytes = storage.read(VERSION)?;
        if bytes == expected.as_bytes() {
            return Ok(None);
        }
        if let Some(found) = version_number(&bytes).filter(|found| *found > VERSION_NUMBER) {
            return Err(is_newer(&self.path, found));
        }
        let found: String = String::from_utf8_lossy(&bytes).chars().take(80).collect();
        let (found, expected) = (found.escape_debug(), expected.escape_debug());
        Ok(Some(format!("found `{found}`, expected `{expected}`")))
    }

    /// Paths of temporary files that a process which was killed has left.
    pub fn temporary_files(&self) -> Result<Vec<String>> {
        let mut found = vec![];
        find_temporary_files(&self.path, &mut found)?;
        let relative = |path: PathBuf| {
            let path = path
                .strip_prefix(&self.path)
                .map(Path::to_owned)
                .unwrap_or(path);
            path.to_string_lossy().into_owned()
        };
        Ok(found.into_iter().map(relative).collect())
    }

    /// The files at `path`, whoever owns them now: to be looked at, by whoever can bear that they change
    /// meanwhile. `InvalidInput` if it is no data directory of this version.
    pub fn look(path: impl AsRef<Path>) -> Result<LocalStorage> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(named(path, "does not exist"));
        }
        match check_version(path)? {
            true => Ok(LocalStorage::new(path)),
            false => Err(named(path, "holds no Millstream data: it has no `VERSION`")),
        }
    }

    /// Tells other processes where the server of this directory listens: `http://127.0.0.1:8080`.
    pub fn announce(&self, url: &str) -> Result<()> {
        debug_assert!(self.is_owner, "only the owner has a server");
        self.write_lock(Some(url))
    }

    /// The address of the server that owns `path` now, if a process owns it and has announced it.
    pub fn server_of(path: impl AsRef<Path>) -> Option<String> {
        let path = path.as_ref();
        let url = LockText::read(path).url?;
        // Only a lock that is held makes the text true. It is tried after the text was read,
        // because trying it could disturb an owner that is just starting.
        let lock = File::open(path.join(LOCK)).ok()?;
        matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(url)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files.
    pub fn storage(&self) -> LocalStorage {
        LocalStorage::new(&self.path)
    }

    /// Its files, of which a snapshot can be taken while they are in use.
    pub fn gated_storage(&self) -> GatedStorage {
        GatedStorage::new(self.storage())
    }

    fn write_lock(&self, url: Option<&str>) -> Result<()> {
        let mut text = format!("pid {}\n", std::process::id());
        if let Some(url) = url {
            text.push_str(&format!("url {url}\n"));
        }
        let write = || -> io::Result<()> {
            let mut lock = &self.lock;
            lock.set_len(0)?;
            lock.seek(SeekFrom::Start(0))?;
            lock.write_all(text.as_bytes())
        };
        write().map_err(|e| not_writable(&self.path, &e))
    }

    /// Checks the version, or writes it into a new directory. Either way something is written and
    /// synced, so a directory that takes no writes is found now.
    fn claim_version(&self) -> Result<()> {
        let storage = self.storage();
        let is_known = self.check_version()?;
        let text = version_text();
        let written = if is_known {
            let probe = format!("{TEMPORARY_PREFIX}probe");
            storage
                .put(&probe, &[0; 4096])
                .and_then(|()| storage.delete(&probe))
        } else {
            storage.put(VERSION, text.as_bytes())
        };
        written.map_err(|e| e.context("cannot write to the data directory"))
    }

    /// Whether it has a version. `InvalidInput` if that is not one that this program reads.
    fn check_version(&self) -> Result<bool> {
        check_version(&self.path)
    }
}

/// Whether the directory at `path` has a version. `InvalidInput` if this program does not read it.
fn check_version(path: &Path) -> Result<bool> {
    let storage = LocalStorage::new(path);
    if storage.length(VERSION)?.is_none() {
        return Ok(false);
    }
    let bytes = storage.read(VERSION)?;
    let text = String::from_utf8_lossy(&bytes);
    match version_number(&bytes) {
        Some(found) if found > VERSION_NUMBER => Err(is_newer(path, found)),
        Some(VERSION_NUMBER) => Ok(true),
        _ => Err(named(
            path,
            &format!(
                "has a `VERSION` that says `{}`, expected `{VERSION_TEXT}{VERSION_NUMBER}`",
                text.trim().chars().take(80).collect::<String>()
            ),
        )),
    }
}

fn is_newer(path: &Path, found: u32) -> Error {
    let what = format!(
        "was made by a newer version: found {found}, this one reads up to {VERSION_NUMBER}"
    );
    named(path, &what)
}

/// What `VERSION` says.
fn version_text() -> String {
    format!("{VERSION_TEXT}{VERSION_NUMBER}\n")
}

fn version_number(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number = text.trim().strip_prefix(VERSION_TEXT.trim_end())?;
    number.trim().parse().ok()
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        if self.is_owner {
            // Best effort: the text is stale anyway once the lock is gone.
            let _ = self.lock.set_len(0);
        }
    }
}

/// What `LOCK` says.
#[derive(Debug, Default)]
struct LockText {
    pid: Option<String>,
    url: Option<String>,
}

impl LockText {
    fn read(path: &Path) -> Self {
        let mut text = String::new();
        let read =
            File::open(path.join(LOCK)).and_then(|file| file.take(4096).read_to_string(&mut text));
        if read.is_err() {
            return Self::default();
        }
        let value = |key: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(key));
            values.next().map(|value| value.trim().to_owned())
        };
        Self {
            pid: value("pid "),
            url: value("url "),
        }
    }
}

fn in_use(path: &Path) -> Error {
    let text = LockText::read(path);
    let who = match (text.pid, text.url) {
        (Some(pid), Some(url)) => format!("is in use by process {pid} ({url})"),
        (Some(pid), None) => format!("is in use by process {pid}"),
        _ => "is in use by another process".to_owned(),
    };
    named(path, &who)
}

fn not_writable(path: &Path, error: &io::Error) -> Error {
    let is_read_only = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    );
    let error = io_error(&path.join(LOCK), error);
    if is_read_only {
        return named(path, &format!("is read-only: {error}"));
    }
    error.context("cannot write to the data directory")
}

fn named(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("data directory `{}` {what}", path.display()),
    )
}

/// Removes what writers that died have left, here and below.
fn remove_temporary_files(folder: &Path) -> Result<()> {
    let mut found = vec![];
    find_temporary_files(folder, &mut found)?;
    found.iter().try_for_each(|path| {
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        removed.map_err(|e| io_error(path, &e))
    })
}

fn find_temporary_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| io_error(folder, &e))? {
        let entry = entry.map_err(|e| io_error(folder, &e))?;
        let path = entry.path();
        // Not through links: what they lead to may be somebody else's.
        let kind = entry.file_type().map_err(|e| io_error(&path, &e))?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            found.push(path);
        } else if kind.is_dir() {
            find_temporary_files(&path, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn check_error(result: Result<DataDirectory>, expected: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(
            error.to_string().contains(expected),
            "{error}\nexpected: {expected}"
        );
    }

    #[test]
    fn a_new_directory_is_made_locked_and_named_when_it_is_taken() {
        let folder = folder();
        let path = folder.path().join("a/data");
        let owner = DataDirectory::open(&path).unwrap();
        let pid = std::process::id();
        check_error(
            DataDirectory::open(&path),
            &format!("data` is in use by process {pid}"),
        );
        assert_eq!(DataDirectory::server_of(&path), None);
        owner.announce("http://127.0.0.1:8080").unwrap();
        let taken = format!("in use by process {pid} (http://127.0.0.1:8080)");
        check_error(DataDirectory::open(&path), &taken);
        check_error(DataDirectory::open_read_only(&path), &taken);
        assert_eq!(
            DataDirectory::server_of(&path).as_deref(),
            Some("http://127.0.0.1:8080")
        );
        drop(owner);
        assert_eq!(DataDirectory::server_of(&path), None);
        DataDirectory::open(&path).unwrap();
        assert_eq!(
            fs::read_to_string(path.join("VERSION")).unwrap(),
            "millstream data 1\n"
        );
    }

    #[test]
    fn text_that_a_killed_owner_left_does_not_count() {
        let folder = folder();
        DataDirectory::open(folder.path()).unwrap();
        fs::write(
            folder.path().join("LOCK"),
            "pid 1\nurl http://127.0.0.1:1\n",
        )
        .unwrap();
        assert_eq!(DataDirectory::server_of(folder.path()), None);
        DataDirectory::open(folder.path()).unwrap();
    }

    #[test]
    fn readers_share_and_keep_owners_out() {
        let folder = folder();
        check_error(
            DataDirectory::open_read_only(folder.path()),
            "holds no Millstream data",
        );
        check_error(
            DataDirectory::open_read_only(folder.path().join("no")),
            "does not exist",
        );
        DataDirectory::open(folder.path()).unwrap();
        fs::write(folder.path().join("LOCK"), "pid 1\n").unwrap();
        let one = DataDirectory::open_read_only(folder.path()).unwrap();
        let _two = DataDirectory::open_read_only(folder.path()).unwrap();
        drop(one);
        check_error(
            DataDirectory::open(folder.path()),
            "is in use by another process",
        );
    }

    #[test]
    fn who_only_looks_needs_no_lock() {
        let folder = folder();
        let look = |path: &Path| DataDirectory::look(path).map(drop).unwrap_err().to_string();
        assert!(look(&folder.path().join("no")).contains("does not exist"));
        assert!(look(folder.path()).contains("holds no Millstream data"));
        let owner = DataDirectory::open(folder.path()).unwrap();
        owner.storage().put("a", b"1").unwrap();
        let looked = DataDirectory::look(folder.path()).unwrap();
        assert_eq!(looked.read("a").unwrap(), b"1");
        fs::write(folder.path().join("VERSION"), "millstream data 7\n").unwrap();
        assert!(look(folder.path()).contains("newer version"));
    }

    #[test]
    fn versions_are_compared() {
        let folder = folder();
        DataDirectory::open(folder.path()).unwrap();
        let check = |text: &str, expected: &str| {
            fs::write(folder.path().join("VERSION"), text).unwrap();
            check_error(DataDirectory::open(folder.path()), expected);
            check_error(DataDirectory::open_read_only(folder.path()), expected);
        };
        check(
            "millstream data 7\n",
            "was made by a newer version: found 7, this one reads up to 1",
        );
        check(
            "something else",
            "says `something else`, expected `millstream data 1`",
        );
        check("millstream data 0", "expected `millstream data 1`");
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let folder = folder();
        let path = folder.path().join("file");
        fs::write(&path, "text").unwrap();
        check_error(
            DataDirectory::open(&path),
            "file` is a file, expected a directory",
        );
        check_error(
            DataDirectory::open_read_only(&path),
            "file` is a file, expected a directory",
        );
        assert!(DataDirectory::open(path.join("below")).is_err());
    }

    #[test]
    fn what_the_system_says_becomes_a_kind() {
        let kind = |error: io::ErrorKind| not_writable(Path::new("d"), &error.into());
        let error = kind(io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error
                .to_string()
                .starts_with("data directory `d` is read-only: "),
            "{error}"
        );
        assert_eq!(
            kind(io::ErrorKind::StorageFull).kind(),
            ErrorKind::StorageFull
        );
    }

    #[test]
    fn temporary_files_are_removed() {
        let folder = folder();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/.tmp-7-1"), "half").unwrap();
        fs::write(folder.path().join("a/b/whole"), "whole").unwrap();
        DataDirectory::open(folder.path()).unwrap();
        assert!(!folder.path().join("a/b/.tmp-7-1").exists());
        assert!(folder.path().join("a/b/whole").exists());
    }
}
