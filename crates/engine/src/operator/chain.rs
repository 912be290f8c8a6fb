//! The operators of a plan on one shard, as a forest that batches are pushed through.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{Node, NodeInput, Operator, Plan, WindowSpec};
use millstream_core::{
    Epoch, Error, NodeId, Result, SinkId, TableId, TimeDomain, Watermark, types,
};

use super::batch::Batch;
use super::checker::Checker;
use super::join::Indexed;
use super::join::table::TableJoinOperator;
use super::output::Output;
use super::progress::{Moment, NodeProgress};
use super::stateful::{self, Again, Barrier, StateBatch, Stateful};
use super::unnest::UnnestOperator;
use crate::expr::{CompiledExpr, SplitMix, Surroundings, Watermarks};
use crate::window::Slicing;
use crate::window::assigner::to_millis;

/// Most rows of window results that go on at once.
const RESULT_ROWS: usize = 65_536;
/// In how many pieces an operator gives all its state once more.
const PIECES: usize = 16;
/// Fewer rows are not worth a piece.
const PIECE_ROWS_MIN: usize = 8_192;
/// More would make a barrier long.
const PIECE_ROWS_MAX: usize = 65_536;

/// The operators of one shard.
pub struct Chain {
    nodes: Vec<ChainNode>,
    levels: usize,
    now: Now,
}

/// What expressions see besides rows.
struct Now {
    now_ms: i64,
    chance: SplitMix,
    /// Of rows that come out at a barrier.
    watermark: Watermark,
}

struct ChainNode {
    id: NodeId,
    inputs: Vec<NodeInput>,
    /// Number of operators with state before this node, along the longest way.
    level: usize,
    kind: Kind,
    /// Which time it goes by.
    domain: TimeDomain,
    /// As of the last barrier.
    watermark: Watermark,
    /// One for each input.
    checkers: Vec<Checker>,
    schema: SchemaRef,
    rows_in: u64,
    rows_out: u64,
}

enum Kind {
    Filter(CompiledExpr),
    Project(Vec<CompiledExpr>),
    AssignWindow(usize, Slicing),
    Union,
    Unnest(UnnestOperator),
    TableJoin(TableJoinOperator),
    Stateful(Box<dyn Stateful>),
    Sink(SinkId),
    /// Its operator is at work and gives rows to the nodes after it.
    Busy,
}

/// State of an operator on its way to another shard, or to a checkpoint.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The operator.
    pub node: NodeId,
    /// Its state.
    pub states: Vec<StateBatch>,
}

impl Exchange {
    /// None if there is no state.
    fn of(node: NodeId, states: Vec<StateBatch>) -> Option<Self> {
        (!states.is_empty()).then_some(Self { node, states })
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let states = self.states.iter();
        states.map(|state| state.rows.get_array_memory_size()).sum()
    }
}

/// Counters of one operator on one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeCounters {
    /// Rows in.
    pub rows_in: u64,
    /// Rows out.
    pub rows_out: u64,
    /// Groups or rows that are remembered.
    pub groups: u64,
    /// Bytes of them.
    pub state_bytes: u64,
}

impl Chain {
    /// The operators of `plan`.
    pub fn new(plan: &Plan) -> Result<Self> {
        let progress = NodeProgress::new(plan);
        let mut nodes: Vec<ChainNode> = vec![];
        for node in &plan.nodes {
            let levels = node.inputs.iter().map(|input| match input {
                NodeInput::Source(_) => 0,
                NodeInput::Node(id) => nodes[id.index()].level + nodes[id.index()].is_stateful(),
            });
            let level = levels.max().unwrap_or(0);
            let inputs = plan.input_schemas(node);
            let sides = match &node.operator {
                Operator::Join(join) => Some(plan.join_schemas(node, join)),
                _ => None,
            };
            let name = format!("{} of node {}", name(node), node.id);
            nodes.push(ChainNode {
                id: node.id,
                inputs: node.inputs.clone(),
                level,
                kind: match (&node.operator, sides) {
                    (Operator::Join(join), Some(sides)) if !node.operator.is_stateful() => {
                        let schema = node.schema.clone();
                        Kind::TableJoin(TableJoinOperator::new(join, sides, schema)?)
                    }
                    _ => kind(node, &inputs)?,
                },
                domain: progress.domain(node.id),
                watermark: Watermark::MIN,
                checkers: inputs
                    .into_iter()
                    .map(|input| Checker::new(name.clone(), input))
                    .collect(),
                schema: node.schema.clone(),
                rows_in: 0,
                rows_out: 0,
            });
        }
        let levels = nodes.iter().map(|node| node.level + node.is_stateful());
        Ok(Self {
            levels: levels.max().unwrap_or(0),
            nodes,
            now: Now {
                now_ms: i64::MIN,
                chance: SplitMix::new(0),
                watermark: Watermark::MIN,
            },
        })
    }

