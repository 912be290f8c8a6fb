//! Looks at all checkpoints of a data directory: see [`millstream_core::audit`].
//!
//! Checked are checksums, names, what manifests refer to, the chain from each manifest to the one before
//! it, and that nothing that only ever grows has become less from one to the next.

use std::collections::BTreeMap;

use millstream_core::audit::Audit;
use millstream_core::sink::EpochMark;

use super::manifest::{Manifest, SegmentRef, SourceProgress};
use super::savepoint::Savepoint;
use super::store::{self, KEPT};

const FOLDER: &str = "pipelines/";

/// What is known of a pipeline once its files were looked at.
#[derive(Debug)]
pub struct PipelineFacts {
    /// Its name.
    pub name: String,
    /// Its sound manifests, oldest first.
    pub manifests: Vec<Manifest>,
    /// Its sound savepoints, by path.
    pub savepoints: Vec<(String, Savepoint)>,
    /// Whether the newest manifest file is sound: if not, what sinks should hold is not known.
    pub is_newest_sound: bool,
    /// How many state segments the manifests refer to.
    pub segments: usize,
}

impl PipelineFacts {
    /// The newest manifest, if it is sound.
    pub fn newest(&self) -> Option<&Manifest> {
        self.manifests.last().filter(|_| self.is_newest_sound)
    }

    /// Where the manifest of `mark` is, or would be.
    pub fn path(&self, mark: EpochMark) -> String {
        manifest_path(&self.name, mark)
    }
}

/// Where the manifest of `mark` of a pipeline is, or would be.
pub fn manifest_path(pipeline: &str, mark: EpochMark) -> String {
    store::manifest_path(&root(pipeline), mark)
}

fn root(pipeline: &str) -> String {
    format!("{FOLDER}{pipeline}")
}

/// Looks at the manifests and segments of every pipeline.
///
/// # Errors
/// What the storage says if it cannot be listed.
pub fn audit(audit: &mut Audit<'_>) -> millstream_core::Result<Vec<PipelineFacts>> {
    let mut folders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in audit.storage().list(FOLDER)? {
        let mut names = path[FOLDER.len()..].splitn(3, '/');
        let (pipeline, folder) = (names.next().unwrap_or_default(), names.next());
        if folder.is_some_and(|folder| matches!(folder, "manifests" | "savepoints" | "state")) {
            folders.entry(pipeline.to_owned()).or_default().push(path);
        }
    }
    let pipelines = folders.into_iter();
    Ok(pipelines
        .map(|(name, paths)| one(audit, name, &paths))
        .collect())
}

fn one(audit: &mut Audit<'_>, name: String, paths: &[String]) -> PipelineFacts {
    let folder = |below: &str| format!("{}/{below}/", root(&name));
    let (manifests, savepoints) = (folder("manifests"), folder("savepoints"));
    let state = folder("state");
    let mut facts = PipelineFacts {
        name,
        manifests: vec![],
        savepoints: vec![],
        is_newest_sound: true,
        segments: 0,
    };
    for path in paths.iter().filter(|path| path.starts_with(&manifests)) {
        let manifest = read(audit, path);
        facts.is_newest_sound = manifest.is_some();
        facts.manifests.extend(manifest);
    }
    for path in paths.iter().filter(|path| path.starts_with(&savepoints)) {
        let savepoint = savepoint(audit, &facts.name, path);
        let savepoint = savepoint.map(|savepoint| (path.clone(), savepoint));
        facts.savepoints.extend(savepoint);
    }
    facts.segments = segments(audit, &facts);
    chain(audit, &facts);
    for pair in facts.manifests.windows(2) {
        follows(audit, &facts.path(pair[1].mark()), (&pair[0], &pair[1]));
    }
    for path in paths.iter().filter(|path| path.starts_with(&state)) {
        if !audit.is_checked(path) {
            audit.checked(path, 0);
            audit.note(path, "no manifest refers to it; the next start removes it");
        }
    }
    facts
}

