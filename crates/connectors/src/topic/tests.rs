//! The topic log as its callers see it, on storage that crashes and fails.

mod acknowledged;
mod connector;
mod durability;
mod failures;
mod faulty;
mod group_commit;
mod producers;
mod random;
mod reading;
mod retention;
mod world;
