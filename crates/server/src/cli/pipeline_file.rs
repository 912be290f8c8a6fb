//! A pipeline file as the command line names it: the file, its variables and its settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use millstream_connectors::CATALOG;
use millstream_core::Error;
use millstream_core::plan::Plan;
use millstream_sql::Script;

use super::{Failure, Outcome};

/// A pipeline file and what goes into it.
#[derive(Debug, Clone, Args)]
pub struct PipelineArguments {
    /// The pipeline: Flink SQL
    #[arg(value_name = "FILE.sql")]
    pub file: PathBuf,
    /// Value of ${NAME} in the file; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = assignment)]
    pub variables: Vec<(String, String)>,
    /// As if SET 'KEY' = 'VALUE' stood at the end of the file's SETs; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub settings: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// A pipeline file's text and what goes into it.
#[derive(Debug, Clone)]
pub struct PipelineFile {
    /// The name in messages; its stem is the pipeline's name, unless the file says another.
    pub file: String,
    /// The text.
    pub text: String,
    /// Values of `${NAME}`.
    pub variables: BTreeMap<String, String>,
    /// Settings that win over the file's.
    pub settings: BTreeMap<String, String>,
}

impl PipelineFile {
    /// Reads the file.
    pub fn read(arguments: &PipelineArguments) -> Outcome<Self> {
        let file = arguments.file.display().to_string();
        let text = std::fs::read_to_string(&arguments.file);
        let text = text.map_err(|error| Failure::usage(Error::io(&file, &error).to_string()))?;
        Ok(Self {
            file,
            text,
            variables: arguments.variables.iter().cloned().collect(),
            settings: arguments.settings.iter().cloned().collect(),
        })
    }

    /// Its plan. What is wrong with the file is told with its place.
    pub fn plan(&self) -> Outcome<Plan> {
        let plan = millstream_sql::plan(&self.script(), &CATALOG);
        plan.map_err(|diagnostic| Failure::diagnostic(diagnostic.to_string()))
    }

    /// Its plan as text.
    pub fn explain(&self) -> Outcome<String> {
        let text = millstream_sql::explain(&self.script(), &CATALOG);
        text.map_err(|diagnostic| Failure::diagnostic(diagnostic.to_string()))
    }

    fn script(&self) -> Script<'_> {
        Script {
            file: &self.file,
            text: &self.text,
            variables: &self.variables,
            settings: &self.settings,
        }
    }
}
