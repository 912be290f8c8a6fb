//! What an aggregation remembers, column by column: groups and accumulators.
//!
//! Everything here is mergeable: the state of two halves of the input, merged, is the state of the
//! whole, whatever the order. That is what lets shards aggregate apart, checkpoints carry only
//! changes, and results not depend on parallelism or restarts.

pub mod accumulator;
pub mod dirty;
pub mod distinct;
pub mod distinct_sets;
pub mod exact_sum;
pub mod first_last;
pub mod float_sum;
pub mod group_table;
pub mod list;
pub mod min_max;
pub mod multiset;
pub mod native;
pub mod order;
pub mod row_codec;
pub mod sketch;
pub mod sum;
pub mod variance;

pub use accumulator::{Accumulator, Input, accumulator};
pub use dirty::DirtySet;
pub use group_table::{GroupTable, KeyEncoder};
pub use order::OrderKey;

#[cfg(test)]
mod tests;
