//! Files of records.

use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind};
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::sink::Sink;
use millstream_core::source::Source;
use millstream_core::{Error, Result};

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "filesystem",
    is_source: true,
    is_sink: true,
    is_upsert: false,
    needs_format: true,
    options: &[
        OptionInfo {
            key: "path",
            required: true,
            kind: OptionKind::Text,
            help: "a file or a folder; `file://` may stand before it",
        },
        OptionInfo {
            key: "source.monitor-interval",
            required: false,
            kind: OptionKind::Duration,
            help: "look for new files this often; without it the table ends with the files that \
                   are there at the start",
        },
    ],
    metadata: &["file.path", "file.name", "offset"],
};

/// Reads a table's files.
pub fn source(_plan: &SourcePlan) -> Result<Box<dyn Source>> {
    Err(Error::bug("being written"))
}

/// Writes a table's files.
pub fn sink(_plan: &SinkPlan) -> Result<Box<dyn Sink>> {
    Err(Error::bug("being written"))
}
