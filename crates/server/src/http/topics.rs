//! `GET /api/v1/topics`: the embedded topic log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use millstream_connectors::topic::TopicStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::AppState;

/// A topic.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopicView {
    /// Its name.
    topic: String,
    /// Bytes on disk.
    bytes: u64,
    /// Its partitions.
    partitions: Vec<PartitionView>,
}

/// A partition of a topic.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartitionView {
    /// Its number.
    partition: u32,
    /// Offset of the oldest record that is still there.
    start_offset: u64,
    /// Offset that the next record gets.
    end_offset: u64,
    /// Bytes on disk.
    bytes: u64,
}

/// All topics, with how far they go.
#[utoipa::path(
    get,
    path = "/api/v1/topics",
    tag = "topics",
    responses((status = 200, body = Vec<TopicView>))
)]
pub async fn list(State(state): State<Arc<AppState>>) -> Json<Vec<TopicView>> {
    Json(state.parts.topics.topics().into_iter().map(view).collect())
}

fn view(topic: TopicStatus) -> TopicView {
    let partitions = topic.partitions.iter().map(|partition| PartitionView {
        partition: partition.partition,
        start_offset: partition.start.0,
        end_offset: partition.end.0,
        bytes: partition.bytes,
    });
    TopicView {
        bytes: topic
            .partitions
            .iter()
            .map(|partition| partition.bytes)
            .sum(),
        partitions: partitions.collect(),
        topic: topic.name,
    }
}
