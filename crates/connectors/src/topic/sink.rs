//! The connector `kafka` as a sink: an epoch's rows become one append to the embedded topic.
//!
//! Each shard stages encoded records in a file. Commit appends the files of all shards as a whole,
//! with (`pipeline/sink`, incarnation, epoch) in the batch, to one partition: epoch e goes to
//! partition e mod n. So an epoch is visible as a whole or not at all, and the log itself remembers
//! it. Then the files are deleted.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use millstream_core::env::Env;
#[cfg(feature = "mutants")]
use millstream_core::mutant::Mutant;
use millstream_core::plan::SinkPlan;
use millstream_core::sink::{EpochMark, Held, Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, Result, ShardIndex};

use super::log::TopicLog;
use super::producer::ProducerEpoch;
use super::record_set::{RECORD_BYTES_MAX, RecordSet};
use super::source::TopicTable;
use crate::formats::{RowEncoder, encoder};
use crate::storage::{Staging, StagingWriter, staged_records};

/// The sink of a table with connector `kafka`. Makes the topic if it is not there. Rows are staged
/// in `storage`.
pub fn sink(
    log: &Arc<TopicLog>,
    storage: &Arc<dyn Storage>,
    env: &Arc<dyn Env>,
    plan: &SinkPlan,
) -> Result<Box<dyn Sink>> {
    let named = |error: Error| error.context(format!("table `{}`", plan.table));
    let table = TopicTable::new(&plan.connector).map_err(named)?;
    table.ensure(log).map_err(named)?;
    // A column that the format cannot write is an error now, not at the first row.
    encoder(&plan.connector, &plan.schema).map_err(named)?;
    Ok(Box::new(TopicSink {
        log: log.clone(),
        storage: storage.clone(),
        env: env.clone(),
        topic: table.topic.to_owned(),
        plan: plan.clone(),
    }))
}

struct TopicSink {
    log: Arc<TopicLog>,
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    topic: String,
    plan: SinkPlan,
}

impl TopicSink {
    fn staging(&self, context: &SinkContext) -> Staging {
        Staging::new(self.storage.clone(), context)
    }

    /// What the log remembers: the last epoch of `context`, in its newest incarnation.
    fn last(&self, context: &SinkContext) -> Result<Option<(Incarnation, Epoch)>> {
        self.log.last_epoch(&self.topic, &producer_id(context))
    }
}

fn producer_id(context: &SinkContext) -> String {
    format!("{}/{}", context.pipeline, context.sink)
}

impl Sink for TopicSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(TopicSinkWriter {
            topic: self.topic.clone(),
            encoder: encoder(&self.plan.connector, &self.plan.schema)?,
            staging: self
                .staging(context)
                .writer((context, self.env.random()), shard),
            encoded: Vec::new(),
            ends: Vec::new(),
        }))
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        let staging = self.staging(context);
        let last = self.last(context)?;
        let (incarnation, id) = (context.incarnation, producer_id(context));
        if last.is_some_and(|(newest, _)| newest > incarnation) {
            return Err(Error::new(
                ErrorKind::Fenced,
                format!(
                    "a newer incarnation than {incarnation} of `{id}` writes `{}`",
                    self.topic
                ),
            ));
        }
        #[cfg(feature = "mutants")]
        let last = last.filter(|_| !Mutant::TopicForgets.is_out());
        if last < Some((incarnation, epoch)) {
            let mut records = Vec::new();
            for staged in staged {
                records.extend(record_sets(staging.read(staged)?)?);
            }
            let partitions = self.log.end_offsets(&self.topic)?.len() as u64;
            let partition = u32::try_from(epoch.0 % partitions).expect("at most 4096 partitions");
            let producer = ProducerEpoch {
                id,
                incarnation,
                epoch,
            };
            self.log
                .append_epoch(&self.topic, partition, &producer, &records)?;
        }
        // CRASH: what stays is removed by `discard_before`.
        staging.remove(staged)
    }

    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        let last = self.last(context)?;
        let own = last.filter(|(incarnation, _)| *incarnation == context.incarnation);
        Ok(own.map(|(_, epoch)| epoch))
    }

    fn held(&self, context: &SinkContext) -> Result<Option<Held>> {
        let last = self.last(context)?;
        Ok(Some(Held {
            place: format!("topic `{0}` in `topics/{0}/`", self.topic),
            last: last.map(|(incarnation, epoch)| EpochMark { incarnation, epoch }),
        }))
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        self.staging(context).discard_before(context)
    }
}

/// Staged records as sets of at most 1 GiB, or one record.
fn record_sets(staged: Vec<u8>) -> Result<Vec<RecordSet>> {
    const SET_BYTES: usize = 1 << 30;
    let staged = Bytes::from(staged);
    let mut sets = Vec::new();
    let mut start = 0;
    let mut ranges = Vec::new();
    for range in staged_records(&staged) {
        if range.end - start > SET_BYTES && !ranges.is_empty() {
            sets.push(RecordSet::new(
                staged.slice(start..),
                std::mem::take(&mut ranges),
            )?);
            start = range.start;
        }
        let place = |at: usize| u32::try_from(at - start).expect("a set is below 4 GiB");
        ranges.push(place(range.start)..place(range.end));
    }
    sets.push(RecordSet::new(staged.slice(start..), ranges)?);
    Ok(sets)
}

struct TopicSinkWriter {
    topic: String,
    encoder: Box<dyn RowEncoder>,
    staging: StagingWriter,
    /// Reused from batch to batch.
    encoded: Vec<u8>,
    ends: Vec<usize>,
}

impl SinkWriter for TopicSinkWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.encoded.clear();
        self.ends.clear();
        self.encoder
            .encode(rows, &mut self.encoded, &mut self.ends)?;
        let mut start = 0;
        for end in &self.ends {
            if end - start > RECORD_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "a row of {} bytes for topic `{}`, expected at most {RECORD_BYTES_MAX}",
                    end - start,
                    self.topic
                )));
            }
            self.staging.push(&self.encoded[start..*end])?;
            start = *end;
        }
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<Prepared>> {
        self.staging.finish()
    }

    fn buffered_bytes(&self) -> usize {
        self.staging.buffered_bytes() + self.encoded.capacity()
    }
}
