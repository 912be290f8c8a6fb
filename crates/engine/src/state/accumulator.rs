//! Accumulators: one aggregate of all groups of a window, as vectors indexed by group.
//!
//! Reading never changes them (DataFusion's `GroupsAccumulator` gives its state up when asked for
//! it, which a checkpoint cannot use). An accumulator gives its state as Arrow columns in two ways,
//! and takes it back in two ways:
//!
//! | | gives | taken by |
//! |---|---|---|
//! | exchange between shards | `state`: all of a group | `merge`: adds to what is there |
//! | checkpoint | `changes`: of what changed since the last | `restore`: the newest wins |
//!
//! For most, changes are the whole state of the changed groups; a set of distinct values gives
//! only the new ones.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use millstream_core::plan::{AggregateCall, AggregateFunction};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::dirty::DirtySet;
use super::distinct::Distinct;
use super::distinct_sets::DistinctSets;
use super::group_table::KeyEncoder;
use super::order::OrderKeys;
use super::sum::{self, Finish};
use super::{first_last, list, min_max, multiset, native, sketch, variance};

/// One aggregate of all groups.
pub trait Accumulator: Send {
    /// Makes room for groups `0..groups`.
    fn resize(&mut self, groups: usize);

    /// Takes rows: `groups[i]` is the group of the i-th row of `input`.
    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()>;

    /// Columns of the state.
    fn state_types(&self) -> Vec<DataType>;

    /// The state of these groups.
    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// The state of these groups as far as it changed since the last call, and maybe more.
    fn changes(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.state(groups)
    }

    /// Makes the next `changes` give everything: older checkpoints no longer count.
    fn forget_checkpoints(&mut self) {}

    /// Whether it can give everything once more in pieces, while `changes` go on. Where each change gives
    /// the whole state of a group, giving the groups in pieces is all there is to it.
    fn repeats_in_pieces(&self) -> bool {
        true
    }

    /// Whether `changes` may be asked for some of the groups that changed, and for the others later.
    fn changes_in_pieces(&self) -> bool {
        self.repeats_in_pieces()
    }

    /// Begins to give everything once more that it has given, in pieces.
    fn begin_to_repeat(&mut self) {}

    /// Lets the next `changes` give up to `entries` more of it again, of groups that it adds to `groups`, and
    /// takes as many off `entries`. Whether that was the last piece. Once between two `changes`.
    fn repeat(&mut self, _entries: &mut usize, _groups: &mut DirtySet) -> bool {
        true
    }

    /// Adds states: row i belongs to `groups[i]`.
    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()>;

    /// Rounds what is kept unrounded: states that are merged in from now on, sealed too, are added one
    /// after the other.
    fn seal(&mut self) {}

    /// Puts `changes` back, oldest first.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()>;

    /// The results of these groups.
    fn finish(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Memory in bytes.
    fn size(&self) -> usize;
}

/// Rows for an [`Accumulator`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// The argument's column; `None` for `COUNT(*)`.
    pub values: Option<&'a ArrayRef>,
    /// Which rows of it, in the order of the groups; `None`: all.
    pub rows: Option<&'a [u32]>,
    /// Rows that FILTER lets through: true ones.
    pub filter: Option<&'a BooleanArray>,
    /// Where each row of the column stands among all rows ([`OrderKey`](super::OrderKey)), for
    /// aggregates that depend on it.
    pub order: Option<&'a ArrayRef>,
    /// The run that the rows belong to, in its order; `None`: results of a window, in no order.
    pub run: Option<RunKey>,
}

/// A run of rows of one split (see [`FloatSum`](super::float_sum::FloatSum)), as a hash that is the
/// same in every process.
pub type RunKey = std::num::NonZeroU64;

impl Input<'_> {
    /// Calls `visit(row, group)` for each row that passes the filter and whose value is not null.
    pub fn for_each(&self, groups: &[u32], mut visit: impl FnMut(usize, usize)) {
        let nulls = self.values.and_then(|values| values.nulls());
        if nulls.is_none() && self.filter.is_none() {
            // PERF: the common case has no test in the loop.
            match self.rows {
                None => {
                    for (row, group) in groups.iter().enumerate() {
                        visit(row, *group as usize);
                    }
                }
                Some(rows) => {
                    for (row, group) in rows.iter().zip(groups) {
                        visit(*row as usize, *group as usize);
                    }
                }
            }
            return;
        }
        for (position, group) in groups.iter().enumerate() {
            let row = self.rows.map_or(position, |rows| rows[position] as usize);
            let passes = self.filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if passes && nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                visit(row, *group as usize);
            }
        }
    }

    /// Calls `visit(row, group)` for each row that passes the filter, nulls included.
    pub fn for_each_row(&self, groups: &[u32], visit: impl FnMut(usize, usize)) {
        let values = None;
        Input { values, ..*self }.for_each(groups, visit);
    }

    /// Where the rows stand.
    pub fn order_keys(&self) -> Result<OrderKeys<'_>> {
        let order = self.order;
        let order = order.ok_or_else(|| Error::bug("this aggregate needs the order of rows"))?;
        Ok(OrderKeys::new(order))
    }

    /// The argument's column.
    pub fn column(&self) -> Result<&ArrayRef> {
        let column = self.values;
        column.ok_or_else(|| Error::bug("an aggregate other than COUNT(*) has an argument"))
    }
}

