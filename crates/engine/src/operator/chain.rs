//! The operators of a plan on one shard, as a forest that batches are pushed through.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{Node, NodeInput, Operator, Plan, WindowKind, WindowSpec};
use millstream_core::{Epoch, Error, NodeId, Result, SinkId, SourceId, Watermark, types};
use std::sync::Arc;

use super::batch::Batch;
use super::checker::Checker;
use super::output::Output;
use super::window_aggregate::WindowAggregateOperator;
use crate::expr::CompiledExpr;
use crate::window::TumbleAssigner;
use crate::window::assigner::to_millis;

/// Most rows of window results that go on at once.
const RESULT_ROWS: usize = 65_536;

/// The operators of one shard.
pub struct Chain {
    nodes: Vec<ChainNode>,
    levels: usize,
}

struct ChainNode {
    id: NodeId,
    input: NodeInput,
    source: SourceId,
    /// Number of window aggregations before this node.
    level: usize,
    kind: Kind,
    checker: Checker,
    schema: SchemaRef,
    rows_in: u64,
    rows_out: u64,
}

enum Kind {
    Filter(CompiledExpr),
    Project(Vec<CompiledExpr>),
    AssignWindow(usize, TumbleAssigner),
    WindowAggregate(Box<WindowAggregateOperator>),
    Sink(SinkId),
}

/// Partial window states on their way to the shard that owns their keys.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The aggregation.
    pub node: NodeId,
    /// State batches.
    pub states: Vec<RecordBatch>,
}

/// Counters of one operator on one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeCounters {
    /// Rows in.
    pub rows_in: u64,
    /// Rows out.
    pub rows_out: u64,
    /// Groups in open windows.
    pub groups: u64,
    /// Bytes of open windows.
    pub state_bytes: u64,
}

impl Chain {
    /// The operators of `plan`.
    pub fn new(plan: &Plan) -> Result<Self> {
        let mut nodes: Vec<ChainNode> = vec![];
        for node in &plan.nodes {
            let (source, level) = match node.input {
                NodeInput::Source(source) => (source, 0),
                NodeInput::Node(id) => {
                    let before = &nodes[id.index()];
                    let window = matches!(before.kind, Kind::WindowAggregate(_));
                    (before.source, before.level + usize::from(window))
                }
            };
            let input = plan.input_schema(node.input);
            nodes.push(ChainNode {
                id: node.id,
                input: node.input,
                source,
                level,
                kind: kind(node, &input)?,
                checker: Checker::new(format!("{} of node {}", name(node), node.id), input),
                schema: node.schema.clone(),
                rows_in: 0,
                rows_out: 0,
            });
        }
        let windows = nodes
            .iter()
            .filter(|n| matches!(n.kind, Kind::WindowAggregate(_)));
        let levels = windows.map(|node| node.level + 1).max().unwrap_or(0);
        Ok(Self { nodes, levels })
    }

    /// How many aggregations feed one another at most: how often a barrier exchanges.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Pushes rows into every operator that `input` feeds, and on from there.
    pub fn push(&mut self, input: NodeInput, batch: &Batch, output: &mut Output<'_>) -> Result<()> {
        if batch.rows.num_rows() == 0 {
            return Ok(());
        }
        for index in 0..self.nodes.len() {
            if self.nodes[index].input != input {
                continue;
            }
            if let Some(next) = self.nodes[index].on_batch(batch, output)? {
                let id = self.nodes[index].id;
                self.push(NodeInput::Node(id), &next, output)?;
            }
        }
        Ok(())
    }

