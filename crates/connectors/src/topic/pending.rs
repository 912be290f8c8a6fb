//! [`PendingBytes`]: a bound on the bytes of single appends that wait to be written.

use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_core::{Error, Result};

use super::record_set::RecordSet;

/// Counts what waits.
#[derive(Debug)]
pub(super) struct PendingBytes {
    bytes: AtomicUsize,
    max: usize,
}

/// A part of [`PendingBytes`], given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    pending: &'a PendingBytes,
    bytes: usize,
}

impl PendingBytes {
    /// At most `max` bytes may wait.
    pub fn new(max: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            max,
        }
    }

    /// Bytes that wait now.
    pub fn get(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts `records` as waiting until dropped; `Unavailable` if too much waits. One append is
    /// let in however large it is, as long as nothing else waits: otherwise it could never be
    /// written.
    pub fn reserve(&self, records: &RecordSet) -> Result<Reserved<'_>> {
        let bytes: usize = records.iter().map(|record| record.len() + 4).sum();
        let max = self.max;
        let reserved = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pending| {
                (pending == 0 || pending + bytes <= max).then_some(pending + bytes)
            });
        match reserved {
            Ok(_) => Ok(Reserved {
                pending: self,
                bytes,
            }),
            Err(pending) => Err(Error::unavailable(format!(
                "{pending} bytes wait to be written, at most {max} may; try again"
            ))),
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.pending.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
