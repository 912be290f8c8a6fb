//! Loads the state of operators from segments: every shard by itself, all at the same time. Each segment
//! is read and checked once, by the shard that needs it first.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use millstream_core::env::Env;
use millstream_core::{Error, NodeId, Result};

use super::shard::Shard;
use crate::checkpoint::{SegmentReader, SegmentRef, StateRows};
use crate::operator::{Absorb, StateBatch};

/// A segment on its way to the shards.
struct Shared {
    segment: SegmentRef,
    bytes: Mutex<Bytes>,
}

/// The bytes of a segment, from the first shard that asks to the last.
struct Bytes {
    read: Option<Arc<Vec<u8>>>,
    asked: usize,
}

impl Shared {
    /// The bytes, checked. Each of `shards` shards asks once.
    fn bytes(&self, reader: &SegmentReader, shards: usize) -> Result<Arc<Vec<u8>>> {
        // Poisoned: another shard's panic is told by whoever waits for it.
        let mut bytes = self.bytes.lock().unwrap_or_else(|lock| lock.into_inner());
        let read = match bytes.read.take() {
            Some(read) => read,
            None => Arc::new(reader.bytes(&self.segment)?),
        };
        bytes.asked += 1;
        if bytes.asked < shards {
            bytes.read = Some(read.clone());
        }
        Ok(read)
    }
}

/// Gives each shard the state that it held, from `segments`, oldest first.
pub(super) fn load(
    shards: Vec<Shard>,
    segments: &[SegmentRef],
    reader: &SegmentReader,
    env: &dyn Env,
) -> Result<Vec<Shard>> {
    let count = shards.len();
    if segments.is_empty() {
        return Ok(shards);
    }
    let shared = segments.iter().map(|segment| Shared {
        segment: segment.clone(),
        bytes: Mutex::new(Bytes {
            read: None,
            asked: 0,
        }),
    });
    let shared: Arc<[Shared]> = shared.collect();
    let (done, loaded) = sync_channel(count);
    let tasks = shards.into_iter().map(|shard| {
        let name = format!("load-{}", shard.index);
        let (shared, reader, done) = (shared.clone(), reader.clone(), done.clone());
        env.spawn(
            &name,
            Box::new(move || load_shard(shard, (&shared, count), &reader, &done)),
        )
    });
    let tasks: Vec<_> = tasks.collect();
    drop(done);
    let loaded: Result<Vec<Shard>> = loaded.into_iter().collect();
    // Every thread is waited for, also behind one that has panicked.
    let ended = tasks.into_iter().map(|task| task.join());
    let all_well = ended.filter(|is_well| !is_well).count() == 0;
    let mut shards = loaded?;
    if !all_well || shards.len() != count {
        return Err(Error::bug("a thread that loads state has panicked"));
    }
    shards.sort_by_key(|shard| shard.index);
    Ok(shards)
}

/// Rows of the largest segment of each part. PERF: what is put back is at least about that, so the room for
/// it need not grow, which would copy.
fn largest(segments: &[Shared]) -> BTreeMap<(NodeId, u32), u64> {
    let mut largest: BTreeMap<(NodeId, u32), u64> = BTreeMap::new();
    for Shared { segment, .. } in segments {
        let rows = largest.entry((segment.node, segment.part)).or_default();
        *rows = segment.rows.max(*rows);
    }
    largest
}

fn load_shard(
    mut shard: Shard,
    (segments, shards): (&[Shared], usize),
    reader: &SegmentReader,
    done: &SyncSender<Result<Shard>>,
) {
    let mut absorb = || -> Result<()> {
        for ((node, part), rows) in largest(segments) {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX) / shards;
            shard.chain.stateful(node)?.expect(part, rows);
        }
        for shared in segments {
            let (segment, bytes) = (&shared.segment, shared.bytes(reader, shards)?);
            let operator = shard.chain.stateful(segment.node)?;
            for StateRows { rows, .. } in reader.decode(segment, &bytes, shard.index)? {
                let part = segment.part;
                operator.absorb(&StateBatch { part, rows }, Absorb::Restore)?;
            }
        }
        Ok(())
    };
    let absorbed = absorb();
    // There is room for all, and nobody who has gone away needs an answer.
    let _ = done.send(absorbed.map(|()| shard));
}
