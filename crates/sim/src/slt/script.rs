//! Reads an .slt file: cases, each a pipeline and the steps that are taken with it.
//!
//! A file is lines. A directive begins a line and decides how the lines after it are read:
//! `pipeline` takes SQL, unless that is in a file, until a blank line that a directive or a comment
//! follows, `input` takes records until a blank line, `query`, `counters` and `error` take text, and
//! `----` begins the expected rows, which end at a blank line. `#` at the start of a line outside those is a comment.
//!
//! Line numbers are kept, so that a difference names its place and `UPDATE_SLT=1` can replace the
//! expected rows where they stand.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use millstream_core::quantity::duration_ms;

/// A parsed file.
#[derive(Debug, PartialEq)]
pub struct Script {
    /// What the file promises, in order.
    pub cases: Vec<Case>,
}

/// A pipeline and what is done with it.
#[derive(Debug, PartialEq)]
pub struct Case {
    /// Line of `pipeline`, from 1.
    pub line: usize,
    /// Whether it crashes only where the file says so, for what a restart may change: timeouts.
    pub is_steady: bool,
    /// The file that the pipeline is in, beside the .slt file; none: it is in that.
    pub file: Option<String>,
    /// Flink SQL, padded with blank lines so that messages name lines of the .slt file.
    pub sql: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// One directive.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// Its line, from 1.
    pub line: usize,
    /// What it asks for.
    pub action: Action,
}

/// What a directive asks for.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Appends records to a partition of a topic.
    Input {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: u32,
        /// The records' bytes.
        records: Vec<Vec<u8>>,
    },
    /// Puts a file in place, or another in its place, that `filesystem` tables read.
    File {
        /// Its path.
        path: String,
        /// Its lines.
        lines: Vec<String>,
    },
    /// Reads everything that is there.
    Poll,
    /// Commits an epoch.
    Checkpoint,
    /// Reads everything that is there, then lets so many ms pass without rows.
    Advance(u64),
    /// Loses what was not made durable, and starts again.
    Crash,
    /// Stops at a last epoch, and starts again.
    Stop,
    /// Ends the input: every window fires.
    End,
    /// Asks the tables.
    Query {
        /// A SELECT.
        sql: String,
        /// Whether the order of rows is left open.
        is_sorted: bool,
        /// What must come.
        expected: Expected,
    },
    /// Asks for the counters of a source table.
    Counters {
        /// The source table.
        table: String,
        /// What must come.
        expected: Expected,
    },
    /// The pipeline must be refused with a message that contains this.
    Refused(String),
}

/// Expected rows and where they stand.
#[derive(Debug, PartialEq)]
pub struct Expected {
    /// The rows as written.
    pub rows: Vec<String>,
    /// Their lines as indices from 0 into the file's lines; empty after `----` if there are none.
    pub lines: Range<usize>,
}

const DIRECTIVES: &[&str] = &[
    "pipeline",
    "input",
    "file",
    "poll",
    "checkpoint",
    "advance",
    "crash",
    "stop",
    "end",
    "query",
    "counters",
    "error",
];

impl Script {
    /// Parses a whole file. An error names the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser {
            lines: text.lines().collect(),
            next: 0,
        };
        let mut cases: Vec<Case> = vec![];
        while let Some(line) = parser.next_directive() {
            let number = parser.next;
            let place = || format!("line {number}: `{line}`");
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[0] == "pipeline" {
                cases.push(parser.case(&words[1..]).with_context(place)?);
                continue;
            }
            let action = parser.action(&words).with_context(place)?;
            let case = cases.last_mut();
            let case = case.with_context(|| format!("{}: no `pipeline` before it", place()))?;
            case.steps.push(Step {
                line: number,
                action,
            });
        }
        ensure!(!cases.is_empty(), "no `pipeline` in the file");
        for case in &cases {
            ensure!(
                case.steps.iter().any(|step| step.action.is_answered()),
                "line {}: a pipeline that nothing is asked of",
                case.line
            );
        }
        Ok(Self { cases })
    }
}

impl Action {
    /// Whether it compares something with the file.
    pub fn is_answered(&self) -> bool {
        matches!(
            self,
            Self::Query { .. } | Self::Counters { .. } | Self::Refused(_)
        )
    }
}

struct Parser<'a> {
    lines: Vec<&'a str>,
    /// Index of the first line not yet read.
    next: usize,
}

