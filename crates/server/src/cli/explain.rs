//! `millstream explain`: the plan of a pipeline file as text.

use clap::Args;

use super::{CommonArguments, Outcome, PipelineArguments, PipelineFile, configure, print};

const EXAMPLES: &str = "\
Examples:
  millstream explain pipelines/web_clicks.sql";

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArguments {
    /// What to explain.
    #[command(flatten)]
    pub pipeline: PipelineArguments,
}

/// Prints the plan.
pub fn run(arguments: &ExplainArguments, common: &CommonArguments) -> Outcome {
    // Nothing of it is needed, but what `run` would refuse is refused here.
    configure(common, vec![])?;
    print(&PipelineFile::read(&arguments.pipeline)?.explain()?)
}
