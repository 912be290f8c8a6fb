//! [`LakeSink`]: a table's rows, exactly once.
//!
//! Committing an epoch is handing it over: one small file in the pipeline's storage, put if absent. From
//! then on its rows are the [`Committer`]'s, who puts many epochs into one snapshot together with the
//! mark of the last of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ::iceberg::table::Table;
use millstream_core::sink::{EpochMark, Held, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Incarnation, Result, ShardIndex};

use super::commit::{Mark, WriterName};
use super::committer::{Committer, Writer};
use super::options::CommitSettings;
use super::staged::Payload;
use super::target::Target;
use super::writer::{LakeWriter, Names, rest_folder};
use crate::storage::is_before;

/// Writes one table.
pub(super) struct LakeSink {
    pub committer: Arc<Committer>,
    pub target: Arc<Target>,
    /// As it was when the sink was opened.
    pub table: Table,
    pub storage: Arc<dyn Storage>,
    pub settings: CommitSettings,
    /// Tells this data directory's pipelines from those of others that write the table.
    pub lake_id: String,
    /// By pipeline and sink.
    pub writers: Mutex<BTreeMap<(String, String), Arc<Writer>>>,
}

impl LakeSink {
    fn of(&self, context: &SinkContext) -> Result<Arc<Writer>> {
        let key = (context.pipeline.clone(), context.sink.clone());
        let mut writers = self.writers.lock().expect("no holder panics");
        if let Some(writer) = writers.get(&key) {
            return Ok(writer.clone());
        }
        let names = Names::new(context, &self.lake_id);
        let name = WriterName {
            pipeline: format!("{}@{}", names.pipeline, self.lake_id),
            sink: names.sink.clone(),
        };
        let writer = self
            .committer
            .writer((name, names), self.settings, &self.table)?;
        writers.insert(key, writer.clone());
        Ok(writer)
    }

    fn last(&self, context: &SinkContext) -> Result<Option<EpochMark>> {
        let last = self.of(context)?.last();
        Ok(last.map(|mark| EpochMark {
            incarnation: Incarnation(mark.incarnation),
            epoch: Epoch(mark.epoch),
        }))
    }
}

impl Sink for LakeSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(LakeWriter::new(
            self.target.clone(),
            self.storage.clone(),
            (&Names::new(context, &self.lake_id), context),
            (shard, self.committer.env.random()),
        )))
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        let shards = staged.iter().map(Payload::of).collect::<Result<Vec<_>>>()?;
        let mark = Mark {
            incarnation: context.incarnation.0,
            epoch: epoch.0,
        };
        self.committer.hand_over(&*self.of(context)?, mark, shards)
    }

    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        let last = self.last(context)?;
        let ours = last.filter(|mark| mark.incarnation == context.incarnation);
        Ok(ours.map(|mark| mark.epoch))
    }

    fn held(&self, context: &SinkContext) -> Result<Option<Held>> {
        Ok(Some(Held {
            place: format!(
                "lake table `{}` in `{}` and `lake/pending/`",
                self.committer.ident,
                self.table.metadata().location()
            ),
            last: self.last(context)?,
        }))
    }

    /// Removes rest rows. Data files of runs that died are among those of the table, where only its
    /// maintenance knows which are in use.
    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        let pending = self.of(context)?.rest_paths();
        let folder = rest_folder(&Names::new(context, &self.lake_id));
        let mut staged = self.storage.list(&folder)?;
        staged.retain(|path| is_before(&path[folder.len()..], context) && !pending.contains(path));
        staged.iter().try_for_each(|path| self.storage.delete(path))
    }

    fn finish(&self, context: &SinkContext) -> Result<()> {
        self.committer.flush(&*self.of(context)?)
    }
}
