//! Copies of a data directory: [`back_up`] makes one, [`restore`] makes a data directory of it.
//!
//! A backup is a folder with the files of a data directory, as they were in one moment, and `BACKUP`, which
//! is written last: one line `millstream-backup 1 crc32=<8 hex digits> length=<bytes>`, then JSON
//! ([`Index`]) with length and checksum of each file. It is a data directory itself, so `verify` and `sql`
//! read it as it is.
//!
//! INVARIANT: without `BACKUP` it is not whole. A restored directory gets its name last.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use millstream_connectors::storage::LocalStorage;
use millstream_core::storage::Storage;
use millstream_core::{Error, Result};
use millstream_engine::checkpoint::envelope::Envelope;
use serde::{Deserialize, Serialize};

/// The file that makes a backup whole.
pub const INDEX: &str = "BACKUP";

const ENVELOPE: Envelope = Envelope {
    kind: "backup",
    version: 1,
};

/// Files are copied in pieces of this size.
const CHUNK_BYTES: usize = 1 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// When it was made, in ms since 1970, UTC.
    pub created_ms: i64,
    /// Its files.
    pub files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// CRC-32 of all its bytes.
    pub crc32: u32,
}

impl Index {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Is told of each piece that is copied: which file, how many bytes.
pub type OnCopied<'a> = &'a mut dyn FnMut(&str, u64);

/// Copies the first bytes of `files` in `from`, as many as each says, to the new folder `to`.
///
/// # Errors
/// `InvalidInput` if there is anything in `to`, or a file is not there any more; `StorageFull`.
pub fn back_up(
    (from, files): (&Path, &[(String, u64)]),
    (to, created_ms): (&Path, i64),
    on_copied: OnCopied<'_>,
) -> Result<Index> {
    check_is_empty(to)?;
    let mut index = Index {
        created_ms,
        files: vec![],
    };
    for (path, bytes) in files {
        let entry = copy((&from.join(path), *bytes), (to, path), on_copied)?;
        index.files.push(entry);
    }
    // A data directory has one; whoever looks at the backup locks it.
    File::create(to.join("LOCK")).map_err(|error| failed(to, &error))?;
    sync_folders(to)?;
    LocalStorage::new(to).put(INDEX, &ENVELOPE.seal(&index)?)?;
    Ok(index)
}

/// The index of the backup in `from`.
///
/// # Errors
/// `InvalidInput` if it is no backup or not a whole one, `Corrupt` if the index is damaged.
pub fn read_index(from: &Path) -> Result<Index> {
    let path = from.join(INDEX);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::invalid(format!(
                "`{}` is no whole backup: it has no file `{INDEX}`, which is written last",
                from.display()
            )));
        }
        Err(error) => return Err(failed(&path, &error)),
    };
    let index: Index = ENVELOPE.open(&path.to_string_lossy(), &bytes)?;
    for file in &index.files {
        let mut parts = Path::new(&file.path).components();
        if file.path.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_))) {
            let (index, file) = (path.display(), &file.path);
            return Err(Error::corrupt(format!(
                "`{index}` names `{file}`, expected a path below it"
            )));
        }
    }
    Ok(index)
}

/// Makes the data directory `to` of the backup in `from`.
///
/// # Errors
/// As [`read_index`]; `InvalidInput` if there is anything in `to`; `Corrupt` if a file is not what the index
/// says: then `to` is not made.
pub fn restore(from: &Path, to: &Path, on_copied: OnCopied<'_>) -> Result<Index> {
    let index = read_index(from)?;
    check_is_empty(to)?;
    let unfinished = unfinished(to);
    if unfinished.exists() {
        return Err(Error::invalid(format!(
            "`{}` is left from a restore that was interrupted; remove it",
            unfinished.display()
        )));
    }
    let restored = restore_files(&index, (from, &unfinished), on_copied).and_then(|()| {
        // CRASH: until here there is no data directory of that name.
        fs::rename(&unfinished, to).map_err(|error| failed(to, &error))
    });
    if let Err(error) = restored {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    Ok(index)
}

fn restore_files(index: &Index, (from, to): (&Path, &Path), on_copied: OnCopied<'_>) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| failed(to, &error))?;
    for file in &index.files {
        let path = from.join(&file.path);
        let found = copy((&path, u64::MAX), (to, &file.path), on_copied)?;
        if found != *file {
            return Err(Error::corrupt(format!(
                "`{}`: found bytes={} crc32={:08x}, expected bytes={} crc32={:08x}",
                path.display(),
                found.bytes,
                found.crc32,
                file.bytes,
                file.crc32
            )));
        }
    }
    File::create(to.join("LOCK")).map_err(|error| failed(to, &error))?;
    sync_folders(to)
}

/// Beside `to`, so that renaming it is one step.
fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(".restoring");
    to.with_file_name(name)
}

