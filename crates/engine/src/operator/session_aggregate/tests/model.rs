//! Sessions as a plain loop, row by row, and the rows to try it with.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Result};

/// A row of a split.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub time: i64,
    pub key: Option<&'a str>,
    pub number: i64,
}

/// Numbers that look random.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    /// The same.
    pub fn number(&mut self, bound: usize) -> i64 {
        i64::try_from(self.below(bound)).unwrap()
    }
}

impl Row<'static> {
    /// Rows of a few keys whose times run ahead by up to `disorder`.
    pub fn random(random: &mut Random, count: usize, disorder: i64) -> Vec<Self> {
        let mut now = random.number(20) - 10;
        let mut rows = vec![];
        for _ in 0..count {
            now += random.number(6);
            if random.below(25) == 0 {
                now += 40;
            }
            rows.push(Self {
                time: now - random.number(usize::try_from(disorder).unwrap()),
                key: [None, Some("a"), Some("b"), Some("a")][random.below(4)],
                number: random.number(5),
            });
        }
        rows
    }
}

#[derive(Debug, Clone)]
struct Session<'a> {
    start: i64,
    end: i64,
    rows: Vec<&'a Row<'a>>,
}

/// Adds a row that comes when the watermark is `watermark` as Flink does, sessions whose last millisecond
/// has passed being gone. False: it would be late.
fn add<'a>(sessions: &mut Vec<Session<'a>>, row: &'a Row<'a>, gap: i64, watermark: i64) -> bool {
    let mut new = Session {
        start: row.time,
        end: row.time + gap,
        rows: vec![row],
    };
    let (start, end) = (new.start, new.end);
    let joins = |session: &Session<'_>| {
        session.end - 1 > watermark && session.start <= end && session.end >= start
    };
    let joined: Vec<Session<'_>> = sessions.iter().filter(|s| joins(s)).cloned().collect();
    for session in &joined {
        new.start = new.start.min(session.start);
        new.end = new.end.max(session.end);
        new.rows.extend(&session.rows);
    }
    if new.end - 1 <= watermark {
        return false;
    }
    sessions.retain(|session| !joins(session));
    sessions.push(new);
    true
}

/// All results in order, and the number of late rows.
pub fn expected(case: Case, splits: &[Vec<Row<'_>>]) -> (Vec<Result>, usize) {
    let key = |row: &Row<'_>| row.key.filter(|_| case.by_key).map(str::to_owned);
    let key = |row: &Row<'_>| (case.by_key, key(row));
    let mut late = 0;
    let mut on_time: BTreeMap<_, Vec<(i64, &Row<'_>)>> = BTreeMap::new();
    for split in splits {
        let mut watermark = i64::MIN;
        let mut own: BTreeMap<(bool, Option<String>), Vec<Session<'_>>> = BTreeMap::new();
        for row in split {
            match add(
                own.entry(key(row)).or_default(),
                row,
                case.gap_ms,
                watermark,
            ) {
                true => on_time.entry(key(row)).or_default().push((watermark, row)),
                false => late += 1,
            }
            watermark = watermark.max(row.time - case.delay_ms);
        }
    }
    let mut results = vec![];
    for mut rows in on_time.into_values() {
        rows.sort_by_key(|(watermark, _)| *watermark);
        let mut sessions = vec![];
        let mut waiting: Vec<(i64, &Row<'_>)> = vec![];
        for (at, (watermark, row)) in rows.iter().enumerate() {
            waiting.push((*watermark, row));
            if rows.get(at + 1).is_some_and(|(next, _)| next == watermark) {
                continue;
            }
            // Rows of one moment help one another, whichever split they are of.
            while !waiting.is_empty() {
                let before = waiting.len();
                waiting
                    .retain(|(watermark, row)| !add(&mut sessions, row, case.gap_ms, *watermark));
                assert!(
                    waiting.len() < before,
                    "a row that is on time finds a session"
                );
            }
        }
        sessions
            .iter()
            .for_each(|session| session.results(case, &mut results));
    }
    results.sort();
    (results, late)
}

impl Session<'_> {
    fn results(&self, case: Case, results: &mut Vec<Result>) {
        let mut groups: BTreeMap<Option<&str>, Vec<i64>> = BTreeMap::new();
        for row in &self.rows {
            groups.entry(row.key).or_default().push(row.number);
        }
        let mut push = |key: Option<&str>, numbers: &[i64]| {
            let distinct: BTreeSet<&i64> = numbers.iter().collect();
            let values = [
                i64::try_from(numbers.len()).unwrap(),
                numbers.iter().sum(),
                numbers.iter().copied().max().unwrap(),
                i64::try_from(distinct.len()).unwrap(),
            ];
            results.push((self.start, self.end, key.map(str::to_owned), values));
        };
        groups.iter().for_each(|(key, numbers)| push(*key, numbers));
        if !case.by_key {
            push(None, &groups.into_values().flatten().collect::<Vec<_>>());
        }
    }
}
