//! Opens a job, the same for a first start, a clean stop and a crash: carries out the steps that the
//! protocol asks for until it says to read. Newest manifest → commit its staged outputs again → load
//! state, seek → claim an epoch → remove what earlier runs have left.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[cfg(feature = "mutants")]
use millstream_core::mutant::Mutant;
use millstream_core::plan::{Plan, SinkPlan, SourcePlan};
use millstream_core::sink::{EpochMark, Sink, SinkContext};
use millstream_core::source::{ReadLimit, Source, Split};
use millstream_core::{
    Epoch, Error, ErrorKind, Incarnation, NodeId, Offset, Result, ShardIndex, SplitId, Watermark,
};

use super::adopt;
use super::alignment::Alignment;
use super::clock::ProcessingClock;
use super::config::JobConfig;
use super::fullness::Fullness;
use super::load::load;
use super::memory::MemoryBudget;
use super::progress::source_marks;
use super::rebuild;
use super::shard::{Ahead, EndedReader, Shard, ShardSplit};
use super::tables::Tables;
use super::way_back::{check_sinks, with_way_back};
use crate::checkpoint::lineage::describe;
use crate::checkpoint::{
    CheckpointStore, Manifest, SegmentRef, SourceCounters, SourceProgress, StartFrom, StateRows,
};
use crate::operator::late::LateTable;
use crate::operator::progress::Moment;
use crate::operator::shape::ShapeDecoder;
use crate::operator::stateful::{self, Absorb, StateBatch, Stateful};
use crate::operator::{Chain, NodeProgress, SourceOperator, SplitContext};
use crate::protocol::{EpochProtocol, Event, Loaded, Step};

/// An opened job: shards that have not been started, and what the coordinator needs.
pub struct Recovered {
    /// The shards, with state and splits.
    pub shards: Vec<Shard>,
    /// The sources, by id.
    pub sources: Vec<Box<dyn Source>>,
    /// The sinks, by id, and under which identity to write.
    pub sinks: OpenSinks,
    /// Checkpoints.
    pub store: CheckpointStore,
    /// Where the protocol stands.
    pub protocol: EpochProtocol,
    /// The manifest that was recovered, or an empty one of epoch 0.
    pub manifest: Manifest,
    /// Whether the state must be written whole at the next epoch: shards have changed.
    pub rewrite_state: bool,
    /// The budget that the shards share.
    pub memory: Arc<MemoryBudget>,
    /// What time it is for the shards.
    pub clock: Arc<ProcessingClock>,
    /// The tables that joins hold.
    pub tables: Tables,
}

/// Starts that another run may overtake, one after the other, before this one gives way for a while.
const STARTS_MAX: usize = 16;

/// Opens the job.
///
/// What another run changes while this one starts looks like damage: a manifest and segments that are
/// gone, a sink that holds more than the newest manifest says. If there is a newer manifest, the start
/// begins anew.
pub fn open(config: &JobConfig) -> Result<Recovered> {
    for _ in 0..STARTS_MAX {
        let mut start = Start::new(config)?;
        match start.run() {
            Ok(protocol) => return start.recovered(protocol),
            Err(error) if is_passing(&error) || !start.store.is_overtaken()? => return Err(error),
            Err(error) => tracing::info!(%error, "another run is ahead, starting anew"),
        }
    }
    let pipeline = &config.plan.options.name;
    let message = format!("pipeline `{pipeline}` is run by another process");
    Err(Error::unavailable(message))
}

/// Whether the error is no other run's doing.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::StorageFull
    )
}

/// What a start has come to so far.
struct Start<'a> {
    config: &'a JobConfig,
    store: CheckpointStore,
    manifest: Manifest,
    /// The incarnation in which to go on, if the pipeline is rewound.
    rewind: Option<Incarnation>,
    /// Operators whose state is to be made anew.
    rebuilt: BTreeSet<NodeId>,
    sinks: OpenSinks,
    opened: Option<Opened>,
}

/// What is read from.
struct Opened {
    shards: Vec<Shard>,
    sources: Vec<Box<dyn Source>>,
    rewrite_state: bool,
    memory: Arc<MemoryBudget>,
    clock: Arc<ProcessingClock>,
    tables: Tables,
}

