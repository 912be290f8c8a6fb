//! Reads and writes manifests and segments of one pipeline, and removes what nothing refers to.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::env::Env;
#[cfg(feature = "mutants")]
use millstream_core::mutant::Mutant;
use millstream_core::sink::EpochMark;
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, NodeId, Result};

use super::manifest::{Manifest, SegmentRef};
use super::savepoint::Savepoints;
use super::segment::{self, Encoded, Encoder, StateRows};

/// Manifests that are kept. The newest decides; the others are for going back after damage.
pub(super) const KEPT: usize = 3;

/// The path of a manifest of the pipeline whose checkpoints are in `root`.
pub(super) fn manifest_path(root: &str, mark: EpochMark) -> String {
    let EpochMark { incarnation, epoch } = mark;
    format!("{root}/manifests/{:010}-{:020}", incarnation.0, epoch.0)
}

/// Which checkpoint a pipeline goes on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// The newest.
    #[default]
    Newest,
    /// That of this epoch, in a new incarnation.
    Epoch(Epoch),
    /// The savepoint of this name, in a new incarnation if anything came after it.
    Savepoint(String),
}

/// Of a segment: its epoch, its level, the node and part whose rows it has.
pub type SegmentPlace = (Epoch, u32, (NodeId, u32));

/// A manifest that is kept.
struct Kept {
    path: String,
    segments: BTreeSet<String>,
    is_claim: bool,
}

impl Kept {
    fn new(path: String, manifest: &Manifest) -> Self {
        let segments = manifest.segments.iter();
        Self {
            path,
            segments: segments.map(|segment| segment.file.clone()).collect(),
            is_claim: manifest.is_claim,
        }
    }
}

/// Reads segments. Clones read the same.
#[derive(Clone)]
pub struct SegmentReader {
    storage: Arc<dyn Storage>,
}

impl SegmentReader {
    /// The bytes of a segment, which are as they were written.
    ///
    /// # Errors
    /// `Corrupt` if they are not, or not there.
    pub fn bytes(&self, segment: &SegmentRef) -> Result<Vec<u8>> {
        let path = &segment.file;
        let damaged = |what: String| Error::corrupt(format!("state segment `{path}` {what}"));
        if self.storage.length(path)?.is_none() {
            return Err(damaged("is missing".into()));
        }
        let bytes = self.storage.read(path)?;
        let found = crc32fast::hash(&bytes);
        if bytes.len() as u64 != segment.bytes || found != segment.crc32 {
            let (length, expected) = (bytes.len(), segment.crc32);
            return Err(damaged(format!(
                "is damaged: found length={length} crc32={found:08x}, expected length={} \
                 crc32={expected:08x}",
                segment.bytes
            )));
        }
        Ok(bytes)
    }

    /// What a shard has in a segment with these bytes.
    pub fn decode(
        &self,
        segment: &SegmentRef,
        bytes: &[u8],
        shard: usize,
    ) -> Result<Vec<StateRows>> {
        segment::decode_of_shard(&segment.file, bytes, shard)
    }
}

/// The checkpoints of one pipeline.
pub struct CheckpointStore {
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    root: String,
    savepoints: Savepoints,
    /// The manifests that are kept, oldest first.
    kept: Vec<Kept>,
    /// Path of the manifest that was loaded, or could not be.
    loaded: Option<String>,
    /// Whether nothing newer lies beside it.
    is_newest: bool,
    /// Path of the newest manifest that this store knows of.
    newest: Option<String>,
    /// PERF: the memory of the last segment, for the next: else each epoch has it fresh from the kernel.
    spare: Cell<Vec<u8>>,
}

/// The memory of a longer segment is given back, in bytes.
const SPARE_MAX: usize = 64 << 20;

