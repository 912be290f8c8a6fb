//! What an inspection of stored files finds.
//!
//! The engine knows manifests and segments, the connectors know topics, tables and staged rows. Each
//! looks at its own files through one [`Audit`], which reads them, keeps what is wrong, and in the end
//! knows which files nobody has asked for.
//!
//! A *problem* is a file that is not what was written, or that is not there. A *note* is something that
//! the next start sets right by itself, or that cannot be checked.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::storage::Storage;

/// Files are read in pieces of this size.
const CHUNK_BYTES: usize = 1 << 20;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file or folder.
    pub path: String,
    /// What was found, and what was expected.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// An inspection under way.
pub struct Audit<'a> {
    storage: &'a dyn Storage,
    on_read: &'a mut dyn FnMut(&str, u64),
    problems: Vec<Finding>,
    notes: Vec<Finding>,
    files: BTreeMap<String, u64>,
}

impl<'a> Audit<'a> {
    /// Of the files in `storage`. `on_read` is told of each piece that is read: which file, how many
    /// bytes.
    pub fn new(storage: &'a dyn Storage, on_read: &'a mut dyn FnMut(&str, u64)) -> Self {
        Self {
            storage,
            on_read,
            problems: vec![],
            notes: vec![],
            files: BTreeMap::new(),
        }
    }

    /// Where the files are.
    pub fn storage(&self) -> &'a dyn Storage {
        self.storage
    }

    /// Something is wrong.
    pub fn problem(&mut self, path: &str, what: impl Into<String>) {
        self.problems.push(finding(path, what.into()));
    }

    /// Something is worth knowing.
    pub fn note(&mut self, path: &str, what: impl Into<String>) {
        self.notes.push(finding(path, what.into()));
    }

    /// An error about `path` is a problem; one that begins with the path does not name it twice.
    pub fn failed(&mut self, path: &str, error: &Error) {
        let text = error.to_string();
        let quoted = format!("`{path}`");
        let what = match text.split_once(&quoted) {
            Some((before, after)) if before.len() < 40 => {
                let after = after.trim_start_matches(':').trim_start();
                format!("{before}{after}")
            }
            _ => text,
        };
        self.problem(path, what);
    }

    /// The file was looked at; `bytes` of it count as read.
    pub fn checked(&mut self, path: &str, bytes: u64) {
        (self.on_read)(path, bytes);
        *self.files.entry(path.to_owned()).or_default() += bytes;
    }

    /// The whole of a small file, or `None`: then it is a problem.
    pub fn read(&mut self, path: &str) -> Option<Vec<u8>> {
        match self.storage.read(path) {
            Ok(bytes) => {
                self.checked(path, bytes.len() as u64);
                Some(bytes)
            }
            Err(error) => {
                self.checked(path, 0);
                self.failed(path, &error);
                None
            }
        }
    }

    /// Hands all bytes of a file to `take`, piece by piece; how many there were. `None` if there is no
    /// such file.
    ///
    /// # Errors
    /// What the storage says if it cannot be read.
    pub fn stream(&mut self, path: &str, mut take: impl FnMut(&[u8])) -> Result<Option<u64>> {
        let Some(length) = self.storage.length(path)? else {
            return Ok(None);
        };
        self.checked(path, 0);
        let mut position = 0;
        while position < length {
            let wanted = usize::try_from(length - position).unwrap_or(usize::MAX);
            let bytes = self
                .storage
                .read_range(path, position, wanted.min(CHUNK_BYTES))?;
            if bytes.is_empty() {
                break;
            }
            take(&bytes);
            position += bytes.len() as u64;
            self.checked(path, bytes.len() as u64);
        }
        Ok(Some(position))
    }

    /// Whether somebody has looked at the file.
    pub fn is_checked(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// How many files were looked at.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// What is wrong, and what is worth knowing: each sorted by path, none twice.
    pub fn into_findings(self) -> (Vec<Finding>, Vec<Finding>) {
        let sorted = |mut findings: Vec<Finding>| {
            findings.sort();
            findings.dedup();
            findings
        };
        (sorted(self.problems), sorted(self.notes))
    }
}

fn finding(path: &str, what: String) -> Finding {
    Finding {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStorage;

    #[test]
    fn files_are_read_in_pieces_and_counted_once() {
        let storage = MemoryStorage::default();
        let bytes = vec![7; 2 * CHUNK_BYTES + 5];
        storage.put("big", &bytes).unwrap();
        let mut read = 0;
        let mut on_read = |_: &str, bytes| read += bytes;
        let mut audit = Audit::new(&storage, &mut on_read);
        let mut pieces = vec![];
        let length = audit.stream("big", |piece| pieces.push(piece.len()));
        assert_eq!(length.unwrap(), Some(bytes.len() as u64));
        assert_eq!(pieces, [CHUNK_BYTES, CHUNK_BYTES, 5]);
        assert_eq!(audit.stream("none", |_| ()).unwrap(), None);
        assert_eq!((audit.files(), audit.bytes()), (1, bytes.len() as u64));
        assert!(audit.is_checked("big") && !audit.is_checked("none"));
        assert_eq!(read, bytes.len() as u64);
    }

    #[test]
    fn a_problem_names_its_path_once() {
        let storage = MemoryStorage::default();
        let mut on_read = |_: &str, _| ();
        let mut audit = Audit::new(&storage, &mut on_read);
        audit.failed("a/b", &Error::corrupt("`a/b`: found 1"));
        audit.failed("a/b", &Error::corrupt("`a/b`: found 1"));
        audit.failed("a/c", &Error::corrupt("manifest `a/c` is damaged: x"));
        audit.failed("a/d", &Error::corrupt("something else"));
        assert!(audit.read("none").is_none());
        let (problems, notes) = audit.into_findings();
        let lines: Vec<String> = problems.iter().map(Finding::to_string).collect();
        assert_eq!(
            lines[..3],
            [
                "a/b: found 1",
                "a/c: manifest is damaged: x",
                "a/d: something else",
            ]
        );
        assert!(lines[3].starts_with("none: "), "{lines:?}");
        assert!(notes.is_empty());
    }
}
