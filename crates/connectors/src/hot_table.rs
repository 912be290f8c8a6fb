//! Hot tables: the embedded stand-in for ClickHouse. A table lives in the data directory, is
//! written by exactly-once sinks, replaces rows by primary key, and can be queried at once.
//!
//! # Files
//!
//! ```text
//! tables/<database>.<table>/versions/<20 digits>.json         one state of the table, immutable
//! tables/<database>.<table>/parts/e-<pipeline>.<sink>-<incarnation>-<epoch>-<shard>.parquet
//! tables/<database>.<table>/parts/m-<20 digits>.parquet       a merge, begun at that version
//! ```
//!
//! Names are percent-encoded outside `[A-Za-z0-9_]`, so that `.` and `-` separate. A version file
//! is `{"format":1,"crc32":<u32>,"body":{…}}`: the checksum (CRC-32, IEEE) is that of the bytes of
//! `body`, which names columns, key, retention, parts in order (with rows, length, checksum, and
//! per column least and greatest value and nulls) and for each writer (`pipeline/sink`) the last
//! epoch that the table holds. It is written with put-if-absent, numbers count up by one, and
//! **the newest version is the table**: there is no other pointer. If it is damaged the table does
//! not open; the error names it and the newest sound one.
//!
//! # Flow
//!
//! A writer ([`sink`]) keeps an epoch's rows in memory and stages them as one Parquet part per
//! shard, which nothing refers to. Commit publishes one version that adds the parts and remembers
//! the epoch. Queries read a [`TableSnapshot`]. [`HotTable::maintain`] merges small parts, drops
//! replaced and expired rows, and deletes what nobody can read any more.
//!
//! # Invariants
//!
//! 1. Rows and the memory of their epoch become durable in one step: the version file.
//! 2. Of rows with the same key the last in order of parts, then rows, is live. Which rows are
//!    replaced is not stored: it follows from the parts, and is computed again on opening.
//! 3. A part is deleted only when no kept version (the last three) and no snapshot refers to it.
//! 4. Nothing is read from a part before its length and checksum were verified.

pub mod audit;
mod index;
mod live;
mod merge;
mod name;
mod part;
mod part_file;
mod scan;
mod schema;
mod sink;
mod snapshot;
mod source;
mod state;
mod statistics;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod version;

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use millstream_core::connector::{
    ConnectorInfo, LOOKUP_CACHE, LOOKUP_EXPIRY, OptionInfo, OptionKind, Whole,
};
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::quantity::duration_ms;
use millstream_core::sink::Sink;
use millstream_core::source::Source;
use millstream_core::{Error, Result, Subject};

pub use live::{LiveEvent, Subscription};
pub(crate) use name::encoded;
pub use name::{DEFAULT_DATABASE, TableName};
pub use scan::Scan;
pub use snapshot::{SnapshotPart, TableSnapshot};
pub use statistics::{ColumnStatistics, GroupStatistics, Prune};
use table::check_definition;
pub(crate) use table::check_same;
pub use table::{HotTable, TableDefinition};
pub use tables::HotTables;
pub(crate) use version::PartEntry;

/// What the SQL front needs to know of `'connector' = 'clickhouse'`.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "clickhouse",
    is_source: false,
    is_sink: true,
    is_upsert: true,
    whole: Whole::Always,
    needs_format: false,
    options: &[
        option(
            "url",
            OptionKind::Text,
            "address of a real ClickHouse; leave it out for the embedded table",
        ),
        option(
            "database-name",
            OptionKind::Text,
            "database of the table; by default `default`",
        ),
        option(
            "table-name",
            OptionKind::Text,
            "name in the database; by default the table's own",
        ),
        option(
            "table.retention",
            OptionKind::Duration,
            "drop rows this long after their window or key time",
        ),
        LOOKUP_CACHE,
        LOOKUP_EXPIRY,
    ],
    metadata: &[],
};

const fn option(key: &'static str, kind: OptionKind, help: &'static str) -> OptionInfo {
    OptionInfo {
        key,
        required: false,
        kind,
        help,
    }
}

/// The sink that writes the table of `plan`, which is made if it is not there. `InvalidInput` if
/// it is there with other columns or another key, or if the options ask for a real ClickHouse.
pub fn sink(tables: &Arc<HotTables>, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
    let definition = definition(plan).map_err(|e| e.context(format!("table `{}`", plan.table)))?;
    let table = tables.create(&definition)?;
    Ok(Box::new(sink::HotTableSink::new(table)))
}

/// The rows of the table of `plan`, for joins that hold them in memory. `InvalidInput` if it is not
/// there or lacks a column.
pub fn source(tables: &Arc<HotTables>, plan: &SourcePlan) -> Result<Box<dyn Source>> {
    source::source(tables, plan)
}

/// Refuses what [`source`] would refuse whatever tables there are.
pub(crate) fn check_source(plan: &SourcePlan) -> Result<()> {
    source::name(plan).map(|_| ())
}

/// What `plan` says about its table. `InvalidInput` for what no table can be.
pub(crate) fn checked_definition(plan: &SinkPlan) -> Result<TableDefinition> {
    let definition = definition(plan)?;
    check_definition(&definition)?;
    Ok(definition)
}

/// What `plan` says about its table. `InvalidInput` about the option that is wrong.
fn definition(plan: &SinkPlan) -> Result<TableDefinition> {
    let options = &plan.connector;
    if options.get("url").is_some() {
        let message =
            "a real ClickHouse is not built yet; leave out `url` for the embedded hot table";
        return Err(Error::of_option("url", message));
    }
    let about = |key: &str| Subject::Option(key.to_owned());
    let full = options.get("table-name").unwrap_or(&plan.table);
    let (qualifier, table) = match full.rsplit_once('.') {
        Some((database, table)) => (Some(database), table),
        None => (None, full),
    };
    let database = options.get("database-name").or(qualifier);
    let name =
        TableName::new(database.unwrap_or(DEFAULT_DATABASE), table).map_err(|error| {
            match ["database-name", "table-name"].map(|key| options.get(key)) {
                [Some(""), _] | [Some(_), None] => error.about(about("database-name")),
                [_, Some(_)] => error.about(about("table-name")),
                [None, None] => error,
            }
        })?;
    let retention = options.get("table.retention").map(duration_ms).transpose();
    Ok(TableDefinition {
        name,
        schema: plan.schema.clone(),
        primary_key: plan.primary_key.clone(),
        retention_ms: retention.map_err(|error| error.about(about("table.retention")))?,
    })
}

/// The column whose age decides about retention: the first TIMESTAMP of the key, else
/// `window_start`.
fn time_column(schema: &Schema, primary_key: &[usize]) -> Option<usize> {
    let is_time =
        |index: &usize| matches!(schema.field(*index).data_type(), DataType::Timestamp(..));
    let key = primary_key.iter().copied().find(is_time);
    key.or_else(|| schema.index_of("window_start").ok().filter(is_time))
}
