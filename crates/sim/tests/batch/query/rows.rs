//! What columns and times a stage has.

use super::{Aggregate, Call, From, Function, InputStage, Join, JoinKind, Query, Stage};
use crate::scalar::{Column, Kind, Scalar};

/// What rows a stage gives.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Whether `rt` is there.
    pub has_time: bool,
    /// Whether `rt` can have windows; behind a window function it is a column like others.
    pub is_event_time: bool,
    /// Whether the rows are a source's, so that they can be late.
    pub is_source: bool,
    /// Column with the time of their windows, if they have windows.
    pub window_time: Option<&'static str>,
}

impl Query {
    /// What stage `index` gives.
    pub fn rows(&self, index: usize) -> Rows {
        match &self.stages[index] {
            Stage::Input(stage) => stage.rows(index),
            Stage::Select(stage) => {
                let mut rows = self.rows(stage.input);
                rows.columns.extend(numbered(index, &stage.computed));
                rows
            }
            Stage::Windowed { input, .. } => Rows {
                window_time: Some("window_time"),
                is_event_time: false,
                ..self.rows(*input)
            },
            Stage::Aggregate(stage) => stage.rows(index),
            Stage::Rank(stage) => {
                let mut rows = self.rows(stage.input);
                rows.columns
                    .push(Column::new(format!("s{index}rn"), Kind::Long));
                rows.is_source = false;
                rows
            }
            Stage::Over(stage) => {
                let mut rows = self.rows(stage.input);
                let calls = stage.calls.iter().enumerate();
                rows.columns.extend(calls.map(|(number, (call, _))| {
                    Column::new(format!("s{index}c{number}"), call.kind())
                }));
                rows.is_source = false;
                rows.window_time = None;
                rows
            }
            Stage::Join(stage) => self.joined(index, stage),
        }
    }

    fn joined(&self, index: usize, join: &Join) -> Rows {
        let mut columns = vec![];
        for (side, input) in join.inputs.iter().enumerate() {
            if side == 1 && matches!(join.kind, JoinKind::Semi | JoinKind::Anti) {
                continue;
            }
            let own = self.rows(*input).columns;
            columns.extend(own.into_iter().enumerate().map(|(number, column)| {
                let letter = ["l", "r"][side];
                Column::new(format!("s{index}{letter}{number}"), column.kind)
            }));
        }
        if columns.is_empty() {
            columns.push(Column::new(format!("s{index}one"), Kind::Int));
        }
        let keeps_left = matches!(join.kind, JoinKind::Inner | JoinKind::Left);
        Rows {
            columns,
            has_time: keeps_left && join.bounds.is_some(),
            is_event_time: keeps_left && join.bounds.is_some(),
            is_source: false,
            window_time: (keeps_left && join.bounds.is_none()).then_some("window_time"),
        }
    }
}

fn numbered(index: usize, computed: &[Scalar]) -> impl Iterator<Item = Column> {
    let computed = computed.iter().enumerate();
    computed.map(move |(number, scalar)| Column::new(format!("s{index}c{number}"), scalar.kind))
}

impl InputStage {
    /// What the table has, and what is computed.
    pub fn rows(&self, index: usize) -> Rows {
        let mut columns = self.base();
        columns.extend(numbered(index, &self.computed));
        Rows {
            columns,
            has_time: true,
            is_event_time: true,
            is_source: true,
            window_time: None,
        }
    }

    /// What the table has.
    pub fn base(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::new("a", Kind::Text),
            Column::new("k", Kind::Int),
            Column::new("n", Kind::Long),
            Column::new("x", Kind::Double),
            Column::new("p", Kind::Decimal),
        ];
        match self.from {
            From::Tags { .. } => columns.push(Column::new("tag", Kind::Text)),
            From::Labels { .. } => {
                columns.push(Column::new("label", Kind::Text));
                columns.push(Column::new("w", Kind::Long));
            }
            _ => {}
        }
        columns
    }
}

impl Aggregate {
    fn rows(&self, index: usize) -> Rows {
        let keys = self.keys.iter().enumerate();
        let calls = self.calls.iter().enumerate();
        let mut columns: Vec<Column> = keys
            .map(|(number, key)| Column::new(format!("s{index}k{number}"), key.kind))
            .collect();
        if !self.sets.is_empty() {
            columns.push(Column::new(format!("s{index}g"), Kind::Long));
        }
        columns.extend(
            calls.map(|(number, call)| Column::new(format!("s{index}c{number}"), call.kind())),
        );
        Rows {
            columns,
            has_time: true,
            is_event_time: true,
            is_source: false,
            window_time: Some("rt"),
        }
    }
}

impl Stage {
    /// What it computes over several rows.
    pub fn calls(&self) -> Vec<&Call> {
        match self {
            Self::Aggregate(stage) => stage.calls.iter().collect(),
            Self::Over(stage) => stage.calls.iter().map(|(call, _)| call).collect(),
            _ => vec![],
        }
    }
}

impl Call {
    /// Whether the result may differ in the last digits.
    pub fn is_rounded(&self) -> bool {
        match self.function {
            Function::StddevPop | Function::StddevSamp | Function::VarPop | Function::VarSamp => {
                true
            }
            Function::Avg => self.kind() == Kind::Double,
            _ => false,
        }
    }

    /// Type of the result, as Flink has it.
    pub fn kind(&self) -> Kind {
        match self.function {
            Function::Count | Function::RowNumber | Function::AvgMillionths => Kind::Long,
            _ => self
                .argument
                .as_ref()
                .map_or(Kind::Long, |argument| argument.kind),
        }
    }
}
