//! What a topic is: its name, its number of partitions, its retention. Kept in `topic.json`:
//!
//! ```text
//! {"format":2,"crc32":1234,"topic":{"partitions":2,"retention_ms":null,"retention_bytes":null}}
//! ```
//!
//! The checksum is that of the text of `topic`. Format 1 had its fields beside `format` and no
//! checksum; it is still read.

use millstream_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// As in Kafka, so that a file name is never too long.
const NAME_BYTES_MAX: usize = 249;
pub(super) const PARTITIONS_MAX: u32 = 4096;
const FORMAT: u32 = 2;
const FORMAT_WITHOUT_CHECKSUM: u32 = 1;

/// How a topic is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicOptions {
    /// Number of partitions, at least 1.
    pub partitions: u32,
    /// How long records stay, in ms; `None`: as the log's configuration says.
    pub retention_ms: Option<u64>,
    /// How many bytes a partition may have; `None`: as the log's configuration says.
    pub retention_bytes: Option<u64>,
}

impl TopicOptions {
    /// Of a topic with so many partitions.
    pub fn partitions(partitions: u32) -> Self {
        Self {
            partitions,
            retention_ms: None,
            retention_bytes: None,
        }
    }

    /// `InvalidInput` if there are no partitions, or too many.
    pub(super) fn check(&self) -> Result<()> {
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            let found = self.partitions;
            return Err(Error::invalid(format!(
                "found {found} partitions, expected 1 to {PARTITIONS_MAX}"
            )));
        }
        Ok(())
    }

    /// As `topic.json`.
    pub(super) fn to_json(self) -> Result<Vec<u8>> {
        let bug = |error: serde_json::Error| Error::bug(error.to_string());
        let definition = Definition {
            partitions: self.partitions,
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
        };
        let topic = serde_json::value::to_raw_value(&definition).map_err(bug)?;
        let file = DefinitionFile {
            format: FORMAT,
            crc32: crc32fast::hash(topic.get().as_bytes()),
            topic,
        };
        serde_json::to_vec(&file).map_err(bug)
    }

    /// From `topic.json` at `path`. `Corrupt` if it is damaged.
    pub(super) fn from_json(path: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |why: String| Error::corrupt(format!("`{path}`: {why}"));
        if let Ok(Format { format }) = serde_json::from_slice(bytes)
            && format > FORMAT
        {
            return Err(newer(path, format, FORMAT));
        }
        let definition = Definition::parse(bytes)
            .map_err(|why| damaged(format!("{why}; restore it from a backup")))?;
        let options = Self {
            partitions: definition.partitions,
            retention_ms: definition.retention_ms,
            retention_bytes: definition.retention_bytes,
        };
        options.check().map_err(|e| damaged(e.to_string()))?;
        Ok(options)
    }
}

/// The error for a file that this version is too old to read.
pub(super) fn newer(path: &str, found: u32, expected: u32) -> Error {
    Error::invalid(format!(
        "`{path}` was written by a newer version: format {found}, this one reads up to {expected}"
    ))
}

/// `topic.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefinitionFile {
    format: u32,
    crc32: u32,
    topic: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    partitions: u32,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
}

/// Format 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefinitionWithoutChecksum {
    #[serde(rename = "format")]
    _format: u32,
    partitions: u32,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Definition {
    /// The error says what is wrong.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = |error: serde_json::Error| error.to_string();
        let Format { format } = serde_json::from_slice(bytes).map_err(text)?;
        match format {
            FORMAT => {
                let file: DefinitionFile = serde_json::from_slice(bytes).map_err(text)?;
                let topic = file.topic.get();
                if crc32fast::hash(topic.as_bytes()) != file.crc32 {
                    return Err("the checksum is wrong".to_owned());
                }
                serde_json::from_str(topic).map_err(text)
            }
            FORMAT_WITHOUT_CHECKSUM => {
                let old: DefinitionWithoutChecksum = serde_json::from_slice(bytes).map_err(text)?;
                Ok(Self {
                    partitions: old.partitions,
                    retention_ms: old.retention_ms,
                    retention_bytes: old.retention_bytes,
                })
            }
            other => Err(format!("found format {other}, expected {FORMAT}")),
        }
    }
}

/// `InvalidInput` unless `name` is a topic's name as Kafka has it.
pub(super) fn check_name(name: &str) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(is_allowed)
        && name != "."
        && name != "..";
    if is_name {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{}` is no topic name: expected 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`",
        name.chars().take(300).collect::<String>()
    )))
}

#[cfg(test)]
mod tests {
    use millstream_core::ErrorKind;

    use super::*;

    #[test]
    fn names_are_as_in_kafka() {
        let long = "x".repeat(NAME_BYTES_MAX);
        for name in ["a", "web.clicks", "A_1-b", "...", &long] {
            check_name(name).unwrap();
        }
        let longer = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", "a/b", "a b", "a;b", "ä", &longer] {
            assert_eq!(
                check_name(name).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{name}"
            );
        }
    }

    #[test]
    fn a_definition_comes_back_and_damage_is_named() {
        let options = TopicOptions {
            retention_ms: Some(5),
            ..TopicOptions::partitions(3)
        };
        let json = options.to_json().unwrap();
        assert_eq!(TopicOptions::from_json("p", &json).unwrap(), options);
        for text in [
            "",
            "{}",
            r#"{"format":0,"partitions":1}"#,
            r#"{"format":1,"partitions":0}"#,
            r#"{"format":1,"partitions":1,"crc32":5}"#,
        ] {
            let error = TopicOptions::from_json("t/topic.json", text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().starts_with("`t/topic.json`: "), "{error}");
        }
        let error = TopicOptions::from_json("t/topic.json", br#"{"format":3}"#).unwrap_err();
        let expected =
            "`t/topic.json` was written by a newer version: format 3, this one reads up to 2";
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::InvalidInput, expected)
        );
    }

    #[test]
    fn every_flipped_bit_of_a_definition_is_found() {
        let options = TopicOptions {
            retention_ms: Some(86_400_000),
            ..TopicOptions::partitions(2)
        };
        let json = options.to_json().unwrap();
        for bit in 0..json.len() * 8 {
            let mut damaged = json.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = TopicOptions::from_json("t/topic.json", &damaged);
            assert!(found.is_err(), "{}", String::from_utf8_lossy(&damaged));
        }
    }

    #[test]
    fn a_definition_of_an_older_version_is_read() {
        let json = br#"{"format":1,"partitions":3,"retention_ms":5,"retention_bytes":null}"#;
        let expected = TopicOptions {
            retention_ms: Some(5),
            ..TopicOptions::partitions(3)
        };
        assert_eq!(TopicOptions::from_json("p", json).unwrap(), expected);
    }
}
