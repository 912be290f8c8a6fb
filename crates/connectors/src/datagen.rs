//! Made-up rows.

use std::sync::Arc;

use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind};
use millstream_core::env::Env;
use millstream_core::plan::SourcePlan;
use millstream_core::source::Source;
use millstream_core::{Error, Result};

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "datagen",
    is_source: true,
    is_sink: false,
    is_upsert: false,
    needs_format: false,
    options: &[
        OptionInfo {
            key: "rows-per-second",
            required: false,
            kind: OptionKind::Integer,
            help: "how fast rows come; default 10000",
        },
        OptionInfo {
            key: "number-of-rows",
            required: false,
            kind: OptionKind::Integer,
            help: "how many rows there are in all; without it the table never ends",
        },
        OptionInfo {
            key: "datagen.seed",
            required: false,
            kind: OptionKind::Integer,
            help: "the same seed gives the same rows; default 0",
        },
        OptionInfo {
            key: "fields.*",
            required: false,
            kind: OptionKind::Text,
            help: "`fields.<column>.kind` (random, sequence), `.min`, `.max`, `.length`, `.start`, \
                   `.end`, `.null-rate`",
        },
    ],
    metadata: &["offset"],
};

/// Makes a table's rows.
pub fn source(_plan: &SourcePlan, _env: Arc<dyn Env>) -> Result<Box<dyn Source>> {
    Err(Error::bug("being written"))
}
