//! The pipelines that run in this process, as the outside may see them: status, rate, lag, plan.
//!
//! Counters move when an epoch is committed. So [`Jobs::sample`], called about once a second, notes
//! them with the time of that commit, and the rate is exact however the two meet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use millstream_core::Watermark;
use millstream_core::env::Env;
use millstream_core::plan::Plan;
use millstream_engine::status::JobStatus;
use serde::Serialize;
use utoipa::ToSchema;

/// Over how long the rate is taken, in ms.
const RATE_WINDOW_MS: i64 = 5_000;
/// A pipeline that has committed nothing for so long reads nothing, in ms.
const STILL_AFTER_MS: i64 = 3_000;

/// Asks a job how it is doing.
pub type StatusFn = Box<dyn Fn() -> JobStatus + Send + Sync>;

/// The pipelines of this process.
pub struct Jobs {
    env: Arc<dyn Env>,
    entries: Mutex<Vec<Entry>>,
    /// Whether one is about to be started.
    is_awaited: AtomicBool,
}

struct Entry {
    name: String,
    plan_text: String,
    status: StatusFn,
    /// When (ms since the Unix epoch), and how many rows had been read in all.
    samples: VecDeque<(i64, u64)>,
}

/// A pipeline as seen from outside.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PipelineView {
    /// What the engine says.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub status: JobStatus,
    /// Rows read per second, over the last seconds.
    pub rate_rows_per_second: f64,
    /// How far the least watermark is behind the wall clock, in ms; `null` where there is none.
    pub lag_ms: Option<i64>,
}

impl PipelineView {
    /// The least watermark of its sources, ms since the Unix epoch.
    pub fn watermark_ms(&self) -> Option<i64> {
        let marks = self
            .status
            .sources
            .iter()
            .filter_map(|source| source.watermark_ms);
        marks.min()
    }

    /// Rows read by all its sources.
    pub fn rows_read(&self) -> u64 {
        rows_read(&self.status)
    }
}

fn rows_read(status: &JobStatus) -> u64 {
    status.sources.iter().map(|source| source.rows_read).sum()
}

impl Jobs {
    /// From now on a process without a pipeline is one whose pipeline has not started yet.
    pub fn await_first(&self) {
        self.is_awaited.store(true, Ordering::Release);
    }

    /// Whether a pipeline is to be started and none is there.
    pub fn is_awaiting(&self) -> bool {
        self.is_awaited.load(Ordering::Acquire) && self.all().is_empty()
    }

    /// None yet.
    pub fn new(env: Arc<dyn Env>) -> Self {
        Self {
            env,
            entries: Mutex::default(),
            is_awaited: AtomicBool::new(false),
        }
    }

    /// Adds the pipeline of `plan`; `status` asks it how it is doing.
    pub fn add(&self, plan: &Plan, status: StatusFn) {
        let entry = Entry {
            name: plan.options.name.clone(),
            plan_text: plan.to_string(),
            status,
            samples: VecDeque::new(),
        };
        self.entries().push(entry);
    }

    /// Forgets the pipeline called `name`.
    pub fn remove(&self, name: &str) {
        self.entries().retain(|entry| entry.name != name);
    }

    /// Takes note of how far each has come.
    pub fn sample(&self) {
        let now_ms = self.env.now_ms();
        for entry in self.entries().iter_mut() {
            entry.sample(now_ms);
        }
    }

    /// All of them, in the order in which they were started.
    pub fn all(&self) -> Vec<PipelineView> {
        let now_ms = self.env.now_ms();
        let entries = self.entries();
        entries.iter().map(|entry| entry.view(now_ms)).collect()
    }

    /// The one called `name`.
    pub fn get(&self, name: &str) -> Option<PipelineView> {
        let now_ms = self.env.now_ms();
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.name == name);
        entry.map(|entry| entry.view(now_ms))
    }

    /// The plan of the one called `name`, as EXPLAIN prints it.
    pub fn plan_text(&self, name: &str) -> Option<String> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.name == name);
        entry.map(|entry| entry.plan_text.clone())
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries
            .lock()
            .expect("nothing panics while it is held")
    }
}

impl Entry {
    fn sample(&mut self, now_ms: i64) {
        let status = (self.status)();
        let rows = rows_read(&status);
        let last_ms = self.samples.back().map_or(i64::MIN, |last| last.0);
        let committed_ms = status.committed_at_ms.unwrap_or(now_ms);
        let at_ms = match committed_ms > last_ms {
            true => committed_ms,
            false if now_ms - last_ms < STILL_AFTER_MS => return,
            false => now_ms,
        };
        self.samples.push_back((at_ms, rows));
        while self.samples.len() > 2 && at_ms - self.samples[1].0 >= RATE_WINDOW_MS {
            self.samples.pop_front();
        }
    }

