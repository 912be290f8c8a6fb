//! The manifest of an epoch: all that recovery needs, in one file.
//!
//! Format, version 1: one line of text `millstream-manifest 1 crc32=<8 hex digits> length=<bytes>`,
//! a newline, then that many bytes of JSON ([`Manifest`]): see [`Envelope`].

use std::collections::BTreeMap;

use millstream_core::sink::{EpochMark, Staged};
use millstream_core::{Epoch, Incarnation, NodeId, Offset, Result, SplitId, Watermark};
use serde::{Deserialize, Serialize};

use super::description::PlanDescription;
use super::envelope::Envelope;

/// The highest version of the format that this code reads, and the one that it writes.
pub const FORMAT: u32 = 1;

const ENVELOPE: Envelope = Envelope {
    kind: "manifest",
    version: FORMAT,
};

/// What holds as of the end of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The pipeline's name.
    pub pipeline: String,
    /// Hash of the plan that wrote it.
    pub fingerprint: String,
    /// What that plan is, as far as state goes. Manifests of earlier builds do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanDescription>,
    /// How often the pipeline was rewound.
    pub incarnation: Incarnation,
    /// The epoch.
    pub epoch: Epoch,
    /// Whether a run began with it: it has no rows, and says what the one before says.
    #[serde(default)]
    pub is_claim: bool,
    /// The last epoch before it that was decided, claims left out: its manifest is there unless that is
    /// too old to be kept. Manifests of earlier builds do not say.
    #[serde(default)]
    pub previous: Option<EpochMark>,
    /// Number of shards that wrote the segments.
    pub parallelism: u32,
    /// Whether all input was read and every window has fired.
    pub finished: bool,
    /// Processing time at its barrier, in ms. Manifests of earlier builds do not say.
    #[serde(default)]
    pub processing_ms: Option<i64>,
    /// Progress of each source by table name.
    pub sources: BTreeMap<String, SourceProgress>,
    /// Up to where each operator has fired, by node. Manifests of earlier builds do not say: there it
    /// follows from the sources.
    #[serde(default)]
    pub nodes: Vec<Watermark>,
    /// Segments that together are the state of open windows, oldest first.
    pub segments: Vec<SegmentRef>,
    /// Output of each sink by table name.
    pub sinks: BTreeMap<String, SinkProgress>,
}

/// How far a source was read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SourceProgress {
    /// Up to where windows have fired.
    pub fired: Watermark,
    /// Whether all its splits were idle.
    #[serde(default)]
    pub is_idle: bool,
    /// Its splits.
    pub splits: Vec<SplitProgress>,
    /// Counts since the pipeline's first epoch.
    pub counters: SourceCounters,
}

/// How far a split was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitProgress {
    /// Its name.
    pub split: SplitId,
    /// The first record not yet read.
    pub offset: Offset,
    /// Its own watermark.
    pub watermark: Watermark,
    /// Whether it has ended.
    pub ended: bool,
    /// Where it was earlier, and what its watermark was there, oldest first (see `trail`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trail: Vec<(Offset, Watermark)>,
}

/// Every record of a source is counted in exactly one of on time, late and undecodable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceCounters {
    /// Records read.
    pub rows_read: u64,
    /// Rows that at least one query dropped as late.
    pub rows_late: u64,
    /// Records that could not be decoded.
    pub rows_undecodable: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

impl SourceCounters {
    /// Rows that no query dropped.
    pub fn rows_on_time(&self) -> u64 {
        self.rows_read - self.rows_late - self.rows_undecodable
    }

    /// Adds what was counted since.
    pub fn add(&mut self, other: &Self) {
        self.rows_read += other.rows_read;
        self.rows_late += other.rows_late;
        self.rows_undecodable += other.rows_undecodable;
        self.bytes_read += other.bytes_read;
    }
}

/// A segment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The operator whose state it holds.
    pub node: NodeId,
    /// Which part of that state (see [`StateBatch`](crate::operator::StateBatch)).
    #[serde(default)]
    pub part: u32,
    /// Its path.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// CRC-32 of all its bytes.
    pub crc32: u32,
    /// Rows in it.
    pub rows: u64,
    /// Until when it is needed, as the end of a window in ms: once the operator's watermark has passed
    /// that, the segment is dropped.
    #[serde(alias = "last_window_end")]
    pub needed_until: i64,
    /// How often its rows were merged: 0 as written at a barrier.
    pub level: u32,
}

