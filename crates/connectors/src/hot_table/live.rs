//! Committed rows as they come, for live views. A view that is too slow loses rows and is told
//! so; it never slows down a commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;

/// What a [`Subscription`] receives.
#[derive(Debug, Clone)]
pub enum LiveEvent {
    /// Rows of one commit, in the table's columns at that time.
    Rows(Arc<[RecordBatch]>),
    /// So many commits were dropped because the subscriber was slow: read the table again.
    Lagged(u64),
    /// Nothing came in the time given.
    Idle,
    /// The table is gone.
    Closed,
}

/// Receives what is committed to a table from now on.
#[derive(Debug)]
pub struct Subscription {
    receiver: Receiver<Arc<[RecordBatch]>>,
    dropped: Arc<AtomicU64>,
}

impl Subscription {
    /// Waits for the next event, at most `timeout`.
    pub fn next(&self, timeout: Duration) -> LiveEvent {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            return LiveEvent::Lagged(dropped);
        }
        match self.receiver.recv_timeout(timeout) {
            Ok(rows) => LiveEvent::Rows(rows),
            Err(RecvTimeoutError::Timeout) => LiveEvent::Idle,
            Err(RecvTimeoutError::Disconnected) => LiveEvent::Closed,
        }
    }
}

#[derive(Default)]
pub(super) struct Subscribers {
    list: Mutex<Vec<Subscriber>>,
}

struct Subscriber {
    sender: SyncSender<Arc<[RecordBatch]>>,
    dropped: Arc<AtomicU64>,
}

impl Subscribers {
    /// A new subscriber that can be `capacity` commits behind.
    pub fn add(&self, capacity: usize) -> Subscription {
        let (sender, receiver) = sync_channel(capacity.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let subscriber = Subscriber {
            sender,
            dropped: dropped.clone(),
        };
        self.list
            .lock()
            .expect("no panic while locked")
            .push(subscriber);
        Subscription { receiver, dropped }
    }

    /// Whether nobody has subscribed.
    pub fn is_empty(&self) -> bool {
        self.list.lock().expect("no panic while locked").is_empty()
    }

    /// Tells everybody; forgets those who are gone.
    pub fn send(&self, rows: &Arc<[RecordBatch]>) {
        let mut list = self.list.lock().expect("no panic while locked");
        list.retain(
            |subscriber| match subscriber.sender.try_send(rows.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    subscriber.dropped.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            },
        );
    }
}
