//! Cuts epochs: asks shards, writes checkpoints, commits sinks. The same for threads and for steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

#[cfg(feature = "mutants")]
use millstream_core::mutant::Mutant;
use millstream_core::sink::{Prepared, Sink, SinkContext, Staged};
use millstream_core::source::Source;
use millstream_core::{
    Epoch, Error, ErrorKind, NodeId, Result, ShardIndex, SinkId, SourceId, SplitId, Watermark,
};

use super::clock::ProcessingClock;
use super::config::JobConfig;
use super::fullness::Fullness;
use super::memory::MemoryBudget;
use super::pauses::Pauses;
use super::pool::{self, ShardPool};
use super::progress::{
    add_nodes, add_reports, initial_status, is_unchanged, source_marks, source_progress,
    update_status,
};
use super::recovery::{self, Recovered, open_splits};
use super::rewrites::Rewrites;
use super::shard::{EpochOutput, Request, Shard, ShardSplit, SplitReport};
use super::tables::Tables;
use crate::checkpoint::compaction::{WHOLE, compact, drop_expired};
use crate::checkpoint::{
    CheckpointStore, Manifest, SegmentRef, SinkProgress, SourceProgress, StateRows,
};
use crate::operator::chain::NodeCounters;
use crate::operator::progress::Moment;
use crate::operator::{Again, NodeProgress, StateBatch, stateful};
use crate::protocol::{EpochProtocol, Event, Step};
use crate::status::{JobState, JobStatus};

/// State that changed in an epoch, by node and part.
type ChangedState = BTreeMap<(NodeId, u32), Vec<StateRows>>;

/// How often shards are looked at while something waits for the disk.
const BARRIER_LOOK: Duration = Duration::from_millis(1);

/// How often unbounded sources are asked for new splits.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(5);

/// See the module.
pub struct Coordinator<P> {
    config: JobConfig,
    /// The shards.
    pub pool: P,
    sources: Vec<Box<dyn Source>>,
    sinks: Vec<(Box<dyn Sink>, SinkContext)>,
    store: CheckpointStore,
    protocol: EpochProtocol,
    manifest: Manifest,
    nodes: NodeProgress,
    rewrite_state: bool,
    rewrites: Rewrites,
    levels: usize,
    memory: Arc<MemoryBudget>,
    clock: Arc<ProcessingClock>,
    tables: Tables,
    discovered_at: Duration,
    /// Splits that a shard has, whether or not a manifest names them yet.
    opened: BTreeSet<(SourceId, SplitId)>,
    pauses: Pauses,
    fullness: Arc<Fullness>,
    reached: Reached,
    ahead: AheadOfEpoch,
    status: JobStatus,
    held: Option<HeldTime>,
}

/// How far windows have fired, at the last barrier: in an epoch or between two. It never goes back.
struct Reached {
    sources: BTreeMap<String, Watermark>,
    nodes: Arc<[Watermark]>,
}

impl Reached {
    fn of(manifest: &Manifest) -> Self {
        Self {
            sources: fired(&manifest.sources),
            nodes: manifest.nodes.clone().into(),
        }
    }
}

fn fired(sources: &BTreeMap<String, SourceProgress>) -> BTreeMap<String, Watermark> {
    let sources = sources.iter();
    sources
        .map(|(table, source)| (table.clone(), source.fired))
        .collect()
}

/// What was done for an epoch before its barrier.
#[derive(Default)]
struct AheadOfEpoch {
    /// Whether shards have written anything.
    any: bool,
    /// What they were asked to give again.
    again: Option<Again>,
}

/// How far time goes, by source, in a run that makes state anew.
pub struct HeldTime {
    /// As far as it may go.
    pub marks: BTreeMap<String, Watermark>,
    /// Whether it goes as far now, whatever the rows say.
    pub is_reached: bool,
}

impl HeldTime {
    fn of(&self, table: &str, fired: Watermark) -> Watermark {
        match self.marks.get(table) {
            Some(mark) if self.is_reached => *mark,
            Some(mark) => fired.min(*mark),
            None => fired,
        }
    }
}

