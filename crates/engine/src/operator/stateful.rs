//! Operators that remember rows from one batch to the next.
//!
//! Rows come in on the shard that read them. At a barrier, level by level, each operator first gives
//! away what other shards must have ([`Stateful::close`]: state by the shard that owns its key), then
//! takes in what it was given and puts out the rows that are complete ([`Stateful::fire`]). So no
//! row is sent on its own, and what is put out depends on watermarks, not on when batches came.
//!
//! State travels as [`StateBatch`]es, between shards and to disk. INVARIANT: restoring all of
//! [`Stateful::changes`] since the beginning, oldest first, without what has expired, gives the state.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{JoinOn, Node, Operator, WindowKind};
use millstream_core::{Error, NodeId, Result, Watermark};

use super::batch::Batch;
use super::join::interval::IntervalJoinOperator;
use super::join::window::WindowJoinOperator;
use super::late::LateRows;
use super::over::OverOperator;
use super::session_aggregate::SessionAggregateOperator;
use super::window_aggregate::WindowAggregateOperator;
use super::window_rank::WindowRankOperator;

/// Rows of state. Column 0 is BIGINT: until when a row is needed, as the end of a window in ms; once
/// the operator's watermark has passed it, the row is dropped. `i64::MAX`: always.
#[derive(Debug, Clone)]
pub struct StateBatch {
    /// Which of the operator's tables the rows are of. The batches of one part have one schema.
    pub part: u32,
    /// The rows.
    pub rows: RecordBatch,
}

/// How state is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absorb {
    /// Another shard's: added to what is there.
    Merge,
    /// A checkpoint's, oldest first: newer rows replace older ones.
    Restore,
}

/// A moment in which all shards stand still.
#[derive(Debug, Clone, Copy)]
pub struct Barrier {
    /// The operator's watermark.
    pub watermark: Watermark,
    /// Processing time in ms.
    pub now_ms: i64,
    /// Number of shards.
    pub shards: usize,
    /// Which one this is.
    pub shard: usize,
}

/// What shards give checkpoints once more, besides what has changed.
#[derive(Debug, Clone, Default)]
pub struct Again {
    /// Operators of which all state is given at once.
    pub whole: BTreeSet<NodeId>,
    /// Operators of which a piece is given, and whether it is the first.
    pub in_pieces: BTreeMap<NodeId, bool>,
}

/// What a shard has to take in, or gives away: batches by shard.
pub type ByShard = Vec<Vec<StateBatch>>;

/// Takes rows that are complete.
pub type Emit<'a> = dyn FnMut(RecordBatch) -> Result<()> + 'a;

