//! How a [`TopicLog`](super::TopicLog) keeps records.

/// How the log keeps records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicLogConfig {
    /// A segment that has reached this many bytes is followed by a new one.
    pub segment_bytes: u64,
    /// Appends beyond this many bytes that wait to be written are refused as `Unavailable`.
    pub pending_bytes_max: usize,
    /// How long records of topics stay that say nothing else, in ms; `None`: for ever.
    pub retention_ms: Option<u64>,
    /// How many bytes a partition of such topics may have; `None`: any.
    pub retention_bytes: Option<u64>,
}

impl Default for TopicLogConfig {
    /// Segments and waiting bytes of 64 MiB; records stay 7 days, as in Kafka.
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            pending_bytes_max: 64 << 20,
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
        }
    }
}
