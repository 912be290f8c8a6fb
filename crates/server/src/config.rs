//! Configuration, resolved in one place: defaults, then `millstream.toml`, then `MILLSTREAM_…`,
//! then the command line; the later wins.
//!
//! ```text
//! millstream.toml  -> table ┐
//! MILLSTREAM_…     -> table ├ laid over each other -> ConfigFile -> Config
//! --listen …       -> table ┘
//! ```
//!
//! Keys are written as in [`ConfigFile`]; the variable of `collector.body-bytes-max` is
//! `MILLSTREAM_COLLECTOR_BODY_BYTES_MAX`. An unknown key in the file is an error with its place.
//! Durations are written as `10s`, sizes as `64MiB`.

mod file;
mod listen;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_core::{Error, Result};
use toml::{Table, Value};

use file::ConfigFile;
pub use listen::{DEFAULT_LISTEN, listen_address};

use crate::query::QueryLimits;

/// The configuration file that is read when no other is named and it is there.
pub const DEFAULT_FILE: &str = "millstream.toml";

/// Everything that can be configured, with nothing left to decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where topics, tables and checkpoints live; by default the command decides.
    pub data_dir: Option<PathBuf>,
    /// Where HTTP is served; by default the command decides.
    pub listen: Option<SocketAddr>,
    /// Logs on stderr.
    pub log: LogConfig,
    /// `POST /v1/events/{topic}`.
    pub collector: CollectorConfig,
    /// Limits of SQL queries.
    pub query: QueryConfig,
    /// Limits of pipelines.
    pub pipeline: PipelineConfig,
    /// Where lake tables are, as keys of `[iceberg]` and their values.
    pub iceberg: BTreeMap<String, String>,
    /// Whether lake tables that this process writes are compacted and expired by it.
    pub iceberg_maintenance: bool,
}

/// Logs on stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Which: `warn`, `info`, `millstream_engine=debug`.
    pub filter: String,
    /// How they look.
    pub format: LogFormat,
}

impl LogConfig {
    /// The filter, unless another is given.
    pub const DEFAULT_FILTER: &str = "warn";
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Limits of the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorConfig {
    /// Largest body of one request; larger ones are answered with 413.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are being read or stored; beyond that requests get 429.
    pub pending_bytes_max: usize,
}

/// Limits of SQL queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryConfig {
    /// Most rows of a result; what is left out is told as `truncated`.
    pub rows_max: usize,
    /// Longest time a query may take.
    pub timeout: Duration,
    /// Most memory that queries may hold.
    pub memory_bytes_max: usize,
}

impl QueryConfig {
    /// As the query engine takes them.
    pub fn limits(&self) -> QueryLimits {
        QueryLimits {
            rows_max: self.rows_max,
            timeout: self.timeout,
            memory_bytes: self.memory_bytes_max,
        }
    }
}

/// Limits of pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineConfig {
    /// Number of shards where the file does not say; by default one for each core.
    pub parallelism: Option<u32>,
    /// Most bytes of state and staged output in memory before reading stops.
    pub memory_bytes_max: usize,
}

impl Config {
    /// Resolves the configuration from the file at `file` (or [`DEFAULT_FILE`] if that is there),
    /// `variables` (of the environment) and `flags` (key and value, as in the file).
    ///
    /// # Errors
    /// `InvalidInput` that names the file, variable or flag, and what was expected.
    pub fn load(
        file: Option<&Path>,
        variables: &BTreeMap<String, String>,
        flags: &[(&str, String)],
    ) -> Result<Self> {
        let named = variables.get("MILLSTREAM_CONFIG").map(PathBuf::from);
        let text = match file.map(Path::to_path_buf).or(named) {
            Some(path) => Some((read(&path)?, path)),
            None if Path::new(DEFAULT_FILE).exists() => {
                Some((read(Path::new(DEFAULT_FILE))?, PathBuf::from(DEFAULT_FILE)))
            }
            None => None,
        };
        let mut layers = Table::new();
        if let Some((text, path)) = &text {
            layers = file::parse(text).map_err(|e| e.context(path.display()))?;
        }
        for (key, value) in file::keys_in(variables) {
            set(&mut layers, key, value).map_err(|e| e.context(file::variable(key)))?;
        }
        for (key, value) in flags {
            set(&mut layers, key, value).map_err(|e| e.context(format!("--{key}")))?;
        }
        resolve(&ConfigFile::from_table(layers)?)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io(&path.display().to_string(), &error))
}