/// An epoch that is being cut.
struct Cut {
    started: Duration,
    /// How long shards stood.
    standing: Duration,
    reports: Vec<SplitReport>,
    now_ms: i64,
    sources: BTreeMap<String, SourceProgress>,
    at: Option<Moment>,
    nodes: Vec<Vec<NodeCounters>>,
    next: Option<Manifest>,
}

impl Cut {
    fn new(started: Duration) -> Self {
        Self {
            started,
            standing: Duration::ZERO,
            reports: vec![],
            now_ms: 0,
            sources: BTreeMap::new(),
            at: None,
            nodes: vec![],
            next: None,
        }
    }
}

impl<P: ShardPool> Coordinator<P> {
    /// Takes a recovered job; `start` makes a pool of its shards.
    pub fn new(
        config: JobConfig,
        recovered: Recovered,
        start: impl FnOnce(Vec<Shard>) -> P,
    ) -> Self {
        let mut status = initial_status(&config.plan, config.parallelism);
        update_status(&mut status, &config.plan, &recovered.manifest);
        status.state = JobState::Running;
        let discovered_at = config.env.monotonic();
        let splits = recovered.shards.iter().flat_map(Shard::splits);
        let opened = splits.map(ShardSplit::key).collect();
        Self {
            levels: recovered.shards[0].levels(),
            fullness: recovered.shards[0].fullness.clone(),
            reached: Reached::of(&recovered.manifest),
            ahead: AheadOfEpoch::default(),
            pool: start(recovered.shards),
            sources: recovered.sources,
            sinks: recovered.sinks,
            store: recovered.store,
            protocol: recovered.protocol,
            manifest: recovered.manifest,
            nodes: NodeProgress::new(&config.plan),
            rewrite_state: recovered.rewrite_state,
            rewrites: Rewrites::default(),
            memory: recovered.memory,
            clock: recovered.clock,
            tables: recovered.tables,
            discovered_at,
            opened,
            pauses: Pauses::default(),
            status,
            config,
            held: None,
        }
    }

    /// From now on time goes no further than that.
    pub fn hold_time(&mut self, held: HeldTime) {
        self.held = Some(held);
    }

    /// Whether all input was read and every window has fired.
    pub fn is_finished(&self) -> bool {
        self.manifest.finished
    }

    /// All input has ended: sinks make visible what they hold back.
    pub fn finish_sinks(&self) -> Result<()> {
        self.sinks
            .iter()
            .try_for_each(|(sink, context)| sink.finish(context))
    }

    /// The last committed epoch.
    pub fn epoch(&self) -> Epoch {
        self.manifest.epoch
    }

    /// How the job is doing.
    pub fn status(&self) -> &JobStatus {
        &self.status
    }

    /// One epoch, if anything changed since the last. Whether there was one.
    pub fn run_epoch(&mut self) -> Result<bool> {
        self.try_epoch().map_err(|error| self.blamed(error))
    }

    /// The error, or `Fenced` if another run has taken the pipeline over: then what this one finds missing
    /// is that one's doing, and no damage.
    fn blamed(&self, error: Error) -> Error {
        let is_own = matches!(
            error.kind(),
            ErrorKind::Unavailable | ErrorKind::StorageFull | ErrorKind::Fenced
        );
        match is_own || !self.store.is_overtaken().unwrap_or(false) {
            true => error,
            false => {
                let pipeline = &self.config.plan.options.name;
                let message = format!("another process has taken pipeline `{pipeline}` over");
                Error::new(ErrorKind::Fenced, format!("{message}: {error}"))
            }
        }
    }

    /// Between epochs: a barrier, if a shard has taken in so much that there should be one. It exchanges and
    /// fires as that of an epoch does, and all of it takes effect with the epoch.
    pub fn run_barrier_if_full(&mut self) -> Result<()> {
        self.barrier_if_full().map_err(|error| self.blamed(error))
    }

    fn barrier_if_full(&mut self) -> Result<()> {
        match self.fullness.is_any() {
            true => self.run_barrier(),
            false => Ok(()),
        }
    }

