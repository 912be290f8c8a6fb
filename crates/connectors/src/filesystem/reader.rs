//! [`LineReader`]: the lines of one file as records, in blocks.
//!
//! A block of about 1 MiB is read; the records of a batch are ranges of it, so nothing is copied
//! but the line that a block cuts in two. Blocks that nobody reads any more are filled again.
//!
//! A line ends with `\n` or `\r\n`, the last one also with the file; blank lines are no records.
//! Offsets are bytes from the beginning of the file. Of a line that is too long, whatever is in
//! it, the record is only the beginning, made undecodable, and what follows is read over: it
//! becomes a dead letter. Which lines that is depends on their length alone, so that a reader
//! that begins elsewhere finds the same.
//!
//! INVARIANT: `block[at..filled]` is what was read and not yet given out, and `block[0]` is byte
//! `block_offset` of the file.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::buffer::Buffer;
use millstream_core::source::{RawBatch, Read, ReadLimit, SplitReader};
use millstream_core::{Error, Offset, Result};

use super::source::{io_error, is_gone};

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Longest line that is a record as a whole. Less in tests, which would take long and much memory.
pub(super) const LINE_BYTES_MAX: usize = if cfg!(test) { 4 << 20 } else { 64 << 20 };

/// What is kept of a longer one.
pub(super) const CUT_BYTES: usize = 64 << 10;

/// Stands behind what is kept of a line, which by itself might be a record of its format: no text
/// in UTF-8 has such a byte.
pub(super) const CUT_MARK: u8 = 0xFF;

/// Blocks that are kept to be filled again.
const SPARE_MAX: usize = 4;

/// Reads one file.
///
/// It is opened at the first read, and closed and its memory given back at the end: a folder may
/// have more files than a process can have open.
#[derive(Debug)]
pub(super) struct LineReader {
    path: PathBuf,
    is_monitored: bool,
    file: Option<File>,
    file_bytes: u64,
    block: Buffer,
    block_offset: u64,
    at: usize,
    filled: usize,
    is_at_end: bool,
    spare: Vec<Buffer>,
}

