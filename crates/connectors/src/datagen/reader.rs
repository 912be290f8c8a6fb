//! [`DatagenReader`]: rows of a [`Table`] at its rate.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use millstream_core::env::Env;
use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::{Offset, Result};

use super::Table;
use super::column::Clock;

/// Makes rows one after another. Its offset is the number of the next row.
pub(super) struct DatagenReader {
    table: Table,
    env: Arc<dyn Env>,
    opened: Duration,
    clock: Clock,
    next: u64,
    row_bytes: usize,
}

impl DatagenReader {
    pub fn new(table: Table, env: Arc<dyn Env>, from: Offset) -> Self {
        let widths = table.columns.iter().map(|column| column.estimated_bytes());
        Self {
            opened: env.monotonic(),
            clock: Clock {
                opened_ms: env.now_ms(),
                opened_at: from.0,
                rows_per_second: table.rows_per_second,
            },
            next: from.0,
            row_bytes: widths.sum::<usize>().max(1),
            table,
            env,
        }
    }

    /// How many rows may have been made by now.
    fn allowed(&self) -> u64 {
        let elapsed = self.env.monotonic().saturating_sub(self.opened);
        let rows = elapsed.as_micros() * u128::from(self.table.rows_per_second) / 1_000_000;
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.clock.opened_at.saturating_add(rows)
    }
}

impl SplitReader for DatagenReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let end = self.table.rows.unwrap_or(u64::MAX);
        if self.next >= end {
            return Ok(Read::End);
        }
        let at_once = limit.rows.min(limit.bytes / self.row_bytes).max(1) as u64;
        let until = end
            .min(self.allowed())
            .min(self.next.saturating_add(at_once));
        if until <= self.next {
            return Ok(Read::Pending);
        }
        let rows = self.next..until;
        let columns = self.table.columns.iter();
        let columns = columns.map(|column| column.array(rows.clone(), self.clock));
        let count = (until - self.next) as usize;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(&self.table.schema);
        let batch =
            RecordBatch::try_new_with_options(schema, columns.collect::<Result<_>>()?, &options)?;
        self.next = until;
        Ok(Read::Rows(batch))
    }

    fn offset(&self) -> Offset {
        Offset(self.next)
    }

    fn backlog(&self) -> Option<u64> {
        let end = self.table.rows.unwrap_or(u64::MAX);
        Some(end.min(self.allowed()).saturating_sub(self.next))
    }
}
