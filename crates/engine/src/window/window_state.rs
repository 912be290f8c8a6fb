//! Slices of windows (see [`Slicing`](super::Slicing)) of one aggregation on one shard.
//!
//! State travels as record batches of one schema ([`StateShape::schema`]), between shards at a
//! barrier and to disk in segments: `needed_until` and `slice_end` (ms), `grouping_set`, the keys, the
//! state columns of each accumulator. One row is one group of one slice.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{BatchCoalescer, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use millstream_core::plan::WindowAggregate;
use millstream_core::{EventTime, Result, Watermark};

use super::pane::{Pane, PaneInput, PaneStates};
use crate::state::accumulator::{distinct_encoder, state_fields};
use crate::state::distinct::Distinct;
use crate::state::group_table::Keys;
use crate::state::{Accumulator, Input, KeyEncoder, accumulator};

/// What the state of an aggregation looks like.
pub struct StateShape {
    aggregate: WindowAggregate,
    arguments: Vec<Option<DataType>>,
    /// Of each aggregate that keeps a set of values. PERF: built once, not for every window.
    distinct: Vec<Option<KeyEncoder>>,
    keys: usize,
    schema: SchemaRef,
}

impl StateShape {
    /// The shape for `aggregate` over rows of `input`.
    pub fn new(aggregate: &WindowAggregate, input: &Schema) -> Result<Self> {
        let data_type = |column: usize| input.field(column).data_type().clone();
        let arguments: Vec<Option<DataType>> = aggregate
            .aggregates
            .iter()
            .map(|call| call.argument.map(data_type))
            .collect();
        let calls = aggregate.aggregates.iter().zip(&arguments);
        let distinct = calls.map(|(call, argument)| distinct_encoder(call, argument.as_ref()));
        let mut shape = Self {
            aggregate: aggregate.clone(),
            distinct: distinct.collect::<Result<_>>()?,
            arguments,
            keys: aggregate.keys.len(),
            schema: Arc::new(Schema::empty()),
        };
        let mut fields = vec![
            Arc::new(Field::new("needed_until", DataType::Int64, false)),
            Arc::new(Field::new("slice_end", DataType::Int64, false)),
            Arc::new(Field::new("grouping_set", DataType::UInt32, false)),
        ];
        for key in &aggregate.keys {
            let field = input.field(*key).clone();
            fields.push(Arc::new(field.with_nullable(true)));
        }
        fields.extend(state_fields(&shape.accumulators()?));
        shape.schema = Arc::new(Schema::new(fields));
        Ok(shape)
    }

    /// Columns of state batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        let calls = self.aggregate.aggregates.iter().zip(&self.arguments);
        calls
            .zip(&self.distinct)
            .map(|((call, argument), distinct)| match (argument, distinct) {
                (Some(values), Some(encoder)) => {
                    let made = Distinct::sharing(call, values, encoder.clone());
                    Ok(Box::new(made) as Box<dyn Accumulator>)
                }
                _ => accumulator(call, argument.as_ref()),
            })
            .collect()
    }

    fn key_types(&self) -> Vec<DataType> {
        let keys = self.schema.fields()[KEYS..KEYS + self.keys].iter();
        keys.map(|field| field.data_type().clone()).collect()
    }
}

/// Columns of state before the keys.
const KEYS: usize = 3;

/// Which rows a pane is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Until when they are needed here: the end of a window in ms.
    pub until: i64,
    /// The slice that they are in, by its end in ms.
    pub slice: i64,
}

impl Place {
    /// Of a window that is one slice.
    pub fn single(end: i64) -> Self {
        Self {
            until: end,
            slice: end,
        }
    }
}

/// Slices, each with a pane per grouping set.
pub struct WindowState {
    shape: Arc<StateShape>,
    encoder: KeyEncoder,
    all_keys: Vec<usize>,
    windows: BTreeMap<Place, Vec<Pane>>,
    scratch: Vec<u32>,
}

/// A slice that is complete, and its panes by grouping set.
pub type ClosedWindow = (Place, Vec<Pane>);

