//! Sources, sinks and formats, each connector in a folder of its own. [`Embedded`] makes them for
//! the engine. Nothing here knows SQL or the engine: they meet in `millstream_core`.

pub mod audit;
pub mod blackhole;
pub mod datagen;
pub mod filesystem;
pub mod formats;
pub mod generator;
pub mod hot_table;
pub mod iceberg;
pub mod nexmark;
pub mod print;
pub mod registry;
pub mod storage;
#[cfg(test)]
mod test_env;
pub mod topic;

pub use registry::{CATALOG, Embedded};
