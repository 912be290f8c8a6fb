//! `POST /api/v1/snapshots`: holds the data directory still for a moment, for `millstream backup`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::AppState;

/// The files of a data directory as they were in one moment.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotView {
    /// The folder in the data directory in which they are. Whoever has copied them removes it.
    pub folder: String,
    /// The files.
    pub files: Vec<SnapshotFile>,
}

/// A file of a snapshot.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotFile {
    /// Its path below the folder.
    pub path: String,
    /// How many of its first bytes count: it may grow.
    pub bytes: u64,
}

/// Links the files of the data directory as they are now into a folder of their own.
#[utoipa::path(
    post,
    path = "/api/v1/snapshots",
    tag = "operation",
    responses(
        (status = 201, body = SnapshotView),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(state): State<Arc<AppState>>,
) -> Result<(StatusCode, Json<SnapshotView>), Problem> {
    let Some(files) = state.parts.files.clone() else {
        return Err(Problem::not_found("this server has no data directory"));
    };
    let snapshot = tokio::task::spawn_blocking(move || files.snapshot()).await;
    let snapshot = snapshot
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))??;
    let files = snapshot.files.into_iter();
    let view = SnapshotView {
        folder: snapshot.folder,
        files: files
            .map(|(path, bytes)| SnapshotFile { path, bytes })
            .collect(),
    };
    Ok((StatusCode::CREATED, Json(view)))
}
