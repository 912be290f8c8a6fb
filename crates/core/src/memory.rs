//! Stand-ins without I/O, for tests, examples and simulations.

mod sink;
mod source;
mod storage;

pub use sink::MemorySink;
pub use source::MemorySource;
pub use storage::MemoryStorage;
