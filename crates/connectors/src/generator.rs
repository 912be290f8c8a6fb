//! Made-up events: what `millstream generate` and the demo send.
//!
//! A generator is a pure function of its options: the same seed gives the same bytes on every
//! platform, so a test can count what must come out. It knows neither clock nor network; whoever
//! drives it decides how fast and where to.

pub mod clicks;
pub mod random;

/// What a generated record is, so that what comes out of a pipeline can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Behind the newest event by no more than the out-of-orderness.
    OnTime,
    /// Far behind the newest event.
    Late,
    /// Not decodable.
    Bad,
}

/// How many records of each kind were generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// See [`Kind::OnTime`].
    pub on_time: u64,
    /// See [`Kind::Late`].
    pub late: u64,
    /// See [`Kind::Bad`].
    pub bad: u64,
}

impl Summary {
    /// Counts one record.
    pub fn add(&mut self, kind: Kind) {
        match kind {
            Kind::OnTime => self.on_time += 1,
            Kind::Late => self.late += 1,
            Kind::Bad => self.bad += 1,
        }
    }

    /// All records.
    pub fn total(&self) -> u64 {
        self.on_time + self.late + self.bad
    }
}
