//! The command line: what can be said, and which file does it. One file a command.
//!
//! Rules for all of them: results go to stdout, everything else to stderr; an error is one line
//! `error: …` and, where there is something to do about it, one line `hint: …`.

pub mod backup;
pub mod check;
pub mod demo;
pub mod explain;
mod failure;
pub mod generate;
pub mod lake;
mod pipeline_file;
pub mod plan;
mod rewinding;
pub mod run;
pub mod savepoint;
mod session;
mod signals;
pub mod sim;
pub mod sql;
pub mod verify;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use failure::{Failure, Outcome};
pub use pipeline_file::{PipelineArguments, PipelineFile};

use crate::config::{Config, LogFormat};
use crate::logs;

const EXAMPLES: &str = "\
Examples:
  millstream demo                                  the main job, live at http://127.0.0.1:8080
  millstream check pipeline.sql                    is the file right?
  millstream run pipeline.sql --var INPUT=./clicks
  millstream sql \"SELECT * FROM page_minute_agg ORDER BY window_start DESC LIMIT 10\"
  millstream generate clicks --count 1000 --to clicks.jsonl";

/// Real-time event analytics in one binary: Flink SQL pipelines, event time, exactly-once results.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// What every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CommonArguments {
    /// Configuration file [default: millstream.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How log lines on stderr look; MILLSTREAM_LOG says which (warn, info, debug)
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log: Option<LogFormat>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the main job on made-up web clicks and show it live
    Demo(demo::DemoArguments),
    /// Run a pipeline file
    Run(run::RunArguments),
    /// Parse, bind and plan a pipeline file without running it
    Check(check::CheckArguments),
    /// Show the plan of a pipeline file
    Explain(explain::ExplainArguments),
    /// Say what a changed pipeline file would keep of a checkpoint
    Plan(plan::PlanArguments),
    /// Ask a question of the tables
    Sql(sql::SqlArguments),
    /// Keep a checkpoint by name, to go back to or to upgrade from
    Savepoint(savepoint::SavepointArguments),
    /// See how lake tables do, compact and expire them
    Lake(lake::LakeArguments),
    /// Check on this machine that every event counts once, whatever fails: simulated histories
    Sim(sim::SimArguments),
    /// Make up events
    Generate(generate::GenerateArguments),
    /// Copy a data directory, also while it is in use
    Backup(backup::BackupArguments),
    /// Make a data directory of a backup
    Restore(backup::RestoreArguments),
    /// Check every file of a data directory that nobody runs on
    Verify(verify::VerifyArguments),
}

/// Does what `arguments` say.
pub fn run(arguments: Arguments) -> Outcome {
    let common = arguments.common;
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments, &common),
        Command::Run(arguments) => run::run(&arguments, &common),
        Command::Check(arguments) => check::run(&arguments, &common),
        Command::Explain(arguments) => explain::run(&arguments, &common),
        Command::Plan(arguments) => plan::run(&arguments, &common),
        Command::Sql(arguments) => sql::run(&arguments, &common),
        Command::Savepoint(arguments) => savepoint::run(&arguments, &common),
        Command::Lake(arguments) => lake::run(&arguments, &common),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments, &common),
        Command::Backup(arguments) => backup::run_backup(&arguments, &common),
        Command::Restore(arguments) => backup::run_restore(&arguments, &common),
        Command::Verify(arguments) => verify::run(&arguments, &common),
    }
}

/// Prints a result on stdout. A reader that has gone away, as `head` does, has seen enough.
fn print(text: &str) -> Outcome {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A line for people, on stderr.
fn say(text: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Flags that also stand in the configuration file, as its keys and values.
type Flags<'a> = Vec<(&'a str, String)>;

/// Resolves the configuration and starts logging.
fn configure(common: &CommonArguments, mut flags: Flags<'_>) -> Outcome<Config> {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    if let Some(format) = common.log {
        let name = match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        flags.push(("log.format", name.to_owned()));
    }
    let config = Config::load(common.config.as_deref(), &variables, &flags)?;
    logs::start(&config.log);
    Ok(config)
}

#[cfg(test)]
mod tests;
