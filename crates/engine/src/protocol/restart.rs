//! Whether and when a failed job is started again from its newest manifest.

use std::time::Duration;

use millstream_core::ErrorKind;
use millstream_core::plan::{Backoff, RestartStrategy};

/// Applies a [`RestartStrategy`] to the failures of a job.
#[derive(Debug, Clone, Default)]
pub struct RestartPolicy {
    strategy: RestartStrategy,
    /// Failures that are not forgotten.
    failures: u32,
    /// When the job went on after the last of them.
    resumed: Duration,
    /// Whether an epoch was committed since.
    has_committed: bool,
    restarts: u64,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after this pause.
    RestartAfter(Duration),
    /// Trying again cannot help, or is not wanted.
    GiveUp,
    /// It was started again so often, which is as often as is allowed.
    Exhausted(u32),
}

impl RestartPolicy {
    /// Nothing has failed yet.
    pub fn new(strategy: RestartStrategy) -> Self {
        Self {
            strategy,
            ..Self::default()
        }
    }

    /// Decides after a failure of this kind, at `now` (time since some fixed moment); `random` decides
    /// what is left to chance.
    pub fn on_failure(&mut self, kind: ErrorKind, now: Duration, random: u64) -> Verdict {
        match kind {
            ErrorKind::Unavailable | ErrorKind::StorageFull => {}
            // Another try would read the same input, bytes or fence again.
            ErrorKind::InvalidInput
            | ErrorKind::Conflict
            | ErrorKind::Fenced
            | ErrorKind::Corrupt
            | ErrorKind::Bug => return Verdict::GiveUp,
        }
        let (attempts, pause) = match self.strategy {
            RestartStrategy::None => return Verdict::GiveUp,
            RestartStrategy::FixedDelay { attempts, delay_ms } => {
                (Some(attempts), Duration::from_millis(delay_ms))
            }
            RestartStrategy::ExponentialDelay(backoff) => {
                let quiet = now.saturating_sub(self.resumed);
                if self.has_committed && quiet >= Duration::from_millis(backoff.reset_after_ms) {
                    self.failures = 0;
                }
                (backoff.attempts, pause(&backoff, self.failures, random))
            }
        };
        if attempts.is_some_and(|attempts| self.failures >= attempts) {
            return Verdict::Exhausted(self.failures);
        }
        self.failures += 1;
        self.restarts += 1;
        (self.resumed, self.has_committed) = (now + pause, false);
        Verdict::RestartAfter(pause)
    }

    /// An epoch was committed: the trouble is over.
    pub fn on_commit(&mut self) {
        self.has_committed = true;
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }
}

/// The pause after `failures` failures before this one.
fn pause(backoff: &Backoff, failures: u32, random: u64) -> Duration {
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    let steps = i32::try_from(failures).unwrap_or(i32::MAX);
    let grown = seconds(backoff.initial_ms) * backoff.multiplier.powi(steps);
    // From -1 to 1.
    let [.., a, b, c, d] = random.to_be_bytes();
    let chance = f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX) * 2.0 - 1.0;
    let longest = seconds(backoff.max_ms);
    let pause = grown.min(longest) * (1.0 + backoff.jitter * chance);
    Duration::from_secs_f64(pause.clamp(0.0, longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(policy: &mut RestartPolicy, count: usize) -> Vec<u128> {
        let mut fail = || match policy.on_failure(ErrorKind::StorageFull, Duration::ZERO, 7) {
            Verdict::RestartAfter(pause) => pause.as_millis(),
            verdict => panic!("a full disk may be emptied: {verdict:?}"),
        };
        (0..count).map(|_| fail()).collect()
    }

    #[test]
    fn backs_off_and_recovers() {
        let mut policy = RestartPolicy::default();
        let expected = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
        assert_eq!(pauses(&mut policy, 9), expected);
        policy.on_commit();
        assert_eq!(pauses(&mut policy, 1), [100]);
        assert_eq!(policy.restarts(), 10);
        for kind in [ErrorKind::Fenced, ErrorKind::Corrupt, ErrorKind::Bug] {
            let verdict = policy.on_failure(kind, Duration::ZERO, 0);
            assert_eq!(verdict, Verdict::GiveUp, "{kind}");
        }
        assert_eq!(policy.restarts(), 10);
    }

    #[test]
    fn gives_up_after_the_attempts_that_are_allowed() {
        let (kind, now) = (ErrorKind::Unavailable, Duration::ZERO);
        let fixed = |attempts, delay_ms| {
            RestartPolicy::new(RestartStrategy::FixedDelay { attempts, delay_ms })
        };
        let mut policy = fixed(2, 70);
        assert_eq!(pauses(&mut policy, 1), [70]);
        policy.on_commit();
        assert_eq!(pauses(&mut policy, 1), [70]);
        policy.on_commit();
        // As in Flink, what went well between does not count.
        assert_eq!(policy.on_failure(kind, now, 0), Verdict::Exhausted(2));
        assert_eq!(fixed(0, 0).on_failure(kind, now, 0), Verdict::Exhausted(0));
        let mut never = RestartPolicy::new(RestartStrategy::None);
        assert_eq!(never.on_failure(kind, now, 0), Verdict::GiveUp);
    }

    #[test]
    fn failures_are_forgotten_after_a_quiet_time_with_an_epoch() {
        let backoff = Backoff {
            reset_after_ms: 1_000,
            attempts: Some(2),
            ..Backoff::default()
        };
        let mut policy = RestartPolicy::new(RestartStrategy::ExponentialDelay(backoff));
        let mut fail = |at_ms, has_committed| {
            if has_committed {
                policy.on_commit();
            }
            let at = Duration::from_millis(at_ms);
            policy.on_failure(ErrorKind::Unavailable, at, 0)
        };
        let after = |ms| Verdict::RestartAfter(Duration::from_millis(ms));
        assert_eq!(fail(0, false), after(100));
        // It went on at 100 and ran for 999 ms.
        assert_eq!(fail(1_099, true), after(200));
        // It went on at 1299 and ran long enough.
        assert_eq!(fail(2_299, true), after(100));
        assert_eq!(fail(9_000, false), after(200));
        assert_eq!(fail(99_000, false), Verdict::Exhausted(2));
    }

    #[test]
    fn chance_moves_pauses_by_a_part_of_them() {
        let backoff = Backoff {
            jitter: 0.1,
            ..Backoff::default()
        };
        let ms = |failures, random| pause(&backoff, failures, random).as_millis();
        assert_eq!((ms(0, 0), ms(0, u64::MAX)), (90, 110));
        assert_eq!((ms(2, 0), ms(2, u64::MAX)), (360, 440));
        // Never longer than the longest.
        assert_eq!((ms(40, 0), ms(40, u64::MAX)), (4_500, 5_000));
    }
}
