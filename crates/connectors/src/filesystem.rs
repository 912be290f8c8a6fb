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

use millstream_core::connector::{
    ConnectorInfo, LOOKUP_CACHE, LOOKUP_EXPIRY, OptionInfo, OptionKind, Whole,
};
use millstream_core::plan::{ConnectorConfig, SinkPlan, SourcePlan};
use millstream_core::quantity::duration_ms;
use millstream_core::sink::Sink;
use millstream_core::source::Source;
use millstream_core::storage::Storage;
use millstream_core::{Error, Result, Subject};

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
    whole: Whole::Unless(MONITOR_INTERVAL),
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
        LOOKUP_CACHE,
        LOOKUP_EXPIRY,
    ],
    metadata: &["file.path", "file.name", "offset"],
};

/// What a table says.
pub(crate) struct FileTable {
    path: PathBuf,
    /// Whether files that come later are read too.
    is_monitored: bool,
}

impl FileTable {
    /// `InvalidInput` about the option that is wrong.
    ///
    /// How often the folder is listed is for the engine to decide, so the interval itself is only
    /// checked.
    pub fn new(config: &ConnectorConfig) -> Result<Self> {
        let interval = config.get(MONITOR_INTERVAL);
        let about_interval = |e: Error| e.about(Subject::Option(MONITOR_INTERVAL.to_owned()));
        interval
            .map(duration_ms)
            .transpose()
            .map_err(about_interval)?;
        Ok(Self {
            path: local_path(config)?,
            is_monitored: interval.is_some(),
        })
    }
}

/// Reads a table's files. `InvalidInput` if its path does not exist. With
/// `source.monitor-interval` the table has no end.
pub fn source(plan: &SourcePlan) -> Result<Box<dyn Source>> {
    let table = FileTable::new(&plan.connector)?;
    Ok(Box::new(FileSource::new(table.path, table.is_monitored)?))
}

/// Writes a table's files. `InvalidInput` if its folder cannot be made.
pub fn sink(plan: &SinkPlan) -> Result<Box<dyn Sink>> {
    let path = FileTable::new(&plan.connector)?.path;
    std::fs::create_dir_all(&path).map_err(|e| Error::io(&path.to_string_lossy(), &e))?;
    sink_on(Arc::new(LocalStorage::new(path)), plan)
}

/// Writes a table's files to any storage.
pub fn sink_on(storage: Arc<dyn Storage>, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
    Ok(Box::new(FileSink::new(storage, plan)?))
}

fn local_path(config: &ConnectorConfig) -> Result<PathBuf> {
    let path = config.get(PATH).unwrap_or_default();
    let local = path.strip_prefix("file://").unwrap_or(path);
    let wrong = if local.is_empty() {
        "no `path`; expected a file or a folder".to_owned()
    } else if let Some((scheme, _)) = local.split_once("://") {
        format!(
            "`{path}`: object stores such as `{scheme}://` are not supported yet; expected a \
             local path"
        )
    } else if local.contains('\0') {
        format!(
            "`{}`: a path cannot hold a NUL character",
            path.escape_debug()
        )
    } else {
        return Ok(PathBuf::from(local));
    };
    Err(Error::of_option(PATH, wrong))
}
