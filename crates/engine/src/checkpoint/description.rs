//! What a manifest says of its plan, so that another plan can tell what of the state it can take over.

use std::collections::BTreeMap;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use millstream_core::plan::{ConnectorConfig, SinkPlan, SinkRole};
use millstream_core::{Error, NodeId, Result, SinkId};
use serde::{Deserialize, Serialize};

/// A plan as far as state goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlanDescription {
    /// The operators that keep state, in the order of the plan.
    pub operators: Vec<OperatorDescription>,
    /// The tables that are read.
    pub sources: Vec<SourceDescription>,
    /// The tables that are written.
    pub sinks: Vec<SinkDescription>,
}

/// An operator that keeps state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDescription {
    /// Its place in the plan.
    pub node: NodeId,
    /// A hash of all that its state depends on: equal state can be taken over (see `lineage`).
    pub fingerprint: String,
    /// How long after its end a window takes rows in, in ms.
    #[serde(default)]
    pub allowed_lateness_ms: i64,
    /// What it does, for people.
    pub text: String,
    /// What it is made of, for people: a name and a text for each part.
    pub aspects: Vec<(String, String)>,
    /// The tables that its rows go to.
    pub sinks: Vec<String>,
}

/// A table that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDescription {
    /// Its name.
    pub table: String,
    /// Its connector, and the options that say where its rows are.
    pub place: String,
    /// Its watermark, for people; empty if there is none.
    pub watermark: String,
    /// A hash of what the watermark is computed from.
    pub watermark_fingerprint: String,
}

/// A table that is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkDescription {
    /// Its name.
    pub table: String,
    /// The value of `'connector'`.
    pub connector: String,
    /// The other options.
    pub options: BTreeMap<String, String>,
    /// Its columns, for people: name and type.
    pub columns: Vec<String>,
    /// Its columns as an Arrow IPC stream without rows, in hexadecimal digits.
    pub schema: String,
    /// Columns of the primary key.
    pub primary_key: Vec<usize>,
    /// `results`, `late-events` or `dead-letters`.
    pub role: String,
    /// A hash of how its rows are computed.
    pub fingerprint: String,
}

const ROLES: [(&str, SinkRole); 3] = [
    ("results", SinkRole::Results),
    ("late-events", SinkRole::LateEvents),
    ("dead-letters", SinkRole::DeadLetters),
];

impl SinkDescription {
    /// Of `sink`, whose rows are computed as `fingerprint` says.
    pub fn new(sink: &SinkPlan, columns: Vec<String>, fingerprint: String) -> Result<Self> {
        let role = ROLES.iter().find(|(_, role)| *role == sink.role);
        Ok(Self {
            table: sink.table.clone(),
            connector: sink.connector.connector.clone(),
            options: sink.connector.options.clone(),
            columns,
            schema: encoded(&sink.schema)?,
            primary_key: sink.primary_key.clone(),
            role: role.map_or("results", |(name, _)| name).to_owned(),
            fingerprint,
        })
    }

    /// Whether `sink` is the same table in the same place; its columns may differ.
    pub fn is_place_of(&self, sink: &SinkPlan) -> bool {
        self.table == sink.table
            && self.connector == sink.connector.connector
            && self.options == sink.connector.options
    }

    /// The sink, to commit what was staged for it.
    pub fn plan(&self) -> Result<SinkPlan> {
        let role = ROLES.iter().find(|(name, _)| *name == self.role);
        Ok(SinkPlan {
            id: SinkId(0),
            table: self.table.clone(),
            connector: ConnectorConfig {
                connector: self.connector.clone(),
                options: self.options.clone(),
            },
            schema: decoded(&self.schema)?,
            primary_key: self.primary_key.clone(),
            role: role.map_or(SinkRole::Results, |(_, role)| *role),
        })
    }
}

fn encoded(schema: &Schema) -> Result<String> {
    let bytes = StreamWriter::try_new(vec![], schema)?.into_inner()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn decoded(digits: &str) -> Result<SchemaRef> {
    let damaged = || Error::corrupt("the columns of a sink in a manifest cannot be read");
    let bytes = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or_else(damaged)?;
    let reader = StreamReader::try_new(bytes.as_slice(), None).map_err(|_| damaged())?;
    Ok(reader.schema())
}
