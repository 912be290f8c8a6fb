//! The shards of a job, as the coordinator sees them: one call, one answer from each.

use millstream_core::{Epoch, Error, Result};

use super::shard::{EpochOutput, Progress, Reply, Request, Shard, SplitReport};
use crate::operator::progress::Moment;
use crate::operator::{Again, Exchange};

/// Shards on threads, or on the caller's.
pub trait ShardPool {
    /// How many there are.
    fn shards(&self) -> usize;

    /// Whether they read while nobody asks them for anything.
    fn reads_by_itself(&self) -> bool;

    /// Sends one request to each shard and waits for all answers, in order of the shards.
    fn call(&mut self, requests: Vec<Request>) -> Result<Vec<Reply>>;
}

/// Lets shards write some of what changed down, without standing still. Whether any did, and how many rows
/// are left beyond those that a barrier may take.
pub fn ahead(pool: &mut dyn ShardPool, again: &Again) -> Result<(bool, usize)> {
    let requests = (0..pool.shards()).map(|_| Request::Ahead(again.clone()));
    let requests = requests.collect();
    let (mut any, mut left) = (false, 0);
    for reply in pool.call(requests)? {
        let Reply::Ahead(has_written, of_shard) = reply else {
            return Err(unexpected());
        };
        any |= has_written;
        left += of_shard;
    }
    Ok((any, left))
}

/// Stops all shards at a barrier. Their splits, and whether the clock alone makes something fire.
pub fn barrier(pool: &mut dyn ShardPool) -> Result<(Vec<SplitReport>, bool)> {
    let requests = (0..pool.shards()).map(|_| Request::Barrier).collect();
    let mut reports = vec![];
    let mut is_due = false;
    for reply in pool.call(requests)? {
        match reply {
            Reply::Splits(splits, due) => {
                reports.extend(splits);
                is_due |= due;
            }
            _ => return Err(unexpected()),
        }
    }
    Ok((reports, is_due))
}

/// Closes the windows of a level everywhere; by shard, what it has to merge.
pub fn close(pool: &mut dyn ShardPool, level: usize, at: &Moment) -> Result<Vec<Vec<Exchange>>> {
    let shards = pool.shards();
    let requests = (0..shards)
        .map(|_| Request::Close(level, at.clone()))
        .collect();
    let mut routed = vec![vec![]; shards];
    for reply in pool.call(requests)? {
        let Reply::Exchanges(exchanges) = reply else {
            return Err(unexpected());
        };
        for (owner, exchanges) in exchanges.into_iter().enumerate() {
            routed[owner].extend(exchanges);
        }
    }
    Ok(routed)
}

/// Fires the windows of a level everywhere.
pub fn fire(pool: &mut dyn ShardPool, level: usize, routed: Vec<Vec<Exchange>>) -> Result<()> {
    let requests = routed
        .into_iter()
        .map(|e| Request::Fire(level, e))
        .collect();
    pool.call(requests).map(drop)
}

/// Ends the barrier; what each shard hands over.
pub fn finish(pool: &mut dyn ShardPool, epoch: Epoch) -> Result<Vec<EpochOutput>> {
    let requests = (0..pool.shards()).map(|_| Request::Finish(epoch));
    let requests = requests.collect();
    let replies = pool.call(requests)?.into_iter();
    replies
        .map(|reply| match reply {
            Reply::Output(output) => Ok(*output),
            _ => Err(unexpected()),
        })
        .collect()
}

/// Ends the barrier; the epoch goes on.
pub fn resume(pool: &mut dyn ShardPool) -> Result<()> {
    let requests = (0..pool.shards()).map(|_| Request::Resume).collect();
    pool.call(requests).map(drop)
}

fn unexpected() -> Error {
    Error::bug("a shard answered another request")
}

/// Shards on the caller's thread.
pub struct InlinePool {
    shards: Vec<Shard>,
}

impl InlinePool {
    /// A pool of these shards.
    pub fn new(shards: Vec<Shard>) -> Self {
        Self { shards }
    }

    /// Lets every shard read one batch. Whether any had something to do.
    pub fn poll(&mut self) -> Result<bool> {
        let mut busy = false;
        for shard in &mut self.shards {
            busy |= matches!(shard.poll()?, Progress::Read | Progress::Waiting);
        }
        Ok(busy)
    }
}

impl ShardPool for InlinePool {
    fn shards(&self) -> usize {
        self.shards.len()
    }

    fn reads_by_itself(&self) -> bool {
        false
    }

    fn call(&mut self, requests: Vec<Request>) -> Result<Vec<Reply>> {
        let shards = self.shards.iter_mut().zip(requests);
        shards
            .map(|(shard, request)| shard.handle(request))
            .collect()
    }
}