    fn run_barrier(&mut self) -> Result<()> {
        let started = self.config.env.monotonic();
        let (reports, _) = pool::barrier(&mut self.pool)?;
        let sources = self.progress(&reports, self.config.env.now_ms());
        let at = self.moment(&sources, self.clock.now_ms());
        self.fire(&at, &sources)?;
        pool::resume(&mut self.pool)?;
        self.add_pause(
            &reports,
            self.config.env.monotonic().saturating_sub(started),
        );
        Ok(())
    }

    /// Counts how long shards stood, if there was anything left for them to read.
    fn add_pause(&mut self, reports: &[SplitReport], standing: Duration) {
        if reports.iter().any(|split| !split.ended) {
            self.pauses.add(standing);
        }
    }

    /// Lets shards write down a piece of what changed for the next epoch. How many rows are left beyond
    /// those that a barrier may take.
    pub fn write_ahead(&mut self, again: &Again) -> Result<usize> {
        let (any, left) = pool::ahead(&mut self.pool, again)?;
        self.ahead.any |= any;
        Ok(left)
    }

    /// Before the barrier of an epoch: little of what changed is left for it.
    fn prepare(&mut self) -> Result<()> {
        let mut again = Again::default();
        if self.ahead.again.is_none() {
            let at = self.moment(&self.manifest.sources, self.clock.now_ms());
            again = self.given_again(&at);
            self.ahead.again = Some(again.clone());
        }
        let mut before = usize::MAX;
        loop {
            let left = self.write_ahead(&std::mem::take(&mut again))?;
            // Where as much comes as is written, the barrier takes what is left.
            if left == 0 || left >= before {
                return Ok(());
            }
            before = left;
            self.barrier_if_full()?;
        }
    }

    fn try_epoch(&mut self) -> Result<bool> {
        self.discover()?;
        self.refresh_tables()?;
        self.prepare()?;
        let before = self.protocol.decided();
        let mut cut = Cut::new(self.config.env.monotonic());
        self.protocol.on(Event::Done)?;
        while self.protocol.step() != Step::Read {
            let event = self.carry_out(self.protocol.step(), &mut cut)?;
            self.protocol.on(event)?;
        }
        let is_new = self.protocol.decided() != before;
        if is_new {
            self.rewrite_state = false;
            update_status(&mut self.status, &self.config.plan, &self.manifest);
            add_nodes(&mut self.status, &cut.nodes);
            let whole = self.config.env.monotonic().saturating_sub(cut.started);
            self.add_pause(&cut.reports, cut.standing);
            self.status.pauses = self.pauses.status();
            self.status.barrier_ms = cut.standing.as_secs_f64() * 1e3;
            self.status.epoch_ms = whole.as_secs_f64() * 1e3;
            self.status.committed_at_ms = Some(self.config.env.now_ms());
        }
        self.settle(&cut.reports, cut.now_ms);
        Ok(is_new)
    }

    fn carry_out(&mut self, step: Step, cut: &mut Cut) -> Result<Event> {
        match step {
            Step::Align(_) => return self.align(cut),
            Step::Stage(epoch) => return self.stage(epoch, cut),
            Step::Decide(_) => {
                let next = cut.next.take();
                let next = next.ok_or_else(|| Error::bug("an epoch is staged, then decided"))?;
                #[cfg(feature = "mutants")]
                if Mutant::CommitFirst.is_out() {
                    for (sink, context) in &self.sinks {
                        recovery::commit(&**sink, context, &next)?;
                    }
                }
                self.store.write_manifest(&next)?;
                self.manifest = next;
            }
            Step::Commit(sink) => {
                let (sink, context) = &self.sinks[sink.index()];
                recovery::commit(&**sink, context, &self.manifest)?;
            }
            Step::Collect => self.store.collect_garbage()?,
            other => return Err(Error::bug(format!("{other:?} is no step of an epoch"))),
        }
        Ok(Event::Done)
    }

