//! The demo's generator: a thread that posts clicks to the collector, as any client would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use millstream_connectors::generator::clicks::{ClickGenerator, ClickOptions};
use millstream_core::Result;
use millstream_core::env::{Env, Task};

use crate::cli::generate::batch::Batch;
use crate::cli::generate::pace::Pace;
use crate::client::{Client, Posted};

/// Most clicks in one request.
const BATCH_MAX: u64 = 1000;
/// After an error that is not about load.
const RETRY_AFTER_ERROR: Duration = Duration::from_secs(1);

/// What the generator sends, and where to.
pub struct FeedOptions {
    /// URL of the topic.
    pub url: String,
    /// Clicks per second.
    pub rate: u32,
}

/// A running generator.
pub struct Feed {
    /// Nothing is ever sent: the thread sees that this end is gone.
    stop: SyncSender<()>,
    accepted: Arc<AtomicU64>,
    task: Box<dyn Task>,
}

impl Feed {
    /// Starts to post. Event times begin now; the seed is new each time, so that a demo that goes
    /// on does not send the same events again.
    pub fn start(env: &Arc<dyn Env>, options: FeedOptions) -> Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let accepted = Arc::new(AtomicU64::new(0));
        let generator = ClickGenerator::new(ClickOptions {
            seed: env.random(),
            start_ms: env.now_ms(),
            events_per_second: options.rate.into(),
            late_fraction: 0.01,
            bad_fraction: 0.002,
            out_of_order_ms: 3_000,
            // Few enough pages, visited unevenly enough, that a list of the most visited says something.
            pages: 500,
            page_skew: 1,
            ..ClickOptions::default()
        })?;
        let mut post = Post {
            client: Client::new(),
            url: options.url,
            stopped,
            accepted: accepted.clone(),
        };
        let clock = env.clone();
        let mut pace = Pace::new(Some(options.rate), env.monotonic());
        let run = move || {
            let mut generator = generator;
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
        Ok(Self {
            stop,
            accepted,
            task: env.spawn("generator", Box::new(run)),
        })
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

struct Post {
    client: Client,
    url: String,
    stopped: Receiver<()>,
    accepted: Arc<AtomicU64>,
}

impl Post {
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
