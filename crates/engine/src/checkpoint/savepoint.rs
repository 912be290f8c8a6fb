//! Savepoints: manifests that are kept by name, with their segments, until they are dropped.
//!
//! Format, version 1: `millstream-savepoint 1 crc32=<8 hex digits> length=<bytes>`, a newline, then JSON
//! ([`Savepoint`]): see [`Envelope`]. It lies at `pipelines/<pipeline>/savepoints/<name>`.
//!
//! INVARIANT: the segments of a savepoint that is there are there. The pipeline may run meanwhile and
//! remove what it does not need; neither waits for the other:
//!
//! ```text
//! create   read the newest manifest ─> write the savepoint ─> is the manifest still there? else again
//! collect  remove old manifests ─> read the savepoints ─> remove segments that nobody names
//! drop     remove the savepoint ─> remove its segments that nobody else names
//! ```
//!
//! If the manifest is still there after the savepoint was written, whoever removes it later finds the
//! savepoint. CRASH: one file is written, or removed, at once; segments that are left over go with the
//! pipeline's next start.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::storage::Storage;
use millstream_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::manifest::Manifest;

/// The highest version of the format that this code reads, and the one that it writes.
pub const FORMAT: u32 = 1;

const ENVELOPE: Envelope = Envelope {
    kind: "savepoint",
    version: FORMAT,
};

/// The longest name.
const NAME_CHARACTERS_MAX: usize = 100;
/// Stands for the newest checkpoint wherever a savepoint can be named.
pub const LATEST: &str = "latest";
/// How often a manifest may be collected under our hands.
const ATTEMPTS: usize = 100;

/// A manifest with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Savepoint {
    /// Its name.
    pub name: String,
    /// When it was made, in ms since 1970, UTC.
    pub created_ms: i64,
    /// What held then.
    pub manifest: Manifest,
}

impl Savepoint {
    /// The bytes of the file.
    pub fn encode(&self) -> Result<Vec<u8>> {
        ENVELOPE.seal(self)
    }

    /// Reads a file; `path` is for messages.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        ENVELOPE.open(path, bytes)
    }

    /// Bytes of state.
    pub fn state_bytes(&self) -> u64 {
        let segments = self.manifest.segments.iter();
        segments.map(|segment| segment.bytes).sum()
    }

    /// Rows of state.
    pub fn state_rows(&self) -> u64 {
        let segments = self.manifest.segments.iter();
        segments.map(|segment| segment.rows).sum()
    }
}

/// The savepoints of one pipeline.
pub struct Savepoints {
    storage: Arc<dyn Storage>,
    pipeline: String,
}

impl Savepoints {
    /// Those of `pipeline`.
    pub fn new(storage: Arc<dyn Storage>, pipeline: &str) -> Self {
        Self {
            storage,
            pipeline: pipeline.to_owned(),
        }
    }

