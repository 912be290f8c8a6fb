//! The streaming engine: runs a plan in event time, with results that count every event once.

pub mod function;
pub mod runtime;
pub mod status;

pub use runtime::{Job, JobConfig, JobHandle, StepJob};