    /// How many operators with state feed one another at most: how often a barrier exchanges.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// From now on chance gives what follows from `seed`.
    pub fn set_chance(&mut self, seed: u64) {
        self.now.chance = SplitMix::new(seed);
    }

    /// From now on it is `now_ms` in processing time.
    pub fn set_now(&mut self, now_ms: i64) {
        self.now.now_ms = now_ms;
    }

    /// What an expression sees that reads rows from outside, read now.
    pub fn surroundings(&mut self) -> Surroundings<'static> {
        self.now.surroundings(Watermarks::All(Watermark::MIN))
    }

    /// Whether the clock alone would make a barrier put rows out at `now_ms`.
    pub fn is_due(&self, now_ms: i64) -> bool {
        let watermark = Watermark(now_ms.saturating_sub(1));
        self.nodes.iter().any(|node| match &node.kind {
            Kind::Stateful(operator) => {
                let is_of_clock = node.domain == TimeDomain::Processing;
                operator.has_news(now_ms) || (is_of_clock && operator.is_due(watermark))
            }
            _ => false,
        })
    }

    /// Pushes rows into every operator that `input` feeds, and on from there.
    pub fn push(&mut self, input: NodeInput, batch: &Batch, output: &mut Output<'_>) -> Result<()> {
        if batch.rows.num_rows() == 0 {
            return Ok(());
        }
        for index in 0..self.nodes.len() {
            for port in 0..self.nodes[index].inputs.len() {
                if self.nodes[index].inputs[port] != input {
                    continue;
                }
                if self.nodes[index].multiplies() {
                    self.nodes[index].take_in(port, batch)?;
                    self.multiply(index, batch, output)?;
                } else if let Some(next) =
                    self.nodes[index].on_batch(port, (batch, &mut self.now), output)?
                {
                    self.pass_on(index, &next, output)?;
                }
            }
        }
        Ok(())
    }

    /// Pushes rows that the node at `index` has put out on.
    fn pass_on(&mut self, index: usize, batch: &Batch, output: &mut Output<'_>) -> Result<()> {
        let node = &mut self.nodes[index];
        node.rows_out += batch.rows.num_rows() as u64;
        let id = node.id;
        self.push(NodeInput::Node(id), batch, output)
    }

    /// Has an operator that can make many rows of one put them out in blocks: each goes all the way
    /// before the next is made.
    fn multiply(&mut self, index: usize, batch: &Batch, output: &mut Output<'_>) -> Result<()> {
        let kind = std::mem::replace(&mut self.nodes[index].kind, Kind::Busy);
        let mut emit = |next: Batch| self.pass_on(index, &next, output);
        let done = match &kind {
            Kind::Unnest(operator) => operator.unnest(batch, &mut emit),
            Kind::TableJoin(operator) => operator.join(batch, &mut emit),
            _ => Err(Error::bug("an operator that puts out one batch for each")),
        };
        self.nodes[index].kind = kind;
        done
    }

    /// First step of a barrier, for each level in turn: closes what is complete in the operators at
    /// `level`, and gives, by shard, what that shard has to take in. Empty with one shard, which
    /// keeps its own. This is `shard` of `shards`.
    pub fn close(
        &mut self,
        level: usize,
        at: &Moment,
        (shard, shards): (usize, usize),
    ) -> Result<Vec<Vec<Exchange>>> {
        self.now.now_ms = at.now_ms;
        let mut exchanges = vec![vec![]; shards];
        for node in self.nodes.iter_mut().filter(|node| node.level == level) {
            let watermark = at.nodes[node.id.index()];
            if let Kind::Stateful(operator) = &mut node.kind {
                for checker in &mut node.checkers {
                    checker.on_watermark(watermark)?;
                }
                node.watermark = watermark;
                let states = operator.close(Barrier {
                    watermark,
                    now_ms: at.now_ms,
                    shards,
                    shard,
                })?;
                for (owner, states) in states.into_iter().enumerate() {
                    if !states.is_empty() {
                        exchanges[owner].push(Exchange {
                            node: node.id,
                            states,
                        });
                    }
                }
            }
        }
        Ok(exchanges)
    }

    /// Second step: takes in what shards sent and pushes the rows that are complete on.
    pub fn fire(
        &mut self,
        level: usize,
        exchanges: &[Exchange],
        output: &mut Output<'_>,
    ) -> Result<()> {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.level != level || node.is_stateful() == 0 {
                continue;
            }
            let id = node.id;
            let states: Vec<StateBatch> = exchanges
                .iter()
                .filter(|exchange| exchange.node == id)
                .flat_map(|exchange| exchange.states.iter().cloned())
                .collect();
            self.now.watermark = node.watermark;
            self.fire_node(index, &states, output)?;
        }
        Ok(())
    }

    fn fire_node(
        &mut self,
        index: usize,
        states: &[StateBatch],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let mut kind = std::mem::replace(&mut self.nodes[index].kind, Kind::Busy);
        let mut emit = |rows: RecordBatch| {
            for start in (0..rows.num_rows()).step_by(RESULT_ROWS) {
                let count = RESULT_ROWS.min(rows.num_rows() - start);
                let rows = rows.slice(start, count);
                self.pass_on(index, &Batch { rows, origin: None }, output)?;
            }
            Ok(())
        };
        let done = match &mut kind {
            Kind::Stateful(operator) => operator.fire_into(states, &mut emit),
            _ => Ok(()),
        };
        self.nodes[index].kind = kind;
        done
    }

    /// Lets the changes that come next carry what `again` asks for, once an epoch. Those of its nodes that
    /// give their last piece with that.
    pub fn repeat(&mut self, again: &Again) -> Vec<NodeId> {
        let mut repeated = vec![];
        for node in &mut self.nodes {
            let Kind::Stateful(operator) = &mut node.kind else {
                continue;
            };
            if again.whole.contains(&node.id) {
                operator.forget_checkpoints();
            }
            if let Some(is_first) = again.in_pieces.get(&node.id) {
                if *is_first {
                    operator.begin_to_repeat();
                }
                let rows = operator.groups() / PIECES;
                if operator.repeat(rows.clamp(PIECE_ROWS_MIN, PIECE_ROWS_MAX)) {
                    repeated.push(node.id);
                }
            }
        }
        repeated
    }

    /// Between two barriers: about `rows` rows of what changed.
    pub fn some_changes(&mut self, mut rows: usize) -> Result<Vec<Exchange>> {
        let mut changes = vec![];
        for node in &mut self.nodes {
            if let (Kind::Stateful(operator), 1..) = (&mut node.kind, rows) {
                let states = operator.some_changes(rows)?;
                let given: usize = states.iter().map(|state| state.rows.num_rows()).sum();
                rows = rows.saturating_sub(given);
                changes.extend(Exchange::of(node.id, states));
            }
        }
        Ok(changes)
    }

    /// Between batches: puts memory in order.
    pub fn tidy(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if let Kind::Stateful(operator) = &mut node.kind {
                operator.tidy()?;
            }
        }
        Ok(())
    }

    /// How many rows that could give.
    pub fn changed(&self) -> usize {
        self.operators().map(|operator| operator.changed()).sum()
    }

    /// How many rows the next barrier has to move to other shards because of what has come.
    pub fn to_give(&self) -> usize {
        self.operators().map(|operator| operator.to_give()).sum()
    }

    fn operators(&self) -> impl Iterator<Item = &dyn Stateful> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Stateful(operator) => Some(&**operator),
            _ => None,
        })
    }

    /// Third step: what changed since it was given last.
    pub fn changes(&mut self, epoch: Epoch) -> Result<Vec<Exchange>> {
        let mut changes = vec![];
        for node in &mut self.nodes {
            for checker in &mut node.checkers {
                checker.on_barrier(epoch)?;
            }
            if let Kind::Stateful(operator) = &mut node.kind {
                changes.extend(Exchange::of(node.id, operator.changes()?));
            }
        }
        Ok(changes)
    }

    /// The operator of node `id`, for recovery.
    pub fn stateful(&mut self, id: NodeId) -> Result<&mut dyn Stateful> {
        match self.nodes.get_mut(id.index()).map(|node| &mut node.kind) {
            Some(Kind::Stateful(operator)) => Ok(&mut **operator),
            _ => Err(Error::bug(format!("node {id} keeps no state"))),
        }
    }

    /// Tells every operator with state which shard this is, of how many.
    pub fn set_shards(&mut self, shard: usize, shards: usize) -> Result<()> {
        for node in &mut self.nodes {
            if let Kind::Stateful(operator) = &mut node.kind {
                operator.set_shards(shard, shards)?;
            }
        }
        Ok(())
    }

    /// Tells every operator with state how far it had fired, for recovery.
    pub fn set_fired(&mut self, at: &Moment) {
        for node in &mut self.nodes {
            if let Kind::Stateful(operator) = &mut node.kind {
                operator.set_fired(at.nodes[node.id.index()]);
            }
        }
    }

    /// Drops what has expired, for recovery.
    pub fn drop_fired(&mut self) {
        for node in &mut self.nodes {
            if let Kind::Stateful(operator) = &mut node.kind {
                operator.drop_fired();
            }
        }
    }

    /// The join with table `id`.
    pub fn table_join(&mut self, id: TableId) -> Result<&mut TableJoinOperator> {
        let mut joins = self
            .nodes
            .iter_mut()
            .filter_map(|node| match &mut node.kind {
                Kind::TableJoin(join) => Some(join),
                _ => None,
            });
        let join = joins.find(|join| join.table() == id);
        join.ok_or_else(|| Error::bug(format!("no join with table {id}")))
    }

    /// From now on rows meet these rows of tables.
    pub fn set_tables(&mut self, tables: &[(TableId, Arc<Indexed>)]) -> Result<()> {
        for (id, rows) in tables {
            self.table_join(*id)?.set_rows(rows.clone());
        }
        Ok(())
    }

    /// Bytes that operators remember.
    pub fn state_bytes(&self) -> usize {
        self.operators().map(|operator| operator.size()).sum()
    }

    /// Counters of every node, in the order of the plan.
    pub fn counters(&self) -> Vec<NodeCounters> {
        let counters = self.nodes.iter().map(|node| {
            let state = match &node.kind {
                Kind::Stateful(operator) => Some(operator),
                _ => None,
            };
            NodeCounters {
                rows_in: node.rows_in,
                rows_out: node.rows_out,
                groups: state.map_or(0, |state| state.groups() as u64),
                state_bytes: state.map_or(0, |state| state.size() as u64),
            }
        });
        counters.collect()
    }
}

