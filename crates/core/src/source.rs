//! Where rows come from: [`Source`] finds splits, [`SplitReader`] reads one in order,
//! [`Decoder`] turns raw records into columns.
//!
//! Readers are synchronous and never block for long: with nothing to read they say
//! [`Read::Pending`]. A reader opened at an offset gives the same records as one that has read up
//! to there: that is what recovery rests on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::ids::{Offset, SplitId};

/// A table that can be read.
///
/// ```
/// use millstream_core::memory::MemorySource;
/// use millstream_core::source::{Read, ReadLimit, Source};
///
/// let source = MemorySource::new([("part-0", vec!["{\"a\":1}", "{\"a\":2}"])]);
/// let split = &source.splits().unwrap()[0];
/// let mut reader = source.open(&split.id, None).unwrap();
/// let Read::Records(batch) = reader.read(ReadLimit { rows: 1, bytes: 1 << 20 }).unwrap() else {
///     panic!("two records are waiting");
/// };
/// assert_eq!(batch.record(0), b"{\"a\":1}");
/// ```
pub trait Source: Send + Sync {
    /// The splits that exist now. Asked again from time to time; a split never disappears while
    /// it is read.
    fn splits(&self) -> Result<Vec<Split>>;

    /// Called on a start that goes on, before anything else: splits of this source that were read before.
    /// A source that chooses what it reads when it is first asked chooses the same again.
    fn resume(&self, _read: &[SplitId]) -> Result<()> {
        Ok(())
    }

    /// Opens `split` at `from`, or where the table's options say if it was never read.
    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>>;

    /// Whether the set of splits is final and each of them ends.
    fn is_bounded(&self) -> bool;

    /// What tells its present rows from other ones, for tables that are read again when they have
    /// changed; `None` if they cannot change.
    fn version(&self) -> Result<Option<String>> {
        Ok(None)
    }
}

/// Part of a source that is read in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Its name within the source.
    pub id: SplitId,
    /// What METADATA columns can show of all its records: `topic`, `partition`, `file.path` …
    pub metadata: BTreeMap<String, String>,
}

/// Reads one split.
pub trait SplitReader: Send {
    /// The next records, at least one unless pending or ended, at most `limit` (one record may
    /// exceed the bytes).
    fn read(&mut self, limit: ReadLimit) -> Result<Read>;

    /// The first record not yet read.
    fn offset(&self) -> Offset;

    /// How many bytes or records (the unit of the offset) are known to wait, for the lag metric.
    fn backlog(&self) -> Option<u64> {
        None
    }
}

/// How much to read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most records.
    pub rows: usize,
    /// Most bytes.
    pub bytes: usize,
}

/// What a [`SplitReader`] found.
#[derive(Debug)]
pub enum Read {
    /// Records to decode.
    Records(RawBatch),
    /// Rows that need no decoding (generators): all physical columns that were asked for.
    Rows(RecordBatch),
    /// Nothing now; ask again.
    Pending,
    /// Nothing ever again.
    End,
}

/// Raw records in one buffer. Cloning shares the buffer.
#[derive(Debug, Clone, Default)]
pub struct RawBatch {
    /// The bytes of all records, possibly with separators between.
    pub data: Buffer,
    /// Each record's place in `data`.
    pub records: Vec<Range<u32>>,
    /// Each record's offset in its split.
    pub offsets: Vec<u64>,
    /// Each record's time of arrival in ms since the epoch, where the source knows it.
    pub timestamps: Option<Vec<i64>>,
}

impl RawBatch {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes of record `index`.
    pub fn record(&self, index: usize) -> &[u8] {
        let range = &self.records[index];
        &self.data[range.start as usize..range.end as usize]
    }

    /// The records at `indices`, over the same buffer.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let pick = |index: &u32| *index as usize;
        Self {
            data: self.data.clone(),
            records: indices
                .iter()
                .map(|i| self.records[pick(i)].clone())
                .collect(),
            offsets: indices.iter().map(|i| self.offsets[pick(i)]).collect(),
            timestamps: self
                .timestamps
                .as_ref()
                .map(|times| indices.iter().map(|i| times[pick(i)]).collect()),
        }
    }
}

/// Turns raw records into the columns of one schema. A record that is not of the format never
/// fails the batch: it is [`Decoded::rejected`].
pub trait Decoder: Send {
    /// The columns it fills.
    fn schema(&self) -> SchemaRef;

    /// Decodes every record of `raw`. A field that is missing is null.
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded>;
}

/// What came of a [`RawBatch`].
#[derive(Debug)]
pub struct Decoded {
    /// One row for each record that was accepted, in order.
    pub rows: RecordBatch,
    /// The record of each row; `None`: row i is record i.
    pub record_of_row: Option<Arc<[u32]>>,
    /// The records that were not accepted, in order.
    pub rejected: Vec<Rejected>,
}

/// A record that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Index in the [`RawBatch`].
    pub record: u32,
    /// What was found and what was expected.
    pub error: String,
}
