//! A topic log on storage in memory, and text in, text out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_core::memory::MemoryStorage;
use millstream_core::source::{RawBatch, Read, ReadLimit, SplitReader};
use millstream_core::storage::Storage;
use millstream_core::{Error, Offset, Result};

use crate::test_env::TestEnv;
use crate::topic::{Appended, RecordSet, TopicLog, TopicLogConfig};

/// As much as there is.
pub const ALL: ReadLimit = ReadLimit {
    rows: usize::MAX,
    bytes: usize::MAX,
};

/// The file that says where acknowledged records end.
pub const NOTED: &str = "topics/t/0/acknowledged";

/// A log with one topic `t` of one partition.
pub struct World {
    pub storage: MemoryStorage,
    pub env: Arc<TestEnv>,
    pub config: TopicLogConfig,
    pub log: Arc<TopicLog>,
}

impl World {
    pub fn new() -> Self {
        Self::with(TopicLogConfig::default())
    }

    /// Segments that are full after a batch or two.
    pub fn with_small_segments() -> Self {
        Self::with(TopicLogConfig {
            segment_bytes: 150,
            ..TopicLogConfig::default()
        })
    }

    pub fn with(config: TopicLogConfig) -> Self {
        let storage = MemoryStorage::default();
        let env = Arc::new(TestEnv::default());
        let log = TopicLog::open(Arc::new(storage.clone()), env.clone(), config).unwrap();
        log.create_topic("t", 1).unwrap();
        Self {
            storage,
            env,
            config,
            log,
        }
    }

    /// Power fails, and the log is opened again.
    pub fn crash(&mut self) {
        self.storage.crash();
        self.reopen().unwrap();
    }

    pub fn reopen(&mut self) -> Result<()> {
        let storage: Arc<dyn Storage> = Arc::new(self.storage.clone());
        self.log = TopicLog::open(storage, self.env.clone(), self.config)?;
        Ok(())
    }

    pub fn set_time(&self, now_ms: i64) {
        self.env.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// Appends words as records.
    pub fn append(&self, words: &str) -> Appended {
        self.log.append("t", Some(0), &records(words)).unwrap()
    }

    /// All records from `from` as words with their offsets: `0:a 1:b`.
    pub fn read(&self, from: u64) -> Result<String> {
        let mut reader = self.log.reader("t", 0, Offset(from))?;
        drain(&mut reader, ALL)
    }

    /// The segments' names and lengths.
    pub fn segments(&self) -> Vec<(u64, u64)> {
        let paths = self.storage.list("topics/t/0/").unwrap();
        let logs = paths.iter().filter_map(|path| {
            let base = path.strip_prefix("topics/t/0/")?.strip_suffix(".log")?;
            Some((
                base.parse().unwrap(),
                self.storage.length(path).unwrap().unwrap(),
            ))
        });
        logs.collect()
    }

    /// Changes the bytes of a segment.
    pub fn edit(&self, base: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let path = path(base);
        let mut bytes = self.storage.read(&path).unwrap();
        change(&mut bytes);
        self.storage.put(&path, &bytes).unwrap();
    }

    /// Adds bytes to a segment, as a process does that dies before it can sync.
    pub fn append_unsynced(&self, base: u64, bytes: &[u8]) {
        let mut file = self.storage.append(&path(base)).unwrap();
        file.append(bytes).unwrap();
    }

    /// What is noted as acknowledged.
    pub fn noted(&self) -> Vec<u8> {
        self.storage.read(NOTED).unwrap()
    }

    pub fn set_noted(&self, bytes: &[u8]) {
        self.storage.put(NOTED, bytes).unwrap();
    }

    pub fn end(&self) -> u64 {
        self.log.end_offsets("t").unwrap()[0].0
    }
}

pub fn path(base: u64) -> String {
    format!("topics/t/0/{base:020}.log")
}

pub fn records(words: &str) -> RecordSet {
    RecordSet::from_records(words.split_whitespace()).unwrap()
}

/// Reads until nothing is there.
pub fn drain(reader: &mut dyn SplitReader, limit: ReadLimit) -> Result<String> {
    let mut words = Vec::new();
    while let Read::Records(batch) = reader.read(limit)? {
        assert!(!batch.is_empty() && batch.len() <= limit.rows.max(1));
        words.push(text(&batch));
    }
    Ok(words.join(" "))
}

pub fn text(batch: &RawBatch) -> String {
    assert_eq!(batch.offsets.len(), batch.len());
    assert_eq!(batch.timestamps.as_ref().map(Vec::len), Some(batch.len()));
    let word = |index| {
        let record = String::from_utf8_lossy(batch.record(index)).into_owned();
        format!("{}:{record}", batch.offsets[index])
    };
    (0..batch.len()).map(word).collect::<Vec<_>>().join(" ")
}

/// Asserts that the error's text has all of these parts.
pub fn check_error<T: std::fmt::Debug>(
    result: Result<T>,
    kind: millstream_core::ErrorKind,
    parts: &[&str],
) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(
            error.to_string().contains(part),
            "`{error}` has no `{part}`"
        );
    }
    error
}
