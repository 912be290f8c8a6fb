//! Ranks and OVER.

use super::{Generator, push};
use crate::query::{Frame, Function, Order, Over, Query, Rank, Stage};
use crate::scalar::{Kind, Scalar};

impl Generator<'_> {
    pub(super) fn windowed(&mut self, query: &mut Query) {
        let window = self.window();
        let input = push(query, Stage::Windowed { input: 0, window });
        if self.chance.one_in(2) {
            self.aggregate_of(query, input, None);
        }
    }

    pub(super) fn ranked_rows(&mut self, query: &mut Query) {
        let window = self.window();
        let input = push(query, Stage::Windowed { input: 0, window });
        let rows = query.rows(input);
        let keys = self.some_columns(&rows.columns, 2);
        let (order, ranks) = match self.chance.below(2) {
            0 => {
                let order = self.order("rt".into());
                (vec![order], (1, 1))
            }
            _ => {
                let column = self.chance.pick(&rows.columns).name.clone();
                (vec![self.order(column)], self.ranks())
            }
        };
        let rank = Rank {
            input,
            keys,
            order,
            ranks,
        };
        push(query, Stage::Rank(rank));
    }

    pub(super) fn rank_results(&mut self, query: &mut Query, input: usize) {
        let rows = query.rows(input);
        let keys = self.some_columns(&rows.columns, 1);
        let all = rows
            .columns
            .iter()
            .map(|column| self.order(column.name.clone()));
        let mut order: Vec<Order> = all.collect();
        let first = self.chance.below(order.len());
        order.swap(0, first);
        let rank = Rank {
            input,
            keys,
            order,
            ranks: self.ranks(),
        };
        push(query, Stage::Rank(rank));
    }

    pub(super) fn ranks(&mut self) -> (usize, usize) {
        let last = 1 + self.chance.below(4);
        match self.chance.below(3) {
            0 => (last, last),
            1 => (2.min(last), last),
            _ => (1, last),
        }
    }

    pub(super) fn order(&mut self, column: String) -> Order {
        let is_time = column == "rt";
        Order {
            column,
            is_descending: self.chance.one_in(2),
            nulls_first: match self.chance.below(4) {
                0 if !is_time => Some(self.chance.one_in(2)),
                _ => None,
            },
        }
    }

    pub(super) fn over(&mut self, query: &mut Query, input: usize) {
        let columns = query.rows(input).columns;
        let keys = self.some_columns(&columns, 2);
        let is_source = query.rows(input).is_source;
        let is_ordered = is_source && !self.multiplies(query);
        let calls = (0..1 + self.chance.below(3)).map(|_| {
            let mut frame = match self.chance.below(5) {
                0 => Frame::Range(None),
                1 | 2 => Frame::Range(Some(*self.chance.pick(&[0, 500, 3_000]))),
                3 => Frame::Rows(None),
                _ => Frame::Rows(Some(self.chance.below(4))),
            };
            if !is_ordered && matches!(frame, Frame::Rows(_)) {
                frame = Frame::Range(None);
            }
            let mut call = self.call(&columns, false);
            call.is_distinct = false;
            call.function = over_function(call.function, is_source);
            // DataFusion fails for calls of constants with OVER.
            call.filter = call.filter.filter(|filter| !filter.is_constant);
            if call
                .argument
                .as_ref()
                .is_some_and(|argument| argument.is_constant)
            {
                call.argument = None;
                call.function = Function::Count;
            }
            if is_ordered && self.chance.one_in(4) {
                call.filter = None;
                call.function = match self.chance.below(2) {
                    0 => Function::RowNumber,
                    _ => Function::Lag(1 + self.chance.below(2)),
                };
                call.argument
                    .get_or_insert_with(|| Scalar::new("k", Kind::Int));
                frame = Frame::Rows(None);
            }
            (call, frame)
        });
        let calls = calls.collect();
        push(query, Stage::Over(Over { input, keys, calls }));
    }
}

/// DataFusion has no root here, and its deviation is not exact when rows leave a frame. The way around
/// needs values that are exact.
fn over_function(function: Function, is_exact: bool) -> Function {
    match function {
        Function::StddevPop | Function::VarPop if is_exact => Function::VarPop,
        Function::StddevSamp | Function::VarSamp if is_exact => Function::VarSamp,
        Function::StddevPop | Function::VarPop => Function::Min,
        Function::StddevSamp | Function::VarSamp => Function::Max,
        Function::AvgMillionths => Function::Sum,
        function => function,
    }
}
