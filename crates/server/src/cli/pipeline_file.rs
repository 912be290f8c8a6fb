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
        let bytes = std::fs::read(&arguments.file);
        let bytes = bytes.map_err(|error| Failure::usage(Error::io(&file, &error).to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Failure::diagnostic(not_utf8(&file, error.as_bytes())))?;
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

/// Says where a file's first byte stands that is not UTF-8.
fn not_utf8(file: &str, bytes: &[u8]) -> String {
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let line = valid.matches('\n').count() + 1;
    let column = valid
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count())
        + 1;
    let found = bytes[valid.len()];
    format!("{file}:{line}:{column}: found byte 0x{found:02x}, expected text in UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_what_is_not_utf8_counts_characters() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(not_utf8("a.sql", bytes), expected);
        check(
            b"-- \xc3\xa9\nab \xe9 c",
            "a.sql:2:4: found byte 0xe9, expected text in UTF-8",
        );
        check(
            b"\xff\xfeS\0",
            "a.sql:1:1: found byte 0xff, expected text in UTF-8",
        );
        check(
            "ä".as_bytes().split_at(1).0,
            "a.sql:1:1: found byte 0xc3, expected text in UTF-8",
        );
    }
}
