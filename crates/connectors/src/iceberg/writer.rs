//! [`LakeWriter`]: the rows of one shard, an epoch at a time.
//!
//! Partitions with enough rows get files of their own, which are encoded while the epoch runs and closed
//! at its barrier. What is small goes together into one file of rest rows, so that an epoch with many
//! partitions costs few syncs; the commit spreads them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_core::sink::{Prepared, SinkContext, SinkWriter, Staged};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Result, ShardIndex};
use xxhash_rust::xxh3::xxh3_64;

use super::spread::{Kind, Spread};
use super::staged::{Payload, RestFile, StagedFile};
use super::target::{By, Target};
use crate::hot_table::encoded;
use crate::storage::run_name;

/// Writes the rows of one shard. After an error it is of no use any more.
pub(super) struct LakeWriter {
    storage: Arc<dyn Storage>,
    spread: Spread,
    /// What paths of rest files begin with.
    rest_prefix: String,
    rest_files: u64,
    rows: u64,
}

/// A pipeline and its sink in paths of files.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Percent-encoded.
    pub pipeline: String,
    pub sink: String,
    /// What names of the table's files begin with: nobody else's do, in whatever data directory.
    pub files: String,
}

impl Names {
    /// Of the data directory with the id `lake_id`.
    pub fn new(context: &SinkContext, lake_id: &str) -> Self {
        let (pipeline, sink) = (encoded(&context.pipeline), encoded(&context.sink));
        let hash = xxh3_64(format!("{lake_id}/{pipeline}/{sink}").as_bytes());
        // Some readers take `%` in a URI for an escape, so it is not used.
        let plain = |name: &str| -> String {
            let letter = |letter: char| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '_'
                }
            };
            name.chars().take(40).map(letter).collect()
        };
        let files = format!(
            "{}-{}-{hash:016x}",
            plain(&context.pipeline),
            plain(&context.sink)
        );
        Self {
            pipeline,
            sink,
            files,
        }
    }
}

impl LakeWriter {
    /// The writer of `shard`. Run and `chance` tell its files from those of other writers.
    pub fn new(
        target: Arc<Target>,
        storage: Arc<dyn Storage>,
        (names, context): (&Names, &SinkContext),
        (shard, chance): (ShardIndex, u64),
    ) -> Self {
        let run = run_name(context);
        let own = format!("{run}-{shard}-{chance:016x}");
        let prefix = format!("{}-{own}", names.files);
        Self {
            storage,
            spread: Spread::new(target, Kind::Staged, prefix),
            rest_prefix: format!("{}{own}-", rest_folder(names)),
            rest_files: 0,
            rows: 0,
        }
    }
}

/// Where rest files of a writer are.
pub(super) fn rest_folder(names: &Names) -> String {
    format!("lake/staging/{}/{}/", names.pipeline, names.sink)
}

impl SinkWriter for LakeWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.rows += rows.num_rows() as u64;
        let rows = self.spread.target().conformed(rows, By::Name)?;
        self.spread.write(rows)
    }

    fn prepare(&mut self, _: Epoch) -> Result<Option<Prepared>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let (written, small) = self.spread.finish(true)?;
        let mut unsynced = vec![];
        let mut files = vec![];
        for written in written {
            files.push(StagedFile::new(self.spread.target(), written.file)?);
            unsynced.extend(written.unsynced);
        }
        let mut rest = None;
        if !small.is_empty() {
            let path = format!("{}{}.parquet", self.rest_prefix, self.rest_files);
            self.rest_files += 1;
            let (described, file) = RestFile::write(&self.storage, path, &small)?;
            rest = Some(described);
            unsynced.push(file);
        }
        let payload = Payload { files, rest };
        let staged = Staged {
            rows: std::mem::take(&mut self.rows),
            bytes: payload.bytes(),
            payload: serde_json::to_value(&payload).expect("keys are strings"),
        };
        Ok(Some(Prepared {
            staged,
            files: unsynced,
        }))
    }

    fn buffered_bytes(&self) -> usize {
        self.spread.memory_bytes()
    }
}