    /// Lets all shards stand at the barrier.
    fn align(&mut self, cut: &mut Cut) -> Result<Event> {
        let (reports, is_due) = pool::barrier(&mut self.pool)?;
        cut.reports = reports;
        cut.now_ms = self.config.env.now_ms();
        cut.sources = self.progress(&cut.reports, cut.now_ms);
        #[cfg(feature = "mutants")]
        self.take_back_offsets(&mut cut.sources);
        let at = self.moment(&cut.sources, self.clock.now_ms());
        let marks = source_marks(&self.config.plan, &self.manifest.sources);
        let before = self.nodes.moment(&self.manifest.nodes, &marks, at.now_ms);
        let is_unchanged = is_unchanged(&self.manifest, &cut.sources) && at.nodes == before.nodes;
        if is_unchanged && !self.rewrite_state && !is_due && !self.ahead.any {
            pool::resume(&mut self.pool)?;
            return Ok(Event::Unchanged);
        }
        cut.at = Some(at);
        Ok(Event::Done)
    }

    /// The offsets of the epoch before, where there was one.
    #[cfg(feature = "mutants")]
    fn take_back_offsets(&self, sources: &mut BTreeMap<String, SourceProgress>) {
        if !Mutant::OldOffsets.is_out() {
            return;
        }
        for (table, source) in sources {
            for split in &mut source.splits {
                let before = self.manifest.sources[table].splits.iter();
                let mut before = before.filter(|before| before.split == split.split);
                split.offset = before.next().map_or(split.offset, |before| before.offset);
            }
        }
    }

    /// The state that users see after an epoch.
    fn settle(&mut self, reports: &[SplitReport], now_ms: i64) {
        add_reports(&mut self.status, &self.config.plan, reports, now_ms);
        (self.status.state, self.status.reason) = match self.memory.is_exhausted() {
            _ if self.manifest.finished => (JobState::Finished, None),
            true => {
                let (used, limit) = (self.memory.used() >> 20, self.memory.bytes_max() >> 20);
                let reason = format!(
                    "reading has stopped: open windows and staged rows hold {used} MiB, the \
                     budget is {limit} MiB"
                );
                (JobState::Stalled, Some(reason))
            }
            false => (JobState::Running, None),
        };
    }

    fn progress(&self, reports: &[SplitReport], now_ms: i64) -> BTreeMap<String, SourceProgress> {
        let plans = self.config.plan.sources.iter();
        plans
            .map(|plan| {
                let source = &*self.sources[plan.id.index()];
                let mut before = self.manifest.sources[&plan.table].clone();
                let reached = self.reached.sources.get(&plan.table);
                before.fired =
                    reached.map_or(before.fired, |fired| before.fired.advanced_to(*fired));
                let mut progress = source_progress(plan, source, reports, (&before, now_ms));
                if let Some(held) = &self.held {
                    progress.fired = held.of(&plan.table, progress.fired);
                }
                (plan.table.clone(), progress)
            })
            .collect()
    }

    /// How far time is, given how far the sources are. All shards stand, so whatever they read from now
    /// on is read at `now_ms` or later.
    fn moment(&self, sources: &BTreeMap<String, SourceProgress>, now_ms: i64) -> Moment {
        let marks = source_marks(&self.config.plan, sources);
        self.nodes.moment(&self.reached.nodes, &marks, now_ms)
    }

    fn fire(&mut self, at: &Moment, sources: &BTreeMap<String, SourceProgress>) -> Result<()> {
        self.reached = Reached {
            sources: fired(sources),
            nodes: at.nodes.clone(),
        };
        for level in 0..self.levels {
            let routed = pool::close(&mut self.pool, level, at)?;
            pool::fire(&mut self.pool, level, routed)?;
        }
        Ok(())
    }

    /// Fires windows, lets the shards go on, and makes everything that the epoch consists of durable.
    fn stage(&mut self, epoch: Epoch, cut: &mut Cut) -> Result<Event> {
        let sources = std::mem::take(&mut cut.sources);
        let at = cut.at.take();
        let at = at.ok_or_else(|| Error::bug("shards are aligned at a moment"))?;
        self.fire(&at, &sources)?;
        let again = std::mem::take(&mut self.ahead).again.unwrap_or_default();
        let outputs = pool::finish(&mut self.pool, epoch)?;
        cut.standing = self.config.env.monotonic().saturating_sub(cut.started);
        cut.nodes = outputs.iter().map(|output| output.nodes.clone()).collect();
        let next = self.make_durable((epoch, &at, &again), sources, outputs)?;
        let sinks = self.config.plan.sinks.iter();
        let staged = sinks.filter(|sink| !next.sinks[&sink.table].staged.is_empty());
        let staged = staged.map(|sink| sink.id).collect();
        cut.next = Some(next);
        Ok(Event::Staged(staged))
    }

