//! Early results at any moment, against a loop: random rows over three partitions, random shards, batches,
//! epochs, crashes and stops; whenever somebody looks, the tables hold what the rows so far come to.
//!
//! A failure names the seed; `MILLSTREAM_SEED=n` runs that one, `MILLSTREAM_SEEDS=n` that many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::plan::Plan;
use millstream_sim::env::SplitMix;
use millstream_sim::slt::runner::plan as plan_of;
use millstream_sim::slt::script::{Action, Expected};
use millstream_sim::slt::world::{Setup, World};

const PIPELINE: &str = "
SET 'table.exec.emit.early-fire.enabled' = 'true';
SET 'table.exec.emit.early-fire.delay' = '0 s';
CREATE TABLE hits (page STRING, who STRING, v BIGINT, ts BIGINT,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '3' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'hits', 'format' = 'json', 'topic.partitions' = '3');

CREATE TABLE fixed (end_time TIMESTAMP(3), page STRING, n BIGINT, total BIGINT, whos BIGINT,
  PRIMARY KEY (end_time, page) NOT ENFORCED) WITH ('connector' = 'clickhouse');
CREATE TABLE sliding (end_time TIMESTAMP(3), page STRING, n BIGINT, total BIGINT, whos BIGINT,
  PRIMARY KEY (end_time, page) NOT ENFORCED) WITH ('connector' = 'clickhouse');
CREATE TABLE growing (end_time TIMESTAMP(3), page STRING, n BIGINT, total BIGINT, whos BIGINT,
  PRIMARY KEY (end_time, page) NOT ENFORCED) WITH ('connector' = 'clickhouse');

INSERT INTO fixed SELECT window_end, page, COUNT(*), SUM(v), COUNT(DISTINCT who)
FROM TABLE(TUMBLE(TABLE hits, DESCRIPTOR(rt), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, page;
INSERT INTO sliding SELECT window_end, page, COUNT(*), SUM(v), COUNT(DISTINCT who)
FROM TABLE(HOP(TABLE hits, DESCRIPTOR(rt), INTERVAL '4' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end, page;
INSERT INTO growing SELECT window_end, page, COUNT(*), SUM(v), COUNT(DISTINCT who)
FROM TABLE(CUMULATE(TABLE hits, DESCRIPTOR(rt), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end, page;
";

const SEEDS: u64 = 12;
const PARTITIONS: u64 = 3;
const DELAY_MS: u64 = 3_000;
/// Event time begins here, so that no window begins before 1970.
const START_MS: u64 = 60_000;

#[test]
fn early_results_are_what_was_read() {
    let plan = plan_of("early.sql", PIPELINE).expect("a right pipeline");
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    let seeds = match number("MILLSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MILLSTREAM_SEEDS").unwrap_or(SEEDS),
    };
    let mut looks = 0;
    for seed in seeds.clone() {
        let done = run(&plan, &mut SplitMix::new(seed));
        looks += done.unwrap_or_else(|error| panic!("MILLSTREAM_SEED={seed}: {error:#}"));
    }
    assert!(
        looks >= seeds.count(),
        "tables are looked at while input comes: {looks}"
    );
}

/// Feeds rows in pieces, and looks at the tables now and then. How often it looked before the end.
fn run(plan: &Arc<Plan>, random: &mut SplitMix) -> anyhow::Result<usize> {
    let setup = Setup {
        parallelism: [1, 2, 3][usize::try_from(random.below(3))?],
        batch_rows: [1, 3, 64][usize::try_from(random.below(3))?],
        is_crashing: false,
    };
    let mut world = World::open(plan.clone(), setup)?;
    let mut model = Model::default();
    let mut looks = 0;
    for piece in 0..12 {
        for _ in 0..1 + random.below(3) {
            let partition = random.below(PARTITIONS);
            let records = (0..random.below(12)).map(|_| model.next(partition, piece, random));
            world.step(&Action::Input {
                topic: "hits".into(),
                partition: u32::try_from(partition)?,
                records: records.collect(),
            })?;
        }
        world.random_step(random)?;
        if random.below(2) == 0 {
            check(&mut world, &model)?;
            looks += 1;
        }
    }
    world.step(&Action::End)?;
    check(&mut world, &model)?;
    Ok(looks)
}

fn check(world: &mut World, model: &Model) -> anyhow::Result<()> {
    for (table, rows) in &model.tables() {
        let action = Action::Query {
            sql: format!("SELECT * FROM {table}"),
            is_sorted: true,
            expected: Expected {
                rows: vec![],
                lines: 0..0,
            },
        };
        let found = world.step(&action)?.unwrap_or_default();
        anyhow::ensure!(
            found == *rows,
            "{table}: found {found:#?}, expected {rows:#?}"
        );
    }
    Ok(())
}

#[derive(Debug)]
struct Row {
    page: u64,
    who: u64,
    v: u64,
    ts: u64,
    /// The watermark of its partition before it, if there is one.
    before: Option<u64>,
}

/// All rows so far.
#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    /// The newest event time of each partition.
    newest: BTreeMap<u64, u64>,
}

impl Model {
    /// Another record of a partition: mostly about 4 s later with each piece, sometimes far behind.
    fn next(&mut self, partition: u64, piece: u64, random: &mut SplitMix) -> Vec<u8> {
        let back = if random.below(8) == 0 { 25_000 } else { 0 };
        let ts = START_MS + piece * 4_000 + random.below(6_000) - back.min(piece * 4_000);
        let before = self.newest.get(&partition).map(|newest| newest - DELAY_MS);
        let newest = self.newest.entry(partition).or_default();
        *newest = ts.max(*newest);
        let (page, who, v) = (random.below(3), random.below(5), random.below(100));
        self.rows.push(Row {
            page,
            who,
            v,
            ts,
            before,
        });
        format!("{{\"page\":\"/{page}\",\"who\":\"w{who}\",\"v\":{v},\"ts\":{ts}}}").into_bytes()
    }

    fn tables(&self) -> [(&'static str, Vec<String>); 3] {
        [
            ("fixed", self.table(|ts| vec![ts - ts % 10_000 + 10_000])),
            (
                "sliding",
                self.table(|ts| {
                    let first = ts - ts % 4_000 + 4_000;
                    (0..5).map(|index| first + index * 4_000).collect()
                }),
            ),
            (
                "growing",
                self.table(|ts| {
                    let start = ts - ts % 20_000;
                    let ends = (1..=4).map(|step| start + step * 5_000);
                    ends.filter(|end| *end > ts).collect()
                }),
            ),
        ]
    }

    /// What the windows of each row, by their ends, come to.
    fn table(&self, ends: impl Fn(u64) -> Vec<u64>) -> Vec<String> {
        let mut groups: BTreeMap<(u64, u64), Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            for end in ends(row.ts) {
                // In time for the window if its own partition had not passed it.
                if row.before.is_none_or(|watermark| watermark < end - 1) {
                    groups.entry((end, row.page)).or_default().push(row);
                }
            }
        }
        let mut lines: Vec<String> = groups
            .into_iter()
            .map(|((end, page), rows)| {
                let total: u64 = rows.iter().map(|row| row.v).sum();
                let whos: BTreeSet<u64> = rows.iter().map(|row| row.who).collect();
                let (minute, second) = (end / 60_000, end / 1_000 % 60);
                let (n, whos) = (rows.len(), whos.len());
                format!("1970-01-01 00:{minute:02}:{second:02}  /{page}  {n}  {total}  {whos}")
            })
            .collect();
        lines.sort();
        lines
    }
}
