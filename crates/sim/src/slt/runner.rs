//! Runs the cases of a file in every setup and compares the answers with the file.
//!
//! ```text
//! case -> plan -> 8 x World -> answers; the first setup's are compared with the file,
//! the others' too, so a report names the setup that differs
//! ```
//!
//! With `UPDATE_SLT=1` the expected rows are replaced by what the first setup answers; the other
//! setups must then answer the same.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use millstream_connectors::CATALOG;
use millstream_core::plan::Plan;

use super::answer::{difference, normalised_rows};
use super::connectors::Files;
use super::script::{Action, Case, Expected, Script};
use super::world::{Setup, World};

/// Every combination that must not change an answer.
pub const SETUPS: [Setup; 8] = [
    setup(1, 1024, false),
    setup(1, 1024, true),
    setup(1, 1, false),
    setup(1, 1, true),
    setup(4, 1024, false),
    setup(4, 1024, true),
    setup(4, 1, false),
    setup(4, 1, true),
];

const fn setup(parallelism: u32, batch_rows: usize, is_crashing: bool) -> Setup {
    Setup {
        parallelism,
        batch_rows,
        is_crashing,
    }
}

/// Rows to put in place of those at some lines of the file.
struct Replacement {
    lines: Range<usize>,
    rows: Vec<String>,
}

/// Checks one file, or rewrites its expected rows when `UPDATE_SLT` is set.
///
/// An error is the whole report: `file:line` of every difference, in which setup, and a diff.
pub fn check_file(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = std::fs::read_to_string(path).with_context(|| format!("`{}`", path.display()))?;
    let is_update = std::env::var_os("UPDATE_SLT").is_some();
    let mut run = Run::new(&name, is_update);
    run.folder = path.parent().map(Path::to_owned).unwrap_or_default();
    run.file(&text)?;
    if is_update {
        std::fs::write(path, replaced(&text, &run.replacements))?;
    }
    ensure!(run.report.is_empty(), "\n{}", run.report);
    Ok(())
}

/// What has come out of a file so far.
struct Run<'a> {
    name: &'a str,
    /// Where files are that cases name.
    folder: PathBuf,
    is_update: bool,
    report: String,
    replacements: Vec<Replacement>,
}

impl<'a> Run<'a> {
    fn new(name: &'a str, is_update: bool) -> Self {
        Self {
            name,
            folder: PathBuf::new(),
            is_update,
            report: String::new(),
            replacements: vec![],
        }
    }

    fn file(&mut self, text: &str) -> Result<()> {
        let script = Script::parse(text).with_context(|| self.name.to_owned())?;
        for case in &script.cases {
            self.case(case);
        }
        Ok(())
    }

    fn case(&mut self, case: &Case) {
        let plan = match &case.file {
            None => plan(self.name, &case.sql),
            Some(file) => match std::fs::read_to_string(self.folder.join(file)) {
                Ok(sql) => plan(file, &sql),
                Err(error) => Err(format!("`{file}`: {error}")),
            },
        };
        if let Some((line, fragment)) = case.refusal() {
            return self.refusal((line, fragment), plan, case.files());
        }
        let plan = match plan {
            Ok(plan) => plan,
            Err(message) => return self.note(case.line, "the pipeline was refused", &message),
        };
        let mut first = None;
        for mut setup in SETUPS {
            setup.is_crashing &= !case.is_steady;
            let answers = self.case_in(case, &plan, setup, first.as_deref());
            first.get_or_insert(answers);
        }
    }

