//! What each query must give: loops over all rows at once, without epochs, shards or state.
//!
//! What is late follows from the order within each partition alone (ARCHITECTURE.md, "Late rows"): a
//! row is late for a window whose last moment the watermark of its own partition had reached before it.
//! The other rules are Flink's, see each loop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::input::{Arrived, DAY_MS, Input, Row, Table};

/// What a query gives over all of the input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its rows as text.
    pub rows: Vec<String>,
    /// `seq` of the rows that it drops as late.
    pub late: BTreeSet<i64>,
}

/// Windows of a size that begin each slide.
#[derive(Debug, Clone, Copy)]
enum Windows {
    /// TUMBLE is HOP whose slide is its size.
    Hop {
        slide_ms: i64,
        size_ms: i64,
    },
    Cumulate {
        step_ms: i64,
        size_ms: i64,
    },
}

const TEN_SECONDS: Windows = tumble(10_000);

const fn tumble(size_ms: i64) -> Windows {
    Windows::Hop {
        slide_ms: size_ms,
        size_ms,
    }
}

impl Windows {
    /// Start and end of those that `ts` is in.
    fn of(self, ts: i64) -> Vec<(i64, i64)> {
        match self {
            Self::Hop { slide_ms, size_ms } => {
                let last = ts - ts.rem_euclid(slide_ms);
                let starts = (0..size_ms / slide_ms).map(|back| last - back * slide_ms);
                starts.map(|start| (start, start + size_ms)).collect()
            }
            Self::Cumulate { step_ms, size_ms } => {
                let start = ts - ts.rem_euclid(size_ms);
                let ends = (1..=size_ms / step_ms).map(|steps| start + steps * step_ms);
                let ends = ends.filter(|end| *end > ts);
                ends.map(|end| (start, end)).collect()
            }
        }
    }
}

/// Rows by window and whatever else they are grouped by.
type Groups<'a, K> = BTreeMap<((i64, i64), K), Vec<&'a Row>>;

/// The rows of each group, and those that are late for all their windows.
fn grouped<'a, K: Ord>(
    table: &'a Table,
    (windows, lateness_ms): (Windows, i64),
    key: impl Fn(&'a Row) -> K,
) -> (Groups<'a, K>, BTreeSet<i64>) {
    let mut groups: Groups<'a, K> = BTreeMap::new();
    let mut late = BTreeSet::new();
    for Arrived { row, watermark } in table.rows() {
        let mut windows = windows.of(row.ts);
        windows.retain(|(_, end)| watermark.is_none_or(|at| at < end - 1 + lateness_ms));
        if windows.is_empty() {
            late.insert(row.seq);
        }
        for window in windows {
            groups.entry((window, key(row))).or_default().push(row);
        }
    }
    (groups, late)
}

fn sum(rows: &[&Row]) -> i64 {
    rows.iter().map(|row| row.v).sum()
}

fn users(rows: &[&Row]) -> usize {
    let users: BTreeSet<i64> = rows.iter().map(|row| row.u).collect();
    users.len()
}

/// Counts, sums and users per ten seconds and key.
pub fn per_key(input: &Input, lateness_ms: i64) -> Answer {
    let clicks = input.table("clicks");
    let (groups, late) = grouped(clicks, (TEN_SECONDS, lateness_ms), |row| row.k);
    let rows = groups.iter().map(|(((start, _), k), rows)| {
        let (start, n) = (time(*start), rows.len());
        format!("{start}  {k}  {n}  {}  {}", sum(rows), users(rows))
    });
    let rows = rows.collect();
    Answer { rows, late }
}

/// Counts and greatest numbers per key of fifteen seconds, each five.
pub fn hop(input: &Input, lateness_ms: i64) -> Answer {
    let windows = Windows::Hop {
        slide_ms: 5_000,
        size_ms: 15_000,
    };
    let (groups, late) = grouped(input.table("clicks"), (windows, lateness_ms), |row| row.k);
    let rows = groups.iter().map(|(((_, end), k), rows)| {
        let most = rows.iter().map(|row| row.v).max().unwrap_or(0);
        format!("{}  {k}  {}  {most}", time(*end), rows.len())
    });
    let rows = rows.collect();
    Answer { rows, late }
}

