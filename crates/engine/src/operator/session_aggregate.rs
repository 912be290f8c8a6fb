//! Grouped aggregation per session (see [`session`](crate::window::session)), in two phases.
//!
//! With several shards, rows make parts of sessions where they are read; at a barrier the parts go to the
//! shard that owns their key, which puts them together and puts out what is complete. With one shard the
//! rows go straight to the owner's sessions, and nothing is copied. What makes rows late stays with the
//! shard that reads their split.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_core::plan::{AggregateCall, WindowAggregate};
use millstream_core::{Error, EventTime, Result, Watermark, types};

use super::batch::Batch;
use super::late::{LateRow, LateRows};
use super::stateful::{Absorb, Barrier, ByShard, StateBatch, Stateful};
use super::window_aggregate::grouping_id;
use crate::state::Input;
use crate::window::assigner::to_millis;
use crate::window::session::store::{Part, SessionRows};
use crate::window::session::{SessionShape, SessionStore};

/// See the module.
pub struct SessionAggregateOperator {
    plan: WindowAggregate,
    query: Arc<str>,
    /// The sessions of the keys that this shard owns. With one shard, rows come in here.
    owned: SessionStore,
    /// What this shard has read since the last barrier, if there are others.
    read: Option<SessionStore>,
    shape: Arc<SessionShape>,
    fired: Watermark,
    schema: SchemaRef,
}

/// Most sessions of a batch of results.
const RESULT_SESSIONS: usize = 8_192;

impl SessionAggregateOperator {
    /// The operator for `plan` over rows of `input`, giving rows of `schema`.
    pub fn new(plan: &WindowAggregate, input: &Schema, schema: SchemaRef) -> Result<Self> {
        let shape = Arc::new(SessionShape::new(plan, input)?);
        Ok(Self {
            plan: plan.clone(),
            query: Arc::from(plan.query.as_str()),
            owned: SessionStore::new(shape.clone())?,
            read: None,
            shape,
            fired: Watermark::MIN,
            schema,
        })
    }

    fn reading(&mut self) -> &mut SessionStore {
        self.read.as_mut().unwrap_or(&mut self.owned)
    }

    fn inputs<'a>(&self, rows: &'a RecordBatch, order: Option<&'a ArrayRef>) -> Vec<Input<'a>> {
        let calls = self.plan.aggregates.iter();
        calls
            .map(|call| Input {
                values: call.argument.map(|column| rows.column(column)),
                rows: None,
                filter: call.filter.map(|column| rows.column(column).as_boolean()),
                order: order.filter(|_| call.function.is_ordered()),
                // A session is made of parts, wherever barriers cut it: its sums are exact, so that
                // they do not show where.
                run: None,
            })
            .collect()
    }

