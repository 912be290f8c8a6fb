//! Whether and when a failed job is started again from its newest manifest.

use std::time::Duration;

use millstream_core::ErrorKind;

/// Exponential back-off: 100 ms, doubled up to 5 s; reset once an epoch is committed.
#[derive(Debug, Clone, Default)]
pub struct RestartPolicy {
    failures: u32,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after this pause.
    RestartAfter(Duration),
    /// Trying again cannot help.
    GiveUp,
}

impl RestartPolicy {
    /// Decides after a failure of this kind.
    pub fn on_failure(&mut self, kind: ErrorKind) -> Verdict {
        match kind {
            ErrorKind::Unavailable | ErrorKind::StorageFull => {
                let pause = 100_u64 << self.failures.min(6);
                self.failures += 1;
                Verdict::RestartAfter(Duration::from_millis(pause.min(5_000)))
            }
            // Another try would read the same input, bytes or fence again.
            ErrorKind::InvalidInput
            | ErrorKind::Conflict
            | ErrorKind::Fenced
            | ErrorKind::Corrupt
            | ErrorKind::Bug => Verdict::GiveUp,
        }
    }

    /// An epoch was committed: the trouble is over.
    pub fn on_commit(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_and_recovers() {
        let mut policy = RestartPolicy::default();
        let mut pauses = vec![];
        for _ in 0..9 {
            match policy.on_failure(ErrorKind::StorageFull) {
                Verdict::RestartAfter(pause) => pauses.push(pause.as_millis()),
                Verdict::GiveUp => panic!("a full disk may be emptied"),
            }
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        policy.on_commit();
        let first = Verdict::RestartAfter(Duration::from_millis(100));
        assert_eq!(policy.on_failure(ErrorKind::Unavailable), first);
        assert_eq!(policy.on_failure(ErrorKind::Fenced), Verdict::GiveUp);
        assert_eq!(policy.on_failure(ErrorKind::Corrupt), Verdict::GiveUp);
    }
}