impl CheckpointStore {
    /// The store of `pipeline`.
    pub fn new(storage: Arc<dyn Storage>, env: Arc<dyn Env>, pipeline: &str) -> Self {
        Self {
            savepoints: Savepoints::new(storage.clone(), pipeline),
            storage,
            env,
            root: format!("pipelines/{pipeline}"),
            kept: vec![],
            loaded: None,
            is_newest: true,
            newest: None,
            spare: Cell::default(),
        }
    }

    /// The manifest to start from; `None` if the pipeline never ran. A damaged one is never passed over
    /// in silence.
    pub fn load(&mut self, from: &StartFrom) -> Result<Option<Manifest>> {
        let paths = self.paths()?;
        self.newest = paths.last().cloned();
        let (path, manifest) = match from {
            StartFrom::Newest => match paths.last() {
                Some(newest) => (newest.clone(), self.read_first(newest)?),
                None => return Ok(None),
            },
            StartFrom::Epoch(epoch) => {
                let of_epoch = format!("-{:020}", epoch.0);
                let path = paths.iter().rev().find(|path| path.ends_with(&of_epoch));
                let path = path.ok_or_else(|| self.no_such_epoch(*epoch, &paths))?;
                (path.clone(), self.read_first(path)?)
            }
            StartFrom::Savepoint(name) => {
                let manifest = self.savepoints.load(name)?.manifest;
                if let Some(newest) = paths.last()
                    && let Ok(newest) = self.read(newest)
                    && newest.says_as_much_as(&manifest)
                {
                    return self.load(&StartFrom::Newest);
                }
                let path = manifest_path(&self.root, manifest.mark());
                self.loaded = Some(path.clone());
                (path, manifest)
            }
        };
        self.kept.clear();
        self.is_newest = paths.last() == Some(&path);
        for path in paths.iter().filter(|kept| **kept <= path) {
            // An older one that is damaged is of no use to anybody.
            if let Ok(manifest) = self.read(path) {
                self.kept.push(Kept::new(path.clone(), &manifest));
            }
        }
        Ok(Some(manifest))
    }

    fn read_first(&mut self, path: &str) -> Result<Manifest> {
        self.loaded = Some(path.to_owned());
        self.read(path)
    }

    /// Whether the manifest that was loaded is the newest that there is, damaged ones included.
    pub fn is_newest(&self) -> bool {
        self.is_newest
    }

    /// Whether another run has decided something since this store looked last: what it has found
    /// missing or changed may be that run's doing.
    pub fn is_overtaken(&self) -> Result<bool> {
        Ok(self.paths()?.pop() > self.newest)
    }

    /// The highest incarnation that any manifest is of, damaged ones included.
    pub fn newest_incarnation(&self) -> Result<Incarnation> {
        let paths = self.paths()?;
        let names = paths.iter().filter_map(|path| path.rsplit('/').next());
        let incarnations = names.filter_map(|name| name.split('-').next()?.parse().ok());
        Ok(Incarnation(incarnations.max().unwrap_or(0)))
    }

    /// Where the checkpoints are.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Paths of all manifests, oldest first.
    fn paths(&self) -> Result<Vec<String>> {
        self.storage.list(&format!("{}/manifests/", self.root))
    }

    fn read(&self, path: &str) -> Result<Manifest> {
        Manifest::decode(path, &self.storage.read(path)?)
    }

    fn no_such_epoch(&self, epoch: Epoch, paths: &[String]) -> Error {
        let epochs = paths
            .iter()
            .filter_map(|path| path.rsplit('-').next()?.parse::<u64>().ok());
        let epochs: Vec<String> = epochs.map(|epoch| epoch.to_string()).collect();
        Error::invalid(format!(
            "no manifest of epoch {epoch} in `{}/manifests`; there are: {}",
            self.root,
            epochs.join(", ")
        ))
    }

