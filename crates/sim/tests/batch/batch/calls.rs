//! Aggregate functions, and OVER.

use crate::flink::names;
use crate::query::{Call, Frame, Function, Over, Query};
use crate::scalar::Kind;

pub(super) fn over(query: &Query, stage: &Over, index: usize) -> String {
    let rows = query.rows(stage.input);
    let own = names(&rows);
    let mut columns = own.clone();
    columns.extend(["ts", "wm", "arrival"].map(String::from));
    let partition = match stage.keys.is_empty() {
        true => String::new(),
        false => format!("PARTITION BY {}", stage.keys.join(", ")),
    };
    let mut arrival = vec!["ts".to_owned(), "arrival".to_owned()];
    arrival.extend(own.iter().map(|name| format!("{name} ASC NULLS FIRST")));
    let arrival = arrival.join(", ");
    for (number, (c, frame)) in stage.calls.iter().enumerate() {
        let window = match (c.function, frame) {
            (Function::Lag(_) | Function::RowNumber, _) => format!("ORDER BY {arrival}"),
            (_, Frame::Rows(None)) => format!("ORDER BY {arrival} ROWS UNBOUNDED PRECEDING"),
            (_, Frame::Rows(Some(rows))) => {
                format!("ORDER BY {arrival} ROWS BETWEEN {rows} PRECEDING AND CURRENT ROW")
            }
            (_, Frame::Range(None)) => "ORDER BY ts".into(),
            (_, Frame::Range(Some(ms))) => {
                format!("ORDER BY ts RANGE BETWEEN {ms} PRECEDING AND CURRENT ROW")
            }
        };
        let window = format!("OVER ({partition} {window})");
        columns.push(format!("{} AS s{index}c{number}", over_call(c, &window)));
    }
    // Without windows a row is late when the watermark had reached its time.
    format!(
        "SELECT {} FROM (SELECT * FROM v{} WHERE wm IS NULL OR wm < ts)",
        columns.join(", "),
        stage.input
    )
}

/// What an aggregate sees of a row: null where the filter leaves it out.
fn argument(call: &Call) -> String {
    let argument = call
        .argument
        .as_ref()
        .map_or("1", |argument| &argument.batch);
    match &call.filter {
        None => argument.into(),
        Some(filter) => format!("CASE WHEN {} THEN {argument} END", filter.batch),
    }
}

pub(super) fn call(call: &Call, is_source: bool) -> String {
    let argument = argument(call);
    let distinct = if call.is_distinct { "DISTINCT " } else { "" };
    // Rows of a source arrive one by one; results of windows of one time stand in the order of their
    // values. (DataFusion fails for an order by a constant.)
    let order = match &call.argument {
        Some(own) if !is_source && !own.is_constant => format!("ts, {argument}"),
        _ => "ts, arrival".into(),
    };
    match call.function {
        Function::Count => format!("COUNT({distinct}{argument})"),
        Function::Avg => {
            let sum = format!("SUM({distinct}{argument})");
            let count = format!("NULLIF(COUNT({distinct}{argument}), 0)");
            let of = match call.kind() {
                Kind::Double => "DOUBLE",
                // Integers are cut off, towards zero.
                _ => "BIGINT",
            };
            format!("CAST({sum} AS {of}) / CAST({count} AS {of})")
        }
        Function::AvgMillionths => {
            // Half a millionth is rounded away from zero.
            let hundredths = format!("CAST(SUM({distinct}{argument}) * 100 AS BIGINT)");
            let count = format!("COUNT({distinct}{argument})");
            format!(
                "(CASE WHEN {hundredths} < 0 THEN -1 ELSE 1 END) \
                 * (((CASE WHEN {hundredths} < 0 THEN -1 ELSE 1 END) * {hundredths} * 20000 + {count}) \
                 / (2 * NULLIF({count}, 0)))"
            )
        }
        // DataFusion's own FIRST_VALUE and LAST_VALUE panic at times.
        Function::First | Function::Last => {
            let place = if call.function == Function::First {
                1
            } else {
                -1
            };
            format!(
                "array_element(ARRAY_AGG({argument} ORDER BY {order}) \
                 FILTER (WHERE {argument} IS NOT NULL), {place})"
            )
        }
        Function::Listagg => format!("STRING_AGG({argument}, ',' ORDER BY {order})"),
        function => format!("{}({distinct}{argument})", plain(function)),
    }
}

fn over_call(call: &Call, window: &str) -> String {
    let argument = argument(call);
    match call.function {
        Function::Avg => {
            let of = match call.kind() {
                Kind::Double => "DOUBLE",
                _ => "BIGINT",
            };
            format!(
                "CAST(SUM({argument}) {window} AS {of}) \
                 / CAST(NULLIF(COUNT({argument}) {window}, 0) AS {of})"
            )
        }
        Function::VarPop | Function::VarSamp => {
            // DataFusion's own gives NaN when rows leave a frame; these sums are exact.
            let sum = |of: &str| format!("SUM({of}) {window}");
            let count = format!("CAST(COUNT({argument}) {window} AS DOUBLE)");
            let (squares, sum) = (sum(&format!("({argument}) * ({argument})")), sum(&argument));
            let less = if call.function == Function::VarPop {
                0
            } else {
                1
            };
            format!(
                "({count} * {squares} - {sum} * {sum}) / NULLIF({count} * ({count} - {less}), 0)"
            )
        }
        // DataFusion keeps the last value when only nulls are left in a frame.
        Function::Min => {
            format!("CASE WHEN COUNT({argument}) {window} > 0 THEN MIN({argument}) {window} END")
        }
        Function::Lag(rows) => format!("LAG({argument}, {rows}) {window}"),
        Function::RowNumber => format!("ROW_NUMBER() {window}"),
        Function::Count => format!("COUNT({argument}) {window}"),
        function => format!("{}({argument}) {window}", plain(function)),
    }
}

/// The name of a function that means the same on both sides.
fn plain(function: Function) -> &'static str {
    match function {
        Function::Sum => "SUM",
        Function::Min => "MIN",
        Function::Max => "MAX",
        Function::StddevPop => "STDDEV_POP",
        Function::StddevSamp => "STDDEV_SAMP",
        Function::VarPop => "VAR_POP",
        Function::VarSamp => "VAR_SAMP",
        function => unreachable!("{function:?} is written in another way"),
    }
}
