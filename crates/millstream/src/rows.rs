//! [`Rows`]: rows in memory as a source.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_core::source::{Read, ReadLimit, Source, Split, SplitReader};
use millstream_core::{Offset, Result, SplitId};

/// A source of rows that are there already. It is one split, and ends after the last row.
#[derive(Debug, Clone)]
pub struct Rows {
    batches: Arc<[RecordBatch]>,
}

impl Rows {
    /// A source of the rows of these batches, in order. Their columns are found by name.
    pub fn new(batches: Vec<RecordBatch>) -> Self {
        Self {
            batches: batches.into(),
        }
    }
}

impl Source for Rows {
    fn splits(&self) -> Result<Vec<Split>> {
        Ok(vec![Split {
            id: SplitId::new("0"),
            metadata: BTreeMap::new(),
        }])
    }

    fn open(&self, _: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        Ok(Box::new(RowsReader {
            batches: self.batches.clone(),
            next: from.unwrap_or_default().0,
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

struct RowsReader {
    batches: Arc<[RecordBatch]>,
    /// Number of the next row.
    next: u64,
}

impl SplitReader for RowsReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let mut before = 0;
        for batch in self.batches.iter() {
            let rows = batch.num_rows() as u64;
            if self.next < before + rows {
                let from = self.next - before;
                let count = (rows - from).min(limit.rows.max(1) as u64);
                self.next += count;
                // Both are below the number of rows of a batch in memory.
                return Ok(Read::Rows(batch.slice(from as usize, count as usize)));
            }
            before += rows;
        }
        Ok(Read::End)
    }

    fn offset(&self) -> Offset {
        Offset(self.next)
    }
}
