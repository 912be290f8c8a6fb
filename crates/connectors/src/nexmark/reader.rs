//! [`NexmarkReader`]: the events of one split, one after another.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::env::Env;
use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::{Offset, Result};

use super::columns::Columns;
use super::events::Events;

/// Which events a split has: every so many-th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of the split.
    pub index: u64,
    /// How many splits there are.
    pub splits: u64,
}

impl Part {
    /// The number of the event at `offset` of the split.
    pub fn number(self, offset: u64) -> u64 {
        offset * self.splits + self.index
    }

    /// How many of the first `events` events are of the split.
    pub fn count(self, events: u64) -> u64 {
        events / self.splits + u64::from(events % self.splits > self.index)
    }
}

/// Makes events one after another. Its offset counts the events of the split.
pub(super) struct NexmarkReader {
    events: Arc<Events>,
    columns: Arc<Columns>,
    part: Part,
    next: u64,
    env: Arc<dyn Env>,
    opened: Duration,
    /// How many events, of all splits, were due when the reader was opened.
    due_at_open: u64,
}

impl NexmarkReader {
    pub fn new(
        (events, columns): (Arc<Events>, Arc<Columns>),
        part: Part,
        from: u64,
        env: Arc<dyn Env>,
    ) -> Self {
        Self {
            events,
            columns,
            part,
            next: from,
            opened: env.monotonic(),
            env,
            due_at_open: from * part.splits,
        }
    }

    /// How many events of the split there are in all; `None`: without end.
    fn end(&self) -> Option<u64> {
        let events = self.events.config().events;
        events.map(|events| self.part.count(events))
    }

    /// How many events of the split may have come by now.
    fn due(&self) -> u64 {
        let config = self.events.config();
        if config.max_speed {
            return u64::MAX;
        }
        let elapsed = self.env.monotonic().saturating_sub(self.opened);
        let events = elapsed.as_micros() * u128::from(config.rate) / 1_000_000;
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.part.count(self.due_at_open.saturating_add(events))
    }
}

impl SplitReader for NexmarkReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let end = self.end();
        if end.is_some_and(|end| self.next >= end) {
            return Ok(match self.events.config().keep_alive {
                true => Read::Pending,
                false => Read::End,
            });
        }
        let row_bytes = self.columns.row_bytes.max(1);
        let at_once = limit.rows.min(limit.bytes / row_bytes).max(1) as u64;
        let until = self.due().min(self.next.saturating_add(at_once));
        let until = end.map_or(until, |end| until.min(end));
        if until <= self.next {
            return Ok(Read::Pending);
        }
        let numbers: Vec<u64> = (self.next..until).map(|k| self.part.number(k)).collect();
        let rows = self.columns.rows(&self.events, &numbers)?;
        self.next = until;
        Ok(Read::Rows(rows))
    }

    fn offset(&self) -> Offset {
        Offset(self.next)
    }

    fn backlog(&self) -> Option<u64> {
        let config = self.events.config();
        let waiting = match (self.end(), config.max_speed) {
            (None, true) => return None,
            (Some(end), _) => self.due().min(end),
            (None, false) => self.due(),
        };
        Some(waiting.saturating_sub(self.next))
    }
}
