//! A bounded [`Source`] of text records.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::error::{Error, Result};
use crate::ids::{Offset, SplitId};
use crate::source::{RawBatch, Read, ReadLimit, Source, Split, SplitReader};

/// Splits of text records, offset by record.
#[derive(Debug, Clone)]
pub struct MemorySource {
    splits: BTreeMap<String, Arc<[String]>>,
}

impl MemorySource {
    /// A source with these splits.
    pub fn new<'a>(splits: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Self {
        let own = |records: Vec<&str>| records.into_iter().map(String::from).collect();
        Self {
            splits: splits
                .into_iter()
                .map(|(name, records)| (name.to_owned(), own(records)))
                .collect(),
        }
    }
}

impl Source for MemorySource {
    fn splits(&self) -> Result<Vec<Split>> {
        let split = |name: &String| Split {
            id: SplitId::new(name),
            metadata: BTreeMap::new(),
        };
        Ok(self.splits.keys().map(split).collect())
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let records = self.splits.get(split.as_str());
        let records = records.ok_or_else(|| Error::invalid(format!("no split `{split}`")))?;
        Ok(Box::new(MemoryReader {
            records: records.clone(),
            next: usize::try_from(from.unwrap_or_default().0).expect("offsets fit in memory"),
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

struct MemoryReader {
    records: Arc<[String]>,
    next: usize,
}

impl SplitReader for MemoryReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let end = self.records.len().min(self.next + limit.rows.max(1));
        if self.next >= end {
            return Ok(Read::End);
        }
        let mut data = Vec::new();
        let mut batch = RawBatch::default();
        for index in self.next..end {
            let start = u32::try_from(data.len()).expect("test batches are small");
            data.extend_from_slice(self.records[index].as_bytes());
            let stop = u32::try_from(data.len()).expect("test batches are small");
            batch.records.push(start..stop);
            batch.offsets.push(index as u64);
        }
        batch.data = Buffer::from_vec(data);
        self.next = end;
        Ok(Read::Records(batch))
    }

    fn offset(&self) -> Offset {
        Offset(self.next as u64)
    }
}
