//! What a text must be that tells a function what to do: a path into JSON, a regular expression, a date
//! format, a time zone, a printf format, a LIKE pattern.
//!
//! `sql` reads constants with them, so that a wrong one has a place in the file; `engine` reads them
//! again, also those that come from a column, and computes with what they give.

pub mod date;
pub mod json_path;
pub mod like;
pub mod printf;
pub mod regular_expression;
pub mod zone;
