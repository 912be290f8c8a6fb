//! One shard: some splits, a chain of operators, a writer for each sink. No threads, no clock of its
//! own: somebody calls [`Shard::poll`] and hands it requests.

use std::sync::Arc;

use millstream_core::env::Env;
use millstream_core::plan::{NodeInput, Plan};
use millstream_core::sink::{Prepared, SinkWriter};
use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::{Epoch, NodeId, Offset, Result, SinkId, SourceId, SplitId, Watermark};

use super::alignment::Alignment;
use super::clock::ProcessingClock;
use super::fullness::Fullness;
use super::memory::MemoryBudget;
use super::tables::Loaded;
use crate::checkpoint::SourceCounters;
use crate::operator::batch::Origin;
use crate::operator::chain::NodeCounters;
use crate::operator::late::{LateTable, distinct_rows};
use crate::operator::progress::Moment;
use crate::operator::source::{SourceRows, by_id};
use crate::operator::{
    Again, Batch, Chain, Exchange, LateRows, Output, SourceOperator, SplitContext,
};

/// Most bytes read from a split at once.
pub(super) const READ_BYTES: usize = 1 << 20;
/// How many reads between two looks at the size of the state.
const READS_PER_MEASURE: u32 = 16;

/// A shard is full once it has read so many batches since the last barrier, or has to give rows of
/// so many to other shards. PERF: a barrier is then a matter of some milliseconds.
const FULL_BATCHES: usize = 16;
const GIVEN_BATCHES: usize = 2;
/// What changed is given ahead of a barrier in pieces of so many batches, until about so many are left.
/// PERF: a batch is read between two pieces, so larger ones are fewer, and less changes again meanwhile.
const AHEAD_BATCHES: usize = 12;
const LEFT_BATCHES: usize = 4;

/// See the module.
pub struct Shard {
    /// Its number.
    pub index: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) env: Arc<dyn Env>,
    pub(super) clock: Arc<ProcessingClock>,
    pub(super) limit: ReadLimit,
    pub(super) sources: Vec<SourceOperator>,
    pub(super) late_tables: Vec<Option<(SinkId, LateTable)>>,
    pub(super) chain: Chain,
    pub(super) writers: Vec<Box<dyn SinkWriter>>,
    pub(super) splits: Vec<ShardSplit>,
    pub(super) counters: Vec<SourceCounters>,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) alignment: Arc<Alignment>,
    pub(super) reads: u32,
    pub(super) fullness: Arc<Fullness>,
    /// Rows read since the last barrier.
    pub(super) rows: usize,
    pub(super) ahead: Ahead,
}

/// What a shard has given ahead of the barrier of an epoch.
#[derive(Default)]
pub struct Ahead {
    changes: Vec<Exchange>,
    /// Memory in bytes.
    bytes: usize,
    /// Operators that have given the last piece of what is given again.
    repeated: Vec<NodeId>,
}

/// A split that the shard reads.
pub struct ShardSplit {
    /// Its name, metadata and watermark.
    pub context: SplitContext,
    /// Reads it.
    pub reader: Box<dyn SplitReader>,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether there was nothing at the last look.
    pub pending: bool,
    /// When it last had rows.
    pub active_at_ms: i64,
}

impl ShardSplit {
    /// What identifies it.
    pub fn key(&self) -> (SourceId, SplitId) {
        (self.context.source, self.context.split.id.clone())
    }

    /// Nothing comes any more: lets go of files and buffers, and remembers the offset.
    fn end(&mut self) {
        self.ended = true;
        self.reader = Box::new(EndedReader(self.reader.offset()));
    }
}

/// Stands for the reader of a split that has ended.
pub(super) struct EndedReader(pub Offset);

impl SplitReader for EndedReader {
    fn read(&mut self, _: ReadLimit) -> Result<Read> {
        Ok(Read::End)
    }

    fn offset(&self) -> Offset {
        self.0
    }
}

/// What a poll did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Read rows.
    Read,
    /// Nothing to read now.
    Idle,
    /// Another shard is too far behind.
    Waiting,
    /// The memory budget is reached.
    Throttled,
    /// Every split has ended.
    Ended,
}

/// What the coordinator asks of a shard.
pub enum Request {
    /// Read these splits too.
    Add(Vec<ShardSplit>),
    /// Between epochs: from now on rows meet these rows of tables.
    Tables(Loaded),
    /// Between batches: write some of what changed down, and what is to be given again.
    Ahead(Again),
    /// Stop reading and say how far you are.
    Barrier,
    /// Close complete windows of a level (see [`Chain::close`]).
    Close(usize, Moment),
    /// Merge and fire them (see [`Chain::fire`]).
    Fire(usize, Vec<Exchange>),
    /// Hand over the epoch, then read on.
    Finish(Epoch),
    /// Read on in the same epoch.
    Resume,
}

