//! From what shards report to what manifests and users see.

use std::collections::BTreeMap;

use millstream_core::plan::{JoinOn, Operator, Plan, SinkRole, SourcePlan};
use millstream_core::source::Source;
use millstream_core::{SplitId, Watermark};

use super::shard::SplitReport;
use super::trail;
use crate::checkpoint::{Manifest, SourceProgress, SplitProgress};
use crate::operator::SourceMark;
use crate::operator::chain::NodeCounters;
use crate::status::{
    JobState, JobStatus, OperatorStatus, PauseStatus, SinkStatus, SourceStatus, SplitStatus,
};

/// How far a source is, given the reports of its splits. `now_ms` decides about idleness.
pub fn source_progress(
    plan: &SourcePlan,
    source: &dyn Source,
    reports: &[SplitReport],
    (before, now_ms): (&SourceProgress, i64),
) -> SourceProgress {
    let reports: BTreeMap<&SplitId, &SplitReport> = reports
        .iter()
        .filter(|report| report.source == plan.id)
        .map(|report| (&report.split, report))
        .collect();
    let live = reports
        .values()
        .filter(|r| !r.ended && !is_idle(plan, r, now_ms));
    let slowest = live.map(|report| report.watermark).min();
    let all_ended = reports.values().all(|report| report.ended) && source.is_bounded();
    let fired = match slowest {
        _ if all_ended => Watermark::MAX,
        Some(slowest) => before.fired.advanced_to(slowest),
        None => before.fired,
    };
    let known: BTreeMap<&SplitId, &SplitProgress> = before
        .splits
        .iter()
        .map(|split| (&split.split, split))
        .collect();
    let splits = reports.values().map(|report| {
        let trail = known
            .get(&report.split)
            .map_or(&[][..], |split| &split.trail);
        SplitProgress {
            split: report.split.clone(),
            offset: report.offset,
            watermark: report.watermark,
            ended: report.ended,
            trail: trail::extended(trail, (report.offset, report.watermark)),
        }
    });
    SourceProgress {
        fired,
        is_idle: !all_ended && is_source_idle(plan, &reports, now_ms),
        splits: splits.collect(),
        counters: before.counters,
    }
}

/// Whether nothing has come from any split for the idle timeout, if there is one.
fn is_source_idle(
    plan: &SourcePlan,
    reports: &BTreeMap<&SplitId, &SplitReport>,
    now_ms: i64,
) -> bool {
    let is_quiet = |report: &&SplitReport| {
        let pending = SplitReport {
            pending: report.pending || report.ended,
            ..(*report).clone()
        };
        is_idle(plan, &pending, now_ms)
    };
    let has_timeout = plan.event_time.as_ref().and_then(|it| it.idle_timeout_ms);
    has_timeout.is_some() && reports.values().all(is_quiet)
}

/// How far the sources of a plan are, by source.
pub fn source_marks(plan: &Plan, sources: &BTreeMap<String, SourceProgress>) -> Vec<SourceMark> {
    let marks = plan.sources.iter().map(|source| {
        let SourceProgress { fired, is_idle, .. } = sources[&source.table];
        SourceMark { fired, is_idle }
    });
    marks.collect()
}

fn is_idle(plan: &SourcePlan, report: &SplitReport, now_ms: i64) -> bool {
    let timeout = plan
        .event_time
        .as_ref()
        .and_then(|spec| spec.idle_timeout_ms);
    timeout.is_some_and(|timeout| {
        let quiet = now_ms.saturating_sub(report.active_at_ms);
        report.pending && quiet >= i64::try_from(timeout).unwrap_or(i64::MAX)
    })
}

/// Whether an epoch would write anything new.
pub fn is_unchanged(before: &Manifest, now: &BTreeMap<String, SourceProgress>) -> bool {
    now.iter().all(|(table, now)| {
        let Some(before) = before.sources.get(table) else {
            return false;
        };
        // Both are in order of their names.
        let place = |split: &SplitProgress| (split.split.clone(), split.offset, split.ended);
        let mut known = before.splits.iter().map(place);
        before.fired == now.fired
            && now
                .splits
                .iter()
                .map(place)
                .all(|split| known.next() == Some(split))
    })
}

/// The status of a job that has not read yet.
pub fn initial_status(plan: &Plan, parallelism: u32) -> JobStatus {
    let operators = plan.nodes.iter().map(|node| OperatorStatus {
        node: node.id.0,
        description: describe(plan, &node.operator),
        rows_in: 0,
        rows_out: 0,
        groups: 0,
        state_bytes: 0,
    });
    JobStatus {
        pipeline: plan.options.name.clone(),
        state: JobState::Starting,
        reason: None,
        restarts: 0,
        incarnation: 0,
        epoch: 0,
        parallelism,
        barrier_ms: 0.0,
        pauses: PauseStatus::default(),
        epoch_ms: 0.0,
        committed_at_ms: None,
        state_bytes: 0,
        checkpoint_bytes: 0,
        sources: vec![],
        operators: operators.collect(),
        sinks: vec![],
    }
}

