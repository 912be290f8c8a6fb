//! Who appended epochs, and how far: what makes a pipeline's appends happen once.

use std::collections::BTreeMap;

#[cfg(feature = "mutants")]
use millstream_core::mutant::Mutant;
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::definition::newer;

/// A producer's name has at most so many bytes.
const ID_BYTES_MAX: usize = 4096;

/// One epoch of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEpoch {
    /// The producer's stable name: `pipeline/sink`.
    pub id: String,
    /// Its incarnation. A newer one shuts out older ones.
    pub incarnation: Incarnation,
    /// The epoch.
    pub epoch: Epoch,
}

impl ProducerEpoch {
    /// `InvalidInput` if the name is empty or too long.
    pub(super) fn check(&self) -> Result<()> {
        if self.id.is_empty() || self.id.len() > ID_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a producer's name has {} bytes, expected 1 to {ID_BYTES_MAX}",
                self.id.len()
            )));
        }
        Ok(())
    }
}

/// The last epoch of each producer of a partition. Ordered by incarnation, then epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Producers {
    last: BTreeMap<String, Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Mark {
    pub incarnation: Incarnation,
    pub epoch: Epoch,
}

/// `producers.json`.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    format: u32,
    crc32: u32,
    producers: Box<RawValue>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

const FORMAT: u32 = 1;

impl Producers {
    /// Whether `producer`'s epoch is in the log. `Fenced` if a newer incarnation has appended.
    pub fn holds(&self, producer: &ProducerEpoch) -> Result<bool> {
        let Some(last) = self.last.get(&producer.id) else {
            return Ok(false);
        };
        if last.incarnation > producer.incarnation {
            return Err(Error::new(
                ErrorKind::Fenced,
                format!(
                    "`{}` is at incarnation {}, found an append of the older incarnation {}",
                    producer.id, last.incarnation, producer.incarnation
                ),
            ));
        }
        #[cfg(feature = "mutants")]
        if Mutant::TopicForgets.is_out() {
            return Ok(false);
        }
        Ok(last.incarnation == producer.incarnation && last.epoch >= producer.epoch)
    }

    /// Remembers an epoch, unless a later one is known.
    pub fn advance(&mut self, producer: &ProducerEpoch) {
        let mark = Mark {
            incarnation: producer.incarnation,
            epoch: producer.epoch,
        };
        let last = self.last.entry(producer.id.clone()).or_insert(mark);
        *last = mark.max(*last);
    }

    /// The last epoch of the producer called `id`.
    pub fn last(&self, id: &str) -> Option<Mark> {
        self.last.get(id).copied()
    }

    /// The last epoch of each producer, by name.
    pub fn all(&self) -> impl Iterator<Item = (&String, Mark)> {
        self.last.iter().map(|(id, mark)| (id, *mark))
    }

    /// Reads the checkpoint at `path`; nobody if it is not there.
    pub fn load(storage: &dyn Storage, path: &str) -> Result<Self> {
        if storage.length(path)?.is_none() {
            return Ok(Self::default());
        }
        let bytes = storage.read(path)?;
        let damaged = |why: String| Error::corrupt(format!("`{path}`: {why}"));
        if let Ok(Format { format }) = serde_json::from_slice(&bytes)
            && format > FORMAT
        {
            return Err(newer(path, format, FORMAT));
        }
        let checkpoint: Checkpoint =
            serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if checkpoint.format != FORMAT {
            let found = checkpoint.format;
            return Err(damaged(format!("found format {found}, expected {FORMAT}")));
        }
        let text = checkpoint.producers.get();
        if crc32fast::hash(text.as_bytes()) != checkpoint.crc32 {
            return Err(damaged("the checksum is wrong".into()));
        }
        let last = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { last })
    }

    /// Writes the checkpoint to `path`, durably.
    pub fn save(&self, storage: &dyn Storage, path: &str) -> Result<()> {
        let bug = |error: serde_json::Error| Error::bug(error.to_string());
        let producers = serde_json::value::to_raw_value(&self.last).map_err(bug)?;
        let crc32 = crc32fast::hash(producers.get().as_bytes());
        let checkpoint = Checkpoint {
            format: FORMAT,
            crc32,
            producers,
        };
        storage.put(path, &serde_json::to_vec(&checkpoint).map_err(bug)?)
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::memory::MemoryStorage;

    use super::*;

    fn epoch(incarnation: u64, epoch: u64) -> ProducerEpoch {
        let (incarnation, epoch) = (Incarnation(incarnation), Epoch(epoch));
        ProducerEpoch {
            id: "p/s".into(),
            incarnation,
            epoch,
        }
    }

    #[test]
    fn epochs_are_held_once_and_old_incarnations_are_fenced() {
        let mut producers = Producers::default();
        assert!(!producers.holds(&epoch(0, 1)).unwrap());
        producers.advance(&epoch(0, 5));
        assert!(producers.holds(&epoch(0, 4)).unwrap());
        assert!(producers.holds(&epoch(0, 5)).unwrap());
        assert!(!producers.holds(&epoch(0, 6)).unwrap());
        // Rewound to epoch 2: the new incarnation appends epoch 3 again.
        assert!(!producers.holds(&epoch(1, 3)).unwrap());
        producers.advance(&epoch(1, 3));
        producers.advance(&epoch(0, 9));
        assert!(producers.holds(&epoch(1, 3)).unwrap());
        assert_eq!(
            producers.holds(&epoch(0, 9)).unwrap_err().kind(),
            ErrorKind::Fenced
        );
    }

    #[test]
    fn a_checkpoint_comes_back_and_damage_is_found() {
        let storage = MemoryStorage::default();
        let load = || Producers::load(&storage, "p.json");
        assert_eq!(load().unwrap(), Producers::default());
        let mut producers = Producers::default();
        producers.advance(&epoch(1, 2));
        producers.save(&storage, "p.json").unwrap();
        assert_eq!(load().unwrap(), producers);
        let text = String::from_utf8(storage.read("p.json").unwrap()).unwrap();
        for (from, to) in [
            ("\"epoch\":2", "\"epoch\":3"),
            ("\"format\":1", "\"format\":0"),
            ("{", ""),
        ] {
            assert!(text.contains(from), "{text}");
            storage
                .put("p.json", text.replacen(from, to, 1).as_bytes())
                .unwrap();
            let error = load().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().starts_with("`p.json`: "), "{error}");
        }
    }
}