impl ChainNode {
    /// 1 or 0.
    fn is_stateful(&self) -> usize {
        usize::from(matches!(self.kind, Kind::Stateful(_)))
    }

    /// Whether it can make many rows of one.
    fn multiplies(&self) -> bool {
        matches!(self.kind, Kind::Unnest(_) | Kind::TableJoin(_))
    }

    /// Checks and counts what comes in.
    fn take_in(&mut self, port: usize, batch: &Batch) -> Result<()> {
        self.checkers[port].on_batch(batch)?;
        self.rows_in += batch.rows.num_rows() as u64;
        Ok(())
    }

    fn on_batch(
        &mut self,
        port: usize,
        (batch, now): (&Batch, &mut Now),
        output: &mut Output<'_>,
    ) -> Result<Option<Batch>> {
        self.take_in(port, batch)?;
        let next = match &mut self.kind {
            Kind::Filter(predicate) => {
                let mask = now.of(batch, |around| {
                    predicate.filter_mask_in(&batch.rows, around)
                })?;
                batch.filter(&mask)?
            }
            Kind::Project(exprs) => {
                let columns: Vec<ArrayRef> = now.of(batch, |around| {
                    let exprs = exprs.iter();
                    exprs
                        .map(|expr| expr.evaluate_in(&batch.rows, around))
                        .collect::<Result<_>>()
                })?;
                batch.with_rows(rows_of(&self.schema, columns, batch.rows.num_rows())?)
            }
            Kind::AssignWindow(column, slicing) => {
                assign((*column, *slicing), batch, &self.schema)?
            }
            Kind::Union => {
                let columns = batch.rows.columns().to_vec();
                batch.with_rows(rows_of(&self.schema, columns, batch.rows.num_rows())?)
            }
            Kind::Stateful(operator) => {
                match self.domain {
                    TimeDomain::Event => operator.on_batch(port, batch, output.late)?,
                    TimeDomain::Processing => {
                        operator.on_batch(port, &batch.in_processing_time(), output.late)?;
                    }
                }
                return Ok(None);
            }
            Kind::Sink(sink) => {
                let columns = batch.rows.columns().to_vec();
                let rows = rows_of(&self.schema, columns, batch.rows.num_rows())?;
                output.write(*sink, &rows)?;
                return Ok(None);
            }
            Kind::Unnest(_) | Kind::TableJoin(_) | Kind::Busy => {
                return Err(Error::bug("an operator at work was given rows"));
            }
        };
        Ok(Some(next))
    }
}

