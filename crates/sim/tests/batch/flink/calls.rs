//! Aggregate functions, and OVER.

use super::{Writer, interval, names};
use crate::query::{Call, Frame, Function, Over};

impl Writer<'_> {
    pub(super) fn over(&self, stage: &Over, index: usize) -> String {
        let rows = self.query.rows(stage.input);
        let mut columns = names(&rows);
        columns.push("rt".into());
        let partition = match stage.keys.is_empty() {
            true => String::new(),
            false => format!("PARTITION BY {} ", stage.keys.join(", ")),
        };
        for (number, (c, frame)) in stage.calls.iter().enumerate() {
            let frame = match (c.function, frame) {
                (Function::Lag(_) | Function::RowNumber, _) => String::new(),
                (_, Frame::Rows(None)) => " ROWS UNBOUNDED PRECEDING".into(),
                (_, Frame::Rows(Some(rows))) => {
                    format!(" ROWS BETWEEN {rows} PRECEDING AND CURRENT ROW")
                }
                (_, Frame::Range(None)) => String::new(),
                (_, Frame::Range(Some(ms))) => {
                    format!(" RANGE BETWEEN {} PRECEDING AND CURRENT ROW", interval(*ms))
                }
            };
            columns.push(format!(
                "{} OVER ({partition}ORDER BY rt{frame}) AS s{index}c{number}",
                call(c)
            ));
        }
        format!(
            "SELECT {} FROM {}",
            columns.join(", "),
            self.view(stage.input)
        )
    }
}

/// An aggregate function.
pub(super) fn call(call: &Call) -> String {
    let name = match call.function {
        Function::Count => "COUNT",
        Function::Sum => "SUM",
        Function::Avg | Function::AvgMillionths => "AVG",
        Function::Min => "MIN",
        Function::Max => "MAX",
        Function::StddevPop => "STDDEV_POP",
        Function::StddevSamp => "STDDEV_SAMP",
        Function::VarPop => "VAR_POP",
        Function::VarSamp => "VAR_SAMP",
        Function::First => "FIRST_VALUE",
        Function::Last => "LAST_VALUE",
        Function::Listagg => "LISTAGG",
        Function::Lag(_) => "LAG",
        Function::RowNumber => return "ROW_NUMBER()".into(),
    };
    let argument = match &call.argument {
        None => "*".to_owned(),
        Some(argument) => argument.flink.clone(),
    };
    if let Function::Lag(rows) = call.function {
        return format!("LAG({argument}, {rows})");
    }
    let distinct = if call.is_distinct { "DISTINCT " } else { "" };
    let filter = call.filter.as_ref().map_or(String::new(), |filter| {
        format!(" FILTER (WHERE {})", filter.flink)
    });
    let text = format!("{name}({distinct}{argument}){filter}");
    match call.function {
        Function::AvgMillionths => format!("CAST({text} * 1000000 AS BIGINT)"),
        _ => text,
    }
}
