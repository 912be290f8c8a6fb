//! [`PendingStore`]: epochs that a pipeline has handed over and that no snapshot holds yet.
//!
//! ```text
//! lake/pending/<pipeline>/<sink>/<10 digits>-<20 digits>.json     incarnation, epoch
//! {"format":1,"crc32":<u32>,"body":{"created_ms":…,"shards":[…]}}
//! ```
//!
//! The checksum (CRC-32, IEEE) is that of the bytes of `body`. A file is written with put-if-absent, which
//! is how a sink commits an epoch, and deleted once a snapshot holds its rows.

use std::sync::Arc;

use millstream_core::storage::Storage;
use millstream_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::commit::Mark;
use super::staged::Payload;
use super::writer::Names;

const FORMAT: u32 = 1;

/// The pending epochs of one writer.
pub(super) struct PendingStore {
    storage: Arc<dyn Storage>,
    folder: String,
}

/// An epoch that waits for a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// When it was handed over.
    pub created_ms: i64,
    /// What each shard has staged.
    pub shards: Vec<Payload>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: u32,
    crc32: u32,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Pending {
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(Payload::bytes).sum()
    }

    pub fn rows(&self) -> u64 {
        self.shards.iter().map(Payload::rows).sum()
    }
}

impl PendingStore {
    pub fn new(storage: Arc<dyn Storage>, names: &Names) -> Self {
        Self {
            storage,
            folder: format!("lake/pending/{}/{}/", names.pipeline, names.sink),
        }
    }

    fn path(&self, mark: Mark) -> String {
        format!(
            "{}{:010}-{:020}.json",
            self.folder, mark.incarnation, mark.epoch
        )
    }

    /// All that wait, oldest first. `Corrupt` for a name that is none of ours.
    pub fn list(&self) -> Result<Vec<Mark>> {
        let paths = self.storage.list(&self.folder)?;
        let mark = |path: &String| {
            let stem = path[self.folder.len()..].strip_suffix(".json")?;
            let (incarnation, epoch) = stem.split_once('-')?;
            Some(Mark {
                incarnation: incarnation.parse().ok()?,
                epoch: epoch.parse().ok()?,
            })
        };
        let marks = paths.iter().map(|path| {
            let wrong = || format!("`{path}`: expected `<incarnation>-<epoch>.json`");
            mark(path).ok_or_else(|| Error::corrupt(wrong()))
        });
        let mut marks = marks.collect::<Result<Vec<_>>>()?;
        marks.sort_unstable();
        Ok(marks)
    }

    /// Hands an epoch over; one that was handed over before stays as it is.
    pub fn put(&self, mark: Mark, pending: &Pending) -> Result<()> {
        let body = serde_json::to_string(pending).expect("keys are strings");
        let crc32 = crc32fast::hash(body.as_bytes());
        let body = RawValue::from_string(body).expect("it is JSON");
        let envelope = Envelope {
            format: FORMAT,
            crc32,
            body: &body,
        };
        let bytes = serde_json::to_vec(&envelope).expect("keys are strings");
        match self.storage.put_if_absent(&self.path(mark), &bytes) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            other => other,
        }
    }

    /// `Corrupt` with the file's path if it is not what was written.
    pub fn read(&self, mark: Mark) -> Result<Pending> {
        let path = self.path(mark);
        let bytes = self.storage.read(&path)?;
        let damaged = |what: String| Error::corrupt(format!("`{path}`: {what}"));
        let envelope: Envelope =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if envelope.format != FORMAT {
            let found = envelope.format;
            return Err(damaged(format!("found format {found}, expected {FORMAT}")));
        }
        let found = crc32fast::hash(envelope.body.get().as_bytes());
        if found != envelope.crc32 {
            let expected = envelope.crc32;
            let message = format!("found crc32={found:08x}, expected crc32={expected:08x}");
            return Err(damaged(message));
        }
        serde_json::from_str(envelope.body.get()).map_err(|error| damaged(error.to_string()))
    }

    pub fn remove(&self, mark: Mark) -> Result<()> {
        self.storage.delete(&self.path(mark))
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::memory::MemoryStorage;

    use super::*;

    fn mark(incarnation: u64, epoch: u64) -> Mark {
        Mark { incarnation, epoch }
    }

    fn store() -> (Arc<dyn Storage>, PendingStore) {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let names = Names {
            pipeline: "p".to_owned(),
            sink: "s".to_owned(),
            files: "p-s".to_owned(),
        };
        (storage.clone(), PendingStore::new(storage, &names))
    }

    fn at(created_ms: i64) -> Pending {
        Pending {
            created_ms,
            shards: vec![],
        }
    }

    #[test]
    fn an_epoch_is_handed_over_once() {
        let (_, pending) = store();
        pending.put(mark(0, 9), &at(1)).unwrap();
        pending.put(mark(0, 10), &at(2)).unwrap();
        pending.put(mark(1, 3), &at(3)).unwrap();
        pending.put(mark(0, 9), &at(4)).unwrap();
        let all = [mark(0, 9), mark(0, 10), mark(1, 3)];
        assert_eq!(pending.list().unwrap(), all);
        assert_eq!(pending.read(mark(0, 9)).unwrap().created_ms, 1);
        pending.remove(mark(0, 9)).unwrap();
        assert_eq!(pending.list().unwrap(), all[1..]);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let (storage, pending) = store();
        pending.put(mark(0, 1), &at(1)).unwrap();
        let path = storage.list("").unwrap().remove(0);
        let text = String::from_utf8(storage.read(&path).unwrap()).unwrap();
        storage
            .put(
                &path,
                text.replace("\"created_ms\":1", "\"created_ms\":2")
                    .as_bytes(),
            )
            .unwrap();
        let error = pending.read(mark(0, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&path), "{error}");
    }
}