    /// The manifest that will decide the epoch.
    fn make_durable(
        &mut self,
        (epoch, at, again): (Epoch, &Moment, &Again),
        mut sources: BTreeMap<String, SourceProgress>,
        outputs: Vec<EpochOutput>,
    ) -> Result<Manifest> {
        let mut staged: BTreeMap<SinkId, Vec<Staged>> = BTreeMap::new();
        let mut states = ChangedState::new();
        let repeated = repeated_everywhere(&outputs);
        for (index, output) in outputs.into_iter().enumerate() {
            let shard = ShardIndex(u32::try_from(index).expect("few shards"));
            for (plan, counters) in self.config.plan.sources.iter().zip(&output.counters) {
                let source = sources.get_mut(&plan.table);
                let source = source.ok_or_else(|| Error::bug("a source without progress"))?;
                source.counters.add(counters);
            }
            for (
                sink,
                Prepared {
                    staged: rows,
                    files,
                },
            ) in output.prepared
            {
                #[cfg(feature = "mutants")]
                let files = match Mutant::NoStageSync.is_out() {
                    true => vec![],
                    false => files,
                };
                if !files.is_empty() {
                    let mut files = files;
                    let sync = move || files.iter_mut().try_for_each(|file| file.sync());
                    self.aside(sync)??;
                }
                staged.entry(sink).or_default().push(rows);
            }
            #[cfg(feature = "mutants")]
            if Mutant::NoShardState.is_out() && index == 0 {
                continue;
            }
            for change in output.changes {
                for StateBatch { part, rows } in change.states {
                    let of_part = states.entry((change.node, part)).or_default();
                    of_part.push(StateRows { shard, rows });
                }
            }
        }
        let segments = self.segments((epoch, at, again), states, &repeated)?;
        let finished = !sources.is_empty() && sources.values().all(|s| s.fired == Watermark::MAX);
        Ok(Manifest {
            epoch,
            is_claim: false,
            previous: self.manifest.last_decided(),
            parallelism: self.config.parallelism,
            finished,
            processing_ms: Some(at.now_ms),
            sources,
            nodes: at.nodes.to_vec(),
            segments,
            sinks: self.sink_progress(staged),
            ..self.manifest.clone()
        })
    }

    /// The state that the epoch takes besides what has changed, in the place of older segments.
    fn given_again(&mut self, at: &Moment) -> Again {
        if self.rewrite_state {
            self.rewrites = Rewrites::default();
            return Again {
                whole: self.config.plan.nodes.iter().map(|node| node.id).collect(),
                ..Again::default()
            };
        }
        let mut segments = self.manifest.segments.clone();
        drop_expired(&mut segments, &|node| at.nodes[node.index()]);
        self.rewrites.next(&segments)
    }