/// Counts and sums of twenty seconds so far, each five.
pub fn cumulate(input: &Input, lateness_ms: i64) -> Answer {
    let windows = Windows::Cumulate {
        step_ms: 5_000,
        size_ms: 20_000,
    };
    let (groups, late) = grouped(input.table("clicks"), (windows, lateness_ms), |_| ());
    let rows = groups.iter().map(|(((start, end), ()), rows)| {
        let (start, end) = (time(*start), time(*end));
        format!("{start}  {end}  {}  {}", rows.len(), sum(rows))
    });
    let rows = rows.collect();
    Answer { rows, late }
}

/// Users and least numbers of a minute.
pub fn minutes(input: &Input, lateness_ms: i64) -> Answer {
    let clicks = input.table("clicks");
    let (groups, late) = grouped(clicks, (tumble(60_000), lateness_ms), |_| ());
    let rows = groups.iter().map(|(((start, _), ()), rows)| {
        let least = rows.iter().map(|row| row.v).min().unwrap_or(0);
        format!("{}  {}  {least}", time(*start), users(rows))
    });
    let rows = rows.collect();
    Answer { rows, late }
}

/// The two keys with most rows of each ten seconds.
pub fn best(input: &Input, lateness_ms: i64) -> Answer {
    let clicks = input.table("clicks");
    let (groups, late) = grouped(clicks, (TEN_SECONDS, lateness_ms), |row| row.u);
    let mut windows: BTreeMap<i64, Vec<(usize, i64)>> = BTreeMap::new();
    for (((start, _), u), rows) in &groups {
        windows.entry(*start).or_default().push((rows.len(), *u));
    }
    let mut rows = vec![];
    for (start, mut counts) in windows {
        counts.sort_by_key(|(n, u)| (std::cmp::Reverse(*n), *u));
        for (rank, (n, u)) in counts.iter().take(2).enumerate() {
            rows.push(format!("{}  u{u}  {n}  {}", time(start), rank + 1));
        }
    }
    Answer { rows, late }
}

/// Counts of ten seconds, added to half minutes.
pub fn cascade(input: &Input, lateness_ms: i64) -> Answer {
    let clicks = input.table("clicks");
    let (groups, late) = grouped(clicks, (TEN_SECONDS, lateness_ms), |row| row.k);
    let mut wide: BTreeMap<(i64, &str), (usize, usize)> = BTreeMap::new();
    for (((start, _), k), rows) in &groups {
        let (total, windows) = wide
            .entry((start - start.rem_euclid(30_000), k))
            .or_default();
        *total += rows.len();
        *windows += 1;
    }
    let rows = wide
        .iter()
        .map(|((start, k), (total, windows))| format!("{}  {k}  {total}  {windows}", time(*start)));
    let rows = rows.collect();
    Answer { rows, late }
}

/// Rows as they are, some of them.
pub fn copy(input: &Input, _: i64) -> Answer {
    let rows = input.table("clicks").rows();
    let rows = rows.iter().filter(|arrived| arrived.row.v % 3 != 0);
    let rows = rows.map(|arrived| format!("{}  {}", arrived.row.seq, arrived.row.k));
    Answer {
        rows: rows.collect(),
        late: BTreeSet::new(),
    }
}

/// The first row of each user in ten seconds, by event time.
pub fn first_in_window(input: &Input, lateness_ms: i64) -> Answer {
    let clicks = input.table("clicks");
    let (groups, late) = grouped(clicks, (TEN_SECONDS, lateness_ms), |row| row.u);
    let rows = groups.iter().filter_map(|(((start, _), u), rows)| {
        let first = rows.iter().min_by_key(|row| row.ts)?;
        Some(format!("{}  u{u}  {}", time(*start), first.seq))
    });
    let rows = rows.collect();
    Answer { rows, late }
}

