//! [`TopicLog`]: all topics of a data directory. Finds the partition, bounds what waits to be
//! written, and tells those who wait for data.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use millstream_core::env::Env;
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, Offset, Result};

use super::config::TopicLogConfig;
use super::definition::{TopicOptions, check_name};
use super::partition::{Partition, PartitionParts};
use super::pending::PendingBytes;
use super::producer::ProducerEpoch;
use super::reader::TopicReader;
use super::record_set::{EncodedBatch, RecordSet};
use super::status::{Appended, TopicStatus};
use super::writer::Request;

/// Where topics are.
pub(super) const FOLDER: &str = "topics/";
/// The file that says what a topic is.
pub(super) const DEFINITION: &str = "topic.json";

/// All topics. Shared between threads.
pub struct TopicLog {
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    config: TopicLogConfig,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    pending: PendingBytes,
    generation: Mutex<u64>,
    appended: Condvar,
}

struct Topic {
    options: TopicOptions,
    partitions: Vec<Arc<Partition>>,
    /// Appends that name no partition go round.
    turn: AtomicUsize,
}

impl TopicLog {
    /// Opens all topics in `storage`, cutting torn tails. `Corrupt` if acknowledged data in the
    /// last segment of a partition is damaged.
    pub fn open(
        storage: Arc<dyn Storage>,
        env: Arc<dyn Env>,
        config: TopicLogConfig,
    ) -> Result<Arc<Self>> {
        let log = Self {
            storage,
            env,
            config,
            topics: RwLock::default(),
            pending: PendingBytes::new(config.pending_bytes_max),
            generation: Mutex::new(0),
            appended: Condvar::new(),
        };
        let files = log.storage.list(FOLDER)?;
        let mut by_topic: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in &files {
            if let Some((topic, _)) = file[FOLDER.len()..].split_once('/') {
                by_topic.entry(topic).or_default().push(file);
            }
        }
        let mut topics = BTreeMap::new();
        for (name, files) in by_topic {
            let path = format!("{FOLDER}{name}/{DEFINITION}");
            if !files.contains(&path.as_str()) {
                return Err(Error::corrupt(format!(
                    "`{path}` is missing, its partitions are not"
                )));
            }
            let options = TopicOptions::from_json(&path, &log.storage.read(&path)?)?;
            topics.insert(
                name.to_owned(),
                Arc::new(log.open_topic(name, options, &files)?),
            );
        }
        *log.topics.write().unwrap_or_else(PoisonError::into_inner) = topics;
        Ok(Arc::new(log))
    }

    fn open_topic(&self, name: &str, options: TopicOptions, files: &[&str]) -> Result<Topic> {
        let open = |partition: u32| {
            let folder = format!("{FOLDER}{name}/{partition}/");
            let own: Vec<&str> = files
                .iter()
                .copied()
                .filter(|file| file.starts_with(&folder))
                .collect();
            let parts = PartitionParts {
                storage: self.storage.clone(),
                env: self.env.clone(),
                name: split_name(name, partition),
                folder: &folder,
                segment_bytes: self.config.segment_bytes,
            };
            Partition::open(parts, &own).map(Arc::new)
        };
        let partitions: Result<Vec<_>> = (0..options.partitions).map(open).collect();
        Ok(Topic {
            options,
            partitions: partitions?,
            turn: AtomicUsize::new(0),
        })
    }