    /// Does what waits for the disk. Shards that read meanwhile must not wait for it as well, so it is done
    /// on a thread of its own, and there are barriers if they are needed.
    fn aside<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        if !self.pool.reads_by_itself() {
            return Ok(work());
        }
        let (sender, done) = sync_channel(1);
        let send = move || {
            // There is room for it, and somebody waits.
            let _ = sender.send(work());
        };
        let task = self.config.env.spawn("durable", Box::new(send));
        let mut barriers = Ok(());
        let result = loop {
            match done.recv_timeout(BARRIER_LOOK) {
                Err(RecvTimeoutError::Timeout) if barriers.is_ok() => {
                    barriers = self.barrier_if_full();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    break Err(Error::bug("a thread that writes has panicked"));
                }
                Ok(result) => break Ok(result),
            }
        };
        task.join();
        barriers.and(result)
    }

    fn segments(
        &mut self,
        (epoch, at, again): (Epoch, &Moment, &Again),
        states: ChangedState,
        repeated: &BTreeSet<NodeId>,
    ) -> Result<Vec<SegmentRef>> {
        let mut segments = self.manifest.segments.clone();
        segments.retain(|segment| !again.whole.contains(&segment.node));
        let plan = self.config.plan.clone();
        let fired = |node: NodeId| at.nodes[node.index()];
        drop_expired(&mut segments, &fired);
        for (place, states) in states {
            let is_whole = again.whole.contains(&place.0);
            let level = if is_whole { WHOLE } else { 0 };
            let mut encoder = self.store.encoder(&states)?;
            for state in states {
                encoder.write(state)?;
                // Shards read on, and must not wait until all is durable.
                self.barrier_if_full()?;
            }
            let (segment, bytes) = self.store.named((epoch, level, place), encoder)?;
            let (storage, file) = (self.config.storage.clone(), segment.file.clone());
            let (put, bytes) = self.aside(move || (storage.put(&file, &bytes), bytes))?;
            put?;
            self.store.give_back(bytes);
            segments.push(segment);
        }
        for node in repeated {
            self.rewrites.finish(*node, &mut segments);
        }
        let open = |node: NodeId| {
            let node = &plan.nodes[node.index()];
            stateful::open(node, &plan.input_schemas(node))
        };
        let (busy, idle) = segments
            .into_iter()
            .partition(|segment| self.rewrites.is_busy(segment.node));
        segments = idle;
        compact(&mut segments, (epoch, &fired), &open, &self.store)?;
        // Of one operator all are in the one or all in the other, so its order is kept.
        segments.extend::<Vec<SegmentRef>>(busy);
        Ok(segments)
    }

    fn sink_progress(
        &self,
        mut staged: BTreeMap<SinkId, Vec<Staged>>,
    ) -> BTreeMap<String, SinkProgress> {
        let sinks = self.config.plan.sinks.iter();
        sinks
            .map(|sink| {
                let before = self.manifest.sinks.get(&sink.table);
                let staged = staged.remove(&sink.id).unwrap_or_default();
                let rows: u64 = staged.iter().map(|staged| staged.rows).sum();
                let bytes: u64 = staged.iter().map(|staged| staged.bytes).sum();
                let progress = SinkProgress {
                    rows: rows + before.map_or(0, |before| before.rows),
                    bytes: bytes + before.map_or(0, |before| before.bytes),
                    held: self.manifest.committed_by(&sink.table),
                    staged,
                };
                (sink.table.clone(), progress)
            })
            .collect()
    }

    /// Hands tables that have changed to the shards.
    fn refresh_tables(&mut self) -> Result<()> {
        let loaded = self.tables.refresh(&self.config)?;
        if !loaded.is_empty() {
            self.memory.set_shared(self.tables.bytes());
            let requests = (0..self.pool.shards()).map(|_| Request::Tables(loaded.clone()));
            self.pool.call(requests.collect())?;
        }
        Ok(())
    }

    /// Hands new splits of unbounded sources to the shards.
    fn discover(&mut self) -> Result<()> {
        let now = self.config.env.monotonic();
        if now.saturating_sub(self.discovered_at) < DISCOVERY_INTERVAL {
            return Ok(());
        }
        self.discovered_at = now;
        let shards = self.pool.shards();
        let mut added: Vec<Vec<ShardSplit>> = (0..shards).map(|_| vec![]).collect();
        for plan in &self.config.plan.sources {
            let source = &*self.sources[plan.id.index()];
            if source.is_bounded() {
                continue;
            }
            let known = &self.manifest.sources[&plan.table];
            let mut splits = source.splits()?;
            splits.retain(|split| !self.opened.contains(&(plan.id, split.id.clone())));
            let opened = open_splits(&self.config, plan, source, (splits, known))?;
            for split in opened {
                self.opened.insert(split.key());
                added[self.opened.len() % shards].push(split);
            }
        }
        if added.iter().any(|splits| !splits.is_empty()) {
            self.pool
                .call(added.into_iter().map(Request::Add).collect())?;
        }
        Ok(())
    }
}

/// Operators of which every shard has given the last piece.
fn repeated_everywhere(outputs: &[EpochOutput]) -> BTreeSet<NodeId> {
    let Some((first, others)) = outputs.split_first() else {
        return BTreeSet::new();
    };
    let is_everywhere = |node: &&NodeId| others.iter().all(|other| other.repeated.contains(node));
    first
        .repeated
        .iter()
        .filter(is_everywhere)
        .copied()
        .collect()
}
