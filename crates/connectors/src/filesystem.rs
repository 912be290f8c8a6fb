//! Files of records, one record a line.
//!
//! [`source()`]: each file is a split (its id is the path below the table's), read in large blocks
//! that records share without being copied. [`sink()`]: each epoch of each shard becomes one file,
//! written under a hidden name and renamed when the epoch is committed.
//!
//! Files and folders whose names begin with `.` or `_` are not part of a table: writers use such
//! names for files that are not complete.

mod reader;
mod sink;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind};
use millstream_core::plan::{ConnectorConfig, SinkPlan, SourcePlan};
use millstream_core::quantity::duration_ms;
use millstream_core::sink::Sink;
use millstream_core::source::Source;
use millstream_core::storage::Storage;
use millstream_core::{Error, Result};

use self::sink::FileSink;
use self::source::FileSource;
use crate::storage::LocalStorage;

const PATH: &str = "path";
const MONITOR_INTERVAL: &str = "source.monitor-interval";

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "filesystem",
    is_source: true,
    is_sink: true,
    is_upsert: false,
    needs_format: true,
    options: &[
        OptionInfo {
            key: PATH,
            required: true,
            kind: OptionKind::Text,
            help: "a file or a folder with all that is below; `file://` may stand before it",
        },
        OptionInfo {
            key: MONITOR_INTERVAL,
            required: false,
            kind: OptionKind::Duration,
            help: "read files that come later too; without it the table ends with the files that \
                   are there at the start",
        },
    ],
    metadata: &["file.path", "file.name", "offset"],
};

/// Reads a table's files. `InvalidInput` if its path does not exist.
///
/// With `source.monitor-interval` the table has no end; how often the folder is listed is for the
/// engine to decide, so the interval itself is only checked.
pub fn source(plan: &SourcePlan) -> Result<Box<dyn Source>> {
    let path = local_path(&plan.connector)?;
    let interval = plan.connector.get(MONITOR_INTERVAL);
    interval.map(duration_ms).transpose()?;
    Ok(Box::new(FileSource::new(path, interval.is_some())?))
}

/// Writes a table's files. `InvalidInput` if its folder cannot be made.
pub fn sink(plan: &SinkPlan) -> Result<Box<dyn Sink>> {
    let path = local_path(&plan.connector)?;
    std::fs::create_dir_all(&path).map_err(|e| Error::io(&path.to_string_lossy(), &e))?;
    sink_on(Arc::new(LocalStorage::new(path)), plan)
}

/// Writes a table's files to any storage.
pub fn sink_on(storage: Arc<dyn Storage>, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
    Ok(Box::new(FileSink::new(storage, plan)?))
}

fn local_path(config: &ConnectorConfig) -> Result<PathBuf> {
    let path = config.get(PATH).unwrap_or_default();
    if path.is_empty() {
        return Err(Error::invalid("no `path`; expected a file or a folder"));
    }
    if let Some(local) = path.strip_prefix("file://") {
        return Ok(PathBuf::from(local));
    }
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(Error::invalid(format!(
            "`{path}`: object stores such as `{scheme}://` are not supported yet; expected a \
             local path"
        )));
    }
    Ok(PathBuf::from(path))
}
