//! `millstream plan`: what running a pipeline file would keep of a checkpoint, before anything stops.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use millstream_connectors::storage::DataDirectory;
use millstream_core::env::Env;
use millstream_core::storage::Storage;
use millstream_engine::StartOptions;
use millstream_engine::checkpoint::StartFrom;
use millstream_engine::checkpoint::savepoint::LATEST;
use millstream_engine::runtime::preview::{Preview, preview};
use serde::Serialize;

use super::{
    CommonArguments, Failure, Flags, Outcome, PipelineArguments, PipelineFile, configure, print,
    rewinding,
};
use crate::env::RealEnv;

/// How often a manifest may be removed while it is looked at.
const ATTEMPTS: usize = 10;

const EXAMPLES: &str = "\
Says for each table that is read, each operator that keeps state, and each table that is written:
  keep     it goes on with its state
  rebuild  its input is read again up to where the pipeline is, for its state alone
  new      it begins here, without what was read before
  drop     nothing needs it any more
  REFUSED  `run` would refuse, and why
The pipeline may be running. Exit code 2 if `run` would refuse.

Examples:
  millstream plan job.sql --against latest
  millstream plan job.sql --against before-upgrade --format json";

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArguments {
    /// What would be run.
    #[command(flatten)]
    pub pipeline: PipelineArguments,
    /// A savepoint, or `latest`: the newest checkpoint
    #[arg(long, value_name = "SAVEPOINT")]
    pub against: String,
    /// As `run` would be told
    #[arg(long = "drop-state", value_name = "TABLE")]
    pub drop_state: Vec<String>,
    /// Where the checkpoint is [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for each part.
    Text,
    /// An object.
    Json,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    pipeline: &'a str,
    epoch: Option<u64>,
    is_same_plan: bool,
    is_refused: bool,
    changes: &'a [millstream_engine::runtime::upgrade::Change],
}

/// Prints what would become of everything.
pub fn run(arguments: &PlanArguments, common: &CommonArguments) -> Outcome {
    let mut flags: Flags = vec![];
    let data_dir = arguments.data_dir.iter();
    flags.extend(data_dir.map(|path| ("data-dir", path.display().to_string())));
    let config = configure(common, flags)?;
    let data_dir = config.data_dir.clone();
    let data_dir = data_dir.unwrap_or_else(|| PathBuf::from("millstream-data"));
    let plan = PipelineFile::read(&arguments.pipeline)?.plan()?;
    let start = StartOptions {
        from: match arguments.against.as_str() {
            LATEST => StartFrom::Newest,
            name => StartFrom::Savepoint(name.to_owned()),
        },
        drop_state: arguments.drop_state.iter().cloned().collect(),
    };
    let storage: Arc<dyn Storage> = Arc::new(DataDirectory::look(&data_dir)?);
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let look = || preview(&plan, (&storage, &env), &start);
    // Whoever runs the pipeline may remove a manifest between a look at the folder and one at the file.
    let looked = (1..ATTEMPTS).find_map(|_| look().ok());
    let found = looked.map_or_else(look, Ok)?;
    let text = match arguments.format {
        Format::Text => text(&plan.options.name, &found),
        Format::Json => json(&plan.options.name, &found),
    };
    print(&text)?;
    refused(&found)
}

/// Fails if `run` would refuse.
pub fn refused(preview: &Preview) -> Outcome {
    let refusals = preview
        .upgrade
        .iter()
        .flat_map(|upgrade| upgrade.refusals());
    let names: Vec<&str> = refusals.map(|change| change.name.as_str()).collect();
    match names.is_empty() {
        true => Ok(()),
        false => {
            let message = format!("the changed pipeline cannot go on: {}", names.join(", "));
            let hint = "do as it says there; or give the pipeline a name of its own with SET \
                        'pipeline.name' = '…', under which it reads its input from the beginning";
            Err(Failure::usage(message).hint(hint))
        }
    }
}

fn text(pipeline: &str, preview: &Preview) -> String {
    let mut lines = vec![];
    lines.push(match preview.at {
        None => format!("`{pipeline}` has read nothing yet: everything is new"),
        Some(at) => format!("`{pipeline}` at {at}"),
    });
    match (&preview.upgrade, preview.at) {
        (Some(upgrade), _) => lines.push(upgrade.to_string()),
        (None, Some(_)) => lines.push("keep     everything: the plan is the same".to_owned()),
        (None, None) => {}
    }
    lines.extend(preview.rewind.iter().map(rewinding::notice));
    lines.join("\n")
}

fn json(pipeline: &str, preview: &Preview) -> String {
    let changes = preview.upgrade.as_ref().map(|upgrade| &*upgrade.changes);
    let answer = Answer {
        pipeline,
        epoch: preview.at.map(|at| at.epoch.0),
        is_same_plan: preview.at.is_some() && preview.upgrade.is_none(),
        is_refused: refused(preview).is_err(),
        changes: changes.unwrap_or_default(),
    };
    serde_json::to_string(&answer).expect("plain numbers and names")
}
