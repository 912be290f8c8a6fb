//! The epoch protocol: what may follow what. Pure: no I/O, no state but its own.

pub mod epoch;
pub mod restart;

pub use epoch::{EpochProtocol, Phase};
pub use restart::{RestartPolicy, Verdict};