/// All rows that `fire` gives away.
pub fn collected(fire: impl FnOnce(&mut Emit<'_>) -> Result<()>) -> Result<Vec<RecordBatch>> {
    let mut results = vec![];
    fire(&mut |rows| {
        results.push(rows);
        Ok(())
    })?;
    Ok(results)
}

/// See the module.
pub trait Stateful: Send {
    /// Says which shard this is and how many there are, before anything else. Not said of an operator
    /// that only carries state over.
    fn set_shards(&mut self, _shard: usize, _shards: usize) -> Result<()> {
        Ok(())
    }

    /// Takes rows in that came at `port`.
    fn on_batch(&mut self, port: usize, batch: &Batch, late: &mut LateRows) -> Result<()>;

    /// First step of a barrier: what each shard must have, by its number. Empty with one shard.
    fn close(&mut self, barrier: Barrier) -> Result<ByShard>;

    /// Second step: takes in what shards gave, and gives the rows that are complete.
    fn fire(&mut self, states: &[StateBatch]) -> Result<Vec<RecordBatch>>;

    /// The same, giving rows away as they are made: for operators whose results can be many times what
    /// they hold.
    fn fire_into(&mut self, states: &[StateBatch], emit: &mut Emit<'_>) -> Result<()> {
        self.fire(states)?.into_iter().try_for_each(emit)
    }

    /// What changed since the last call: what a checkpoint must add.
    fn changes(&mut self) -> Result<Vec<StateBatch>>;

    /// Part of what `changes` would give now, about so many rows: given between two barriers, the next
    /// checkpoint adds it before what `changes` gives then. So that few are left for the barrier.
    ///
    /// INVARIANT: what is given is as sound as at a barrier: rows that the next barrier gives away or puts
    /// out are either not in it, or have expired by then.
    fn some_changes(&mut self, _rows: usize) -> Result<Vec<StateBatch>> {
        Ok(vec![])
    }

    /// How many rows `some_changes` could give.
    fn changed(&self) -> usize {
        0
    }

    /// How many rows the next barrier has to move to other shards, if that depends on what has come since
    /// the last.
    fn to_give(&self) -> usize {
        0
    }

    /// Takes state in.
    fn absorb(&mut self, state: &StateBatch, how: Absorb) -> Result<()>;

    /// Says that a checkpoint will put about so many rows of a part back here, before it does.
    fn expect(&mut self, _part: u32, _rows: usize) {}

    /// Sets how far it had fired before a restart.
    fn set_fired(&mut self, fired: Watermark);

    /// Whether a barrier at `watermark` would put rows out although none has come in: what lets the clock
    /// alone fire windows. `true` where that is not known.
    fn is_due(&self, _watermark: Watermark) -> bool {
        self.groups() > 0
    }

    /// Whether a barrier at processing time `now_ms` would put out early results.
    fn has_news(&self, _now_ms: i64) -> bool {
        false
    }

    /// Between batches, now and then: puts memory in order where that takes long, so that no barrier waits
    /// for it.
    fn tidy(&mut self) -> Result<()> {
        Ok(())
    }

    /// Drops what has expired up to there.
    fn drop_fired(&mut self);

    /// Makes the next `changes` carry everything.
    fn forget_checkpoints(&mut self);

    /// Begins to give all state once more, in pieces, each with the `changes` that come anyway: so that no
    /// barrier has to wait for all of it. Operators that cannot give it with the next.
    ///
    /// INVARIANT: restoring what `changes` gave from the first piece to the last, and after, is enough.
    fn begin_to_repeat(&mut self) {
        self.forget_checkpoints();
    }

    /// Lets the next `changes` carry a piece of about so many rows more. Whether it is the last. Once
    /// between two `changes`.
    fn repeat(&mut self, _rows: usize) -> bool {
        true
    }

    /// Number of groups or rows that it remembers.
    fn groups(&self) -> usize;

    /// Memory in bytes.
    fn size(&self) -> usize;

    /// All state, by the shard that holds it when there are `shards`; shard `lane` held it before.
    /// For operators whose state lies with the owner of its key, that is the new owner.
    fn rescaled(&mut self, lane: usize, shards: usize) -> Result<ByShard> {
        self.forget_checkpoints();
        let mut by_shard = vec![vec![]; shards];
        by_shard[lane % shards] = self.changes()?;
        Ok(by_shard)
    }
}

/// An empty operator for `node`, whose inputs have the columns `inputs`. `Bug` if it keeps no state.
pub fn open(node: &Node, inputs: &[SchemaRef]) -> Result<Box<dyn Stateful>> {
    Ok(match &node.operator {
        Operator::WindowAggregate(aggregate)
            if matches!(aggregate.window.kind, WindowKind::Session { .. }) =>
        {
            Box::new(SessionAggregateOperator::new(
                aggregate,
                &inputs[0],
                node.schema.clone(),
            )?)
        }
        Operator::WindowAggregate(aggregate) => Box::new(WindowAggregateOperator::new(
            aggregate,
            &inputs[0],
            node.schema.clone(),
        )?),
        Operator::WindowRank(rank) => Box::new(WindowRankOperator::new(
            rank,
            &inputs[0],
            node.schema.clone(),
        )?),
        Operator::Over(over) => Box::new(OverOperator::new(over, &inputs[0], node.schema.clone())?),
        Operator::Join(join) => {
            let [left, right] = inputs else {
                return Err(Error::bug(format!("node {} has no two inputs", node.id)));
            };
            let sides = [left.clone(), right.clone()];
            match join.on {
                JoinOn::Interval { .. } => {
                    Box::new(IntervalJoinOperator::new(join, sides, node.schema.clone())?)
                }
                _ => Box::new(WindowJoinOperator::new(join, sides, node.schema.clone())?),
            }
        }
        _ => return Err(Error::bug(format!("node {} keeps no state", node.id))),
    })
}
