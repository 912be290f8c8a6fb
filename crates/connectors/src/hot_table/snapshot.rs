//! What a query sees: the parts of a table at one moment. Cheap to take and to clone; as long as
//! one is held, the files that it refers to stay.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_core::Result;

use super::index::Bitmap;
use super::part::Part;
use super::scan::Scan;
use super::statistics::{ColumnStatistics, GroupStatistics, Prune};

/// A table at one moment.
#[derive(Clone)]
pub struct TableSnapshot {
    pub(super) schema: SchemaRef,
    pub(super) number: u64,
    pub(super) parts: Arc<[SnapshotPart]>,
}

/// A part of a snapshot, with the rows that were replaced until then.
#[derive(Clone)]
pub struct SnapshotPart {
    pub(super) part: Arc<Part>,
    pub(super) replaced: Arc<Bitmap>,
}

impl SnapshotPart {
    /// Number of live rows.
    pub fn rows(&self) -> u64 {
        self.part.entry.rows - self.replaced.count()
    }

    /// Length of its file.
    pub fn bytes(&self) -> u64 {
        self.part.entry.bytes
    }
}

impl TableSnapshot {
    /// The table's columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The version that it is of. Counts up with every change of the table.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its parts, older rows first.
    pub fn parts(&self) -> &[SnapshotPart] {
        &self.parts
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(SnapshotPart::rows).sum()
    }

    /// Length of its files.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(SnapshotPart::bytes).sum()
    }

    /// Reads all rows, or those that `prune` leaves over: it may leave rows that do not match.
    /// `projection` picks columns by index, in any order; none means all of them.
    pub fn scan(
        &self,
        projection: Option<&[usize]>,
        prune: Option<Arc<dyn Prune>>,
    ) -> Result<Scan> {
        Scan::new(
            self.parts.iter().cloned(),
            self.schema.clone(),
            projection,
            prune,
        )
    }

    /// The same without the parts in which no row can match.
    pub fn pruned(&self, prune: &dyn Prune) -> Result<Self> {
        let keep = prune.keep(&self.statistics(prune.columns())?);
        let kept = self.parts.iter().zip(keep).filter(|(_, keep)| *keep);
        Ok(self.with_parts(kept.map(|(part, _)| part.clone()).collect()))
    }

    /// The parts that were committed last, as many as are needed to hold `rows` rows.
    #[must_use]
    pub fn newest(&self, rows: u64) -> Self {
        let mut held = 0;
        let is_needed = |part: &&SnapshotPart| {
            let is_needed = held < rows;
            held += part.rows();
            is_needed
        };
        let count = self.parts.iter().rev().take_while(is_needed).count();
        self.with_parts(self.parts[self.parts.len() - count..].to_vec())
    }

    /// At most `count` snapshots that together have the parts of this one, each about as many
    /// rows: what as many threads can read at once.
    pub fn split(&self, count: usize) -> Vec<Self> {
        let count = count.clamp(1, self.parts.len().max(1));
        let mut shares: Vec<(u64, Vec<usize>)> = vec![(0, vec![]); count];
        let mut by_size: Vec<usize> = (0..self.parts.len()).collect();
        by_size.sort_by_key(|index| std::cmp::Reverse(self.parts[*index].rows()));
        for index in by_size {
            let least = shares.iter_mut().min_by_key(|(rows, _)| *rows);
            let (rows, share) = least.expect("there is at least one");
            *rows += self.parts[index].rows();
            share.push(index);
        }
        let snapshot = |(_, mut share): (u64, Vec<usize>)| {
            share.sort_unstable();
            self.with_parts(
                share
                    .iter()
                    .map(|index| self.parts[*index].clone())
                    .collect(),
            )
        };
        shares.into_iter().map(snapshot).collect()
    }

    fn with_parts(&self, parts: Vec<SnapshotPart>) -> Self {
        Self {
            schema: self.schema.clone(),
            number: self.number,
            parts: parts.into(),
        }
    }

    /// What the version file says of `columns` in each part.
    fn statistics(&self, columns: &[usize]) -> Result<GroupStatistics> {
        let mut known = vec![None; self.schema.fields().len()];
        for column in columns {
            let entries = self.parts.iter().map(|part| &part.part.entry);
            let ranges: Vec<_> = entries
                .map(|entry| entry.columns.get(*column).and_then(Option::as_ref))
                .collect();
            if ranges.iter().any(Option::is_some) {
                let data_type = self.schema.field(*column).data_type();
                known[*column] = Some(ColumnStatistics::from_ranges(&ranges, data_type)?);
            }
        }
        let rows = self.parts.iter().map(|part| part.part.entry.rows).collect();
        Ok(GroupStatistics {
            rows,
            columns: known,
        })
    }
}
