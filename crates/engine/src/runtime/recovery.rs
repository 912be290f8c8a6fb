//! Opens a job: newest manifest → commit its staged outputs again → load state → seek → go on.
//! Nothing else, and the same for a first start, a clean stop and a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::plan::{Operator, Plan, SourcePlan};
use millstream_core::sink::{Sink, SinkContext};
use millstream_core::source::{ReadLimit, Source, Split};
use millstream_core::{
    Epoch, Error, Incarnation, NodeId, Offset, Result, ShardIndex, SourceId, Watermark,
};

use super::alignment::Alignment;
use super::config::JobConfig;
use super::memory::MemoryBudget;
use super::shard::{EndedReader, Shard, ShardSplit};
use crate::checkpoint::{CheckpointStore, Manifest, SourceCounters, SourceProgress};
use crate::operator::late::LateTable;
use crate::operator::shape::ShapeDecoder;
use crate::operator::{Chain, SourceOperator, SplitContext};
use crate::protocol::EpochProtocol;
use crate::window::{StateShape, WindowState};

/// An opened job: shards that have not been started, and what the coordinator needs.
pub struct Recovered {
    /// The shards, with state and splits.
    pub shards: Vec<Shard>,
    /// The sources, by id.
    pub sources: Vec<Box<dyn Source>>,
    /// The sinks, by id, and under which identity to write.
    pub sinks: Vec<(Box<dyn Sink>, SinkContext)>,
    /// Checkpoints.
    pub store: CheckpointStore,
    /// Where the protocol stands.
    pub protocol: EpochProtocol,
    /// The manifest that was recovered, or an empty one of epoch 0.
    pub manifest: Manifest,
    /// State of each aggregation.
    pub shapes: BTreeMap<NodeId, Arc<StateShape>>,
    /// Whether the state must be written whole at the next epoch: shards have changed.
    pub rewrite_state: bool,
    /// The budget that the shards share.
    pub memory: Arc<MemoryBudget>,
}

/// Opens the job.
pub fn open(config: &JobConfig) -> Result<Recovered> {
    let plan = &config.plan;
    let pipeline = &plan.options.name;
    let (storage, env) = (config.storage.clone(), config.env.clone());
    let mut store = CheckpointStore::new(storage, env, pipeline);
    let found = store.load(config.from_epoch)?;
    let newest_incarnation = store.newest_incarnation()?;
    let mut manifest = match found {
        Some(manifest) => checked(manifest, plan)?,
        None => first_manifest(config),
    };
    let mut sinks = open_sinks(config, &manifest, store.is_newest())?;
    let mut protocol = EpochProtocol::recovered(manifest.incarnation, manifest.epoch);
    protocol.committed()?;
    if config.from_epoch.is_some() {
        protocol.rewind(newest_incarnation);
        manifest.incarnation = protocol.incarnation();
        for (sink, context) in &mut sinks {
            context.incarnation = protocol.incarnation();
            sink.discard_after(context, manifest.epoch)?;
        }
    }
    let memory = Arc::new(MemoryBudget::new(config.shards(), config.memory_bytes_max));
    let mut shards = open_shards(config, &sinks, &memory)?;
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
    let shapes = shapes(plan, &mut shards)?;
    let rewrite_state = restore(&manifest, &store, &shapes, &mut shards)?;
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
        shapes,
        rewrite_state,
        memory,
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
        sources: sources
            .map(|source| (source.table.clone(), SourceProgress::default()))
            .collect(),
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

/// Opens the sinks. What the newest manifest staged is committed again; that there is a newer one
/// proves that every sink holds the epoch of an older.
fn open_sinks(
    config: &JobConfig,
    manifest: &Manifest,
    is_newest: bool,
) -> Result<Vec<(Box<dyn Sink>, SinkContext)>> {
    let plan = &config.plan;
    let mut sinks = vec![];
    for sink_plan in &plan.sinks {
        let sink = config.connectors.sink(sink_plan)?;
        let context = SinkContext {
            pipeline: plan.options.name.clone(),
            incarnation: manifest.incarnation,
            sink: sink_plan.table.clone(),
        };
        let progress = manifest.sinks.get(&sink_plan.table);
        if is_newest {
            if let Some(progress) = progress.filter(|progress| !progress.staged.is_empty()) {
                sink.commit(&context, manifest.epoch, &progress.staged)?;
            }
            sink.discard_after(&context, manifest.epoch)?;
        }
        sinks.push((sink, context));
    }
    Ok(sinks)
}

fn open_shards(
    config: &JobConfig,
    sinks: &[(Box<dyn Sink>, SinkContext)],
    memory: &Arc<MemoryBudget>,
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
        shards.push(Shard {
            index,
            plan: plan.clone(),
            env: config.env.clone(),
            limit: ReadLimit {
                rows: config.batch_rows.max(1),
                bytes: super::shard::READ_BYTES,
            },
            sources: sources?,
            late_tables: late?,
            chain: Chain::new(plan)?,
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

fn shapes(plan: &Plan, shards: &mut [Shard]) -> Result<BTreeMap<NodeId, Arc<StateShape>>> {
    let mut shapes = BTreeMap::new();
    let chain = &mut shards[0].chain;
    for node in &plan.nodes {
        if matches!(node.operator, Operator::WindowAggregate(_)) {
            shapes.insert(node.id, chain.window(node.id)?.shape().clone());
        }
    }
    Ok(shapes)
}

/// Loads the state of open windows. Whether it has moved between shards: then older segments no
/// longer say whose it is.
fn restore(
    manifest: &Manifest,
    store: &CheckpointStore,
    shapes: &BTreeMap<NodeId, Arc<StateShape>>,
    shards: &mut [Shard],
) -> Result<bool> {
    let fired: BTreeMap<&str, Watermark> = manifest
        .sources
        .iter()
        .map(|(table, p)| (table.as_str(), p.fired))
        .collect();
    for shard in shards.iter_mut() {
        let plan = shard.plan.clone();
        let table = |id: SourceId| plan.sources[id.index()].table.as_str();
        for (source, window) in shard.chain.windows() {
            window.set_fired(fired[table(source)]);
        }
    }
    if manifest.parallelism as usize == shards.len() {
        for segment in &manifest.segments {
            for state in store.read_segment(segment)? {
                let shard = &mut shards[state.shard.index()];
                shard
                    .chain
                    .window(segment.node)?
                    .state_mut()
                    .absorb(&state.rows, true)?;
            }
        }
        for (_, window) in shards.iter_mut().flat_map(|shard| shard.chain.windows()) {
            window.drop_fired();
        }
        return Ok(false);
    }
    let mut lanes: BTreeMap<(NodeId, ShardIndex), WindowState> = BTreeMap::new();
    for segment in &manifest.segments {
        let shape = shapes.get(&segment.node);
        let shape = shape.ok_or_else(|| Error::bug("a segment of a node without windows"))?;
        for state in store.read_segment(segment)? {
            let lane = lanes.entry((segment.node, state.shard));
            let lane = match lane {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(WindowState::new(shape.clone())?)
                }
            };
            lane.absorb(&state.rows, true)?;
        }
    }
    let count = shards.len();
    for ((node, shard), mut lane) in lanes {
        lane.forget_checkpoints();
        let window = shards[shard.index() % count].chain.window(node)?;
        for rows in lane.changes()? {
            window.state_mut().absorb(&rows, false)?;
        }
        window.drop_fired();
    }
    Ok(true)
}
