//! Parquet files of parts: written in one go with length, checksum and ranges taken on the way,
//! read by row group and column once the checksum was verified.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};

use super::statistics::RangeBuilder;
use super::version::PartEntry;

/// Rows of a row group: what a query skips or reads as a whole.
const GROUP_ROWS: usize = 64 * 1024;
const VERIFY_CHUNK_BYTES: u64 = 1 << 20;

/// Writes one part.
pub(super) struct PartWriter {
    writer: ArrowWriter<Output>,
    /// Why the file could not be written: the Parquet writer passes on only the text.
    failure: Arc<Mutex<Option<Error>>>,
    ranges: RangeBuilder,
    rows: u64,
}

impl PartWriter {
    /// Begins a file at `path`. What an attempt before a crash left there is overwritten.
    pub fn create(storage: &dyn Storage, path: &str, schema: SchemaRef) -> Result<Self> {
        let mut file = storage.append(path)?;
        if file.length() > 0 {
            file.truncate(0)?;
        }
        Self::to_file(file, schema)
    }

    fn to_file(file: Box<dyn AppendFile>, schema: SchemaRef) -> Result<Self> {
        let output = Output {
            file,
            crc: crc32fast::Hasher::new(),
            failure: Arc::default(),
        };
        let failure = output.failure.clone();
        let level = ZstdLevel::try_new(1).expect("1 is a zstd level");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let ranges = RangeBuilder::new(&schema);
        let writer = ArrowWriter::try_new(output, schema, Some(properties));
        let writer = writer.map_err(|error| cause(&failure, error))?;
        Ok(Self {
            writer,
            failure,
            ranges,
            rows: 0,
        })
    }

    /// Adds rows in the schema given to `create`.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.ranges.add(rows)?;
        self.rows += rows.num_rows() as u64;
        let written = self.writer.write(rows);
        written.map_err(|error| cause(&self.failure, error))
    }

    /// Ends the file, which is not synced yet. `file` is its name in the part's entry.
    pub fn finish(self, file: String) -> Result<(PartEntry, Box<dyn AppendFile>)> {
        let output = self.writer.into_inner();
        let output = output.map_err(|error| cause(&self.failure, error))?;
        let entry = PartEntry {
            file,
            rows: self.rows,
            bytes: output.file.length(),
            crc32: output.crc.finalize(),
            columns: self.ranges.finish(),
        };
        Ok((entry, output.file))
    }
}

/// A file that knows the checksum of what was written.
struct Output {
    file: Box<dyn AppendFile>,
    crc: crc32fast::Hasher,
    failure: Arc<Mutex<Option<Error>>>,
}

