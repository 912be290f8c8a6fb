//! A query as DataFusion's SQL, over all rows at once: a CTE for each stage.
//!
//! Besides its columns each has `ts` (event time in ms), `wm` (the watermark of a row's own split
//! before it, null for what is never late) and `arrival`; with windows also `window_start` and
//! `window_end` in ms. Windows are arithmetic over `ts`, sessions are gaps and islands, and a row
//! is left out where `wm` says that it is late.

mod calls;
mod joins;
mod windows;

use self::calls::over;
use self::joins::join;
use self::windows::{aggregate, rank, windowed};
use super::flink::names;
use super::query::{From, InputStage, Query, Select, Stage};

/// The SELECT that gives what the pipeline's result table must have.
pub fn select(query: &Query) -> String {
    let ctes: Vec<String> = (0..query.stages.len())
        .map(|index| format!("v{index} AS ({})", stage(query, index)))
        .collect();
    let last = query.stages.len() - 1;
    let rows = query.rows(last);
    let mut columns: Vec<String> = rows
        .columns
        .iter()
        .map(|column| format!("CAST({} AS {}) AS {0}", column.name, column.kind.sql()))
        .collect();
    let time = |name: &str| format!("arrow_cast({name}, 'Timestamp(Millisecond, None)') AS {name}");
    if rows.has_time {
        columns.push(time("ts"));
    }
    if rows.window_time.is_some() {
        columns.extend(["window_start", "window_end"].map(time));
    }
    format!(
        "WITH {} SELECT {} FROM v{last}",
        ctes.join(",\n"),
        columns.join(", ")
    )
}

fn stage(query: &Query, index: usize) -> String {
    match &query.stages[index] {
        Stage::Input(stage) => input(stage, index),
        Stage::Select(stage) => select_more(stage, index),
        Stage::Windowed { input, window } => {
            let columns = names(&query.rows(*input)).join(", ");
            windowed(&format!("v{input}"), &columns, window, "")
        }
        Stage::Aggregate(stage) => aggregate(query, stage, index),
        Stage::Rank(stage) => rank(query, stage, index),
        Stage::Over(stage) => over(query, stage, index),
        Stage::Join(stage) => join(query, stage, index),
    }
}

fn input(stage: &InputStage, index: usize) -> String {
    let base = stage.base();
    let mut columns: Vec<String> = base.iter().map(|column| column.name.clone()).collect();
    columns.extend(["ts", "wm", "arrival"].map(String::from));
    let computed = stage.computed.iter().enumerate();
    columns
        .extend(computed.map(|(number, scalar)| format!("{} AS s{index}c{number}", scalar.batch)));
    let mut filters = vec![];
    let from: String = match &stage.from {
        From::Stream(name) => (*name).into(),
        From::Union => "(SELECT * FROM events UNION ALL SELECT * FROM others)".into(),
        From::Tags { is_left } => {
            let own = "a, k, n, x, p, ts, wm, arrival";
            let some = format!(
                "SELECT {own}, UNNEST(tags) AS tag FROM events WHERE array_length(tags) > 0"
            );
            let none = format!(
                "SELECT {own}, CAST(NULL AS VARCHAR) AS tag FROM events \
                 WHERE COALESCE(array_length(tags), 0) = 0"
            );
            match is_left {
                true => format!("({some} UNION ALL {none})"),
                false => format!("({some})"),
            }
        }
        From::Labels { is_left, .. } => {
            let left = if *is_left { "LEFT" } else { "INNER" };
            format!("events {left} JOIN labels ON k = id")
        }
        From::Known { is_negated } => {
            let not = if *is_negated { "NOT " } else { "" };
            filters.push(format!(
                "{not}EXISTS (SELECT 1 FROM labels WHERE id = events.k)"
            ));
            "events".into()
        }
    };
    filters.extend(
        stage
            .filter
            .iter()
            .map(|filter| format!("({})", filter.batch)),
    );
    let filter = match filters.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", filters.join(" AND ")),
    };
    format!("SELECT {} FROM {from}{filter}", columns.join(", "))
}

fn select_more(stage: &Select, index: usize) -> String {
    let mut columns = vec!["*".to_owned()];
    let computed = stage.computed.iter().enumerate();
    columns.extend(computed.map(|(number, c)| format!("{} AS s{index}c{number}", c.batch)));
    let filter = stage.filter.as_ref();
    let filter = filter.map_or(String::new(), |filter| format!(" WHERE {}", filter.batch));
    format!(
        "SELECT {} FROM v{}{filter}",
        columns.join(", "),
        stage.input
    )
}