/// What a shard answers.
pub enum Reply {
    /// Done.
    Done,
    /// To `Ahead`: whether anything was written, and how many rows are left beyond those that a barrier may
    /// take.
    Ahead(bool, usize),
    /// To `Barrier`: the splits, and whether the clock alone makes something fire.
    Splits(Vec<SplitReport>, bool),
    /// To `Close`: by the shard that they are for.
    Exchanges(Vec<Vec<Exchange>>),
    /// To `Finish`.
    Output(Box<EpochOutput>),
}

/// How far a split is.
#[derive(Debug, Clone)]
pub struct SplitReport {
    /// Its source.
    pub source: SourceId,
    /// Its name.
    pub split: SplitId,
    /// The first record not yet read.
    pub offset: Offset,
    /// Its watermark.
    pub watermark: Watermark,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether there was nothing at the last look.
    pub pending: bool,
    /// When it last had rows.
    pub active_at_ms: i64,
    /// What waits, if known.
    pub backlog: Option<u64>,
}

/// What a shard hands over at the end of an epoch.
pub struct EpochOutput {
    /// Counted since the last epoch, by source.
    pub counters: Vec<SourceCounters>,
    /// Changes of open windows.
    pub changes: Vec<Exchange>,
    /// Operators that have given the last piece of what is given again.
    pub repeated: Vec<NodeId>,
    /// Staged rows.
    pub prepared: Vec<(SinkId, Prepared)>,
    /// Counters by node.
    pub nodes: Vec<NodeCounters>,
}

impl Shard {
    /// Its splits.
    pub fn splits(&self) -> &[ShardSplit] {
        &self.splits
    }

    /// How often a barrier exchanges (see [`Chain::levels`]).
    pub fn levels(&self) -> usize {
        self.chain.levels()
    }

    /// Reads one batch from the split that is furthest behind.
    pub fn poll(&mut self) -> Result<Progress> {
        if self.splits.iter().all(|split| split.ended) {
            self.alignment.publish(self.index, Watermark::MAX);
            return Ok(Progress::Ended);
        }
        if self.memory.is_exhausted() {
            self.measure();
            return Ok(Progress::Throttled);
        }
        let live = |index: &usize| !self.splits[*index].ended;
        let mut order: Vec<usize> = (0..self.splits.len()).filter(live).collect();
        order.sort_by_key(|index| self.splits[*index].context.watermark);
        for index in order {
            let split = &mut self.splits[index];
            if self.alignment.is_ahead(self.index, split.context.watermark) {
                self.publish();
                return Ok(Progress::Waiting);
            }
            match split.reader.read(self.limit)? {
                Read::Pending => split.pending = true,
                Read::End => split.end(),
                rows => {
                    split.pending = false;
                    split.active_at_ms = self.env.now_ms();
                    self.accept(index, rows)?;
                    self.publish();
                    return Ok(Progress::Read);
                }
            }
        }
        self.publish();
        Ok(Progress::Idle)
    }

    fn publish(&self) {
        let live = self
            .splits
            .iter()
            .filter(|split| !split.ended && !split.pending);
        let slowest = live.map(|split| split.context.watermark).min();
        self.alignment
            .publish(self.index, slowest.unwrap_or(Watermark::MAX));
    }

    fn accept(&mut self, index: usize, read: Read) -> Result<()> {
        let split = &mut self.splits[index].context;
        let source = split.source;
        let read_ms = self.clock.now_ms();
        self.chain.set_now(read_ms);
        let around = self.chain.surroundings();
        let operator = by_id(&mut self.sources, source)?;
        let Some(rows) = operator.accept(read, split, &around)? else {
            return Ok(());
        };
        let SourceRows {
            mut batch,
            dead,
            rows_read,
            rows_undecodable,
            bytes_read,
        } = rows;
        batch.end = self.splits[index].reader.offset();
        batch.read_ms = read_ms;
        let origin = Arc::new(batch);
        let batch = Batch {
            rows: origin.rows.clone(),
            origin: Some(Origin {
                source: origin.clone(),
                selection: None,
            }),
        };
        let mut late = LateRows::default();
        let mut output = Output {
            writers: &mut self.writers,
            late: &mut late,
        };
        if let (Some(rows), Some(dead)) = (dead, &self.plan.sources[source.index()].dead_letters) {
            output.write(dead.sink, &rows)?;
        }
        self.chain
            .push(NodeInput::Source(source), &batch, &mut output)?;
        let late = late.take();
        self.rows += usize::try_from(rows_read).unwrap_or(usize::MAX);
        self.counters[source.index()].add(&SourceCounters {
            rows_read,
            rows_late: distinct_rows(&late),
            rows_undecodable,
            bytes_read,
        });
        if let (false, Some((sink, table))) =
            (late.is_empty(), &mut self.late_tables[source.index()])
        {
            let rows = table.rows(&origin, &self.splits[index].context, &late)?;
            self.writers[sink.index()].write(&rows)?;
        }
        self.mark_full();
        self.reads += 1;
        if self.reads.is_multiple_of(READS_PER_MEASURE) {
            self.chain.tidy()?;
            self.measure();
        }
        Ok(())
    }

