//! [`FileSink`]: exactly once into files of lines.
//!
//! ```text
//! .staging/<pipeline>.<sink>/<run>-<shard>-<number>                      being written, staged
//! part-<pipeline>.<sink>.<incarnation>-<epoch, 10 digits>-<shard>.jsonl  committed
//! ```
//!
//! A writer streams encoded rows into a staged file; the manifest names it, its length and its
//! final name. Committing is renaming. The run (incarnation and first epoch) is that of the writer, so
//! none writes into a file of another. Characters of names other than letters, digits,
//! `_` and `-` are written `%XX`, so that different names stay different.
//!
//! CRASH: between two renames, some files of the epoch are visible and others are not yet; the
//! engine commits the epoch again on start, before anything else, and the rest is renamed.
//!
//! INVARIANT: a staged file that a manifest names is durable, and only its renaming takes it away
//! before [`Sink::discard_before`], which comes after the commit. So one that is gone is committed,
//! whatever has become of the file it was renamed to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{ConnectorConfig, SinkPlan};
use millstream_core::sink::{Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Epoch, Error, Result, ShardIndex};
use serde::{Deserialize, Serialize};

use crate::formats::{self, RowEncoder};
use crate::storage::{is_before, run_name};

/// Encoded rows are collected in memory up to this many bytes before they go to the file.
const FLUSH_BYTES: usize = 256 << 10;

/// Where files are that are not committed.
const STAGING: &str = ".staging/";

/// Writes one table's files.
pub(super) struct FileSink {
    storage: Arc<dyn Storage>,
    config: ConnectorConfig,
    schema: SchemaRef,
    /// Epochs committed by this object. See [`Sink::committed`] below.
    committed: Mutex<HashMap<SinkContext, Epoch>>,
}

/// What a manifest keeps of a staged file.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    staged: String,
    file: String,
    bytes: u64,
}

impl FileSink {
    /// `InvalidInput` for a format, an option or a column type that is not known.
    pub fn new(storage: Arc<dyn Storage>, plan: &SinkPlan) -> Result<Self> {
        formats::encoder(&plan.connector, &plan.schema)?;
        Ok(Self {
            storage,
            config: plan.connector.clone(),
            schema: SchemaRef::clone(&plan.schema),
            committed: Mutex::default(),
        })
    }

    fn commit_file(&self, staged: &Staged) -> Result<()> {
        let payload: Payload = serde_json::from_value(staged.payload.clone())
            .map_err(|e| Error::corrupt(format!("a staged file's description: {e}")))?;
        let Payload {
            staged,
            file,
            bytes,
        } = &payload;
        let Some(found) = self.storage.length(staged)? else {
            // Renamed before, so this is a repetition. Whoever reads the folder may have taken the
            // file away since; that is theirs to do, and no reason to stop.
            if self.storage.length(file)?.is_none() {
                tracing::warn!(%file, "a committed file is not there any more");
            }
            return Ok(());
        };
        if found != *bytes {
            let message = format!("`{staged}`: found {found} bytes, expected {bytes}");
            return Err(Error::corrupt(message));
        }
        self.storage.rename(staged, file)
    }