    /// The pipelines that have left anything in `storage`.
    pub fn pipelines(storage: &dyn Storage) -> Result<Vec<String>> {
        let paths = storage.list("pipelines/")?;
        let names = paths.iter().filter_map(|path| path.split('/').nth(1));
        let names: BTreeSet<&str> = names.collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// Makes a savepoint of the newest epoch.
    ///
    /// # Errors
    /// `InvalidInput` if the name is no name or the pipeline has no epoch, `Conflict` if the name is in
    /// use, `Corrupt` if the newest manifest is damaged.
    pub fn create(&self, name: &str, now_ms: i64) -> Result<Savepoint> {
        check_name(name)?;
        let path = self.path(name);
        let in_use = || {
            let message = format!(
                "savepoint `{name}` of pipeline `{}` is there already: drop it, or take another name",
                self.pipeline
            );
            Error::new(ErrorKind::Conflict, message)
        };
        for _ in 0..ATTEMPTS {
            if self.storage.length(&path)?.is_some() {
                return Err(in_use());
            }
            let Some(newest) = self.manifests()?.pop() else {
                return Err(self.nothing_yet());
            };
            let Some(bytes) = self.read_if_there(&newest)? else {
                continue;
            };
            let savepoint = Savepoint {
                name: name.to_owned(),
                created_ms: now_ms,
                manifest: Manifest::decode(&newest, &bytes)?,
            };
            let put = self.storage.put_if_absent(&path, &savepoint.encode()?);
            put.map_err(|error| match error.kind() {
                ErrorKind::Conflict => in_use(),
                _ => error,
            })?;
            if self.storage.length(&newest)?.is_some() {
                return Ok(savepoint);
            }
            // CRASH: a savepoint of which segments may be gone is refused when it is used.
            self.remove(&path, &savepoint.manifest)?;
        }
        let message = "epochs come too fast for a savepoint to be made";
        Err(Error::unavailable(message))
    }

    /// All of them, the oldest first; what is damaged as an error with its name.
    pub fn list(&self) -> Result<Vec<(String, Result<Savepoint>)>> {
        let mut found = vec![];
        for path in self.storage.list(&self.path(""))? {
            if let Some(bytes) = self.read_if_there(&path)? {
                let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
                found.push((name, Savepoint::decode(&path, &bytes)));
            }
        }
        let age = |savepoint: &Result<Savepoint>| savepoint.as_ref().map_or(0, |it| it.created_ms);
        found.sort_by_key(|(name, savepoint)| (age(savepoint), name.clone()));
        Ok(found)
    }

    /// The one called `name`.
    ///
    /// # Errors
    /// `InvalidInput` with those that there are, `Corrupt` if it is damaged.
    pub fn load(&self, name: &str) -> Result<Savepoint> {
        let path = self.path(name);
        match check_name(name).and_then(|()| self.read_if_there(&path))? {
            Some(bytes) => Savepoint::decode(&path, &bytes),
            None => Err(self.unknown(name)?),
        }
    }

    /// Removes the one called `name`, and the segments that nobody else names.
    ///
    /// # Errors
    /// `InvalidInput` with those that there are.
    pub fn drop(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        let Some(bytes) = check_name(name).and_then(|()| self.read_if_there(&path))? else {
            return Err(self.unknown(name)?);
        };
        match Savepoint::decode(&path, &bytes) {
            Ok(dropped) => self.remove(&path, &dropped.manifest),
            // Nobody knows its segments: the next start removes them.
            Err(_) => self.storage.delete(&path),
        }
    }

    /// Removes a savepoint, and the segments that nobody else names.
    fn remove(&self, path: &str, manifest: &Manifest) -> Result<()> {
        self.storage.delete(path)?;
        let Some(mut named) = self.segments()? else {
            return Ok(());
        };
        for path in self.manifests()? {
            let Some(bytes) = self.read_if_there(&path)? else {
                continue;
            };
            match Manifest::decode(&path, &bytes) {
                Ok(manifest) => named.extend(files(&manifest)),
                Err(_) => return Ok(()),
            }
        }
        let mut garbage = files(manifest).filter(|file| !named.contains(file));
        garbage.try_for_each(|file| self.storage.delete(&file))
    }

    /// The segments that savepoints name; `None` if one is damaged, so nobody knows.
    pub fn segments(&self) -> Result<Option<BTreeSet<String>>> {
        let mut segments = BTreeSet::new();
        for (name, savepoint) in self.list()? {
            match savepoint {
                Ok(savepoint) => segments.extend(files(&savepoint.manifest)),
                Err(error) => {
                    tracing::warn!(name, %error, "no state is removed until the savepoint is dropped");
                    return Ok(None);
                }
            }
        }
        Ok(Some(segments))
    }

    fn path(&self, name: &str) -> String {
        format!("pipelines/{}/savepoints/{name}", self.pipeline)
    }

    fn manifests(&self) -> Result<Vec<String>> {
        let folder = format!("pipelines/{}/manifests/", self.pipeline);
        self.storage.list(&folder)
    }

    fn read_if_there(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.storage.read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => match self.storage.length(path)? {
                None => Ok(None),
                Some(_) => Err(error),
            },
        }
    }

    fn nothing_yet(&self) -> Error {
        Error::invalid(format!(
            "pipeline `{}` has no epoch yet: nothing to keep",
            self.pipeline
        ))
    }

    fn unknown(&self, name: &str) -> Result<Error> {
        let pipeline = &self.pipeline;
        let names = self
            .list()?
            .into_iter()
            .map(|(name, _)| format!("`{name}`"));
        let names: Vec<String> = names.collect();
        let there = match names.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there are: {}", names.join(", ")),
        };
        Ok(Error::invalid(format!(
            "pipeline `{pipeline}` has no savepoint `{name}`; {there}"
        )))
    }
}

fn files(manifest: &Manifest) -> impl Iterator<Item = String> {
    let segments = manifest.segments.iter();
    segments.map(|segment| segment.file.clone())
}

/// Refuses what can be no file's name everywhere.
fn check_name(name: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_name = !name.is_empty()
        && name.len() <= NAME_CHARACTERS_MAX
        && !name.starts_with('.')
        && name.chars().all(is_allowed);
    match is_name {
        true if name == LATEST => Err(Error::invalid(format!(
            "`{LATEST}` is no name for a savepoint: it stands for the newest checkpoint"
        ))),
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "savepoint name `{}`: expected 1 to {NAME_CHARACTERS_MAX} letters (a-z), digits, `_`, `-` \
             and `.`, not a `.` first",
            name.escape_debug()
        ))),
    }
}