impl<'a> Start<'a> {
    fn new(config: &'a JobConfig) -> Result<Self> {
        let (storage, env) = (config.storage.clone(), config.env.clone());
        Ok(Self {
            config,
            store: CheckpointStore::new(storage, env, &config.plan.options.name),
            manifest: first_manifest(config)?,
            rewind: None,
            rebuilt: BTreeSet::new(),
            sinks: vec![],
            opened: None,
        })
    }

    fn run(&mut self) -> Result<EpochProtocol> {
        let mut protocol = EpochProtocol::new();
        while protocol.step() != Step::Read {
            let event = self.carry_out(protocol.step())?;
            protocol.on(event)?;
        }
        Ok(protocol)
    }

    fn recovered(self, protocol: EpochProtocol) -> Result<Recovered> {
        let opened = self.opened;
        let opened = opened.ok_or_else(|| Error::bug("a start restores before it reads"))?;
        Ok(Recovered {
            shards: opened.shards,
            sources: opened.sources,
            sinks: self.sinks,
            store: self.store,
            protocol,
            manifest: self.manifest,
            rewrite_state: opened.rewrite_state,
            memory: opened.memory,
            clock: opened.clock,
            tables: opened.tables,
        })
    }

    fn carry_out(&mut self, step: Step) -> Result<Event> {
        match step {
            Step::Load => {
                let loaded = self.load();
                return loaded.map_err(|error| self.with_way_back(error));
            }
            #[cfg(feature = "mutants")]
            Step::Commit(_) if Mutant::NoCommitOnStart.is_out() => {}
            Step::Commit(sink) => {
                let (sink, context) = &self.sinks[sink.index()];
                let committed = commit(&**sink, context, &self.manifest);
                committed.map_err(|error| self.with_way_back(error))?;
            }
            Step::Restore => self.restore()?,
            Step::Claim(epoch) => return self.claim(epoch),
            Step::Discard => self.discard()?,
            other => return Err(Error::bug(format!("{other:?} is no step of a start"))),
        }
        Ok(Event::Done)
    }

    fn with_way_back(&self, error: Error) -> Error {
        if let StartFrom::Savepoint(_) = self.config.start.from {
            return error;
        }
        with_way_back(error, self.config, &self.store)
    }

    fn load(&mut self) -> Result<Event> {
        let (config, plan) = (self.config, &self.config.plan);
        self.manifest = match self.store.load(&config.start.from)? {
            Some(manifest) => {
                let is_newest = self.store.is_newest();
                let (manifest, rebuilt) = adopt::adopted(manifest, is_newest, config)?;
                self.rebuilt = rebuilt;
                manifest
            }
            None => first_manifest(config)?,
        };
        #[cfg(feature = "mutants")]
        if Mutant::NoCounters.is_out() {
            for source in self.manifest.sources.values_mut() {
                source.counters = SourceCounters::default();
            }
        }
        let is_rewound = match config.start.from {
            StartFrom::Newest => false,
            StartFrom::Epoch(_) => true,
            StartFrom::Savepoint(_) => !self.store.is_newest(),
        };
        if is_rewound {
            let newest = self.store.newest_incarnation()?;
            let newest = newest.max(self.manifest.incarnation);
            self.rewind = Some(Incarnation(newest.0 + 1));
            // Going back discards what is staged, so it must be possible.
            self.store.verify(&self.manifest)?;
        }
        let sinks = plan.sinks.iter().map(|sink| {
            let context = SinkContext {
                pipeline: plan.options.name.clone(),
                incarnation: self.manifest.incarnation,
                sink: sink.table.clone(),
                run: self.manifest.epoch.next(),
            };
            Ok((config.connectors.sink(sink)?, context))
        });
        self.sinks = sinks.collect::<Result<_>>()?;
        check_sinks(&self.sinks, &self.manifest, &self.store)?;
        // That there is a newer one proves that every sink holds the epoch of this one.
        let is_newest = self.store.is_newest();
        let outputs = plan.sinks.iter();
        let outputs = outputs.filter(|sink| is_newest && self.is_staged(sink));
        Ok(Event::Loaded(Loaded {
            mark: self.manifest.mark(),
            outputs: outputs.map(|sink| sink.id).collect(),
            rewind: self.rewind,
        }))
    }

