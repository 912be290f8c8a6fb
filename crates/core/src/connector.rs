//! What connectors there are and what options they take, so that SQL can be checked without them;
//! and how the engine gets sources, decoders and sinks.

use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result, Subject};
use crate::ids::{SinkId, SourceId, TableId};
use crate::plan::{ConnectorConfig, Plan, SinkPlan, SourcePlan};
use crate::quantity::duration_ms;
use crate::sink::Sink;
use crate::source::{Decoder, Source};

/// What the SQL front needs to know of a connector.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorInfo {
    /// The value of `'connector'`.
    pub name: &'static str,
    /// Whether it can be read.
    pub is_source: bool,
    /// Whether it can be written.
    pub is_sink: bool,
    /// Whether it can be written by primary key (upsert).
    pub is_upsert: bool,
    /// Whether a join can hold its rows in memory.
    pub whole: Whole,
    /// Whether it reads or writes bytes and so needs a `'format'`.
    pub needs_format: bool,
    /// Options that it takes, without `connector`, `format` and the format's own.
    pub options: &'static [OptionInfo],
    /// Keys of METADATA columns that it has.
    pub metadata: &'static [&'static str],
}

/// Whether all rows of a table can be read: whether they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// There is always more to come.
    Never,
    /// They are there at any time. Such a table can be joined with also if it cannot be read
    /// otherwise.
    Always,
    /// They end unless this option is given.
    Unless(&'static str),
    /// They end if this option is given.
    If(&'static str),
}

impl ConnectorInfo {
    /// Whether all rows of a table with these options can be read.
    pub fn is_whole(&self, config: &ConnectorConfig) -> bool {
        match self.whole {
            Whole::Never => false,
            Whole::Always => true,
            Whole::Unless(key) => config.get(key).is_none(),
            Whole::If(key) => config.get(key).is_some(),
        }
    }
}

/// One option of a connector or a format.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// The key; one that ends in `*` stands for all keys with that prefix.
    pub key: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// What values it takes.
    pub kind: OptionKind,
    /// One line for `millstream` users.
    pub help: &'static str,
}

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A decimal number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `10s`, `5 min`.
    Duration,
    /// `64MiB`.
    Size,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// `lookup.cache` of tables that are looked up: with `NONE` a table that has changed is read again
/// before the next epoch, with `PARTIAL` not before the rows expire.
pub const LOOKUP_CACHE: OptionInfo = OptionInfo {
    key: "lookup.cache",
    required: false,
    kind: OptionKind::OneOf(&["NONE", "PARTIAL"]),
    help: "`PARTIAL`: rows that are looked up count as current until they expire",
};

/// How long rows count as current with `lookup.cache` = `PARTIAL`.
pub const LOOKUP_EXPIRY: OptionInfo = OptionInfo {
    key: "lookup.partial-cache.expire-after-write",
    required: false,
    kind: OptionKind::Duration,
    help: "how long rows that are looked up count as current, with 'lookup.cache' = 'PARTIAL'",
};

/// How long rows of a table that is looked up count as current, in ms.
///
/// # Errors
/// One of [`LOOKUP_CACHE`] and [`LOOKUP_EXPIRY`] without the other.
pub fn lookup_cache_ms(config: &ConnectorConfig) -> Result<u64> {
    let expiry = config.get(LOOKUP_EXPIRY.key);
    match (config.get(LOOKUP_CACHE.key), expiry) {
        (None | Some("NONE"), None) => Ok(0),
        (Some("PARTIAL"), Some(expiry)) => duration_ms(expiry)
            .map_err(|error| error.about(Subject::Option(LOOKUP_EXPIRY.key.to_owned()))),
        (Some(_), None) => {
            let message = format!("'PARTIAL' without `{}`", LOOKUP_EXPIRY.key);
            Err(Error::of_option(LOOKUP_CACHE.key, message))
        }
        _ => {
            let message = "only with 'lookup.cache' = 'PARTIAL'";
            Err(Error::of_option(LOOKUP_EXPIRY.key, message))
        }
    }
}

/// What the SQL front needs to know of a format.
#[derive(Debug, Clone, Copy)]
pub struct FormatInfo {
    /// The value of `'format'`.
    pub name: &'static str,
    /// Options, with their prefix (`json.…`).
    pub options: &'static [OptionInfo],
}

/// Everything that a pipeline file can name.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorCatalog {
    /// Known connectors.
    pub connectors: &'static [ConnectorInfo],
    /// Known formats.
    pub formats: &'static [FormatInfo],
    /// Refuses what [`Connectors`] would refuse because of the plan alone, whatever the state of
    /// the world: it reads options and columns with the code that opens them, and opens nothing.
    pub check: fn(&Plan) -> Result<(), TableError>,
}

/// What is wrong with a table of a plan.
#[derive(Debug, Clone)]
pub struct TableError {
    /// Which table.
    pub table: PlanTable,
    /// What is wrong; it may say [with which option or column](Error::subject).
    pub error: Error,
}

/// A table of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanTable {
    /// That is read.
    Source(SourceId),
    /// That is written.
    Sink(SinkId),
    /// That is held in memory.
    Table(TableId),
}

/// Makes what a plan names. The server's implementation binds tables to embedded or real services.
pub trait Connectors: Send + Sync {
    /// The source of a table.
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>>;

    /// A decoder of its records into `schema`; one for each shard.
    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>>;

    /// The sink of a table.
    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>>;
}
