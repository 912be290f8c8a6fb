//! Reads a data directory that nobody runs on, and says what is wrong with it.
//!
//! ```text
//! checkpoints ─┐
//! topics ──────┼─> each file by itself: checksums, references, what only ever grows
//! tables ──────┘        └─> together: what sinks hold, what was read, what is staged
//! ```
//!
//! Nothing is changed, and memory does not grow with the size of files.

use std::path::Path;

use millstream_connectors::audit::{Holder, Stored, audit as audit_stored, leftovers};
use millstream_connectors::storage::DataDirectory;
use millstream_core::audit::Audit;
pub use millstream_core::audit::Finding;
use millstream_core::sink::EpochMark;
use millstream_core::storage::Storage;
use millstream_core::{Incarnation, Result};
use millstream_engine::checkpoint::audit::{
    PipelineFacts, audit as audit_checkpoints, manifest_path,
};
use millstream_engine::checkpoint::{Manifest, SinkProgress, SourceProgress};

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// What is not as it was written, sorted by path.
    pub problems: Vec<Finding>,
    /// What the next start sets right, or what cannot be checked.
    pub notes: Vec<Finding>,
    /// How many files were looked at.
    pub files: usize,
    /// How many bytes were read.
    pub bytes: u64,
    /// What there is.
    pub counts: Counts,
}

/// What there is in a data directory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Pipelines.
    pub pipelines: usize,
    /// Their sound manifests.
    pub manifests: usize,
    /// State segments that manifests refer to.
    pub state_segments: usize,
    /// Topics.
    pub topics: usize,
    /// Their partitions.
    pub partitions: usize,
    /// Segments of partitions.
    pub topic_segments: usize,
    /// Sound records.
    pub records: u64,
    /// Tables.
    pub tables: usize,
    /// Their sound versions.
    pub versions: usize,
    /// Parts that versions refer to.
    pub parts: usize,
}

/// Verifies the data directory at `path`; `on_read` is told which file is read, and how many bytes more.
///
/// # Errors
/// `InvalidInput` if a process runs on the directory, if it is none, or if a newer version has made it.
pub fn verify(path: impl AsRef<Path>, on_read: &mut dyn FnMut(&str, u64)) -> Result<Verified> {
    let directory = DataDirectory::share(path.as_ref())?;
    let version = directory.version_problem()?;
    let storage = directory.storage();
    let mut verified = verify_storage(&storage, on_read)?;
    let version = version.map(|what| Finding {
        path: "VERSION".to_owned(),
        what,
    });
    verified.problems.splice(0..0, version);
    for path in directory.temporary_files()? {
        verified.notes.push(Finding {
            path,
            what: "was being written when a process ended; the next start removes it".to_owned(),
        });
    }
    Ok(verified)
}

/// Verifies what is in `storage`, which nobody changes meanwhile.
///
/// # Errors
/// What the storage says if it cannot be listed.
pub fn verify_storage(
    storage: &dyn Storage,
    on_read: &mut dyn FnMut(&str, u64),
) -> Result<Verified> {
    let mut audit = Audit::new(storage, on_read);
    let pipelines = audit_checkpoints(&mut audit)?;
    let stored = audit_stored(&mut audit)?;
    for facts in &pipelines {
        together(&mut audit, facts, &stored);
    }
    without_checkpoints(&mut audit, &pipelines, &stored);
    leftovers(&mut audit)?;
    strangers(&mut audit)?;
    let counts = counts(&pipelines, &stored);
    let (files, bytes) = (audit.files(), audit.bytes());
    let (problems, notes) = audit.into_findings();
    Ok(Verified {
        problems,
        notes,
        files,
        bytes,
        counts,
    })
}

fn counts(pipelines: &[PipelineFacts], stored: &Stored) -> Counts {
    let (topics, tables) = (&stored.topics, &stored.tables);
    Counts {
        pipelines: pipelines.len(),
        manifests: pipelines.iter().map(|facts| facts.manifests.len()).sum(),
        state_segments: pipelines.iter().map(|facts| facts.segments).sum(),
        topics: topics.len(),
        partitions: topics.iter().map(|topic| topic.partitions.len()).sum(),
        topic_segments: topics.iter().map(|topic| topic.segments).sum(),
        records: topics.iter().map(|topic| topic.records).sum(),
        tables: tables.len(),
        versions: tables.iter().map(|table| table.versions).sum(),
        parts: tables.iter().map(|table| table.parts).sum(),
    }
}

/// Pipelines of which tables and topics hold rows, and that have not one manifest file.
fn without_checkpoints(audit: &mut Audit<'_>, pipelines: &[PipelineFacts], stored: &Stored) {
    for (pipeline, folder, last) in stored.pipelines() {
        let has_manifest =
            |facts: &PipelineFacts| !facts.manifests.is_empty() || !facts.is_newest_sound;
        let mut known = pipelines.iter().filter(|facts| facts.name == pipeline);
        if !known.any(has_manifest) {
            let path = manifest_path(&pipeline, last);
            let what = format!("is missing: `{folder}` holds {last} of pipeline `{pipeline}`");
            audit.problem(&path, what);
        }
    }
}

/// Files that nobody has asked for.
fn strangers(audit: &mut Audit<'_>) -> Result<()> {
    for path in audit.storage().list("")? {
        if !audit.is_checked(&path) && !matches!(path.as_str(), "LOCK" | "VERSION" | "BACKUP") {
            audit.note(
                &path,
                "is no file of Millstream: nothing reads it, and it was not checked",
            );
        }
    }
    Ok(())
}