    fn view(&self, now_ms: i64) -> PipelineView {
        let status = (self.status)();
        let rate_rows_per_second = match (self.samples.front(), self.samples.back()) {
            (Some((from, before)), Some((to, after))) if to > from => {
                let rows = u32::try_from(after.saturating_sub(*before)).unwrap_or(u32::MAX);
                let ms = u32::try_from(to - from).unwrap_or(u32::MAX);
                f64::from(rows) * 1e3 / f64::from(ms)
            }
            _ => 0.0,
        };
        let mut view = PipelineView {
            status,
            rate_rows_per_second,
            lag_ms: None,
        };
        let is_finite =
            |ms: &i64| Watermark(*ms) > Watermark::MIN && Watermark(*ms) < Watermark::MAX;
        view.lag_ms = view.watermark_ms().filter(is_finite).map(|ms| now_ms - ms);
        view
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use millstream_core::env::Task;
    use millstream_core::plan::PipelineOptions;
    use millstream_engine::status::{JobState, SourceStatus};

    use super::*;

    /// A clock that stands still until it is told.
    #[derive(Default)]
    struct Clock(AtomicI64);

    impl Env for Clock {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.now_ms().unsigned_abs())
        }
        fn random(&self) -> u64 {
            4
        }
        fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
            unreachable!("nothing is spawned here")
        }
    }

    /// An empty plan of this name.
    pub fn plan(name: &str) -> Plan {
        Plan {
            sources: vec![],
            tables: vec![],
            nodes: vec![],
            sinks: vec![],
            options: PipelineOptions {
                name: name.to_owned(),
                epoch_interval_ms: 1000,
                parallelism: None,
                batch_rows: 8192,
                restart: Default::default(),
                settings: Default::default(),
            },
        }
    }

    /// A running job that has read `rows` rows up to a watermark.
    pub fn status(name: &str, rows: u64, watermark_ms: Option<i64>) -> JobStatus {
        JobStatus {
            pipeline: name.to_owned(),
            state: JobState::Running,
            reason: None,
            restarts: 3,
            incarnation: 0,
            epoch: 7,
            parallelism: 2,
            barrier_ms: 1.5,
            epoch_ms: 20.0,
            pauses: Default::default(),
            committed_at_ms: Some(1000),
            state_bytes: 10,
            checkpoint_bytes: 20,
            sources: vec![SourceStatus {
                table: "clicks".to_owned(),
                rows_read: rows,
                rows_on_time: rows,
                rows_late: 0,
                rows_undecodable: 0,
                bytes_read: rows * 100,
                watermark_ms,
                splits: vec![],
            }],
            operators: vec![],
            sinks: vec![],
        }
    }

    #[test]
    fn a_pipeline_that_could_not_start_is_not_there() {
        let jobs = Jobs::new(Arc::new(Clock::default()));
        for name in ["a", "b"] {
            jobs.add(&plan(name), Box::new(move || status(name, 0, None)));
        }
        jobs.remove("a");
        assert!(jobs.get("a").is_none());
        assert_eq!(jobs.all()[0].status.pipeline, "b");
    }

    #[test]
    fn the_rate_is_taken_between_commits_and_the_lag_from_the_wall_clock() {
        let clock = Arc::new(Clock::default());
        let committed = Arc::new(AtomicI64::new(0));
        let jobs = Jobs::new(clock.clone());
        let at = committed.clone();
        let ask = move || {
            // 300 rows a second, after a minute of 100.
            let ms = at.load(Ordering::SeqCst);
            let rows = ms.min(60_000) / 10 + (ms - 60_000).max(0) * 3 / 10;
            let mut status = status("p", rows.unsigned_abs(), Some(60_000));
            status.committed_at_ms = Some(ms);
            status
        };
        jobs.add(&plan("p"), Box::new(ask));
        assert!(
            jobs.get("p")
                .expect("it was added")
                .rate_rows_per_second
                .abs()
                < 1e-9
        );
        for second in 0..70 {
            // Commits and samples drift against each other.
            committed.store(second * 1000 - second * 7, Ordering::SeqCst);
            clock.0.store(second * 1000, Ordering::SeqCst);
            jobs.sample();
        }
        let view = jobs.get("p").expect("it was added");
        let rate = view.rate_rows_per_second;
        assert!((rate - 300.0).abs() < 1.0, "{rate}");
        assert_eq!(view.lag_ms, Some(9_000));
        // Nothing is committed any more: the rate goes down to nothing.
        for second in 70..90 {
            clock.0.store(second * 1000, Ordering::SeqCst);
            jobs.sample();
        }
        let rate = jobs.get("p").expect("it was added").rate_rows_per_second;
        assert!(rate.abs() < 1e-9, "{rate}");
        assert!(jobs.get("q").is_none());
    }

    #[test]
    fn a_watermark_at_infinity_has_no_lag() {
        for watermark in [None, Some(i64::MAX), Some(i64::MIN)] {
            let jobs = Jobs::new(Arc::new(Clock::default()));
            jobs.add(&plan("p"), Box::new(move || status("p", 1, watermark)));
            assert_eq!(jobs.all()[0].lag_ms, None, "{watermark:?}");
        }
    }
}
