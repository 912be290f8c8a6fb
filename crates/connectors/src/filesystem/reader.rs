//! [`LineReader`]: the lines of one file as records, in blocks.
//!
//! A block of about 1 MiB is read; the records of a batch are ranges of it, so nothing is copied
//! but the line that a block cuts in two. Blocks that nobody reads any more are filled again.
//!
//! A line ends with `\n` or `\r\n`, the last one also with the file; blank lines are no records.
//! Offsets are bytes from the beginning of the file.
//!
//! INVARIANT: `block[at..filled]` is what was read and not yet given out, and `block[0]` is byte
//! `block_offset` of the file.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::buffer::Buffer;
use millstream_core::source::{RawBatch, Read, ReadLimit, SplitReader};
use millstream_core::{Error, Offset, Result};

use super::source::io_error;

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Longest line.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

/// Blocks that are kept to be filled again.
const SPARE_MAX: usize = 4;

/// Reads one file.
#[derive(Debug)]
pub(super) struct LineReader {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    block: Buffer,
    block_offset: u64,
    at: usize,
    filled: usize,
    is_at_end: bool,
    spare: Vec<Buffer>,
}

impl LineReader {
    /// Opens `path` at byte `from`, the beginning of a line. `Corrupt` if it is shorter.
    pub fn open(path: &Path, from: Offset) -> Result<Self> {
        let open = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(from.0))?;
            Ok((file.metadata()?.len(), file))
        };
        let (file_bytes, file) = open().map_err(|e| io_error(path, &e))?;
        if file_bytes < from.0 {
            return Err(Error::corrupt(format!(
                "`{}`: the file has shrunk: found {file_bytes} bytes, {from} were read before",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            file_bytes,
            block: Buffer::default(),
            block_offset: from.0,
            at: 0,
            filled: 0,
            is_at_end: false,
            spare: vec![],
        })
    }

    /// The next lines in the block, within `limit`.
    fn take_lines(&mut self, limit: ReadLimit) -> RawBatch {
        let mut batch = RawBatch::default();
        let bytes = &self.block.as_slice()[..self.filled];
        let mut first = self.at;
        while batch.records.len() < limit.rows.max(1) {
            let rest = &bytes[self.at..];
            let (line, next) = match memchr::memchr(b'\n', rest) {
                Some(newline) => (&rest[..newline], newline + 1),
                None if self.is_at_end && !rest.is_empty() => (rest, rest.len()),
                None => break,
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if is_blank(line) {
                self.at += next;
                continue;
            }
            if batch.is_empty() {
                first = self.at;
            } else if self.at + line.len() - first > limit.bytes {
                break;
            }
            // A block has at most twice the bytes of the longest line.
            let start = (self.at - first) as u32;
            batch.records.push(start..start + line.len() as u32);
            batch.offsets.push(self.block_offset + self.at as u64);
            self.at += next;
        }
        batch.data = self.block.slice_with_length(first, self.at - first);
        batch
    }

    /// Reads on, behind what is left of the block.
    fn fill(&mut self) -> Result<()> {
        let left = self.filled - self.at;
        if left > LINE_BYTES_MAX {
            return Err(Error::corrupt(format!(
                "`{}`: the line at byte {} is longer than {} MiB",
                self.path.display(),
                self.offset(),
                LINE_BYTES_MAX >> 20
            )));
        }
        let mut block = self.empty_block(left);
        block[..left].copy_from_slice(&self.block.as_slice()[self.at..self.filled]);
        let read = loop {
            match self.file.read(&mut block[left..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|e| io_error(&self.path, &e))?,
            }
        };
        self.is_at_end = read == 0;
        self.block_offset += self.at as u64;
        self.at = 0;
        self.filled = left + read;
        let used = std::mem::replace(&mut self.block, Buffer::from_vec(block));
        if used.len() == BLOCK_BYTES && self.spare.len() < SPARE_MAX {
            self.spare.push(used);
        }
        Ok(())
    }

    /// A block with room for more than `left` bytes.
    ///
    /// PERF: memory that was touched before; fresh pages cost as much as splitting the lines.
    fn empty_block(&mut self, left: usize) -> Vec<u8> {
        if left * 2 > BLOCK_BYTES {
            return vec![0; left * 2];
        }
        for _ in 0..self.spare.len() {
            match self.spare.remove(0).into_vec() {
                Ok(block) => return block,
                Err(shared) => self.spare.push(shared),
            }
        }
        vec![0; BLOCK_BYTES]
    }
}

impl SplitReader for LineReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        loop {
            let batch = self.take_lines(limit);
            if !batch.is_empty() {
                return Ok(Read::Records(batch));
            }
            if self.is_at_end {
                return Ok(Read::End);
            }
            self.fill()?;
        }
    }

    fn offset(&self) -> Offset {
        Offset(self.block_offset + self.at as u64)
    }

    fn backlog(&self) -> Option<u64> {
        Some(self.file_bytes.saturating_sub(self.offset().0))
    }
}

fn is_blank(line: &[u8]) -> bool {
    match line.first() {
        Some(first) if !first.is_ascii_whitespace() => false,
        _ => line.trim_ascii().is_empty(),
    }
}
