//! The demo's reckoning: what was acknowledged is in the topic, and what is in the topic was read
//! once, as on time, late or undecodable.

use millstream_connectors::topic::TopicLog;
use millstream_core::Result;

use crate::cli::{Failure, Outcome, say};
use crate::summary::Summary;

/// How many records were ever acknowledged into `topic`: the sum of its end offsets.
pub fn acknowledged(topics: &TopicLog, topic: &str) -> Result<u64> {
    Ok(topics
        .end_offsets(topic)?
        .iter()
        .map(|offset| offset.0)
        .sum())
}

/// What was counted, and where.
pub struct Counts<'a> {
    /// Records in the topic when the demo started.
    pub before: u64,
    /// Acknowledged to the generator in this run.
    pub sent: u64,
    /// Records in the topic at the end.
    pub end: u64,
    /// What the pipeline counted, earlier runs included.
    pub summary: &'a Summary,
    /// So many records must have been read: what was in the topic when the generator had stopped,
    /// if the pipeline was given time for it. Other clients may have sent more.
    pub must_be_read: Option<u64>,
}

/// Says whether the numbers agree; a failure if they do not.
pub fn report(counts: &Counts<'_>) -> Outcome {
    let problems = problems(counts);
    if !problems.is_empty() {
        let message = format!("the numbers do not agree: {}", problems.join("; "));
        return Err(Failure::runtime(message).hint("this is a defect; please report it"));
    }
    let (end, summary) = (counts.end, counts.summary);
    let left = match end - summary.rows_read {
        0 => String::new(),
        left => format!("; {left} wait for the next start"),
    };
    say(&format!(
        "check: {end} acknowledged, {} read = {} on time + {} late + {} undecodable{left}: ok",
        summary.rows_read, summary.rows_on_time, summary.rows_late, summary.rows_undecodable
    ));
    Ok(())
}

fn problems(counts: &Counts<'_>) -> Vec<String> {
    let mut problems = vec![];
    let summary = counts.summary;
    // Other clients may have sent to the topic, and an answer may be lost on its way.
    if counts.before + counts.sent > counts.end {
        problems.push(format!(
            "acknowledged before={} now={}, but the topic ends at {}",
            counts.before, counts.sent, counts.end
        ));
    }
    if !summary.adds_up() {
        problems.push(format!(
            "read={} is not on_time={} + late={} + undecodable={}",
            summary.rows_read, summary.rows_on_time, summary.rows_late, summary.rows_undecodable
        ));
    }
    if summary.rows_read > counts.end {
        problems.push(format!(
            "read={}, but the topic ends at {}",
            summary.rows_read, counts.end
        ));
    }
    if let Some(end) = counts.must_be_read.filter(|end| summary.rows_read < *end) {
        problems.push(format!(
            "the topic ended at {end} when the generator had stopped, read={}",
            summary.rows_read
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jobs::tests::status;
    use crate::usage::Usage;

    #[track_caller]
    fn check(before: u64, sent: u64, end: u64, must_be_read: Option<u64>, expected: &[&str]) {
        let status = status("clicks", 100, None);
        let summary = Summary::new(&status, Duration::ZERO, Usage::default());
        let counts = Counts {
            before,
            sent,
            end,
            summary: &summary,
            must_be_read,
        };
        assert_eq!(problems(&counts), expected);
    }

    #[test]
    fn numbers_that_agree_have_no_problem() {
        check(40, 60, 100, Some(100), &[]);
        check(40, 50, 100, Some(100), &[]);
        check(40, 80, 120, None, &[]);
        check(40, 60, 120, Some(100), &[]);
    }

    #[test]
    fn lost_and_double_events_are_noticed() {
        let lost = "acknowledged before=40 now=61, but the topic ends at 100";
        check(40, 61, 100, Some(100), &[lost]);
        check(40, 50, 90, None, &["read=100, but the topic ends at 90"]);
        let unread = "the topic ended at 120 when the generator had stopped, read=100";
        check(40, 80, 120, Some(120), &[unread]);
    }
}
