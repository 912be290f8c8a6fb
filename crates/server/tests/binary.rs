//! The real binary, as a user runs it: exit codes, what stands on stdout and stderr, and what is
//! on disk afterwards.

mod binary {
    pub mod backup;
    pub mod command;
    pub mod depth;
    pub mod files;
    pub mod generate;
    pub mod lake;
    pub mod lake_queries;
    pub mod nexmark;
    pub mod refusals;
    pub mod savepoint;
    pub mod serve;
    pub mod support;
    pub mod upgrade;
}