    /// Runs a case in one setup. Its answers, as they are compared.
    fn case_in(
        &mut self,
        case: &Case,
        plan: &Arc<Plan>,
        setup: Setup,
        first: Option<&[Vec<String>]>,
    ) -> Vec<Vec<String>> {
        let mut answers = vec![];
        let mut world = match World::open_with(plan.clone(), setup, case.files()) {
            Ok(world) => world,
            Err(error) => {
                self.note(
                    case.line,
                    &about(setup, "does not start"),
                    &format!("{error:#}"),
                );
                return answers;
            }
        };
        for step in &case.steps {
            let found = match world.step(&step.action) {
                Ok(found) => found,
                Err(error) => {
                    self.note(step.line, &about(setup, "fails"), &format!("{error:#}"));
                    return answers;
                }
            };
            let (Some(found), Some((expected, is_sorted))) = (found, step.action.expected()) else {
                continue;
            };
            let as_compared = normalised_rows(&found, is_sorted);
            let wanted = match (self.is_update, first) {
                (true, None) => {
                    let lines = expected.lines.clone();
                    self.replacements.push(Replacement { lines, rows: found });
                    as_compared.clone()
                }
                (true, Some(first)) => first.get(answers.len()).cloned().unwrap_or_default(),
                (false, _) => normalised_rows(&expected.rows, is_sorted),
            };
            if let Some(diff) = difference(&wanted, &as_compared) {
                self.note(step.line, &about(setup, "- expected, + found"), &diff);
            }
            answers.push(as_compared);
        }
        answers
    }

    fn refusal(
        &mut self,
        (line, fragment): (usize, &str),
        plan: Result<Arc<Plan>, String>,
        files: Files,
    ) {
        let opened = plan.and_then(|plan| {
            let world = World::open_with(plan, SETUPS[0], files);
            world.map(|_| ()).map_err(|error| format!("{error:#}"))
        });
        match opened {
            Ok(()) => self.note(line, "the pipeline was not refused, expected", fragment),
            Err(message) if message.contains(fragment) => {}
            Err(message) => {
                let both = format!("expected: {fragment}\nfound:    {message}");
                self.note(line, "refused for another reason", &both);
            }
        }
    }

    fn note(&mut self, line: usize, what: &str, details: &str) {
        let details: String = details
            .lines()
            .fold(String::new(), |text, line| text + "    " + line + "\n");
        write!(self.report, "{}:{line}: {what}\n{details}", self.name)
            .expect("text can always grow");
    }
}

fn about(setup: Setup, what: &str) -> String {
    let crashes = if setup.is_crashing { " crashing" } else { "" };
    format!(
        "parallelism={} batch={}{crashes}: {what}",
        setup.parallelism, setup.batch_rows
    )
}

/// The plan of a pipeline; `name` is its file's, for messages.
///
/// # Errors
/// What a user would be told.
pub fn plan(name: &str, sql: &str) -> Result<Arc<Plan>, String> {
    let none = std::collections::BTreeMap::new();
    let script = millstream_sql::Script {
        file: name,
        text: sql,
        variables: &none,
        settings: &none,
    };
    let plan = millstream_sql::plan(&script, &CATALOG);
    plan.map(Arc::new).map_err(|error| error.to_string())
}

fn replaced(text: &str, replacements: &[Replacement]) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut last_first: Vec<&Replacement> = replacements.iter().collect();
    last_first.sort_by_key(|replacement| std::cmp::Reverse(replacement.lines.start));
    for Replacement { lines: at, rows } in last_first {
        lines.splice(at.clone(), rows.iter().map(String::as_str));
    }
    lines.join("\n") + "\n"
}

impl Case {
    /// The files that are there before the first other step.
    fn files(&self) -> Files {
        let files = Files::default();
        for step in &self.steps {
            let Action::File { path, lines } = &step.action else {
                break;
            };
            files.put(path, lines);
        }
        files
    }

    /// The line and text of `error`, if the pipeline must be refused.
    fn refusal(&self) -> Option<(usize, &str)> {
        self.steps.iter().find_map(|step| match &step.action {
            Action::Refused(text) => Some((step.line, text.as_str())),
            _ => None,
        })
    }
}

impl Action {
    fn expected(&self) -> Option<(&Expected, bool)> {
        match self {
            Self::Query {
                expected,
                is_sorted,
                ..
            } => Some((expected, *is_sorted)),
            Self::Counters { expected, .. } => Some((expected, false)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
