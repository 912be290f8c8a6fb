//! Records that a sink stages until their epoch is committed.
//!
//! ```text
//! staging/<pipeline>/<sink>/<run>-<16 hex digits>-<shard>-<number>     records: u32 LE length, bytes
//! ```
//!
//! A writer streams records into files of its own, told apart by the run (incarnation and first epoch)
//! and a random number; the manifest's payload names a file with its length and CRC-32, so one that is
//! damaged or gone is found on commit.
//!
//! INVARIANT: only files that a manifest names matter. Once a run has begun, those of the runs before
//! it are garbage.

use std::fmt::Write as _;
use std::sync::Arc;

use millstream_core::sink::{Prepared, SinkContext, Staged};
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result, ShardIndex};
use serde::{Deserialize, Serialize};

/// Where staged records are.
pub(crate) const STAGING: &str = "staging/";

/// Records are collected in memory up to this many bytes before they go to the file.
const FLUSH_BYTES: usize = 256 << 10;

/// The staging folder of one sink of one pipeline.
#[derive(Clone)]
pub(crate) struct Staging {
    storage: Arc<dyn Storage>,
    folder: String,
}

/// What a manifest keeps of a staged file.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    path: String,
    bytes: u64,
    crc32: u32,
}

impl Staging {
    /// The folder of `context`.
    pub fn new(storage: Arc<dyn Storage>, context: &SinkContext) -> Self {
        let (pipeline, sink) = (file_name(&context.pipeline), file_name(&context.sink));
        Self {
            storage,
            folder: format!("{STAGING}{pipeline}/{sink}/"),
        }
    }

    /// A writer of `shard`. Run and random number tell its files from those of other writers.
    pub fn writer(
        &self,
        (context, random): (&SinkContext, u64),
        shard: ShardIndex,
    ) -> StagingWriter {
        let run = run_name(context);
        StagingWriter {
            storage: self.storage.clone(),
            prefix: format!("{}{run}-{random:016x}-{shard}-", self.folder),
            number: 0,
            buffer: Vec::new(),
            records: 0,
            file: None,
        }
    }

