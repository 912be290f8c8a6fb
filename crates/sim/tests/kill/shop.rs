//! A shop: topics and files are read; sessions, a join and copies are written to hot tables, files,
//! the lake and a topic. No table has a key, so that what comes twice is seen twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_sim::env::SplitMix;

use super::load::Pace;
use super::process::{Client, Posted, Timer, pause};

/// The pipeline.
pub const PIPELINE: &str = "
SET 'pipeline.name' = 'shop';
CREATE TABLE clicks (
  id STRING, user_id STRING, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '2' SECOND
) WITH ('connector' = 'http', 'topic' = 'shop.clicks', 'topic.partitions' = '2', 'format' = 'json');
CREATE TABLE purchases (
  id STRING, user_id STRING, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '2' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'shop.purchases', 'topic.partitions' = '1', 'format' = 'json');
CREATE TABLE orders (id STRING, amount BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${IN}', 'format' = 'json', 'source.monitor-interval' = '1 s');

CREATE TABLE visits (user_id STRING, first_ts BIGINT, last_ts BIGINT, clicks BIGINT)
WITH ('connector' = 'clickhouse');
CREATE TABLE bought (click STRING, purchase STRING) WITH ('connector' = 'clickhouse');
CREATE TABLE even_clicks (id STRING)
WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'json');
CREATE TABLE odd_clicks (id STRING, ts BIGINT)
WITH ('connector' = 'iceberg', 'commit.max-age' = '2 s', 'commit.target-size' = '256 kb');
CREATE TABLE order_copies (id STRING)
WITH ('connector' = 'kafka', 'topic' = 'shop.orders', 'format' = 'json');

INSERT INTO visits
SELECT user_id, MIN(ts), MAX(ts), COUNT(*)
FROM TABLE(SESSION(TABLE clicks PARTITION BY user_id, DESCRIPTOR(event_time), INTERVAL '3' SECOND))
GROUP BY user_id, window_start, window_end;

INSERT INTO bought
SELECT c.id, p.id FROM clicks AS c JOIN purchases AS p ON c.user_id = p.user_id
  AND p.event_time BETWEEN c.event_time AND c.event_time + INTERVAL '2' SECOND;

INSERT INTO even_clicks SELECT id FROM clicks WHERE MOD(ts, 2) = 0;
INSERT INTO odd_clicks SELECT id, ts FROM clicks WHERE MOD(ts, 2) = 1;
INSERT INTO order_copies SELECT id FROM orders;
";

/// How long a user is silent before the next visit, in ms, as in the pipeline.
pub const GAP_MS: i64 = 3_000;
/// How long after a click a purchase belongs to it, in ms, as in the pipeline.
pub const BOUGHT_MS: i64 = 2_000;
/// Topics and how many partitions they have.
pub const TOPICS: [(&str, u32); 2] = [("shop.clicks", 2), ("shop.purchases", 1)];

const START_MS: i64 = 1_749_967_200_000;
/// Event time from round to round, in ms.
const STEP_MS: i64 = 350;
/// A round takes at least so long, in ms.
const ROUND_MS: u64 = 30;
/// Times are multiples of this, in ms: no two are just a gap apart, where it matters who counts how.
const GRAIN_MS: i64 = 7;
/// Up to so many grains before the newest is an event: less than the watermark's delay.
const JITTER: u64 = 140;
const USERS: u64 = 300;
const CLICKS: u64 = 24;
const PURCHASES: u64 = 6;
/// Rounds from file to file.
const FILE_EVERY: u64 = 20;
const ORDERS: u64 = 10;
/// When the closing events happen, in ms after all others.
const CLOSING_MS: i64 = 3_600_000;

