//! What fuzzing drives. See README.md.

pub mod targets;