    /// The staged records, each with its length before it. `Corrupt` if they are not what was
    /// staged, or gone.
    pub fn read(&self, staged: &Staged) -> Result<Vec<u8>> {
        let payload = payload(staged)?;
        let path = &payload.path;
        if self.is_gone(staged)? {
            return Err(Error::corrupt(format!(
                "`{path}`: the staged file is gone, expected {} bytes",
                payload.bytes
            )));
        }
        let bytes = self.storage.read(path)?;
        let crc32 = crc32fast::hash(&bytes);
        if bytes.len() as u64 != payload.bytes || crc32 != payload.crc32 {
            return Err(Error::corrupt(format!(
                "`{path}`: found {} bytes with crc32={crc32:08x}, expected {} bytes with \
                 crc32={:08x}",
                bytes.len(),
                payload.bytes,
                payload.crc32
            )));
        }
        let end = staged_records(&bytes).last().map_or(0, |record| record.end);
        if end != bytes.len() {
            return Err(Error::corrupt(format!(
                "`{path}`: found records of {end} bytes, expected them to fill {} bytes",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// Whether the staged file was removed: its epoch was committed before.
    pub fn is_gone(&self, staged: &Staged) -> Result<bool> {
        Ok(self.storage.length(&payload(staged)?.path)?.is_none())
    }

    /// Deletes staged files; those that are gone are fine.
    pub fn remove(&self, staged: &[Staged]) -> Result<()> {
        staged
            .iter()
            .try_for_each(|staged| self.storage.delete(&payload(staged)?.path))
    }

    /// Deletes what runs before that of `context` have staged.
    pub fn discard_before(&self, context: &SinkContext) -> Result<()> {
        let mut paths = self.storage.list(&self.folder)?;
        paths.retain(|path| is_before(&path[self.folder.len()..], context));
        paths.iter().try_for_each(|path| self.storage.delete(path))
    }
}

/// The run of `context`, as names of staged files begin with it.
pub(crate) fn run_name(context: &SinkContext) -> String {
    format!("{:010}.{:020}", context.incarnation.0, context.run.0)
}

/// Whether a staged file is of a run before that of `context`. So are names in which there is none.
pub(crate) fn is_before(name: &str, context: &SinkContext) -> bool {
    let run = name.split('-').next().unwrap_or_default();
    !run.contains('.') || run < run_name(context).as_str()
}

/// Stages the records of one shard. After an error it is of no use any more.
pub(crate) struct StagingWriter {
    storage: Arc<dyn Storage>,
    prefix: String,
    number: u64,
    buffer: Vec<u8>,
    records: u64,
    file: Option<OpenFile>,
}

struct OpenFile {
    path: String,
    file: Box<dyn AppendFile>,
    bytes: u64,
    crc32: crc32fast::Hasher,
}

impl StagingWriter {
    /// Stages one record. `InvalidInput` if it is 4 GiB or more.
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        let length = u32::try_from(record.len()).map_err(|_| {
            Error::invalid(format!(
                "a record of {} bytes; expected below 4 GiB",
                record.len()
            ))
        })?;
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(record);
        self.records += 1;
        if self.buffer.len() >= FLUSH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Bytes held in memory.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Ends the epoch: what was pushed since the last call, or `None` if that was nothing.
    pub fn finish(&mut self) -> Result<Option<Prepared>> {
        if self.records == 0 {
            return Ok(None);
        }
        self.flush()?;
        let rows = std::mem::take(&mut self.records);
        let open = self.file.take().expect("flushing a record opens the file");
        let payload = Payload {
            path: open.path,
            bytes: open.bytes,
            crc32: open.crc32.finalize(),
        };
        let staged = Staged {
            rows,
            bytes: payload.bytes,
            payload: serde_json::to_value(payload).map_err(|e| Error::bug(e.to_string()))?,
        };
        Ok(Some(Prepared {
            staged,
            files: vec![open.file],
        }))
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let open = match &mut self.file {
            Some(open) => open,
            none => {
                let (path, file) = loop {
                    let path = format!("{}{}", self.prefix, self.number);
                    let file = self.storage.append(&path)?;
                    self.number += 1;
                    // Chance may repeat itself after a restart: what is there is not ours.
                    if file.length() == 0 {
                        break (path, file);
                    }
                };
                none.insert(OpenFile {
                    path,
                    file,
                    bytes: 0,
                    crc32: crc32fast::Hasher::new(),
                })
            }
        };
        open.file.append(&self.buffer)?;
        open.bytes += self.buffer.len() as u64;
        open.crc32.update(&self.buffer);
        self.buffer.clear();
        Ok(())
    }
}

/// The records in staged `bytes`, which [`Staging::read`] has found to be whole.
pub(crate) fn staged_records(bytes: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let length = bytes.get(position..position + 4)?;
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let start = position + 4;
        position = start + length;
        Some(start..position)
    })
}

fn payload(staged: &Staged) -> Result<Payload> {
    Payload::deserialize(&staged.payload).map_err(|error| {
        Error::corrupt(format!(
            "a staged output in the manifest: {error}; found {}",
            staged.payload
        ))
    })
}

/// `name` as a file name: bytes outside `[A-Za-z0-9_-]` as `%XX`.
fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use millstream_core::memory::MemoryStorage;
    use millstream_core::{Epoch, ErrorKind, Incarnation};

    use super::*;

    fn staging() -> (MemoryStorage, Staging) {
        let storage = MemoryStorage::default();
        let staging = Staging::new(Arc::new(storage.clone()), &context(1));
        (storage, staging)
    }

    fn context(run: u64) -> SinkContext {
        SinkContext {
            pipeline: "../p".into(),
            incarnation: Incarnation(0),
            sink: "db.t".into(),
            run: Epoch(run),
        }
    }

    fn stage(writer: &mut StagingWriter, records: &[&[u8]]) -> Option<Staged> {
        records
            .iter()
            .for_each(|record| writer.push(record).unwrap());
        let prepared = writer.finish().unwrap()?;
        for mut file in prepared.files {
            file.sync().unwrap();
        }
        Some(prepared.staged)
    }

    #[test]
    fn records_come_back_and_files_go() {
        let (storage, staging) = staging();
        let mut writer = staging.writer((&context(1), 0xab), ShardIndex(3));
        assert!(stage(&mut writer, &[]).is_none());
        let big = vec![7; 3 * FLUSH_BYTES];
        let one = stage(&mut writer, &[b"a", b"", &big]).unwrap();
        let two = stage(&mut writer, &[b"later"]).unwrap();
        assert_eq!((one.rows, one.bytes), (3, 12 + 1 + big.len() as u64));
        assert_eq!(
            storage.list("").unwrap(),
            [
                "staging/%2E%2E%2Fp/db%2Et/0000000000.00000000000000000001-00000000000000ab-3-0",
                "staging/%2E%2E%2Fp/db%2Et/0000000000.00000000000000000001-00000000000000ab-3-1",
            ]
        );
        storage.crash();
        let bytes = staging.read(&one).unwrap();
        let lengths: Vec<usize> = staged_records(&bytes).map(|range| range.len()).collect();
        assert_eq!(lengths, [1, 0, big.len()]);
        staging.remove(&[one]).unwrap();
        assert_eq!(staging.read(&two).unwrap(), b"\x05\0\0\0later");
        staging.discard_before(&context(1)).unwrap();
        assert_eq!(storage.list("").unwrap().len(), 1, "it is of this run");
        staging.discard_before(&context(2)).unwrap();
        assert_eq!(storage.list("").unwrap(), [""; 0]);
    }

    #[test]
    fn a_writer_with_the_same_number_leaves_the_files_of_another_alone() {
        let (_, staging) = staging();
        let one = stage(
            &mut staging.writer((&context(1), 1), ShardIndex(0)),
            &[b"one"],
        )
        .unwrap();
        let two = stage(
            &mut staging.writer((&context(1), 1), ShardIndex(0)),
            &[b"two"],
        )
        .unwrap();
        assert_eq!(staging.read(&one).unwrap(), b"\x03\0\0\0one");
        assert_eq!(staging.read(&two).unwrap(), b"\x03\0\0\0two");
    }

    #[test]
    fn lengths_that_do_not_add_up_are_found_behind_a_right_checksum() {
        let (storage, staging) = staging();
        for bytes in [
            &b"\x05\0\0\0abc"[..],
            b"\xff\xff\xff\xffabc",
            b"\0\0\0\0\x01\0",
            b"\x01",
        ] {
            storage.put("f", bytes).unwrap();
            let (length, crc32) = (bytes.len() as u64, crc32fast::hash(bytes));
            let staged = Staged {
                rows: 1,
                bytes: length,
                payload: serde_json::json!({"path": "f", "bytes": length, "crc32": crc32}),
            };
            let error = staging.read(&staged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(
                error.to_string().starts_with("`f`: found records of "),
                "{error}"
            );
        }
    }

    #[test]
    fn damage_is_found_and_named() {
        let (storage, staging) = staging();
        let staged = stage(
            &mut staging.writer((&context(1), 1), ShardIndex(0)),
            &[b"abc"],
        )
        .unwrap();
        let path = storage.list("").unwrap().remove(0);
        let check = |expected: &str| {
            let error = staging.read(&staged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&path), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        storage.put(&path, b"\x03\0\0\0abd").unwrap();
        check("found 7 bytes");
        storage.put(&path, b"\x03\0").unwrap();
        check("found 2 bytes");
        storage.delete(&path).unwrap();
        check("the staged file is gone, expected 7 bytes");
    }
}