fn check_is_empty(folder: &Path) -> Result<()> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(folder, &error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::invalid(format!(
                "`{}` is not empty, expected a new folder",
                folder.display()
            ))),
        },
    }
}

/// Copies at most `bytes` bytes, and syncs them.
fn copy(
    (from, bytes): (&Path, u64),
    (folder, path): (&Path, &str),
    on_copied: OnCopied<'_>,
) -> Result<Entry> {
    let to = folder.join(path);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
    }
    let source = File::open(from).map_err(|error| failed(from, &error))?;
    let mut source = source.take(bytes);
    let mut target = File::create(&to).map_err(|error| failed(&to, &error))?;
    let mut crc = crc32fast::Hasher::new();
    let (mut chunk, mut copied) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let count = source
            .read(&mut chunk)
            .map_err(|error| failed(from, &error))?;
        if count == 0 {
            break;
        }
        crc.update(&chunk[..count]);
        let written = target.write_all(&chunk[..count]);
        written.map_err(|error| failed(&to, &error))?;
        copied += count as u64;
        on_copied(path, count as u64);
    }
    target.sync_all().map_err(|error| failed(&to, &error))?;
    Ok(Entry {
        path: path.to_owned(),
        bytes: copied,
        crc32: crc.finalize(),
    })
}

/// Makes the names of all files below durable.
fn sync_folders(folder: &Path) -> Result<()> {
    let sync = || -> std::io::Result<Vec<PathBuf>> {
        File::open(folder)?.sync_all()?;
        let mut folders = vec![];
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    };
    let folders = sync().map_err(|error| failed(folder, &error))?;
    folders.iter().try_for_each(|folder| sync_folders(folder))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::io(&path.to_string_lossy(), error)
}

#[cfg(test)]
mod tests {
    use millstream_core::ErrorKind;

    use super::*;

    fn nothing(_: &str, _: u64) {}

    fn backup(folder: &Path) -> Index {
        let data = folder.join("data");
        fs::create_dir_all(data.join("a/b")).unwrap();
        fs::write(data.join("a/b/log"), "onetwo").unwrap();
        fs::write(data.join("VERSION"), "v").unwrap();
        let files = [("VERSION".to_owned(), 1), ("a/b/log".to_owned(), 3)];
        back_up((&data, &files), (&folder.join("backup"), 5), &mut nothing).unwrap()
    }

    #[test]
    fn as_many_bytes_as_there_were_go_there_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let index = backup(folder);
        assert_eq!((index.created_ms, index.bytes()), (5, 4));
        let (from, to) = (folder.join("backup"), folder.join("new"));
        assert_eq!(restore(&from, &to, &mut nothing).unwrap(), index);
        assert_eq!(fs::read(to.join("a/b/log")).unwrap(), b"one");
        assert!(!to.join(INDEX).exists() && !unfinished(&to).exists());
        for to in [&to, &folder.join("data")] {
            let error = restore(&from, to, &mut nothing).unwrap_err();
            assert!(error.to_string().contains("is not empty"), "{error}");
        }
        let error = back_up((&from, &[]), (&to, 5), &mut nothing).unwrap_err();
        assert!(error.to_string().contains("is not empty"), "{error}");
    }

    #[test]
    fn a_backup_that_is_damaged_or_not_whole_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        backup(folder);
        let (from, to) = (folder.join("backup"), folder.join("new"));
        let check = |kind: ErrorKind, expected: &str| {
            let error = restore(&from, &to, &mut nothing).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!to.exists() && !unfinished(&to).exists());
        };
        fs::write(from.join("a/b/log"), "onf").unwrap();
        check(ErrorKind::Corrupt, "a/b/log`: found bytes=3 crc32=");
        fs::write(from.join("a/b/log"), "ones").unwrap();
        check(ErrorKind::Corrupt, "a/b/log`: found bytes=4 crc32=");
        fs::remove_file(from.join("a/b/log")).unwrap();
        check(ErrorKind::InvalidInput, "a/b/log`: No such file");
        let index = fs::read_to_string(from.join(INDEX)).unwrap();
        fs::write(from.join(INDEX), index.replace("a/b/log", "a/b/lag")).unwrap();
        check(ErrorKind::Corrupt, "checksum");
        let outside = Index {
            created_ms: 0,
            files: vec![Entry {
                path: "../x".into(),
                bytes: 0,
                crc32: 0,
            }],
        };
        fs::write(from.join(INDEX), ENVELOPE.seal(&outside).unwrap()).unwrap();
        check(ErrorKind::Corrupt, "names `../x`");
        fs::remove_file(from.join(INDEX)).unwrap();
        check(
            ErrorKind::InvalidInput,
            "is no whole backup: it has no file `BACKUP`",
        );
    }
}