    fn is_staged(&self, sink: &SinkPlan) -> bool {
        let progress = self.manifest.sinks.get(&sink.table);
        progress.is_some_and(|progress| !progress.staged.is_empty())
    }

    fn restore(&mut self) -> Result<()> {
        for (_, context) in &mut self.sinks {
            context.incarnation = self.rewind.unwrap_or(context.incarnation);
        }
        let (config, plan) = (self.config, &self.config.plan);
        let memory = Arc::new(MemoryBudget::new(config.shards(), config.memory_bytes_max));
        let from_ms = self.manifest.processing_ms.unwrap_or(i64::MIN);
        let clock = Arc::new(ProcessingClock::new(config.env.clone(), from_ms));
        let mut shards = open_shards(config, &self.sinks, (&memory, &clock))?;
        let (tables, loaded) = Tables::open(config)?;
        memory.set_shared(tables.bytes());
        for shard in &mut shards {
            shard.chain.set_tables(&loaded)?;
        }
        let sources = plan.sources.iter().map(|s| config.connectors.source(s));
        let sources = sources.collect::<Result<Vec<_>>>()?;
        for plan in &plan.sources {
            let known = &self.manifest.sources[&plan.table];
            let source = &*sources[plan.id.index()];
            let read: Vec<SplitId> = known.splits.iter().map(|s| s.split.clone()).collect();
            source.resume(&read)?;
            let splits = (source.splits()?, known);
            let opened = open_splits(config, plan, source, splits)?;
            for (position, split) in opened.into_iter().enumerate() {
                let shard = (position + plan.id.index()) % shards.len();
                shards[shard].splits.push(split);
            }
        }
        if !self.rebuilt.is_empty() {
            let rebuilt = rebuild::rebuilt(config, (&self.manifest, &self.rebuilt), &self.store)?;
            self.manifest.segments.extend(rebuilt);
        }
        let restored = restore((&self.manifest, &self.store), config, shards);
        let (shards, rewrite_state) = restored.map_err(|error| self.with_way_back(error))?;
        self.opened = Some(Opened {
            shards,
            sources,
            rewrite_state,
            memory,
            clock,
            tables,
        });
        Ok(())
    }

    fn claim(&mut self, epoch: Epoch) -> Result<Event> {
        let incarnation = self.rewind.unwrap_or(self.manifest.incarnation);
        let claim = self.manifest.claim(EpochMark { incarnation, epoch });
        #[cfg(feature = "mutants")]
        if Mutant::NoClaim.is_out() {
            self.manifest = claim;
            return Ok(Event::Done);
        }
        #[cfg(feature = "mutants")]
        if Mutant::DiscardFirst.is_out() {
            for (sink, context) in &self.sinks {
                sink.discard_before(context)?;
            }
        }
        match self.store.write_manifest(&claim) {
            Ok(()) => self.manifest = claim,
            Err(error) if error.kind() == ErrorKind::Fenced => return Ok(Event::Taken),
            Err(error) => return Err(error),
        }
        Ok(Event::Done)
    }

    fn discard(&mut self) -> Result<()> {
        for (sink, context) in &self.sinks {
            #[cfg(feature = "mutants")]
            let of_all = SinkContext {
                run: Epoch(u64::MAX),
                ..context.clone()
            };
            #[cfg(feature = "mutants")]
            let context = match Mutant::DiscardAll.is_out() {
                true => &of_all,
                false => context,
            };
            sink.discard_before(context)?;
        }
        // What a rewound pipeline leaves behind can still be gone back to.
        if self.rewind.is_none() {
            self.store.remove_orphans(self.manifest.epoch)?;
        }
        self.store.collect_garbage()
    }
}

/// Commits what a sink has staged in an epoch, or does so again.
pub(super) fn commit(sink: &dyn Sink, context: &SinkContext, manifest: &Manifest) -> Result<()> {
    let Some(progress) = manifest.sinks.get(&context.sink) else {
        return Ok(());
    };
    let committed = sink.commit(context, manifest.epoch, &progress.staged);
    committed.map_err(|error| error.context(format!("sink `{}`", context.sink)))
}