    /// The newest epoch of which the folder has a file.
    fn newest_file(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        let prefix = final_prefix(context);
        let names = self.storage.list(&prefix)?;
        let epoch = |name: &String| name[prefix.len()..].split('-').next()?.parse().ok();
        Ok(names.iter().filter_map(epoch).max().map(Epoch))
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<SinkContext, Epoch>> {
        self.committed.lock().expect("no panic while locked")
    }
}

impl Sink for FileSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(FileWriter {
            storage: Arc::clone(&self.storage),
            context: context.clone(),
            shard,
            encoder: formats::encoder(&self.config, &self.schema)?,
            number: 0,
            buffer: vec![],
            ends: vec![],
            file: None,
            rows: 0,
        }))
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        staged.iter().try_for_each(|file| self.commit_file(file))?;
        self.remembered().insert(context.clone(), epoch);
        Ok(())
    }

    /// After a start, an epoch of which a file is there may lack others. As long as staged files
    /// are there too, only the epoch before is sure, and committing once more does no harm.
    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        if let Some(epoch) = self.remembered().get(context) {
            return Ok(Some(*epoch));
        }
        let newest = self.newest_file(context)?;
        if self.storage.list(&staged_prefix(context))?.is_empty() {
            return Ok(newest);
        }
        let before = |epoch: Epoch| epoch.0.checked_sub(1).filter(|epoch| *epoch > 0);
        Ok(newest.and_then(before).map(Epoch))
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        let prefix = staged_prefix(context);
        let mut staged = self.storage.list(&prefix)?;
        staged.retain(|name| is_before(&name[prefix.len()..], context));
        staged.iter().try_for_each(|name| self.storage.delete(name))
    }
}

/// Stages the rows of one shard. After an error it is of no use any more.
struct FileWriter {
    storage: Arc<dyn Storage>,
    context: SinkContext,
    shard: ShardIndex,
    encoder: Box<dyn RowEncoder>,
    number: u64,
    buffer: Vec<u8>,
    ends: Vec<usize>,
    file: Option<(String, Box<dyn AppendFile>)>,
    rows: u64,
}

impl FileWriter {
    fn flush(&mut self) -> Result<()> {
        if self.file.is_none() {
            let context = &self.context;
            let path = format!(
                "{}{}-{}-{}",
                staged_prefix(context),
                run_name(context),
                self.shard,
                self.number
            );
            self.number += 1;
            let file = self.storage.append(&path)?;
            self.file = Some((path, file));
        }
        if let Some((_, file)) = &mut self.file {
            file.append(&self.buffer)?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Encodes `rows`, each with a newline behind it.
    fn encode(&mut self, rows: &RecordBatch) -> Result<()> {
        let start = self.buffer.len();
        self.ends.clear();
        self.encoder
            .encode(rows, &mut self.buffer, &mut self.ends)?;
        // Makes room for the newlines from the last record to the first, each moved once.
        let records = self.ends.len();
        self.buffer.resize(self.buffer.len() + records, b'\n');
        for (index, end) in self.ends.iter().enumerate().rev() {
            let begin = index
                .checked_sub(1)
                .map_or(start, |before| self.ends[before]);
            self.buffer.copy_within(begin..*end, begin + index);
            self.buffer[end + index] = b'\n';
        }
        Ok(())
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.encode(rows)?;
        self.rows += rows.num_rows() as u64;
        if self.buffer.len() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Prepared>> {
        if self.rows == 0 {
            return Ok(None);
        }
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        let (staged, file) = self.file.take().expect("rows were written to a file");
        let payload = Payload {
            staged,
            file: format!(
                "{}{:010}-{}.jsonl",
                final_prefix(&self.context),
                epoch.0,
                self.shard
            ),
            bytes: file.length(),
        };
        let staged = Staged {
            rows: std::mem::take(&mut self.rows),
            bytes: payload.bytes,
            payload: serde_json::to_value(payload).expect("strings and numbers"),
        };
        let files = vec![file];
        Ok(Some(Prepared { staged, files }))
    }

    fn buffered_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}

fn staged_prefix(context: &SinkContext) -> String {
    format!("{STAGING}{}/", identity(context))
}

fn final_prefix(context: &SinkContext) -> String {
    format!("part-{}.{}-", identity(context), context.incarnation)
}

/// `<pipeline>.<sink>` for a file's name.
fn identity(context: &SinkContext) -> String {
    let mut text = String::new();
    for (index, name) in [&context.pipeline, &context.sink].into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
                text.push(char::from(byte));
            } else {
                write!(text, "%{byte:02X}").expect("writing to a string");
            }
        }
    }
    text
}
