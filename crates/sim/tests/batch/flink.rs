//! A query as Flink's SQL: a view for each stage, a table for the result, and an INSERT.

mod calls;
mod joins;
mod windows;

use std::fmt::Write as _;

pub use self::joins::side_columns;
use super::input::Stream;
use super::query::{From, InputStage, Query, Rows, Select, Stage};

/// The tables that are read.
pub fn sources(streams: &[Stream], is_idle: bool) -> String {
    // Longer than any input, so nothing is forgotten; ROW_NUMBER with OVER asks for it.
    let mut text = "SET 'table.exec.state.ttl' = '1 d';\n".to_owned();
    let idle = match is_idle {
        true => ", 'scan.watermark.idle-timeout' = '5 s'",
        false => "",
    };
    for stream in streams {
        let (name, delay) = (stream.name, interval(stream.delay_ms));
        let partitions = stream.partitions.len();
        writeln!(
            text,
            "CREATE TABLE {name} (a STRING, k INT, n BIGINT, x DOUBLE, p DECIMAL(10, 2), \
             tags ARRAY<STRING>, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3), \
             WATERMARK FOR rt AS rt - {delay}) WITH ('connector' = 'kafka', 'topic' = '{name}', \
             'format' = 'json', 'topic.partitions' = '{partitions}'{idle});"
        )
        .expect("text can always grow");
    }
    text + "CREATE TABLE labels (id INT, label STRING, w BIGINT) \
            WITH ('connector' = 'filesystem', 'path' = 'labels', 'format' = 'json');\n"
}

/// The statements of query `number`, whose result is table `result{number}`.
pub fn statements(query: &Query, number: usize) -> String {
    let writer = Writer { query, number };
    let mut text = String::new();
    for index in 0..query.stages.len() {
        let view = writer.view(index);
        let select = writer.stage(index);
        text.push_str(&format!("CREATE TEMPORARY VIEW {view} AS {select};\n"));
    }
    let last = query.stages.len() - 1;
    let rows = query.rows(last);
    let mut columns = names(&rows);
    let mut types: Vec<String> = rows
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.kind.flink()))
        .collect();
    let times = [("rt", rows.has_time)]
        .into_iter()
        .chain(["window_start", "window_end"].map(|name| (name, rows.window_time.is_some())));
    for (name, _) in times.filter(|(_, is_there)| *is_there) {
        columns.push(name.into());
        types.push(format!("{name} TIMESTAMP(3)"));
    }
    format!(
        "{text}CREATE TABLE result{number} ({}) WITH ('connector' = 'clickhouse');\n\
         INSERT INTO result{number} SELECT {} FROM {};\n",
        types.join(", "),
        columns.join(", "),
        writer.view(last)
    )
}

struct Writer<'a> {
    query: &'a Query,
    number: usize,
}

impl Writer<'_> {
    fn view(&self, index: usize) -> String {
        format!("q{}v{index}", self.number)
    }

    fn stage(&self, index: usize) -> String {
        match &self.query.stages[index] {
            Stage::Input(stage) => input(stage, index),
            Stage::Select(stage) => self.select(stage, index),
            Stage::Windowed { input, window } => {
                let mut columns = names(&self.query.rows(*input));
                columns
                    .extend(["rt", "window_start", "window_end", "window_time"].map(String::from));
                let source = self.windowed(*input, window, &[]);
                format!("SELECT {} FROM {source}", columns.join(", "))
            }
            Stage::Aggregate(stage) => self.aggregate(stage, index),
            Stage::Rank(stage) => self.rank(stage, index),
            Stage::Over(stage) => self.over(stage, index),
            Stage::Join(stage) => self.join(stage, index),
        }
    }

    fn select(&self, stage: &Select, index: usize) -> String {
        let rows = self.query.rows(stage.input);
        let mut columns = names(&rows);
        columns.extend(self.times(&rows));
        let computed = stage.computed.iter().enumerate();
        columns.extend(computed.map(|(number, c)| format!("{} AS s{index}c{number}", c.flink)));
        let filter = stage.filter.as_ref();
        let filter = filter.map_or(String::new(), |filter| format!(" WHERE {}", filter.flink));
        format!(
            "SELECT {} FROM {}{filter}",
            columns.join(", "),
            self.view(stage.input)
        )
    }

    /// Columns that a stage passes on besides its own.
    fn times(&self, rows: &Rows) -> Vec<String> {
        let mut times = vec![];
        if rows.has_time {
            times.push("rt");
        }
        if let Some(time) = rows.window_time {
            times.extend(["window_start", "window_end"]);
            if time != "rt" {
                times.push(time);
            }
        }
        times.into_iter().map(String::from).collect()
    }
}

fn input(stage: &InputStage, index: usize) -> String {
    let base = stage.base();
    let mut columns: Vec<String> = base.iter().map(|column| column.name.clone()).collect();
    columns.push("rt".into());
    let computed = stage.computed.iter().enumerate();
    columns
        .extend(computed.map(|(number, scalar)| format!("{} AS s{index}c{number}", scalar.flink)));
    let left = |is_left| if is_left { "LEFT JOIN" } else { "JOIN" };
    let mut filters = vec![];
    let from = match &stage.from {
        From::Stream(name) => (*name).into(),
        From::Union => {
            let columns = "a, k, n, x, p, tags, rt";
            format!("(SELECT {columns} FROM events UNION ALL SELECT {columns} FROM others)")
        }
        From::Tags { is_left: true } => "events LEFT JOIN UNNEST(tags) AS t (tag) ON TRUE".into(),
        From::Tags { is_left: false } => "events CROSS JOIN UNNEST(tags) AS t (tag)".into(),
        From::Labels { is_left, is_lookup } => {
            let lookup = if *is_lookup {
                " FOR SYSTEM_TIME AS OF e.rt"
            } else {
                ""
            };
            format!(
                "events AS e {} labels{lookup} AS d ON e.k = d.id",
                left(*is_left)
            )
        }
        From::Known { is_negated } => {
            let not = if *is_negated { "NOT " } else { "" };
            filters.push(format!(
                "{not}EXISTS (SELECT * FROM labels WHERE id = events.k)"
            ));
            "events".into()
        }
    };
    filters.extend(
        stage
            .filter
            .iter()
            .map(|filter| format!("({})", filter.flink)),
    );
    let filter = match filters.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", filters.join(" AND ")),
    };
    format!("SELECT {} FROM {from}{filter}", columns.join(", "))
}

/// The columns of its own.
pub fn names(rows: &Rows) -> Vec<String> {
    rows.columns
        .iter()
        .map(|column| column.name.clone())
        .collect()
}

fn interval(ms: i64) -> String {
    match (ms < 0, ms.abs()) {
        (true, ms) => format!("-{}", interval(ms)),
        (false, ms) if ms % 1_000 == 0 => format!("INTERVAL '{}' SECOND", ms / 1_000),
        (false, ms) => format!("INTERVAL '{}.{:03}' SECOND", ms / 1_000, ms % 1_000),
    }
}
