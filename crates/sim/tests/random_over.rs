//! Calls with OVER on random rows through random steps, against loops over the rows of each key.
//!
//! A seed decides everything: rows (out of order, late, null, equal) over two partitions, the number of
//! shards, which changes with each start, rows in a batch, and when the job reads, commits, crashes and
//! stops. A failure names the seed; `MILLSTREAM_SEED=n` runs that one, `MILLSTREAM_SEEDS=n` that many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::plan::Plan;
use millstream_sim::env::SplitMix;
use millstream_sim::slt::runner::plan as plan_of;
use millstream_sim::slt::script::{Action, Expected};
use millstream_sim::slt::world::{Setup, World};

const SEEDS: u64 = 12;
const PARTITIONS: usize = 2;
const DELAY_MS: i64 = 3_000;
/// Rows of a frame before its own.
const ROWS: usize = 3;
/// Length of a frame.
const RANGE_MS: i64 = 4_000;

const PIPELINE: &str = "
CREATE TABLE clicks (id STRING, k INT, n INT, x DOUBLE, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR rt AS rt - INTERVAL '3' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json', 'topic.partitions' = '2');
CREATE TABLE by_rows (id STRING, c BIGINT, s INT, lo INT, hi INT, d BIGINT, x BIGINT) WITH ('connector' = 'clickhouse');
CREATE TABLE by_range (id STRING, c BIGINT, s INT, lo INT, hi INT, d BIGINT, x BIGINT) WITH ('connector' = 'clickhouse');
CREATE TABLE unbounded (id STRING, c BIGINT, s INT, lo INT, hi INT, d BIGINT, x BIGINT) WITH ('connector' = 'clickhouse');
CREATE TABLE before (id STRING, one STRING, two STRING) WITH ('connector' = 'clickhouse');
INSERT INTO by_rows SELECT id, COUNT(*) OVER w, SUM(n) OVER w, MIN(n) OVER w, MAX(n) OVER w,
  COUNT(DISTINCT n) OVER w, CAST(SUM(x) OVER w AS BIGINT) FROM clicks
WINDOW w AS (PARTITION BY k ORDER BY rt ROWS BETWEEN 3 PRECEDING AND CURRENT ROW);
INSERT INTO by_range SELECT id, COUNT(*) OVER w, SUM(n) OVER w, MIN(n) OVER w, MAX(n) OVER w,
  COUNT(DISTINCT n) OVER w, CAST(SUM(x) OVER w AS BIGINT) FROM clicks
WINDOW w AS (PARTITION BY k ORDER BY rt RANGE BETWEEN INTERVAL '4' SECOND PRECEDING AND CURRENT ROW);
INSERT INTO unbounded SELECT id, COUNT(*) OVER w, SUM(n) OVER w, MIN(n) OVER w, MAX(n) OVER w,
  COUNT(DISTINCT n) OVER w, CAST(SUM(x) OVER w AS BIGINT) FROM clicks
WINDOW w AS (PARTITION BY k ORDER BY rt);
INSERT INTO before SELECT id, LAG(id) OVER w, LAG(id, 2) OVER w FROM clicks
WINDOW w AS (PARTITION BY k ORDER BY rt);
";

#[test]
fn random_frames_give_what_loops_give() {
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    let seeds = match number("MILLSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MILLSTREAM_SEEDS").unwrap_or(SEEDS),
    };
    let plan = plan();
    for seed in seeds {
        let mut random = SplitMix::new(seed);
        let rows = rows(&mut random);
        let expected = expected(&rows);
        let found = run(&plan, rows, &mut random);
        let found = found.unwrap_or_else(|error| panic!("MILLSTREAM_SEED={seed}: {error:#}"));
        for (name, expected) in &expected {
            let found = &found[name];
            assert_eq!(
                found, expected,
                "MILLSTREAM_SEED={seed}: `{name}`, then the rules"
            );
        }
    }
}

fn below(random: &mut SplitMix, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("small")
}

fn plan() -> Arc<Plan> {
    plan_of("random_over.sql", PIPELINE).expect("a right pipeline")
}

/// A record. `n` is also `x`.
#[derive(Debug, Clone)]
struct Row {
    id: String,
    k: Option<i64>,
    n: Option<i64>,
    ts: i64,
}

fn or_null(value: Option<i64>, null: &str) -> String {
    value.map_or(null.into(), |value| value.to_string())
}

impl Row {
    fn record(&self) -> Vec<u8> {
        let (k, n) = (or_null(self.k, "null"), or_null(self.n, "null"));
        let (id, ts) = (&self.id, self.ts);
        format!("{{\"id\":\"{id}\",\"k\":{k},\"n\":{n},\"x\":{n},\"ts\":{ts}}}").into_bytes()
    }
}

