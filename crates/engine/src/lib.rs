//! The streaming engine: runs a plan in event time, with results that count every event once.
//!
//! Modules import from left to right only:
//! `expr`, `function` | `protocol` | `state` | `window` | `operator` | `checkpoint` | `runtime`.

pub mod checkpoint;
pub mod expr;
pub mod function;
pub mod operator;
pub mod protocol;
pub mod runtime;
pub mod state;
pub mod status;
pub mod window;

pub use checkpoint::StartFrom;
pub use runtime::{Job, JobConfig, JobHandle, StartOptions, StepJob};
