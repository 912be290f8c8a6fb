//! `millstream demo`: the main job on made-up web clicks, live.
//!
//! ```text
//! generator -> HTTP collector -> topic web.clicks -> pipeline -> page_minute_agg, anomalies -> page
//!                                                            -> late_clicks, dead_clicks
//!                                                            -> clicks_raw, in the lake
//! ```
//!
//! It begins with the clicks of the last minutes, so that there is something to see and to compare
//! with, and each third minute has a surge on one page, which is an anomaly to be found.
//!
//! The generator is a client like any other: it posts through the loopback interface and counts
//! only what was acknowledged. At the end (Ctrl-C, or `--duration`) it stops first, then the pipeline
//! reads what is left and stops, and the demo checks that nothing was lost or counted twice:
//! acknowledged = end of the topic = read = on time + late + undecodable.

mod check;
mod ending;
mod feed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use millstream_connectors::iceberg::maintenance::status::status;
use millstream_core::plan::Plan;
use millstream_engine::status::JobStatus;
use millstream_engine::{JobHandle, StartOptions};

use super::session::{Session, bind};
use super::{CommonArguments, Flags, Outcome, PipelineFile, configure, generate, say};
use crate::config::DEFAULT_LISTEN;
use crate::progress::{Progress, pipeline_line};
use crate::summary::Summary;
use crate::usage::Usage;
use check::acknowledged;
use ending::{Ending, Sent, Topic};
use feed::{Feed, FeedOptions, Past};

/// The pipeline, which is also a file for users to read.
const PIPELINE: &str = include_str!("../../../../pipelines/web_clicks.sql");
const PIPELINE_NAME: &str = "web_clicks.sql";
/// Where data lives unless told otherwise.
const DATA_DIR: &str = "millstream-demo";
/// The topic that the pipeline reads.
const TOPIC: &str = "web.clicks";
/// Most clicks that are sent for the time before the start: about 330 MB.
const HISTORY_CLICKS_MAX: u64 = 2_000_000;
/// A line comes this often where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Ctrl-C stops it; started again on the same data directory, it goes on where it was.

Examples:
  millstream demo
  millstream demo --rate 20000 --listen 127.0.0.1:9000
  millstream demo --duration 20s --data-dir /tmp/demo";

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArguments {
    /// Events per second
    #[arg(long, value_name = "N", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Begin with the clicks of so much time before, at most 2 million
    #[arg(long, value_name = "D", default_value = "15min", value_parser = generate::duration)]
    pub history: Duration,
    /// End by itself after this time: 20s, 5min
    #[arg(long, value_name = "D", value_parser = generate::duration)]
    pub duration: Option<Duration>,
    /// Serve HTTP here [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where topics, tables and checkpoints live [default: millstream-demo]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Runs the demo.
pub fn run(arguments: &DemoArguments, common: &CommonArguments) -> Outcome {
    let mut flags: Flags = vec![];
    flags.extend(arguments.listen.iter().map(|text| ("listen", text.clone())));
    let data_dir = arguments
        .data_dir
        .iter()
        .map(|path| ("data-dir", path.display().to_string()));
    flags.extend(data_dir);
    let config = configure(common, flags)?;
    let plan = plan()?;
    let delay_ms = plan.sources[0]
        .event_time
        .as_ref()
        .map_or(0, |time| time.delay_ms);
    let listener = bind(config.listen.unwrap_or(DEFAULT_LISTEN))?;
    let data_dir = config
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DATA_DIR));
    let mut session = Session::open(&data_dir, config)?;
    let url = session.serve(listener)?;
    let job = session.start(plan, StartOptions::default())?;
    let before = acknowledged(&session.instance.topics, TOPIC)?;
    introduce(&url, &data_dir, (arguments, before > 0));
    let reader = job.clone();
    let feed = Feed::start(
        &session.env,
        FeedOptions {
            url: format!("{url}/v1/events/{TOPIC}"),
            rate: arguments.rate,
            history: arguments.history(),
            past: Box::new(move || past(&reader.status(), before, delay_ms)),
        },
    );
    let ended = watch(&session, &job, feed, arguments.duration);
    let (status, ending) = ended.inspect_err(|_| job.stop())?;
    let summary = Summary::new(&status, session.env.monotonic(), Usage::of_process());
    say(&summary.to_string());
    say_lake(&session);
    let end = acknowledged(&session.instance.topics, TOPIC)?;
    session.close();
    check::report(&check::Counts {
        before,
        sent: ending.sent,
        end,
        summary: &summary,
        must_be_read: ending.must_be_read,
    })
}

impl DemoArguments {
    /// How far back the first clicks are dated.
    fn history(&self) -> Duration {
        let most = HISTORY_CLICKS_MAX / u64::from(self.rate);
        self.history.min(Duration::from_secs(most))
    }
}