    fn results(&mut self, sessions: &[u32]) -> Result<RecordBatch> {
        let results = self.owned.results(sessions)?;
        let time = |of: &dyn Fn(usize) -> i64| {
            TimestampMillisecondArray::from_iter_values((0..results.spans.len()).map(of))
        };
        let time_type = self.schema.field(2).data_type();
        let window_time: ArrayRef =
            Arc::new(time(&|row| results.spans[row].end - 1).with_timezone(types::TIME_ZONE));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(time(&|row| results.spans[row].start)),
            Arc::new(time(&|row| results.spans[row].end)),
            cast(&window_time, time_type)?,
        ];
        columns.extend(results.columns);
        if self.plan.grouping_id {
            let (sets, keys) = (&self.plan.grouping_sets, self.plan.keys.len());
            let ids = results
                .sets
                .iter()
                .map(|set| grouping_id(&sets[*set], keys));
            columns.push(Arc::new(Int64Array::from_iter_values(ids)));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Stateful for SessionAggregateOperator {
    fn set_shards(&mut self, shards: usize) -> Result<()> {
        self.read = match shards {
            0 | 1 => None,
            _ => Some(SessionStore::new(self.shape.clone())?),
        };
        Ok(())
    }

    /// Aggregates the rows that are on time, and notes the others.
    fn on_batch(&mut self, _: usize, batch: &Batch, late: &mut LateRows) -> Result<()> {
        let times = to_millis(batch.rows.column(self.plan.window.time_column))?;
        let keys = self.plan.keys.iter();
        let keys: Vec<ArrayRef> = keys.map(|key| batch.rows.column(*key).clone()).collect();
        let is_ordered = |call: &AggregateCall| call.function.is_ordered();
        let ordered = self.plan.aggregates.iter().any(is_ordered);
        let order = ordered.then(|| batch.order_keys(times.values()));
        let inputs = self.inputs(&batch.rows, order.as_ref());
        let (fired, query) = (self.fired, self.query.clone());
        let Some(origin) = &batch.origin else {
            let rows = SessionRows {
                times: times.values(),
                keys: &keys,
                split: None,
            };
            return self.reading().update(&rows, &inputs, &mut |_, _, _| {});
        };
        let split = format!("{}/{}", origin.source.source, origin.source.split);
        let watermark = |row: usize| {
            let before = origin
                .source
                .watermark_before(origin.source_row(row) as usize);
            before.advanced_to(fired)
        };
        let rows = SessionRows {
            times: times.values(),
            keys: &keys,
            split: Some((&split, &watermark)),
        };
        self.reading()
            .update(&rows, &inputs, &mut |row, span, watermark| {
                late.push(LateRow {
                    row: origin.source_row(row),
                    query: query.clone(),
                    window_start: EventTime(span.start),
                    window_end: EventTime(span.end),
                    watermark,
                });
            })
    }

    /// The parts of sessions that were read here, for the shards that own their keys.
    fn close(&mut self, barrier: Barrier) -> Result<ByShard> {
        self.fired = self.fired.advanced_to(barrier.watermark);
        let Some(read) = &mut self.read else {
            return match barrier.shards {
                0 | 1 => Ok(vec![]),
                shards => Err(Error::bug(format!("{shards} shards, expected one"))),
            };
        };
        let parts = read.give_away(barrier.shards)?;
        read.tidy(self.fired)?;
        Ok(parts.into_iter().map(batches).collect())
    }

    /// The sessions of this shard's keys that are complete.
    fn fire(&mut self, states: &[StateBatch]) -> Result<Vec<RecordBatch>> {
        for state in states {
            self.owned.absorb(part_of(state.part), &state.rows, false)?;
        }
        let fired = self.owned.fire(self.fired)?;
        let mut results = vec![];
        for sessions in fired.chunks(RESULT_SESSIONS) {
            results.push(self.results(sessions)?);
        }
        self.owned.drop(&fired);
        self.owned.tidy(self.fired)?;
        Ok(results)
    }

    fn changes(&mut self) -> Result<Vec<StateBatch>> {
        let mut changes = self.owned.changes()?;
        if let Some(read) = &mut self.read {
            changes.extend(read.changes()?);
        }
        Ok(batches(changes))
    }

    fn absorb(&mut self, state: &StateBatch, how: Absorb) -> Result<()> {
        let restore = how == Absorb::Restore;
        match part_of(state.part) {
            Part::Lanes => self.reading().absorb(Part::Lanes, &state.rows, restore),
            part => self.owned.absorb(part, &state.rows, restore),
        }
    }

    /// Sessions go to the owner of their key. Nobody knows here who reads which split from now on, so
    /// each shard gets what makes rows late; what it does not need expires with time.
    fn rescaled(&mut self, _: usize, shards: usize) -> Result<ByShard> {
        let lanes = self.owned.all_lanes()?;
        let owned = self.owned.give_away(shards)?;
        let by_shard = owned.into_iter().map(|mut states| {
            states.extend(lanes.iter().cloned());
            batches(states)
        });
        Ok(by_shard.collect())
    }

    fn set_fired(&mut self, fired: Watermark) {
        self.fired = fired;
    }

    fn drop_fired(&mut self) {
        self.owned.drop_fired(self.fired);
        if let Some(read) = &mut self.read {
            read.drop_fired(self.fired);
        }
    }

    fn forget_checkpoints(&mut self) {
        self.owned.forget_checkpoints();
        if let Some(read) = &mut self.read {
            read.forget_checkpoints();
        }
    }

    fn groups(&self) -> usize {
        self.owned.groups() + self.read.as_ref().map_or(0, SessionStore::groups)
    }

    fn size(&self) -> usize {
        self.owned.size() + self.read.as_ref().map_or(0, SessionStore::size)
    }
}

fn batches(states: Vec<(Part, RecordBatch)>) -> Vec<StateBatch> {
    let states = states.into_iter().map(|(part, rows)| StateBatch {
        part: match part {
            Part::Sessions => 0,
            Part::Stragglers => 1,
            Part::Lanes => 2,
        },
        rows,
    });
    states.collect()
}

fn part_of(number: u32) -> Part {
    match number {
        0 => Part::Sessions,
        1 => Part::Stragglers,
        _ => Part::Lanes,
    }
}

#[cfg(test)]
mod tests;
