//! Looks at everything that connectors keep in a data directory, and knows what sinks hold of a
//! pipeline: see [`millstream_core::audit`].

use millstream_core::Result;
use millstream_core::audit::Audit;
use millstream_core::sink::{EpochMark, Staged};
use serde::Deserialize;

use crate::hot_table::PartEntry;
use crate::hot_table::audit::{self as hot_table, TableFacts};
use crate::storage::STAGING;
use crate::topic::audit::{self as topic, TopicFacts};

/// Topics and tables once their files were looked at.
#[derive(Debug, Default)]
pub struct Stored {
    /// Topics by name.
    pub topics: Vec<TopicFacts>,
    /// Tables by folder.
    pub tables: Vec<TableFacts>,
}

/// What a table or topic holds of one sink of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its folder.
    pub folder: String,
    /// The last epoch that it holds.
    pub last: EpochMark,
    /// How many rows it holds of the pipeline's sink, if that can be told.
    pub rows: Option<u64>,
}

/// What a manifest keeps of an output, as one of the sinks wrote it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Output {
    Part(PartEntry),
    Records(Records),
}

/// Staged records of a topic or of `print`.
#[derive(Deserialize)]
struct Records {
    path: String,
    bytes: u64,
    crc32: u32,
}

/// Looks at topics and tables.
///
/// # Errors
/// What the storage says if it cannot be listed.
pub fn audit(audit: &mut Audit<'_>) -> Result<Stored> {
    Ok(Stored {
        topics: topic::audit(audit)?,
        tables: hot_table::audit(audit)?,
    })
}

/// Staged files that nobody has looked at: once all manifests were, no manifest names them.
///
/// # Errors
/// What the storage says if it cannot be listed.
pub fn leftovers(audit: &mut Audit<'_>) -> Result<()> {
    for folder in [STAGING, "tables/"] {
        for path in audit.storage().list(folder)? {
            let is_staged = folder == STAGING || path.contains("/parts/e-");
            if is_staged && !audit.is_checked(&path) {
                audit.checked(&path, 0);
                audit.note(&path, "was staged for an epoch that was never decided, or was committed; the next start removes it");
            }
        }
    }
    Ok(())
}

impl Stored {
    /// The offsets that there are of a split of this name, if it is a partition that is sound:
    /// `topic-partition`.
    pub fn split(&self, name: &str) -> Option<std::ops::Range<u64>> {
        let (topic, partition) = name.rsplit_once('-')?;
        let topic = self.topics.iter().find(|found| found.name == topic)?;
        let partition = topic.partitions.get(partition.parse::<usize>().ok()?)?;
        partition.clone()
    }

    /// The folder of the topic or partition of which a split of this name is.
    pub fn split_folder(name: &str) -> String {
        match name.rsplit_once('-') {
            Some((topic, partition)) => format!("topics/{topic}/{partition}/"),
            None => format!("topics/{name}/"),
        }
    }

    /// Whether everything that sinks hold is known: if not, a holder may be among what is damaged.
    pub fn is_sound(&self) -> bool {
        let mut partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        self.tables.iter().all(|table| table.is_sound) && partitions.all(Option::is_some)
    }

    /// Each pipeline of which a table or topic holds something, with that folder and the last epoch.
    pub fn pipelines(&self) -> Vec<(String, String, EpochMark)> {
        let tables = self.tables.iter().flat_map(|table| {
            let writers = table.writers.iter();
            writers.filter_map(|(writer, last)| {
                Some((hot_table::pipeline_of(writer)?, table.folder.clone(), *last))
            })
        });
        let topics = self.topics.iter().flat_map(|topic| {
            let folder = format!("topics/{}/", topic.name);
            let producers = topic.producers.iter();
            producers.filter_map(move |(producer, found)| {
                let (pipeline, _) = producer.split_once('/')?;
                Some((pipeline.to_owned(), folder.clone(), found.last?))
            })
        });
        tables.chain(topics).collect()
    }

    /// The tables and topics that hold epochs of the sink `sink` of `pipeline`.
    pub fn holders(&self, pipeline: &str, sink: &str) -> Vec<Holder> {
        let writer = hot_table::writer(pipeline, sink);
        let tables = self.tables.iter().filter_map(|table| {
            Some(Holder {
                folder: table.folder.clone(),
                last: *table.writers.get(&writer)?,
                rows: table.rows.filter(|_| table.writers.len() == 1),
            })
        });
        let producer = format!("{pipeline}/{sink}");
        let topics = self.topics.iter().filter_map(|topic| {
            let found = topic.producers.get(&producer)?;
            let mut partitions = topic.partitions.iter().flatten();
            let is_whole = partitions.all(|offsets| offsets.start == 0);
            Some(Holder {
                folder: format!("topics/{}/", topic.name),
                last: found.last?,
                rows: is_whole.then_some(found.records),
            })
        });
        tables.chain(topics).collect()
    }

    /// Whether this is a part that a table's sink has staged.
    pub fn is_part(staged: &Staged) -> bool {
        matches!(Output::deserialize(&staged.payload), Ok(Output::Part(_)))
    }

    /// Checks what the newest manifest, at this path, says was staged: what no sink holds yet must be
    /// there. `holders` are the sink's, and `is_held`, whether one of them holds that epoch.
    pub fn check_staged(
        &self,
        audit: &mut Audit<'_>,
        (manifest, holders, is_held): (&str, &[Holder], bool),
        staged: &Staged,
    ) {
        match Output::deserialize(&staged.payload) {
            Ok(Output::Part(entry)) if !is_held => self.check_part(audit, manifest, &entry),
            Ok(Output::Records(records)) if !is_held => {
                check_records(audit, (manifest, !holders.is_empty()), &records);
            }
            // Files in a folder elsewhere, or what a sink of the program's own keeps.
            _ => {}
        }
    }

    fn check_part(&self, audit: &mut Audit<'_>, manifest: &str, entry: &PartEntry) {
        let file = entry.file.as_str();
        let mut tables = self.tables.iter();
        let Some(table) = tables.find(|table| table.is_staged(file)) else {
            let what = format!("names the staged part `{file}`, which no table has");
            return audit.problem(manifest, what);
        };
        let path = table.part_path(file);
        if let Err(error) = hot_table::verified(audit, &path, entry) {
            audit.failed(&path, &error);
        }
    }
}

/// `is_topic`: a topic is known to take them. Records that `print` has printed are gone.
fn check_records(audit: &mut Audit<'_>, (manifest, is_topic): (&str, bool), records: &Records) {
    let path = &records.path;
    let mut crc = crc32fast::Hasher::new();
    match audit.stream(path, |bytes| crc.update(bytes)) {
        Err(error) => audit.failed(path, &error),
        Ok(Some(length)) => {
            let (found, expected, bytes) = (crc.finalize(), records.crc32, records.bytes);
            if (length, found) != (bytes, expected) {
                let what = format!(
                    "found bytes={length} crc32={found:08x}, expected bytes={bytes} \
                     crc32={expected:08x} by `{manifest}`"
                );
                audit.problem(path, what);
            }
        }
        Ok(None) if is_topic => {
            audit.problem(path, format!("is missing, expected by `{manifest}`"));
        }
        Ok(None) => {}
    }
}
