//! Windows, aggregates of windows and ranks.

use super::calls::call;
use super::{Writer, interval, names};
use crate::query::{Aggregate, Order, Rank, Window};

impl Writer<'_> {
    /// `TABLE(…)`. Its input has no windows yet, or they are left out.
    pub(super) fn windowed(&self, input: usize, window: &Window, keys: &[String]) -> String {
        let rows = self.query.rows(input);
        let mut source = format!("TABLE {}", self.view(input));
        if rows.window_time.is_some() {
            let mut columns = names(&rows);
            columns.push("rt".into());
            source = format!("(SELECT {} FROM {})", columns.join(", "), self.view(input));
        }
        let with_offset = |text: String, offset: i64| match offset {
            0 => text,
            offset => format!("{text}, {}", interval(offset)),
        };
        let arguments = match window {
            Window::Tumble { size, offset } => with_offset(interval(*size), *offset),
            Window::Hop {
                slide,
                size,
                offset,
            } => with_offset(
                format!("{}, {}", interval(*slide), interval(*size)),
                *offset,
            ),
            Window::Cumulate { step, size, offset } => {
                with_offset(format!("{}, {}", interval(*step), interval(*size)), *offset)
            }
            Window::Session { gap } => interval(*gap),
        };
        let function = match window {
            Window::Tumble { .. } => "TUMBLE",
            Window::Hop { .. } => "HOP",
            Window::Cumulate { .. } => "CUMULATE",
            Window::Session { .. } => {
                if !keys.is_empty() {
                    source.push_str(&format!(" PARTITION BY {}", keys.join(", ")));
                }
                "SESSION"
            }
        };
        format!("TABLE({function}({source}, DESCRIPTOR(rt), {arguments}))")
    }

    pub(super) fn aggregate(&self, stage: &Aggregate, index: usize) -> String {
        let rows = self.query.rows(stage.input);
        let keys: Vec<String> = stage.keys.iter().map(|key| key.flink.clone()).collect();
        let (source, time) = match &stage.window {
            Some(window) if stage.is_legacy => return self.legacy(stage, window, index),
            Some(window) => {
                let partition = &keys[..stage.session_keys];
                (self.windowed(stage.input, window, partition), "window_time")
            }
            None => (
                self.view(stage.input),
                rows.window_time
                    .expect("without a window its input has some"),
            ),
        };
        let mut columns: Vec<String> = vec![
            "window_start".into(),
            "window_end".into(),
            format!("{time} AS rt"),
        ];
        let numbered = keys.iter().enumerate();
        columns.extend(numbered.map(|(number, key)| format!("{key} AS s{index}k{number}")));
        let mut groups: Vec<String> = ["window_start", "window_end", time]
            .map(String::from)
            .into();
        if stage.sets.is_empty() {
            groups.extend(keys);
        } else {
            columns.push(format!("GROUPING_ID({}) AS s{index}g", keys.join(", ")));
            let sets = stage.sets.iter().map(|set| {
                let set: Vec<&str> = set.iter().map(|key| keys[*key].as_str()).collect();
                format!("({})", set.join(", "))
            });
            let sets: Vec<String> = sets.collect();
            groups.push(format!("GROUPING SETS ({})", sets.join(", ")));
        }
        let calls = stage.calls.iter().enumerate();
        columns.extend(calls.map(|(number, c)| format!("{} AS s{index}c{number}", call(c))));
        let having = stage.having.as_ref().map_or(String::new(), |having| {
            format!(" HAVING {} {}", call(&having.call), having.rest)
        });
        format!(
            "SELECT {} FROM {source} GROUP BY {}{having}",
            columns.join(", "),
            groups.join(", ")
        )
    }

    /// With the window in GROUP BY.
    pub(super) fn legacy(&self, stage: &Aggregate, window: &Window, index: usize) -> String {
        let (name, arguments) = match window {
            Window::Tumble { size, .. } => ("TUMBLE", interval(*size)),
            Window::Hop { slide, size, .. } => {
                ("HOP", format!("{}, {}", interval(*slide), interval(*size)))
            }
            Window::Session { gap } => ("SESSION", interval(*gap)),
            Window::Cumulate { .. } => unreachable!("there is no such function"),
        };
        let mut columns = vec![
            format!("{name}_START(rt, {arguments}) AS window_start"),
            format!("{name}_END(rt, {arguments}) AS window_end"),
            format!("{name}_ROWTIME(rt, {arguments}) AS rt"),
        ];
        let mut groups = vec![format!("{name}(rt, {arguments})")];
        for (number, key) in stage.keys.iter().enumerate() {
            columns.push(format!("{} AS s{index}k{number}", key.flink));
            groups.push(key.flink.clone());
        }
        let calls = stage.calls.iter().enumerate();
        columns.extend(calls.map(|(number, c)| format!("{} AS s{index}c{number}", call(c))));
        let having = stage.having.as_ref().map_or(String::new(), |having| {
            format!(" HAVING {} {}", call(&having.call), having.rest)
        });
        format!(
            "SELECT {} FROM {} GROUP BY {}{having}",
            columns.join(", "),
            self.view(stage.input),
            groups.join(", ")
        )
    }

    pub(super) fn rank(&self, stage: &Rank, index: usize) -> String {
        let rows = self.query.rows(stage.input);
        let mut partition: Vec<String> = ["window_start", "window_end"].map(String::from).into();
        partition.extend(stage.keys.iter().cloned());
        let order: Vec<String> = stage.order.iter().map(order_text).collect();
        let (first, last) = stage.ranks;
        let ranks = match (first, last) {
            (1, last) => format!("<= {last}"),
            (first, last) if first == last => format!("= {last}"),
            (first, last) => format!("BETWEEN {first} AND {last}"),
        };
        let mut columns = names(&rows);
        columns.extend(self.times(&rows));
        format!(
            "SELECT {}, s{index}rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {}) \
             AS s{index}rn FROM {}) WHERE s{index}rn {ranks}",
            columns.join(", "),
            partition.join(", "),
            order.join(", "),
            self.view(stage.input)
        )
    }
}

fn order_text(order: &Order) -> String {
    let way = if order.is_descending { " DESC" } else { "" };
    let nulls = match order.nulls_first {
        None => "",
        Some(true) => " NULLS FIRST",
        Some(false) => " NULLS LAST",
    };
    format!("{}{way}{nulls}", order.column)
}
