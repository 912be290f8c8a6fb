//! Windows: from event times to windows ([`TumbleAssigner`]), and what is remembered of each
//! ([`WindowState`]).

pub mod assigner;
pub mod pane;
pub mod window_state;

pub use assigner::TumbleAssigner;
pub use pane::Pane;
pub use window_state::{StateShape, WindowState};
