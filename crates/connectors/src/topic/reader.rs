//! [`TopicReader`]: reads one partition in order, without ever blocking.
//!
//! Flow: find the batch of the next offset; read a chunk of the segment from there, up to what is
//! acknowledged; check each batch's checksums and hand out its records as ranges of the chunk, so
//! nothing is copied; go on with the next chunk, at the end of the segment with the next segment.
//!
//! INVARIANT: a record is handed out only after its batch's checksum was found right, and offsets
//! go up by one.

use std::sync::Arc;

use arrow::buffer::Buffer;
use millstream_core::source::{RawBatch, Read, ReadLimit, SplitReader};
use millstream_core::{Offset, Result};

use super::format::{BATCH_HEADER_BYTES, BatchHeader, Parsed, u32_at};
use super::partition::Partition;
use super::segment::{ENDS_EARLY, Place, Segment, wrong_offset};

/// A chunk is as large as the bytes that are asked for, within these bounds, or as one batch.
const CHUNK_BYTES_MIN: usize = 64 << 10;
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// Reads one partition.
pub struct TopicReader {
    partition: Arc<Partition>,
    next: u64,
    /// Ends before this offset; `None`: never.
    until: Option<u64>,
    cursor: Option<Cursor>,
}

/// A place in a segment, and what was read from there.
struct Cursor {
    segment: Arc<Segment>,
    /// The batch after those that are open or done.
    place: Place,
    /// Bytes of the segment, and the position of the first of them.
    chunk: (u64, Buffer),
    open: Option<OpenBatch>,
}

/// A batch whose records are being handed out.
struct OpenBatch {
    /// The next record's length field in the chunk.
    at: usize,
    /// Where the batch ends in the chunk.
    end: usize,
    /// Offsets of the next record and of the one after the batch.
    offsets: std::ops::Range<u64>,
    time_ms: i64,
    place: Place,
}

/// What is collected for one answer.
struct Collector {
    limit: ReadLimit,
    bytes: usize,
    /// Records from here on, and before there, are wanted.
    from: u64,
    before: u64,
    batch: RawBatch,
    times: Vec<i64>,
}

impl TopicReader {
    pub(super) fn open(
        partition: Arc<Partition>,
        from: Offset,
        until: Option<u64>,
    ) -> Result<Self> {
        partition.check_readable(from.0)?;
        Ok(Self {
            partition,
            next: from.0,
            until,
            cursor: None,
        })
    }

    /// Sees to it that the cursor's chunk holds its next batch.
    fn load(&mut self, limit: ReadLimit) -> Result<()> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) if cursor.place.position < cursor.segment.length() => cursor,
            Some(cursor) => Cursor::at_start(self.segment_after(&cursor)?),
            None => {
                let segment = self.partition.segment_of(self.next)?;
                let place = segment.locate(self.partition.storage(), self.next);
                Cursor::new(segment, self.unless_gone(place)?)
            }
        };
        let wanted = limit.bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        let loaded = cursor.load(&self.partition, wanted);
        self.unless_gone(loaded)?;
        self.cursor = Some(cursor);
        Ok(())
    }

    fn segment_after(&self, cursor: &Cursor) -> Result<Arc<Segment>> {
        let offset = cursor.place.offset;
        let segment = self.partition.segment_of(offset)?;
        if segment.base != offset {
            let why = format!("the segment ends, but the next begins at {}", segment.base);
            return Err(cursor.segment.damaged(cursor.place, why));
        }
        Ok(segment)
    }

    /// If a file is missing because retention has removed it meanwhile, that is the error.
    fn unless_gone<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.partition.check_readable(self.next)?;
        }
        result
    }
}

impl SplitReader for TopicReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        if self.until.is_some_and(|until| self.next >= until) {
            return Ok(Read::End);
        }
        let (start, end) = self.partition.range();
        if self.next < start {
            self.partition.check_readable(self.next)?;
        }
        let before = self.until.map_or(end, |until| until.min(end));
        if self.next >= before {
            return Ok(Read::Pending);
        }
        let mut collector = Collector::new(limit, self.next, before);
        while collector.batch.is_empty() {
            if let Some(cursor) = &mut self.cursor
                && cursor.has_batch()?
            {
                cursor.collect(&mut collector)?;
            } else {
                self.load(limit)?;
            }
        }
        let last = collector.batch.offsets.last().copied();
        self.next = last.map_or(self.next, |offset| offset + 1);
        Ok(Read::Records(collector.finish()))
    }

    fn offset(&self) -> Offset {
        Offset(self.next)
    }

    fn backlog(&self) -> Option<u64> {
        let (_, end) = self.partition.range();
        Some(self.until.unwrap_or(end).saturating_sub(self.next))
    }
}

impl Cursor {
    fn new(segment: Arc<Segment>, place: Place) -> Self {
        Self {
            segment,
            place,
            chunk: (place.position, Buffer::default()),
            open: None,
        }
    }

    fn at_start(segment: Arc<Segment>) -> Self {
        let first = segment.first();
        Self::new(segment, first)
    }

