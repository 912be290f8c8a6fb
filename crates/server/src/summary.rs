//! What a run came to: one JSON object for machines, a few lines for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream_engine::status::{JobState, JobStatus};
use serde::Serialize;

use crate::usage::Usage;

/// What a run came to. Row counts are those of the pipeline since its first epoch ever.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The pipeline's name.
    pub pipeline: String,
    /// How it ended: `finished`, `stopped`, `failed`.
    pub state: JobState,
    /// Records read.
    pub rows_read: u64,
    /// Rows that no query dropped as late.
    pub rows_on_time: u64,
    /// Rows that at least one query dropped as late.
    pub rows_late: u64,
    /// Records that could not be decoded.
    pub rows_undecodable: u64,
    /// Rows out, by table.
    pub sinks: BTreeMap<String, u64>,
    /// Committed epochs.
    pub epochs: u64,
    /// How often the job was started again after a failure.
    pub restarts: u64,
    /// How long shards stood still at barriers.
    #[serde(flatten)]
    pub pauses: Pauses,
    /// How long this run took.
    pub seconds: f64,
    /// CPU time of this process.
    pub cpu_seconds: f64,
    /// The most memory that this process held.
    pub peak_rss_bytes: u64,
}

/// How long shards stood still at barriers, in ms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pauses {
    /// Half of them were not longer.
    pub barrier_ms_p50: f64,
    /// 99 of 100 were not longer.
    pub barrier_ms_p99: f64,
    /// The longest.
    pub barrier_ms_max: f64,
}

impl Summary {
    /// Of a job that has ended, after `elapsed`.
    pub fn new(status: &JobStatus, elapsed: Duration, usage: Usage) -> Self {
        let sum = |count: fn(&millstream_engine::status::SourceStatus) -> u64| {
            status.sources.iter().map(count).sum()
        };
        let mut sinks = BTreeMap::new();
        for sink in &status.sinks {
            *sinks.entry(sink.table.clone()).or_default() += sink.rows;
        }
        Self {
            pipeline: status.pipeline.clone(),
            state: status.state,
            rows_read: sum(|source| source.rows_read),
            rows_on_time: sum(|source| source.rows_on_time),
            rows_late: sum(|source| source.rows_late),
            rows_undecodable: sum(|source| source.rows_undecodable),
            sinks,
            epochs: status.epoch,
            restarts: status.restarts,
            pauses: Pauses {
                barrier_ms_p50: status.pauses.p50_ms,
                barrier_ms_p99: status.pauses.p99_ms,
                barrier_ms_max: status.pauses.max_ms,
            },
            seconds: elapsed.as_secs_f64(),
            cpu_seconds: usage.cpu.as_secs_f64(),
            peak_rss_bytes: usage.peak_rss_bytes,
        }
    }

    /// Whether every row that was read is on time, late or undecodable, and only one of these.
    pub fn adds_up(&self) -> bool {
        self.rows_read == self.rows_on_time + self.rows_late + self.rows_undecodable
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = format!("{:?}", self.state).to_lowercase();
        writeln!(
            f,
            "{} {state} after {:.1} s: {} rows read = {} on time + {} late + {} undecodable",
            self.pipeline,
            self.seconds,
            self.rows_read,
            self.rows_on_time,
            self.rows_late,
            self.rows_undecodable
        )?;
        for (table, rows) in &self.sinks {
            writeln!(f, "  {table}: {rows} rows")?;
        }
        write!(
            f,
            "  {} epochs, {:.2} CPU seconds, {} MiB at most",
            self.epochs,
            self.cpu_seconds,
            self.peak_rss_bytes >> 20
        )
    }
}

#[cfg(test)]
mod tests {
    use millstream_engine::status::SinkStatus;

    use super::*;
    use crate::jobs::tests::status;

    fn summary() -> Summary {
        let mut status = status("clicks", 100, None);
        status.state = JobState::Finished;
        status.sources[0].rows_on_time = 90;
        status.sources[0].rows_late = 8;
        status.sources[0].rows_undecodable = 2;
        let sink = |table: &str, rows| SinkStatus {
            table: table.to_owned(),
            role: "results".to_owned(),
            rows,
            bytes: 1,
        };
        status.sinks = vec![sink("a", 1), sink("b", 2), sink("a", 3)];
        let usage = Usage {
            cpu: Duration::from_millis(1250),
            peak_rss_bytes: 64 << 20,
        };
        Summary::new(&status, Duration::from_millis(2500), usage)
    }

    #[test]
    fn as_json_it_is_one_flat_object() {
        let text = serde_json::to_string(&summary()).expect("plain numbers");
        let expected = concat!(
            r#"{"pipeline":"clicks","state":"finished","rows_read":100,"rows_on_time":90,"#,
            r#""rows_late":8,"rows_undecodable":2,"sinks":{"a":4,"b":2},"epochs":7,"restarts":3,"#,
            r#""barrier_ms_p50":0.0,"barrier_ms_p99":0.0,"barrier_ms_max":0.0,"seconds":2.5,"#,
            r#""cpu_seconds":1.25,"peak_rss_bytes":67108864}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn as_text_it_says_the_same() {
        let expected = "\
clicks finished after 2.5 s: 100 rows read = 90 on time + 8 late + 2 undecodable
  a: 4 rows
  b: 2 rows
  7 epochs, 1.25 CPU seconds, 64 MiB at most";
        assert_eq!(summary().to_string(), expected);
    }

    #[test]
    fn a_row_that_is_nowhere_is_noticed() {
        let mut summary = summary();
        assert!(summary.adds_up());
        summary.rows_late -= 1;
        assert!(!summary.adds_up());
    }
}
