//! What a [`TopicLog`](super::TopicLog) answers: where records went, what topics hold.

use millstream_core::Offset;

/// Where records went: `count` offsets from `base_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The partition.
    pub partition: u32,
    /// The first record's offset.
    pub base_offset: Offset,
    /// Number of records.
    pub count: u64,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicStatus {
    /// Its name.
    pub name: String,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// A partition: records from `start` up to `end`, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Its number, from 0.
    pub partition: u32,
    /// The oldest record that is still there.
    pub start: Offset,
    /// The next record's offset.
    pub end: Offset,
    /// Bytes on disk.
    pub bytes: u64,
}