    fn mark_full(&self) {
        let batch = self.limit.rows;
        let is_full =
            self.rows >= FULL_BATCHES * batch || self.chain.to_give() >= GIVEN_BATCHES * batch;
        self.fullness.set(self.index, is_full);
    }

    /// Whether a barrier should come before it is long.
    pub fn is_full(&self) -> bool {
        self.fullness.is(self.index)
    }

    /// Tells the budget what this shard holds.
    fn measure(&self) {
        let buffered: usize = self
            .writers
            .iter()
            .map(|writer| writer.buffered_bytes())
            .sum();
        self.memory.set(
            self.index,
            self.chain.state_bytes() + self.ahead.bytes + buffered,
        );
    }

    /// Answers the coordinator.
    pub fn handle(&mut self, request: Request) -> Result<Reply> {
        match request {
            Request::Add(splits) => {
                self.splits.extend(splits);
                Ok(Reply::Done)
            }
            Request::Tables(tables) => {
                self.chain.set_tables(&tables)?;
                Ok(Reply::Done)
            }
            Request::Ahead(again) => self.write_ahead(&again),
            Request::Barrier => {
                self.rows = 0;
                self.fullness.set(self.index, false);
                let is_due = self.chain.is_due(self.clock.now_ms());
                Ok(Reply::Splits(self.report(), is_due))
            }
            Request::Close(level, at) => {
                let shards = self.memory.shards();
                Ok(Reply::Exchanges(self.chain.close(
                    level,
                    &at,
                    (self.index, shards),
                )?))
            }
            Request::Fire(level, exchanges) => {
                let mut late = LateRows::default();
                let mut output = Output {
                    writers: &mut self.writers,
                    late: &mut late,
                };
                self.chain.fire(level, &exchanges, &mut output)?;
                Ok(Reply::Done)
            }
            Request::Finish(epoch) => Ok(Reply::Output(Box::new(self.finish(epoch)?))),
            Request::Resume => Ok(Reply::Done),
        }
    }

    fn report(&self) -> Vec<SplitReport> {
        let splits = self.splits.iter();
        splits
            .map(|split| SplitReport {
                source: split.context.source,
                split: split.context.split.id.clone(),
                offset: split.reader.offset(),
                watermark: split.context.watermark,
                ended: split.ended,
                pending: split.pending,
                active_at_ms: split.active_at_ms,
                backlog: split.reader.backlog(),
            })
            .collect()
    }

    fn write_ahead(&mut self, again: &Again) -> Result<Reply> {
        let repeated = self.chain.repeat(again);
        self.ahead.repeated.extend(repeated);
        let few = LEFT_BATCHES * self.limit.rows;
        if self.chain.changed() <= few {
            return Ok(Reply::Ahead(false, 0));
        }
        let changes = self.chain.some_changes(AHEAD_BATCHES * self.limit.rows)?;
        self.ahead.bytes += changes.iter().map(Exchange::size).sum::<usize>();
        self.ahead.changes.extend(changes);
        self.measure();
        Ok(Reply::Ahead(true, self.chain.changed().saturating_sub(few)))
    }

    fn finish(&mut self, epoch: Epoch) -> Result<EpochOutput> {
        let mut prepared = vec![];
        for (writer, sink) in self.writers.iter_mut().zip(&self.plan.sinks) {
            if let Some(staged) = writer.prepare(epoch)? {
                prepared.push((sink.id, staged));
            }
        }
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.changes.extend(self.chain.changes(epoch)?);
        self.measure();
        Ok(EpochOutput {
            counters: self.counters.iter_mut().map(std::mem::take).collect(),
            changes: ahead.changes,
            repeated: ahead.repeated,
            prepared,
            nodes: self.chain.counters(),
        })
    }
}
