//! Errors of the `iceberg` crate as ours.

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
    // An error of our own storage went through the crate: its kind is what counts.
    let source = std::error::Error::source(&error);
    match source.and_then(|source| source.downcast_ref::<Error>()) {
        Some(ours) => ours.clone(),
        None => Error::new(kind, error.to_string()),
    }
}
