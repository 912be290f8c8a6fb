//! The demo's generator: a thread that posts clicks to the collector, as any client would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use millstream_connectors::generator::clicks::{ClickGenerator, ClickOptions};
use millstream_core::env::{Env, Task};

use crate::cli::generate::batch::Batch;
use crate::cli::generate::pace::Pace;
use crate::client::{Client, Posted};

/// Most clicks in one request.
const BATCH_MAX: u64 = 5_000;
/// After an error that is not about load.
const RETRY_AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often it is asked what is past.
const ASK_EVERY: Duration = Duration::from_millis(50);
const MINUTE_MS: i64 = 60_000;
/// How far clicks are out of order.
const OUT_OF_ORDER_MS: u64 = 3_000;

/// What the generator sends, and where to.
pub struct FeedOptions {
    /// URL of the topic.
    pub url: String,
    /// Clicks per second.
    pub rate: u32,
    /// How far back the first clicks are dated.
    pub history: Duration,
    /// What earlier runs have sent.
    pub past: Box<dyn Fn() -> Past + Send>,
}

/// What earlier runs have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// That is not known yet.
    Unread,
    /// Nothing.
    Nothing,
    /// Clicks up to this event time, in ms since the Unix epoch.
    Until(i64),
}

/// A running generator.
pub struct Feed {
    /// Nothing is ever sent: the thread sees that this end is gone.
    stop: SyncSender<()>,
    accepted: Arc<AtomicU64>,
    task: Box<dyn Task>,
}

impl Feed {
    /// Starts to post, as soon as it is known where an earlier run has ended. The clicks since then,
    /// or of the history, go as fast as they can; then the clock decides.
    pub fn start(env: &Arc<dyn Env>, options: FeedOptions) -> Self {
        let (stop, stopped) = sync_channel(0);
        let accepted = Arc::new(AtomicU64::new(0));
        let mut post = Post {
            client: Client::new(),
            url: options.url.clone(),
            stopped,
            accepted: accepted.clone(),
        };
        let clock = env.clone();
        let run = move || {
            let Some(start_ms) = post.start_ms(&*clock, &options) else {
                return;
            };
            let mut generator = ClickGenerator::new(clicks(&*clock, (start_ms, options.rate)))
                .expect("the shares are in bounds and nothing is zero");
            let behind = u64::try_from(clock.now_ms() - start_ms).unwrap_or(0);
            let behind = Duration::from_millis(behind);
            let mut pace = Pace::behind(options.rate, clock.monotonic(), behind);
            let mut batch = Batch::default();
            loop {
                let now = clock.monotonic();
                if post.is_stopped(pace.wait(now, BATCH_MAX)) {
                    return;
                }
                let due = pace.due(now, BATCH_MAX);
                if due > 0 {
                    batch.fill(&mut generator, due);
                    post.until_accepted(&batch);
                    pace.sent(due);
                }
            }
        };
        Self {
            stop,
            accepted,
            task: env.spawn("generator", Box::new(run)),
        }
    }

    /// How many clicks were acknowledged.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// Stops, after the request on its way is answered. How many clicks were acknowledged.
    pub fn close(self) -> u64 {
        drop(self.stop);
        self.task.join();
        self.accepted.load(Ordering::Acquire)
    }
}

/// Where event times begin. A demo that goes on begins where it ended, so that its minutes have no
/// holes; any other with a whole minute, as one of which the beginning is missing would stand out.
fn start_ms(now_ms: i64, history: Duration, past: Past) -> i64 {
    let history_ms = i64::try_from(history.as_millis()).unwrap_or(i64::MAX);
    let oldest = now_ms.saturating_sub(history_ms);
    match past {
        Past::Until(ms) if ms >= oldest => ms.min(now_ms),
        _ => {
            let minute = oldest.div_euclid(MINUTE_MS) * MINUTE_MS + MINUTE_MS;
            let first = minute.saturating_add_unsigned(OUT_OF_ORDER_MS);
            first.min(now_ms)
        }
    }
}

/// The seed is new each time, so that a demo that goes on does not send the same clicks again.
fn clicks(env: &dyn Env, (start_ms, rate): (i64, u32)) -> ClickOptions {
    ClickOptions {
        seed: env.random(),
        start_ms,
        events_per_second: rate.into(),
        late_fraction: 0.01,
        bad_fraction: 0.002,
        out_of_order_ms: OUT_OF_ORDER_MS,
        // Few enough pages, visited unevenly enough, that a list of the most visited says something.
        pages: 60,
        page_skew: 1,
        surge_every_minutes: 3,
        ..ClickOptions::default()
    }
}

struct Post {
    client: Client,
    url: String,
    stopped: Receiver<()>,
    accepted: Arc<AtomicU64>,
}

impl Post {
    /// Event time of the first click; `None`: stopped before that was known.
    fn start_ms(&self, clock: &dyn Env, options: &FeedOptions) -> Option<i64> {
        loop {
            let past = (options.past)();
            if past != Past::Unread {
                return Some(start_ms(clock.now_ms(), options.history, past));
            }
            if self.is_stopped(ASK_EVERY) {
                return None;
            }
        }
    }

    fn is_stopped(&self, patience: Duration) -> bool {
        self.stopped.recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }

    /// Sends the batch, again while the collector is busy. After an error the batch is given up:
    /// it may have been stored, and must not be there twice.
    fn until_accepted(&mut self, batch: &Batch) {
        loop {
            let patience = match self.client.post_events(&self.url, &batch.lines) {
                Ok(Posted::Accepted(count)) => {
                    self.accepted.fetch_add(count, Ordering::AcqRel);
                    return;
                }
                Ok(Posted::Busy(patience, _)) => patience,
                Err(error) => {
                    tracing::warn!(%error, "the generator gave up a batch");
                    self.is_stopped(RETRY_AFTER_ERROR);
                    return;
                }
            };
            if self.is_stopped(patience) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_750_075_200_000;
    const HISTORY: Duration = Duration::from_secs(900);

    #[test]
    fn a_first_demo_begins_with_a_whole_minute_of_its_history() {
        let start = |now| start_ms(now, HISTORY, Past::Nothing);
        assert_eq!(start(NOON + 1), NOON - 14 * MINUTE_MS + 3_000);
        assert_eq!(start(NOON + 59_999), NOON - 14 * MINUTE_MS + 3_000);
        let none = start_ms(NOON + 1, Duration::ZERO, Past::Nothing);
        assert_eq!(none, NOON + 1);
    }

    #[test]
    fn a_demo_goes_on_where_it_ended_unless_that_is_long_ago() {
        let start = |past| start_ms(NOON + 1, HISTORY, Past::Until(past));
        assert_eq!(start(NOON - 600_000), NOON - 600_000);
        assert_eq!(start(NOON + 5_000), NOON + 1, "never in the future");
        assert_eq!(start(NOON - 1_000_000), NOON - 14 * MINUTE_MS + 3_000);
    }
}
