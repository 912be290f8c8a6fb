//! One error type for the engine and the connectors. Its kind says what to do about it.

use std::fmt;

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user's input is wrong; the user fixes it.
    InvalidInput,
    /// Something outside is not there now; retry with back-off.
    Unavailable,
    /// Somebody else changed it first; reload and try again.
    Conflict,
    /// Another owner has taken over; stop.
    Fenced,
    /// Stored bytes are not what was written; do not retry.
    Corrupt,
    /// The device is full; stop reading, keep everything, retry when there is space.
    StorageFull,
    /// A defect of Millstream.
    Bug,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Fenced => "fenced",
            Self::Corrupt => "corrupt",
            Self::StorageFull => "storage full",
            Self::Bug => "bug",
        })
    }
}

/// What of a table's declaration an [`Error`] is about, so that it can be told with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The value of this option.
    Option(String),
    /// This column.
    Column(String),
}

/// An error: a kind, and a message in lower case that names what was found and what was expected.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    subject: Option<Box<Subject>>,
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            subject: None,
        }
    }

    /// The user's input is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// The value of a table's option is wrong.
    pub fn of_option(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(message).about(Subject::Option(key.into()))
    }

    /// Something outside is not there now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Stored bytes are damaged. The message names the path.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// A defect of Millstream.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What of a table's declaration it is about, if that is known.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_deref()
    }

    /// The same about `subject`.
    #[must_use]
    pub fn about(self, subject: Subject) -> Self {
        Self {
            subject: Some(Box::new(subject)),
            ..self
        }
    }

    /// The same kind, with `context: ` before the message.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self {
            message: format!("{context}: {}", self.message),
            ..self
        }
    }

    /// From an operating system error about `path`.
    pub fn io(path: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::StorageFull,
            Io::NotFound | Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotADirectory => {
                ErrorKind::InvalidInput
            }
            Io::AlreadyExists => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, format!("`{path}`: {error}"))
    }
}

impl From<arrow::error::ArrowError> for Error {
    /// Arrow fails on data that the plan's types should have excluded, so by itself it is a bug;
    /// callers who feed it outside bytes map the error themselves.
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::bug(format!("arrow: {error}"))
    }
}
