//! Web clicks.
