//! What the handlers share.

use std::sync::Arc;

use millstream_connectors::hot_table::HotTables;
use millstream_connectors::storage::GatedStorage;
use millstream_connectors::topic::TopicLog;
use millstream_core::env::Env;
use millstream_core::storage::Storage;
use tokio::sync::{Semaphore, watch};

use crate::config::CollectorConfig;
use crate::jobs::Jobs;
use crate::lake::LakeKeeper;
use crate::metrics::Metrics;
use crate::query::QueryEngine;

/// What the handlers share.
pub struct AppState {
    /// Everything that is not HTTP's own.
    pub parts: StateParts,
    /// Limits of the collector.
    pub collector: CollectorConfig,
    /// What is left of `collector.pending_bytes_max`, in units of [`BUDGET_UNIT`].
    pub collector_budget: Arc<Semaphore>,
    /// Whether the server is going down: live views end.
    pub is_closing: watch::Receiver<bool>,
}

/// What the server is made of, besides HTTP.
pub struct StateParts {
    /// The clock.
    pub env: Arc<dyn Env>,
    /// The data directory.
    pub storage: Arc<dyn Storage>,
    /// The same, of which a snapshot can be taken; `None` if it is no directory.
    pub files: Option<GatedStorage>,
    /// Topics that the collector appends to.
    pub topics: Arc<TopicLog>,
    /// Tables that can be queried and watched.
    pub tables: Arc<HotTables>,
    /// Tables of the lake; `None` if there is none.
    pub lake: Option<Arc<LakeKeeper>>,
    /// Answers queries.
    pub queries: Arc<QueryEngine>,
    /// The running pipelines.
    pub jobs: Arc<Jobs>,
    /// Numbers for Prometheus.
    pub metrics: Arc<Metrics>,
}

/// Bytes of a permit of the collector's budget; the least that a request is charged, so that
/// small requests are bounded in number, too.
pub const BUDGET_UNIT: usize = 64 << 10;

impl AppState {
    /// State of a server that ends its live views once `is_closing` says so.
    pub fn new(
        parts: StateParts,
        collector: CollectorConfig,
        is_closing: watch::Receiver<bool>,
    ) -> Self {
        let units = collector.pending_bytes_max.div_ceil(BUDGET_UNIT);
        Self {
            parts,
            collector,
            collector_budget: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            is_closing,
        }
    }
}
