//! Random queries.

mod aggregates;
mod joins;
mod ordered;

use super::query::{Aggregate, Call, From, InputStage, JoinKind, Query, Select, Stage, Window};
use super::scalar::{Column, KINDS, Kind, Scalar, Scalars};
use millstream_sim::chance::Chance;

/// Makes queries.
pub struct Generator<'a> {
    /// Decides.
    pub chance: &'a mut Chance,
    /// Whether rows are never behind the watermark of their split, so that sessions can be asked for.
    pub is_orderly: bool,
}

impl Generator<'_> {
    /// A query.
    pub fn query(&mut self) -> Query {
        let from = self.from();
        let mut query = Query { stages: vec![] };
        self.input(&mut query, from);
        match self.chance.below(14) {
            0..=3 => self.aggregate(&mut query, 0),
            4 if self.is_orderly => self.session(&mut query),
            4 | 5 => self.windowed(&mut query),
            6 | 7 => self.over(&mut query, 0),
            8 | 9 => self.window_join(&mut query),
            10 | 11 => self.interval_join(&mut query),
            12 => self.ranked_rows(&mut query),
            _ => {}
        }
        for _ in 0..2 {
            if self.chance.one_in(3) {
                self.follow_up(&mut query);
            }
        }
        query
    }

    fn from(&mut self) -> From {
        let is_left = self.chance.one_in(2);
        match self.chance.below(9) {
            0 => From::Union,
            1 => From::Tags { is_left },
            2 => From::Labels {
                is_left,
                is_lookup: self.chance.one_in(2),
            },
            3 => From::Known {
                is_negated: is_left,
            },
            _ => From::Stream("events"),
        }
    }

    fn input(&mut self, query: &mut Query, from: From) -> usize {
        let mut stage = InputStage {
            from,
            computed: vec![],
            filter: None,
        };
        let base = stage.base();
        for _ in 0..self.chance.below(3) {
            let kind = *self.chance.pick(KINDS);
            stage.computed.push(self.scalars(&base).value(kind, 2));
        }
        if self.chance.one_in(3) {
            stage.filter = Some(self.scalars(&base).condition(1));
        }
        push(query, Stage::Input(stage))
    }

    fn scalars<'b>(&'b mut self, columns: &'b [Column]) -> Scalars<'b> {
        Scalars {
            chance: self.chance,
            columns,
        }
    }

    fn window(&mut self) -> Window {
        let unit = *self.chance.pick(&[500, 1_000, 2_000, 5_000]);
        let times = self.chance.between(1, 5);
        let offset = match self.chance.below(4) {
            0 => self.chance.between(-3, 7) * 700,
            _ => 0,
        };
        match self.chance.below(4) {
            0 => Window::Hop {
                slide: unit,
                size: unit * times,
                offset: offset % unit,
            },
            1 => Window::Cumulate {
                step: unit,
                size: unit * times,
                offset: offset % (unit * times),
            },
            _ => Window::Tumble {
                size: unit * times,
                offset: offset % (unit * times),
            },
        }
    }

    /// Something over the last stage.
    fn follow_up(&mut self, query: &mut Query) {
        let last = query.stages.len() - 1;
        let rows = query.rows(last);
        let is_windowed = rows.window_time.is_some();
        // What is not exact cannot be grouped, ranked and compared by both sides alike.
        let calls = query.stages.iter().flat_map(Stage::calls);
        if calls.into_iter().any(Call::is_rounded) {
            return;
        }
        let has = |wanted: fn(&Stage) -> bool| query.stages.iter().any(wanted);
        let is_ranked = has(|stage| matches!(stage, Stage::Rank(_)));
        let has_over = has(|stage| matches!(stage, Stage::Over(_)));
        let has_session = has(|stage| {
            matches!(
                stage,
                Stage::Aggregate(Aggregate {
                    window: Some(Window::Session { .. }),
                    ..
                })
            )
        });
        match self.chance.below(5) {
            0 if is_windowed && !is_ranked && !rows.columns.is_empty() => {
                self.rank_results(query, last)
            }
            1 if rows.is_event_time && !has_over && !is_ranked => self.over(query, last),
            2 if is_windowed && !is_ranked && !has_session => self.aggregate_of(query, last, None),
            3 if rows.is_event_time && !has_over && !rows.is_source => self.aggregate(query, last),
            4 => self.select(query, last),
            _ => {}
        }
    }

    fn select(&mut self, query: &mut Query, input: usize) {
        let rows = query.rows(input);
        let mut stage = Select {
            input,
            computed: vec![],
            filter: None,
        };
        for _ in 0..self.chance.below(3) {
            let kind = *self.chance.pick(KINDS);
            stage
                .computed
                .push(self.scalars(&rows.columns).value(kind, 2));
        }
        // DataFusion passes rows without a partner through some conditions that are null for them.
        let is_outer = query.stages.iter().any(|stage| match stage {
            Stage::Join(join) => {
                !matches!(join.kind, JoinKind::Inner | JoinKind::Semi | JoinKind::Anti)
            }
            _ => false,
        });
        if !is_outer && self.chance.one_in(2) {
            stage.filter = Some(self.scalars(&rows.columns).condition(1));
        } else if rows.window_time.is_some() {
            let seconds = self.chance.between(0, 30);
            let column = self.chance.text(&["window_start >=", "window_end <"]);
            stage.filter = Some(Scalar {
                flink: format!("{column} TIMESTAMP '1970-01-01 00:00:{seconds:02}'"),
                batch: format!("{column} {}", seconds * 1_000),
                kind: Kind::Int,
                is_constant: false,
            });
        }
        push(query, Stage::Select(stage));
    }

    fn some_columns(&mut self, columns: &[Column], most: usize) -> Vec<String> {
        let mut names = vec![];
        for _ in 0..self.chance.below(most + 1) {
            if columns.is_empty() {
                break;
            }
            let name = &self.chance.pick(columns).name;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

fn push(query: &mut Query, stage: Stage) -> usize {
    query.stages.push(stage);
    query.stages.len() - 1
}

fn scalar(columns: &[Column], name: &str) -> Scalar {
    let column = columns.iter().find(|column| column.name == name);
    Scalar::new(name, column.expect("it is one of them").kind)
}