/// Up to 80 records for each partition, in their order.
fn rows(random: &mut SplitMix) -> Vec<Vec<Row>> {
    let mut partitions = vec![];
    for partition in 0..PARTITIONS {
        let mut now: i64 = -10_000;
        let mut records = vec![];
        for index in 0..below(random, 80) {
            now += 500 * below(random, 4) as i64;
            let back = match below(random, 8) {
                0 => 500 * below(random, 30),
                _ => 500 * below(random, 7),
            };
            let mut maybe = |bound: usize| {
                let value = below(random, bound + 1);
                (value < bound).then_some(value as i64)
            };
            records.push(Row {
                id: format!("{partition}-{index}"),
                k: maybe(3),
                n: maybe(7).map(|n| n - 3),
                ts: now - back as i64,
            });
        }
        partitions.push(records);
    }
    partitions
}

/// Feeds the records in random pieces, with random steps between; what the tables hold then.
fn run(
    plan: &Arc<Plan>,
    mut rest: Vec<Vec<Row>>,
    random: &mut SplitMix,
) -> anyhow::Result<BTreeMap<&'static str, Vec<String>>> {
    let setup = Setup {
        parallelism: [1, 2, 3, 5][below(random, 4)],
        batch_rows: [1, 2, 7, 64, 1024][below(random, 5)],
        is_crashing: false,
    };
    let mut world = World::open(plan.clone(), setup)?;
    while rest.iter().any(|rows| !rows.is_empty()) {
        let partition = below(random, PARTITIONS);
        let count = (1 + below(random, 15)).min(rest[partition].len());
        if count > 0 {
            let records = rest[partition].drain(..count).map(|row| row.record());
            world.step(&Action::Input {
                topic: "clicks".into(),
                partition: u32::try_from(partition)?,
                records: records.collect(),
            })?;
        }
        world.random_step(random)?;
    }
    world.step(&Action::End)?;
    let mut answers = BTreeMap::new();
    for table in ["by_rows", "by_range", "unbounded", "before"] {
        let ask = Action::Query {
            sql: format!("SELECT * FROM {table}"),
            is_sorted: true,
            expected: Expected {
                rows: vec![],
                lines: 0..0,
            },
        };
        answers.insert(table, world.step(&ask)?.unwrap_or_default());
    }
    Ok(answers)
}

/// The rows of each key that are not late, in order of time and arrival.
fn of_keys(partitions: &[Vec<Row>]) -> Vec<Vec<&Row>> {
    let mut all = vec![];
    for (partition, rows) in partitions.iter().enumerate() {
        let mut watermark = i64::MIN;
        for (index, row) in rows.iter().enumerate() {
            if watermark < row.ts {
                all.push((row.ts, partition, index, row));
            }
            watermark = watermark.max(row.ts - DELAY_MS);
        }
    }
    all.sort_by_key(|(ts, partition, index, _)| (*ts, *partition, *index));
    let mut of_keys: BTreeMap<Option<i64>, Vec<&Row>> = BTreeMap::new();
    for (.., row) in all {
        of_keys.entry(row.k).or_default().push(row);
    }
    of_keys.into_values().collect()
}

/// The line of a row whose frame has these rows.
fn line<'a>(row: &Row, frame: impl Iterator<Item = &'a &'a Row>) -> String {
    let frame: Vec<&&Row> = frame.collect();
    let values: Vec<i64> = frame.iter().filter_map(|row| row.n).collect();
    let sum = (!values.is_empty()).then(|| values.iter().sum::<i64>());
    let text = |value: Option<i64>| or_null(value, "NULL");
    format!(
        "{}  {}  {}  {}  {}  {}  {}",
        row.id,
        frame.len(),
        text(sum),
        text(values.iter().min().copied()),
        text(values.iter().max().copied()),
        values.iter().collect::<BTreeSet<_>>().len(),
        text(sum),
    )
}

fn expected(partitions: &[Vec<Row>]) -> BTreeMap<&'static str, Vec<String>> {
    let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for rows in of_keys(partitions) {
        for (position, row) in rows.iter().enumerate() {
            let mut add = |table, line| lines.entry(table).or_default().push(line);
            let first = position.saturating_sub(ROWS);
            add("by_rows", line(row, rows[first..=position].iter()));
            let in_range = |other: &&&Row| (0..=RANGE_MS).contains(&(row.ts - other.ts));
            add("by_range", line(row, rows.iter().filter(in_range)));
            let until_now = |other: &&&Row| other.ts <= row.ts;
            add("unbounded", line(row, rows.iter().filter(until_now)));
            let back = |count: usize| {
                let found = position.checked_sub(count).map(|at| rows[at].id.as_str());
                found.unwrap_or("NULL")
            };
            add("before", format!("{}  {}  {}", row.id, back(1), back(2)));
        }
    }
    for lines in lines.values_mut() {
        lines.sort();
    }
    lines
}
