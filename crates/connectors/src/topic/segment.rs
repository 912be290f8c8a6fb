//! [`Segment`]: one file of a partition, and how to find an offset in it.
//!
//! The index is sparse (a point about every 256 KiB), in memory only: the writer adds points as it
//! goes, and a search adds those it passes, hopping from batch header to batch header.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use millstream_core::storage::Storage;
use millstream_core::{Error, Result};

use super::format::{BatchHeader, Parsed, SEGMENT_HEADER_BYTES};

/// Index points are at least so many bytes apart.
const INDEX_BYTES: u64 = 256 << 10;
/// A search reads so much at once.
const HOP_BYTES: usize = 64 << 10;
const EXTENSION: &str = ".log";

/// One file of a partition.
#[derive(Debug)]
pub(super) struct Segment {
    /// Offset of its first record.
    pub base: u64,
    /// The file.
    pub path: String,
    acknowledged: AtomicU64,
    index: Mutex<BTreeMap<u64, u64>>,
    first_time_ms: OnceLock<i64>,
}

/// Where a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset of its first record.
    pub offset: u64,
    /// Its first byte in the segment.
    pub position: u64,
}

impl Segment {
    /// The segment of the partition in `folder` (which ends in `/`) that begins at `base`.
    pub fn new(folder: &str, base: u64, acknowledged: u64) -> Self {
        Self {
            base,
            path: format!("{folder}{base:020}{EXTENSION}"),
            acknowledged: AtomicU64::new(acknowledged),
            index: Mutex::default(),
            first_time_ms: OnceLock::new(),
        }
    }

    /// The base offset that a file's name says, if it is a segment's.
    pub fn base_of(file_name: &str) -> Option<u64> {
        let digits = file_name.strip_suffix(EXTENSION)?;
        let is_base = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_base { digits.parse().ok() } else { None }
    }

    /// Bytes that are acknowledged: what may be read.
    pub fn length(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Bytes up to `length` are acknowledged now.
    pub fn grow(&self, length: u64) {
        self.acknowledged.store(length, Ordering::Release);
    }

    /// Where its first batch begins.
    pub fn first(&self) -> Place {
        Place {
            offset: self.base,
            position: SEGMENT_HEADER_BYTES as u64,
        }
    }

    /// Adds an index point, unless there is one nearby.
    pub fn add_index(&self, place: Place) {
        let mut index = self.index.lock().expect("no panic while locked");
        let before = index.range(..=place.offset).next_back();
        let position = before.map_or(SEGMENT_HEADER_BYTES as u64, |(_, position)| *position);
        if place.position >= position + INDEX_BYTES {
            index.insert(place.offset, place.position);
        }
    }

    /// Finds the batch that holds `offset`, which is at least the base and acknowledged.
    pub fn locate(&self, storage: &dyn Storage, offset: u64) -> Result<Place> {
        let mut place = {
            let index = self.index.lock().expect("no panic while locked");
            let before = index.range(..=offset).next_back();
            before.map_or(self.first(), |(offset, position)| Place {
                offset: *offset,
                position: *position,
            })
        };
        let mut window = Window::new(storage, &self.path, self.length(), HOP_BYTES);
        loop {
            let (header, bytes) = self.header_at(&mut window, place)?;
            if header.end() > offset {
                return Ok(place);
            }
            self.add_index(place);
            let position = place.position + bytes as u64 + u64::from(header.body_bytes);
            place = Place {
                offset: header.end(),
                position,
            };
        }
    }

    /// When its first batch was appended, in ms.
    pub fn first_time_ms(&self, storage: &dyn Storage) -> Result<i64> {
        if let Some(time_ms) = self.first_time_ms.get() {
            return Ok(*time_ms);
        }
        let mut window = Window::new(storage, &self.path, self.length(), HOP_BYTES);
        let (header, _) = self.header_at(&mut window, self.first())?;
        Ok(*self.first_time_ms.get_or_init(|| header.time_ms))
    }

    /// The header of the batch at `place`, and its length. `Corrupt` if it is not there.
    fn header_at(&self, window: &mut Window<'_>, place: Place) -> Result<(BatchHeader, usize)> {
        let mut needed = super::format::BATCH_HEADER_BYTES;
        loop {
            match BatchHeader::parse(window.at(place.position, needed)?) {
                Parsed::Header(header, bytes) if header.base == place.offset => {
                    return Ok((header, bytes));
                }
                Parsed::Header(header, _) => {
                    return Err(self.damaged(place, wrong_offset(&header)));
                }
                Parsed::Damaged(why) => return Err(self.damaged(place, why)),
                Parsed::Short(more) if more > needed => needed = more,
                Parsed::Short(_) => return Err(self.damaged(place, ENDS_EARLY)),
            }
        }
    }

    /// An error about the batch at `place`.
    pub fn damaged(&self, place: Place, why: impl fmt::Display) -> Error {
        let Place { offset, position } = place;
        let path = &self.path;
        Error::corrupt(format!(
            "`{path}`: {why}; position={position} offset={offset}"
        ))
    }
}

/// What is said of a batch that the file does not hold to its end.
pub(super) const ENDS_EARLY: &str = "the file ends within a batch";

/// What is said of a batch that continues from another offset.
pub(super) fn wrong_offset(header: &BatchHeader) -> String {
    format!("found a batch of offset {}", header.base)
}

/// Bytes of a file, read ahead.
pub(super) struct Window<'a> {
    storage: &'a dyn Storage,
    path: &'a str,
    file_length: u64,
    ahead: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    /// Of the first `file_length` bytes at `path`, reading `ahead` bytes at once.
    pub fn new(storage: &'a dyn Storage, path: &'a str, file_length: u64, ahead: usize) -> Self {
        Self {
            storage,
            path,
            file_length,
            ahead,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes from `position`, at least `length` of them unless the file ends before.
    pub fn at(&mut self, position: u64, length: usize) -> Result<&[u8]> {
        let left = self.file_length.saturating_sub(position);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        let end = self.start + self.bytes.len() as u64;
        if position < self.start || position + length as u64 > end {
            let ahead = self.ahead.max(length);
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(ahead);
            self.bytes = self.storage.read_range(self.path, position, wanted)?;
            self.start = position;
        }
        let at = usize::try_from(position - self.start).expect("within what was read");
        Ok(&self.bytes[at.min(self.bytes.len())..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_base_offsets() {
        let segment = Segment::new("topics/t/0/", 1234, 0);
        assert_eq!(segment.path, "topics/t/0/00000000000000001234.log");
        assert_eq!(Segment::base_of("00000000000000001234.log"), Some(1234));
        let none = [
            "1234.log",
            "00000000000000001234",
            "0000000000000000123x.log",
            "producers.json",
        ];
        for name in none {
            assert_eq!(Segment::base_of(name), None, "{name}");
        }
    }
}
