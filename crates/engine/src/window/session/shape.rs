//! What the state of session windows looks like on its way between shards and to disk.
//!
//! Sessions and stragglers: `needed_until`, `start`, `end`, `moment` (ms; null for a session),
//! `grouping_set`, the columns of GROUP BY, the state of each accumulator. One row is one group of one
//! session, and all of it: a newer row takes the place of what it touches. Lanes: `needed_until`,
//! `start`, `end`, `split` (null: that of the row before), the columns that sessions are of.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_core::plan::{WindowAggregate, WindowKind};
use millstream_core::{Error, Result};

use crate::state::Accumulator;
use crate::state::accumulator::{grouped_accumulator, state_fields};
use crate::state::group_table::{KeyEncoder, Keys};

/// See the module.
pub struct SessionShape {
    aggregate: WindowAggregate,
    arguments: Vec<Option<DataType>>,
    /// The keys that sessions are of, as positions among the keys.
    partition: Vec<usize>,
    gap_ms: i64,
    touching: bool,
    session_keys: KeyEncoder,
    group_keys: KeyEncoder,
    schema: SchemaRef,
    lane_schema: SchemaRef,
}

/// Columns of sessions before the keys.
pub const SESSION_KEYS: usize = 5;
/// Columns of lanes before the keys.
pub const LANE_KEYS: usize = 4;

impl SessionShape {
    /// The shape for `aggregate` over rows of `input`. `Bug` if its windows are no sessions.
    pub fn new(aggregate: &WindowAggregate, input: &Schema) -> Result<Self> {
        let WindowKind::Session {
            gap_ms,
            ref partition,
            touching,
        } = aggregate.window.kind
        else {
            return Err(Error::bug("windows of another kind than sessions"));
        };
        let keys = aggregate.keys.iter().enumerate();
        let partition: Vec<usize> = keys
            .filter(|(_, column)| partition.contains(column))
            .map(|(position, _)| position)
            .collect();
        let data_type = |column: usize| input.field(column).data_type().clone();
        let key_type = |position: &usize| data_type(aggregate.keys[*position]);
        let arguments = aggregate.aggregates.iter();
        let arguments: Vec<_> = arguments.map(|call| call.argument.map(data_type)).collect();
        let all_keys = aggregate.keys.iter().map(|key| data_type(*key));
        let mut shape = Self {
            session_keys: KeyEncoder::new(partition.iter().map(key_type).collect())?,
            group_keys: KeyEncoder::new(all_keys.collect())?,
            aggregate: aggregate.clone(),
            arguments,
            gap_ms,
            touching,
            schema: Arc::new(Schema::empty()),
            lane_schema: Arc::new(Schema::empty()),
            partition,
        };
        let key_field = |position: usize| {
            let field = input.field(aggregate.keys[position]).clone();
            Arc::new(field.with_nullable(true))
        };
        let time = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        let span = ["needed_until", "start", "end"].map(time);
        let mut fields = span.to_vec();
        fields.push(time("moment"));
        fields.push(Arc::new(Field::new(
            "grouping_set",
            DataType::UInt32,
            false,
        )));
        fields.extend((0..aggregate.keys.len()).map(key_field));
        fields.extend(state_fields(&shape.accumulators()?));
        shape.schema = Arc::new(Schema::new(fields));
        let mut fields = span.to_vec();
        fields.push(Arc::new(Field::new("split", DataType::Utf8, true)));
        fields.extend(shape.partition.iter().copied().map(key_field));
        shape.lane_schema = Arc::new(Schema::new(fields));
        Ok(shape)
    }

    /// Columns of sessions and stragglers.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Columns of lanes.
    pub fn lane_schema(&self) -> &SchemaRef {
        &self.lane_schema
    }

    /// How long a session lasts after its last row.
    pub fn gap_ms(&self) -> i64 {
        self.gap_ms
    }

    /// Whether it is enough that spans touch to be one.
    pub fn is_touching(&self) -> bool {
        self.touching
    }

    /// Whether a session is one group.
    pub fn is_single(&self) -> bool {
        let sets = &self.aggregate.grouping_sets;
        let keys = self.aggregate.keys.len();
        self.partition.len() == keys && matches!(&sets[..], [set] if set.len() == keys)
    }

    /// Number of grouping sets.
    pub fn sets(&self) -> usize {
        self.aggregate.grouping_sets.len()
    }

    /// Empty accumulators.
    pub fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        let calls = self.aggregate.aggregates.iter().zip(&self.arguments);
        calls
            .map(|(call, argument)| grouped_accumulator(call, argument.as_ref()))
            .collect()
    }

    /// Encodes what sessions are of, given the columns of GROUP BY.
    pub fn encode_sessions(&self, keys: &[ArrayRef], rows: usize) -> Result<Keys> {
        let columns: Vec<ArrayRef> = self.partition.iter().map(|at| keys[*at].clone()).collect();
        self.encode_lanes(&columns, rows)
    }

    /// The same, given only the columns that sessions are of.
    pub fn encode_lanes(&self, columns: &[ArrayRef], rows: usize) -> Result<Keys> {
        let all: Vec<usize> = (0..columns.len()).collect();
        self.session_keys.encode(columns, &all, rows)
    }

    /// Encodes the columns of GROUP BY under a grouping set.
    pub fn encode_groups(&self, keys: &[ArrayRef], set: usize, rows: usize) -> Result<Keys> {
        let sets = &self.aggregate.grouping_sets;
        self.group_keys.encode(keys, &sets[set], rows)
    }

    /// The columns of GROUP BY in rows of state.
    pub fn keys_of<'a>(&self, states: &'a RecordBatch) -> &'a [ArrayRef] {
        &states.columns()[SESSION_KEYS..SESSION_KEYS + self.aggregate.keys.len()]
    }

    /// The states of accumulators in rows of state.
    pub fn states_of<'a>(&self, states: &'a RecordBatch) -> &'a [ArrayRef] {
        &states.columns()[SESSION_KEYS + self.aggregate.keys.len()..]
    }

    /// The columns of GROUP BY from encoded ones.
    pub fn decode_groups<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        self.group_keys.decode_keys(keys)
    }

    /// The columns that sessions are of from encoded ones.
    pub fn decode_sessions<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        self.session_keys.decode_keys(keys)
    }
}