/// The storage's own error, if there was one.
fn cause(failure: &Mutex<Option<Error>>, error: ParquetError) -> Error {
    let failure = failure.lock().expect("no panic while locked").take();
    failure.unwrap_or_else(|| into_error(error))
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.file.append(bytes) {
            *self.failure.lock().expect("no panic while locked") = Some(error.clone());
            return Err(io::Error::other(error));
        }
        self.crc.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the whole file once and compares it with its entry. `Corrupt` names the path.
pub(super) fn verify(storage: &dyn Storage, path: &str, entry: &PartEntry) -> Result<()> {
    let Some(length) = storage.length(path)? else {
        return Err(Error::corrupt(format!("`{path}`: the part is missing")));
    };
    if length != entry.bytes {
        let expected = entry.bytes;
        let message = format!("`{path}`: found bytes={length}, expected bytes={expected}");
        return Err(Error::corrupt(message));
    }
    let mut crc = crc32fast::Hasher::new();
    let mut offset = 0;
    while offset < length {
        let wanted = VERIFY_CHUNK_BYTES.min(length - offset);
        let chunk = read_exact(storage, path, offset..offset + wanted)?;
        crc.update(&chunk);
        offset += wanted;
    }
    let found = crc.finalize();
    if found != entry.crc32 {
        let expected = entry.crc32;
        let message =
            format!("`{path}`: checksum does not match: found={found} expected={expected}");
        return Err(Error::corrupt(message));
    }
    Ok(())
}

fn read_exact(storage: &dyn Storage, path: &str, range: Range<u64>) -> Result<Bytes> {
    let length = usize::try_from(range.end - range.start).expect("a part fits into memory");
    let bytes = storage.read_range(path, range.start, length)?;
    if bytes.len() != length {
        let found = bytes.len();
        let message = format!("`{path}`: found {found} bytes at {range:?}, expected {length}");
        return Err(Error::corrupt(message));
    }
    Ok(bytes.into())
}

/// A part's file as the Parquet reader wants it, with some ranges read ahead.
pub(super) struct PartBytes {
    storage: Arc<dyn Storage>,
    path: String,
    length: u64,
    loaded: Vec<(u64, Bytes)>,
}

impl PartBytes {
    pub fn new(storage: &Arc<dyn Storage>, path: &str, length: u64) -> Self {
        Self {
            storage: storage.clone(),
            path: path.to_owned(),
            length,
            loaded: vec![],
        }
    }

    /// Reads `ranges` (sorted by start) now, neighbours in one piece.
    pub fn load(&mut self, ranges: impl Iterator<Item = Range<u64>>) -> Result<()> {
        let mut joined: Vec<Range<u64>> = vec![];
        for range in ranges {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        for range in joined {
            let bytes = read_exact(self.storage.as_ref(), &self.path, range.clone())?;
            self.loaded.push((range.start, bytes));
        }
        Ok(())
    }

    /// What is loaded from `start` on, at least `length` bytes.
    fn loaded(&self, start: u64, length: usize) -> Option<Bytes> {
        self.loaded.iter().find_map(|(first, bytes)| {
            let from = usize::try_from(start.checked_sub(*first)?).ok()?;
            (from + length <= bytes.len()).then(|| bytes.slice(from..))
        })
    }
}

impl Length for PartBytes {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for PartBytes {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        if let Some(bytes) = self.loaded(start, 1) {
            return Ok(Box::new(io::Cursor::new(bytes)));
        }
        Ok(Box::new(StorageRead {
            storage: self.storage.clone(),
            path: self.path.clone(),
            position: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if let Some(bytes) = self.loaded(start, length) {
            return Ok(bytes.slice(..length));
        }
        let range = start..start + length as u64;
        read_exact(self.storage.as_ref(), &self.path, range)
            .map_err(|error| ParquetError::External(Box::new(error)))
    }
}

struct StorageRead {
    storage: Arc<dyn Storage>,
    path: String,
    position: u64,
}

impl Read for StorageRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self
            .storage
            .read_range(&self.path, self.position, buffer.len())
            .map_err(io::Error::other)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}

/// Our own error if the Parquet library hands one back, else a bug: what it reads was verified.
pub(super) fn into_error(error: ParquetError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return ours.clone();
        }
        let io = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(ours) = io.and_then(|inner| inner.downcast_ref::<Error>()) {
            return ours.clone();
        }
        cause = current.source();
    }
    Error::bug(format!("parquet: {error}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_core::ErrorKind;

    use super::*;

    /// A file with room for so many bytes.
    struct Small(u64);

    impl AppendFile for Small {
        fn append(&mut self, bytes: &[u8]) -> Result<()> {
            match self.0.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.0 = left;
                    Ok(())
                }
                None => Err(Error::new(ErrorKind::StorageFull, "no space left")),
            }
        }
        fn sync(&mut self) -> Result<()> {
            Ok(())
        }
        fn truncate(&mut self, _: u64) -> Result<()> {
            Ok(())
        }
        fn length(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_full_disk_stays_a_full_disk_wherever_it_strikes() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let column = Arc::new(Int64Array::from_iter_values(0..64));
        let rows = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        let write = |room| -> Result<()> {
            let mut writer = PartWriter::to_file(Box::new(Small(room)), schema.clone())?;
            writer.write(&rows)?;
            writer.finish("part".into()).map(drop)
        };
        let room = (0..)
            .find(|room| write(*room).is_ok())
            .expect("some room is enough");
        assert!(room > 100, "the file has a footer");
        for room in 0..room {
            assert_eq!(
                write(room).unwrap_err().kind(),
                ErrorKind::StorageFull,
                "room={room}"
            );
        }
    }
}
