//! Protocol steps that can be taken out, to see that the simulator notices. Only with the feature
//! `mutants`, which nothing that is shipped has.
//!
//! One is out at a time, in the whole process: the check runs them one after the other
//! (`crates/sim/tests/mutants.rs`).

use std::sync::atomic::{AtomicUsize, Ordering};

/// A step that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A manifest replaces another of its number.
    Overwrite,
    /// A run goes on when it finds its epoch decided by another.
    Undaunted,
    /// A start claims no epoch.
    NoClaim,
    /// Sinks commit before the manifest is there.
    CommitFirst,
    /// A start does not commit again what the newest manifest has staged.
    NoCommitOnStart,
    /// A hot table adds an epoch that it holds.
    TableForgets,
    /// A topic appends an epoch that it holds.
    TopicForgets,
    /// The manifest's offsets are those of the epoch before.
    OldOffsets,
    /// Staged files are not synced before the manifest names them.
    NoStageSync,
    /// What earlier runs have staged is removed before the claim.
    DiscardFirst,
    /// A start removes what any run has staged.
    DiscardAll,
    /// The log acknowledges records before it syncs them.
    AckBeforeSync,
    /// Splits start without their watermark.
    NoWatermark,
    /// Counters begin anew with each run.
    NoCounters,
    /// The state of the first shard is not written.
    NoShardState,
    /// Segments that newer manifests name are removed with older ones.
    CollectEarly,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Overwrite,
        Self::Undaunted,
        Self::NoClaim,
        Self::CommitFirst,
        Self::NoCommitOnStart,
        Self::TableForgets,
        Self::TopicForgets,
        Self::OldOffsets,
        Self::NoStageSync,
        Self::DiscardFirst,
        Self::DiscardAll,
        Self::AckBeforeSync,
        Self::NoWatermark,
        Self::NoCounters,
        Self::NoShardState,
        Self::CollectEarly,
    ];

    /// Whether this step is out.
    pub fn is_out(self) -> bool {
        OUT.load(Ordering::Relaxed) == self as usize + 1
    }
}

/// Which one is out, plus one; 0: none.
static OUT: AtomicUsize = AtomicUsize::new(0);

/// Takes a step out, and puts the one back that was out.
pub fn take_out(mutant: Option<Mutant>) {
    let number = mutant.map_or(0, |mutant| mutant as usize + 1);
    OUT.store(number, Ordering::Relaxed);
}
