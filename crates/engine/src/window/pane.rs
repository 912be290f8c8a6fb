//! One window under one grouping set: its groups and their accumulators.

use std::ops::Range;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use millstream_core::Result;

use crate::state::accumulator::RunKey;
use crate::state::{Accumulator, DirtySet, GroupTable, Input, KeyEncoder};

/// Groups and accumulators of a window.
pub struct Pane {
    table: GroupTable,
    accumulators: Vec<Box<dyn Accumulator>>,
    dirty: DirtySet,
    /// Groups that checkpoints must be given once more.
    to_repeat: Range<usize>,
    /// Groups that changed since results were put out early, if they are.
    unshown: Option<DirtySet>,
}

/// Rows of a batch that belong to one pane.
pub struct PaneInput<'a> {
    /// The batch.
    pub rows: &'a RecordBatch,
    /// Encoded keys of all its rows.
    pub keys: &'a crate::state::group_table::Keys,
    /// Which rows; `None`: all.
    pub selection: Option<&'a [u32]>,
    /// The run that they belong to.
    pub run: Option<RunKey>,
}

impl Pane {
    /// An empty pane.
    pub fn new(accumulators: Vec<Box<dyn Accumulator>>, shows_early: bool) -> Self {
        Self {
            table: GroupTable::default(),
            accumulators,
            dirty: DirtySet::default(),
            to_repeat: 0..0,
            unshown: shows_early.then(DirtySet::default),
        }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.table.len()
    }

    /// Memory in bytes. With few rows in a window, the fixed part of a pane is most of it.
    pub fn size(&self) -> usize {
        let accumulators = self.accumulators.iter();
        let accumulators: usize = accumulators
            .map(|accumulator| {
                let boxed = size_of::<Box<dyn Accumulator>>() + size_of_val(&**accumulator);
                boxed + accumulator.size()
            })
            .sum();
        let unshown = self.unshown.as_ref().map_or(0, DirtySet::size);
        self.table.size() + accumulators + self.dirty.size() + unshown + size_of::<Self>()
    }

    /// Aggregates rows. `inputs[i]` is the argument and filter of accumulator i.
    pub fn update(
        &mut self,
        pane: &PaneInput<'_>,
        inputs: &[Input<'_>],
        scratch: &mut Vec<u32>,
    ) -> Result<()> {
        self.intern(pane.keys, pane.selection, pane.rows.num_rows(), scratch);
        let rows = pane.rows.num_rows();
        // PERF: accumulators may look at whole columns; where a batch spreads over many windows,
        // each sees only its own rows.
        let few = pane
            .selection
            .filter(|selection| selection.len() * 4 < rows);
        let few = few.map(|selection| UInt32Array::from(selection.to_vec()));
        for (accumulator, input) in self.accumulators.iter_mut().zip(inputs) {
            let run = pane.run;
            let Some(few) = &few else {
                let rows = pane.selection;
                accumulator.update(
                    &Input {
                        rows,
                        run,
                        ..*input
                    },
                    scratch,
                )?;
                continue;
            };
            let values = input
                .values
                .map(|values| take(values, few, None))
                .transpose()?;
            let filter = input
                .filter
                .map(|filter| take(filter, few, None))
                .transpose()?;
            let order = input
                .order
                .map(|order| take(order, few, None))
                .transpose()?;
            let input = Input {
                values: values.as_ref(),
                rows: None,
                filter: filter.as_ref().map(|filter| filter.as_boolean()),
                order: order.as_ref(),
                run,
            };
            accumulator.update(&input, scratch)?;
        }
        Ok(())
    }

    fn intern(
        &mut self,
        keys: &crate::state::group_table::Keys,
        selection: Option<&[u32]>,
        count: usize,
        groups: &mut Vec<u32>,
    ) {
        groups.clear();
        self.table.intern(keys, selection, count, groups);
        for accumulator in &mut self.accumulators {
            accumulator.resize(self.table.len());
        }
        self.dirty.mark(groups);
        if let Some(unshown) = &mut self.unshown {
            unshown.mark(groups);
        }
    }

    /// Takes states of other panes of the same window: added, or put back from a checkpoint.
    pub fn absorb(&mut self, states: &PaneStates<'_>) -> Result<()> {
        let mut groups = vec![];
        let (keys, selection) = (states.keys, Some(states.selection));
        self.intern(keys, selection, 0, &mut groups);
        let mut columns = states.columns.iter();
        for accumulator in &mut self.accumulators {
            let count = accumulator.state_types().len();
            let columns: Vec<ArrayRef> = columns.by_ref().take(count).cloned().collect();
            match states.restore {
                true => accumulator.restore(&columns, &groups)?,
                false => accumulator.merge(&columns, &groups)?,
            }
        }
        if states.restore {
            self.dirty.take();
        }
        Ok(())
    }

    /// Adds the groups of another pane.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let mut groups = Vec::with_capacity(other.groups());
        self.table.intern_all(&other.table, &mut groups);
        self.dirty.mark(&groups);
        let all = other.all_groups();
        for (accumulator, other) in self.accumulators.iter_mut().zip(&other.accumulators) {
            accumulator.resize(self.table.len());
            accumulator.merge(&other.state(&all)?, &groups)?;
        }
        Ok(())
    }