/// What a sink got.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SinkProgress {
    /// Rows since the pipeline's first epoch.
    pub rows: u64,
    /// Bytes as staged since the pipeline's first epoch.
    pub bytes: u64,
    /// The last epoch before this one in which something was staged: the sink holds it. Manifests
    /// of earlier builds do not say.
    #[serde(default)]
    pub held: Option<EpochMark>,
    /// What this epoch staged: has to be committed (again) on recovery.
    pub staged: Vec<Staged>,
}

impl SinkProgress {
    /// Rows that this epoch staged. Any number can stand in a file, so the sum is bounded.
    pub fn staged_rows(&self) -> u64 {
        let rows = self.staged.iter().map(|staged| staged.rows);
        rows.fold(0, u64::saturating_add)
    }
}

impl Manifest {
    /// The bytes of the file.
    pub fn encode(&self) -> Result<Vec<u8>> {
        ENVELOPE.seal(self)
    }

    /// The epoch with its incarnation.
    pub fn mark(&self) -> EpochMark {
        EpochMark {
            incarnation: self.incarnation,
            epoch: self.epoch,
        }
    }

    /// The last epoch that was decided as of this manifest: its own, unless it is a claim.
    pub fn last_decided(&self) -> Option<EpochMark> {
        match self.is_claim {
            true => self.previous,
            false => Some(self.mark()).filter(|mark| mark.epoch > Epoch(0)),
        }
    }

    /// The last epoch that the sink `table` holds once this one is committed everywhere.
    pub fn committed_by(&self, table: &str) -> Option<EpochMark> {
        let progress = self.sinks.get(table)?;
        match progress.staged.is_empty() {
            true => progress.held,
            false => Some(self.mark()),
        }
    }

    /// Whether nothing was read or written yet.
    pub fn is_blank(&self) -> bool {
        let unread = |source: &SourceProgress| source.counters.rows_read == 0;
        self.segments.is_empty() && self.sources.values().all(unread) && !self.finished
    }

    /// Whether it says what `other` says, with nothing read or written since.
    pub fn says_as_much_as(&self, other: &Self) -> bool {
        self.mark() == other.mark() || (self.is_claim && *self == other.claim(self.mark()))
    }

    /// The manifest with which a run begins as `mark`, once everything is committed.
    #[must_use]
    pub fn claim(&self, mark: EpochMark) -> Self {
        let mut claim = self.clone();
        let tables: Vec<String> = self.sinks.keys().cloned().collect();
        for table in tables {
            let held = self.committed_by(&table);
            let progress = claim.sinks.entry(table).or_default();
            progress.held = held;
            progress.staged.clear();
        }
        claim.previous = self.last_decided();
        claim.incarnation = mark.incarnation;
        claim.epoch = mark.epoch;
        claim.is_claim = true;
        claim
    }

    /// Reads a file; `path` is for messages.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        ENVELOPE.open(path, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        Manifest {
            pipeline: "p".into(),
            fingerprint: "0".into(),
            plan: None,
            incarnation: Incarnation(0),
            epoch: Epoch(3),
            is_claim: false,
            previous: None,
            parallelism: 2,
            finished: false,
            processing_ms: None,
            sources: BTreeMap::from([("clicks".into(), SourceProgress::default())]),
            nodes: vec![Watermark(5)],
            segments: vec![],
            sinks: BTreeMap::new(),
        }
    }

    #[test]
    fn comes_back_as_written() {
        let bytes = example().encode().unwrap();
        assert_eq!(Manifest::decode("m", &bytes).unwrap(), example());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = example().encode().unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let error = Manifest::decode("some/path", &damaged).unwrap_err();
            assert!(error.to_string().contains("some/path"), "{error}");
            assert!(Manifest::decode("m", &bytes[..at]).is_err());
        }
    }

    #[test]
    fn a_newer_format_is_not_guessed_at() {
        let error = Manifest::decode("m", b"millstream-manifest 2 crc32=0 length=0\n").unwrap_err();
        assert!(error.to_string().contains("newer version"), "{error}");
    }
}