impl LineReader {
    /// Reads `path` from byte `from`, the beginning of a line. `Corrupt` if it is shorter. Files
    /// of a monitored folder may go away before they are read; then they are as if empty.
    pub fn open(path: &Path, from: Offset, is_monitored: bool) -> Result<Self> {
        let file_bytes = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            // The first read sees to it.
            Err(error) if is_monitored && from.0 == 0 && is_gone(&error) => 0,
            Err(error) => return Err(io_error(path, &error)),
        };
        check_length(path, file_bytes, from)?;
        Ok(Self {
            path: path.to_owned(),
            is_monitored,
            file: None,
            file_bytes,
            block: Buffer::default(),
            block_offset: from.0,
            at: 0,
            filled: 0,
            is_at_end: false,
            spare: vec![],
        })
    }

    /// Opens the file where it is to be read, or ends if it has gone away unread.
    fn open_file(&mut self) -> Result<()> {
        let from = self.offset();
        let open = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(from.0))?;
            Ok((file.metadata()?.len(), file))
        };
        let (file_bytes, file) = match open() {
            Ok(opened) => opened,
            Err(error) if self.is_monitored && from.0 == 0 && is_gone(&error) => {
                tracing::warn!(path = %self.path.display(), "gone before it was read");
                self.is_at_end = true;
                self.file_bytes = 0;
                return Ok(());
            }
            Err(error) => return Err(io_error(&self.path, &error)),
        };
        check_length(&self.path, file_bytes, from)?;
        self.file_bytes = file_bytes;
        self.file = Some(file);
        Ok(())
    }

    /// Closes the file and gives its memory back; where it ended is kept.
    fn close(&mut self) {
        self.block_offset += self.at as u64;
        self.at = 0;
        self.filled = 0;
        self.file = None;
        self.block = Buffer::default();
        self.spare = vec![];
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
            if line.len() > LINE_BYTES_MAX {
                break;
            }
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

    /// Whether the next line is longer than a record may be, as far as it was read.
    fn is_line_too_long(&self) -> bool {
        let left = &self.block.as_slice()[self.at..self.filled];
        left.len() > LINE_BYTES_MAX && memchr::memchr(b'\n', &left[..=LINE_BYTES_MAX]).is_none()
    }

    /// The beginning of the next line as a record; reads over the rest.
    fn cut_line(&mut self) -> Result<RawBatch> {
        let start = self.offset();
        tracing::warn!(path = %self.path.display(), offset = start.0, "the line is too long");
        let mut record = self.block.as_slice()[self.at..self.at + CUT_BYTES].to_vec();
        record.push(CUT_MARK);
        loop {
            let left = &self.block.as_slice()[self.at..self.filled];
            let newline = memchr::memchr(b'\n', left);
            self.at = newline.map_or(self.filled, |newline| self.at + newline + 1);
            if newline.is_some() || self.is_at_end {
                break;
            }
            self.fill()?;
        }
        let range = 0..record.len() as u32;
        Ok(RawBatch {
            records: vec![range],
            offsets: vec![start.0],
            data: Buffer::from_vec(record),
            timestamps: None,
        })
    }

    /// Reads on, behind what is left of the block.
    fn fill(&mut self) -> Result<()> {
        let left = self.filled - self.at;
        if self.file.is_none() {
            self.open_file()?;
        }
        let mut block = self.empty_block(left);
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        block[..left].copy_from_slice(&self.block.as_slice()[self.at..self.filled]);
        let mut filled = left;
        while filled < block.len() && !self.is_at_end {
            match file.read(&mut block[filled..]) {
                Ok(read) => {
                    filled += read;
                    self.is_at_end = read == 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error(&self.path, &error)),
            }
        }
        self.block_offset += self.at as u64;
        self.at = 0;
        self.filled = filled;
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
        if self.block.is_empty() {
            // The first block: a byte more than the file, so that its end is seen at once.
            let rest = self.file_bytes - self.block_offset;
            return vec![0; usize::try_from(rest + 1).map_or(BLOCK_BYTES, |b| b.min(BLOCK_BYTES))];
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
            if self.is_line_too_long() {
                return Ok(Read::Records(self.cut_line()?));
            }
            if self.is_at_end {
                self.close();
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

fn check_length(path: &Path, file_bytes: u64, from: Offset) -> Result<()> {
    if file_bytes < from.0 {
        return Err(Error::corrupt(format!(
            "`{}`: the file has shrunk: found {file_bytes} bytes, {from} were read before",
            path.display()
        )));
    }
    Ok(())
}

fn is_blank(line: &[u8]) -> bool {
    match line.first() {
        Some(first) if !first.is_ascii_whitespace() => false,
        _ => line.trim_ascii().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ReadLimit = ReadLimit {
        rows: 1 << 20,
        bytes: 1 << 30,
    };

    fn held_bytes(reader: &LineReader) -> usize {
        let spare: usize = reader.spare.iter().map(Buffer::len).sum();
        reader.block.len() + spare
    }

    #[test]
    fn what_is_not_read_holds_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        for lines in [0, 1, 1_000_000] {
            fs::write(&path, "{}\n".repeat(lines)).expect("written");
            let mut reader = LineReader::open(&path, Offset(0), false).expect("opened");
            let bytes = lines as u64 * 3;
            assert_eq!(reader.backlog(), Some(bytes));
            assert!(reader.file.is_none() && held_bytes(&reader) == 0);
            let mut found = 0;
            while let Read::Records(batch) = reader.read(ALL).expect("read") {
                found += batch.len();
                assert!(held_bytes(&reader) <= (bytes as usize + 1).min(5 * BLOCK_BYTES));
            }
            assert_eq!(found, lines);
            assert!(reader.file.is_none() && held_bytes(&reader) == 0);
            assert_eq!(reader.offset(), Offset(bytes));
            assert_eq!(reader.backlog(), Some(0));
            assert!(matches!(reader.read(ALL), Ok(Read::End)));
        }
    }
}
