//! Random appends, failures, crashes and reads, compared with a list. A seed that found a bug
//! becomes a named test.

use std::sync::Arc;

use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::{Epoch, ErrorKind, Incarnation, Offset};

use super::faulty::{FaultyStorage, Operation};
use crate::test_env::TestEnv;
use crate::topic::{ProducerEpoch, RecordSet, TopicLog, TopicLogConfig, TopicReader};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

struct Run {
    random: Random,
    storage: FaultyStorage,
    config: TopicLogConfig,
    log: Arc<TopicLog>,
    reader: TopicReader,
    /// What the log holds.
    model: Vec<Vec<u8>>,
    epoch: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let storage = FaultyStorage::default();
        let segment_bytes = [1, 300, 5_000, 1 << 20][random.below(4) as usize];
        let config = TopicLogConfig {
            segment_bytes,
            ..TopicLogConfig::default()
        };
        let log = Self::open(&storage, config);
        log.create_topic("t", 1).unwrap();
        let reader = log.reader("t", 0, Offset(0)).unwrap();
        Self {
            random,
            storage,
            config,
            log,
            reader,
            model: vec![],
            epoch: 0,
        }
    }

    fn open(storage: &FaultyStorage, config: TopicLogConfig) -> Arc<TopicLog> {
        TopicLog::open(
            Arc::new(storage.clone()),
            Arc::new(TestEnv::default()),
            config,
        )
        .unwrap()
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=3 => self.append(),
            4..=5 => self.append_epoch(),
            6 => self.fail_something(),
            7 => self.crash(),
            _ => self.read(),
        }
    }

    fn records(&mut self) -> Vec<Vec<u8>> {
        let count = 1 + self.random.below(5);
        let random = &mut self.random;
        let mut record = || {
            // Mostly small; sometimes an append takes several batches.
            let bound = if random.below(40) == 0 { 2 << 20 } else { 50 };
            let length = random.below(bound) as usize;
            let byte = random.next().to_le_bytes()[0];
            vec![byte; length]
        };
        (0..count).map(|_| record()).collect()
    }

    fn append(&mut self) {
        let records = self.records();
        let set = RecordSet::from_records(&records).unwrap();
        if let Ok(appended) = self.log.append("t", None, &set) {
            assert_eq!(appended.base_offset.0 as usize, self.model.len());
            self.model.extend(records);
        }
    }

    /// The next epoch until it is there, then once more.
    fn append_epoch(&mut self) {
        let records = self.records();
        let set = RecordSet::from_records(&records).unwrap();
        let producer = ProducerEpoch {
            id: "p/s".into(),
            incarnation: Incarnation(0),
            epoch: Epoch(self.epoch + 1),
        };
        let append = || {
            self.log
                .append_epoch("t", 0, &producer, std::slice::from_ref(&set))
        };
        let appended = (0..10)
            .find_map(|_| append().ok())
            .expect("faults do not last");
        let base = appended.expect("it is new").base_offset.0;
        assert_eq!(base as usize, self.model.len());
        self.epoch += 1;
        self.model.extend(records);
        if self.random.below(2) == 0 {
            self.crash();
        }
        self.storage.control.heal();
        assert_eq!(
            self.log.append_epoch("t", 0, &producer, &[set]).unwrap(),
            None
        );
    }

    fn fail_something(&mut self) {
        use Operation::{Append, Note, Put, PutThenFail, Sync, SyncThenFail};
        const ALL: [Operation; 6] = [Append, Sync, SyncThenFail, Put, PutThenFail, Note];
        let operation = ALL[self.random.below(6) as usize];
        if matches!(operation, Put | PutThenFail | Note) {
            // One at a time: a log that can neither note nor settle keeps what it was not asked to
            // promise, and a crash would show it.
            self.storage.control.heal();
        }
        self.storage
            .control
            .fail_next(operation, ErrorKind::StorageFull);
    }

    fn crash(&mut self) {
        self.storage.control.heal();
        self.storage.inner.crash();
        self.log = Self::open(&self.storage, self.config);
        assert_eq!(
            self.log.end_offsets("t").unwrap()[0].0 as usize,
            self.model.len()
        );
        self.reader = self.log.reader("t", 0, self.reader.offset()).unwrap();
    }

    /// Follows with one reader; sometimes from another place.
    fn read(&mut self) {
        if self.random.below(3) == 0 {
            let from = self.random.below(self.model.len() as u64 + 1);
            self.reader = self.log.reader("t", 0, Offset(from)).unwrap();
        }
        let rows = 1 + self.random.below(20) as usize;
        let bytes = self.random.below(1 << 18) as usize;
        let from = self.reader.offset().0 as usize;
        match self.reader.read(ReadLimit { rows, bytes }).unwrap() {
            Read::Records(batch) => {
                assert!((1..=rows).contains(&batch.len()));
                for index in 0..batch.len() {
                    assert_eq!(batch.offsets[index] as usize, from + index);
                    assert!(batch.record(index) == self.model[from + index]);
                }
            }
            Read::Pending => assert_eq!(from, self.model.len()),
            other => panic!("found {other:?}"),
        }
    }
}

#[test]
fn the_log_is_a_list_that_survives() {
    for seed in 0..60 {
        let run = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            (0..150).for_each(|_| run.step());
            run.crash();
        });
        assert!(run.is_ok(), "seed={seed}");
    }
}
