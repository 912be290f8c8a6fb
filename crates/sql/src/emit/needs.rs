//! Which columns each step needs of its input.
//!
//! Joins, ranks and OVER put out only the columns that are needed after them. Where several queries
//! have such a step in common, it puts out what any of them needs, so that it is one step for all.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::TimeDomain;
use millstream_core::expr::Expr;

use super::{Query, all, join};
use crate::rel::{JoinOn, Rel, Step};

/// What all queries need of the tables, and of steps that they have in common.
#[derive(Default)]
pub(super) struct Needs {
    /// Tables in the order in which they are first read.
    pub order: Vec<usize>,
    /// Columns of each.
    pub columns: BTreeMap<usize, BTreeSet<usize>>,
    /// Tables whose rows a windowed query can drop as late.
    pub windowed: BTreeSet<usize>,
    /// Columns of joins, ranks and OVER, by what they are.
    common: BTreeMap<String, BTreeSet<usize>>,
}

impl Needs {
    /// What `queries` need.
    pub fn of(queries: &[Query]) -> Self {
        let mut needs = Self::default();
        // What a step needs for one query can be more than another looked at before: again, until
        // nothing is added.
        loop {
            let before = needs.count();
            for query in queries {
                needs.add(&query.rel, &all(&query.rel), false);
            }
            if needs.count() == before {
                return needs;
            }
        }
    }

    fn count(&self) -> usize {
        self.common.values().map(BTreeSet::len).sum()
    }

    /// The columns that `rel` puts out, given what is needed of it in one place.
    pub fn of_step(&self, rel: &Rel, needed: &BTreeSet<usize>) -> BTreeSet<usize> {
        let common = identity(rel).and_then(|text| self.common.get(&text));
        needed
            .iter()
            .chain(common.into_iter().flatten())
            .copied()
            .collect()
    }

    fn add(&mut self, rel: &Rel, needed: &BTreeSet<usize>, windowed: bool) {
        if let Some(text) = identity(rel) {
            self.common.entry(text).or_default().extend(needed);
        }
        let needed = &self.of_step(rel, needed);
        let of_input = needs_of_input(rel, needed);
        match &rel.step {
            Step::Scan(table) => {
                if !self.order.contains(table) {
                    self.order.push(*table);
                }
                self.columns.entry(*table).or_default().extend(needed);
                if windowed {
                    self.windowed.insert(*table);
                }
            }
            // In processing time no row is late. Groups never are: the rows that made them were on time.
            Step::Aggregate(input, by) if by.window.domain == TimeDomain::Processing => {
                self.add(input, &of_input, false);
            }
            Step::Over(input, by) if by.domain == TimeDomain::Processing => {
                self.add(input, &of_input, false);
            }
            Step::Aggregate(input, _) | Step::Rank(input, _) | Step::Over(input, _) => {
                self.add(input, &of_input, true);
            }
            Step::Filter(input, _)
            | Step::Project(input, _)
            | Step::Window(input, _)
            | Step::Unnest(input, _) => self.add(input, &of_input, windowed),
            Step::Join(left, right, spec) => {
                let [of_left, of_right] = join::needs_of_join((left, spec), needed);
                let (is_table, drops_late) = match spec.on {
                    JoinOn::Table { .. } => (true, windowed),
                    JoinOn::Window { .. } => (false, true),
                    JoinOn::Interval { domain, .. } => (false, domain == TimeDomain::Event),
                };
                self.add(left, &of_left, drops_late);
                if !is_table {
                    self.add(right, &of_right, drops_late);
                }
            }
            Step::Union(inputs) => {
                for input in inputs {
                    self.add(input, &of_input, windowed);
                }
            }
        }
    }
}

/// A text that is equal for equal steps that remember rows as they come in.
fn identity(rel: &Rel) -> Option<String> {
    let is_kept = matches!(rel.step, Step::Join(..) | Step::Rank(..) | Step::Over(..));
    is_kept.then(|| format!("{:?}", rel.step))
}

/// The columns of a step's input that it needs so that `needed` can be put out.
pub(super) fn needs_of_input(rel: &Rel, needed: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    let mut read = |expr: &Expr| expr.for_each_column(&mut |index| columns.extend([index]));
    match &rel.step {
        Step::Scan(_) => {}
        Step::Filter(_, predicate) => {
            read(predicate);
            columns.extend(needed);
        }
        Step::Project(_, exprs) => needed.iter().for_each(|index| read(&exprs[*index])),
        Step::Window(input, window) => {
            let width = input.fields.len();
            columns.extend(needed.iter().filter(|index| **index < width));
            if needed.iter().any(|index| *index >= width) {
                columns.insert(window.time_column);
            }
        }
        Step::Aggregate(_, group_by) => {
            group_by.exprs().into_iter().for_each(&mut read);
            columns.insert(group_by.window.time_column);
        }
        Step::Union(_) => columns.extend(needed),
        Step::Join(..) => {}
        Step::Unnest(input, spec) => {
            read(&spec.array);
            let width = input.fields.len();
            columns.extend(needed.iter().filter(|index| **index < width));
        }
        Step::Rank(input, by) => {
            by.exprs().for_each(&mut read);
            columns.extend(by.window);
            columns.extend(needed.iter().filter(|index| **index < input.fields.len()));
        }
        Step::Over(input, by) => {
            let width = input.fields.len();
            by.exprs().for_each(&mut read);
            let calls = by.calls.iter().enumerate();
            let calls = calls.filter(|(index, _)| needed.contains(&(width + index)));
            calls.flat_map(|(_, call)| call.exprs()).for_each(&mut read);
            columns.insert(by.time_column);
            columns.extend(needed.iter().filter(|index| **index < width));
        }
    }
    columns
}
