//! The form of small files that decide something: one line of text, then JSON.
//!
//! `millstream-<kind> <version> crc32=<8 hex digits> length=<bytes>`, a newline, then that many bytes of
//! JSON. The checksum covers the JSON. A reader refuses a higher version, a wrong length and a wrong
//! checksum.

use millstream_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of file, and the highest version that this code reads, which is the one that it writes.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    /// As in the header and in messages.
    pub kind: &'static str,
    /// The version.
    pub version: u32,
}

impl Envelope {
    /// The bytes of a file that says `value`.
    pub fn seal<T: Serialize>(&self, value: &T) -> Result<Vec<u8>> {
        let Self { kind, version } = self;
        let json = serde_json::to_vec(value).map_err(|e| Error::bug(format!("{kind}: {e}")))?;
        let crc = crc32fast::hash(&json);
        let header = format!(
            "millstream-{kind} {version} crc32={crc:08x} length={}\n",
            json.len()
        );
        Ok([header.into_bytes(), json].concat())
    }

    /// Reads a file; `path` is for messages.
    ///
    /// # Errors
    /// `Corrupt` if it is not what was written, `InvalidInput` if it is of a newer version.
    pub fn open<T: DeserializeOwned>(&self, path: &str, bytes: &[u8]) -> Result<T> {
        let kind = self.kind;
        let damaged = |what: &str| Error::corrupt(format!("{kind} `{path}` is damaged: {what}"));
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| damaged("no header line"))?;
        let header =
            std::str::from_utf8(&bytes[..end]).map_err(|_| damaged("header is not text"))?;
        let fields: Vec<&str> = header.split(' ').collect();
        let [magic, version, crc, length] = fields[..] else {
            return Err(damaged(&format!("header `{header}`")));
        };
        if magic != format!("millstream-{kind}") {
            return Err(damaged(&format!("header `{header}`")));
        }
        let version: u32 = version
            .parse()
            .map_err(|_| damaged("version is not a number"))?;
        if version == 0 {
            return Err(damaged("version 0"));
        }
        if version > self.version {
            let message = format!(
                "{kind} `{path}` was written by a newer version: format {version}, \
                 this one reads up to {}",
                self.version
            );
            return Err(Error::invalid(message));
        }
        let json = &bytes[end + 1..];
        if length != format!("length={}", json.len()) {
            return Err(damaged(&format!(
                "{length} expected, found {} bytes",
                json.len()
            )));
        }
        let found = crc32fast::hash(json);
        if crc != format!("crc32={found:08x}") {
            return Err(damaged(&format!(
                "checksum {crc} expected, found {found:08x}"
            )));
        }
        serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))
    }
}
