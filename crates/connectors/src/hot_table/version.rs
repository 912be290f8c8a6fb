//! Version files: one immutable state of a table each. The contract is in the parent module.

use std::collections::BTreeMap;

use millstream_core::storage::Storage;
use millstream_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::name::Mark;
use super::schema::Column;
use super::statistics::ColumnRange;

const FORMAT: u32 = 1;

/// How many versions are kept, the newest included.
pub(super) const VERSIONS_KEPT: u64 = 3;

/// One state of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Version {
    pub database: String,
    pub table: String,
    pub columns: Vec<Column>,
    pub primary_key: Vec<usize>,
    pub retention_ms: Option<u64>,
    /// In the order in which rows replace each other.
    pub parts: Vec<PartEntry>,
    /// The last epoch that the table holds of each writer.
    pub writers: BTreeMap<String, Mark>,
}

/// A part as versions and manifests know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartEntry {
    /// Name in the table's `parts/`.
    pub file: String,
    /// Rows in the file, replaced ones included.
    pub rows: u64,
    /// The file's length.
    pub bytes: u64,
    /// The file's CRC-32.
    pub crc32: u32,
    /// One entry for each column that the part has: those that were added to the table later are
    /// null in all its rows.
    pub(super) columns: Vec<Option<ColumnRange>>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: u32,
    crc32: u32,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Where the version files of the table in `folder` are.
pub(super) fn versions_folder(folder: &str) -> String {
    format!("{folder}versions/")
}

/// The path of version `number`.
pub(super) fn version_path(folder: &str, number: u64) -> String {
    format!("{}{number:020}.json", versions_folder(folder))
}

/// The numbers of the versions that are there, ascending.
pub(super) fn version_numbers(storage: &dyn Storage, folder: &str) -> Result<Vec<u64>> {
    let paths = storage.list(&versions_folder(folder))?;
    let numbers = paths.iter().filter_map(|path| version_number(folder, path));
    Ok(numbers.collect())
}

/// The number of the version file at `path` of the table in `folder`; `None` if it is none.
pub(super) fn version_number(folder: &str, path: &str) -> Option<u64> {
    let name = path.strip_prefix(&versions_folder(folder))?;
    name.strip_suffix(".json")?.parse().ok()
}

impl Version {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let body = serde_json::value::to_raw_value(self).expect("keys are strings");
        let crc32 = crc32fast::hash(body.get().as_bytes());
        let envelope = Envelope {
            format: FORMAT,
            crc32,
            body: &body,
        };
        let mut bytes = serde_json::to_vec(&envelope).expect("keys are strings");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a file. The error names what is wrong with it, not its path.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let not_json = |e: serde_json::Error| Error::corrupt(format!("not a table version: {e}"));
        // Whatever a newer format looks like, it says so first.
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(not_json)?;
        if format > FORMAT {
            let message = format!("format={format} is from a newer version; expected {FORMAT}");
            return Err(Error::invalid(message));
        }
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(not_json)?;
        let found = crc32fast::hash(envelope.body.get().as_bytes());
        if found != envelope.crc32 {
            let expected = envelope.crc32;
            let message = format!("checksum does not match: found={found} expected={expected}");
            return Err(Error::corrupt(message));
        }
        let version: Self = serde_json::from_str(envelope.body.get()).map_err(not_json)?;
        version.check()?;
        Ok(version)
    }

    /// Indexes lead to columns that there are.
    fn check(&self) -> Result<()> {
        let columns = self.columns.len();
        if let Some(found) = self.primary_key.iter().find(|index| **index >= columns) {
            let message = format!("found key column {found}, expected one of {columns} columns");
            return Err(Error::corrupt(message));
        }
        let mut parts = self.parts.iter();
        if let Some(part) = parts.find(|part| part.columns.len() > columns) {
            let (file, found) = (&part.file, part.columns.len());
            let message = format!("found {found} columns in `{file}`, expected at most {columns}");
            return Err(Error::corrupt(message));
        }
        Ok(())
    }
}

/// Reads version `number`.
pub(super) fn read_version(storage: &dyn Storage, folder: &str, number: u64) -> Result<Version> {
    let path = version_path(folder, number);
    let bytes = storage.read(&path)?;
    Version::decode(&bytes).map_err(|error| error.context(format!("`{path}`")))
}

/// Reads the newest version, or `None` if the table has none. If the newest is damaged, the error
/// names it and the newest one that is sound.
pub(super) fn read_newest(storage: &dyn Storage, folder: &str) -> Result<Option<(u64, Version)>> {
    let numbers = version_numbers(storage, folder)?;
    let Some((newest, older)) = numbers.split_last() else {
        return Ok(None);
    };
    let error = match read_version(storage, folder, *newest) {
        Ok(version) => return Ok(Some((*newest, version))),
        Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
        Err(error) => error,
    };
    let sound = older
        .iter()
        .rev()
        .find(|n| read_version(storage, folder, **n).is_ok());
    let advice = match sound {
        Some(number) => format!(
            "the newest sound version is `{}`",
            version_path(folder, *number)
        ),
        None => "there is no sound version".to_owned(),
    };
    Err(Error::corrupt(format!("{error}; {advice}")))
}

/// Writes version `number`, given as [`Version::encode`] does. Repeating it is fine; `Fenced` if
/// somebody else wrote another one.
pub(super) fn write_version(
    storage: &dyn Storage,
    folder: &str,
    number: u64,
    bytes: &[u8],
) -> Result<()> {
    let path = version_path(folder, number);
    match storage.put_if_absent(&path, bytes) {
        // An earlier attempt may have succeeded although its answer said otherwise.
        Err(error) if error.kind() == ErrorKind::Conflict => {
            if storage.read(&path)? == bytes {
                // It may have failed before the folder was synced.
                return storage.put(&path, bytes);
            }
            let message = format!("`{path}` was written by another process, which owns the table");
            Err(Error::new(ErrorKind::Fenced, message))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_or_a_part_with_columns_that_are_not_there_is_refused() {
        let version = |primary_key: &str, columns: &str| {
            let body = format!(
                "{{\"database\":\"d\",\"table\":\"t\",\"columns\":[{{\"name\":\"n\",\"type\":\"BIGINT\"}}],\
                 \"primary_key\":{primary_key},\"retention_ms\":null,\"parts\":[{{\"file\":\"f\",\
                 \"rows\":1,\"bytes\":1,\"crc32\":1,\"columns\":{columns}}}],\"writers\":{{}}}}"
            );
            let crc = crc32fast::hash(body.as_bytes());
            let file = format!("{{\"format\":1,\"crc32\":{crc},\"body\":{body}}}");
            Version::decode(file.as_bytes())
        };
        version("[0]", "[null]").unwrap();
        let check = |found: Result<Version>, expected: &str| {
            let error = found.unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::Corrupt, expected)
            );
        };
        check(
            version("[1]", "[null]"),
            "found key column 1, expected one of 1 columns",
        );
        let expected = "found key column 18446744073709551615, expected one of 1 columns";
        check(version("[18446744073709551615]", "[]"), expected);
        let expected = "found 2 columns in `f`, expected at most 1";
        check(version("[0]", "[null,null]"), expected);
    }
}
