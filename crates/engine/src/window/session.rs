//! Sessions: windows that grow with their rows. A row at `t` spans `[t, t + gap)`; of one key, spans that
//! touch or overlap are one session, which is complete once the watermark has passed its end.
//!
//! What a row joins follows from the order in its own split, as if each row came at the moment that its
//! split's watermark before it names, and rows of several splits in the order of these moments:
//!
//! - A row joins every session that it touches and that this watermark has not passed. One that it has
//!   passed is as good as gone, whether or not it has fired yet.
//! - A row whose own span the watermark has passed is late, unless it joins a session made of rows that
//!   its own split brought before it ([`Lanes`] knows them).
//!
//! With one split that is Flink's rule, with a watermark after each row. It depends neither on batches
//! and barriers nor on shards. Most rows lie ahead of their split's watermark: whatever they touch is
//! open, so the order among them is of no account and they are merged at once. A row at or behind it, a
//! *straggler*, is kept apart until the operator's watermark has passed its moment; by then all that can
//! come before it is there ([`Sessions::settle`]).
//!
//! [`KeyTable`] gives each key a number, [`Sessions`] and [`Lanes`] hang intervals on it, [`Groups`] has
//! the accumulators, [`SessionShape`] says what state looks like on its way, [`SessionStore`] is all of
//! that together.
//!
//! Source: Apache Flink, `MergingWindowSet`, `MergingWindowProcessFunction`, `TimeWindow.intersects`.

pub mod groups;
pub mod keys;
pub mod lanes;
pub mod sessions;
pub mod shape;
pub mod store;
pub mod wheel;

pub use groups::Groups;
pub use keys::KeyTable;
pub use lanes::Lanes;
pub use sessions::Sessions;
pub use shape::SessionShape;
pub use store::SessionStore;

/// A stretch of time `[start, end)` in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first millisecond.
    pub start: i64,
    /// The millisecond after its last.
    pub end: i64,
}

impl Span {
    /// Both, and what lies between.
    #[must_use]
    pub fn cover(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// Whether the two overlap or one begins where the other ends.
    pub fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Whether `watermark` has passed its end.
    pub fn is_passed(self, watermark: Watermark) -> bool {
        watermark.has_passed_end(EventTime(self.end))
    }
}

use millstream_core::{EventTime, Watermark};

/// No index.
const NONE: u32 = u32::MAX;

fn index(number: usize) -> u32 {
    let number = u32::try_from(number).ok().filter(|number| *number != NONE);
    number.expect("fewer than 2^32 keys and sessions in one shard")
}
