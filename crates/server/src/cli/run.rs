//! `millstream run`: runs a pipeline file until its input ends or the user stops it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use millstream_core::Epoch;
use millstream_core::plan::Plan;
use millstream_engine::status::{JobState, JobStatus};
use millstream_engine::{StartFrom, StartOptions};

use super::plan::refused;
use super::rewinding;
use super::session::{Next, Session, bind};
use super::{
    CommonArguments, Flags, Outcome, PipelineArguments, PipelineFile, configure, print, say,
};
use crate::config::{Config, DEFAULT_LISTEN};
use crate::progress::{Progress, pipeline_line};
use crate::summary::Summary;
use crate::usage::Usage;

/// Where data lives unless told otherwise.
const DATA_DIR: &str = "millstream-data";

const EXAMPLES: &str = "\
Bounded input (files) ends by itself. Input that does not end is served on 127.0.0.1:8080, or where
--listen says, until Ctrl-C; started again on the same data directory, the pipeline goes on where it
was.

Examples:
  millstream run pipelines/web_clicks.sql
  millstream run job.sql --var INPUT=./in --var OUTPUT=./out --summary json
  millstream run job.sql --set execution.checkpointing.interval=500ms --listen 127.0.0.1:9000";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArguments {
    /// What to run.
    #[command(flatten)]
    pub pipeline: PipelineArguments,
    /// Where topics, tables and checkpoints live [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Serve HTTP here [default: 127.0.0.1:8080 if the input does not end]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Go on from this epoch's manifest instead of the newest, which is damaged
    #[arg(long, value_name = "N")]
    pub from_epoch: Option<u64>,
    /// Go back to this savepoint
    #[arg(long, value_name = "NAME", conflicts_with = "from_epoch")]
    pub from_savepoint: Option<String>,
    /// Go back although tables get rows twice
    #[arg(long)]
    pub yes: bool,
    /// Where the file has changed: give up the state of this table, see `millstream plan`; may be given
    /// several times
    #[arg(long = "drop-state", value_name = "TABLE")]
    pub drop_state: Vec<String>,
    /// At the end, print what it came to
    #[arg(long, value_name = "FORMAT")]
    pub summary: Option<SummaryFormat>,
}

impl RunArguments {
    fn start(&self) -> StartOptions {
        let from = match (&self.from_savepoint, self.from_epoch) {
            (Some(name), _) => StartFrom::Savepoint(name.clone()),
            (None, Some(epoch)) => StartFrom::Epoch(Epoch(epoch)),
            (None, None) => StartFrom::Newest,
        };
        StartOptions {
            from,
            drop_state: self.drop_state.iter().cloned().collect(),
        }
    }
}

/// How the summary is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SummaryFormat {
    /// One JSON object on stdout.
    Json,
}

/// Runs the pipeline.
pub fn run(arguments: &RunArguments, common: &CommonArguments) -> Outcome {
    let mut flags: Flags = vec![];
    flags.extend(arguments.listen.iter().map(|text| ("listen", text.clone())));
    let data_dir = arguments
        .data_dir
        .iter()
        .map(|path| ("data-dir", path.display().to_string()));
    flags.extend(data_dir);
    let config = configure(common, flags)?;
    let plan = PipelineFile::read(&arguments.pipeline)?.plan()?;
    let (session, status) = run_plan(plan, arguments, &config)?;
    let summary = Summary::new(&status, session.env.monotonic(), Usage::of_process());
    session.close();
    report(&summary, arguments.summary)
}

fn run_plan(
    plan: Plan,
    arguments: &RunArguments,
    config: &Config,
) -> Outcome<(Session, JobStatus)> {
    let mut listener = config.listen.map(bind).transpose()?;
    let data_dir = config
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DATA_DIR));
    let mut session = Session::open(&data_dir, config.clone())?;
    if listener.is_none() && !session.instance.is_bounded(&plan)? {
        listener = Some(bind(DEFAULT_LISTEN)?);
    }
    let start = arguments.start();
    tell(&session, &plan, (arguments, &start))?;
    // Answers, that it is loading, while state is loaded.
    session.instance.jobs.await_first();
    let url = listener.map(|listener| session.serve(listener));
    let url = url.transpose()?;
    let job = session.start(plan, start)?;
    if let Some(url) = url {
        say(&format!("serving {url}"));
    }
    let mut progress = Progress::new(session.env.clone(), None);
    let jobs = session.instance.jobs.clone();
    let ended = session.watch(&job, || {
        progress.refresh(|| jobs.all().first().map(pipeline_line).unwrap_or_default());
        Next::GoOn
    });
    progress.finish();
    let status = ended?;
    if status.state == JobState::Finished && status.committed_at_ms.is_none() {
        say(&format!(
            "`{}` has read all its input already: nothing to do; its results are in `{}`",
            status.pipeline,
            data_dir.display()
        ));
    }
    Ok((session, status))
}

/// Says what the start will do that nobody may expect; refuses what must be asked for.
fn tell(
    session: &Session,
    plan: &Plan,
    (arguments, start): (&RunArguments, &StartOptions),
) -> Outcome {
    let preview = match session.instance.preview(plan, start) {
        Err(error) if arguments.from_savepoint.is_some() => return Err(error.into()),
        // The start says what is wrong, and what there is to do about it.
        Err(_) => return Ok(()),
        Ok(preview) => preview,
    };
    if let (Some(upgrade), Some(at)) = (&preview.upgrade, preview.at) {
        let name = &plan.options.name;
        say(&format!("`{name}` has changed since {at}:\n{upgrade}"));
        refused(&preview)?;
    }
    if let Some(rewind) = &preview.rewind {
        say(&rewinding::notice(rewind));
        // What goes back to after damage has been told before.
        if arguments.from_epoch.is_none() && !arguments.yes {
            rewinding::check(rewind)?;
        }
    }
    Ok(())
}

fn report(summary: &Summary, format: Option<SummaryFormat>) -> Outcome {
    match format {
        None => say(&summary.to_string()),
        Some(SummaryFormat::Json) => {
            let text = serde_json::to_string(summary).expect("plain numbers and names");
            print(&text)?;
        }
    }
    Ok(())
}
