//! What a topic is: its name, its number of partitions, its retention. Kept in `topic.json`.

use millstream_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// As in Kafka, so that a file name is never too long.
const NAME_BYTES_MAX: usize = 249;
pub(super) const PARTITIONS_MAX: u32 = 4096;
const FORMAT: u32 = 1;

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
        let definition = Definition {
            format: FORMAT,
            partitions: self.partitions,
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
        };
        serde_json::to_vec(&definition).map_err(|e| Error::bug(e.to_string()))
    }

    /// From `topic.json` at `path`.
    pub(super) fn from_json(path: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |why: String| Error::corrupt(format!("`{path}`: {why}"));
        let definition: Definition =
            serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        if definition.format != FORMAT {
            let found = definition.format;
            return Err(damaged(format!("found format {found}, expected {FORMAT}")));
        }
        let options = Self {
            partitions: definition.partitions,
            retention_ms: definition.retention_ms,
            retention_bytes: definition.retention_bytes,
        };
        options.check().map_err(|e| damaged(e.to_string()))?;
        Ok(options)
    }
}

#[derive(Serialize, Deserialize)]
struct Definition {
    format: u32,
    partitions: u32,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
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
            r#"{"format":2,"partitions":1}"#,
            r#"{"format":1,"partitions":0}"#,
        ] {
            let error = TopicOptions::from_json("t/topic.json", text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().starts_with("`t/topic.json`: "), "{error}");
        }
    }
}
