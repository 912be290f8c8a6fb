//! Tumbling windows as arithmetic on whole columns.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use millstream_core::{Error, Result};

/// Windows `[k * size + offset, (k + 1) * size + offset)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TumbleAssigner {
    /// Length in ms, above 0.
    pub size_ms: i64,
    /// Start of one window in ms.
    pub offset_ms: i64,
}

impl TumbleAssigner {
    /// Start of the window that holds `time`.
    /// Source: Apache Flink, `TimeWindow.getWindowStartWithOffset`.
    pub fn start(self, time: i64) -> i64 {
        time.saturating_sub((time.wrapping_sub(self.offset_ms)).rem_euclid(self.size_ms))
    }

    /// End (exclusive) of the window that holds `time`.
    pub fn end(self, time: i64) -> i64 {
        self.start(time).saturating_add(self.size_ms)
    }

    /// Ends of the windows of `times`.
    pub fn ends(self, times: &[i64]) -> Vec<i64> {
        let mut ends = Vec::with_capacity(times.len());
        // PERF: neighbours mostly share a window, and a range test is cheaper than a division.
        let (mut start, mut end) = (i64::MAX, i64::MAX);
        for time in times {
            if *time < start || *time >= end {
                start = self.start(*time);
                end = start.saturating_add(self.size_ms);
            }
            ends.push(end);
        }
        ends
    }
}

/// A timestamp column as milliseconds since the Unix epoch; finer units round down.
pub fn to_millis(column: &ArrayRef) -> Result<Int64Array> {
    let DataType::Timestamp(unit, _) = column.data_type() else {
        let found = column.data_type();
        return Err(Error::bug(format!(
            "event time is a timestamp, found {found}"
        )));
    };
    let nulls = column.nulls().cloned();
    let values = match unit {
        TimeUnit::Millisecond => column
            .as_primitive::<TimestampMillisecondType>()
            .values()
            .clone(),
        TimeUnit::Second => {
            let values = column.as_primitive::<TimestampSecondType>().values();
            values.iter().map(|v| v.saturating_mul(1_000)).collect()
        }
        TimeUnit::Microsecond => {
            let values = column.as_primitive::<TimestampMicrosecondType>().values();
            values.iter().map(|v| v.div_euclid(1_000)).collect()
        }
        TimeUnit::Nanosecond => {
            let values = column.as_primitive::<TimestampNanosecondType>().values();
            values.iter().map(|v| v.div_euclid(1_000_000)).collect()
        }
    };
    Ok(Int64Array::new(values, nulls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_time_as_flink_does() {
        let minute = TumbleAssigner {
            size_ms: 60_000,
            offset_ms: 0,
        };
        assert_eq!(minute.start(0), 0);
        assert_eq!(minute.start(59_999), 0);
        assert_eq!(minute.start(60_000), 60_000);
        assert_eq!(minute.start(-1), -60_000, "before 1970 too");
        let shifted = TumbleAssigner {
            size_ms: 60_000,
            offset_ms: 15_000,
        };
        assert_eq!(shifted.start(14_999), -45_000);
        assert_eq!(shifted.start(15_000), 15_000);
        let back = TumbleAssigner {
            size_ms: 60_000,
            offset_ms: -15_000,
        };
        assert_eq!(back.start(44_999), -15_000);
        assert_eq!(back.start(45_000), 45_000);
    }

    #[test]
    fn a_column_is_cut_like_its_rows() {
        let assigner = TumbleAssigner {
            size_ms: 7,
            offset_ms: 3,
        };
        let times: Vec<i64> = (-40..40).chain([5, -3, i64::MAX, i64::MIN]).collect();
        let ends: Vec<i64> = times.iter().map(|time| assigner.end(*time)).collect();
        assert_eq!(assigner.ends(&times), ends);
    }
}
