//! `millstream check`: parses, binds and plans a pipeline file, and starts nothing.

use clap::Args;

use super::{CommonArguments, Outcome, PipelineArguments, PipelineFile, configure, print};

const EXAMPLES: &str = "\
Exit code: 0 the file is right; 2 it is not, and stderr says FILE:LINE:COL: message.

Examples:
  millstream check pipelines/web_clicks.sql
  millstream check job.sql --var INPUT=./in --var OUTPUT=./out";

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArguments {
    /// What to check.
    #[command(flatten)]
    pub pipeline: PipelineArguments,
}

/// Checks the file.
pub fn run(arguments: &CheckArguments, common: &CommonArguments) -> Outcome {
    // Nothing of it is needed, but what `run` would refuse is refused here.
    configure(common, vec![])?;
    let file = PipelineFile::read(&arguments.pipeline)?;
    let plan = file.plan()?;
    let line = format!(
        "{}: ok, pipeline `{}` reads {} and writes {}",
        file.file,
        plan.options.name,
        names(plan.sources.iter().map(|source| source.table.as_str())),
        names(plan.sinks.iter().map(|sink| sink.table.as_str())),
    );
    print(&line)
}

fn names<'a>(tables: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = tables.map(|table| format!("`{table}`")).collect();
    quoted.join(", ")
}