impl JobConfig {
    /// Number of shards.
    pub(super) fn shards(&self) -> usize {
        self.parallelism.max(1) as usize
    }
}

/// What holds before the first epoch.
pub(super) fn first_manifest(config: &JobConfig) -> Result<Manifest> {
    let plan = &config.plan;
    let sources = plan.sources.iter();
    Ok(Manifest {
        pipeline: plan.options.name.clone(),
        fingerprint: fingerprint(plan),
        plan: Some(describe(plan)?),
        incarnation: Incarnation(0),
        epoch: Epoch(0),
        is_claim: false,
        previous: None,
        parallelism: config.parallelism,
        finished: false,
        processing_ms: None,
        sources: sources
            .map(|source| (source.table.clone(), SourceProgress::default()))
            .collect(),
        nodes: vec![],
        segments: vec![],
        sinks: BTreeMap::new(),
    })
}

/// The plan's fingerprint as the manifest shows it.
pub fn fingerprint(plan: &Plan) -> String {
    format!("{:016x}", plan.fingerprint())
}

/// Sinks by id, and under which identity to write.
pub(super) type OpenSinks = Vec<(Box<dyn Sink>, SinkContext)>;

fn open_shards(
    config: &JobConfig,
    sinks: &OpenSinks,
    (memory, clock): (&Arc<MemoryBudget>, &Arc<ProcessingClock>),
) -> Result<Vec<Shard>> {
    let plan = &config.plan;
    let alignment = Arc::new(Alignment::new(config.shards()));
    let fullness = Arc::new(Fullness::new(config.shards()));
    let mut shards = vec![];
    for index in 0..config.shards() {
        let shard = ShardIndex(u32::try_from(index).expect("few shards"));
        let writers: Result<Vec<_>> = sinks
            .iter()
            .map(|(sink, context)| sink.writer(context, shard))
            .collect();
        let sources: Result<Vec<_>> = plan.sources.iter().map(|s| head(config, s)).collect();
        let late: Result<Vec<_>> = plan.sources.iter().map(|s| late_table(config, s)).collect();
        let mut chain = Chain::new(plan)?;
        chain.set_shards(index, config.shards())?;
        chain.set_chance(config.env.random());
        shards.push(Shard {
            index,
            plan: plan.clone(),
            env: config.env.clone(),
            clock: clock.clone(),
            limit: ReadLimit {
                rows: config.batch_rows.max(1),
                bytes: super::shard::READ_BYTES,
            },
            sources: sources?,
            late_tables: late?,
            chain,
            writers: writers?,
            splits: vec![],
            counters: vec![SourceCounters::default(); plan.sources.len()],
            memory: memory.clone(),
            alignment: alignment.clone(),
            reads: 0,
            fullness: fullness.clone(),
            rows: 0,
            ahead: Ahead::default(),
        });
    }
    Ok(shards)
}

/// Generators make rows; everything else needs a decoder.
fn is_generator(source: &SourcePlan) -> bool {
    source.connector.get("format").is_none()
}

fn head(config: &JobConfig, source: &SourcePlan) -> Result<SourceOperator> {
    let decoder = match is_generator(source) {
        true => None,
        false => Some(config.connectors.decoder(source, &source.shape.decoded)?),
    };
    let shape = ShapeDecoder::new(&source.shape, decoder)?;
    let dead = source.dead_letters.as_ref();
    let dead = dead.map(|dead| config.plan.sinks[dead.sink.index()].schema.clone());
    Ok(SourceOperator::new(source, shape, dead))
}

fn late_table(
    config: &JobConfig,
    source: &SourcePlan,
) -> Result<Option<(millstream_core::SinkId, LateTable)>> {
    let Some(late) = &source.late_events else {
        return Ok(None);
    };
    let decoder = match is_generator(source) {
        true => None,
        false => Some(config.connectors.decoder(source, &late.shape.decoded)?),
    };
    let decoder = ShapeDecoder::new(&late.shape, decoder)?;
    let schema = config.plan.sinks[late.sink.index()].schema.clone();
    Ok(Some((late.sink, LateTable::new(late, schema, decoder))))
}

