//! The epoch protocol: what may follow what. Pure: no I/O, no state but its own.

pub mod epoch;
pub mod restart;

pub use epoch::{EpochProtocol, Event, Loaded, Step};
pub use restart::{RestartPolicy, Verdict};