    /// First step of a barrier, for each level in turn: closes the windows of aggregations at
    /// `level` that are complete, and gives, by shard, what that shard has to merge. Empty with one
    /// shard, which keeps its own.
    pub fn close(
        &mut self,
        level: usize,
        watermarks: &[Watermark],
        shards: usize,
    ) -> Result<Vec<Vec<Exchange>>> {
        let mut exchanges = vec![vec![]; shards];
        for node in self.nodes.iter_mut().filter(|node| node.level == level) {
            let watermark = watermarks[node.source.index()];
            if let Kind::WindowAggregate(operator) = &mut node.kind {
                node.checker.on_watermark(watermark)?;
                let states = operator.close(watermark, shards)?;
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

    /// Second step: merges what other shards sent and pushes the windows' results on.
    pub fn fire(
        &mut self,
        level: usize,
        exchanges: &[Exchange],
        output: &mut Output<'_>,
    ) -> Result<()> {
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let (id, at_level) = (node.id, node.level == level);
            let Kind::WindowAggregate(operator) = &mut node.kind else {
                continue;
            };
            if !at_level {
                continue;
            }
            let states: Vec<RecordBatch> = exchanges
                .iter()
                .filter(|exchange| exchange.node == id)
                .flat_map(|exchange| exchange.states.iter().cloned())
                .collect();
            let results = operator.fire(&states)?;
            for rows in results {
                self.nodes[index].rows_out += rows.num_rows() as u64;
                for start in (0..rows.num_rows()).step_by(RESULT_ROWS) {
                    let count = RESULT_ROWS.min(rows.num_rows() - start);
                    let rows = rows.slice(start, count);
                    self.push(NodeInput::Node(id), &Batch { rows, origin: None }, output)?;
                }
            }
        }
        Ok(())
    }

    /// Third step: what changed in open windows since the last barrier.
    pub fn changes(&mut self, epoch: Epoch) -> Result<Vec<Exchange>> {
        let mut changes = vec![];
        for node in &mut self.nodes {
            node.checker.on_barrier(epoch)?;
            if let Kind::WindowAggregate(operator) = &mut node.kind {
                let states = operator.state_mut().changes()?;
                if !states.is_empty() {
                    changes.push(Exchange {
                        node: node.id,
                        states,
                    });
                }
            }
        }
        Ok(changes)
    }

    /// The aggregation `id`, for recovery.
    pub fn window(&mut self, id: NodeId) -> Result<&mut WindowAggregateOperator> {
        match self.nodes.get_mut(id.index()).map(|node| &mut node.kind) {
            Some(Kind::WindowAggregate(operator)) => Ok(operator),
            _ => Err(Error::bug(format!("node {id} keeps no windows"))),
        }
    }

    /// Every aggregation, for recovery.
    pub fn windows(&mut self) -> impl Iterator<Item = (SourceId, &mut WindowAggregateOperator)> {
        self.nodes
            .iter_mut()
            .filter_map(|node| match &mut node.kind {
                Kind::WindowAggregate(operator) => Some((node.source, &mut **operator)),
                _ => None,
            })
    }

    /// Bytes of open windows.
    pub fn state_bytes(&self) -> usize {
        let windows = self.nodes.iter().map(|node| match &node.kind {
            Kind::WindowAggregate(operator) => operator.state().size(),
            _ => 0,
        });
        windows.sum()
    }

    /// Counters of every node, in the order of the plan.
    pub fn counters(&self) -> Vec<NodeCounters> {
        let counters = self.nodes.iter().map(|node| {
            let state = match &node.kind {
                Kind::WindowAggregate(operator) => Some(operator.state()),
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
    fn on_batch(&mut self, batch: &Batch, output: &mut Output<'_>) -> Result<Option<Batch>> {
        self.checker.on_batch(batch)?;
        self.rows_in += batch.rows.num_rows() as u64;
        let next = match &mut self.kind {
            Kind::Filter(predicate) => batch.filter(&predicate.filter_mask(&batch.rows)?)?,
            Kind::Project(exprs) => {
                let columns: Result<Vec<ArrayRef>> = exprs
                    .iter()
                    .map(|expr| expr.evaluate(&batch.rows))
                    .collect();
                batch.with_rows(rows_of(&self.schema, columns?, batch.rows.num_rows())?)
            }
            Kind::AssignWindow(column, assigner) => {
                let columns = assign(*column, *assigner, batch, &self.schema)?;
                batch.with_rows(rows_of(&self.schema, columns, batch.rows.num_rows())?)
            }
            Kind::WindowAggregate(operator) => {
                operator.on_batch(batch, output.late)?;
                return Ok(None);
            }
            Kind::Sink(sink) => {
                let columns = batch.rows.columns().to_vec();
                let rows = rows_of(&self.schema, columns, batch.rows.num_rows())?;
                output.write(*sink, &rows)?;
                return Ok(None);
            }
        };
        self.rows_out += next.rows.num_rows() as u64;
        Ok(Some(next))
    }
}

fn rows_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// The input's columns, then `window_start`, `window_end`, `window_time`.
fn assign(
    column: usize,
    assigner: TumbleAssigner,
    batch: &Batch,
    schema: &SchemaRef,
) -> Result<Vec<ArrayRef>> {
    let times = to_millis(batch.rows.column(column))?;
    let ends = assigner.ends(times.values());
    let at = |shift: i64| {
        let times = ends.iter().map(|end| end - shift);
        TimestampMillisecondArray::from_iter_values(times)
    };
    let mut columns = batch.rows.columns().to_vec();
    let time_type = schema.field(columns.len() + 2).data_type();
    let window_time: ArrayRef = Arc::new(at(1).with_timezone(types::TIME_ZONE));
    columns.push(Arc::new(at(assigner.size_ms)));
    columns.push(Arc::new(at(0)));
    columns.push(cast(&window_time, time_type)?);
    Ok(columns)
}

fn kind(node: &Node, input: &SchemaRef) -> Result<Kind> {
    Ok(match &node.operator {
        Operator::Filter(predicate) => Kind::Filter(CompiledExpr::compile(predicate, input)?),
        Operator::Project(exprs) => {
            let exprs = exprs.iter().map(|expr| CompiledExpr::compile(expr, input));
            Kind::Project(exprs.collect::<Result<_>>()?)
        }
        Operator::AssignWindow(WindowSpec { time_column, kind }) => {
            let WindowKind::Tumble { size_ms, offset_ms } = *kind;
            Kind::AssignWindow(*time_column, TumbleAssigner { size_ms, offset_ms })
        }
        Operator::WindowAggregate(aggregate) => Kind::WindowAggregate(Box::new(
            WindowAggregateOperator::new(aggregate, input, node.schema.clone())?,
        )),
        Operator::Sink(id) => Kind::Sink(*id),
    })
}

fn name(node: &Node) -> &'static str {
    match node.operator {
        Operator::Filter(_) => "filter",
        Operator::Project(_) => "project",
        Operator::AssignWindow(_) => "assign window",
        Operator::WindowAggregate(_) => "window aggregate",
        Operator::Sink(_) => "sink",
    }
}
