//! Joins.

use super::windows::on_time;
use crate::flink::side_columns;
use crate::query::{Join, JoinKind, Query};

pub(super) fn join(query: &Query, stage: &Join, index: usize) -> String {
    let mut conditions: Vec<String> = stage
        .keys
        .iter()
        .map(|[left, right]| format!("l.{left} = r.{right}"))
        .collect();
    let [left, right] = stage.inputs.map(|input| format!("v{input}"));
    let (left, right) = match stage.bounds {
        None => {
            conditions
                .extend(["window_start", "window_end"].map(|name| format!("l.{name} = r.{name}")));
            (on_time(&left), on_time(&right))
        }
        Some((least, most)) => {
            conditions.push(format!("r.ts BETWEEN l.ts + ({least}) AND l.ts + ({most})"));
            // A row is late once no partner that is on time can come.
            let on_time = |view: &str, wait: i64| {
                format!("(SELECT * FROM {view} WHERE wm IS NULL OR wm < ts + {wait})")
            };
            (
                on_time(&left, most.max(0)),
                on_time(&right, (-least).max(0)),
            )
        }
    };
    if let Some([left, right]) = &stage.residual {
        conditions.push(format!("l.{left} < r.{right}"));
    }
    let condition = conditions.join(" AND ");
    let columns = side_columns(query, stage, index);
    let rows = query.rows(index);
    let mut hidden = "CAST(NULL AS BIGINT) AS wm, 0 AS arrival".to_owned();
    if rows.has_time {
        hidden.push_str(", l.ts AS ts");
    } else {
        hidden.push_str(", CAST(NULL AS BIGINT) AS ts");
    }
    if rows.window_time.is_some() {
        hidden.push_str(", l.window_start AS window_start, l.window_end AS window_end");
    }
    let exists = match stage.kind {
        JoinKind::Semi => Some("EXISTS"),
        JoinKind::Anti => Some("NOT EXISTS"),
        _ => None,
    };
    if let Some(exists) = exists {
        return format!(
            "SELECT {columns}, {hidden} FROM {left} AS l \
             WHERE {exists} (SELECT 1 FROM {right} AS r WHERE {condition})"
        );
    }
    let kind = stage.kind.sql();
    format!("SELECT {columns}, {hidden} FROM {left} AS l {kind} JOIN {right} AS r ON {condition}")
}
