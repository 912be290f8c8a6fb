//! Aggregates of windows.

use super::{Generator, push, scalar};
use crate::query::{Aggregate, Call, From, Function, Having, InputStage, Query, Stage, Window};
use crate::scalar::{Column, KINDS, Kind, Scalar};

impl Generator<'_> {
    pub(super) fn session(&mut self, query: &mut Query) {
        let gap = *self.chance.pick(&[500, 1_000, 3_000]);
        let columns = query.rows(0).columns;
        let names = self.some_columns(&columns, 2);
        let keys: Vec<Scalar> = names.iter().map(|key| scalar(&columns, key)).collect();
        let calls = self.calls(&columns, !self.multiplies(query));
        let is_legacy = self.chance.one_in(4);
        let session_keys = match is_legacy || self.chance.one_in(2) {
            true => keys.len(),
            false => self.chance.below(keys.len() + 1),
        };
        let aggregate = Aggregate {
            input: 0,
            window: Some(Window::Session { gap }),
            keys,
            session_keys,
            is_legacy,
            sets: vec![],
            calls,
            having: self.having(&columns),
        };
        push(query, Stage::Aggregate(aggregate));
    }

    pub(super) fn aggregate(&mut self, query: &mut Query, input: usize) {
        let window = self.window();
        self.aggregate_of(query, input, Some(window));
    }

    pub(super) fn aggregate_of(&mut self, query: &mut Query, input: usize, window: Option<Window>) {
        let rows = query.rows(input);
        let names = self.some_columns(&rows.columns, 2);
        let mut keys: Vec<Scalar> = names.iter().map(|key| scalar(&rows.columns, key)).collect();
        let mut sets = vec![];
        if !keys.is_empty() && self.chance.one_in(4) {
            sets = (0..1 << keys.len())
                .map(|bits: usize| (0..keys.len()).filter(|key| bits >> key & 1 == 1).collect())
                .collect();
            while sets.len() > 1 && self.chance.one_in(2) {
                let out = self.chance.below(sets.len());
                sets.remove(out);
            }
            // Every key is in some set, or it would not be one.
            let all: Vec<usize> = (0..keys.len()).collect();
            if !all
                .iter()
                .all(|key| sets.iter().any(|set: &Vec<usize>| set.contains(key)))
            {
                sets.push(all);
            }
        } else if self.chance.one_in(3) {
            let kind = *self.chance.pick(&[Kind::Text, Kind::Int, Kind::Long]);
            let key = self.scalars(&rows.columns).value(kind, 2);
            if !key.is_constant && !names.contains(&key.flink) {
                keys.push(key);
            }
        }
        // Of results of windows and of rows of a source the order is known.
        let is_ordered = rows.has_time && !self.multiplies(query);
        let is_ordered = is_ordered && !query.stages.iter().any(|s| matches!(s, Stage::Join(_)));
        let calls = self.calls(&rows.columns, is_ordered);
        let is_legacy = rows.window_time.is_none()
            && sets.is_empty()
            && self.chance.one_in(6)
            && matches!(
                window,
                Some(Window::Tumble { offset: 0, .. } | Window::Hop { offset: 0, .. })
            );
        let aggregate = Aggregate {
            input,
            window,
            keys,
            session_keys: 0,
            is_legacy,
            sets,
            calls,
            having: self.having(&rows.columns),
        };
        push(query, Stage::Aggregate(aggregate));
    }

    /// Whether a record can be several rows, whose order is then left open.
    pub(super) fn multiplies(&self, query: &Query) -> bool {
        query.stages.iter().any(|stage| {
            matches!(
                stage,
                Stage::Input(InputStage {
                    from: From::Tags { .. } | From::Labels { .. },
                    ..
                })
            )
        })
    }

    pub(super) fn having(&mut self, columns: &[Column]) -> Option<Having> {
        if !self.chance.one_in(5) {
            return None;
        }
        let call = match self.chance.below(2) {
            0 => Call {
                function: Function::Count,
                argument: None,
                is_distinct: false,
                filter: None,
            },
            _ => Call {
                function: *self
                    .chance
                    .pick(&[Function::Sum, Function::Min, Function::Max]),
                argument: Some(self.scalars(columns).leaf(Kind::Long)),
                is_distinct: false,
                filter: None,
            },
        };
        let rest = self.chance.text(&["> 1", "<= 2", "<> 1", "IS NOT NULL"]);
        Some(Having {
            call,
            rest: rest.into(),
        })
    }

    pub(super) fn calls(&mut self, columns: &[Column], is_ordered: bool) -> Vec<Call> {
        (0..self.chance.below(4))
            .map(|_| self.call(columns, is_ordered))
            .collect()
    }

    pub(super) fn call(&mut self, columns: &[Column], is_ordered: bool) -> Call {
        let functions = [
            Function::Count,
            Function::Sum,
            Function::Avg,
            Function::Min,
            Function::Max,
            Function::StddevPop,
            Function::StddevSamp,
            Function::VarPop,
            Function::VarSamp,
            Function::First,
            Function::Last,
            Function::Listagg,
        ];
        let kinds = if is_ordered { 12 } else { 9 };
        let function = functions[self.chance.below(kinds)];
        let numbers = [Kind::Int, Kind::Long, Kind::Double, Kind::Decimal];
        let kind = match function {
            Function::Sum => *self.chance.pick(&numbers),
            Function::Avg => *self.chance.pick(&numbers),
            Function::Listagg => Kind::Text,
            Function::StddevPop | Function::StddevSamp | Function::VarPop | Function::VarSamp => {
                Kind::Double
            }
            _ => *self.chance.pick(KINDS),
        };
        let depth = if self.chance.one_in(3) { 1 } else { 0 };
        let argument = self.scalars(columns).value(kind, depth);
        let function = match (function, kind) {
            (Function::Avg, Kind::Decimal) => Function::AvgMillionths,
            (function, _) => function,
        };
        let is_counting = function == Function::Count && self.chance.one_in(2);
        let takes_distinct = matches!(
            function,
            Function::Count
                | Function::Sum
                | Function::Avg
                | Function::AvgMillionths
                | Function::Min
        );
        Call {
            function,
            is_distinct: takes_distinct && !is_counting && self.chance.one_in(3),
            argument: (!is_counting).then_some(argument),
            filter: self
                .chance
                .one_in(4)
                .then(|| self.scalars(columns).condition(0)),
        }
    }
}
