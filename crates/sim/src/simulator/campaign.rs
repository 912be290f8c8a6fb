//! Many seeds on a few threads, and what all of them came to.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::config::Config;
use super::fault::{FaultCounts, FaultKind};
use super::history::{Outcome, run};
use super::shrink::smallest;

/// Failures after which no more are looked for.
const FAILURES_MAX: usize = 3;
/// Lines of a trace that are told of a failure, the last.
const TRACE_LINES: usize = 40;

/// What the seeds came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Faults by kind.
    pub faults: FaultCounts,
    /// Histories that ended with damage that was found and named.
    pub said_damage: u64,
    /// Processes.
    pub processes: u64,
    /// Processes that were started beside one that was alive.
    pub takeovers: u64,
    /// Starts of a job after an error.
    pub restarts: u64,
    /// Epochs.
    pub epochs: u64,
    /// Calls to the outside.
    pub calls: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Reports of the seeds that failed, in their order.
    pub failures: Vec<(u64, String)>,
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.faults.add_all(&outcome.faults);
        self.said_damage += u64::from(outcome.has_said_damage);
        self.processes += outcome.processes;
        self.takeovers += outcome.takeovers;
        self.restarts += outcome.restarts;
        self.epochs += outcome.epochs;
        self.calls += outcome.calls;
        self.rows += outcome.rows;
    }

    /// As text: a line for each figure.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let figures = [
            ("seeds", self.seeds),
            ("failed", self.failures.len() as u64),
            ("calls", self.calls),
            ("processes", self.processes),
            ("takeovers", self.takeovers),
            ("restarts of a job", self.restarts),
            ("epochs", self.epochs),
            ("rows compared", self.rows),
            ("damage found and named", self.said_damage),
            ("faults", self.faults.total()),
        ];
        let faults = FaultKind::ALL.map(|kind| (kind.name(), self.faults.of(kind)));
        for (index, (name, figure)) in figures.into_iter().chain(faults).enumerate() {
            let indent = if index < figures.len() { "" } else { "  " };
            let name = format!("{indent}{name}");
            writeln!(text, "{name:24}{figure:>12}").expect("text can always grow");
        }
        text
    }
}

/// Runs `seeds` on `jobs` threads. `on_seed` hears of each that is done: how many are.
pub fn run_seeds(seeds: Range<u64>, jobs: usize, on_seed: &(dyn Fn(u64) + Sync)) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if !seeds.contains(&seed) {
                return;
            }
            let config = Config::random(seed);
            let outcome = run(&config, false);
            let failure = outcome.violation.is_some().then(|| report(seed, &config));
            let mut summary = summary.lock().expect("no panic while locked");
            summary.add(&outcome);
            summary.failures.extend(failure.map(|text| (seed, text)));
            let (done, failed) = (summary.seeds, summary.failures.len());
            drop(summary);
            on_seed(done);
            if failed >= FAILURES_MAX {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().expect("no panic while locked");
    summary.failures.sort();
    summary
}

/// What a seed that fails comes to, made as small as can be.
fn report(seed: u64, config: &Config) -> String {
    let (config, outcome) = smallest(config);
    let what = outcome.violation.unwrap_or_default();
    let lines: Vec<&str> = outcome.trace.text().lines().collect();
    let first = lines.len().saturating_sub(TRACE_LINES);
    let last = lines[first..].join("\n");
    let text = config.pipeline.text();
    format!(
        "seed {seed} fails: {what}\n\nthe smallest configuration that still fails:\n{config}\n{text}the end \
         of its trace:\n{last}\n\nto repeat: millstream sim --from {seed} --seeds 1; with `--trace` for all \
         of the seed's trace\n"
    )
}
