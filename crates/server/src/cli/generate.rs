//! `millstream generate`: makes up events, into a file, a topic or a collector.
//!
//! ```text
//! generator -> batch of lines -> target        as fast as it goes, or at --rate
//! ```
//!
//! Without `--rate` event times begin at a fixed moment, so the same options give the same bytes.
//! With it they begin now and follow the clock. `--start` says otherwise.

pub mod batch;
pub mod pace;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use clap::{Args, Subcommand};
use millstream_connectors::generator::Summary;
use millstream_connectors::generator::clicks::{ClickGenerator, ClickOptions};
use millstream_core::env::Env;

use super::signals::Signals;
use super::{CommonArguments, Failure, Flags, Outcome, configure, say};
use crate::env::RealEnv;
use crate::instance::runtime;
use crate::progress::{Progress, grouped};
use batch::Batch;
use pace::Pace;
use target::{Sent, Target, TargetName};

const EXAMPLES: &str = "\
Targets:
  FILE              JSON lines, replacing what was there; `-` is stdout
  topic:NAME        a topic of the data directory, which nobody may run on
  http://HOST:PORT  the collector of a running server; the path is /v1/events/web.clicks unless given

Examples:
  millstream generate clicks --count 1000000 --seed 42 --to clicks.jsonl
  millstream generate clicks --rate 5000 --duration 1min --to http://127.0.0.1:8080
  millstream generate clicks --count 100000 --late-fraction 0.01 --to topic:web.clicks";

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// Which events.
    #[command(subcommand)]
    pub domain: Domain,
}

/// Which events.
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Clicks on the pages of a shop: event_id, user_id, ts, page, referrer, country, device
    #[command(after_help = EXAMPLES)]
    Clicks(ClicksArguments),
}

/// How many events, how fast, how clean, and where to.
#[derive(Debug, Args)]
pub struct ClicksArguments {
    /// Events per second; as fast as it goes unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// How long: 30s, 5min
    #[arg(long, value_name = "D", value_parser = duration)]
    pub duration: Option<Duration>,
    /// The same seed gives the same events
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Share of events that come minutes late, 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = fraction)]
    pub late_fraction: f64,
    /// Share of records that cannot be decoded, 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = fraction)]
    pub bad_fraction: f64,
    /// How many users they are spread over
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub users: Option<u64>,
    /// One minute of so many has a surge, 1 % of its clicks on one page from one country: 3min
    #[arg(long, value_name = "D", value_parser = whole_minutes)]
    pub surge_every: Option<u64>,
    /// How far events are out of order: 3s
    #[arg(long, value_name = "D", value_parser = duration)]
    pub out_of_order: Option<Duration>,
    /// Event time of the first event: now, or 2025-06-15 15:00:00 (UTC) [default: now with --rate]
    #[arg(long, value_name = "TIME", value_parser = start)]
    pub start: Option<Start>,
    /// Most events sent at once
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// FILE, - (stdout), topic:NAME or http://HOST:PORT
    #[arg(long, value_name = "TARGET")]
    pub to: TargetName,
    /// The data directory, for topic:NAME [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// A duration as users write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let ms = millstream_core::quantity::duration_ms(text);
    ms.map(Duration::from_millis)
        .map_err(|error| error.to_string())
}

/// A duration of at least a minute, in minutes.
fn whole_minutes(text: &str) -> Result<u64, String> {
    let ms = millstream_core::quantity::duration_ms(text).map_err(|error| error.to_string())?;
    match (ms / 60_000, ms % 60_000) {
        (minutes @ 1.., 0) => Ok(minutes),
        _ => Err("expected whole minutes, such as 3min".to_owned()),
    }
}

/// Where event times begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// When the command starts.
    Now,
    /// At this moment, in ms since the Unix epoch.
    At(i64),
}

