//! Scalar functions whose value does not follow from their row alone: what they look at instead.

/// What a function looks at besides its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// Processing time.
    AtClock,
    /// Chance.
    AtChance,
    /// The watermark.
    AtWatermark,
}

/// What a call of `function` (a Flink name in upper case) with so many arguments looks at; none for
/// functions of their arguments.
///
/// ```
/// use millstream_core::surroundings::{Looks, looks};
/// assert_eq!(looks("PROCTIME", 0), Some(Looks::AtClock));
/// assert_eq!(looks("UNIX_TIMESTAMP", 1), None);
/// ```
pub fn looks(function: &str, args: usize) -> Option<Looks> {
    match function {
        "PROCTIME"
        | "NOW"
        | "CURRENT_TIMESTAMP"
        | "CURRENT_ROW_TIMESTAMP"
        | "LOCALTIMESTAMP"
        | "CURRENT_DATE"
        | "CURRENT_TIME"
        | "LOCALTIME" => Some(Looks::AtClock),
        "UNIX_TIMESTAMP" if args == 0 => Some(Looks::AtClock),
        "RAND" | "RAND_INTEGER" | "UUID" => Some(Looks::AtChance),
        "CURRENT_WATERMARK" => Some(Looks::AtWatermark),
        _ => None,
    }
}