/// A partition of a topic, and where in it a batch begins.
pub type Position = (&'static str, u32, u64);

/// What was sent, and what is known of it.
#[derive(Default)]
pub struct Sent {
    /// Batches that were acknowledged, by where they are.
    pub acknowledged: BTreeMap<Position, Vec<String>>,
    /// Batches whose answer was lost, by their first record: there as a whole, or not at all.
    pub in_doubt: BTreeMap<String, Vec<String>>,
    /// How many orders lie in files; they are called `o0`, `o1`, ….
    pub orders: u64,
}

/// Sends events and puts files into a folder.
pub struct Shop {
    client: Client,
    pace: Arc<Pace>,
    random: SplitMix,
    input: PathBuf,
    now_ms: i64,
    events: u64,
    rounds: u64,
    sent: Sent,
}

impl Shop {
    /// For a server whose topics are empty. Files go to `input`.
    pub fn new(client: Client, input: &Path, (pace, seed): (Arc<Pace>, u64)) -> Self {
        Self {
            client,
            pace,
            random: SplitMix::new(seed),
            input: input.to_owned(),
            now_ms: START_MS,
            events: 0,
            rounds: 0,
            sent: Sent::default(),
        }
    }

    /// Sends until it is stopped.
    pub fn run(&mut self) {
        let timer = Timer::start();
        loop {
            let due = Duration::from_millis(self.rounds * ROUND_MS);
            let ahead = due.saturating_sub(timer.elapsed());
            let wait_ms = u64::try_from(ahead.as_millis()).expect("a short time");
            if self.pace.wait(wait_ms) {
                return;
            }
            self.now_ms += STEP_MS;
            for (topic, partitions) in TOPICS {
                for partition in 0..partitions {
                    let count = if topic == "shop.clicks" {
                        CLICKS
                    } else {
                        PURCHASES
                    };
                    let batch = (0..count).map(|_| self.event()).collect();
                    self.send((topic, partition), batch);
                }
            }
            if self.rounds.is_multiple_of(FILE_EVERY) {
                self.put_file();
            }
            self.rounds += 1;
        }
    }

    /// Completes every visit: an event long after all others to each partition, of a user of its own.
    pub fn close(mut self) -> Sent {
        let ts = self.now_ms + CLOSING_MS / GRAIN_MS * GRAIN_MS;
        for (topic, partitions) in TOPICS {
            for partition in 0..partitions {
                let mut is_in = false;
                while !is_in {
                    self.events += 1;
                    let id = format!("e{}", self.events);
                    let user = format!("{topic}-{partition}");
                    is_in = self.send((topic, partition), vec![text(&id, &user, ts)]);
                }
            }
        }
        self.sent
    }

    fn event(&mut self) -> String {
        self.events += 1;
        let age = i64::try_from(self.random.below(JITTER)).expect("small") * GRAIN_MS;
        let user = format!("u{}", self.random.below(USERS));
        text(&format!("e{}", self.events), &user, self.now_ms - age)
    }

    /// Sends a batch until it is acknowledged, or its answer lost. Whether it is acknowledged.
    fn send(&mut self, (topic, partition): (&'static str, u32), batch: Vec<String>) -> bool {
        let path = format!("/v1/events/{topic}?partition={partition}");
        loop {
            let body = batch.join("\n");
            match self.client.post(&path, "application/x-ndjson", &body) {
                Posted::NotTaken => pause(),
                Posted::Unknown => {
                    self.sent.in_doubt.insert(batch[0].clone(), batch);
                    return false;
                }
                Posted::Answered(answer) => {
                    let first = answer["first_offset"].as_u64().expect("a number");
                    let before = self
                        .sent
                        .acknowledged
                        .insert((topic, partition, first), batch);
                    assert_eq!(before, None, "offset {first} was given twice");
                    return true;
                }
            }
        }
    }

    /// A file appears whole.
    fn put_file(&mut self) {
        let first = self.sent.orders;
        self.sent.orders += ORDERS;
        let line = |n| format!("{{\"id\":\"o{n}\",\"amount\":{n}}}\n");
        let text: String = (first..self.sent.orders).map(line).collect();
        let hidden = self.input.join(".part");
        std::fs::write(&hidden, text).expect("a file is written");
        let name = self.input.join(format!("orders-{first:08}.jsonl"));
        std::fs::rename(hidden, name).expect("it gets its name");
    }
}

fn text(id: &str, user: &str, ts: i64) -> String {
    format!("{{\"id\":\"{id}\",\"user_id\":\"{user}\",\"ts\":{ts}}}")
}
