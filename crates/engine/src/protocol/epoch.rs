//! The epoch protocol, from a pipeline's start on, as a state machine without I/O: it says which step
//! comes next, whoever drives it carries the step out and reports. The runtime and the model check
//! (`tests/protocol`) drive the same code.
//!
//! ```text
//! start      Load ──> Commit, each sink ──> Restore ──> Claim ──> Discard ──> Read
//!              ^────────────taken by another──────────────┘
//! an epoch   Read ──> Align ──> Stage ──> Decide ──> Commit, each sink ──> Collect ──> Read
//!              ^──unchanged──┘              └──taken by another──> Stop
//! ```
//!
//! | a crash before `Decide` is durable | the epoch never was: its input is read again |
//! |---|---|
//! | a crash after it | the next start commits the epoch's staged output (again) |
//!
//! A *claim* is an epoch without rows. It takes the number that the run before would have decided next,
//! so that run, should it still be alive, finds it taken and stops: from then on nobody but this run
//! decides, and what earlier runs have staged can be removed.
//!
//! A step that fails, or whose outcome is not known, ends the machine: a new one starts with `Load`,
//! which finds out. INVARIANT: no epoch is decided before every sink holds the one before.

use millstream_core::sink::EpochMark;
use millstream_core::{Epoch, Error, Incarnation, Result, SinkId};

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read the manifest to start from: [`Event::Loaded`].
    Load,
    /// Have a sink make what the last decided epoch staged visible, unless it holds that epoch:
    /// [`Event::Done`].
    Commit(SinkId),
    /// Load state and open sources as the manifest says: [`Event::Done`].
    Restore,
    /// Write an epoch without rows, if there is none of its number: [`Event::Done`] or
    /// [`Event::Taken`].
    Claim(Epoch),
    /// Remove what runs before this one have staged and no manifest names: [`Event::Done`].
    Discard,
    /// Read input until an epoch is to end: [`Event::Done`].
    Read,
    /// Have all shards stand at the barrier: [`Event::Done`], or [`Event::Unchanged`] if nothing came
    /// since the last epoch.
    Align(Epoch),
    /// Make output and state of the epoch durable, invisibly: [`Event::Staged`].
    Stage(Epoch),
    /// Write the epoch's manifest, if there is none of its number: [`Event::Done`] or
    /// [`Event::Taken`].
    Decide(Epoch),
    /// Remove manifests and state that are no longer needed: [`Event::Done`].
    Collect,
    /// Nothing: another run has taken the pipeline over.
    Stop,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is done, and durable.
    Done,
    /// The manifest to start from.
    Loaded(Loaded),
    /// Nothing has changed since the last epoch.
    Unchanged,
    /// Everything of the epoch is staged; these sinks have output in it.
    Staged(Vec<SinkId>),
    /// Somebody else has written that epoch.
    Taken,
}

/// A manifest that a run starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its epoch; epoch 0 if there is none.
    pub mark: EpochMark,
    /// Sinks whose staged output has to be committed again. None if there is a newer manifest, which
    /// proves that they hold it.
    pub outputs: Vec<SinkId>,
    /// The incarnation in which to go on, if that is a new one: the pipeline is rewound.
    pub rewind: Option<Incarnation>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EpochProtocol {
    decided: EpochMark,
    rewind: Option<Incarnation>,
    step: Step,
    /// Sinks that have to commit the decided epoch, besides the one of `step`.
    outputs: Vec<SinkId>,
    is_started: bool,
}

impl EpochProtocol {
    /// A run that is about to start.
    pub fn new() -> Self {
        Self {
            decided: EpochMark {
                incarnation: Incarnation(0),
                epoch: Epoch(0),
            },
            rewind: None,
            step: Step::Load,
            outputs: vec![],
            is_started: false,
        }
    }

    /// What to do next.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The last epoch that is known to be decided.
    pub fn decided(&self) -> EpochMark {
        self.decided
    }

