//! Numbers for Prometheus. The collector counts as it goes; everything about pipelines and the
//! process is taken from its status when the numbers are asked for.
//!
//! Names begin with `millstream_` and end with their unit; counters end with `_total`.

use std::time::Duration;

use metrics::{
    counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use millstream_engine::status::{JobState, JobStatus};

use crate::jobs::PipelineView;
use crate::lake::LakeTableView;
use crate::usage::{Usage, resident_bytes};

/// Upper bounds of the latency histograms, in seconds: from a fast fsync to a stuck disk.
const LATENCY_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];
const APPEND_SECONDS: &str = "millstream_collector_append_seconds";
const STATES: [JobState; 6] = [
    JobState::Starting,
    JobState::Running,
    JobState::Stalled,
    JobState::Finished,
    JobState::Stopped,
    JobState::Failed,
];

/// All numbers of one server.
pub struct Metrics {
    recorder: PrometheusRecorder,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Numbers that begin at zero.
    pub fn new() -> Self {
        let append = Matcher::Full(APPEND_SECONDS.to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(append, LATENCY_BUCKETS);
        let recorder = builder
            .expect("there is at least one bucket")
            .build_recorder();
        with_local_recorder(&recorder, describe);
        Self { recorder }
    }

    /// A batch was stored: `events` of `bytes` in all, in `elapsed` from the first byte to the
    /// acknowledgement.
    pub fn accepted(&self, topic: &str, events: u64, bytes: u64, elapsed: Duration) {
        with_local_recorder(&self.recorder, || {
            let topic = topic.to_owned();
            counter!("millstream_collector_requests_total", "status" => "200").increment(1);
            counter!("millstream_collector_events_total", "topic" => topic.clone())
                .increment(events);
            counter!("millstream_collector_bytes_total", "topic" => topic).increment(bytes);
            histogram!(APPEND_SECONDS).record(elapsed.as_secs_f64());
        });
    }

    /// A request of the collector was answered with an error; nothing of it was stored.
    pub fn rejected(&self, status: u16) {
        with_local_recorder(&self.recorder, || {
            let status = status.to_string();
            counter!("millstream_collector_requests_total", "status" => status.clone())
                .increment(1);
            counter!("millstream_collector_rejected_total", "reason" => reason(&status))
                .increment(1);
        });
    }

    /// Folds raw samples into buckets, so that memory stays flat when nobody scrapes.
    pub fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }

    /// Everything as Prometheus text.
    pub fn render(&self, pipelines: &[PipelineView], lake: &[LakeTableView]) -> String {
        with_local_recorder(&self.recorder, || {
            pipelines.iter().for_each(set_pipeline);
            lake.iter().for_each(set_lake_table);
            let usage = Usage::of_process();
            gauge!("millstream_process_cpu_seconds").set(usage.cpu.as_secs_f64());
            gauge!("millstream_process_peak_resident_bytes").set(number(usage.peak_rss_bytes));
            if let Some(bytes) = resident_bytes() {
                gauge!("millstream_process_resident_bytes").set(number(bytes));
            }
        });
        self.recorder.handle().render()
    }
}

fn reason(status: &str) -> &'static str {
    match status {
        "400" => "invalid",
        "404" => "unknown-topic",
        "413" => "too-large",
        "415" => "media-type",
        "429" => "busy",
        "503" => "unavailable",
        _ => "error",
    }
}

fn set_pipeline(view: &PipelineView) {
    let status = &view.status;
    let pipeline = status.pipeline.clone();
    for state in STATES {
        let name = format!("{state:?}").to_ascii_lowercase();
        let is_it = f64::from(u8::from(state == status.state));
        gauge!("millstream_pipeline_state", "pipeline" => pipeline.clone(), "state" => name)
            .set(is_it);
    }
    let set = |name: &'static str, value: f64| {
        gauge!(name, "pipeline" => pipeline.clone()).set(value);
    };
    set("millstream_pipeline_epoch", number(status.epoch));
    set("millstream_pipeline_epoch_seconds", status.epoch_ms / 1e3);
    set(
        "millstream_pipeline_barrier_seconds",
        status.barrier_ms / 1e3,
    );
    set(
        "millstream_pipeline_state_bytes",
        number(status.state_bytes),
    );
    set(
        "millstream_pipeline_checkpoint_bytes",
        number(status.checkpoint_bytes),
    );
    for (quantile, ms) in [
        ("0.5", status.pauses.p50_ms),
        ("0.99", status.pauses.p99_ms),
        ("1", status.pauses.max_ms),
    ] {
        let labels = [
            ("pipeline", pipeline.clone()),
            ("quantile", quantile.to_owned()),
        ];
        gauge!("millstream_pipeline_barrier_quantile_seconds", &labels).set(ms / 1e3);
    }
    counter!("millstream_pipeline_restarts_total", "pipeline" => pipeline.clone())
        .absolute(status.restarts);
    if let Some(lag) = view.lag_ms {
        set(
            "millstream_pipeline_watermark_lag_seconds",
            signed(lag) / 1e3,
        );
    }
    set_sources(&pipeline, status);
    for sink in &status.sinks {
        let labels = [
            ("pipeline", pipeline.clone()),
            ("table", sink.table.clone()),
        ];
        counter!("millstream_sink_rows_total", &labels).absolute(sink.rows);
        counter!("millstream_sink_bytes_total", &labels).absolute(sink.bytes);
    }
}

