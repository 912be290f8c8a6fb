//! Sends clicks at about 5,000 a second and knows which of them are in the log.
//!
//! A batch goes to a partition that the loader names, one at a time, so the log's order is the
//! order of sending. A batch whose answer was lost may be in or not; the next answer tells, since
//! it names its first offset. Batches sent while others are unresolved have 1, 2, 4, … records, so
//! the gap says which of them are in.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use millstream_sim::env::SplitMix;

use super::model::{Event, Model, START_MS};
use super::process::{Client, Posted, Timer, pause};

const EVENTS_PER_SECOND: u64 = 5_000;
/// Fewest records of a batch that is sent while nothing is unresolved.
const BATCH_MIN: u64 = 64;
/// Most batches of a partition in doubt at once: 1 + 2 + … + 32 is less than `BATCH_MIN`.
const UNRESOLVED_MAX: usize = 7;
/// How far event time moves on from batch to batch of a partition, in ms.
const STEP_MS: i64 = 700;
/// Up to so much earlier than the newest is a click, in ms: more than the watermark's delay.
const JITTER_MS: u64 = 14_000;
/// When the closing clicks happen, in ms after the start: later than any other.
const CLOSING_MS: i64 = 17 * 3_600_000;
const COUNTRIES: [&str; 3] = ["DE", "FR", "JP"];
const PAGES: u64 = 8;
const USERS: u64 = 5_000;

/// Lets the loader run until it is stopped, and others wait.
#[derive(Default)]
pub struct Pace {
    is_stopped: Mutex<bool>,
    changed: Condvar,
}

impl Pace {
    /// Ends the loader.
    pub fn stop(&self) {
        *self.is_stopped.lock().expect("no panic while locked") = true;
        self.changed.notify_all();
    }

    /// Waits for `ms`, or until stopped. Whether it was.
    pub fn wait(&self, ms: u64) -> bool {
        let is_stopped = self.is_stopped.lock().expect("no panic while locked");
        let timeout = Duration::from_millis(ms);
        let waited = self
            .changed
            .wait_timeout_while(is_stopped, timeout, |stopped| !*stopped);
        *waited.expect("no panic while locked").0
    }
}

struct Partition {
    number: u32,
    next_offset: u64,
    now_ms: i64,
    unresolved: Vec<Vec<Event>>,
}

/// See the module.
pub struct Loader {
    client: Client,
    random: SplitMix,
    pace: Arc<Pace>,
    partitions: Vec<Partition>,
    sent: u64,
    /// Batches whose answer was lost.
    lost_answers: u64,
    model: Model,
}

impl Loader {
    /// For a server that is ready, with a topic that is empty.
    pub fn new(client: Client, seed: u64, pace: Arc<Pace>) -> Self {
        let topics = client.get("/api/v1/topics").expect("the topics");
        let topics = topics.as_array().expect("a list of topics");
        let clicks = topics.iter().find(|topic| topic["topic"] == "web.clicks");
        let partitions = clicks.expect("the topic of the pipeline")["partitions"].as_array();
        let count = u32::try_from(partitions.expect("its partitions").len()).expect("a few");
        let partition = |number| Partition {
            number,
            next_offset: 0,
            now_ms: START_MS,
            unresolved: vec![],
        };
        Self {
            client,
            random: SplitMix::new(seed),
            pace,
            partitions: (0..count).map(partition).collect(),
            sent: 0,
            lost_answers: 0,
            model: Model::default(),
        }
    }

    /// Sends until it is stopped.
    pub fn run(&mut self) {
        let timer = Timer::start();
        let mut round = 0;
        loop {
            let due = Duration::from_millis(self.sent * 1_000 / EVENTS_PER_SECOND);
            let ahead = due.saturating_sub(timer.elapsed());
            let wait_ms = u64::try_from(ahead.as_millis()).expect("a short time");
            if self.pace.wait(wait_ms) {
                return;
            }
            let index = round % self.partitions.len();
            let batch = self.batch(index);
            self.send(index, batch);
            round += 1;
        }
    }

    /// Sends a click to each partition that completes all windows before it, and resolves every
    /// batch that is still in doubt.
    pub fn close_windows(&mut self) {
        for index in 0..self.partitions.len() {
            self.partitions[index].now_ms = START_MS + CLOSING_MS;
            loop {
                let mut last = self.event(index);
                (last.time_ms, last.is_bad) = (self.partitions[index].now_ms, false);
                let mut batch = vec![last.clone()];
                while batch.len() < 1 << self.partitions[index].unresolved.len() {
                    let id = format!("{}-{}", last.id, batch.len());
                    batch.push(Event { id, ..last.clone() });
                }
                self.send(index, batch);
                if self.partitions[index].unresolved.is_empty() {
                    break;
                }
            }
        }
    }

