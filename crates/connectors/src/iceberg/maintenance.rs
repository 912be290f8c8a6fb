//! What keeps lake tables small and fast to read. All of it can be stopped between any two steps and
//! run again; what a crash leaves are files that no snapshot names, and `orphans` finds those.
//!
//! ```text
//! live      the files of the current snapshot
//! compact   many small files become one of the target size; deletes are applied
//! expire    old snapshots are forgotten, then the files deleted that only they named
//! orphans   files that no snapshot names, a day after they were first seen so
//! status    how a table does
//! upkeep    a little of all this at each tick
//! ```
//!
//! Small manifests are merged by commits, old metadata files deleted after them (`commit.rs`).
//!
//! INVARIANT: a file is deleted only if the table, loaded after the file was seen, names it in no
//! snapshot.

pub mod compact;
pub mod expire;
mod live;
pub mod orphans;
pub mod status;
pub mod upkeep;

/// How much a call may do at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of files to read.
    pub bytes: u64,
    /// Files to read or delete.
    pub files: usize,
}

impl Budget {
    /// As much as there is to do.
    pub const ALL: Self = Self {
        bytes: u64::MAX,
        files: usize::MAX,
    };
}

#[cfg(test)]
mod tests;
