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
    "iceberg.catalog-type",
    "iceberg.uri",
    "iceberg.warehouse",
    "iceberg.catalog-name",
    "iceberg.token",
    "iceberg.credential",
    "iceberg.maintenance",
    "iceberg.s3.endpoint",
    "iceberg.s3.region",
    "iceberg.s3.path-style-access",
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
    pub iceberg: IcebergSection,
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct IcebergSection {
    pub catalog_type: Option<String>,
    pub uri: Option<String>,
    pub warehouse: Option<String>,
    pub catalog_name: Option<String>,
    pub token: Option<String>,
    pub credential: Option<String>,
    pub maintenance: Option<Flag>,
    pub s3: S3Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct S3Section {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style_access: Option<Flag>,
}

/// `true` or `false`, also as text, as variables of the environment are.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Flag(pub bool);

impl TryFrom<toml::Value> for Flag {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match &value {
            toml::Value::Boolean(flag) => Ok(Self(*flag)),
            toml::Value::String(text) if text == "true" => Ok(Self(true)),
            toml::Value::String(text) if text == "false" => Ok(Self(false)),
            other => {
                let found = other.type_str();
                Err(format!("found a {found}, expected `true` or `false`"))
            }
        }
    }
}

impl IcebergSection {
    /// As the lake takes them.
    pub fn options(&self) -> BTreeMap<String, String> {
        let flag = self.s3.path_style_access.map(|flag| flag.0.to_string());
        let options = [
            ("catalog-type", &self.catalog_type),
            ("uri", &self.uri),
            ("warehouse", &self.warehouse),
            ("catalog-name", &self.catalog_name),
            ("token", &self.token),
            ("credential", &self.credential),
            ("s3.endpoint", &self.s3.endpoint),
            ("s3.region", &self.s3.region),
            ("s3.path-style-access", &flag),
        ];
        let given = options
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        given.collect()
    }
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
