//! Joins.

use super::{Writer, interval};
use crate::query::{Join, JoinKind, Query};

impl Writer<'_> {
    pub(super) fn join(&self, stage: &Join, index: usize) -> String {
        let mut conditions: Vec<String> = stage
            .keys
            .iter()
            .map(|[left, right]| format!("l.{left} = r.{right}"))
            .collect();
        match stage.bounds {
            None => conditions
                .extend(["window_start", "window_end"].map(|name| format!("l.{name} = r.{name}"))),
            Some((least, most)) => conditions.push(format!(
                "r.rt BETWEEN {} AND {}",
                moved("l.rt", least),
                moved("l.rt", most)
            )),
        }
        if let Some([left, right]) = &stage.residual {
            conditions.push(format!("l.{left} < r.{right}"));
        }
        let condition = conditions.join(" AND ");
        let mut columns = vec![side_columns(self.query, stage, index)];
        let rows = self.query.rows(index);
        if rows.has_time {
            columns.push("l.rt".into());
        }
        if rows.window_time.is_some() {
            let time = self.query.rows(stage.inputs[0]).window_time;
            let time = time.expect("rows with windows are joined");
            columns.push(format!(
                "l.window_start, l.window_end, l.{time} AS window_time"
            ));
        }
        let columns = columns.join(", ");
        let [left, right] = stage.inputs.map(|input| self.view(input));
        let exists = match stage.kind {
            JoinKind::Semi => Some("EXISTS"),
            JoinKind::Anti => Some("NOT EXISTS"),
            _ => None,
        };
        if let Some(exists) = exists {
            return format!(
                "SELECT {columns} FROM {left} AS l \
                 WHERE {exists} (SELECT * FROM {right} AS r WHERE {condition})"
            );
        }
        let kind = stage.kind.sql();
        format!("SELECT {columns} FROM {left} AS l {kind} JOIN {right} AS r ON {condition}")
    }
}

impl JoinKind {
    /// Before JOIN, for those that are written with it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Left => "LEFT",
            Self::Right => "RIGHT",
            Self::Full => "FULL",
            _ => "INNER",
        }
    }
}

/// What a join selects.
pub fn side_columns(query: &Query, join: &Join, index: usize) -> String {
    let mut columns = vec![];
    for (side, input) in join.inputs.iter().enumerate() {
        if side == 1 && matches!(join.kind, JoinKind::Semi | JoinKind::Anti) {
            continue;
        }
        let letter = ["l", "r"][side];
        let own = query.rows(*input).columns.into_iter().enumerate();
        columns.extend(own.map(|(number, column)| {
            format!("{letter}.{} AS s{index}{letter}{number}", column.name)
        }));
    }
    if columns.is_empty() {
        columns.push(format!("1 AS s{index}one"));
    }
    columns.join(", ")
}

fn moved(time: &str, ms: i64) -> String {
    match ms {
        ms if ms < 0 => format!("{time} - {}", interval(-ms)),
        ms => format!("{time} + {}", interval(ms)),
    }
}