/// A sound manifest whose name says what it is.
fn read(audit: &mut Audit<'_>, path: &str) -> Option<Manifest> {
    let bytes = audit.read(path)?;
    let manifest = match Manifest::decode(path, &bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            audit.failed(path, &error);
            return None;
        }
    };
    let expected = manifest_path(&manifest.pipeline, manifest.mark());
    if path != expected {
        let (pipeline, mark) = (&manifest.pipeline, manifest.mark());
        audit.problem(
            path,
            format!("found {mark} of pipeline `{pipeline}`, expected the name `{expected}`"),
        );
        return None;
    }
    for (table, source) in &manifest.sources {
        conserved(audit, path, (table, source));
    }
    for (table, sink) in &manifest.sinks {
        let staged = sink.staged_rows();
        if staged > sink.rows {
            let rows = sink.rows;
            audit.problem(
                path,
                format!("sink `{table}`: found {staged} rows staged, expected at most the {rows} of all epochs"),
            );
        }
    }
    Some(manifest)
}

/// A sound savepoint whose name says what it is.
fn savepoint(audit: &mut Audit<'_>, pipeline: &str, path: &str) -> Option<Savepoint> {
    let bytes = audit.read(path)?;
    let savepoint = match Savepoint::decode(path, &bytes) {
        Ok(savepoint) => savepoint,
        Err(error) => {
            audit.failed(path, &error);
            return None;
        }
    };
    let (of, name) = (&savepoint.manifest.pipeline, &savepoint.name);
    if of != pipeline || path.rsplit('/').next() != Some(name) {
        let what =
            format!("found savepoint `{name}` of pipeline `{of}`, expected what its path says");
        audit.problem(path, what);
        return None;
    }
    for (table, source) in &savepoint.manifest.sources {
        conserved(audit, path, (table, source));
    }
    Some(savepoint)
}

/// Every record is counted in exactly one of on time, late and undecodable.
fn conserved(audit: &mut Audit<'_>, path: &str, (table, source): (&str, &SourceProgress)) {
    let counters = source.counters;
    let (read, late) = (counters.rows_read, counters.rows_late);
    let undecodable = counters.rows_undecodable;
    if late.checked_add(undecodable).is_none_or(|sum| sum > read) {
        audit.problem(
            path,
            format!(
                "source `{table}`: found {late} rows late and {undecodable} undecodable, expected \
                 at most the {read} that were read"
            ),
        );
    }
}

/// Checks each segment that any manifest or savepoint refers to, once. How many there are.
fn segments(audit: &mut Audit<'_>, facts: &PipelineFacts) -> usize {
    let mut seen: BTreeMap<&str, &SegmentRef> = BTreeMap::new();
    let savepoints = facts.savepoints.iter();
    let savepoints = savepoints.map(|(path, savepoint)| (path.clone(), &savepoint.manifest));
    let manifests = facts.manifests.iter();
    let manifests = manifests.map(|manifest| (facts.path(manifest.mark()), manifest));
    for (path, manifest) in savepoints.chain(manifests) {
        for segment in &manifest.segments {
            match seen.insert(&segment.file, segment) {
                None => check_segment(audit, &path, segment),
                Some(other) if (other.bytes, other.crc32) != (segment.bytes, segment.crc32) => {
                    let file = &segment.file;
                    audit.problem(&path, format!("`{file}` is not what another manifest says"));
                }
                Some(_) => {}
            }
        }
    }
    seen.len()
}

fn check_segment(audit: &mut Audit<'_>, manifest: &str, segment: &SegmentRef) {
    let path = &segment.file;
    let mut crc = crc32fast::Hasher::new();
    let length = match audit.stream(path, |bytes| crc.update(bytes)) {
        Ok(Some(length)) => length,
        Ok(None) => {
            return audit.problem(path, format!("is missing, expected by `{manifest}`"));
        }
        Err(error) => return audit.failed(path, &error),
    };
    let found = crc.finalize();
    if length != segment.bytes || found != segment.crc32 {
        audit.problem(
            path,
            format!(
                "found length={length} crc32={found:08x}, expected length={} crc32={:08x}",
                segment.bytes, segment.crc32
            ),
        );
    }
}

