//! [`Acknowledged`]: where the acknowledged records of a partition end, kept in a file of its own,
//! so that damage to the very last batch is not taken for a write that a crash has torn.
//!
//! | bytes | entry of `acknowledged` |
//! |---|---|
//! | 0-3 | `MSA1` |
//! | 4-7 | checksum of bytes 8-31 |
//! | 8-15 | base offset of the segment that holds the last record |
//! | 16-23 | bytes of that segment that are acknowledged |
//! | 24-31 | offset after the last record |
//!
//! The writer adds an entry after each fsync of records and before it answers. It does **not** sync
//! the file: that would halve the commits per second. So the file is exact after the process was
//! killed. After a power failure it may lag, but not by much: [`AcknowledgedFile::sync`] runs every
//! second and at the end, and each batch says in its header what was acknowledged before it. What it
//! says is true in any case: an entry is written only when its records are on the disk.
//!
//! The newest sound entry counts. The file is written anew (whole and synced) by the first write
//! after a start, and when it is full; so its first entry is always whole, and a file without a
//! sound entry is damaged.

use std::sync::Arc;

use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result};

use super::format::{u32_at, u64_at};

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"MSA1";
/// A file this long is written anew: 2,048 entries.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The end of what was acknowledged. The default: nothing was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Acknowledged {
    /// Base offset of the segment that holds the last record.
    pub base: u64,
    /// Bytes of that segment.
    pub position: u64,
    /// The offset after the last record.
    pub next: u64,
}

impl Acknowledged {
    /// Reads the file at `path`; `None` if it is not there. `Corrupt` if no entry is sound.
    pub fn load(storage: &dyn Storage, path: &str) -> Result<Option<Self>> {
        if storage.length(path)?.is_none() {
            return Ok(None);
        }
        let bytes = storage.read(path)?;
        let (newest, damaged) = Self::newest(&bytes);
        let Some(newest) = newest else {
            return Err(Error::corrupt(format!(
                "`{path}`: found {} bytes without a sound entry, expected those of version `MSA1`; \
                 restore the partition's folder from a backup, or delete this file if its newest \
                 segment is known to be whole",
                bytes.len()
            )));
        };
        if damaged.is_some() || !bytes.len().is_multiple_of(ENTRY_BYTES) {
            tracing::warn!(
                path,
                "passed over damaged entries; the newest sound one counts"
            );
        }
        Ok(Some(newest))
    }

    /// The newest sound entry of a file, and the number of the first whole entry that is damaged.
    pub fn newest(bytes: &[u8]) -> (Option<Self>, Option<usize>) {
        let entries = bytes.chunks_exact(ENTRY_BYTES).map(Self::parse);
        let damaged = entries.clone().position(|entry| entry.is_none());
        (entries.flatten().max(), damaged)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let is_sound = bytes.len() == ENTRY_BYTES
            && bytes[..4] == MAGIC
            && u32_at(bytes, 4) == crc32fast::hash(&bytes[8..]);
        is_sound.then(|| Self {
            base: u64_at(bytes, 8),
            position: u64_at(bytes, 16),
            next: u64_at(bytes, 24),
        })
    }