/// What a pipeline's checkpoints say, and what topics and tables hold.
fn together(audit: &mut Audit<'_>, facts: &PipelineFacts, stored: &Stored) {
    for pair in facts.manifests.windows(2) {
        read_all(audit, facts, (&pair[0], &pair[1]), stored);
    }
    let Some(newest) = facts.newest() else { return };
    for source in newest.sources.values() {
        splits(audit, &facts.name, source, stored);
    }
    for (table, progress) in &newest.sinks {
        sink(audit, facts, newest, (table, progress), stored);
    }
}

/// Between two manifests, as many records were read as the offsets of topics have gone on.
fn read_all(
    audit: &mut Audit<'_>,
    facts: &PipelineFacts,
    (before, after): (&Manifest, &Manifest),
    stored: &Stored,
) {
    if before.incarnation != after.incarnation || before.fingerprint != after.fingerprint {
        return;
    }
    for (table, new) in &after.sources {
        let Some(old) = before.sources.get(table) else {
            continue;
        };
        let is_topic = new.splits.len() == old.splits.len()
            && new
                .splits
                .iter()
                .all(|split| stored.split(split.split.as_str()).is_some());
        let sum = |source: &SourceProgress| {
            source
                .splits
                .iter()
                .map(|split| split.offset.0)
                .fold(0, u64::saturating_add)
        };
        let (from, to) = (sum(old), sum(new));
        let read = new.counters.rows_read.wrapping_sub(old.counters.rows_read);
        // What went back was named already.
        if is_topic && to >= from && to - from != read {
            let (path, expected) = (facts.path(after.mark()), to - from);
            let old = before.mark();
            audit.problem(
                &path,
                format!("source `{table}`: found {read} rows read since {old}, expected the {expected} that offsets have gone on"),
            );
        }
    }
}

/// What was read of topics must be there; what was not must be there still.
fn splits(audit: &mut Audit<'_>, pipeline: &str, source: &SourceProgress, stored: &Stored) {
    for split in &source.splits {
        let (name, offset) = (split.split.as_str(), split.offset.0);
        let Some(offsets) = stored.split(name) else {
            continue;
        };
        let folder = Stored::split_folder(name);
        if offset > offsets.end {
            let end = offsets.end;
            audit.problem(
                &folder,
                format!("found records before offset {end}, expected those before {offset}, which pipeline `{pipeline}` has read"),
            );
        } else if offset < offsets.start {
            let start = offsets.start;
            audit.note(
                &folder,
                format!("begins at offset {start}, but pipeline `{pipeline}` has read only those before {offset}: retention has removed the rest, or the segment is lost"),
            );
        }
    }
}

/// What a sink holds of its pipeline.
fn sink(
    audit: &mut Audit<'_>,
    facts: &PipelineFacts,
    newest: &Manifest,
    (table, progress): (&str, &SinkProgress),
    stored: &Stored,
) {
    let holders = stored.holders(&facts.name, table);
    let path = facts.path(newest.mark());
    for holder in &holders {
        held(audit, facts, newest, (holder, progress));
    }
    let is_held = holders.iter().any(|holder| holder.last >= newest.mark());
    for staged in &progress.staged {
        stored.check_staged(audit, (&path, &holders, is_held), staged);
    }
    if !holders.is_empty() || !stored.is_sound() || progress.rows == 0 {
        return;
    }
    let sinks = facts
        .manifests
        .iter()
        .filter_map(|manifest| manifest.sinks.get(table));
    let is_table = sinks.flat_map(|sink| &sink.staged).any(Stored::is_part);
    match progress.held {
        Some(expected) if is_table => audit.problem(
            &path,
            format!("sink `{table}`: found no table that holds it, expected one with {expected}"),
        ),
        None if is_table => {}
        _ => audit.note(
            &path,
            format!("sink `{table}` keeps nothing here (files elsewhere, `print`, `blackhole`): not checked"),
        ),
    }
}

fn held(
    audit: &mut Audit<'_>,
    facts: &PipelineFacts,
    newest: &Manifest,
    (holder, progress): (&Holder, &SinkProgress),
) {
    let (folder, last, pipeline) = (&holder.folder, holder.last, &facts.name);
    if last > newest.mark() {
        let what = format!("is missing: `{folder}` holds {last} of pipeline `{pipeline}`");
        return audit.problem(&facts.path(last), what);
    }
    if let Some(expected) = progress.held.filter(|expected| last < *expected) {
        let what = format!(
            "found {last} of pipeline `{pipeline}`, expected {expected} or later: rows are missing"
        );
        return audit.problem(folder, what);
    }
    let staged = progress.staged_rows();
    let expected = match is_committed(last, newest, progress) {
        true => progress.rows,
        false => progress.rows - staged.min(progress.rows),
    };
    let Some(found) = holder.rows else { return };
    let what =
        format!("found {found} rows of pipeline `{pipeline}`, expected {expected} as of {last}");
    // A rewound pipeline may have written rows twice.
    if found < expected && newest.incarnation == Incarnation(0) {
        audit.problem(folder, what);
    } else if found > expected && newest.incarnation == Incarnation(0) {
        let why = "the others are twice, or of a time before the table was taken out of the file";
        audit.note(folder, format!("{what}: {why}"));
    }
}

fn is_committed(last: EpochMark, newest: &Manifest, progress: &SinkProgress) -> bool {
    progress.staged.is_empty() || last >= newest.mark()
}
