//! The embedded topic log: topics of partitions of records, durable before they are acknowledged.
//! It stands in for Kafka (connector `kafka`) and keeps what the HTTP collector takes (`http`).
//!
//! # Files
//!
//! ```text
//! topics/<topic>/topic.json                                   number of partitions, retention
//! topics/<topic>/<partition>/<base offset, 20 digits>.log     segments
//! topics/<topic>/<partition>/acknowledged                     where acknowledged records end
//! topics/<topic>/<partition>/producers.json                   last epoch of each pipeline's sink
//! topics/<topic>/<partition>/<segment>.cut-<position>         bytes that were cut off on a start
//! ```
//!
//! All numbers are little endian, all checksums CRC-32 (IEEE). A **segment** is a header of 24
//! bytes, then batches without gaps:
//!
//! | bytes | segment header |
//! |---|---|
//! | 0-5 | `MSTLOG` |
//! | 6-7 | version, 1 |
//! | 8-15 | base offset: that of the first record, as in the file's name |
//! | 16-19 | 0 |
//! | 20-23 | checksum of bytes 0-19 |
//!
//! | bytes | batch |
//! |---|---|
//! | 0-3 | `MSB1` |
//! | 4-7 | checksum of bytes 8 to 47 + p |
//! | 8-11 | b: bytes of the records |
//! | 12-15 | checksum of the records |
//! | 16-23 | offset of the first record |
//! | 24-31 | durable: bytes of this segment that were acknowledged when the batch was written |
//! | 32-39 | when it was appended, ms since the Unix epoch, signed |
//! | 40-43 | number of records, at least 1 |
//! | 44-45 | attributes: bit 0, the next batch belongs to the same append; others 0 (room for keys, compression) |
//! | 46-47 | p: bytes of the producer, 0 or at least 17 |
//! | 48 … | producer: u64 incarnation, u64 epoch, name (`pipeline/sink`) in UTF-8 |
//! | 48+p … | records: each a u32 length, then its bytes |
//!
//! Two checksums, because the offset is known only when the batch is written, by one thread, while
//! the records are summed by the thread that appends. The layout of `acknowledged` is in
//! `acknowledged.rs`; a partition without that file is one that an older version wrote. One append is split into batches of about
//! 1 MiB, so readers need little memory; it takes effect as a whole.
//!
//! # Flow
//!
//! Appending: encode and sum, then queue at the partition. Whoever finds no writer at work becomes
//! the writer of everything queued: one write after the other, **one fsync**, an entry in
//! `acknowledged`, then all of them are acknowledged and become visible (`partition.rs`). Reading: a [`TopicReader`] goes from batch to
//! batch over what is acknowledged and never blocks (`reader.rs`).
//!
//! # Invariants
//!
//! 1. A record is visible, and its append answered, only after it was fsynced.
//! 2. Offsets have no gaps and are never given twice for acknowledged records.
//! 3. After a failed write or fsync the segment is cut to its acknowledged length and checked
//!    before anything else is written.
//! 4. On start, what follows the last sound batch is cut off only if nothing says that it was
//!    acknowledged: neither `acknowledged` nor a sound batch behind the damage. Otherwise opening
//!    fails, and nothing is changed. What is cut is kept next to the segment: after a power failure
//!    `acknowledged` may lag by a second, so the last batch may have been damaged, not torn.
//! 5. An append of (producer, incarnation, epoch) happens once, across restarts and retention: the
//!    producers are in the batches of the last segment and, for older ones, in `producers.json`,
//!    which is written before a new segment begins.

mod acknowledged;
pub mod audit;
mod config;
mod definition;
mod format;
mod log;
mod partition;
mod pending;
mod producer;
mod reader;
mod record_set;
mod recovery;
mod segment;
mod sink;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod writer;

pub use config::TopicLogConfig;
pub use definition::TopicOptions;
pub use log::TopicLog;
pub use producer::ProducerEpoch;
pub use reader::TopicReader;
pub use record_set::RecordSet;
pub use sink::sink;
pub(crate) use source::TopicTable;
pub use source::{HTTP, KAFKA, source};
pub use status::{Appended, PartitionStatus, TopicStatus};