    /// Writes the file at `path` anew, durably.
    pub fn save(self, storage: &dyn Storage, path: &str) -> Result<()> {
        storage.put(path, &self.to_bytes())
    }

    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.base.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..].copy_from_slice(&self.next.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// The file's path, of the partition in `folder` (which ends in `/`).
pub(super) fn acknowledged_path(folder: &str) -> String {
    format!("{folder}acknowledged")
}

/// Writes the file.
pub(super) struct AcknowledgedFile {
    storage: Arc<dyn Storage>,
    path: String,
    /// What the file says, unless `is_in_doubt`.
    last: Acknowledged,
    /// `None` until the first entry, and after a failure.
    file: Option<Box<dyn AppendFile>>,
    is_in_doubt: bool,
}

impl AcknowledgedFile {
    /// The file of the partition in `folder`, which says `last`.
    pub fn new(storage: Arc<dyn Storage>, folder: &str, last: Acknowledged) -> Self {
        Self {
            storage,
            path: acknowledged_path(folder),
            last,
            file: None,
            is_in_doubt: false,
        }
    }

    /// Notes that records up to `end` are on the disk. After an error the file may say so or not:
    /// [`AcknowledgedFile::settle`] before those records are removed.
    pub fn note(&mut self, end: Acknowledged) -> Result<()> {
        self.is_in_doubt = true;
        match &mut self.file {
            Some(file) if file.length() < FILE_BYTES_MAX => file.append(&end.to_bytes())?,
            _ => {
                self.file = None;
                end.save(&*self.storage, &self.path)?;
                self.file = Some(self.storage.append(&self.path)?);
            }
        }
        self.last = end;
        self.is_in_doubt = false;
        Ok(())
    }

    /// After an entry that failed: sees to it that the file says no more than it said before, durably.
    pub fn settle(&mut self) -> Result<()> {
        if !self.is_in_doubt {
            return Ok(());
        }
        self.file = None;
        // CRASH: mostly the entry is not there, and what made it fail (a full disk, a folder that may not
        // be written to) would make this fail, too. Then records that were refused would stay, and be
        // taken for stored if the process died.
        if let Ok(found) = Acknowledged::load(&*self.storage, &self.path)
            && found.is_none_or(|found| found <= self.last)
        {
            self.is_in_doubt = false;
            return Ok(());
        }
        self.last.save(&*self.storage, &self.path)?;
        self.is_in_doubt = false;
        Ok(())
    }

    /// Makes the entries at `path` durable, whoever writes it meanwhile.
    pub fn sync(storage: &dyn Storage, path: &str) -> Result<()> {
        match storage.length(path)? {
            Some(_) => storage.append(path)?.sync(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::ErrorKind;
    use millstream_core::memory::MemoryStorage;

    use super::*;

    fn end(next: u64) -> Acknowledged {
        Acknowledged {
            base: 5,
            position: 24 + 60 * next,
            next: 5 + next,
        }
    }

    fn world() -> (MemoryStorage, AcknowledgedFile) {
        let storage = MemoryStorage::default();
        let file = AcknowledgedFile::new(Arc::new(storage.clone()), "p/", Acknowledged::default());
        (storage, file)
    }

    fn load(storage: &MemoryStorage) -> Result<Option<Acknowledged>> {
        Acknowledged::load(storage, "p/acknowledged")
    }

    #[test]
    fn the_newest_entry_counts_and_the_file_stays_small() {
        let (storage, mut file) = world();
        assert_eq!(load(&storage).unwrap(), None);
        for next in 1..5_000 {
            file.note(end(next)).unwrap();
            assert_eq!(load(&storage).unwrap(), Some(end(next)));
            let length = storage.length("p/acknowledged").unwrap().unwrap();
            assert!(length <= FILE_BYTES_MAX, "{length}");
        }
    }

    #[test]
    fn a_power_failure_leaves_the_last_synced_entry() {
        let (storage, mut file) = world();
        AcknowledgedFile::sync(&storage, "p/acknowledged").unwrap();
        assert_eq!(load(&storage).unwrap(), None, "syncing does not make it");
        for next in [1, 2, 3] {
            file.note(end(next)).unwrap();
        }
        AcknowledgedFile::sync(&storage, "p/acknowledged").unwrap();
        file.note(end(4)).unwrap();
        assert_eq!(load(&storage).unwrap(), Some(end(4)));
        storage.crash();
        assert_eq!(load(&storage).unwrap(), Some(end(3)));
    }

    #[test]
    fn damaged_entries_count_for_nothing_and_a_file_of_them_is_refused() {
        let (storage, mut file) = world();
        for next in [1, 2] {
            file.note(end(next)).unwrap();
        }
        let bytes = storage.read("p/acknowledged").unwrap();
        let check = |bytes: &[u8], expected: Option<u64>| {
            storage.put("p/acknowledged", bytes).unwrap();
            match expected {
                Some(next) => assert_eq!(load(&storage).unwrap(), Some(end(next))),
                None => {
                    let error = load(&storage).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    assert!(
                        error.to_string().starts_with("`p/acknowledged`: "),
                        "{error}"
                    );
                }
            }
        };
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            check(&damaged, Some(if bit < ENTRY_BYTES * 8 { 2 } else { 1 }));
            check(
                &damaged[bit / 8 / ENTRY_BYTES * ENTRY_BYTES..][..ENTRY_BYTES],
                None,
            );
        }
        for length in 0..=bytes.len() {
            let whole = length / ENTRY_BYTES;
            check(&bytes[..length], (whole > 0).then_some(whole as u64));
        }
    }
}
