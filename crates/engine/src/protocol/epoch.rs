//! The life of an epoch.
//!
//! ```text
//! Reading --begin--> Draining --staged--> Staged --durable--> Durable --committed--> Reading
//! ```
//!
//! | phase | a crash now means |
//! |---|---|
//! | Reading, Draining, Staged | the epoch never was: its input is read again |
//! | Durable | recovery commits the epoch's staged outputs (again) |
//!
//! INVARIANT: the manifest of epoch e+1 is not written before every sink holds e.

use millstream_core::{Epoch, Error, Incarnation, Result};

/// Where the current epoch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Shards read; nothing of the next epoch is fixed.
    Reading,
    /// Shards stand at the barrier.
    Draining,
    /// Outputs and state are written but no manifest names them.
    Staged,
    /// The manifest is written: the epoch is decided, sinks have to follow.
    Durable,
}

/// Decides what may happen next. The runtime asks before it acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochProtocol {
    incarnation: Incarnation,
    current: Epoch,
    phase: Phase,
}

impl EpochProtocol {
    /// A pipeline that never ran.
    pub fn new() -> Self {
        Self {
            incarnation: Incarnation(0),
            current: Epoch(0),
            phase: Phase::Reading,
        }
    }

    /// A pipeline whose newest manifest is `epoch`: its outputs have to be committed again.
    pub fn recovered(incarnation: Incarnation, epoch: Epoch) -> Self {
        Self {
            incarnation,
            current: epoch,
            phase: Phase::Durable,
        }
    }

    /// How often the pipeline was rewound.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The last epoch that is decided.
    pub fn decided(&self) -> Epoch {
        match self.phase {
            Phase::Reading | Phase::Durable => self.current,
            Phase::Draining | Phase::Staged => Epoch(self.current.0 - 1),
        }
    }

    /// Begins the next epoch's barrier.
    pub fn begin(&mut self) -> Result<Epoch> {
        self.step(Phase::Reading, Phase::Draining)?;
        self.current = self.current.next();
        Ok(self.current)
    }

    /// Nothing changed since the last epoch: there will be no new one.
    pub fn cancel(&mut self) -> Result<()> {
        self.step(Phase::Draining, Phase::Reading)?;
        self.current = Epoch(self.current.0 - 1);
        Ok(())
    }

    /// Every output and segment of the epoch is durable.
    pub fn staged(&mut self) -> Result<()> {
        self.step(Phase::Draining, Phase::Staged)
    }

    /// The manifest is durable.
    pub fn durable(&mut self) -> Result<()> {
        self.step(Phase::Staged, Phase::Durable)
    }

    /// Every sink holds the epoch.
    pub fn committed(&mut self) -> Result<()> {
        self.step(Phase::Durable, Phase::Reading)
    }

    /// A rewound pipeline counts on in an incarnation after the `newest` that ever was.
    pub fn rewind(&mut self, newest: Incarnation) {
        self.incarnation = Incarnation(newest.0 + 1);
    }

    fn step(&mut self, from: Phase, to: Phase) -> Result<()> {
        if self.phase != from {
            let (epoch, phase) = (self.current, self.phase);
            let message = format!("epoch {epoch} goes to {to:?} from {phase:?}, expected {from:?}");
            return Err(Error::bug(message));
        }
        self.phase = to;
        Ok(())
    }
}

impl Default for EpochProtocol {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_decided_by_its_manifest() {
        let mut protocol = EpochProtocol::new();
        assert_eq!(protocol.begin().unwrap(), Epoch(1));
        protocol.staged().unwrap();
        assert_eq!(protocol.decided(), Epoch(0));
        assert!(
            protocol.committed().is_err(),
            "nothing is committed before its manifest"
        );
        protocol.durable().unwrap();
        assert_eq!(protocol.decided(), Epoch(1));
        assert!(
            protocol.begin().is_err(),
            "one epoch is outstanding at most"
        );
        protocol.committed().unwrap();
        assert_eq!(protocol.begin().unwrap(), Epoch(2));
    }

    #[test]
    fn an_epoch_without_changes_leaves_no_gap() {
        let mut protocol = EpochProtocol::new();
        protocol.begin().unwrap();
        protocol.cancel().unwrap();
        assert_eq!(protocol.begin().unwrap(), Epoch(1));
    }

    #[test]
    fn recovery_commits_again_first() {
        let mut protocol = EpochProtocol::recovered(Incarnation(0), Epoch(7));
        assert!(protocol.begin().is_err());
        protocol.committed().unwrap();
        assert_eq!(protocol.begin().unwrap(), Epoch(8));
    }
}
