//! Whether and when a failed pipeline is started again, in the words of Flink's `restart-strategy`.

/// `restart-strategy.type`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RestartStrategy {
    /// `none`: the first failure ends the pipeline.
    None,
    /// `fixed-delay`: a number of restarts in all, after the same pause each.
    FixedDelay {
        /// Most restarts; they are never forgotten.
        attempts: u32,
        /// The pause, in ms.
        delay_ms: u64,
    },
    /// `exponential-delay`: pauses that grow.
    ExponentialDelay(Backoff),
}

/// `restart-strategy.exponential-delay.…`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first pause, in ms; at least 1.
    pub initial_ms: u64,
    /// The longest pause, in ms; not less than the first.
    pub max_ms: u64,
    /// How many times as long each pause is as the one before; at least 1.
    pub multiplier: f64,
    /// Each pause is up to this part of it longer or shorter, by chance; 0 to 1.
    pub jitter: f64,
    /// Once an epoch is committed and no failure has come for so long, in ms, failures are forgotten.
    pub reset_after_ms: u64,
    /// Most restarts before failures are forgotten; none: no end.
    pub attempts: Option<u32>,
}

impl Default for RestartStrategy {
    /// Without end: what fails may be mended while nobody looks.
    fn default() -> Self {
        Self::ExponentialDelay(Backoff::default())
    }
}

impl Default for Backoff {
    /// Shorter than Flink's, as there is no cluster to bring up: 100 ms, doubled up to 5 s, forgotten
    /// with the next epoch.
    fn default() -> Self {
        Self {
            initial_ms: 100,
            max_ms: 5_000,
            multiplier: 2.0,
            jitter: 0.0,
            reset_after_ms: 0,
            attempts: None,
        }
    }
}
