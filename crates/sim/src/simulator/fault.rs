//! What can go wrong, and how often: the seed picks a rate for each kind.

use std::fmt;

use crate::chance::Chance;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A call to storage fails and has done nothing.
    Error,
    /// A call to storage is done, and fails all the same.
    LostReply,
    /// Part of an append is written, and it fails.
    Torn,
    /// A call takes long.
    Delay,
    /// The device is full for a while.
    DiskFull,
    /// The process ends: what it has appended stays.
    Kill,
    /// The machine ends: of what was not synced a part is lost, or in its place are zeros.
    Power,
    /// A sync of staged rows or of state says that it is done, and is not.
    LyingSync,
    /// A bit of a file changes.
    BitFlip,
    /// A shard panics.
    ShardPanic,
    /// A shard fails while it reads.
    ShardError,
    /// A call to a remote table fails and has done nothing.
    RemoteError,
    /// A call to a remote table is done, and times out all the same.
    RemoteTimeout,
    /// A process stops inside a call, while others run.
    Pause,
    /// A process is started beside one that is alive.
    Takeover,
    /// The wall clock jumps.
    ClockJump,
}

impl FaultKind {
    /// Each of them.
    pub const ALL: [Self; 16] = [
        Self::Error,
        Self::LostReply,
        Self::Torn,
        Self::Delay,
        Self::DiskFull,
        Self::Kill,
        Self::Power,
        Self::LyingSync,
        Self::BitFlip,
        Self::ShardPanic,
        Self::ShardError,
        Self::RemoteError,
        Self::RemoteTimeout,
        Self::Pause,
        Self::Takeover,
        Self::ClockJump,
    ];

    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::LostReply => "lost reply",
            Self::Torn => "torn append",
            Self::Delay => "delay",
            Self::DiskFull => "disk full",
            Self::Kill => "kill",
            Self::Power => "power loss",
            Self::LyingSync => "lying sync",
            Self::BitFlip => "bit flip",
            Self::ShardPanic => "shard panic",
            Self::ShardError => "shard error",
            Self::RemoteError => "remote error",
            Self::RemoteTimeout => "remote timeout",
            Self::Pause => "pause",
            Self::Takeover => "takeover",
            Self::ClockJump => "clock jump",
        }
    }

    fn index(self) -> usize {
        self as usize
    }

    /// How many of 10,000 chances strike, where the kind strikes at all.
    fn usual(self) -> &'static [u32] {
        match self {
            Self::Error | Self::LostReply | Self::RemoteError => &[10, 50, 150],
            Self::Torn | Self::RemoteTimeout => &[30, 100, 300],
            Self::Delay => &[20, 100],
            Self::DiskFull => &[5, 20],
            Self::Kill | Self::Power => &[5, 20, 60],
            Self::LyingSync => &[1_000, 5_000],
            Self::BitFlip => &[300, 1_000],
            Self::ShardPanic => &[20, 100],
            Self::ShardError => &[50, 300],
            Self::Pause => &[100, 500, 2_000],
            Self::Takeover => &[1_000, 3_000],
            Self::ClockJump => &[200, 1_000],
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each kind strikes, of 10,000 chances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates([u32; FaultKind::ALL.len()]);

impl Rates {
    /// Some kinds at some rates. What damages a disk is rare: nothing goes on after it.
    pub fn random(chance: &mut Chance) -> Self {
        let mut rates = Self::default();
        for kind in FaultKind::ALL {
            let one_in = match kind {
                FaultKind::LyingSync | FaultKind::BitFlip => 12,
                FaultKind::ShardPanic | FaultKind::DiskFull => 4,
                _ => 2,
            };
            let (is_on, rate) = (chance.one_in(one_in), *chance.pick(kind.usual()));
            if is_on {
                rates.0[kind.index()] = rate;
            }
        }
        rates
    }

    /// The rate of `kind`.
    pub fn of(&self, kind: FaultKind) -> u32 {
        self.0[kind.index()]
    }

    /// The same without `kind`; `None` if that changes nothing.
    pub fn without(&self, kind: FaultKind) -> Option<Self> {
        let mut rates = self.clone();
        let was = std::mem::take(&mut rates.0[kind.index()]);
        (was > 0).then_some(rates)
    }

    /// Sets the rate of `kind`.
    pub fn set(&mut self, kind: FaultKind, rate: u32) {
        self.0[kind.index()] = rate;
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = FaultKind::ALL.into_iter().filter(|kind| self.of(*kind) > 0);
        let on: Vec<String> = on.map(|kind| format!("{kind} {}", self.of(kind))).collect();
        match on.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&on.join(", ")),
        }
    }
}

/// How often each kind has struck.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; FaultKind::ALL.len()]);

impl FaultCounts {
    /// One more.
    pub fn add(&mut self, kind: FaultKind) {
        self.0[kind.index()] += 1;
    }

    /// Those of another run, too.
    pub fn add_all(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// How often `kind` has struck.
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind.index()]
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