/// Rows of a table by key, in event time.
fn by_key(table: &Table) -> BTreeMap<&'static str, Vec<&Row>> {
    let mut keys: BTreeMap<&'static str, Vec<&Row>> = BTreeMap::new();
    for Arrived { row, .. } in table.rows() {
        keys.entry(row.k).or_default().push(row);
    }
    for rows in keys.values_mut() {
        rows.sort_by_key(|row| row.ts);
    }
    keys
}

fn on_time(rows: Vec<String>) -> Answer {
    Answer {
        rows,
        late: BTreeSet::new(),
    }
}

/// Sessions: rows of a key at most four seconds apart.
pub fn sessions(input: &Input, _: i64) -> Answer {
    const GAP_MS: i64 = 4_000;
    let mut lines = vec![];
    for (k, rows) in by_key(input.table("orders")) {
        let sessions = rows.chunk_by(|left, right| right.ts - left.ts <= GAP_MS);
        for rows in sessions {
            let (start, end) = (rows[0].ts, rows[rows.len() - 1].ts + GAP_MS);
            let (start, end) = (time(start), time(end));
            lines.push(format!(
                "{start}  {end}  {k}  {}  {}",
                rows.len(),
                sum(rows)
            ));
        }
    }
    on_time(lines)
}

/// Each row with the sum of it and the two before, and the count of the last five seconds.
pub fn over(input: &Input, _: i64) -> Answer {
    let mut lines = vec![];
    for (_, rows) in by_key(input.table("orders")) {
        for (at, row) in rows.iter().enumerate() {
            let total = sum(&rows[at.saturating_sub(2)..=at]);
            let recent = rows[..=at]
                .iter()
                .filter(|other| other.ts >= row.ts - 5_000);
            lines.push(format!("{}  {total}  {}", row.seq, recent.count()));
        }
    }
    on_time(lines)
}

/// The first row of each user.
pub fn first(input: &Input, _: i64) -> Answer {
    let mut firsts: BTreeMap<i64, &Row> = BTreeMap::new();
    for Arrived { row, .. } in input.table("orders").rows() {
        let first = firsts.entry(row.u).or_insert(row);
        if row.ts < first.ts {
            *first = row;
        }
    }
    let lines = firsts.iter().map(|(u, row)| format!("u{u}  {}", row.seq));
    on_time(lines.collect())
}

/// Orders with the payments of their key from a second before to two after.
pub fn interval_join(input: &Input, _: i64) -> Answer {
    joined(input, |order, pay| {
        (-1_000..=2_000).contains(&(pay.ts - order.ts))
    })
}

/// Orders with the payments of their key and ten seconds.
pub fn window_join(input: &Input, _: i64) -> Answer {
    joined(input, |order, pay| {
        order.ts.div_euclid(10_000) == pay.ts.div_euclid(10_000)
    })
}

fn joined(input: &Input, is_pair: impl Fn(&Row, &Row) -> bool) -> Answer {
    let pays = input.table("pays").rows();
    let mut lines = vec![];
    for order in input.table("orders").rows() {
        for pay in &pays {
            if order.row.k == pay.row.k && is_pair(order.row, pay.row) {
                lines.push(format!("{}  {}", order.row.seq, pay.row.seq));
            }
        }
    }
    on_time(lines)
}

/// A time of the day of the input as answers show it: without zeros at the end of a fraction.
fn time(ms: i64) -> String {
    let of_day = ms - DAY_MS;
    let (seconds, fraction) = (of_day / 1_000, of_day % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = format!("2025-06-15 {hours:02}:{minutes:02}:{:02}", seconds % 60);
    if fraction > 0 {
        write!(text, ".{fraction:03}").expect("text can always grow");
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

#[cfg(test)]
mod tests;
