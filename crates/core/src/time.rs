//! Event time, processing time and watermarks, in milliseconds since the Unix epoch (UTC).

use std::fmt;

use serde::{Deserialize, Serialize};

/// When an event happened: milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

/// Which time decides when a window is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeDomain {
    /// When events happened, by their own account: watermarks.
    #[default]
    Event,
    /// When they were read: the clock.
    Processing,
}

/// "No event before this time is expected any more." Never goes back.
///
/// ```
/// use millstream_core::{EventTime, Watermark};
/// let watermark = Watermark::MIN.advanced_to(Watermark(5_000)).advanced_to(Watermark(4_000));
/// assert_eq!(watermark, Watermark(5_000));
/// // A window [0, 60 s) fires once the watermark has reached its last millisecond.
/// assert!(!watermark.has_passed_end(EventTime(60_000)));
/// assert!(Watermark(59_999).has_passed_end(EventTime(60_000)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watermark(pub i64);

impl Watermark {
    /// Before any event.
    pub const MIN: Self = Self(i64::MIN);
    /// The input has ended: every window fires.
    pub const MAX: Self = Self(i64::MAX);

    /// The later of the two: a watermark never goes back.
    #[must_use]
    pub fn advanced_to(self, other: Self) -> Self {
        self.max(other)
    }

    /// Whether a window that ends (exclusively) at `end` is complete: watermark >= end - 1 ms.
    /// Source: Apache Flink, `TimeWindow.maxTimestamp`.
    pub fn has_passed_end(self, end: EventTime) -> bool {
        self.0 >= end.0.saturating_sub(1)
    }
}

impl Default for Watermark {
    fn default() -> Self {
        Self::MIN
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::MAX => f.write_str("+inf"),
            Self(ms) => write!(f, "{ms}"),
        }
    }
}