/// Sets a dotted key, after checking its value alone, so that an error can name where it is from.
fn set(layers: &mut Table, key: &str, text: &str) -> Result<()> {
    let value = match text.parse::<i64>() {
        Ok(number) if file::is_number(key) => Value::Integer(number),
        _ => Value::String(text.to_owned()),
    };
    let mut alone = Table::new();
    insert(&mut alone, key, value.clone());
    resolve(&ConfigFile::from_table(alone)?)?;
    insert(layers, key, value);
    Ok(())
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let empty = Value::Table(Table::new());
            let inner = table.entry(section).or_insert(empty);
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn resolve(file: &ConfigFile) -> Result<Config> {
    let at_least_one = |key: &str, value: u64| match value {
        0 => Err(Error::invalid(format!(
            "`{key}`: found 0, expected at least 1"
        ))),
        value => Ok(usize::try_from(value).unwrap_or(usize::MAX)),
    };
    let (body, pending) = (
        file.collector.body_bytes_max,
        file.collector.pending_bytes_max,
    );
    let body_bytes_max = body.map_or(8 << 20, |size| size.0);
    // Never less than one body of the largest size, which could not be taken otherwise.
    let pending_bytes_max = pending.map_or(64 << 20, |size| size.0).max(body_bytes_max);
    if let (Some(body), Some(pending)) = (body, pending)
        && pending.0 < body.0
    {
        return Err(Error::invalid(format!(
            "`collector.pending-bytes-max`: found {} bytes, expected at least \
             `collector.body-bytes-max`={}",
            pending.0, body.0
        )));
    }
    let query_memory = file.query.memory_bytes_max.map_or(512 << 20, |size| size.0);
    let pipeline_memory = file
        .pipeline
        .memory_bytes_max
        .map_or(1 << 30, |size| size.0);
    let timeout = file.query.timeout.map_or(30_000, |duration| duration.0);
    Ok(Config {
        data_dir: file.data_dir.clone().map(PathBuf::from),
        listen: file.listen.as_deref().map(listen_address).transpose()?,
        log: LogConfig {
            filter: file
                .log
                .filter
                .clone()
                .unwrap_or(LogConfig::DEFAULT_FILTER.to_owned()),
            format: file.log.format.unwrap_or_default(),
        },
        collector: CollectorConfig {
            body_bytes_max: at_least_one("collector.body-bytes-max", body_bytes_max)?,
            pending_bytes_max: at_least_one("collector.pending-bytes-max", pending_bytes_max)?,
        },
        query: QueryConfig {
            rows_max: at_least_one("query.rows-max", file.query.rows_max.unwrap_or(10_000))?,
            timeout: Duration::from_millis(timeout),
            memory_bytes_max: at_least_one("query.memory-bytes-max", query_memory)?,
        },
        pipeline: PipelineConfig {
            parallelism: parallelism(file.pipeline.parallelism)?,
            memory_bytes_max: at_least_one("pipeline.memory-bytes-max", pipeline_memory)?,
        },
        iceberg: file.iceberg.options(),
        iceberg_maintenance: file.iceberg.maintenance.is_none_or(|flag| flag.0),
    })
}

fn parallelism(given: Option<u64>) -> Result<Option<u32>> {
    match given {
        None => Ok(None),
        Some(count @ 1..=1024) => Ok(Some(u32::try_from(count).expect("1024 fits"))),
        Some(other) => Err(Error::invalid(format!(
            "`pipeline.parallelism`: found {other}, expected 1 to 1024"
        ))),
    }
}

#[cfg(test)]
mod tests;
