//! Looks at all hot tables of a data directory, every version and every part: see
//! [`millstream_core::audit`].

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::audit::Audit;
use millstream_core::sink::EpochMark;
use millstream_core::{Error, ErrorKind, Result};

use super::name::{Mark, PartName, TableName, decoded, encoded, parse_part_name};
use super::part::{part_path, parts_folder};
use super::version::{
    PartEntry, VERSIONS_KEPT, Version, version_number, version_path, versions_folder,
};

const FOLDER: &str = "tables/";

/// What is known of a table once its files were looked at.
#[derive(Debug, Default)]
pub struct TableFacts {
    /// Its folder, with a `/` at its end.
    pub folder: String,
    /// Whether its newest version is sound: if not, nothing else is known.
    pub is_sound: bool,
    /// Rows of all parts, if none is ever dropped: there is no key and no retention.
    pub rows: Option<u64>,
    /// The last epoch that it holds of each writer, by the name that versions give it.
    pub writers: BTreeMap<String, EpochMark>,
    /// Number of versions.
    pub versions: usize,
    /// Number of parts that versions refer to.
    pub parts: usize,
    /// Part files that no version refers to, by name.
    loose: BTreeSet<String>,
}

/// How versions name the writer `pipeline/sink`.
pub fn writer(pipeline: &str, sink: &str) -> String {
    format!("{}/{}", encoded(pipeline), encoded(sink))
}

/// The pipeline of a writer, given as versions name it.
pub(crate) fn pipeline_of(writer: &str) -> Option<String> {
    decoded(writer.split_once('/')?.0)
}

/// Looks at the files of every table.
///
/// # Errors
/// What the storage says if it cannot be listed.
pub fn audit(audit: &mut Audit<'_>) -> Result<Vec<TableFacts>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in audit.storage().list(FOLDER)? {
        let Some((table, rest)) = path[FOLDER.len()..].split_once('/') else {
            continue;
        };
        if rest.starts_with("versions/") || rest.starts_with("parts/") {
            let folder = format!("{FOLDER}{table}/");
            tables.entry(folder).or_default().push(path);
        }
    }
    let tables = tables.into_iter();
    Ok(tables
        .map(|(folder, files)| table(audit, folder, &files))
        .collect())
}

fn table(audit: &mut Audit<'_>, folder: String, files: &[String]) -> TableFacts {
    let mut facts = TableFacts {
        folder,
        ..TableFacts::default()
    };
    let numbers = files
        .iter()
        .filter_map(|path| version_number(&facts.folder, path));
    let numbers: Vec<u64> = numbers.collect();
    let Some(newest) = numbers.iter().copied().max() else {
        let path = versions_folder(&facts.folder);
        audit.problem(
            &path,
            "has no version, expected one, as the table has parts",
        );
        return facts;
    };
    let first_kept = (newest + 1).saturating_sub(VERSIONS_KEPT).max(1);
    let mut seen = BTreeMap::new();
    let mut before: Option<Version> = None;
    for number in numbers.iter().copied() {
        let path = version_path(&facts.folder, number);
        if number < first_kept {
            audit.checked(&path, 0);
            audit.note(&path, "is too old to be kept; upkeep removes it");
            continue;
        }
        let version = version(audit, &facts.folder, number);
        facts.is_sound = version.is_some();
        let Some(version) = version else { continue };
        facts.versions += 1;
        for entry in &version.parts {
            part(audit, (&facts.folder, &path), &mut seen, entry);
        }
        if let Some(before) = &before {
            follows(audit, &path, (before, &version));
        }
        before = Some(version);
    }
    for number in first_kept..newest {
        if !numbers.contains(&number) {
            let path = version_path(&facts.folder, number);
            audit.problem(&path, format!("is missing, the newest version is {newest}"));
        }
    }
    facts.parts = seen.len();
    if let Some(version) = before.filter(|_| facts.is_sound) {
        facts.learn(version);
    }
    facts.find_loose(audit, files);
    facts
}