impl<'a> Parser<'a> {
    fn line(&self) -> Option<&'a str> {
        self.lines.get(self.next).copied()
    }

    fn next_directive(&mut self) -> Option<&'a str> {
        loop {
            let line = self.line()?;
            self.next += 1;
            if !line.trim().is_empty() && !line.starts_with('#') {
                return Some(line.trim_end());
            }
        }
    }

    /// What `pipeline` begins, whose line is the last that was read.
    fn case(&mut self, options: &[&str]) -> Result<Case> {
        let line = self.next;
        let (is_steady, file) = match options {
            [] => (false, None),
            ["steady"] => (true, None),
            ["of", file] => (false, Some((*file).to_owned())),
            _ => bail!("expected `steady`, `of FILE` or nothing after it"),
        };
        let sql = match file {
            None => self.pipeline(),
            Some(_) => String::new(),
        };
        Ok(Case {
            line,
            is_steady,
            file,
            sql,
            steps: vec![],
        })
    }

    /// SQL until a blank line that a directive, a comment or the end of the file follows.
    fn pipeline(&mut self) -> String {
        let mut sql = "\n".repeat(self.next);
        while let Some(line) = self.line() {
            if line.trim().is_empty() && self.is_directive_after_blanks() {
                break;
            }
            sql.push_str(line);
            sql.push('\n');
            self.next += 1;
        }
        sql
    }

    fn is_directive_after_blanks(&self) -> bool {
        let rest = &self.lines[self.next..];
        match rest.iter().find(|line| !line.trim().is_empty()) {
            Some(line) => {
                let word = line.split_whitespace().next().unwrap_or_default();
                line.starts_with('#') || DIRECTIVES.contains(&word)
            }
            None => true,
        }
    }

    fn action(&mut self, words: &[&str]) -> Result<Action> {
        Ok(match words {
            ["poll"] => Action::Poll,
            ["checkpoint"] => Action::Checkpoint,
            ["crash"] => Action::Crash,
            ["stop"] => Action::Stop,
            ["end"] => Action::End,
            ["advance", ..] => {
                let text = words[1..].join(" ");
                Action::Advance(duration_ms(&text)?)
            }
            ["input", topic, options @ ..] => self.input(topic, options)?,
            ["file", path] => Action::File {
                path: (*path).to_owned(),
                lines: self.until_blank().into_iter().map(str::to_owned).collect(),
            },
            ["query", options @ ..] => self.query(options)?,
            ["counters", table] => Action::Counters {
                table: (*table).to_owned(),
                expected: {
                    ensure!(
                        self.line() == Some("----"),
                        "expected `----` on the next line"
                    );
                    self.next += 1;
                    self.expected()
                },
            },
            ["error"] => Action::Refused(self.until_blank().join("\n")),
            _ => bail!("not a directive; known: {}", DIRECTIVES.join(", ")),
        })
    }

    fn input(&mut self, topic: &str, options: &[&str]) -> Result<Action> {
        let (mut partition, mut is_hex) = (0, false);
        let mut options = options;
        loop {
            options = match options {
                [] => break,
                ["hex", rest @ ..] => {
                    is_hex = true;
                    rest
                }
                ["partition", number, rest @ ..] => {
                    partition = number.parse().context("not a partition number")?;
                    rest
                }
                _ => bail!("expected `partition N` or `hex`"),
            }
        }
        let lines = self.until_blank();
        ensure!(!lines.is_empty(), "expected records on the next lines");
        let record = |line: &&str| match *line {
            "(empty)" => Ok(vec![]),
            text if is_hex => from_hex(text),
            text => Ok(text.as_bytes().to_vec()),
        };
        Ok(Action::Input {
            topic: topic.to_owned(),
            partition,
            records: lines.iter().map(record).collect::<Result<_>>()?,
        })
    }

    fn query(&mut self, options: &[&str]) -> Result<Action> {
        let is_sorted = match options {
            [] => false,
            ["rowsort"] => true,
            _ => bail!("expected `rowsort` or nothing"),
        };
        let mut sql = String::new();
        loop {
            let line = self.line().context("no `----` after the query")?;
            self.next += 1;
            if line.trim_end() == "----" {
                break;
            }
            ensure!(!line.trim().is_empty(), "no `----` after the query");
            sql.push_str(line);
            sql.push('\n');
        }
        let expected = self.expected();
        Ok(Action::Query {
            sql,
            is_sorted,
            expected,
        })
    }

    fn expected(&mut self) -> Expected {
        let start = self.next;
        let rows = self.until_blank();
        Expected {
            lines: start..start + rows.len(),
            rows: rows.iter().map(|row| (*row).to_owned()).collect(),
        }
    }

    fn until_blank(&mut self) -> Vec<&'a str> {
        let rest = &self.lines[self.next..];
        let count = rest.iter().position(|line| line.trim().is_empty());
        let lines = &rest[..count.unwrap_or(rest.len())];
        self.next += lines.len();
        lines.to_vec()
    }
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digits: String = text.split_whitespace().collect();
    ensure!(
        digits.len().is_multiple_of(2) && digits.is_ascii(),
        "`{text}` is not pairs of hexadecimal digits"
    );
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).context("not hexadecimal"))
        .collect()
}

#[cfg(test)]
mod tests;