/// For an aggregate that keeps a set of values: what encodes them, to be shared by its windows.
pub fn distinct_encoder(
    call: &AggregateCall,
    argument: Option<&DataType>,
) -> Result<Option<KeyEncoder>> {
    let values = argument.filter(|_| call.distinct && distinct_matters(call.function));
    values
        .map(|values| KeyEncoder::new(vec![values.clone()]))
        .transpose()
}

/// The accumulator of `call`, whose argument has type `argument`.
pub fn accumulator(
    call: &AggregateCall,
    argument: Option<&DataType>,
) -> Result<Box<dyn Accumulator>> {
    match argument {
        Some(values) if call.distinct && distinct_matters(call.function) => {
            Ok(Box::new(Distinct::new(call, values)?))
        }
        _ => plain(call, argument),
    }
}

/// The same for groups of which some change between two looks and few are read at once: DISTINCT keeps a
/// set for each, so that reading one does not walk all.
pub fn grouped_accumulator(
    call: &AggregateCall,
    argument: Option<&DataType>,
) -> Result<Box<dyn Accumulator>> {
    match argument {
        Some(values) if call.distinct && distinct_matters(call.function) => {
            Ok(Box::new(DistinctSets::new(call, values)?))
        }
        _ => plain(call, argument),
    }
}

/// Whether DISTINCT needs a set of values in front. MIN, MAX, FIRST_VALUE and an estimate of how many
/// there are come out the same; lists and multisets know which values they hold.
fn distinct_matters(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(
        function,
        F::Count
            | F::Sum
            | F::Avg
            | F::VarPop
            | F::VarSamp
            | F::StddevPop
            | F::StddevSamp
            | F::Percentile
            | F::Native
    )
}

/// An accumulator over every value.
pub(super) fn plain(
    call: &AggregateCall,
    argument: Option<&DataType>,
) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let (function, result) = (call.function, &call.data_type);
    if function == F::Count {
        return Ok(Box::new(Count::default()));
    }
    let argument = argument.ok_or_else(|| Error::bug(format!("{function} has an argument")))?;
    let made = match function {
        F::Sum => sum::accumulator(Finish::Sum, argument, result),
        F::Avg => sum::accumulator(Finish::Average, argument, result),
        F::Min => min_max::accumulator(false, argument)?,
        F::Max | F::Count => min_max::accumulator(true, argument)?,
        F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp => {
            variance::accumulator(function, argument, result)
        }
        F::FirstValue => Some(first_last::accumulator(false, argument)?),
        F::LastValue => Some(first_last::accumulator(true, argument)?),
        F::ListAgg | F::ArrayAgg => Some(list::accumulator(call, argument)?),
        F::Collect | F::Percentile => Some(multiset::accumulator(call, argument)?),
        F::ApproxCountDistinct => Some(sketch::accumulator(argument)?),
        F::Native => Some(native::accumulator(call, argument)?),
    };
    let name = sql_name(argument);
    made.ok_or_else(|| Error::invalid(format!("{function} of {name} is not supported")))
}

/// Names and types of the state columns of several accumulators.
pub fn state_fields(accumulators: &[Box<dyn Accumulator>]) -> Vec<Arc<Field>> {
    let mut fields = vec![];
    for (index, accumulator) in accumulators.iter().enumerate() {
        for (part, data_type) in accumulator.state_types().into_iter().enumerate() {
            let name = format!("aggregate{index}_{part}");
            fields.push(Arc::new(Field::new(name, data_type, true)));
        }
    }
    fields
}

/// `COUNT(*)` and `COUNT(x)`.
#[derive(Debug, Default)]
struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let counts = &mut self.counts;
        input.for_each(groups, |_, group| counts[group] += 1);
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(groups)?])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let counts = state[0].as_primitive::<Int64Type>();
        for (group, count) in groups.iter().zip(counts.values()) {
            self.counts[*group as usize] += count;
        }
        Ok(())
    }

    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let counts = state[0].as_primitive::<Int64Type>();
        for (group, count) in groups.iter().zip(counts.values()) {
            self.counts[*group as usize] = *count;
        }
        Ok(())
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let counts = groups.iter().map(|group| self.counts[*group as usize]);
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn size(&self) -> usize {
        self.counts.capacity() * 8
    }
}