    /// How many batches were sent whose answer was lost.
    pub fn lost_answers(&self) -> u64 {
        self.lost_answers
    }

    /// What is in the log and what must come of it.
    pub fn into_model(self) -> Model {
        self.model
    }

    fn batch(&mut self, index: usize) -> Vec<Event> {
        self.partitions[index].now_ms += STEP_MS;
        let count = match self.partitions[index].unresolved.len() {
            0 => BATCH_MIN + self.random.below(BATCH_MIN),
            in_doubt => 1 << (in_doubt - 1),
        };
        (0..count).map(|_| self.event(index)).collect()
    }

    fn event(&mut self, index: usize) -> Event {
        self.sent += 1;
        let random = &mut self.random;
        let mut age_ms = random.below(JITTER_MS);
        if random.below(200) == 0 {
            age_ms += 300_000;
        }
        Event {
            id: format!("e{}", self.sent),
            time_ms: self.partitions[index].now_ms - i64::try_from(age_ms).expect("minutes"),
            page: random.below(PAGES),
            country: COUNTRIES[usize::try_from(random.below(3)).expect("small")],
            user: random.below(USERS),
            is_bad: random.below(250) == 0,
        }
    }

    /// Sends one batch until it is in, or in doubt.
    fn send(&mut self, index: usize, batch: Vec<Event>) {
        let partition = &mut self.partitions[index];
        let number = partition.number;
        let lines: Vec<String> = batch.iter().map(Event::text).collect();
        let path = format!("/v1/events/web.clicks?partition={number}");
        loop {
            match self
                .client
                .post(&path, "application/x-ndjson", &lines.join("\n"))
            {
                Posted::NotTaken => pause(),
                Posted::Unknown => {
                    self.lost_answers += 1;
                    partition.unresolved.push(batch);
                    let in_doubt = partition.unresolved.len();
                    assert!(
                        in_doubt <= UNRESOLVED_MAX,
                        "{in_doubt} answers in a row were lost"
                    );
                    return;
                }
                Posted::Answered(answer) => {
                    let number_of = |key: &str| answer[key].as_u64().expect("a number");
                    let count = batch.len() as u64;
                    let first = number_of("first_offset");
                    assert_eq!(number_of("count"), count);
                    assert_eq!(number_of("last_offset"), first + count - 1);
                    let gap = first.checked_sub(partition.next_offset);
                    let gap = gap.expect("an acknowledged record has lost its place");
                    let in_doubt = std::mem::take(&mut partition.unresolved);
                    for events in resolve(in_doubt, gap) {
                        self.model.accept(number, &events);
                    }
                    self.model.accept(number, &batch);
                    partition.next_offset = first + count;
                    return;
                }
            }
        }
    }
}

/// Those of the batches in doubt that are in the log, given how many of their records are.
fn resolve(in_doubt: Vec<Vec<Event>>, gap: u64) -> Vec<Vec<Event>> {
    let mut rest = gap;
    let mut is_in = vec![false; in_doubt.len()];
    // Each batch is larger than all smaller ones together, so the largest first is the only way.
    let mut by_size: Vec<usize> = (0..in_doubt.len()).collect();
    by_size.sort_by_key(|index| std::cmp::Reverse(in_doubt[*index].len()));
    for index in by_size {
        let size = in_doubt[index].len() as u64;
        if rest >= size {
            rest -= size;
            is_in[index] = true;
        }
    }
    let sizes: Vec<usize> = in_doubt.iter().map(Vec::len).collect();
    assert_eq!(
        rest, 0,
        "{gap} records more than acknowledged; in doubt are batches of {sizes:?}"
    );
    let pairs = in_doubt.into_iter().zip(is_in);
    pairs
        .filter_map(|(batch, is_in)| is_in.then_some(batch))
        .collect()
}

#[test]
fn a_gap_says_which_batches_are_in() {
    let batch = |size: usize| {
        let event = Event {
            id: String::new(),
            time_ms: 0,
            page: 0,
            country: "DE",
            user: 0,
            is_bad: false,
        };
        vec![event; size]
    };
    let sizes = |gap| -> Vec<usize> {
        let in_doubt = vec![batch(70), batch(1), batch(2), batch(4)];
        resolve(in_doubt, gap).iter().map(Vec::len).collect()
    };
    assert_eq!(sizes(0), [0_usize; 0]);
    assert_eq!(sizes(70), [70]);
    assert_eq!(sizes(5), [1, 4]);
    assert_eq!(sizes(72), [70, 2]);
    assert_eq!(sizes(77), [70, 1, 2, 4]);
}
