//! How a command ends when it cannot do what it was asked: a message, what to do about it, and the
//! exit code.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use millstream_core::{Error, ErrorKind};

use crate::query::QueryError;

/// How a command ended.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a command could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was found and what was expected.
    message: String,
    /// What to do next.
    hint: Option<String>,
    /// Whether `error: ` stands before the message; a diagnostic has its place there instead.
    is_diagnostic: bool,
    code: u8,
}

impl Failure {
    /// The user's input is wrong: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message, 2)
    }

    /// It failed while running: exit code 1.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(message, 1)
    }

    /// An error in a pipeline file, which begins with its place: exit code 2.
    pub fn diagnostic(text: impl Into<String>) -> Self {
        Self {
            is_diagnostic: true,
            ..Self::new(text, 2)
        }
    }

    /// What ended a job that was running: exit code 1, whatever kind of error it was.
    pub fn while_running(error: Error) -> Self {
        Self {
            code: 1,
            ..Self::from(error)
        }
    }

    fn new(message: impl Into<String>, code: u8) -> Self {
        Self {
            message: message.into(),
            hint: None,
            is_diagnostic: false,
            code,
        }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says it on stderr; the exit code.
    pub fn report(&self) -> ExitCode {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(std::io::stderr(), "{self}");
        ExitCode::from(self.code)
    }

    /// 1 or 2.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_diagnostic {
            f.write_str("error: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error.kind() {
            ErrorKind::InvalidInput => Self::usage(message),
            ErrorKind::Unavailable => Self::runtime(message).hint("try again"),
            ErrorKind::Conflict => Self::runtime(message),
            ErrorKind::Fenced => Self::runtime(message)
                .hint("another process runs this pipeline on this data; stop one of them"),
            ErrorKind::Corrupt => Self::runtime(message)
                .hint("restore what is named from a backup, or use another --data-dir"),
            ErrorKind::StorageFull => {
                Self::runtime(message).hint("nothing was lost; free some space and start again")
            }
            ErrorKind::Bug => {
                Self::runtime(message).hint("this is a defect of millstream; please report it")
            }
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Failed(error) => error.into(),
            QueryError::TimedOut(_) => Self::runtime(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failure: Failure, code: u8, expected: &str) {
        assert_eq!(failure.to_string(), expected);
        assert_eq!(failure.code(), code);
    }

    #[test]
    fn what_the_user_can_fix_is_2_and_the_rest_is_1() {
        check(Error::invalid("found `a`").into(), 2, "error: found `a`");
        check(
            Error::unavailable("gone").into(),
            1,
            "error: gone\nhint: try again",
        );
        let full = Error::new(ErrorKind::StorageFull, "`x`: no space");
        check(
            full.into(),
            1,
            "error: `x`: no space\nhint: nothing was lost; free some space and start again",
        );
    }

    #[test]
    fn input_that_a_running_job_cannot_bear_is_no_wrong_usage() {
        let failure = Failure::while_running(Error::invalid("division by zero"));
        check(failure, 1, "error: division by zero");
    }

    #[test]
    fn a_diagnostic_begins_with_its_place() {
        let failure = Failure::diagnostic("a.sql:1:8: unknown column `b`");
        check(failure, 2, "a.sql:1:8: unknown column `b`");
    }
}
