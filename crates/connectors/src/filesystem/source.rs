//! [`FileSource`]: a file, or all files below a folder, each a split.
//!
//! A table that ends is what is there when it starts, so whatever cannot be read is an error. Into
//! a monitored folder others put files and take them away meanwhile: one that is gone when it is
//! looked at is left out, and so is one of a kind that cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use millstream_core::source::{Source, Split, SplitReader};
use millstream_core::{Error, Offset, Result, SplitId};

use super::reader::LineReader;

const FILE_PATH: &str = "file.path";

/// Endings of compressed files, which are refused rather than read as text.
const COMPRESSED: &[&str] = &["gz", "zst", "bz2", "xz", "snappy", "lz4", "deflate"];

/// The files of one table.
#[derive(Debug)]
pub(super) struct FileSource {
    path: PathBuf,
    is_monitored: bool,
    /// Endings of compressed files that were warned of.
    warned: Mutex<BTreeSet<&'static str>>,
}

impl FileSource {
    /// The files at `path`, which must exist; with `is_monitored` more may come.
    pub fn new(path: PathBuf, is_monitored: bool) -> Result<Self> {
        fs::metadata(&path).map_err(|e| io_error(&path, &e))?;
        Ok(Self {
            path,
            is_monitored,
            warned: Mutex::default(),
        })
    }

    /// Adds the files below `folder`.
    fn list(&self, folder: &Path, prefix: &str, splits: &mut Vec<Split>) -> Result<()> {
        let is_root = prefix.is_empty();
        let entries = match fs::read_dir(folder) {
            Err(error) if self.is_monitored && !is_root && is_gone(&error) => return Ok(()),
            entries => entries.map_err(|e| io_error(folder, &e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| io_error(folder, &e))?;
            self.list_entry(&entry, prefix, splits)?;
        }
        Ok(())
    }

    /// Adds a file, or the files below a folder.
    fn list_entry(&self, entry: &DirEntry, prefix: &str, splits: &mut Vec<Split>) -> Result<()> {
        let path = entry.path();
        let name = name_of(&path)?;
        if name.starts_with(['.', '_']) {
            return Ok(());
        }
        let id = format!("{prefix}{name}");
        let metadata = match fs::metadata(&path) {
            Err(error) if self.is_monitored && is_gone(&error) => return Ok(()),
            metadata => metadata.map_err(|e| io_error(&path, &e))?,
        };
        if metadata.is_dir() {
            return self.list(&path, &format!("{id}/"), splits);
        }
        match compression(&path) {
            Some(extension) if self.is_monitored => self.warn_once(&path, extension),
            _ => splits.push(split(&path, &id)?),
        }
        Ok(())
    }

    fn warn_once(&self, path: &Path, extension: &'static str) {
        let mut warned = self.warned.lock().expect("no panic while locked");
        if warned.insert(extension) {
            let path = path.display();
            tracing::warn!(%path, "compressed files (`.{extension}`) are not read");
        }
    }
}

impl Source for FileSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let mut splits = vec![];
        if is_folder(&self.path)? {
            self.list(&self.path, "", &mut splits)?;
            splits.sort_by(|a, b| a.id.cmp(&b.id));
        } else {
            splits.push(split(&self.path, &name_of(&self.path)?)?);
        }
        Ok(splits)
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let path = if is_folder(&self.path)? {
            self.path.join(split.as_str())
        } else {
            self.path.clone()
        };
        let from = from.unwrap_or_default();
        Ok(Box::new(LineReader::open(&path, from, self.is_monitored)?))
    }

    fn is_bounded(&self) -> bool {
        !self.is_monitored
    }

    /// Names, lengths and times of change of all files.
    fn version(&self) -> Result<Option<String>> {
        let mut version = String::new();
        for split in self.splits()? {
            let path = &split.metadata[FILE_PATH];
            let metadata = fs::metadata(path).map_err(|e| io_error(Path::new(path), &e))?;
            let changed = metadata.modified().ok();
            let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let (id, length) = (&split.id, metadata.len());
            writeln!(version, "{id} {length} {changed:?}").expect("text can always grow");
        }
        Ok(Some(version))
    }
}

fn is_folder(path: &Path) -> Result<bool> {
    let metadata = fs::metadata(path).map_err(|e| io_error(path, &e))?;
    Ok(metadata.is_dir())
}

/// The ending of a compressed file.
fn compression(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?;
    COMPRESSED.iter().copied().find(|known| *known == extension)
}

fn split(path: &Path, id: &str) -> Result<Split> {
    if let Some(extension) = compression(path) {
        return Err(Error::invalid(format!(
            "`{}`: compressed files (`.{extension}`) are not supported yet; expected lines of text",
            path.display()
        )));
    }
    let metadata = [
        (FILE_PATH, path.to_string_lossy().into_owned()),
        ("file.name", name_of(path)?),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
    Ok(Split {
        id: SplitId::new(id),
        metadata: BTreeMap::from(metadata),
    })
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        let path = path.display();
        Error::invalid(format!("`{path}`: the file's name is not UTF-8"))
    })
}

pub(super) fn io_error(path: &Path, error: &std::io::Error) -> Error {
    Error::io(&path.to_string_lossy(), error)
}

/// Whether the file, or a folder that it was in, is not there.
pub(super) fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
