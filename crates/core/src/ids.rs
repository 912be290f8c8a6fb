//! Newtypes for the numbers and names that identify things.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A slice of processing that takes effect as a whole. The first epoch of a pipeline is 1.
    Epoch(u64)
}
number! {
    /// Counts how often a pipeline was rewound to an older state; epochs count on within one.
    Incarnation(u64)
}
number! {
    /// A position in a split: the first record not yet read. Files count bytes, topics records.
    Offset(u64)
}
number! {
    /// An engine thread of one pipeline, from 0.
    ShardIndex(u32)
}
number! {
    /// Index into [`Plan::sources`](crate::plan::Plan::sources).
    SourceId(u32)
}
number! {
    /// Index into [`Plan::sinks`](crate::plan::Plan::sinks).
    SinkId(u32)
}
number! {
    /// Index into [`Plan::tables`](crate::plan::Plan::tables).
    TableId(u32)
}
number! {
    /// Index into [`Plan::nodes`](crate::plan::Plan::nodes).
    NodeId(u32)
}

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

macro_rules! index {
    ($($name:ident),*) => {$(
        impl $name {
            /// As an index into a slice.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}
index!(ShardIndex, SourceId, SinkId, TableId, NodeId);

/// Part of a source that is read in order: a Kafka partition, a file. Unique within its source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitId(Arc<str>);

impl SplitId {
    /// The split called `name`.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// Its name, as shown to users and written to manifests.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
