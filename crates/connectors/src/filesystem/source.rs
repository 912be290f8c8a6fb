//! [`FileSource`]: a file, or all files below a folder, each a split.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_core::source::{Source, Split, SplitReader};
use millstream_core::{Error, Offset, Result, SplitId};

use super::reader::LineReader;

/// Endings of compressed files, which are refused rather than read as text.
const COMPRESSED: &[&str] = &["gz", "zst", "bz2", "xz", "snappy", "lz4", "deflate"];

/// The files of one table.
#[derive(Debug)]
pub(super) struct FileSource {
    path: PathBuf,
    is_monitored: bool,
}

impl FileSource {
    /// The files at `path`, which must exist; with `is_monitored` more may come.
    pub fn new(path: PathBuf, is_monitored: bool) -> Result<Self> {
        fs::metadata(&path).map_err(|e| io_error(&path, &e))?;
        Ok(Self { path, is_monitored })
    }
}

impl Source for FileSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let mut splits = vec![];
        if is_folder(&self.path)? {
            list(&self.path, "", &mut splits)?;
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
        Ok(Box::new(LineReader::open(&path, from.unwrap_or_default())?))
    }

    fn is_bounded(&self) -> bool {
        !self.is_monitored
    }
}

fn is_folder(path: &Path) -> Result<bool> {
    let metadata = fs::metadata(path).map_err(|e| io_error(path, &e))?;
    Ok(metadata.is_dir())
}

fn list(folder: &Path, prefix: &str, splits: &mut Vec<Split>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| io_error(folder, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| io_error(folder, &e))?.path();
        let name = name_of(&path)?;
        if name.starts_with(['.', '_']) {
            continue;
        }
        let id = format!("{prefix}{name}");
        if is_folder(&path)? {
            list(&path, &format!("{id}/"), splits)?;
        } else {
            splits.push(split(&path, &id)?);
        }
    }
    Ok(())
}

fn split(path: &Path, id: &str) -> Result<Split> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if let Some(extension) = extension.filter(|e| COMPRESSED.contains(e)) {
        return Err(Error::invalid(format!(
            "`{}`: compressed files (`.{extension}`) are not supported yet; expected lines of text",
            path.display()
        )));
    }
    let metadata = [
        ("file.path", path.to_string_lossy().into_owned()),
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