    /// Makes a topic of so many partitions, durably. `Conflict` if it is there, `InvalidInput` if
    /// it cannot have that name or number.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.create_topic_with(name, TopicOptions::partitions(partitions))
    }

    /// As [`TopicLog::create_topic`], with a retention of its own.
    pub fn create_topic_with(&self, name: &str, options: TopicOptions) -> Result<()> {
        check_name(name)?;
        options
            .check()
            .map_err(|e| e.context(format!("topic `{name}`")))?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(name) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("topic `{name}` exists"),
            ));
        }
        let path = format!("{FOLDER}{name}/{DEFINITION}");
        let definition = options.to_json()?;
        match self.storage.put_if_absent(&path, &definition) {
            // An attempt that got no answer has made it. Nobody was told that it is there.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.storage.put(&path, &definition)?;
            }
            other => other?,
        }
        let topic = self.open_topic(name, options, &[])?;
        topics.insert(name.to_owned(), Arc::new(topic));
        Ok(())
    }

    /// Makes a topic unless it is there; with 2 partitions if `partitions` does not say.
    /// `InvalidInput` if it is there with another number of partitions than asked for.
    pub fn ensure_topic(&self, name: &str, partitions: Option<u32>) -> Result<()> {
        const DEFAULT_PARTITIONS: u32 = 2;
        if !self.topic_exists(name) {
            match self.create_topic(name, partitions.unwrap_or(DEFAULT_PARTITIONS)) {
                // Another thread has made it meanwhile.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                other => return other,
            }
        }
        let found = self.topic(name)?.options.partitions;
        match partitions {
            Some(expected) if expected != found => Err(Error::invalid(format!(
                "topic `{name}` has {found} partitions, expected {expected}"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether there is a topic called `name`.
    pub fn topic_exists(&self, name: &str) -> bool {
        self.topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(name)
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<TopicStatus> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics
            .iter()
            .map(|(name, topic)| topic.status(name))
            .collect()
    }

    /// The topic called `name`. `InvalidInput` if there is none.
    pub fn status(&self, name: &str) -> Result<TopicStatus> {
        Ok(self.topic(name)?.status(name))
    }

    /// The next offset of each partition. `InvalidInput` if there is no such topic.
    pub fn end_offsets(&self, name: &str) -> Result<Vec<Offset>> {
        let topic = self.topic(name)?;
        Ok(topic
            .partitions
            .iter()
            .map(|partition| Offset(partition.range().1))
            .collect())
    }

    /// The oldest offset of each partition. `InvalidInput` if there is no such topic.
    pub fn start_offsets(&self, name: &str) -> Result<Vec<Offset>> {
        let topic = self.topic(name)?;
        Ok(topic
            .partitions
            .iter()
            .map(|partition| Offset(partition.range().0))
            .collect())
    }

    /// Appends `records` as a whole to `partition`, or to each in turn if that is `None`, and
    /// returns once they are durable. `InvalidInput` if there is no such topic or partition,
    /// `Unavailable` if too much waits to be written already (nothing is stored: try again),
    /// `StorageFull` if the device is full. After another error the records are not in the log,
    /// unless the process dies before it can remove them.
    pub fn append(
        &self,
        topic: &str,
        partition: Option<u32>,
        records: &RecordSet,
    ) -> Result<Appended> {
        let name = topic;
        let topic = self.topic(name)?;
        let number = match partition {
            Some(number) => number,
            None => topic.next_turn(),
        };
        let partition = topic.partition(name, number)?;
        let count = records.len() as u64;
        if records.is_empty() {
            let base_offset = Offset(partition.range().1);
            return Ok(Appended {
                partition: number,
                base_offset,
                count,
            });
        }
        let _pending = self.pending.reserve(records)?;
        let batches = EncodedBatch::encode(std::slice::from_ref(records), None);
        let base_offset = partition.append(Request {
            batches,
            producer: None,
        })?;
        self.notify();
        let base_offset = base_offset.expect("only a producer's epoch can be there already");
        let base_offset = Offset(base_offset);
        Ok(Appended {
            partition: number,
            base_offset,
            count,
        })
    }

    /// Appends an epoch of a producer as a whole, once: `None` if the partition holds that epoch,
    /// or a later one, already. Otherwise as [`TopicLog::append`], but it is never told to try
    /// again: an epoch is in memory anyhow, there is one at a time of each producer, and clients
    /// that fill what may wait must not keep pipelines from committing. `Fenced` if a newer
    /// incarnation of the producer has appended.
    pub fn append_epoch(
        &self,
        topic: &str,
        partition: u32,
        producer: &ProducerEpoch,
        records: &[RecordSet],
    ) -> Result<Option<Appended>> {
        producer.check()?;
        let found = self.topic(topic)?;
        let to = found.partition(topic, partition)?;
        let count = records.iter().map(|set| set.len() as u64).sum();
        if count == 0 {
            return Ok(None);
        }
        let batches = EncodedBatch::encode(records, Some(producer));
        let producer = Some(Arc::new(producer.clone()));
        let base_offset = to.append(Request { batches, producer })?;
        if base_offset.is_some() {
            self.notify();
        }
        Ok(base_offset.map(|base_offset| Appended {
            partition,
            base_offset: Offset(base_offset),
            count,
        }))
    }

    /// The last epoch of the producer called `id` in any partition of `topic`, in its newest
    /// incarnation.
    pub fn last_epoch(&self, topic: &str, id: &str) -> Result<Option<(Incarnation, Epoch)>> {
        let topic = self.topic(topic)?;
        let marks = topic
            .partitions
            .iter()
            .filter_map(|partition| partition.last_epoch(id));
        Ok(marks.max().map(|mark| (mark.incarnation, mark.epoch)))
    }

    /// A reader of `partition` from offset `from`. `InvalidInput` if there is no such partition, or
    /// if retention has removed that offset; `Corrupt` if the log ends before it, as only offsets
    /// that were there once are asked for.
    pub fn reader(&self, topic: &str, partition: u32, from: Offset) -> Result<TopicReader> {
        let found = self.topic(topic)?;
        TopicReader::open(found.partition(topic, partition)?.clone(), from, None)
    }

    /// As [`TopicLog::reader`], and ends before offset `until`.
    pub fn bounded_reader(
        &self,
        topic: &str,
        partition: u32,
        (from, until): (Offset, Offset),
    ) -> Result<TopicReader> {
        let found = self.topic(topic)?;
        TopicReader::open(
            found.partition(topic, partition)?.clone(),
            from,
            Some(until.0),
        )
    }

    /// Removes segments that are too old at `now_ms`, or more than a partition may have; the
    /// number of bytes removed. The segment that is appended to always stays.
    pub fn enforce_retention(&self, now_ms: i64) -> Result<u64> {
        let mut removed = 0;
        for topic in self.all() {
            let retention_ms = topic.options.retention_ms.or(self.config.retention_ms);
            let before_ms = retention_ms.map(|age| now_ms.saturating_sub_unsigned(age));
            let bytes_max = topic
                .options
                .retention_bytes
                .or(self.config.retention_bytes);
            for partition in &topic.partitions {
                removed += partition.enforce_retention(before_ms, bytes_max)?;
            }
        }
        Ok(removed)
    }

    /// Makes durable what is noted as acknowledged: once a second, so that after a power failure
    /// next to nothing is in doubt, and before the process ends.
    pub fn sync_acknowledged(&self) -> Result<()> {
        for topic in self.all() {
            for partition in &topic.partitions {
                partition.sync_acknowledged()?;
            }
        }
        Ok(())
    }

    /// Waits until something was appended to any topic since the answer that was `seen`, at most
    /// `timeout`. Answers a number that goes up with every append; begin with 0.
    pub fn wait_for_data(&self, seen: u64, timeout: Duration) -> u64 {
        let generation = self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .appended
            .wait_timeout_while(generation, timeout, |generation| *generation <= seen);
        let (generation, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *generation
    }

    /// Bytes of single appends that wait to be written.
    pub fn pending_bytes(&self) -> usize {
        self.pending.get()
    }

    /// Appends to the first partition of a topic that wait for a writer.
    #[cfg(test)]
    pub(super) fn queued(&self, topic: &str) -> usize {
        self.topic(topic)
            .map_or(0, |topic| topic.partitions[0].queued())
    }

    fn notify(&self) {
        *self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        self.appended.notify_all();
    }

    fn all(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let topic = topics.get(name).cloned();
        topic.ok_or_else(|| Error::invalid(format!("unknown topic `{name}`")))
    }
}

impl Topic {
    fn next_turn(&self) -> u32 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.partitions.len();
        u32::try_from(turn).expect("at most 4096 partitions")
    }

    fn partition(&self, name: &str, number: u32) -> Result<&Arc<Partition>> {
        self.partitions.get(number as usize).ok_or_else(|| {
            let count = self.partitions.len();
            Error::invalid(format!(
                "topic `{name}` has {count} partitions, found number {number}"
            ))
        })
    }

    fn status(&self, name: &str) -> TopicStatus {
        let partitions = (0..).zip(&self.partitions);
        TopicStatus {
            name: name.to_owned(),
            partitions: partitions
                .map(|(number, partition)| partition.status(number))
                .collect(),
        }
    }
}

/// What a partition is called in messages and as a split.
pub(super) fn split_name(topic: &str, partition: u32) -> String {
    format!("{topic}-{partition}")
}
