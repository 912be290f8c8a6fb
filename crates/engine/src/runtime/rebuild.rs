//! Makes the state of operators anew: the pipeline is run once more, over the same input up to where it was
//! read, in memory, with sinks that keep nothing; from the beginning, or from where nothing older can be in the
//! state any more. Which rows are late, and what lies in windows, depends on
//! the order within splits and on nothing else, so what comes out is the state that the operators would
//! have if they had been there all along.
//!
//! INVARIANT: nothing that this run does is seen, but the segments that it gives; they count once the
//! manifest that claims the next epoch names them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_core::connector::Connectors;
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{Plan, SinkPlan, SourcePlan};
use millstream_core::sink::{Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::source::{Decoder, Read, ReadLimit, Source, Split, SplitReader};
use millstream_core::{
    Epoch, Error, ErrorKind, NodeId, Offset, Result, ShardIndex, SplitId, Watermark,
};

use super::config::{JobConfig, StartOptions};
use super::coordinator::HeldTime;
use super::progress::source_marks;
use super::recovery::first_manifest;
use super::step_job::StepJob;
use super::trail::{self, Start};
use crate::checkpoint::lineage::sources_before;
use crate::checkpoint::{CheckpointStore, Manifest, SegmentRef, SplitProgress, StartFrom};
use crate::operator::NodeProgress;

/// How many batches are read between two barriers.
const READS_PER_EPOCH: usize = 64;

/// The state of `nodes` as of `manifest`, as segments in `store`.
///
/// # Errors
/// `InvalidInput` if the input is not there any more, or does not lead to where the pipeline is.
pub(super) fn rebuilt(
    config: &JobConfig,
    (manifest, nodes): (&Manifest, &BTreeSet<NodeId>),
    store: &CheckpointStore,
) -> Result<Vec<SegmentRef>> {
    let starts = trail::starts(&config.plan, manifest, nodes);
    let replay = Replay::new(config, manifest, &starts);
    let storage = Arc::new(MemoryStorage::default());
    let again = JobConfig {
        plan: Arc::new(without_timeouts(&config.plan)),
        // The segments are to look as the others do.
        parallelism: manifest.parallelism.max(1),
        start: StartOptions::default(),
        storage: storage.clone(),
        connectors: Arc::new(replay),
        ..config.clone()
    };
    begin(&again, &starts)?;
    let ran = run(again, (manifest, nodes));
    let (made, found) = ran.map_err(|error| failed(&error, config, nodes))?;
    let segments = found.segments.iter().filter(|it| nodes.contains(&it.node));
    let epoch = manifest.epoch.next();
    segments
        .map(|segment| store.copy_segment(epoch, segment, &made))
        .collect()
}

/// From where each split is read, by table.
type Starts = BTreeMap<String, BTreeMap<SplitId, Start>>;

/// Has the run begin there.
fn begin(config: &JobConfig, starts: &Starts) -> Result<()> {
    let mut first = first_manifest(config)?;
    first.epoch = Epoch(1);
    for (table, splits) in starts {
        let progress = first.sources.entry(table.clone()).or_default();
        let splits = splits.iter();
        let splits = splits.map(|(split, (offset, watermark))| SplitProgress {
            split: split.clone(),
            offset: *offset,
            watermark: *watermark,
            ended: false,
            trail: vec![],
        });
        progress.splits = splits.collect();
    }
    let (storage, env) = (config.storage.clone(), config.env.clone());
    CheckpointStore::new(storage, env, &config.plan.options.name).write_manifest(&first)
}

/// The store of the run, and its last manifest.
fn run(
    config: JobConfig,
    (expected, nodes): (&Manifest, &BTreeSet<NodeId>),
) -> Result<(CheckpointStore, Manifest)> {
    let sources = expected.sources.iter();
    let marks: BTreeMap<String, Watermark> = sources
        .map(|(table, source)| (table.clone(), source.fired))
        .collect();
    let held = |is_reached| HeldTime {
        marks: marks.clone(),
        is_reached,
    };
    let mut made = CheckpointStore::new(
        config.storage.clone(),
        config.env.clone(),
        &config.plan.options.name,
    );
    let mut newest = || {
        let newest = made.load(&StartFrom::Newest)?;
        newest.ok_or_else(|| Error::bug("a run begins with a manifest"))
    };
    let mut job = StepJob::open(config.clone())?;
    job.hold_time(held(false));
    loop {
        let mut reads = 0;
        while reads < READS_PER_EPOCH && job.poll()? {
            reads += 1;
        }
        job.checkpoint()?;
        if reads == 0 {
            break;
        }
    }
    check(&config, (expected, &newest()?), nodes)?;
    // Ends of splits can have moved time on as well: it depends on when barriers came.
    job.hold_time(held(true));
    job.checkpoint()?;
    let found = newest()?;
    Ok((made, found))
}

fn failed(error: &Error, config: &JobConfig, nodes: &BTreeSet<NodeId>) -> Error {
    let plan = &config.plan;
    let tables = nodes
        .iter()
        .flat_map(|node| crate::checkpoint::lineage::sinks_after(plan, *node));
    let tables: BTreeSet<String> = tables.collect();
    let shown: Vec<String> = tables.iter().map(|table| format!("`{table}`")).collect();
    let flags: Vec<String> = tables
        .iter()
        .map(|table| format!("--drop-state {table}"))
        .collect();
    let message = format!(
        "state for {} cannot be made anew: {error}; `{}` lets it begin empty here, without what was read before",
        shown.join(", "),
        flags.join(" ")
    );
    match error.kind() {
        // What may pass is tried again.
        kind @ (ErrorKind::Unavailable | ErrorKind::StorageFull) => Error::new(kind, message),
        _ => Error::invalid(message),
    }
}

/// Nothing may end windows but rows.
fn without_timeouts(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for source in &mut plan.sources {
        if let Some(spec) = &mut source.event_time {
            spec.idle_timeout_ms = None;
        }
    }
    plan
}

/// Checks that all was read, and, for operators to which that matters, that rows alone have brought time to
/// where it was.
fn check(
    config: &JobConfig,
    (expected, found): (&Manifest, &Manifest),
    nodes: &BTreeSet<NodeId>,
) -> Result<()> {
    let plan = &config.plan;
    for table in tables_before(plan, nodes) {
        let place = |split: &SplitProgress| (split.split.clone(), split.offset);
        let places = |manifest: &Manifest| -> BTreeMap<SplitId, Offset> {
            let progress = manifest.sources.get(&table);
            progress
                .iter()
                .flat_map(|it| it.splits.iter().map(place))
                .collect()
        };
        let read = places(found);
        for (split, offset) in places(expected) {
            if read.get(&split) != Some(&offset) {
                let at = read
                    .get(&split)
                    .map_or("none of it".to_owned(), |it| format!("up to {it}"));
                return Err(Error::invalid(format!(
                    "split `{split}` of `{table}` was read up to {offset}, and {at} can be read now"
                )));
            }
        }
    }
    let progress = NodeProgress::new(plan);
    let now_ms = expected.processing_ms.unwrap_or(i64::MIN);
    let marks = source_marks(plan, &expected.sources);
    let expected = progress.moment(&expected.nodes, &marks, now_ms).nodes;
    let time = |nodes: &[Watermark], node: NodeId| nodes.get(node.index()).copied();
    let differs = |node: &&NodeId| {
        time(&expected, **node) != Some(time(&found.nodes, **node).unwrap_or(Watermark::MIN))
    };
    let mut sensitive = nodes
        .iter()
        .filter(|node| trail::is_sensitive(plan, **node));
    match sensitive.find(differs) {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "time had gone on there without rows, as a source was silent or came later",
        )),
    }
}

