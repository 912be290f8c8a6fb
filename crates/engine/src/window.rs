//! Windows: from event times to slices ([`TumbleAssigner`]) and windows ([`Slicing`]), and what is
//! remembered of each ([`WindowState`]), also after it has fired ([`Sliding`]) and
//! before ([`Early`]); sessions are for themselves ([`session`]).

pub mod assigner;
pub mod blocks;
pub mod early;
pub mod pane;
pub mod session;
pub mod slicing;
pub mod sliding;
pub mod window_state;

pub use assigner::TumbleAssigner;
pub use early::Early;
pub use pane::Pane;
pub use slicing::Slicing;
pub use sliding::Sliding;
pub use window_state::{StateShape, WindowState};