fn describe(plan: &Plan, operator: &Operator) -> String {
    match operator {
        Operator::Filter(predicate) => format!("filter {predicate}"),
        Operator::Project(exprs) => format!("project {} columns", exprs.len()),
        Operator::AssignWindow(_) => "assign windows".into(),
        Operator::WindowAggregate(aggregate) => {
            let (keys, calls) = (aggregate.keys.len(), aggregate.aggregates.len());
            format!("aggregate {calls} by window and {keys} keys")
        }
        Operator::Union => "union".into(),
        Operator::Join(join) => match join.on {
            JoinOn::Table(id) => format!("join {}", plan.tables[id.index()].source.table),
            JoinOn::Window { .. } => "join windows".into(),
            JoinOn::Interval { .. } => "join intervals".into(),
        },
        Operator::Unnest(unnest) => format!("unnest {}", unnest.array),
        Operator::WindowRank(rank) => format!("rank to {} by window", rank.ranks.1),
        Operator::Over(over) => match over.calls.len() {
            0 => "sort by time".into(),
            calls => format!("over {calls} by {} keys", over.keys.len()),
        },
        Operator::Sink(id) => format!("sink {}", plan.sinks[id.index()].table),
    }
}

/// Brings the status up to a committed manifest.
pub fn update_status(status: &mut JobStatus, plan: &Plan, manifest: &Manifest) {
    status.incarnation = manifest.incarnation.0;
    status.epoch = manifest.epoch.0;
    status.checkpoint_bytes = manifest.segments.iter().map(|segment| segment.bytes).sum();
    let sources = plan.sources.iter().filter_map(|source| {
        let progress = manifest.sources.get(&source.table)?;
        Some(source_status(source, progress))
    });
    status.sources = sources.collect();
    let sinks = plan.sinks.iter().map(|sink| {
        let progress = manifest.sinks.get(&sink.table);
        SinkStatus {
            table: sink.table.clone(),
            role: role(sink.role).into(),
            rows: progress.map_or(0, |progress| progress.rows),
            bytes: progress.map_or(0, |progress| progress.bytes),
        }
    });
    status.sinks = sinks.collect();
}

fn role(role: SinkRole) -> &'static str {
    match role {
        SinkRole::Results => "results",
        SinkRole::LateEvents => "late-events",
        SinkRole::DeadLetters => "dead-letters",
    }
}

fn source_status(source: &SourcePlan, progress: &SourceProgress) -> SourceStatus {
    let counters = &progress.counters;
    let splits = progress.splits.iter().map(|split| SplitStatus {
        split: split.split.to_string(),
        offset: split.offset.0,
        watermark_ms: finite(split.watermark),
        idle: false,
        ended: split.ended,
        backlog: None,
    });
    SourceStatus {
        table: source.table.clone(),
        rows_read: counters.rows_read,
        rows_on_time: counters.rows_on_time(),
        rows_late: counters.rows_late,
        rows_undecodable: counters.rows_undecodable,
        bytes_read: counters.bytes_read,
        watermark_ms: finite(progress.fired),
        splits: splits.collect(),
    }
}

fn finite(watermark: Watermark) -> Option<i64> {
    (watermark != Watermark::MIN && watermark != Watermark::MAX).then_some(watermark.0)
}

/// Adds what only reports know: idleness and backlog.
pub fn add_reports(status: &mut JobStatus, plan: &Plan, reports: &[SplitReport], now_ms: i64) {
    let key = |report: &SplitReport| (report.source, report.split.to_string());
    let reports: BTreeMap<_, &SplitReport> = reports.iter().map(|r| (key(r), r)).collect();
    for (source, source_plan) in status.sources.iter_mut().zip(&plan.sources) {
        for split in &mut source.splits {
            if let Some(report) = reports.get(&(source_plan.id, split.split.clone())) {
                split.idle = is_idle(source_plan, report, now_ms);
                split.backlog = report.backlog;
            }
        }
    }
}

/// Sums the counters of all shards into the status. Nodes count since the job was opened.
pub fn add_nodes(status: &mut JobStatus, shards: &[Vec<NodeCounters>]) {
    for (index, operator) in status.operators.iter_mut().enumerate() {
        let nodes = shards.iter().filter_map(|nodes| nodes.get(index));
        let mut total = NodeCounters::default();
        for node in nodes {
            total.rows_in += node.rows_in;
            total.rows_out += node.rows_out;
            total.groups += node.groups;
            total.state_bytes += node.state_bytes;
        }
        operator.rows_in = total.rows_in;
        operator.rows_out = total.rows_out;
        operator.groups = total.groups;
        operator.state_bytes = total.state_bytes;
    }
    status.state_bytes = status.operators.iter().map(|o| o.state_bytes).sum();
}
