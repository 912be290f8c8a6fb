//! Opens a job: newest manifest → commit its staged outputs again → load state → seek → go on.
//! Nothing else, and the same for a first start, a clean stop and a crash.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use millstream_core::plan::{Plan, SourcePlan};
use millstream_core::sink::{Sink, SinkContext};
use millstream_core::source::{ReadLimit, Source, Split};
use millstream_core::{Epoch, Error, Incarnation, NodeId, Offset, Result, ShardIndex, Watermark};

use super::alignment::Alignment;
use super::clock::ProcessingClock;
use super::config::JobConfig;
use super::memory::MemoryBudget;
use super::progress::source_marks;
use super::shard::{EndedReader, Shard, ShardSplit};
use super::tables::Tables;
use super::way_back::{check_sinks, with_way_back};
use crate::checkpoint::{
    CheckpointStore, Manifest, SegmentRef, SourceCounters, SourceProgress, StateRows,
};
use crate::operator::late::LateTable;
use crate::operator::progress::Moment;
use crate::operator::shape::ShapeDecoder;
use crate::operator::stateful::{self, Absorb, StateBatch, Stateful};
use crate::operator::{Chain, NodeProgress, SourceOperator, SplitContext};
use crate::protocol::EpochProtocol;

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

/// Opens the job.
pub fn open(config: &JobConfig) -> Result<Recovered> {
    let plan = &config.plan;
    let pipeline = &plan.options.name;
    let (storage, env) = (config.storage.clone(), config.env.clone());
    let mut store = CheckpointStore::new(storage, env, pipeline);
    let found = store.load(config.from_epoch);
    let found = found.map_err(|error| with_way_back(error, config, &store))?;
    let newest_incarnation = store.newest_incarnation()?;
    let mut manifest = match found {
        Some(manifest) => checked(manifest, plan)?,
        None => first_manifest(config),
    };
    let sinks = commit_again(config, &manifest, &store);
    let mut sinks = sinks.map_err(|error| with_way_back(error, config, &store))?;
    let mut protocol = EpochProtocol::recovered(manifest.incarnation, manifest.epoch);
    protocol.committed()?;
    if config.from_epoch.is_some() {
        protocol.rewind(newest_incarnation);
        manifest.rewind(protocol.incarnation());
        for (sink, context) in &mut sinks {
            context.incarnation = protocol.incarnation();
            sink.discard_after(context, manifest.epoch)?;
        }
    }
    let memory = Arc::new(MemoryBudget::new(config.shards(), config.memory_bytes_max));
    let from_ms = manifest.processing_ms.unwrap_or(i64::MIN);
    let clock = Arc::new(ProcessingClock::new(config.env.clone(), from_ms));
    let mut shards = open_shards(config, &sinks, (&memory, &clock))?;
    let (tables, loaded) = Tables::open(config)?;
    memory.set_shared(tables.bytes());
    for shard in &mut shards {
        shard.chain.set_tables(&loaded)?;
    }
    let sources: Result<Vec<_>> = plan
        .sources
        .iter()
        .map(|s| config.connectors.source(s))
        .collect();
    let sources = sources?;
    for source in &plan.sources {
        let known = &manifest.sources[&source.table];
        let splits = sources[source.id.index()].splits()?;
        let opened = open_splits(
            config,
            source,
            &*sources[source.id.index()],
            (splits, known),
        )?;
        for (position, split) in opened.into_iter().enumerate() {
            let shard = (position + source.id.index()) % shards.len();
            shards[shard].splits.push(split);
        }
    }
    let restored = restore(&manifest, &store, plan, &mut shards);
    let rewrite_state = restored.map_err(|error| with_way_back(error, config, &store))?;
    // CRASH: until the new incarnation has a manifest, the ones that it leaves behind are the newest,
    // and need their segments.
    if config.from_epoch.is_none() {
        store.remove_orphans()?;
    }
    Ok(Recovered {
        shards,
        sources,
        sinks,
        store,
        protocol,
        manifest,
        rewrite_state,
        memory,
        clock,
        tables,
    })
}

impl JobConfig {
    /// Number of shards.
    pub(super) fn shards(&self) -> usize {
        self.parallelism.max(1) as usize
    }
}