/// The sources that these operators depend on.
fn tables_before(plan: &Plan, nodes: &BTreeSet<NodeId>) -> BTreeSet<String> {
    let sources = nodes
        .iter()
        .flat_map(|node| sources_before(plan, &plan.nodes[node.index()]));
    sources
        .map(|id| plan.sources[id.index()].table.clone())
        .collect()
}

/// The connectors of the run: the same input up to where it was read, and no output.
struct Replay {
    inner: Arc<dyn Connectors>,
    /// For each table that is read, where each split ends.
    ends: BTreeMap<String, BTreeMap<SplitId, SplitProgress>>,
    plan: Arc<Plan>,
}

impl Replay {
    fn new(config: &JobConfig, manifest: &Manifest, starts: &Starts) -> Self {
        let ends = starts.keys().map(|table| {
            let progress = manifest.sources.get(table);
            let splits = progress.into_iter().flat_map(|it| &it.splits);
            let splits = splits.map(|split| (split.split.clone(), split.clone()));
            (table.clone(), splits.collect())
        });
        Self {
            inner: config.connectors.clone(),
            ends: ends.collect(),
            plan: config.plan.clone(),
        }
    }
}

impl Connectors for Replay {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        let inner = self.inner.source(plan)?;
        let of_stream = self.plan.sources.get(plan.id.index());
        // Tables that joins hold in memory are read as they are.
        if of_stream.is_none_or(|source| source.table != plan.table || source.shape != plan.shape) {
            return Ok(inner);
        }
        let ends = self.ends.get(&plan.table).cloned().unwrap_or_default();
        inner.resume(&ends.keys().cloned().collect::<Vec<_>>())?;
        Ok(Box::new(ReplaySource {
            ends,
            inner: Arc::from(inner),
        }))
    }

    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        self.inner.decoder(plan, schema)
    }

    fn sink(&self, _: &SinkPlan) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Nowhere))
    }
}