    /// Takes what became of the step, and says what to do next.
    ///
    /// # Errors
    /// `Bug` if that cannot become of it.
    pub fn on(&mut self, event: Event) -> Result<Step> {
        self.step = match (self.step, event) {
            (Step::Load, Event::Loaded(loaded)) => self.loaded(loaded),
            (Step::Commit(_), Event::Done) => self.commit_next(),
            (Step::Restore, Event::Done) => Step::Claim(self.next()),
            (Step::Claim(_), Event::Taken) => Step::Load,
            (Step::Claim(epoch), Event::Done) => {
                let incarnation = self.rewind.take().unwrap_or(self.decided.incarnation);
                self.decided = EpochMark { incarnation, epoch };
                self.is_started = true;
                Step::Discard
            }
            (Step::Discard | Step::Collect, Event::Done) | (Step::Align(_), Event::Unchanged) => {
                Step::Read
            }
            (Step::Read, Event::Done) => Step::Align(self.next()),
            (Step::Align(epoch), Event::Done) => Step::Stage(epoch),
            (Step::Stage(epoch), Event::Staged(outputs)) => {
                self.outputs = outputs;
                Step::Decide(epoch)
            }
            (Step::Decide(_), Event::Taken) => Step::Stop,
            (Step::Decide(epoch), Event::Done) => {
                self.decided.epoch = epoch;
                self.commit_next()
            }
            (step, event) => {
                let decided = self.decided;
                let message = format!("{event:?} cannot become of {step:?} after {decided}");
                return Err(Error::bug(message));
            }
        };
        Ok(self.step)
    }

    fn loaded(&mut self, loaded: Loaded) -> Step {
        self.decided = loaded.mark;
        self.outputs = loaded.outputs;
        self.rewind = loaded.rewind;
        self.commit_next()
    }

    fn commit_next(&mut self) -> Step {
        match self.outputs.pop() {
            Some(sink) => Step::Commit(sink),
            None if self.is_started => Step::Collect,
            None => Step::Restore,
        }
    }

    fn next(&self) -> Epoch {
        self.decided.epoch.next()
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

    const SINK: SinkId = SinkId(0);

    fn loaded(epoch: u64, outputs: Vec<SinkId>) -> Event {
        Event::Loaded(Loaded {
            mark: EpochMark {
                incarnation: Incarnation(0),
                epoch: Epoch(epoch),
            },
            outputs,
            rewind: None,
        })
    }

    /// A run that has started from `epoch`.
    fn started(epoch: u64) -> EpochProtocol {
        let mut protocol = EpochProtocol::new();
        protocol.on(loaded(epoch, vec![])).unwrap();
        for _ in 0..3 {
            protocol.on(Event::Done).unwrap();
        }
        assert_eq!(protocol.step(), Step::Read);
        protocol
    }

    #[test]
    fn an_epoch_is_decided_by_its_manifest() {
        let mut protocol = started(0);
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Align(Epoch(2)));
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Stage(Epoch(2)));
        let step = protocol.on(Event::Staged(vec![SINK])).unwrap();
        assert_eq!(step, Step::Decide(Epoch(2)));
        assert_eq!(protocol.decided().epoch, Epoch(1), "the claim");
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Commit(SINK));
        assert_eq!(protocol.decided().epoch, Epoch(2));
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Collect);
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Read);
    }

    #[test]
    fn an_epoch_without_changes_leaves_no_gap() {
        let mut protocol = started(0);
        protocol.on(Event::Done).unwrap();
        assert_eq!(protocol.on(Event::Unchanged).unwrap(), Step::Read);
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Align(Epoch(2)));
    }

    #[test]
    fn a_start_commits_again_before_it_claims() {
        let mut protocol = EpochProtocol::new();
        let step = protocol.on(loaded(7, vec![SINK])).unwrap();
        assert_eq!(step, Step::Commit(SINK));
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Restore);
        assert_eq!(protocol.on(Event::Done).unwrap(), Step::Claim(Epoch(8)));
        assert_eq!(protocol.on(Event::Taken).unwrap(), Step::Load);
    }

    #[test]
    fn what_is_rewound_goes_on_in_another_incarnation() {
        let mut protocol = EpochProtocol::new();
        let Event::Loaded(loaded) = loaded(3, vec![]) else {
            unreachable!()
        };
        let rewind = Some(Incarnation(2));
        protocol
            .on(Event::Loaded(Loaded { rewind, ..loaded }))
            .unwrap();
        protocol.on(Event::Done).unwrap();
        assert_eq!(protocol.step(), Step::Claim(Epoch(4)));
        assert_eq!(protocol.decided().incarnation, Incarnation(0));
        protocol.on(Event::Done).unwrap();
        assert_eq!(protocol.decided().to_string(), "epoch 4 of incarnation 2");
    }

    #[test]
    fn what_cannot_be_is_a_bug() {
        let mut protocol = started(0);
        let error = protocol.on(Event::Taken).unwrap_err();
        assert_eq!(error.kind(), millstream_core::ErrorKind::Bug);
    }
}