fn first_manifest(config: &JobConfig) -> Manifest {
    let plan = &config.plan;
    let sources = plan.sources.iter();
    Manifest {
        pipeline: plan.options.name.clone(),
        fingerprint: fingerprint(plan),
        incarnation: Incarnation(0),
        epoch: Epoch(0),
        parallelism: config.parallelism,
        finished: false,
        processing_ms: None,
        sources: sources
            .map(|source| (source.table.clone(), SourceProgress::default()))
            .collect(),
        nodes: vec![],
        segments: vec![],
        sinks: BTreeMap::new(),
    }
}

/// The plan's fingerprint as the manifest shows it.
pub fn fingerprint(plan: &Plan) -> String {
    format!("{:016x}", plan.fingerprint())
}

fn checked(manifest: Manifest, plan: &Plan) -> Result<Manifest> {
    let expected = fingerprint(plan);
    if manifest.fingerprint != expected {
        return Err(Error::invalid(format!(
            "pipeline `{}` has state of another plan (found {}, expected {expected}): its queries \
             or tables have changed since epoch {}. Give the new one a name of its own with SET \
             'pipeline.name' = '…', or use another data directory",
            manifest.pipeline, manifest.fingerprint, manifest.epoch
        )));
    }
    Ok(manifest)
}

/// Sinks by id, and under which identity to write.
pub(super) type OpenSinks = Vec<(Box<dyn Sink>, SinkContext)>;

/// Opens the sinks. What the newest manifest staged is committed again; that there is a newer one
/// proves that every sink holds the epoch of an older.
fn commit_again(
    config: &JobConfig,
    manifest: &Manifest,
    store: &CheckpointStore,
) -> Result<OpenSinks> {
    if config.from_epoch.is_some() {
        // Going back discards what is staged, so it must be possible.
        store.verify(manifest)?;
    }
    let plan = &config.plan;
    let mut sinks: OpenSinks = vec![];
    for sink_plan in &plan.sinks {
        let context = SinkContext {
            pipeline: plan.options.name.clone(),
            incarnation: manifest.incarnation,
            sink: sink_plan.table.clone(),
        };
        sinks.push((config.connectors.sink(sink_plan)?, context));
    }
    check_sinks(&sinks, manifest, store)?;
    if store.is_newest() {
        for (sink, context) in &sinks {
            let progress = manifest.sinks.get(&context.sink);
            if let Some(progress) = progress.filter(|progress| !progress.staged.is_empty()) {
                let committed = sink.commit(context, manifest.epoch, &progress.staged);
                committed.map_err(|error| error.context(format!("sink `{}`", context.sink)))?;
            }
            sink.discard_after(context, manifest.epoch)?;
        }
    }
    Ok(sinks)
}

fn open_shards(
    config: &JobConfig,
    sinks: &OpenSinks,
    (memory, clock): (&Arc<MemoryBudget>, &Arc<ProcessingClock>),
) -> Result<Vec<Shard>> {
    let plan = &config.plan;
    let alignment = Arc::new(Alignment::new(config.shards()));
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
                watermark: progress.map_or(Watermark::MIN, |p| p.watermark),
            },
            reader,
            ended,
            pending: false,
            active_at_ms: config.env.now_ms(),
        });
    }
    Ok(opened)
}

/// Loads the state of operators. Whether it has moved between shards: then older segments no longer
/// say whose it is.
fn restore(
    manifest: &Manifest,
    store: &CheckpointStore,
    plan: &Plan,
    shards: &mut [Shard],
) -> Result<bool> {
    let marks = source_marks(plan, &manifest.sources);
    let now_ms = manifest.processing_ms.unwrap_or(i64::MIN);
    let at = NodeProgress::new(plan).moment(&manifest.nodes, &marks, now_ms);
    for shard in shards.iter_mut() {
        shard.chain.set_fired(&at);
    }
    let moved = manifest.parallelism as usize != shards.len();
    if moved {
        redistribute((manifest, &at), store, plan, shards)?;
    } else {
        for segment in &manifest.segments {
            for (shard, state) in read(store, segment)? {
                let operator = shards[shard].chain.stateful(segment.node)?;
                operator.absorb(&state, Absorb::Restore)?;
            }
        }
    }
    for shard in shards.iter_mut() {
        shard.chain.drop_fired();
    }
    Ok(moved)
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
