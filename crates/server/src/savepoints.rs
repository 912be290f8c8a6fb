//! Savepoints as the outside sees them: over HTTP and on the command line.

use millstream_core::Result;
use millstream_engine::checkpoint::Savepoint;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A savepoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SavepointView {
    /// The pipeline that it is of.
    pub pipeline: String,
    /// Its name.
    pub name: String,
    /// Why it cannot be used; the rest is `null` then.
    pub damaged: Option<String>,
    /// The epoch that it keeps.
    pub epoch: Option<u64>,
    /// How often the pipeline had been rewound.
    pub incarnation: Option<u64>,
    /// When it was made, ms since the Unix epoch.
    pub created_ms: Option<i64>,
    /// Bytes of state that it keeps.
    pub bytes: Option<u64>,
    /// Rows of state that it keeps.
    pub rows: Option<u64>,
    /// Hash of the plan that it is of.
    pub plan: Option<String>,
}

impl SavepointView {
    /// The savepoint called `name`, or why it cannot be read.
    pub fn new(pipeline: &str, name: &str, savepoint: &Result<Savepoint>) -> Self {
        let sound = savepoint.as_ref().ok();
        let manifest = sound.map(|sound| &sound.manifest);
        Self {
            pipeline: pipeline.to_owned(),
            name: name.to_owned(),
            damaged: savepoint.as_ref().err().map(ToString::to_string),
            epoch: manifest.map(|manifest| manifest.epoch.0),
            incarnation: manifest.map(|manifest| manifest.incarnation.0),
            created_ms: sound.map(|sound| sound.created_ms),
            bytes: sound.map(Savepoint::state_bytes),
            rows: sound.map(Savepoint::state_rows),
            plan: manifest.map(|manifest| manifest.fingerprint.clone()),
        }
    }
}

/// What a savepoint is to be called.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSavepoint {
    /// Letters, digits, `_`, `-` and `.`.
    pub name: String,
}