/// Opens splits where the manifest says, or at their beginning.
pub fn open_splits(
    config: &JobConfig,
    plan: &SourcePlan,
    source: &dyn Source,
    (splits, known): (Vec<Split>, &SourceProgress),
) -> Result<Vec<ShardSplit>> {
    let mut opened = vec![];
    for split in splits {
        let progress = known.splits.iter().find(|p| p.split == split.id);
        let offset: Option<Offset> = progress.map(|p| p.offset);
        let ended = progress.is_some_and(|p| p.ended);
        let reader = match offset {
            Some(offset) if ended => Box::new(EndedReader(offset)),
            _ => source.open(&split.id, offset)?,
        };
        opened.push(ShardSplit {
            context: SplitContext {
                source: plan.id,
                split,
                #[cfg(not(feature = "mutants"))]
                watermark: progress.map_or(Watermark::MIN, |p| p.watermark),
                #[cfg(feature = "mutants")]
                watermark: progress
                    .filter(|_| !Mutant::NoWatermark.is_out())
                    .map_or(Watermark::MIN, |p| p.watermark),
            },
            reader,
            ended,
            pending: false,
            active_at_ms: config.env.now_ms(),
        });
    }
    Ok(opened)
}

/// Loads the state of operators. The shards with it, and whether it has moved between them: then older
/// segments no longer say whose it is.
fn restore(
    (manifest, store): (&Manifest, &CheckpointStore),
    config: &JobConfig,
    mut shards: Vec<Shard>,
) -> Result<(Vec<Shard>, bool)> {
    let plan = &config.plan;
    let marks = source_marks(plan, &manifest.sources);
    let now_ms = manifest.processing_ms.unwrap_or(i64::MIN);
    let at = NodeProgress::new(plan).moment(&manifest.nodes, &marks, now_ms);
    for shard in shards.iter_mut() {
        shard.chain.set_fired(&at);
    }
    let moved = manifest.parallelism as usize != shards.len();
    if moved {
        redistribute((manifest, &at), store, plan, &mut shards)?;
    } else {
        shards = load(shards, &manifest.segments, &store.segments(), &*config.env)?;
    }
    for shard in shards.iter_mut() {
        shard.chain.drop_fired();
    }
    Ok((shards, moved))
}

/// The state of a segment, with the shard that held it.
fn read(store: &CheckpointStore, segment: &SegmentRef) -> Result<Vec<(usize, StateBatch)>> {
    let part = segment.part;
    let states = store.read_segment(segment)?.into_iter();
    let states = states.map(|StateRows { shard, rows }| (shard.index(), StateBatch { part, rows }));
    Ok(states.collect())
}

/// Loads what each shard held by itself, and hands it to the shards that there are now.
fn redistribute(
    (manifest, at): (&Manifest, &Moment),
    store: &CheckpointStore,
    plan: &Plan,
    shards: &mut [Shard],
) -> Result<()> {
    let mut lanes: BTreeMap<(NodeId, usize), Box<dyn Stateful>> = BTreeMap::new();
    for segment in &manifest.segments {
        let node = plan.nodes.get(segment.node.index());
        let node = node.ok_or_else(|| Error::bug("a segment of a node that is not there"))?;
        for (shard, state) in read(store, segment)? {
            let lane = match lanes.entry((segment.node, shard)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    entry.insert(stateful::open(node, &plan.input_schemas(node))?)
                }
            };
            lane.absorb(&state, Absorb::Restore)?;
        }
    }
    for ((node, lane), mut operator) in lanes {
        // What segments still hold of the past must not be put together with the present.
        operator.set_fired(at.nodes[node.index()]);
        operator.drop_fired();
        let by_shard = operator.rescaled(lane, shards.len())?;
        for (shard, states) in shards.iter_mut().zip(by_shard) {
            for state in states {
                let operator = shard.chain.stateful(node)?;
                operator.absorb(&state, Absorb::Merge)?;
            }
        }
    }
    Ok(())
}