fn set_lake_table(view: &LakeTableView) {
    let set = |name: &'static str, value: f64| {
        gauge!(name, "table" => view.table.clone()).set(value);
    };
    set("millstream_lake_files", number(view.files));
    set("millstream_lake_small_files", number(view.small_files));
    set("millstream_lake_delete_files", number(view.delete_files));
    set("millstream_lake_bytes", number(view.bytes));
    set("millstream_lake_rows", number(view.rows));
    set("millstream_lake_snapshots", number(view.snapshots));
    set("millstream_lake_manifests", number(view.manifests));
    set(
        "millstream_lake_manifest_bytes",
        number(view.manifest_bytes),
    );
    set("millstream_lake_pending_bytes", number(view.pending_bytes));
    let is_failing = f64::from(u8::from(view.error.is_some()));
    set("millstream_lake_commit_failing", is_failing);
    if let Some(lag_ms) = view.lag_ms {
        set("millstream_lake_lag_seconds", signed(lag_ms) / 1e3);
    }
}

fn set_sources(pipeline: &str, status: &JobStatus) {
    for source in &status.sources {
        let labels = [
            ("pipeline", pipeline.to_owned()),
            ("table", source.table.clone()),
        ];
        counter!("millstream_source_rows_read_total", &labels).absolute(source.rows_read);
        counter!("millstream_source_rows_on_time_total", &labels).absolute(source.rows_on_time);
        counter!("millstream_source_rows_late_total", &labels).absolute(source.rows_late);
        counter!("millstream_source_rows_undecodable_total", &labels)
            .absolute(source.rows_undecodable);
        counter!("millstream_source_bytes_read_total", &labels).absolute(source.bytes_read);
        let backlog: Option<u64> = source.splits.iter().map(|split| split.backlog).sum();
        if let Some(backlog) = backlog {
            gauge!("millstream_source_backlog", &labels).set(number(backlog));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other number")]
fn number(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other number")]
fn signed(value: i64) -> f64 {
    value as f64
}

fn describe() {
    describe_counter!(
        "millstream_collector_requests_total",
        "Requests answered, by status"
    );
    describe_counter!(
        "millstream_collector_events_total",
        "Events stored and acknowledged"
    );
    describe_counter!("millstream_collector_bytes_total", "Bytes of events stored");
    describe_counter!(
        "millstream_collector_rejected_total",
        "Requests refused, by reason"
    );
    describe_histogram!(
        APPEND_SECONDS,
        "From the whole body to its durable acknowledgement"
    );
    describe_pipelines();
    describe_tables();
    describe_lake();
    describe_gauge!("millstream_process_cpu_seconds", "User and system time");
    describe_gauge!("millstream_process_resident_bytes", "Physical memory held");
    describe_gauge!(
        "millstream_process_peak_resident_bytes",
        "The most memory ever held"
    );
}

fn describe_pipelines() {
    describe_gauge!(
        "millstream_pipeline_state",
        "1 for the state that the pipeline is in"
    );
    describe_gauge!("millstream_pipeline_epoch", "The last committed epoch");
    describe_gauge!(
        "millstream_pipeline_epoch_seconds",
        "From the barrier to the end of commit"
    );
    describe_gauge!(
        "millstream_pipeline_barrier_seconds",
        "How long shards stood still"
    );
    describe_gauge!(
        "millstream_pipeline_barrier_quantile_seconds",
        "How long shards stood still at all barriers since the last restart, by quantile"
    );
    describe_counter!(
        "millstream_pipeline_restarts_total",
        "How often it was started again after a failure"
    );
    describe_gauge!("millstream_pipeline_state_bytes", "Window state in memory");
    describe_gauge!(
        "millstream_pipeline_checkpoint_bytes",
        "Live state segments on disk"
    );
    describe_gauge!(
        "millstream_pipeline_watermark_lag_seconds",
        "Wall clock less watermark"
    );
}

fn describe_lake() {
    describe_gauge!("millstream_lake_files", "Data files of the table");
    describe_gauge!(
        "millstream_lake_small_files",
        "Data files smaller than three quarters of the target size"
    );
    describe_gauge!("millstream_lake_delete_files", "Files of deletes");
    describe_gauge!("millstream_lake_bytes", "Bytes of data files");
    describe_gauge!("millstream_lake_rows", "Rows in data files");
    describe_gauge!("millstream_lake_snapshots", "Snapshots that can be read");
    describe_gauge!(
        "millstream_lake_manifests",
        "Manifests of the current snapshot"
    );
    describe_gauge!("millstream_lake_manifest_bytes", "Their bytes");
    describe_gauge!(
        "millstream_lake_pending_bytes",
        "Bytes that wait for a commit"
    );
    describe_gauge!(
        "millstream_lake_commit_failing",
        "1 if the last commit failed"
    );
    describe_gauge!(
        "millstream_lake_lag_seconds",
        "Since the last commit to the table"
    );
}

fn describe_tables() {
    describe_counter!("millstream_source_rows_read_total", "Records read");
    describe_counter!(
        "millstream_source_rows_on_time_total",
        "Rows that no query dropped"
    );
    describe_counter!(
        "millstream_source_rows_late_total",
        "Rows that a query dropped as late"
    );
    describe_counter!(
        "millstream_source_rows_undecodable_total",
        "Records not of the format"
    );
    describe_counter!("millstream_source_bytes_read_total", "Bytes read");
    describe_gauge!(
        "millstream_source_backlog",
        "What waits, in the unit of the offset"
    );
    describe_counter!("millstream_sink_rows_total", "Rows committed");
    describe_counter!("millstream_sink_bytes_total", "Bytes committed, as staged");
}