impl Now {
    fn surroundings<'a>(&mut self, watermarks: Watermarks<'a>) -> Surroundings<'a> {
        Surroundings::new(self.now_ms, self.chance.draw(), watermarks)
    }

    /// What `compute` gives for rows of `batch`.
    fn of<T>(
        &mut self,
        batch: &Batch,
        compute: impl FnOnce(&Surroundings<'_>) -> Result<T>,
    ) -> Result<T> {
        let Some(origin) = &batch.origin else {
            return compute(&self.surroundings(Watermarks::All(self.watermark)));
        };
        let of_row = |row: usize| {
            let row = origin.source_row(row);
            origin.source.watermark_before(row as usize)
        };
        compute(&self.surroundings(Watermarks::Each(&of_row)))
    }
}

/// Rows of these columns, also where there are none.
pub(crate) fn rows_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// The input's columns, then `window_start`, `window_end`, `window_time`: a row for each window.
fn assign((column, slicing): (usize, Slicing), batch: &Batch, schema: &SchemaRef) -> Result<Batch> {
    let times = to_millis(batch.rows.column(column))?;
    let mut ends = slicing.ends(times.values());
    let mut batch = batch.clone();
    if !slicing.is_single() {
        let mut rows = vec![];
        let mut every = vec![];
        for (row, slice) in ends.iter().enumerate() {
            let row = u32::try_from(row).expect("batches have fewer than 2^32 rows");
            let mut end = *slice;
            while end <= slicing.last_end(*slice) {
                rows.push(row);
                every.push(end);
                end = slicing.following(end);
            }
        }
        batch = batch.take(&rows)?;
        ends = every;
    }
    let at = |shift: i64| {
        let times = ends.iter().map(|end| end - shift);
        TimestampMillisecondArray::from_iter_values(times)
    };
    let starts = ends.iter().map(|end| slicing.start(*end));
    let starts = TimestampMillisecondArray::from_iter_values(starts);
    let mut columns = batch.rows.columns().to_vec();
    let time_type = schema.field(columns.len() + 2).data_type();
    let window_time: ArrayRef = Arc::new(at(1).with_timezone(types::TIME_ZONE));
    columns.push(Arc::new(starts));
    columns.push(Arc::new(at(0)));
    columns.push(cast(&window_time, time_type)?);
    Ok(batch.with_rows(rows_of(schema, columns, batch.rows.num_rows())?))
}

