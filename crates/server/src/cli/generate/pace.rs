//! How fast events are sent: at a rate, or as fast as it goes.

use std::time::Duration;

/// At a rate, batches go out about this often.
const BATCH_EVERY_MS: u64 = 100;

/// Says how many events are due.
#[derive(Debug)]
pub struct Pace {
    rate: Option<u32>,
    begin: Duration,
    /// Events that were due before that.
    owed: u64,
    sent: u64,
}

impl Pace {
    /// `rate` events per second from `now` on; without a rate, as fast as it goes.
    pub fn new(rate: Option<u32>, now: Duration) -> Self {
        Self {
            rate,
            begin: now,
            owed: 0,
            sent: 0,
        }
    }

    /// `rate` events per second as if since `by` before `now`: what is owed goes as fast as it can.
    pub fn behind(rate: u32, now: Duration, by: Duration) -> Self {
        let owed = by.as_millis().saturating_mul(rate.into()) / 1000;
        Self {
            owed: u64::try_from(owed).unwrap_or(u64::MAX),
            ..Self::new(Some(rate), now)
        }
    }

    /// How many of the next `most` events to send now: a whole batch's worth, or none yet.
    pub fn due(&self, now: Duration, most: u64) -> u64 {
        let Some(rate) = self.rate else {
            return most;
        };
        let batch = (u64::from(rate) * BATCH_EVERY_MS / 1000).clamp(1, most.max(1));
        let elapsed_ms = u64::try_from(self.elapsed(now).as_millis()).unwrap_or(u64::MAX);
        let total = elapsed_ms.saturating_mul(rate.into()) / 1000;
        let total = total.saturating_add(self.owed);
        match total.saturating_sub(self.sent) {
            due if due >= batch => due.min(most),
            _ => 0,
        }
    }

    /// How long to wait when nothing is due; nothing when something is.
    pub fn wait(&self, now: Duration, most: u64) -> Duration {
        match self.due(now, most) {
            0 => Duration::from_millis(BATCH_EVERY_MS / 10),
            _ => Duration::ZERO,
        }
    }

    /// Takes note that `count` events are sent.
    pub fn sent(&mut self, count: u64) {
        self.sent += count;
    }

    /// Since the first event.
    pub fn elapsed(&self, now: Duration) -> Duration {
        now.saturating_sub(self.begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn at_a_rate_whole_batches_are_due() {
        let mut pace = Pace::new(Some(2000), ms(500));
        assert_eq!(pace.due(ms(500), 1000), 0);
        assert_eq!(pace.due(ms(599), 1000), 0, "198 are not a batch of 200");
        assert_eq!(pace.due(ms(600), 1000), 200);
        pace.sent(200);
        assert_eq!(pace.due(ms(600), 1000), 0);
        assert!(pace.wait(ms(600), 1000) > Duration::ZERO);
        assert_eq!(
            pace.due(ms(2000), 1000),
            1000,
            "after a stall no more than asked for"
        );
        assert_eq!(pace.wait(ms(2000), 1000), Duration::ZERO);
    }

    #[test]
    fn what_is_owed_is_due_at_once() {
        let mut pace = Pace::behind(100, ms(5), ms(60_000));
        assert_eq!(pace.due(ms(5), 5_000), 5_000);
        pace.sent(5_000);
        assert_eq!(pace.due(ms(5), 5_000), 1_000);
        pace.sent(1_000);
        assert_eq!(pace.due(ms(5), 5_000), 0);
        assert_eq!(pace.due(ms(1_005), 5_000), 100);
    }

    #[test]
    fn slow_rates_send_single_events_and_the_last_batch_is_small() {
        let pace = Pace::new(Some(2), ms(0));
        assert_eq!(pace.due(ms(499), 1000), 0);
        assert_eq!(pace.due(ms(500), 1000), 1);
        let pace = Pace::new(Some(2000), ms(0));
        assert_eq!(pace.due(ms(50), 3), 3);
    }

    #[test]
    fn without_a_rate_everything_is_due() {
        let pace = Pace::new(None, ms(0));
        assert_eq!(pace.due(ms(0), 1000), 1000);
    }
}
