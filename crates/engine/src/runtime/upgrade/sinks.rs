//! What becomes of the tables that are written.

use super::{Change, Fate, Part};
use crate::checkpoint::description::{PlanDescription, SinkDescription};

/// The connector of tables that have columns of their own, to which some can be added at the end.
const TABLES: &str = "clickhouse";

/// The new plan's sinks, then those that are gone.
pub(super) fn compare(old: &PlanDescription, new: &PlanDescription) -> Vec<Change> {
    let find = |plan: &PlanDescription, table: &str| {
        plan.sinks.iter().find(|sink| sink.table == table).cloned()
    };
    let mut changes: Vec<Change> = new
        .sinks
        .iter()
        .map(|sink| {
            let (fate, reason) = match find(old, &sink.table) {
                Some(before) => compare_sink(&before, sink),
                None => (Fate::New, "it gets rows from here on".to_owned()),
            };
            Change::new(Part::Sink, &sink.table, fate, reason)
        })
        .collect();
    let gone = old
        .sinks
        .iter()
        .filter(|sink| find(new, &sink.table).is_none());
    changes.extend(gone.map(|sink| {
        let reason = "it gets no more rows; what it holds stays";
        Change::new(Part::Sink, &sink.table, Fate::Drop, reason)
    }));
    changes
}

fn compare_sink(old: &SinkDescription, new: &SinkDescription) -> (Fate, String) {
    if old.connector != new.connector || old.options != new.options {
        let reason = "its connector or options have changed: rows go there from here on";
        return (Fate::New, reason.to_owned());
    }
    if old.columns != new.columns || old.primary_key != new.primary_key {
        let is_longer = new.columns.starts_with(&old.columns);
        let only_added = is_longer && old.primary_key == new.primary_key;
        if new.connector == TABLES && !only_added {
            let reason = format!(
                "its columns or its key were [{}], are [{}]: a table takes new columns at its end only; write \
                 to another table",
                old.columns.join(", "),
                new.columns.join(", ")
            );
            return (Fate::Refused, reason);
        }
        let reason = "its rows have other columns from here on";
        return (Fate::Keep, reason.to_owned());
    }
    let reason = match old.fingerprint == new.fingerprint {
        true => "it computes the same",
        false => "its rows are computed in another way from here on",
    };
    (Fate::Keep, reason.to_owned())
}