fn kind(node: &Node, inputs: &[SchemaRef]) -> Result<Kind> {
    let input = &inputs[0];
    Ok(match &node.operator {
        Operator::Filter(predicate) => Kind::Filter(CompiledExpr::compile(predicate, input)?),
        Operator::Project(exprs) => {
            let exprs = exprs.iter().map(|expr| CompiledExpr::compile(expr, input));
            Kind::Project(exprs.collect::<Result<_>>()?)
        }
        Operator::AssignWindow(WindowSpec {
            time_column, kind, ..
        }) => Kind::AssignWindow(*time_column, Slicing::new(kind)),
        Operator::WindowAggregate(_)
        | Operator::WindowRank(_)
        | Operator::Over(_)
        | Operator::Join(_) => Kind::Stateful(stateful::open(node, inputs)?),
        Operator::Union => Kind::Union,
        Operator::Unnest(unnest) => {
            Kind::Unnest(UnnestOperator::new(unnest, input, node.schema.clone())?)
        }
        Operator::Sink(id) => Kind::Sink(*id),
    })
}

fn name(node: &Node) -> &'static str {
    match node.operator {
        Operator::Filter(_) => "filter",
        Operator::Project(_) => "project",
        Operator::AssignWindow(_) => "assign window",
        Operator::WindowAggregate(_) => "window aggregate",
        Operator::Union => "union",
        Operator::Unnest(_) => "unnest",
        Operator::WindowRank(_) => "window rank",
        Operator::Over(_) => "over",
        Operator::Join(_) => "join",
        Operator::Sink(_) => "sink",
    }
}
