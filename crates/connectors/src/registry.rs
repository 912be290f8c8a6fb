//! All connectors: what a pipeline file can name ([`CATALOG`]), and who makes it ([`Embedded`]).
//!
//! A table's `'connector'` says the kind of service; here each is bound to its embedded default:
//! topics and tables of the data directory. Connectors are dispatched by name in one place, so a
//! real service later takes its arm of the `match`; `check` says beforehand what they would refuse.

mod check;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_core::connector::{ConnectorCatalog, ConnectorInfo, Connectors};
use millstream_core::env::Env;
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::sink::Sink;
use millstream_core::source::{Decoder, Source};
use millstream_core::storage::Storage;
use millstream_core::{Error, Result};

use crate::hot_table::HotTables;
use crate::iceberg::lake::{Lake, LakeConfig};
use crate::topic::TopicLog;
use crate::{blackhole, datagen, filesystem, formats, hot_table, iceberg, nexmark, print, topic};

/// Everything that a pipeline file can name.
pub const CATALOG: ConnectorCatalog = ConnectorCatalog {
    connectors: CONNECTORS,
    formats: formats::FORMATS,
    check: check::check,
};

const CONNECTORS: &[ConnectorInfo] = &[
    topic::KAFKA,
    topic::HTTP,
    filesystem::INFO,
    hot_table::INFO,
    iceberg::INFO,
    datagen::INFO,
    nexmark::INFO,
    print::INFO,
    blackhole::INFO,
];

/// Every connector on its embedded default. Clones share topics and tables.
#[derive(Clone)]
pub struct Embedded {
    storage: Arc<dyn Storage>,
    topics: Arc<TopicLog>,
    tables: Arc<HotTables>,
    lake: Arc<Lake>,
    env: Arc<dyn Env>,
}

impl Embedded {
    /// Connectors on these topics and tables. Sinks stage rows in `storage`.
    pub fn new(
        storage: Arc<dyn Storage>,
        topics: Arc<TopicLog>,
        tables: Arc<HotTables>,
        env: Arc<dyn Env>,
    ) -> Self {
        let lake = Lake::open(LakeConfig::default(), storage.clone(), env.clone());
        Self {
            storage,
            topics,
            tables,
            lake: Arc::new(lake),
            env,
        }
    }

    /// The same with another lake than the one in `storage`, which is the default.
    #[must_use]
    pub fn with_lake(self, lake: Arc<Lake>) -> Self {
        Self { lake, ..self }
    }

    /// Where tables of `'connector' = 'iceberg'` are.
    pub fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }
}

impl Connectors for Embedded {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        match plan.connector.connector.as_str() {
            "kafka" | "http" => topic::source(&self.topics, plan),
            "filesystem" => filesystem::source(plan),
            "clickhouse" => hot_table::source(&self.tables, plan),
            "iceberg" => self.lake.source(plan),
            "datagen" => datagen::source(plan, self.env.clone()),
            "nexmark" => nexmark::source(plan, self.env.clone()),
            other => Err(refused(&plan.table, other, "read", |info| info.is_source)),
        }
    }

    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        let decoder = formats::decoder(&plan.connector, schema);
        decoder.map_err(|error| error.context(format!("table `{}`", plan.table)))
    }

    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        match plan.connector.connector.as_str() {
            "kafka" => topic::sink(&self.topics, &self.storage, &self.env, plan),
            "filesystem" => filesystem::sink(plan),
            "clickhouse" => hot_table::sink(&self.tables, plan),
            "iceberg" => self.lake.sink(plan),
            "print" => Ok(print::sink(&self.storage, &self.env, plan)),
            "blackhole" => Ok(blackhole::sink()),
            other => Err(refused(&plan.table, other, "written", |info| info.is_sink)),
        }
    }
}

fn refused(
    table: &str,
    connector: &str,
    what: &str,
    can: impl Fn(&ConnectorInfo) -> bool,
) -> Error {
    let able = CONNECTORS
        .iter()
        .filter(|info| can(info))
        .map(|info| info.name);
    let able: Vec<&str> = able.collect();
    let why = if CONNECTORS.iter().any(|info| info.name == connector) {
        format!("connector `{connector}` cannot be {what}")
    } else {
        format!("unknown connector `{connector}`")
    };
    Error::invalid(format!(
        "table `{table}`: {why}; expected one of: {}",
        able.join(", ")
    ))
}

#[cfg(test)]
mod tests;