/// What is in a topic that ends at `end`, once all of it is read: the watermark follows the newest
/// click by `delay_ms`.
fn past(status: &JobStatus, end: u64, delay_ms: i64) -> Past {
    let source = &status.sources.first();
    match source {
        _ if end == 0 => Past::Nothing,
        Some(source) if source.rows_read >= end => {
            let splits = source.splits.iter().map(|split| split.watermark_ms);
            let watermark = splits.chain([source.watermark_ms]).flatten().max();
            watermark.map_or(Past::Nothing, |ms| Past::Until(ms.saturating_add(delay_ms)))
        }
        _ => Past::Unread,
    }
}

/// Commits what waits for the lake and says what is there.
fn say_lake(session: &Session) {
    let lake = &session.instance.lake;
    if let Err(error) = lake.close() {
        say(&format!("lake: {error}; the rows wait for the next start"));
    }
    for table in lake.open_tables() {
        let found = table.commits.load(&table.ident);
        match found.and_then(|table| status(&table, session.env.now_ms())) {
            Ok(found) => say(&format!(
                "lake: {}: rows={} in files={}, bytes={}",
                found.table, found.rows, found.files, found.bytes
            )),
            Err(error) => say(&format!("lake: {}: {error}", table.ident)),
        }
    }
}

/// The plan of the demo's pipeline.
fn plan() -> Outcome<Plan> {
    let file = PipelineFile {
        file: PIPELINE_NAME.to_owned(),
        text: PIPELINE.to_owned(),
        variables: Default::default(),
        settings: Default::default(),
    };
    file.plan()
}

/// Until the end of the time given, or of the user's patience. The job's last status, and what the
/// generator had sent.
fn watch(
    session: &Session,
    job: &JobHandle,
    feed: Feed,
    length: Option<Duration>,
) -> Outcome<(JobStatus, Sent)> {
    let env = &session.env;
    let mut progress = Progress::new(env.clone(), Some(LINE_EVERY));
    let jobs = session.instance.jobs.clone();
    let mut ending = Ending::new(feed, length.map(|length| env.monotonic() + length));
    let ended = session.watch_asked(job, |is_asked| {
        let accepted = ending.accepted();
        progress.refresh(|| {
            let line = jobs.all().first().map(pipeline_line).unwrap_or_default();
            format!("{line}  acknowledged {accepted}")
        });
        ending.look(is_asked, &|| env.monotonic(), &Progressing { session, job })
    });
    progress.finish();
    let sent = ending.close();
    Ok((ended?, sent))
}

/// The demo's topic and who reads it.
struct Progressing<'a> {
    session: &'a Session,
    job: &'a JobHandle,
}

impl Topic for Progressing<'_> {
    fn end(&self) -> u64 {
        // It was made when the pipeline started.
        acknowledged(&self.session.instance.topics, TOPIC).unwrap_or(u64::MAX)
    }

    fn read(&self) -> u64 {
        let status = self.job.status();
        status.sources.iter().map(|source| source.rows_read).sum()
    }
}

fn introduce(url: &str, data_dir: &Path, (arguments, goes_on): (&DemoArguments, bool)) {
    let begin = match (goes_on, arguments.history().as_secs()) {
        (true, _) => "it goes on where it was".to_owned(),
        (false, 0) => "it begins now".to_owned(),
        (false, seconds) => format!("it begins with those of the last {seconds} s"),
    };
    let end = match arguments.duration {
        Some(length) => format!("it ends by itself after {} s", length.as_secs()),
        None => "Ctrl-C stops it".to_owned(),
    };
    say(&format!(
        "millstream demo: {rate} clicks/s, 1 % late, 0.2 % undecodable; {begin}; {end}\n\
         \n\
         \x20 page      {url}\n\
         \x20 tables    millstream sql \"SELECT * FROM page_minute_agg ORDER BY window_start DESC, \
         views DESC LIMIT 10\" --data-dir {dir}\n\
         \x20 anomalies millstream sql \"SELECT * FROM anomalies ORDER BY window_start DESC, z DESC LIMIT 10\" --data-dir {dir}\n\
         \x20 rejected  millstream sql \"SELECT error, DECODE(raw, 'UTF-8') AS raw FROM dead_clicks LIMIT 5\" --data-dir {dir}\n\
         \x20 metrics   {url}/metrics\n\
         \x20 data      {dir} (started again, it goes on where it was)\n\
         \n\
         A minute's counts appear ten seconds after it ended, when its late clicks are in. Every third\n\
         minute one page has a surge: an anomaly.",
        rate = arguments.rate,
        dir = data_dir.display(),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_is_known_once_it_is_read() {
        let mut status = crate::jobs::tests::status("clicks", 100, Some(70_000));
        assert_eq!(past(&status, 0, 10_000), Past::Nothing);
        assert_eq!(past(&status, 101, 10_000), Past::Unread);
        assert_eq!(past(&status, 100, 10_000), Past::Until(80_000));
        status.sources.clear();
        assert_eq!(past(&status, 100, 10_000), Past::Unread);
    }

    #[test]
    fn the_pipeline_of_the_binary_plans_and_reads_the_topic() {
        let plan = plan().unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(plan.options.name, "web_clicks");
        assert_eq!(plan.sources.len(), 1);
        assert_eq!(plan.sources[0].connector.get("topic"), Some(TOPIC));
    }
}
