//! `millstream.toml` as it is written: every key optional, unknown ones refused.

use std::collections::BTreeMap;

use millstream_core::quantity::{duration_ms, size_bytes};
use millstream_core::{Error, Result};
use serde::{Deserialize, Deserializer};
use toml::Table;

use super::LogFormat;

/// Every key, for the variables of the environment; the file itself is checked by serde.
const KEYS: &[&str] = &[
    "data-dir",
    "listen",
    "log.filter",
    "log.format",
    "collector.body-bytes-max",
    "collector.pending-bytes-max",
    "query.rows-max",
    "query.timeout",
    "query.memory-bytes-max",
    "pipeline.parallelism",
    "pipeline.memory-bytes-max",
];

/// Whether `key` takes a bare number.
pub fn is_number(key: &str) -> bool {
    matches!(key, "query.rows-max" | "pipeline.parallelism")
}

/// The variable of the environment for `key`; `log.filter` has a short one.
pub fn variable(key: &str) -> String {
    match key {
        "log.filter" => "MILLSTREAM_LOG".to_owned(),
        _ => format!(
            "MILLSTREAM_{}",
            key.replace(['-', '.'], "_").to_ascii_uppercase()
        ),
    }
}

/// The keys that `variables` set, with their values.
pub fn keys_in(
    variables: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&'static str, &String)> {
    let value = |key: &&'static str| variables.get(&variable(key)).map(|value| (*key, value));
    KEYS.iter().filter_map(value)
}

/// A file's text as a table, every key and value checked.
pub fn parse(text: &str) -> Result<Table> {
    let invalid = |error: toml::de::Error| Error::invalid(error.to_string().trim_end().to_owned());
    toml::from_str::<ConfigFile>(text).map_err(invalid)?;
    toml::from_str::<Table>(text).map_err(invalid)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConfigFile {
    pub data_dir: Option<String>,
    pub listen: Option<String>,
    pub log: LogSection,
    pub collector: CollectorSection,
    pub query: QuerySection,
    pub pipeline: PipelineSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogSection {
    pub filter: Option<String>,
    pub format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CollectorSection {
    pub body_bytes_max: Option<Size>,
    pub pending_bytes_max: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct QuerySection {
    pub rows_max: Option<u64>,
    pub timeout: Option<DurationMs>,
    pub memory_bytes_max: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PipelineSection {
    pub parallelism: Option<u64>,
    pub memory_bytes_max: Option<Size>,
}

impl ConfigFile {
    /// From a table that the layers made.
    pub fn from_table(table: Table) -> Result<Self> {
        let parsed = Self::deserialize(toml::Value::Table(table));
        parsed.map_err(|error| Error::invalid(error.to_string().trim_end().to_owned()))
    }
}

/// Bytes, written as `64MiB`.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

/// Milliseconds, written as `10s`.
#[derive(Debug, Clone, Copy)]
pub struct DurationMs(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        size_bytes(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        duration_ms(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