impl WindowState {
    /// No windows.
    pub fn new(shape: Arc<StateShape>) -> Result<Self> {
        Ok(Self {
            encoder: KeyEncoder::new(shape.key_types())?,
            all_keys: (0..shape.keys).collect(),
            shape,
            windows: BTreeMap::new(),
            scratch: vec![],
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The panes of a slice.
    pub fn get(&self, place: Place) -> Option<&[Pane]> {
        self.windows.get(&place).map(Vec::as_slice)
    }

    /// All slices in order.
    pub fn slices(&self) -> impl DoubleEndedIterator<Item = (Place, &[Pane])> {
        let windows = self.windows.iter();
        windows.map(|(place, panes)| (*place, panes.as_slice()))
    }

    /// Adds the panes of a slice to what is there of it.
    pub fn add(&mut self, place: Place, mut panes: Vec<Pane>) -> Result<()> {
        let Some(known) = self.windows.get_mut(&place) else {
            // What was written of them was of another place.
            panes.iter_mut().for_each(Pane::forget_checkpoints);
            self.windows.insert(place, panes);
            return Ok(());
        };
        for (known, pane) in known.iter_mut().zip(&panes) {
            known.merge(pane)?;
        }
        Ok(())
    }

    /// Empty panes, one per grouping set.
    pub fn empty_panes(&self) -> Result<Vec<Pane>> {
        // PERF: a vector that grows by itself begins with room for four.
        let sets = self.shape.aggregate.grouping_sets.len();
        let mut panes = Vec::with_capacity(sets);
        for _ in 0..sets {
            let shows_early = self.shape.aggregate.early_delay_ms.is_some();
            panes.push(Pane::new(self.shape.accumulators()?, shows_early));
        }
        Ok(panes)
    }

    /// Number of groups in all windows.
    pub fn groups(&self) -> usize {
        self.panes().map(Pane::groups).sum()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        // A map's nodes are two thirds full on average.
        let entry = size_of::<(i64, Vec<Pane>)>() * 3 / 2;
        self.panes().map(Pane::size).sum::<usize>() + self.windows.len() * entry
    }

    fn panes(&self) -> impl Iterator<Item = &Pane> {
        self.windows.values().flatten()
    }

    /// Encodes the keys of a batch under one grouping set.
    pub fn encode(&self, columns: &[ArrayRef], set: usize, rows: usize) -> Result<Keys> {
        let sets = &self.shape.aggregate.grouping_sets;
        self.encoder.encode(columns, &sets[set], rows)
    }

    /// Aggregates rows into a slice under grouping set `set`.
    pub fn update(
        &mut self,
        (place, set): (Place, usize),
        rows: &PaneInput<'_>,
        inputs: &[Input<'_>],
    ) -> Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.pane(place, set)?.update(rows, inputs, &mut scratch)?;
        self.scratch = scratch;
        Ok(())
    }

    fn pane(&mut self, place: Place, set: usize) -> Result<&mut Pane> {
        if !self.windows.contains_key(&place) {
            let panes = self.empty_panes()?;
            self.windows.insert(place, panes);
        }
        let panes = self.windows.get_mut(&place);
        Ok(&mut panes.expect("inserted above")[set])
    }

    /// Takes the slices out that are needed no longer at `watermark`, in order.
    pub fn close(&mut self, watermark: Watermark) -> Vec<ClosedWindow> {
        let open = match watermark {
            Watermark::MAX => BTreeMap::new(),
            Watermark(ms) => self.windows.split_off(&Place {
                until: ms.saturating_add(2),
                slice: i64::MIN,
            }),
        };
        let closed = std::mem::replace(&mut self.windows, open);
        debug_assert!(
            closed
                .keys()
                .all(|place| watermark.has_passed_end(EventTime(place.until))),
            "a window closes once its last millisecond has passed"
        );
        closed.into_iter().collect()
    }

    /// Drops windows that have fired already: a segment holds windows of one barrier, and they do
    /// not all fire together.
    pub fn drop_fired(&mut self, fired: Watermark) {
        drop(self.close(fired));
    }

    /// Adds the states of a slice to those for the shard that owns each key.
    pub fn states_by_owner(
        &self,
        (place, panes): (Place, &[Pane]),
        owners: &mut [Coalesced],
    ) -> Result<()> {
        for (set, pane) in panes.iter().enumerate() {
            let groups = pane.groups_by_owner(owners.len());
            for (owner, groups) in owners.iter_mut().zip(&groups) {
                if !groups.is_empty() {
                    let states = pane.states(groups)?;
                    owner.push(self.state_batch((place, set), pane, groups, states)?)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the states of groups that changed since the last call to those for the shard that owns each
    /// key.
    pub fn unshown_by_owner(&mut self, owners: &mut [Coalesced]) -> Result<()> {
        let mut windows = std::mem::take(&mut self.windows);
        for (place, panes) in &mut windows {
            self.unshown_of((*place, panes), owners)?;
        }
        self.windows = windows;
        Ok(())
    }

    /// The same of one slice, which may have been closed.
    pub fn unshown_of(
        &self,
        (place, panes): (Place, &mut [Pane]),
        owners: &mut [Coalesced],
    ) -> Result<()> {
        for (set, pane) in panes.iter_mut().enumerate() {
            let unshown = pane.take_unshown();
            let groups = pane.by_owner(unshown, owners.len());
            for (owner, groups) in owners.iter_mut().zip(&groups) {
                if !groups.is_empty() {
                    let states = pane.states(groups)?;
                    owner.push(self.state_batch((place, set), pane, groups, states)?)?;
                }
            }
        }
        Ok(())
    }

    /// What changed in open windows since the last call: what a checkpoint must add.
    pub fn changes(&mut self) -> Result<Vec<RecordBatch>> {
        self.changes_of(&mut Pane::take_dirty)
    }

    /// How many groups of open windows changed since they were given.
    pub fn changed(&self) -> usize {
        self.panes().map(Pane::dirty).sum()
    }

    /// About `rows` rows of what changed in open windows, and takes them off `rows`.
    pub fn some_changes(&mut self, rows: &mut usize) -> Result<Vec<RecordBatch>> {
        self.changes_of(&mut |pane| {
            let groups = match *rows {
                0 => vec![],
                rows => pane.take_some_dirty(rows),
            };
            *rows = rows.saturating_sub(groups.len());
            groups
        })
    }

    fn changes_of(
        &mut self,
        groups: &mut dyn FnMut(&mut Pane) -> Vec<u32>,
    ) -> Result<Vec<RecordBatch>> {
        let mut batches = Coalesced::new(self.shape.schema.clone());
        let mut windows = std::mem::take(&mut self.windows);
        for (place, panes) in &mut windows {
            for (set, pane) in panes.iter_mut().enumerate() {
                let groups = groups(pane);
                if !groups.is_empty() {
                    let states = pane.changes(&groups)?;
                    batches.push(self.state_batch((*place, set), pane, &groups, states)?)?;
                }
            }
        }
        self.windows = windows;
        batches.finish()
    }

    fn state_batch(
        &self,
        (place, set): (Place, usize),
        pane: &Pane,
        groups: &[u32],
        states: Vec<ArrayRef>,
    ) -> Result<RecordBatch> {
        let set = u32::try_from(set).expect("few grouping sets");
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_value(place.until, groups.len())),
            Arc::new(Int64Array::from_value(place.slice, groups.len())),
            Arc::new(UInt32Array::from_value(set, groups.len())),
        ];
        columns.extend(pane.keys(&self.encoder, groups)?);
        columns.extend(states);
        Ok(RecordBatch::try_new(self.shape.schema.clone(), columns)?)
    }

    /// Takes states in: adds them (`restore` false: from other shards) or puts them back (`restore`
    /// true: from a checkpoint, oldest first).
    pub fn absorb(&mut self, states: &RecordBatch, restore: bool) -> Result<()> {
        let untils = states.column(0).as_primitive::<Int64Type>().values();
        let slices = states.column(1).as_primitive::<Int64Type>().values();
        let sets = states.column(2).as_primitive::<UInt32Type>().values();
        let key_columns = &states.columns()[KEYS..KEYS + self.shape.keys];
        // Keys outside a grouping set are null in the state already.
        let keys = self
            .encoder
            .encode(key_columns, &self.all_keys, states.num_rows())?;
        let mut panes: BTreeMap<(Place, u32), Vec<u32>> = BTreeMap::new();
        for row in 0..states.num_rows() {
            let (until, slice) = (untils[row], slices[row]);
            let pane = panes.entry((Place { until, slice }, sets[row]));
            let row = u32::try_from(row).expect("batches have fewer than 2^32 rows");
            pane.or_default().push(row);
        }
        for ((place, set), rows) in panes {
            let indices = UInt32Array::from(rows.clone());
            let columns = states.columns()[KEYS + self.shape.keys..].iter();
            let columns: Result<Vec<ArrayRef>> = columns
                .map(|column| Ok(take(column, &indices, None)?))
                .collect();
            self.pane(place, set as usize)?.absorb(&PaneStates {
                keys: &keys,
                selection: &rows,
                columns: columns?,
                restore,
            })?;
        }
        Ok(())
    }

    /// Begins to give everything once more, in pieces, while changes go on.
    pub fn begin_to_repeat(&mut self) {
        self.windows
            .values_mut()
            .flatten()
            .for_each(Pane::begin_to_repeat);
    }

    /// Lets the next `changes` carry a piece of it, and takes its rows off `rows`. Whether it was the last.
    pub fn repeat(&mut self, rows: &mut usize) -> bool {
        // One that has more has used up all rows.
        let mut panes = self.windows.values_mut().flatten();
        panes.all(|pane| pane.repeat(rows))
    }

    /// Makes the next `changes` carry everything.
    pub fn forget_checkpoints(&mut self) {
        for pane in self.windows.values_mut().flatten() {
            pane.forget_checkpoints();
        }
    }

    /// Keys and results of these groups of a pane, as columns.
    pub fn finish(&self, pane: &Pane, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = pane.keys(&self.encoder, groups)?;
        columns.extend(pane.finish(groups)?);
        Ok(columns)
    }
}

/// Batches put together: many windows with few groups each must not become as many batches.
pub struct Coalesced {
    coalescer: BatchCoalescer,
}

impl Coalesced {
    /// Most rows of a batch.
    const ROWS: usize = 8_192;

    /// No rows of these columns.
    pub fn new(schema: SchemaRef) -> Self {
        let coalescer = BatchCoalescer::new(schema, Self::ROWS);
        // PERF: what is large already is not copied.
        let coalescer = coalescer.with_biggest_coalesce_batch_size(Some(Self::ROWS / 2));
        Self { coalescer }
    }

    /// Adds rows.
    pub fn push(&mut self, rows: RecordBatch) -> Result<()> {
        Ok(self.coalescer.push_batch(rows)?)
    }

    /// The batches that are full.
    pub fn full(&mut self) -> impl Iterator<Item = RecordBatch> {
        std::iter::from_fn(|| self.coalescer.next_completed_batch())
    }

    /// All rows.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.coalescer.finish_buffered_batch()?;
        Ok(std::iter::from_fn(|| self.coalescer.next_completed_batch()).collect())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use millstream_core::TimeDomain;
    use millstream_core::plan::{AggregateCall, AggregateFunction, WindowKind, WindowSpec};

    use super::*;

    /// `COUNT(*)`, `COUNT(DISTINCT name)` and `SUM(number)` per name and minute.
    fn state() -> WindowState {
        let call = |function, argument, distinct| AggregateCall {
            function,
            native: None,
            argument,
            parameters: vec![],
            filter: None,
            distinct,
            data_type: DataType::Int64,
        };
        let size_ms = 60_000;
        let aggregate = WindowAggregate {
            window: WindowSpec {
                time_column: 0,
                domain: TimeDomain::Event,
                kind: WindowKind::Tumble {
                    size_ms,
                    offset_ms: 0,
                },
            },
            keys: vec![0],
            grouping_sets: vec![vec![0]],
            aggregates: vec![
                call(AggregateFunction::Count, None, false),
                call(AggregateFunction::Count, Some(0), true),
                call(AggregateFunction::Sum, Some(1), false),
            ],
            grouping_id: false,
            query: "q".into(),
            allowed_lateness_ms: 0,
            early_delay_ms: None,
        };
        let input = Schema::new(vec![
            Field::new("name", DataType::Utf8, true),
            Field::new("number", DataType::Int64, true),
        ]);
        let shape = StateShape::new(&aggregate, &input).unwrap();
        WindowState::new(Arc::new(shape)).unwrap()
    }

    /// One row in each of `windows` windows.
    fn fill(state: &mut WindowState, windows: i64) {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["/product/7"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let columns = vec![("name", names.clone()), ("number", numbers.clone())];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let keys = state.encode(std::slice::from_ref(&names), 0, 1).unwrap();
        let input = |values| Input {
            values,
            ..Input::default()
        };
        let inputs = [input(None), input(Some(&names)), input(Some(&numbers))];
        for window in 1..=windows {
            let pane = PaneInput {
                rows: &rows,
                keys: &keys,
                selection: None,
                run: None,
            };
            state
                .update((Place::single(window * 60_000), 0), &pane, &inputs)
                .unwrap();
        }
    }

    /// A process with a hundred thousand such windows grows by 1,300 bytes a window.
    #[test]
    fn a_window_with_one_row_is_charged_what_it_takes() {
        let mut state = state();
        fill(&mut state, 1_000);
        assert_eq!(state.groups(), 1_000);
        let window = state.size() / 1_000;
        assert!(
            window >= size_of::<Pane>() + size_of::<Distinct>() + 400,
            "{window}"
        );
        assert!(window <= 1_300, "{window}");
    }
}
