//! Errors of the `iceberg` crate as ours, and ours as the crate's.

use iceberg::ErrorKind as Kind;
use millstream_core::{Error, ErrorKind};

/// The same error, with the kind that says what to do. What the crate does not tell apart counts as
/// `Unavailable`, so it is tried again.
pub(super) fn from_iceberg(error: iceberg::Error) -> Error {
    let kind = match error.kind() {
        Kind::DataInvalid => ErrorKind::Corrupt,
        Kind::CatalogCommitConflicts | Kind::TableAlreadyExists | Kind::NamespaceAlreadyExists => {
            ErrorKind::Conflict
        }
        Kind::TableNotFound | Kind::NamespaceNotFound | Kind::FeatureUnsupported => {
            ErrorKind::InvalidInput
        }
        _ => ErrorKind::Unavailable,
    };
    // An error of our own storage went through the crate, and perhaps through Parquet's or Avro's
    // writer: its kind is what counts.
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            return ours.clone();
        }
        source = cause.source();
    }
    Error::new(kind, error.to_string())
}

/// An error of our storage for the crate to carry.
pub(super) fn into_iceberg(error: Error) -> iceberg::Error {
    let kind = match error.kind() {
        ErrorKind::Corrupt => Kind::DataInvalid,
        _ => Kind::Unexpected,
    };
    iceberg::Error::new(kind, "storage").with_source(error)
}
