//! Grouped aggregation per session (see [`session`](crate::window::session)), in two phases.
//!
//! Rows whose key another shard owns make parts of sessions where they are read; at a barrier the parts go
//! to the owner, which puts them together and puts out what is complete. Rows of a shard's own keys go
//! straight to its sessions, and nothing is copied. What makes rows late stays with the shard that reads
//! their split.

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
use crate::window::session::keys::{hash_of, owner_of};
use crate::window::session::shape::LANE_KEYS;
use crate::window::session::store::{LaneRows, Part, SessionRows};
use crate::window::session::{SessionShape, SessionStore, Span};

/// See the module.
pub struct SessionAggregateOperator {
    plan: WindowAggregate,
    query: Arc<str>,
    /// What this shard knows of the keys that it owns.
    owned: SessionStore,
    /// The same of the keys of other shards, if there are any: sessions since the last barrier.
    others: Option<Others>,
    shape: Arc<SessionShape>,
    fired: Watermark,
    schema: SchemaRef,
}

/// What a shard knows of keys that are not its own.
struct Others {
    store: SessionStore,
    /// Which shard this is, of how many.
    shard: usize,
    shards: usize,
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
            others: None,
            shape,
            fired: Watermark::MIN,
            schema,
        })
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
    fn set_shards(&mut self, shard: usize, shards: usize) -> Result<()> {
        self.others = match shards {
            0 | 1 => None,
            _ => Some(Others {
                store: SessionStore::new(self.shape.clone())?,
                shard,
                shards,
            }),
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
        let encoded = self.shape.encode_sessions(&keys, times.len())?;
        let hashes: Vec<u64> = (0..times.len())
            .map(|row| hash_of(encoded.get(row)))
            .collect();
        let fired = self.fired;
        let split = batch.origin.as_ref().map(|origin| {
            let name = format!("{}/{}", origin.source.source, origin.source.split);
            let watermark = |row: usize| {
                let before = origin
                    .source
                    .watermark_before(origin.source_row(row) as usize);
                before.advanced_to(fired)
            };
            (name, watermark)
        });
        let split = split
            .as_ref()
            .map(|(name, watermark)| (name.as_str(), watermark as &_));
        let mut too_late: Vec<(usize, Span, Watermark)> = vec![];
        let mut on_late = |row, span, watermark| too_late.push((row, span, watermark));
        let chosen = chosen(&hashes, self.others.as_ref());
        let stores = [
            Some(&mut self.owned),
            self.others.as_mut().map(|others| &mut others.store),
        ];
        for (store, chosen) in stores.into_iter().zip(&chosen) {
            let Some(store) = store.filter(|_| !chosen.is_empty()) else {
                continue;
            };
            let rows = SessionRows {
                times: times.values(),
                keys: &keys,
                sessions: (&encoded, &hashes),
                chosen,
                split,
            };
            store.update(&rows, &inputs, &mut on_late)?;
        }
        // Those of other shards' keys came after the rest.
        too_late.sort_by_key(|(row, ..)| *row);
        if let Some(origin) = &batch.origin {
            for (row, span, watermark) in too_late {
                late.push(LateRow {
                    row: origin.source_row(row),
                    query: self.query.clone(),
                    window_start: EventTime(span.start),
                    window_end: EventTime(span.end),
                    watermark,
                });
            }
        }
        Ok(())
    }

    /// The parts of sessions that were read here, for the shards that own their keys.
    fn close(&mut self, barrier: Barrier) -> Result<ByShard> {
        self.fired = self.fired.advanced_to(barrier.watermark);
        let Some(others) = &mut self.others else {
            return match barrier.shards {
                0 | 1 => Ok(vec![]),
                shards => Err(Error::bug(format!("{shards} shards, expected one"))),
            };
        };
        let parts = others.store.give_away(barrier.shards)?;
        others.store.expire(self.fired);
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
        self.owned.expire(self.fired);
        Ok(results)
    }

    fn changes(&mut self) -> Result<Vec<StateBatch>> {
        let mut changes = self.owned.changes()?;
        if let Some(others) = &mut self.others {
            changes.extend(others.store.changes()?);
        }
        Ok(batches(changes))
    }

    fn changed(&self) -> usize {
        let (sessions, lanes) = self.owned.changed();
        let others = self.others.as_ref();
        sessions + lanes + others.map_or(0, |others| others.store.changed().1)
    }

    fn some_changes(&mut self, mut rows: usize) -> Result<Vec<StateBatch>> {
        let mut changes = self.owned.some_changes(&mut rows)?;
        if let Some(others) = &mut self.others {
            // Its sessions go to their owners before the checkpoint.
            changes.extend(others.store.some_lanes(&mut rows)?);
        }
        Ok(batches(changes))
    }

    fn to_give(&self) -> usize {
        let others = self.others.as_ref();
        others.map_or(0, |others| others.store.sessions())
    }

    fn absorb(&mut self, state: &StateBatch, how: Absorb) -> Result<()> {
        let restore = how == Absorb::Restore;
        let (part, rows) = (part_of(state.part), &state.rows);
        let Some(others) = self.others.as_mut().filter(|_| part == Part::Lanes) else {
            return self.owned.absorb(part, rows, restore);
        };
        let count = rows.num_rows();
        let keys = self
            .shape
            .encode_lanes(&rows.columns()[LANE_KEYS..], count)?;
        let hashes: Vec<u64> = (0..count).map(|row| hash_of(keys.get(row))).collect();
        let [own, of_others] = chosen(&hashes, Some(others));
        for (store, chosen) in [(&mut self.owned, &own), (&mut others.store, &of_others)] {
            let keys = (&keys, &hashes[..]);
            store.absorb_lanes(&LaneRows { rows, keys, chosen }, restore)?;
        }
        Ok(())
    }

    /// Sessions lie with the owner of their key, lanes with the shard that reads their split.
    fn expect(&mut self, part: u32, rows: usize) {
        let part = part_of(part);
        let Some(others) = self.others.as_mut().filter(|_| part == Part::Lanes) else {
            return self.owned.reserve(part, rows);
        };
        let own = rows / others.shards;
        self.owned.reserve(part, own);
        others.store.reserve(part, rows - own);
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
        if let Some(others) = &mut self.others {
            others.store.drop_fired(self.fired);
        }
    }

    fn forget_checkpoints(&mut self) {
        self.owned.forget_checkpoints();
        if let Some(others) = &mut self.others {
            others.store.forget_checkpoints();
        }
    }

    fn begin_to_repeat(&mut self) {
        self.owned.begin_to_repeat();
        if let Some(others) = &mut self.others {
            others.store.begin_to_repeat();
        }
    }

    fn repeat(&mut self, mut rows: usize) -> bool {
        let is_last = self.owned.repeat(&mut rows);
        let others = self.others.as_mut();
        others.is_none_or(|others| others.store.repeat(&mut rows)) && is_last
    }

    fn tidy(&mut self) -> Result<()> {
        self.owned.pack()?;
        let others = self.others.as_mut();
        others.map_or(Ok(()), |others| others.store.pack())
    }

    fn groups(&self) -> usize {
        let others = self.others.as_ref();
        self.owned.groups() + others.map_or(0, |others| others.store.groups())
    }

    fn size(&self) -> usize {
        let others = self.others.as_ref();
        self.owned.size() + others.map_or(0, |others| others.store.size())
    }
}

impl Others {
    fn is_own(&self, hash: u64) -> bool {
        owner_of(hash, self.shards) == self.shard
    }
}

/// The rows of a shard's own keys, and the others.
fn chosen(hashes: &[u64], others: Option<&Others>) -> [Vec<u32>; 2] {
    let rows = 0..u32::try_from(hashes.len()).expect("batches have fewer than 2^32 rows");
    let Some(others) = others else {
        return [rows.collect(), vec![]];
    };
    let (own, of_others) = rows.partition(|row| others.is_own(hashes[*row as usize]));
    [own, of_others]
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
