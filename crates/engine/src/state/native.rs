//! Aggregate functions that users write in Rust: a state of theirs for each group, kept as the bytes
//! that it saves.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use millstream_core::function::{AggregateFunction, GroupState, Named};
use millstream_core::plan::AggregateCall;
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::accumulator::{Accumulator, Input};

/// An accumulator for values of the type `argument`.
pub fn accumulator(call: &AggregateCall, argument: &DataType) -> Result<Box<dyn Accumulator>> {
    let function = call.native.clone();
    let function = function.ok_or_else(|| Error::bug("a native aggregate without its function"))?;
    Ok(Box::new(Native {
        function,
        argument: argument.clone(),
        result: call.data_type.clone(),
        groups: vec![],
    }))
}

struct Native {
    function: Named<dyn AggregateFunction>,
    argument: DataType,
    result: DataType,
    groups: Vec<Box<dyn GroupState>>,
}

impl Native {
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.context(format!("`{}`", self.function.name)))
    }

    fn result_of(&self, group: u32) -> Result<ArrayRef> {
        let result = self.told(self.groups[group as usize].result())?;
        if result.len() == 1 && *result.data_type() == self.result {
            return Ok(result);
        }
        let (found, expected) = (sql_name(result.data_type()), sql_name(&self.result));
        Err(Error::invalid(format!(
            "`{}` gave {} values of {found}, expected one of {expected}",
            self.function.name,
            result.len()
        )))
    }
}

impl Accumulator for Native {
    fn resize(&mut self, groups: usize) {
        let new = || self.function.function.group(&self.argument);
        self.groups.resize_with(groups, new);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let values = input.column()?;
        let mut rows: Vec<(usize, usize)> = vec![];
        input.for_each(groups, |row, group| rows.push((group, row)));
        rows.sort_unstable();
        for of_group in rows.chunk_by(|one, other| one.0 == other.0) {
            let group = of_group[0].0;
            let rows: Vec<usize> = of_group.iter().map(|(_, row)| *row).collect();
            let updated = self.groups[group].update(values, &rows);
            self.told(updated)?;
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let saved = groups
            .iter()
            .map(|group| self.groups[*group as usize].save());
        let saved = BinaryArray::from_iter_values(saved);
        Ok(vec![std::sync::Arc::new(saved)])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let saved = state[0].as_binary::<i32>();
        for (row, group) in groups.iter().enumerate() {
            let merged = self.groups[*group as usize].merge(saved.value(row));
            self.told(merged)?;
        }
        Ok(())
    }

    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        for group in groups {
            self.groups[*group as usize] = self.function.function.group(&self.argument);
        }
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| self.result_of(*group));
        let results = results.collect::<Result<Vec<_>>>()?;
        if results.is_empty() {
            return Ok(new_empty_array(&self.result));
        }
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        Ok(concat(&results)?)
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|group| group.size()).sum()
    }
}
