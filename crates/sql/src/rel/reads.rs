//! What a step reads: its inputs, and expressions over them.

use std::collections::BTreeSet;

use millstream_core::expr::Expr;
use millstream_core::surroundings::Looks;

use super::{GroupBy, JoinOn, Rel, Step};

impl Rel {
    /// What the step is made over.
    pub fn inputs(&self) -> Vec<&Self> {
        match &self.step {
            Step::Scan(_) => vec![],
            Step::Union(inputs) => inputs.iter().collect(),
            Step::Join(left, right, _) => vec![left, right],
            Step::Filter(input, _)
            | Step::Project(input, _)
            | Step::Window(input, _)
            | Step::Aggregate(input, _)
            | Step::Unnest(input, _)
            | Step::Rank(input, _)
            | Step::Over(input, _) => vec![input],
        }
    }

    /// The same, to be changed.
    pub fn inputs_mut(&mut self) -> Vec<&mut Self> {
        match &mut self.step {
            Step::Scan(_) => vec![],
            Step::Union(inputs) => inputs.iter_mut().collect(),
            Step::Join(left, right, _) => vec![left, right],
            Step::Filter(input, _)
            | Step::Project(input, _)
            | Step::Window(input, _)
            | Step::Aggregate(input, _)
            | Step::Unnest(input, _)
            | Step::Rank(input, _)
            | Step::Over(input, _) => vec![input],
        }
    }

    /// Whether rows stand in the windows that made `column` before they are grouped, in each of
    /// several as a row of its own: somebody on the way looks at the windows, or whoever groups does,
    /// who reads the columns `read`.
    pub fn is_placed(&self, column: usize, read: &BTreeSet<usize>) -> bool {
        let mut below = BTreeSet::new();
        let mut add = |expr: &Expr| expr.for_each_column(&mut |index| below.extend([index]));
        match &self.step {
            Step::Scan(_) | Step::Aggregate(..) => false,
            Step::Filter(input, predicate) => {
                add(predicate);
                below.extend(read);
                input.is_placed(column, &below)
            }
            Step::Project(input, exprs) => {
                read.iter()
                    .filter_map(|index| exprs.get(*index))
                    .for_each(&mut add);
                let column = exprs.get(column).and_then(Expr::as_column);
                column.is_some_and(|column| input.is_placed(column, &below))
            }
            Step::Window(input, _) => read.iter().any(|index| *index >= input.fields.len()),
            Step::Union(inputs) => inputs.iter().any(|input| input.is_placed(column, read)),
            Step::Unnest(input, spec) => {
                add(&spec.array);
                below.extend(read.range(..input.fields.len()));
                input.is_placed(column, &below)
            }
            Step::Join(left, _, spec)
                if matches!(spec.on, JoinOn::Table { .. }) && column < left.fields.len() =>
            {
                let keys = spec.keys.iter().map(|key| &key.left);
                keys.chain(&spec.condition).for_each(&mut add);
                below.extend(read);
                let below = below.range(..left.fields.len()).copied().collect();
                left.is_placed(column, &below)
            }
            Step::Join(..) | Step::Rank(..) | Step::Over(..) => true,
        }
    }

    /// The step's own expressions.
    pub fn exprs(&self) -> Vec<&Expr> {
        match &self.step {
            Step::Scan(_) | Step::Window(..) | Step::Union(_) => vec![],
            Step::Filter(_, predicate) => vec![predicate],
            Step::Project(_, exprs) => exprs.iter().collect(),
            Step::Aggregate(_, group_by) => group_by.exprs(),
            Step::Join(_, _, spec) => {
                let keys = spec.keys.iter().flat_map(|key| [&key.left, &key.right]);
                keys.chain(&spec.condition).collect()
            }
            Step::Unnest(_, spec) => vec![&spec.array],
            Step::Rank(_, by) => by.exprs().collect(),
            Step::Over(_, by) => {
                let of_calls = by.calls.iter().flat_map(|call| call.exprs());
                by.exprs().chain(of_calls).collect()
            }
        }
    }

    /// Whether it, or what it is made over, draws from chance, so that it is not the same twice.
    pub fn has_chance(&self) -> bool {
        let draws = |expr: &&Expr| expr.looks(|at| at == Looks::AtChance);
        self.exprs().iter().any(draws) || self.inputs().into_iter().any(Self::has_chance)
    }
}

impl GroupBy {
    /// Every expression over the input.
    pub fn exprs(&self) -> Vec<&Expr> {
        let calls = self.calls.iter();
        let of_calls = calls.flat_map(|call| call.argument.iter().chain(&call.filter));
        self.keys.iter().chain(of_calls).collect()
    }
}
