//! Shards on threads of their own. Each reads until a request comes; from `Barrier` until `Finish` or
//! `Resume` it only answers requests.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use millstream_core::env::{Env, Task};
use millstream_core::{Error, Result};

use super::pool::ShardPool;
use super::shard::{Progress, Reply, Request, Shard};

/// How long a shard with nothing to read waits before it looks again.
const IDLE_WAIT: Duration = Duration::from_millis(2);

/// Something that the coordinator should look at before the epoch is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A shard has read all its input.
    Ended,
    /// A shard has failed; its next answer says why.
    Failed,
    /// The memory budget is reached.
    Throttled,
    /// A shard has taken in so much that there should be a barrier.
    Full,
    /// The user wants the job to stop.
    Stop,
}

/// Shards on threads.
pub struct ThreadPool {
    lanes: Vec<Lane>,
}

struct Lane {
    requests: Option<SyncSender<Request>>,
    replies: Receiver<Result<Reply>>,
    thread: Option<Box<dyn Task>>,
}

impl ThreadPool {
    /// Starts a thread for each shard.
    pub fn start(shards: Vec<Shard>, env: &dyn Env, events: &SyncSender<Event>) -> Self {
        let lanes = shards.into_iter().map(|shard| {
            let (requests, inbox) = sync_channel(1);
            let (outbox, replies) = sync_channel(1);
            let name = format!("shard-{}", shard.index);
            let body = Loop {
                shard,
                inbox,
                outbox,
                events: events.clone(),
                failed: None,
                ended: false,
                full: false,
            };
            let thread = env.spawn(&name, Box::new(move || body.run()));
            Lane {
                requests: Some(requests),
                replies,
                thread: Some(thread),
            }
        });
        Self {
            lanes: lanes.collect(),
        }
    }
}

impl ShardPool for ThreadPool {
    fn shards(&self) -> usize {
        self.lanes.len()
    }

    fn reads_by_itself(&self) -> bool {
        true
    }

    fn call(&mut self, requests: Vec<Request>) -> Result<Vec<Reply>> {
        let gone = || Error::bug("a shard's thread has ended");
        for (lane, request) in self.lanes.iter().zip(requests) {
            let sender = lane.requests.as_ref().ok_or_else(gone)?;
            sender.send(request).map_err(|_| gone())?;
        }
        // Every answer is taken, so that after an error no old answer is left in a queue.
        let replies = self
            .lanes
            .iter()
            .map(|lane| lane.replies.recv().map_err(|_| gone()));
        let replies: Vec<Result<Result<Reply>>> = replies.collect();
        replies.into_iter().map(|reply| reply?).collect()
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        for lane in &mut self.lanes {
            lane.requests.take();
        }
        for lane in &mut self.lanes {
            if let Some(thread) = lane.thread.take() {
                thread.join();
            }
        }
    }
}

struct Loop {
    shard: Shard,
    inbox: Receiver<Request>,
    outbox: SyncSender<Result<Reply>>,
    events: SyncSender<Event>,
    failed: Option<Error>,
    ended: bool,
    /// Whether it was told that the shard is full.
    full: bool,
}

impl Loop {
    fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            match self.inbox.recv_timeout(wait) {
                Ok(request) => {
                    if !self.answer_until_resumed(request) {
                        return;
                    }
                    wait = Duration::ZERO;
                }
                Err(RecvTimeoutError::Timeout) => wait = self.read(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Answers requests; from a barrier on, until it is over. `false`: nobody asks any more.
    fn answer_until_resumed(&mut self, first: Request) -> bool {
        let mut request = first;
        let mut standing = false;
        loop {
            match request {
                Request::Barrier => (standing, self.full) = (true, false),
                Request::Finish(_) | Request::Resume => standing = false,
                Request::Add(_) => self.ended = false,
                Request::Close(..) | Request::Fire(..) | Request::Tables(_) | Request::Ahead(_) => {
                }
            }
            let reply = match &self.failed {
                Some(error) => Err(error.clone()),
                None => self.shard.handle(request),
            };
            if self.outbox.send(reply).is_err() {
                return false;
            }
            if !standing {
                return true;
            }
            match self.inbox.recv() {
                Ok(next) => request = next,
                Err(_) => return false,
            }
        }
    }

    /// Reads a batch; how long to wait before the next.
    fn read(&mut self) -> Duration {
        if self.failed.is_some() {
            return Duration::from_secs(1);
        }
        match self.shard.poll() {
            Ok(Progress::Read) => {
                if !self.full && self.shard.is_full() {
                    self.full = true;
                    self.tell(Event::Full);
                }
                Duration::ZERO
            }
            Ok(Progress::Idle | Progress::Waiting) => IDLE_WAIT,
            Ok(Progress::Throttled) => {
                self.tell(Event::Throttled);
                IDLE_WAIT
            }
            Ok(Progress::Ended) => {
                if !self.ended {
                    self.ended = true;
                    self.tell(Event::Ended);
                }
                Duration::from_secs(1)
            }
            Err(error) => {
                self.failed = Some(error);
                self.tell(Event::Failed);
                Duration::from_secs(1)
            }
        }
    }

    /// The queue is bounded; if it is full, the coordinator has been told enough.
    fn tell(&self, event: Event) {
        let _full = self.events.try_send(event);
    }
}