    /// Rounds sums: see [`Accumulator::seal`].
    pub fn seal(&mut self) {
        self.accumulators.iter_mut().for_each(|a| a.seal());
    }

    /// The groups by the shard, of `shards`, that owns their key.
    pub fn groups_by_owner(&self, shards: usize) -> Vec<Vec<u32>> {
        self.by_owner(self.all_groups(), shards)
    }

    /// These groups by the shard, of `shards`, that owns their key.
    pub fn by_owner(&self, groups: Vec<u32>, shards: usize) -> Vec<Vec<u32>> {
        let mut owners = vec![vec![]; shards];
        for group in groups {
            let hash = self.table.key_hash(group);
            // The upper bits: the lower ones pick the slot in hash tables.
            let owner = ((hash >> 32) * shards as u64) >> 32;
            owners[usize::try_from(owner).expect("below the number of shards")].push(group);
        }
        owners
    }

    /// Groups that changed since the last call.
    pub fn take_dirty(&mut self) -> Vec<u32> {
        self.dirty.take()
    }

    /// About `max` of them, or all where there is no way to give some.
    pub fn take_some_dirty(&mut self, max: usize) -> Vec<u32> {
        match self.accumulators.iter().all(|a| a.changes_in_pieces()) {
            true => self.dirty.take_some(max),
            false => self.dirty.take(),
        }
    }

    /// How many groups changed since they were taken.
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Groups that changed since the last call, if results are put out early.
    pub fn take_unshown(&mut self) -> Vec<u32> {
        self.unshown.as_mut().map_or(vec![], DirtySet::take)
    }

    /// Begins to give checkpoints everything once more, in pieces.
    pub fn begin_to_repeat(&mut self) {
        if !self.accumulators.iter().all(|a| a.repeats_in_pieces()) {
            return self.forget_checkpoints();
        }
        self.accumulators
            .iter_mut()
            .for_each(|a| a.begin_to_repeat());
        self.to_repeat = 0..self.table.len();
    }

    /// Lets the next changes carry a piece of up to `rows` more of it, and takes as many off `rows`.
    /// Whether it was the last piece.
    pub fn repeat(&mut self, rows: &mut usize) -> bool {
        let piece = self.to_repeat.len().min(*rows);
        *rows -= piece;
        let start = self.to_repeat.start;
        self.dirty.mark_range(start..start + piece);
        self.to_repeat.start += piece;
        let mut is_last = self.to_repeat.is_empty();
        for accumulator in &mut self.accumulators {
            is_last &= accumulator.repeat(rows, &mut self.dirty);
        }
        is_last
    }

    /// Makes the next checkpoint carry everything.
    pub fn forget_checkpoints(&mut self) {
        self.to_repeat = 0..0;
        self.dirty.mark_all(self.table.len());
        for accumulator in &mut self.accumulators {
            accumulator.forget_checkpoints();
        }
    }

    /// Key columns of these groups.
    pub fn keys(&self, encoder: &KeyEncoder, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        encoder.decode(&self.table, groups)
    }

    /// State columns of these groups: all of it.
    pub fn states(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let states = self.accumulators.iter().map(|a| a.state(groups));
        Ok(states.collect::<Result<Vec<_>>>()?.concat())
    }

    /// State columns of these groups: what changed since the last call.
    pub fn changes(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let states = self.accumulators.iter_mut().map(|a| a.changes(groups));
        Ok(states.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The groups here of the keys of another pane.
    pub fn groups_of(&self, other: &Self) -> Vec<u32> {
        self.table.groups_of(&other.table)
    }

    /// Result columns of these groups.
    pub fn finish(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.accumulators.iter().map(|a| a.finish(groups)).collect()
    }

    /// All groups in order.
    pub fn all_groups(&self) -> Vec<u32> {
        (0..u32::try_from(self.table.len()).expect("group indices are u32")).collect()
    }
}

/// States of groups, as columns.
pub struct PaneStates<'a> {
    /// Encoded keys.
    pub keys: &'a crate::state::group_table::Keys,
    /// Positions in `keys` of the rows of `columns`.
    pub selection: &'a [u32],
    /// State columns of all accumulators, one row for each position.
    pub columns: Vec<ArrayRef>,
    /// Whether the state replaces what is there (a checkpoint) or is added to it (an exchange).
    pub restore: bool,
}
