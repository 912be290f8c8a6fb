//! Windows, aggregates of windows and ranks.

use super::calls::call;
use crate::flink::names;
use crate::query::{Aggregate, Order, Query, Rank, Window};

/// Rows of `from` with the windows that they are in, `keys` being those of sessions.
pub(super) fn windowed(from: &str, columns: &str, window: &Window, keys: &str) -> String {
    let columns = match columns {
        "" => "ts, wm, arrival".to_owned(),
        columns => format!("{columns}, ts, wm, arrival"),
    };
    let floor =
        |size: &i64, offset: &i64| format!("ts - ((ts - ({offset})) % {size} + {size}) % {size}");
    let series = |count: i64| {
        let numbers: Vec<String> = (0..count).map(|number| format!("({number})")).collect();
        format!("(VALUES {}) AS i (i)", numbers.join(", "))
    };
    match window {
        Window::Tumble { size, offset } => {
            let start = floor(size, offset);
            format!(
                "SELECT {columns}, {start} AS window_start, {start} + {size} AS window_end FROM {from}"
            )
        }
        Window::Hop {
            slide,
            size,
            offset,
        } => {
            let start = format!("{} - i.i * {slide}", floor(slide, offset));
            let series = series(size / slide);
            format!(
                "SELECT {columns}, {start} AS window_start, {start} + {size} AS window_end \
                 FROM {from} CROSS JOIN {series}"
            )
        }
        Window::Cumulate { step, size, offset } => {
            let start = floor(size, offset);
            let end = format!("{start} + (i.i + 1) * {step}");
            let series = series(size / step);
            format!(
                "SELECT {columns}, {start} AS window_start, {end} AS window_end \
                 FROM {from} CROSS JOIN {series} WHERE {end} > ts"
            )
        }
        Window::Session { gap } => {
            let by = match keys {
                "" => String::new(),
                keys => format!("PARTITION BY {keys}"),
            };
            let and = if keys.is_empty() { "PARTITION BY" } else { "," };
            format!(
                "SELECT {columns}, MIN(ts) OVER ({by} {and} island) AS window_start, \
                 MAX(ts) OVER ({by} {and} island) + {gap} AS window_end FROM (\
                 SELECT *, SUM(fresh) OVER ({by} ORDER BY ts, arrival ROWS UNBOUNDED PRECEDING) AS island FROM (\
                 SELECT *, CASE WHEN ts - LAG(ts) OVER ({by} ORDER BY ts, arrival) <= {gap} THEN 0 ELSE 1 END AS fresh \
                 FROM {from}))"
            )
        }
    }
}

/// The rows of a stage with windows that are on time for them.
pub(super) fn on_time(view: &str) -> String {
    format!("(SELECT * FROM {view} WHERE wm IS NULL OR wm < window_end - 1)")
}

pub(super) fn aggregate(query: &Query, stage: &Aggregate, index: usize) -> String {
    let rows = query.rows(stage.input);
    let columns = names(&rows).join(", ");
    let keys: Vec<&str> = stage.keys.iter().map(|key| key.batch.as_str()).collect();
    let source = match &stage.window {
        None => on_time(&format!("v{}", stage.input)),
        Some(window) => {
            let from = format!("v{}", stage.input);
            on_time(&format!(
                "({})",
                windowed(
                    &from,
                    &columns,
                    window,
                    &keys[..stage.session_keys].join(", ")
                )
            ))
        }
    };
    let all: Vec<usize> = (0..keys.len()).collect();
    let sets = match stage.sets.is_empty() {
        true => std::slice::from_ref(&all),
        false => stage.sets.as_slice(),
    };
    let selects = sets.iter().map(|set| {
        let mut columns: Vec<String> = vec![];
        let mut groups = vec!["window_start", "window_end"];
        let mut id = 0;
        for (number, key) in keys.iter().enumerate() {
            id *= 2;
            if set.contains(&number) {
                columns.push(format!("{key} AS s{index}k{number}"));
                groups.push(key);
            } else {
                let kind = stage.keys[number].kind.sql();
                columns.push(format!("CAST(NULL AS {kind}) AS s{index}k{number}"));
                id += 1;
            }
        }
        if !stage.sets.is_empty() {
            columns.push(format!("{id} AS s{index}g"));
        }
        let calls = stage.calls.iter().enumerate();
        columns.extend(
            calls.map(|(number, c)| format!("{} AS s{index}c{number}", call(c, rows.is_source))),
        );
        columns.push("window_start, window_end, window_end - 1 AS ts".into());
        columns.push("CAST(NULL AS BIGINT) AS wm, 0 AS arrival".into());
        let having = stage.having.as_ref().map_or(String::new(), |having| {
            format!(
                " HAVING {} {}",
                call(&having.call, rows.is_source),
                having.rest
            )
        });
        format!(
            "SELECT {} FROM {source} GROUP BY {}{having}",
            columns.join(", "),
            groups.join(", ")
        )
    });
    selects.collect::<Vec<String>>().join(" UNION ALL ")
}

pub(super) fn rank(query: &Query, stage: &Rank, index: usize) -> String {
    let rows = query.rows(stage.input);
    let mut partition = vec!["window_start", "window_end"];
    partition.extend(stage.keys.iter().map(String::as_str));
    let mut order: Vec<String> = stage.order.iter().map(order_text).collect();
    // Equal rows stand in the order of arrival, then of all columns; of the last by event time the
    // last to arrive is taken.
    let is_last =
        matches!(&stage.order[..], [order] if order.column == "rt" && order.is_descending);
    let way = if is_last { "DESC" } else { "ASC NULLS FIRST" };
    order.push(format!("arrival {way}"));
    order.extend(names(&rows).iter().map(|name| format!("{name} {way}")));
    let (first, last) = stage.ranks;
    format!(
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {}) AS s{index}rn \
         FROM {}) WHERE s{index}rn BETWEEN {first} AND {last}",
        partition.join(", "),
        order.join(", "),
        on_time(&format!("v{}", stage.input))
    )
}

fn order_text(order: &Order) -> String {
    let column = if order.column == "rt" {
        "ts"
    } else {
        &order.column
    };
    let way = if order.is_descending { "DESC" } else { "ASC" };
    // Flink's default: nulls are the smallest values.
    let nulls = match order.nulls_first.unwrap_or(!order.is_descending) {
        true => "NULLS FIRST",
        false => "NULLS LAST",
    };
    format!("{column} {way} {nulls}")
}