    /// Reads a chunk that holds the next batch: `wanted` bytes, more if the batch is longer.
    fn load(&mut self, partition: &Partition, wanted: usize) -> Result<()> {
        let mut wanted = wanted;
        loop {
            let position = self.place.position;
            let left = self.segment.length() - position;
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(wanted);
            let bytes = partition
                .storage()
                .read_range(&self.segment.path, position, length)?;
            if bytes.len() < length {
                return Err(self
                    .segment
                    .damaged(self.place, "the file is shorter than it was"));
            }
            self.chunk = (position, Buffer::from_vec(bytes));
            match self.next_batch()? {
                NextBatch::Whole => return Ok(()),
                NextBatch::Needs(more) if more as u64 <= left => wanted = more,
                NextBatch::Needs(_) => return Err(self.segment.damaged(self.place, ENDS_EARLY)),
            }
        }
    }

    /// Whether a batch is open, after opening the next if the chunk holds all of it.
    fn has_batch(&mut self) -> Result<bool> {
        Ok(self.open.is_some() || matches!(self.next_batch()?, NextBatch::Whole))
    }

    /// Opens the batch at `place`, if the chunk holds all of it.
    fn next_batch(&mut self) -> Result<NextBatch> {
        let (start, chunk) = &self.chunk;
        let at = usize::try_from(self.place.position - start).expect("within the chunk");
        let bytes = &chunk[at..];
        let (header, header_bytes) = match BatchHeader::parse(bytes) {
            Parsed::Header(header, bytes) => (header, bytes),
            Parsed::Short(needed) => return Ok(NextBatch::Needs(needed.max(BATCH_HEADER_BYTES))),
            Parsed::Damaged(why) => return Err(self.segment.damaged(self.place, why)),
        };
        if header.base != self.place.offset {
            return Err(self.segment.damaged(self.place, wrong_offset(&header)));
        }
        let total = header_bytes + header.body_bytes as usize;
        let Some(body) = bytes.get(header_bytes..total) else {
            return Ok(NextBatch::Needs(total));
        };
        if crc32fast::hash(body) != header.body_crc {
            return Err(self
                .segment
                .damaged(self.place, "the records' checksum is wrong"));
        }
        self.open = Some(OpenBatch {
            at: at + header_bytes,
            end: at + total,
            offsets: header.base..header.end(),
            time_ms: header.time_ms,
            place: self.place,
        });
        let position = self.place.position + total as u64;
        self.place = Place {
            offset: header.end(),
            position,
        };
        Ok(NextBatch::Whole)
    }

    /// Hands out records of the chunk until the limit is reached or it holds no further batch.
    fn collect(&mut self, collector: &mut Collector) -> Result<()> {
        collector.batch.data = self.chunk.1.clone();
        while self.has_batch()? {
            let open = self.open.as_mut().expect("has_batch opened it");
            match open.collect(&self.chunk.1, collector) {
                Ok(true) => self.open = None,
                Ok(false) => return Ok(()),
                Err(why) => return Err(self.segment.damaged(open.place, why)),
            }
        }
        Ok(())
    }
}

enum NextBatch {
    Whole,
    Needs(usize),
}

impl OpenBatch {
    /// Whether the batch is done; `false` if the limit was reached before. The error says what is
    /// wrong with it.
    fn collect(&mut self, chunk: &[u8], collector: &mut Collector) -> Result<bool, &'static str> {
        const WRONG: &str = "the records' lengths do not add up";
        while !self.offsets.is_empty() {
            if self.end - self.at < 4 {
                return Err(WRONG);
            }
            let length = u32_at(chunk, self.at) as usize;
            let start = self.at + 4;
            if length > self.end - start {
                return Err(WRONG);
            }
            let offset = self.offsets.start;
            if offset >= collector.from {
                if offset >= collector.before || !collector.has_room(length) {
                    return Ok(false);
                }
                collector.push(offset, self.time_ms, start..start + length);
            }
            self.at = start + length;
            self.offsets.start += 1;
        }
        if self.at == self.end {
            Ok(true)
        } else {
            Err(WRONG)
        }
    }
}

impl Collector {
    fn new(limit: ReadLimit, from: u64, before: u64) -> Self {
        Self {
            limit,
            bytes: 0,
            from,
            before,
            batch: RawBatch::default(),
            times: vec![],
        }
    }

    /// Whether another record of `length` bytes is within the limit; the first always is.
    fn has_room(&self, length: usize) -> bool {
        let is_within =
            self.batch.len() < self.limit.rows && self.bytes + length <= self.limit.bytes;
        self.batch.is_empty() || is_within
    }

    fn push(&mut self, offset: u64, time_ms: i64, record: std::ops::Range<usize>) {
        let at = |position: usize| u32::try_from(position).expect("a chunk is below 4 GiB");
        self.bytes += record.len();
        self.batch.records.push(at(record.start)..at(record.end));
        self.batch.offsets.push(offset);
        self.times.push(time_ms);
    }

    fn finish(mut self) -> RawBatch {
        self.batch.timestamps = Some(self.times);
        self.batch
    }
}
