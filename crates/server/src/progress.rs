//! How long work is going, on stderr: one line that is written anew on a terminal, a line every
//! ten seconds anywhere else.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use millstream_core::Watermark;
use millstream_core::env::Env;

use crate::jobs::PipelineView;

/// How often the line on a terminal is written anew.
const REFRESH: Duration = Duration::from_millis(500);
/// How often a line is written where there is no terminal.
const PLAIN: Duration = Duration::from_secs(10);

/// Tells how work is going.
pub struct Progress {
    env: Arc<dyn Env>,
    is_terminal: bool,
    period: Duration,
    last: Duration,
    is_line_open: bool,
}

impl Progress {
    /// On stderr. Without a terminal a line comes every `plain_period`, 10 s unless given.
    pub fn new(env: Arc<dyn Env>, plain_period: Option<Duration>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let plain = plain_period.unwrap_or(PLAIN);
        Self {
            last: env.monotonic(),
            env,
            is_terminal,
            period: if is_terminal { REFRESH } else { plain },
            is_line_open: false,
        }
    }

    /// Writes what `line` says, if it is time.
    pub fn refresh(&mut self, line: impl FnOnce() -> String) {
        let now = self.env.monotonic();
        if now.saturating_sub(self.last) < self.period {
            return;
        }
        self.last = now;
        let mut stderr = std::io::stderr();
        // Progress that cannot be written is not worth failing for.
        let _ = if self.is_terminal {
            self.is_line_open = true;
            write!(stderr, "\r\x1b[2K{}", line())
        } else {
            writeln!(stderr, "{}", line())
        };
        let _ = stderr.flush();
    }

    /// Removes the open line, so that what follows begins on a clean one.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.is_line_open) {
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\x1b[2K");
            let _ = stderr.flush();
        }
    }
}

/// One line about a pipeline: rate, lag, watermark, epoch.
pub fn pipeline_line(view: &PipelineView) -> String {
    let status = &view.status;
    let mut parts = vec![
        format!("{} {:?}", status.pipeline, status.state).to_lowercase(),
        format!("{} rows", grouped(view.rows_read())),
        format!("{} rows/s", grouped(whole(view.rate_rows_per_second))),
    ];
    if let Some(lag) = view.lag_ms {
        parts.push(format!("lag {}", lag_text(lag)));
    }
    if let Some(ms) = view.watermark_ms() {
        parts.push(format!("watermark {}", time_text(ms)));
    }
    parts.push(format!("epoch {}", status.epoch));
    if let Some(reason) = &status.reason {
        parts.push(reason.clone());
    }
    parts.join("  ")
}

fn whole(rate: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are small"
    )]
    let whole = rate.max(0.0).round() as u64;
    whole
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn lag_text(ms: i64) -> String {
    match ms.abs() {
        0..600_000 => format!("{}.{} s", ms / 1000, ms.abs() % 1000 / 100),
        600_000..86_400_000 => format!("{} min", ms / 60_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

fn time_text(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    match time {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        None => Watermark(ms).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::tests::status;

    #[track_caller]
    fn check(rows: u64, watermark_ms: Option<i64>, lag_ms: Option<i64>, expected: &str) {
        let view = PipelineView {
            status: status("clicks", rows, watermark_ms),
            rate_rows_per_second: 1999.6,
            lag_ms,
        };
        assert_eq!(pipeline_line(&view), expected);
    }

    #[test]
    fn a_line_has_what_is_known() {
        check(
            1_234_567,
            Some(1_750_000_000_000),
            Some(10_480),
            "clicks running  1,234,567 rows  2,000 rows/s  lag 10.4 s  \
             watermark 2025-06-15 15:06:40  epoch 7",
        );
        check(
            12,
            None,
            None,
            "clicks running  12 rows  2,000 rows/s  epoch 7",
        );
        check(
            0,
            Some(i64::MAX),
            None,
            "clicks running  0 rows  2,000 rows/s  watermark +inf  epoch 7",
        );
    }

    #[test]
    fn long_lags_are_told_in_larger_units() {
        assert_eq!(lag_text(900_000), "15 min");
        assert_eq!(lag_text(200_000_000), "2 d");
        assert_eq!(lag_text(-1_500), "-1.5 s");
    }
}