/// Each manifest names the one that was decided before it. As many as are kept must be there; what is
/// before another incarnation may be gone.
fn chain(audit: &mut Audit<'_>, facts: &PipelineFacts) {
    let Some(newest) = facts.newest() else { return };
    let mut kept = usize::from(!newest.is_claim);
    let mut at = newest;
    while let Some(previous) = at.previous {
        if kept == KEPT || previous.incarnation != newest.incarnation {
            return;
        }
        let path = facts.path(previous);
        let Some(found) = facts
            .manifests
            .iter()
            .find(|found| found.mark() == previous)
        else {
            // One that is damaged was named already.
            if !audit.is_checked(&path) {
                let expected = facts.path(at.mark());
                audit.problem(&path, format!("is missing, expected by `{expected}`"));
            }
            return;
        };
        (at, kept) = (found, kept + 1);
    }
}

/// Checks that nothing has become less from one manifest to the next.
fn follows(audit: &mut Audit<'_>, path: &str, (before, after): (&Manifest, &Manifest)) {
    // A pipeline that was rewound or changed begins from an older state.
    if before.incarnation != after.incarnation || before.fingerprint != after.fingerprint {
        return;
    }
    let mut less: Vec<String> = vec![];
    for (table, old) in &before.sources {
        let Some(new) = after.sources.get(table) else {
            less.push(format!("source `{table}`: found nothing"));
            continue;
        };
        less.extend(sources_less(old, new).map(|what| format!("source `{table}`: {what}")));
    }
    for (node, (old, new)) in before.nodes.iter().zip(&after.nodes).enumerate() {
        if new < old {
            less.push(format!(
                "node {node}: found watermark {new}, expected at least {old}"
            ));
        }
    }
    if let (Some(old), Some(new)) = (before.processing_ms, after.processing_ms)
        && new < old
    {
        less.push(format!(
            "found processing time {new}, expected at least {old}"
        ));
    }
    less.extend(sinks_wrong(before, after));
    let old = before.mark();
    for what in less {
        audit.problem(path, format!("{what} as of {old}"));
    }
}

fn sources_less<'a>(
    old: &'a SourceProgress,
    new: &'a SourceProgress,
) -> impl Iterator<Item = String> + 'a {
    let counters = [
        ("rows read", old.counters.rows_read, new.counters.rows_read),
        ("rows late", old.counters.rows_late, new.counters.rows_late),
        (
            "rows undecodable",
            old.counters.rows_undecodable,
            new.counters.rows_undecodable,
        ),
        (
            "bytes read",
            old.counters.bytes_read,
            new.counters.bytes_read,
        ),
    ];
    let counters = counters.into_iter().filter(|(_, old, new)| new < old);
    let counters =
        counters.map(|(what, old, new)| format!("found {new} {what}, expected at least {old}"));
    let fired = (new.fired < old.fired).then(|| {
        format!(
            "found watermark {}, expected at least {}",
            new.fired, old.fired
        )
    });
    let splits = old.splits.iter().filter_map(|split| {
        let name = &split.split;
        let Some(now) = new.splits.iter().find(|now| now.split == *name) else {
            return Some(format!(
                "found no split `{name}`, expected offset {}",
                split.offset
            ));
        };
        (now.offset < split.offset || now.watermark < split.watermark).then(|| {
            format!(
                "split `{name}`: found offset {} and watermark {}, expected at least {} and {}",
                now.offset, now.watermark, split.offset, split.watermark
            )
        })
    });
    counters.chain(fired).chain(splits)
}

/// What a sink has got is what it had before and what was staged. That is known only if no manifest lies
/// between the two.
fn sinks_wrong(before: &Manifest, after: &Manifest) -> Vec<String> {
    let is_next = after.previous.is_some() && after.previous == before.last_decided();
    let mut wrong = vec![];
    for (table, old) in &before.sinks {
        let Some(new) = after.sinks.get(table) else {
            wrong.push(format!(
                "sink `{table}`: found nothing, expected {} rows",
                old.rows
            ));
            continue;
        };
        let staged = new.staged_rows();
        let expected = old.rows.saturating_add(staged);
        if new.rows < expected || (is_next && new.rows != expected) {
            let found = new.rows;
            wrong.push(format!(
                "sink `{table}`: found {found} rows, expected {expected}"
            ));
        }
        if is_next && new.held != before.committed_by(table) {
            let text = |mark: Option<EpochMark>| mark.map_or("nothing".into(), |m| m.to_string());
            let (found, expected) = (text(new.held), text(before.committed_by(table)));
            wrong.push(format!(
                "sink `{table}`: found that it holds {found}, expected {expected}"
            ));
        }
    }
    wrong
}