fn start(text: &str) -> Result<Start, String> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(Start::Now);
    }
    let sql = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|t| t.and_utc());
    let iso = || DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    match sql.or_else(|_| iso()) {
        Ok(time) => Ok(Start::At(time.timestamp_millis())),
        Err(_) => Err("expected now or a time such as 2025-06-15 15:00:00".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// Generates.
pub fn run(arguments: &GenerateArguments, common: &CommonArguments) -> Outcome {
    let Domain::Clicks(arguments) = &arguments.domain;
    let is_endless = arguments.count.is_none() && arguments.duration.is_none();
    if is_endless && matches!(arguments.to, TargetName::File(_) | TargetName::Topic(_)) {
        let message = "without an end the disk would fill up; expected --count or --duration";
        return Err(Failure::usage(message).hint("for example --count 1000000"));
    }
    let mut flags: Flags = vec![];
    let data_dir = arguments
        .data_dir
        .iter()
        .map(|path| ("data-dir", path.display().to_string()));
    flags.extend(data_dir);
    let config = configure(common, flags)?;
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let runtime = runtime()?;
    let signals = Signals::listen(runtime.handle())?;
    let data_dir = config
        .data_dir
        .unwrap_or_else(|| PathBuf::from("millstream-data"));
    // The target last: opening it empties a file, and nothing may be wrong after that.
    let generator = ClickGenerator::new(options(arguments, env.now_ms()))?;
    let target = arguments.to.open(&data_dir, &env)?;
    let mut run = Run {
        batch: Batch::default(),
        pace: Pace::new(arguments.rate, env.monotonic()),
        progress: Progress::new(env.clone(), None),
        total: Summary::default(),
        bytes: 0,
        has_waited: false,
        env,
        signals,
        generator,
        target,
    };
    let ended = run.send_all(arguments);
    run.progress.finish();
    ended?;
    run.target.finish()?;
    run.report();
    Ok(())
}

fn options(arguments: &ClicksArguments, now_ms: i64) -> ClickOptions {
    let mut options = ClickOptions {
        seed: arguments.seed,
        late_fraction: arguments.late_fraction,
        bad_fraction: arguments.bad_fraction,
        ..ClickOptions::default()
    };
    if let Some(out_of_order) = arguments.out_of_order {
        options.out_of_order_ms = u64::try_from(out_of_order.as_millis()).unwrap_or(u64::MAX);
    }
    if let Some(users) = arguments.users {
        options.users = users;
    }
    options.surge_every_minutes = arguments.surge_every.unwrap_or(0);
    if let Some(rate) = arguments.rate {
        options.start_ms = now_ms;
        options.events_per_second = rate.into();
    }
    match arguments.start {
        Some(Start::Now) => options.start_ms = now_ms,
        Some(Start::At(ms)) => options.start_ms = ms,
        None => {}
    }
    options
}

struct Run {
    env: Arc<dyn Env>,
    signals: Signals,
    generator: ClickGenerator,
    target: Target,
    batch: Batch,
    pace: Pace,
    progress: Progress,
    total: Summary,
    bytes: u64,
    /// Whether it was said that the target is busy.
    has_waited: bool,
}

impl Run {
    fn send_all(&mut self, arguments: &ClicksArguments) -> Outcome {
        let begin = self.env.monotonic();
        let most = u64::from(arguments.batch);
        loop {
            let now = self.env.monotonic();
            let left = arguments
                .count
                .map_or(u64::MAX, |count| count - self.total.total());
            if left == 0
                || arguments
                    .duration
                    .is_some_and(|length| now - begin >= length)
            {
                return Ok(());
            }
            let size = most.min(left);
            let due = self.pace.due(now, size);
            if self.signals.wait(self.pace.wait(now, size)) {
                return Ok(());
            }
            if due == 0 {
                continue;
            }
            self.batch.fill(&mut self.generator, due);
            if !self.send()? {
                return Ok(());
            }
            self.pace.sent(due);
            self.total.on_time += self.batch.summary.on_time;
            self.total.late += self.batch.summary.late;
            self.total.bad += self.batch.summary.bad;
            self.bytes += self.batch.lines.len() as u64;
            let total = self.total.total();
            self.progress.refresh(|| progress_line(total, now - begin));
        }
    }

    /// Whether the batch was taken; `false`: the user wants to stop before it was, or nobody reads
    /// what is written.
    fn send(&mut self) -> Outcome<bool> {
        loop {
            match self.target.send(&self.batch)? {
                Sent::Done => return Ok(true),
                Sent::NobodyReads => return Ok(false),
                Sent::Busy(patience, reason) => {
                    if !std::mem::replace(&mut self.has_waited, true) {
                        self.progress.finish();
                        say(&format!("not taken yet, trying again: {reason}"));
                    }
                    if self.signals.wait(patience) {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn report(&self) {
        let elapsed = self.pace.elapsed(self.env.monotonic());
        say(&format!(
            "{} events: {} on time, {} late, {} undecodable; {} bytes in {:.2} s",
            self.total.total(),
            self.total.on_time,
            self.total.late,
            self.total.bad,
            self.bytes,
            elapsed.as_secs_f64()
        ));
    }
}

fn progress_line(events: u64, elapsed: Duration) -> String {
    let millis = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let rate = events.saturating_mul(1000) / millis;
    format!("{} events  {} events/s", grouped(events), grouped(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surges_come_after_whole_minutes() {
        assert_eq!(whole_minutes("3min"), Ok(3));
        assert_eq!(whole_minutes("120s"), Ok(2));
        for wrong in ["0s", "90s", "30s", "soon"] {
            assert!(whole_minutes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_start_is_now_or_a_time() {
        assert_eq!(start("now"), Ok(Start::Now));
        assert_eq!(start("1970-01-01 00:00:01"), Ok(Start::At(1_000)));
        assert_eq!(start("1970-01-01T00:00:01.5Z"), Ok(Start::At(1_500)));
        assert!(start("yesterday").is_err());
    }
}