/// A sound version that is of this table.
fn version(audit: &mut Audit<'_>, folder: &str, number: u64) -> Option<Version> {
    let path = version_path(folder, number);
    let bytes = audit.read(&path)?;
    let version = match Version::decode(&bytes) {
        Ok(version) => version,
        Err(error) => {
            audit.failed(&path, &error);
            return None;
        }
    };
    let name = TableName::new(version.database.clone(), version.table.clone());
    match name {
        Ok(name) if name.folder() == folder => Some(version),
        Ok(name) => {
            audit.problem(
                &path,
                format!("is of table `{name}`, expected in `{}`", name.folder()),
            );
            None
        }
        Err(error) => {
            audit.failed(&path, &error);
            None
        }
    }
}

/// Checks a part that the version at `version` refers to, unless that was done.
fn part(
    audit: &mut Audit<'_>,
    (folder, version): (&str, &str),
    seen: &mut BTreeMap<String, (u64, u32)>,
    entry: &PartEntry,
) {
    let path = part_path(folder, &entry.file);
    match seen.insert(entry.file.clone(), (entry.bytes, entry.crc32)) {
        None => {
            if let Err(error) = verified(audit, &path, entry) {
                match error.kind() {
                    ErrorKind::Corrupt => audit.problem(&path, format!("{error} by `{version}`")),
                    _ => audit.failed(&path, &error),
                }
            }
        }
        Some(other) if other != (entry.bytes, entry.crc32) => {
            audit.problem(
                version,
                format!("`{path}` is not the part that an older version says"),
            );
        }
        Some(_) => {}
    }
}

/// `Corrupt` if the file is not what `entry` says.
pub(crate) fn verified(audit: &mut Audit<'_>, path: &str, entry: &PartEntry) -> Result<()> {
    let mut crc = crc32fast::Hasher::new();
    let Some(length) = audit.stream(path, |bytes| crc.update(bytes))? else {
        return Err(Error::corrupt("is missing, expected"));
    };
    let found = crc.finalize();
    if (length, found) == (entry.bytes, entry.crc32) {
        return Ok(());
    }
    let (bytes, expected) = (entry.bytes, entry.crc32);
    Err(Error::corrupt(format!(
        "found bytes={length} crc32={found:08x}, expected bytes={bytes} crc32={expected:08x}"
    )))
}

/// Writers never go back from one version to the next.
fn follows(audit: &mut Audit<'_>, path: &str, (before, after): (&Version, &Version)) {
    for (writer, old) in &before.writers {
        let new = after.writers.get(writer);
        if new < Some(old) {
            let (found, old) = (new.copied().map(mark), mark(*old));
            let found = found.map_or("nothing".to_owned(), |found| found.to_string());
            audit.problem(
                path,
                format!("found {found} of `{writer}`, expected {old} or later"),
            );
        }
    }
}

fn mark(mark: Mark) -> EpochMark {
    EpochMark {
        incarnation: mark.incarnation,
        epoch: mark.epoch,
    }
}

impl TableFacts {
    fn learn(&mut self, version: Version) {
        let is_kept = version.primary_key.is_empty() && version.retention_ms.is_none();
        self.rows = is_kept.then(|| version.parts.iter().map(|entry| entry.rows).sum());
        let writers = version.writers.into_iter();
        self.writers = writers.map(|(name, held)| (name, mark(held))).collect();
    }

    /// Parts that no version refers to: staged, left over, or not ours.
    fn find_loose(&mut self, audit: &mut Audit<'_>, files: &[String]) {
        let parts = parts_folder(&self.folder);
        for path in files.iter().filter(|path| path.starts_with(&parts)) {
            let file = &path[parts.len()..];
            if audit.is_checked(path) {
                continue;
            }
            self.loose.insert(file.to_owned());
            if !self.is_sound {
                audit.checked(path, 0);
                continue;
            }
            match parse_part_name(file) {
                Some(PartName::Staged {
                    writer,
                    mark: staged,
                }) if self.writers.get(&writer) < Some(&mark(staged)) => {}
                Some(_) => {
                    audit.checked(path, 0);
                    audit.note(path, "no version refers to it; upkeep removes it");
                }
                None => {}
            }
        }
    }

    /// Whether there is a part of this name that no version refers to.
    pub(crate) fn is_staged(&self, file: &str) -> bool {
        self.loose.contains(file)
    }

    /// The path of a part of this name.
    pub(crate) fn part_path(&self, file: &str) -> String {
        part_path(&self.folder, file)
    }
}