struct ReplaySource {
    inner: Arc<dyn Source>,
    ends: BTreeMap<SplitId, SplitProgress>,
}

impl Source for ReplaySource {
    fn splits(&self) -> Result<Vec<Split>> {
        let mut splits = self.inner.splits()?;
        splits.retain(|split| self.ends.contains_key(&split.id));
        Ok(splits)
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let end = &self.ends[split];
        let from = from.unwrap_or(trail::BEGINNING.0);
        Ok(Box::new(ReplayReader {
            reader: self.inner.open(split, Some(from))?,
            source: self.inner.clone(),
            end: end.clone(),
        }))
    }

    fn is_bounded(&self) -> bool {
        // One that was not read yet has not ended.
        let has_ended = !self.ends.is_empty() && self.ends.values().all(|end| end.ended);
        has_ended && self.inner.is_bounded()
    }
}

/// Reads a split up to an offset.
struct ReplayReader {
    source: Arc<dyn Source>,
    reader: Box<dyn SplitReader>,
    end: SplitProgress,
}

impl ReplayReader {
    /// Reads at most `limit`, and nothing beyond the end.
    fn read_within(&mut self, mut limit: ReadLimit) -> Result<Read> {
        let from = self.reader.offset();
        loop {
            let read = self.reader.read(limit)?;
            if self.reader.offset() <= self.end.offset {
                return Ok(read);
            }
            if limit.rows == 1 {
                let (split, end) = (&self.end.split, self.end.offset);
                return Err(Error::invalid(format!(
                    "`{split}` has a record at {from} that goes beyond {end}, where one ended: it is not what it was"
                )));
            }
            limit.rows /= 2;
            self.reader = self.source.open(&self.end.split, Some(from))?;
        }
    }
}

impl SplitReader for ReplayReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        if self.reader.offset() < self.end.offset {
            return self.read_within(limit);
        }
        Ok(match self.end.ended {
            true => Read::End,
            false => Read::Pending,
        })
    }

    fn offset(&self) -> Offset {
        self.reader.offset()
    }
}

/// Keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn writer(&self, _: &SinkContext, _: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(Self))
    }

    fn commit(&self, _: &SinkContext, _: Epoch, _: &[Staged]) -> Result<()> {
        Ok(())
    }

    fn committed(&self, _: &SinkContext) -> Result<Option<Epoch>> {
        Ok(None)
    }

    fn discard_before(&self, _: &SinkContext) -> Result<()> {
        Ok(())
    }
}

impl SinkWriter for Nowhere {
    fn write(&mut self, _: &RecordBatch) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self, _: Epoch) -> Result<Option<Prepared>> {
        Ok(None)
    }
}