    /// The newest manifest before the one that was asked for that is sound, with all its segments,
    /// and `is_usable`; `None` if there is none.
    pub fn sound_before(&self, is_usable: impl Fn(&Manifest) -> bool) -> Result<Option<Manifest>> {
        let paths = self.paths()?;
        let mut epochs = BTreeSet::new();
        for path in paths.iter().rev() {
            // Of incarnations with the same epoch only the newest can be gone back to.
            let epoch = path.rsplit('-').next().unwrap_or(path);
            if !epochs.insert(epoch) || self.loaded.as_ref().is_none_or(|loaded| path >= loaded) {
                continue;
            }
            if let Ok(manifest) = self.read(path)
                && self.verify(&manifest).is_ok()
                && is_usable(&manifest)
            {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// Checks that all segments of a manifest are there and as they were written.
    pub fn verify(&self, manifest: &Manifest) -> Result<()> {
        let mut segments = manifest.segments.iter();
        segments.try_for_each(|segment| self.segment_bytes(segment).map(drop))
    }

    /// Writes a segment durably.
    pub fn write_segment(&self, place: SegmentPlace, states: Vec<StateRows>) -> Result<SegmentRef> {
        let mut encoder = self.encoder(&states)?;
        for state in states {
            encoder.write(state)?;
        }
        self.write_encoded(place, encoder)
    }

    /// An empty segment for these states, in memory that is used again.
    pub fn encoder(&self, states: &[StateRows]) -> Result<Encoder> {
        Encoder::new(states, self.spare.take())
    }

    /// Writes what `encoder` has made durably.
    fn write_encoded(&self, place: SegmentPlace, encoder: Encoder) -> Result<SegmentRef> {
        let (segment, bytes) = self.named(place, encoder)?;
        self.storage.put(&segment.file, &bytes)?;
        self.give_back(bytes);
        Ok(segment)
    }

    /// The segment that `encoder` has made, under a name of its own, and its bytes: to be written by the
    /// caller, and given back then.
    pub fn named(
        &self,
        (epoch, level, (node, part)): SegmentPlace,
        encoder: Encoder,
    ) -> Result<(SegmentRef, Vec<u8>)> {
        let Encoded {
            bytes,
            rows,
            needed_until,
        } = encoder.finish()?;
        let segment = SegmentRef {
            node,
            part,
            file: self.segment_path(epoch, node),
            bytes: bytes.len() as u64,
            crc32: crc32fast::hash(&bytes),
            rows,
            needed_until,
            level,
        };
        Ok((segment, bytes))
    }

    /// Takes the memory of a segment back, for the next.
    pub fn give_back(&self, bytes: Vec<u8>) {
        if bytes.len() <= SPARE_MAX {
            self.spare.set(bytes);
        }
    }

    /// Writes the segment `known` of another store for `epoch`.
    pub fn copy_segment(
        &self,
        epoch: Epoch,
        known: &SegmentRef,
        from: &Self,
    ) -> Result<SegmentRef> {
        let file = self.segment_path(epoch, known.node);
        self.storage.put(&file, &from.segment_bytes(known)?)?;
        Ok(SegmentRef {
            file,
            ..known.clone()
        })
    }

    fn segment_path(&self, epoch: Epoch, node: NodeId) -> String {
        // CRASH: a leftover of an attempt that died before its manifest must not be taken for
        // this one, so every attempt has names of its own.
        let random = self.env.random();
        let root = &self.root;
        format!("{root}/state/{:020}-{node}-{random:016x}.arrow", epoch.0)
    }

    /// Reads a segment, checking length and checksum.
    pub fn read_segment(&self, segment: &SegmentRef) -> Result<Vec<StateRows>> {
        segment::decode(&segment.file, self.segment_bytes(segment)?)
    }

    fn segment_bytes(&self, segment: &SegmentRef) -> Result<Vec<u8>> {
        self.segments().bytes(segment)
    }

    /// Reads segments, apart from this.
    pub fn segments(&self) -> SegmentReader {
        SegmentReader {
            storage: self.storage.clone(),
        }
    }

    /// Decides an epoch. `Fenced` if somebody else has decided it, or a later one: the manifest that
    /// would have been in the way may have been collected since.
    pub fn write_manifest(&mut self, manifest: &Manifest) -> Result<()> {
        let path = manifest_path(&self.root, manifest.mark());
        let fenced = |found: &dyn std::fmt::Display| {
            let pipeline = &manifest.pipeline;
            let message = format!("another process has taken pipeline `{pipeline}` over: {found}");
            Error::new(ErrorKind::Fenced, message)
        };
        let written = self.storage.put_if_absent(&path, &manifest.encode()?);
        #[cfg(feature = "mutants")]
        let written = match written {
            Err(error) if error.kind() == ErrorKind::Conflict && Mutant::Overwrite.is_out() => {
                self.storage.put(&path, &manifest.encode()?)
            }
            Err(error) if error.kind() == ErrorKind::Conflict && Mutant::Undaunted.is_out() => {
                Ok(())
            }
            written => written,
        };
        written.map_err(|error| match error.kind() {
            ErrorKind::Conflict => fenced(&error),
            _ => error,
        })?;
        let newest = self.paths()?.pop();
        if let Some(newest) = newest.filter(|newest| *newest != path) {
            self.storage.delete(&path)?;
            return Err(fenced(&format!("`{newest}` is there")));
        }
        self.newest = Some(path.clone());
        self.kept.push(Kept::new(path, manifest));
        Ok(())
    }

    /// Removes older manifests and the segments that only they refer to. Claims do not count: what
    /// they say, another manifest says too, and starting again and again must not push those out.
    pub fn collect_garbage(&mut self) -> Result<()> {
        let newest = self.kept.len().saturating_sub(1);
        let decided = self.kept.iter().filter(|kept| !kept.is_claim).count();
        let mut surplus = decided.saturating_sub(KEPT);
        let mut garbage = vec![];
        for (index, kept) in std::mem::take(&mut self.kept).into_iter().enumerate() {
            let is_surplus = !kept.is_claim && surplus > 0;
            surplus -= usize::from(is_surplus);
            match index < newest && (kept.is_claim || is_surplus) {
                true => garbage.push(kept),
                false => self.kept.push(kept),
            }
        }
        // CRASH: manifests go first: one that is there has all its segments.
        for Kept { path, .. } in &garbage {
            self.storage.delete(path)?;
        }
        let segments = garbage.into_iter().flat_map(|kept| kept.segments);
        let segments: BTreeSet<String> = segments.filter(|it| !self.is_kept(it)).collect();
        self.remove_segments(segments)
    }

    /// Removes segments that no manifest refers to, unless a savepoint does.
    fn remove_segments(&self, segments: BTreeSet<String>) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        // INVARIANT: looked at after the manifests were removed (see `savepoint`).
        let Some(named) = self.savepoints.segments()? else {
            return Ok(());
        };
        let mut garbage = segments.difference(&named);
        garbage.try_for_each(|segment| self.storage.delete(segment))
    }

    fn is_kept(&self, segment: &String) -> bool {
        #[cfg(feature = "mutants")]
        if Mutant::CollectEarly.is_out() {
            return false;
        }
        self.kept.iter().any(|kept| kept.segments.contains(segment))
    }

    /// Removes segments of epochs up to `last` that no manifest refers to: leftovers of a crash.
    /// Called once `last` is claimed: nobody will decide an epoch up to it any more.
    pub fn remove_orphans(&self, last: Epoch) -> Result<()> {
        let folder = format!("{}/state/", self.root);
        let is_past = |file: &String| {
            let epoch = file[folder.len()..].split('-').next();
            let epoch = epoch.and_then(|epoch| epoch.parse().ok()).map(Epoch);
            epoch.is_none_or(|epoch| epoch <= last)
        };
        let files = self.storage.list(&folder)?.into_iter();
        self.remove_segments(
            files
                .filter(|it| !self.is_kept(it) && is_past(it))
                .collect(),
        )
    }
}
