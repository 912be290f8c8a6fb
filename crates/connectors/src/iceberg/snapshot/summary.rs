//! The numbers in a snapshot's summary, by the names of the Iceberg specification (appendix F), which
//! other engines show and plan by. What is zero is left out, totals are not.

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, Struct, Summary};

use super::Entry;

/// Files, their rows and bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    files: u64,
    rows: u64,
}

/// What was added, or taken out.
#[derive(Debug, Default)]
struct Side {
    data: Count,
    positions: Count,
    equalities: Count,
    bytes: u64,
}

impl Side {
    fn add(&mut self, file: &DataFile) {
        let count = match file.content_type() {
            DataContentType::Data => &mut self.data,
            DataContentType::PositionDeletes => &mut self.positions,
            DataContentType::EqualityDeletes => &mut self.equalities,
        };
        count.files += 1;
        count.rows += file.record_count();
        self.bytes += file.file_size_in_bytes();
    }

    fn delete_files(&self) -> u64 {
        self.positions.files + self.equalities.files
    }
}

/// What a snapshot changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    added: Side,
    removed: Side,
    partitions: HashSet<(i32, Struct)>,
}

impl Changes {
    pub(super) fn note(&mut self, spec_id: i32, entry: &Entry) {
        let (side, file) = match entry {
            Entry::Added(file, _) => (&mut self.added, &**file),
            Entry::Deleted(entry) => (&mut self.removed, entry.data_file()),
            Entry::Existing(_) => return,
        };
        side.add(file);
        self.partitions.insert((spec_id, file.partition().clone()));
    }

    /// All keys, with totals after those of the parent. A total that the parent does not tell stays
    /// untold.
    pub(super) fn summary(&self, parent: Option<&Summary>) -> HashMap<String, String> {
        let (added, removed) = (&self.added, &self.removed);
        let mut told: BTreeMap<&str, u64> = BTreeMap::from([
            ("added-data-files", added.data.files),
            ("added-records", added.data.rows),
            ("added-files-size", added.bytes),
            ("deleted-data-files", removed.data.files),
            ("deleted-records", removed.data.rows),
            ("removed-files-size", removed.bytes),
            ("removed-delete-files", removed.delete_files()),
            ("removed-position-delete-files", removed.positions.files),
            ("removed-position-deletes", removed.positions.rows),
            ("removed-equality-delete-files", removed.equalities.files),
            ("removed-equality-deletes", removed.equalities.rows),
            ("changed-partition-count", self.partitions.len() as u64),
        ]);
        told.retain(|_, number| *number > 0);
        for (key, more, less) in [
            ("total-data-files", added.data.files, removed.data.files),
            ("total-records", added.data.rows, removed.data.rows),
            ("total-files-size", added.bytes, removed.bytes),
            (
                "total-delete-files",
                added.delete_files(),
                removed.delete_files(),
            ),
            (
                "total-position-deletes",
                added.positions.rows,
                removed.positions.rows,
            ),
            (
                "total-equality-deletes",
                added.equalities.rows,
                removed.equalities.rows,
            ),
        ] {
            let before = match parent {
                Some(parent) => parent
                    .additional_properties
                    .get(key)
                    .map(|text| text.parse()),
                None => Some(Ok(0_u64)),
            };
            if let Some(Ok(before)) = before {
                told.insert(key, (before + more).saturating_sub(less));
            }
        }
        let told = told.into_iter();
        told.map(|(key, number)| (key.to_owned(), number.to_string()))
            .collect()
    }
}
