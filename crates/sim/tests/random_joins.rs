//! Joins of random rows through random steps, against loops over all rows.
//!
//! A seed decides everything: rows of two sources (out of order, late, null, equal, broken) over two
//! partitions each, the bounds of interval joins, the number of shards, which changes with each
//! start, rows in a batch, and when the job reads, commits, crashes and stops. A failure names the seed;
//! `MILLSTREAM_SEED=n` runs that one, `MILLSTREAM_SEEDS=n` that many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::plan::Plan;
use millstream_sim::env::SplitMix;
use millstream_sim::slt::connectors::Files;
use millstream_sim::slt::runner::plan as plan_of;
use millstream_sim::slt::script::{Action, Expected};
use millstream_sim::slt::world::{Setup, World};

const SEEDS: u64 = 12;
const PARTITIONS: usize = 2;
const DELAY_MS: i64 = 5_000;
const WINDOW_MS: i64 = 10_000;
/// How much later the third row of a chain may be.
const CHAIN_MS: i64 = 2_000;
/// What payment time - order time can be.
const BOUNDS: [(i64, i64); 6] = [
    (0, 3_000),
    (-2_000, 2_000),
    (-4_000, -1_000),
    (1_000, 4_000),
    (0, 0),
    (-1, 6_000),
];
/// The table in memory: keys and names.
const NAMES: [(Option<u64>, &str); 5] = [
    (Some(0), "zero"),
    (Some(1), "one"),
    (Some(1), "uno"),
    (Some(7), "seven"),
    (None, "nobody"),
];
const KINDS: [&str; 4] = ["inner", "left", "right", "full"];

#[test]
fn random_joins_give_what_loops_give() {
    let seeds = seeds();
    let all = seeds.end - seeds.start > 5;
    let mut rows_of: BTreeMap<String, usize> = BTreeMap::new();
    for seed in seeds {
        let mut random = SplitMix::new(seed);
        let bounds = BOUNDS[below(&mut random, BOUNDS.len())];
        let sources = [rows(&mut random, "o"), rows(&mut random, "p")];
        let expected = Model::new(&sources, bounds).answers();
        let world = fed(&plan(bounds), sources.clone(), &mut random);
        let names = expected.keys().map(String::as_str);
        let names: Vec<&str> = names.filter(|name| !name.ends_with("_counters")).collect();
        let found = world.and_then(|mut world| answers(&mut world, &names));
        let found = found.unwrap_or_else(|error| panic!("MILLSTREAM_SEED={seed}: {error:#}"));
        for (name, expected) in &expected {
            assert_eq!(
                &found[name], expected,
                "MILLSTREAM_SEED={seed}, bounds {bounds:?}: `{name}`, then the rules"
            );
            *rows_of.entry(name.clone()).or_default() += expected.len();
        }
    }
    let empty = rows_of.iter().find(|(_, rows)| all && **rows == 0);
    assert_eq!(empty, None, "a table that was never written");
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    match number("MILLSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MILLSTREAM_SEEDS").unwrap_or(SEEDS),
    }
}

/// What is late for a session is tested elsewhere; whatever its results are, these are joined.
#[test]
fn joins_of_sessions_join_what_the_sessions_give() {
    let sessions = |table: &str| {
        format!(
            "SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(SESSION(
               TABLE {table} PARTITION BY k, DESCRIPTOR(rt), INTERVAL '1' SECOND))
             GROUP BY window_start, window_end, k"
        )
    };
    let (l, r) = (sessions("orders"), sessions("pays"));
    let columns = "s TIMESTAMP(3), e TIMESTAMP(3), k INT, n BIGINT";
    let script = format!(
        "{}{}
         CREATE TABLE lefts ({columns}) WITH ('connector' = 'clickhouse');
         CREATE TABLE rights ({columns}) WITH ('connector' = 'clickhouse');
         CREATE TABLE pairs (l_start TIMESTAMP(3), l_k INT, l_n BIGINT, r_start TIMESTAMP(3), r_k INT, r_n BIGINT)
           WITH ('connector' = 'clickhouse');
         INSERT INTO lefts {l};
         INSERT INTO rights {r};
         INSERT INTO pairs SELECT l.window_start, l.k, l.n, r.window_start, r.k, r.n
           FROM ({l}) AS l FULL JOIN ({r}) AS r
           ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end;",
        source("orders", "id"),
        source("pays", "pid"),
    );
    let plan = planned(&script);
    let mut met = 0;
    let seeds = seeds();
    for seed in seeds.clone() {
        let mut random = SplitMix::new(seed);
        let sources = [rows(&mut random, "o"), rows(&mut random, "p")];
        let world = fed(&plan, sources, &mut random);
        let found = world.and_then(|mut world| answers(&mut world, &["lefts", "rights", "pairs"]));
        let found = found.unwrap_or_else(|error| panic!("MILLSTREAM_SEED={seed}: {error:#}"));
        let parts = |name: &str| -> Vec<Vec<String>> {
            let lines = found[name].iter();
            lines
                .map(|line| line.split("  ").map(String::from).collect())
                .collect()
        };
        let (lefts, rights) = (parts("lefts"), parts("rights"));
        let text = |row: &[String]| format!("{}  {}  {}", row[0], row[2], row[3]);
        let equal = |l: &Vec<String>, r: &Vec<String>| l[2] != "NULL" && l[..3] == r[..3];
        let nothing = "NULL  NULL  NULL";
        let mut expected = vec![];
        for l in &lefts {
            match rights.iter().find(|r| equal(l, r)) {
                Some(r) => {
                    expected.push(format!("{}  {}", text(l), text(r)));
                    met += 1;
                }
                None => expected.push(format!("{}  {nothing}", text(l))),
            }
        }
        let alone = rights.iter().filter(|r| !lefts.iter().any(|l| equal(l, r)));
        expected.extend(alone.map(|r| format!("{nothing}  {}", text(r))));
        expected.sort();
        assert_eq!(found["pairs"], expected, "MILLSTREAM_SEED={seed}");
    }
    assert!(
        met > 0 || seeds.end - seeds.start < 6,
        "no session met another"
    );
}

fn below(random: &mut SplitMix, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("small")
}

/// `+ INTERVAL …` of so many ms.
fn shift(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    let ms = ms.unsigned_abs();
    format!("{sign} INTERVAL '{}.{:03}' SECOND", ms / 1_000, ms % 1_000)
}

fn source(name: &str, id: &str) -> String {
    format!(
        "CREATE TABLE {name} ({id} STRING, k INT, n INT, items ARRAY<INT>, ts BIGINT,
           rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '5' SECOND)
         WITH ('connector' = 'kafka', 'topic' = '{name}', 'format' = 'json',
           'topic.partitions' = '{PARTITIONS}');\n"
    )
}

fn script((lower, upper): (i64, i64)) -> String {
    let mut script = source("orders", "id") + &source("pays", "pid");
    script += "CREATE TABLE names (k INT, name STRING)
       WITH ('connector' = 'filesystem', 'path' = 'names', 'format' = 'json');\n";
    let mut add = |name: &str, columns: &str, query: &str| {
        script += &format!("CREATE TABLE {name} ({columns}) WITH ('connector' = 'clickhouse');\n");
        script += &format!("INSERT INTO {name} {query};\n");
    };
    let windowed = |table: &str| {
        format!(
            "(SELECT * FROM TABLE(TUMBLE(TABLE {table}, DESCRIPTOR(rt), INTERVAL '10' SECOND)))"
        )
    };
    let (l, r) = (windowed("orders"), windowed("pays"));
    let same = "l.window_start = r.window_start AND l.window_end = r.window_end";
    let (pair, both) = ("id STRING, pid STRING", "l.k = r.k AND l.n < r.n");
    let within = format!(
        "r.rt BETWEEN l.rt {} AND l.rt {}",
        shift(lower),
        shift(upper)
    );
    for kind in KINDS {
        let from = format!("FROM {l} AS l {kind} JOIN {r} AS r ON {both} AND {same}");
        add(
            &format!("w_{kind}"),
            pair,
            &format!("SELECT l.id, r.pid {from}"),
        );
        let from = format!("FROM orders AS l {kind} JOIN pays AS r ON {both} AND {within}");
        add(
            &format!("i_{kind}"),
            pair,
            &format!("SELECT l.id, r.pid {from}"),
        );
    }
    for (name, not) in [("w_semi", ""), ("w_anti", "NOT")] {
        let query = format!(
            "SELECT l.id FROM {l} AS l WHERE {not} EXISTS
               (SELECT * FROM {r} AS r WHERE {both} AND {same})"
        );
        add(name, "id STRING", &query);
    }
    let query = format!(
        "SELECT l.id FROM {l} AS l WHERE l.n NOT IN (SELECT r.n FROM {r} AS r WHERE {same} AND l.k = r.k)"
    );
    add("w_not_in", "id STRING", &query);
    add(
        "t_left",
        "id STRING, name STRING",
        "SELECT l.id, r.name FROM orders AS l LEFT JOIN names AS r ON l.k IS NOT DISTINCT FROM r.k AND l.n > 2",
    );
    add(
        "t_lookup",
        "id STRING, name STRING",
        "SELECT l.id, r.name FROM orders AS l JOIN names FOR SYSTEM_TIME AS OF l.rt AS r ON l.k = r.k",
    );
    add(
        "unnested",
        "id STRING, item INT, place INT",
        "SELECT id, item, place FROM orders LEFT JOIN UNNEST(items) WITH ORDINALITY AS u (item, place) ON TRUE",
    );
    let from = format!(
        "FROM orders AS l JOIN pays AS r ON l.k = r.k AND {within}
         JOIN orders AS x ON x.n = r.n AND x.rt BETWEEN r.rt AND r.rt {}",
        shift(CHAIN_MS)
    );
    let query = format!("SELECT l.id, r.pid, x.id {from}");
    add("chain", "id STRING, pid STRING, third STRING", &query);
    later(&mut script, &within, [&l, &r], same);
    script
}

/// What comes after joins.
fn later(script: &mut String, within: &str, [l, r]: [&str; 2], same: &str) {
    *script += &format!(
        "CREATE VIEW everything AS SELECT rt FROM orders UNION ALL SELECT rt FROM pays;
         CREATE VIEW near AS SELECT l.rt AS l_rt, l.id FROM orders AS l JOIN pays AS r
           ON l.k = r.k AND {within};
         CREATE VIEW paired AS SELECT l.window_start, l.window_end, l.k, l.id, r.pid, r.n
           FROM {l} AS l JOIN {r} AS r ON l.k = r.k AND {same};
         CREATE TABLE all_rows (window_start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'clickhouse');
         CREATE TABLE near_counts (window_start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'clickhouse');
         CREATE TABLE best (k INT, id STRING, pid STRING) WITH ('connector' = 'clickhouse');
         INSERT INTO all_rows SELECT window_start, COUNT(*)
           FROM TABLE(TUMBLE(TABLE everything, DESCRIPTOR(rt), INTERVAL '10' SECOND))
           GROUP BY window_start, window_end;
         INSERT INTO near_counts SELECT window_start, COUNT(*)
           FROM TABLE(TUMBLE(TABLE near, DESCRIPTOR(l_rt), INTERVAL '10' SECOND))
           GROUP BY window_start, window_end;
         INSERT INTO best SELECT k, id, pid FROM (SELECT *, ROW_NUMBER() OVER (
             PARTITION BY window_start, window_end, k ORDER BY n DESC, id, pid) AS rn FROM paired)
           WHERE rn = 1;\n"
    );
}

fn plan(bounds: (i64, i64)) -> Arc<Plan> {
    planned(&script(bounds))
}

fn planned(text: &str) -> Arc<Plan> {
    plan_of("random_joins.sql", text).expect("a right pipeline")
}

/// A record.
#[derive(Debug, Clone)]
struct Row {
    id: String,
    k: Option<u64>,
    n: Option<u64>,
    items: Option<Vec<Option<u64>>>,
    ts: i64,
    is_broken: bool,
}

fn or_null(value: Option<u64>) -> String {
    value.map_or("null".into(), |value| value.to_string())
}

impl Row {
    fn record(&self, id: &str) -> Vec<u8> {
        let items = self.items.as_ref().map_or("null".into(), |items| {
            let items: Vec<String> = items.iter().copied().map(or_null).collect();
            format!("[{}]", items.join(","))
        });
        let (k, n) = (or_null(self.k), or_null(self.n));
        let ts = match self.is_broken {
            true => "\"soon\"".into(),
            false => self.ts.to_string(),
        };
        let name = &self.id;
        format!("{{\"{id}\":\"{name}\",\"k\":{k},\"n\":{n},\"items\":{items},\"ts\":{ts}}}")
            .into_bytes()
    }
}

type Partitions = Vec<Vec<Row>>;

/// Up to 40 records for each partition, in their order.
fn rows(random: &mut SplitMix, prefix: &str) -> Partitions {
    let mut partitions = vec![];
    for partition in 0..PARTITIONS {
        let mut now: i64 = -15_000;
        let mut records = vec![];
        for index in 0..below(random, 40) {
            now += 500 * below(random, 6) as i64;
            let back = match below(random, 8) {
                0 => 500 * below(random, 60),
                _ => 500 * below(random, 12),
            };
            let mut maybe = |bound: usize| {
                let value = below(random, bound + 1);
                (value < bound).then_some(value as u64)
            };
            let (k, n, items) = (maybe(3), maybe(6), maybe(4));
            let items = items.map(|count| (0..count).map(|_| maybe(3)).collect());
            records.push(Row {
                id: format!("{prefix}{partition}-{index}"),
                k,
                n,
                items,
                ts: now - back as i64 + i64::from(maybe(9).is_none()),
                is_broken: maybe(20).is_none(),
            });
        }
        partitions.push(records);
    }
    partitions
}

/// Feeds the records in random pieces, with random steps between.
fn fed(
    plan: &Arc<Plan>,
    mut rest: [Partitions; 2],
    random: &mut SplitMix,
) -> anyhow::Result<World> {
    let setup = Setup {
        parallelism: [1, 2, 3, 5][below(random, 4)],
        batch_rows: [1, 2, 7, 64, 1024][below(random, 5)],
        is_crashing: false,
    };
    let files = Files::default();
    let names = NAMES.iter().map(|(k, name)| {
        let k = or_null(*k);
        format!("{{\"k\":{k},\"name\":\"{name}\"}}")
    });
    files.put("names", &names.collect::<Vec<_>>());
    let mut world = World::open_with(plan.clone(), setup, files)?;
    while rest.iter().flatten().any(|rows| !rows.is_empty()) {
        let (topic, partition) = (below(random, 2), below(random, PARTITIONS));
        let of_partition = &mut rest[topic][partition];
        let count = (1 + below(random, 12)).min(of_partition.len());
        let (topic, id) = [("orders", "id"), ("pays", "pid")][topic];
        if count > 0 {
            let records = of_partition.drain(..count).map(|row| row.record(id));
            world.step(&Action::Input {
                topic: topic.into(),
                partition: u32::try_from(partition)?,
                records: records.collect(),
            })?;
        }
        world.random_step(random)?;
    }
    world.step(&Action::End)?;
    Ok(world)
}

/// What the tables hold, and the counters of the sources.
fn answers(world: &mut World, tables: &[&str]) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let nothing = || Expected {
        rows: vec![],
        lines: 0..0,
    };
    let mut answers = BTreeMap::new();
    for table in tables {
        let ask = Action::Query {
            sql: format!("SELECT * FROM {table}"),
            is_sorted: true,
            expected: nothing(),
        };
        let rows = world.step(&ask)?.unwrap_or_default();
        answers.insert((*table).to_owned(), rows);
    }
    for source in ["orders", "pays"] {
        let ask = Action::Counters {
            table: source.into(),
            expected: nothing(),
        };
        let counters = world.step(&ask)?.unwrap_or_default();
        answers.insert(format!("{source}_counters"), counters);
    }
    Ok(answers)
}

/// A row with the watermark of its partition before it.
struct Read<'a> {
    row: &'a Row,
    before: i64,
}

impl Read<'_> {
    /// Whether the partition had passed `time`.
    fn is_past(&self, time: i64) -> bool {
        self.before >= time
    }

    fn window(&self) -> i64 {
        self.row.ts.div_euclid(WINDOW_MS) * WINDOW_MS
    }

    fn misses_window(&self) -> bool {
        self.is_past(self.window() + WINDOW_MS - 1)
    }
}

/// What the rules say.
struct Model<'a> {
    sources: &'a [Partitions; 2],
    reads: [Vec<Read<'a>>; 2],
    bounds: (i64, i64),
}

fn reads(partitions: &Partitions) -> Vec<Read<'_>> {
    let mut reads = vec![];
    for rows in partitions {
        let mut before = i64::MIN;
        for row in rows.iter().filter(|row| !row.is_broken) {
            reads.push(Read { row, before });
            before = before.max(row.ts - DELAY_MS);
        }
    }
    reads
}

fn equal(left: Option<u64>, right: Option<u64>) -> bool {
    left.is_some() && left == right
}

/// Null is less than nothing.
fn less(left: Option<u64>, right: Option<u64>) -> bool {
    left.zip(right).is_some_and(|(left, right)| left < right)
}

impl<'a> Model<'a> {
    fn new(sources: &'a [Partitions; 2], bounds: (i64, i64)) -> Self {
        Self {
            reads: [reads(&sources[0]), reads(&sources[1])],
            sources,
            bounds,
        }
    }

    /// Rows of a side that are on time for a join of intervals.
    fn misses_interval(&self, side: usize, read: &Read<'_>) -> bool {
        let (lower, upper) = self.bounds;
        read.is_past(read.row.ts + [upper.max(0), (-lower).max(0)][side])
    }

    fn is_within(&self, left: &Row, right: &Row) -> bool {
        let apart = right.ts - left.ts;
        (self.bounds.0..=self.bounds.1).contains(&apart)
    }

    fn on_time(&self, side: usize, misses: impl Fn(&Read<'_>) -> bool) -> Vec<&Read<'a>> {
        let reads = self.reads[side].iter();
        reads.filter(|read| !misses(read)).collect()
    }

    fn windowed(&self) -> [Vec<&Read<'a>>; 2] {
        [0, 1].map(|side| self.on_time(side, |read| read.misses_window()))
    }

    fn near(&self) -> [Vec<&Read<'a>>; 2] {
        [0, 1].map(|side| self.on_time(side, |read| self.misses_interval(side, read)))
    }

    fn answers(&self) -> BTreeMap<String, Vec<String>> {
        let mut answers = BTreeMap::new();
        let mut add = |name: &str, mut rows: Vec<String>| {
            rows.sort();
            answers.insert(name.to_owned(), rows);
        };
        let (windowed, near) = (self.windowed(), self.near());
        let condition = |l: &Row, r: &Row| equal(l.k, r.k) && less(l.n, r.n);
        let in_window =
            |l: &Read<'_>, r: &Read<'_>| l.window() == r.window() && condition(l.row, r.row);
        let in_interval =
            |l: &Read<'_>, r: &Read<'_>| self.is_within(l.row, r.row) && condition(l.row, r.row);
        for kind in KINDS {
            add(&format!("w_{kind}"), joined(kind, &windowed, in_window));
            add(&format!("i_{kind}"), joined(kind, &near, in_interval));
        }
        let has = |l: &&&Read<'_>| windowed[1].iter().any(|r| in_window(l, r));
        let ids = |rows: Vec<&&Read<'_>>| rows.iter().map(|l| l.row.id.clone()).collect();
        add("w_semi", ids(windowed[0].iter().filter(has).collect()));
        add(
            "w_anti",
            ids(windowed[0].iter().filter(|l| !has(l)).collect()),
        );
        let leaves_open = |l: &&&Read<'_>| {
            let of_key = |r: &&&Read<'_>| l.window() == r.window() && equal(l.row.k, r.row.k);
            let equal_or_null =
                |r: &&Read<'_>| l.row.n.is_none() || r.row.n.is_none() || l.row.n == r.row.n;
            windowed[1].iter().filter(of_key).any(equal_or_null)
        };
        add(
            "w_not_in",
            ids(windowed[0].iter().filter(|l| !leaves_open(l)).collect()),
        );
        self.without_waiting(&mut add);
        self.after_joins(&mut add, &windowed, &near);
        add("orders_counters", self.counters(0));
        add("pays_counters", self.counters(1));
        answers
    }

    fn without_waiting(&self, add: &mut impl FnMut(&str, Vec<String>)) {
        let (mut left, mut looked_up, mut unnested) = (vec![], vec![], vec![]);
        for Read { row, .. } in &self.reads[0] {
            let id = &row.id;
            let before = left.len();
            for (k, name) in NAMES {
                if k == row.k && row.n > Some(2) {
                    left.push(format!("{id}  {name}"));
                }
                if equal(k, row.k) {
                    looked_up.push(format!("{id}  {name}"));
                }
            }
            if left.len() == before {
                left.push(format!("{id}  NULL"));
            }
            let items = row.items.iter().flatten().zip(1..);
            let rows = items.map(|(item, place)| {
                let item = item.map_or("NULL".into(), |item| item.to_string());
                format!("{id}  {item}  {place}")
            });
            unnested.extend(rows);
            if row.items.iter().flatten().next().is_none() {
                unnested.push(format!("{id}  NULL  NULL"));
            }
        }
        add("t_left", left);
        add("t_lookup", looked_up);
        add("unnested", unnested);
    }

    fn after_joins(
        &self,
        add: &mut impl FnMut(&str, Vec<String>),
        windowed: &[Vec<&Read<'a>>; 2],
        near: &[Vec<&Read<'a>>; 2],
    ) {
        let mut counts: [BTreeMap<i64, u64>; 2] = Default::default();
        for read in windowed.iter().flatten() {
            *counts[0].entry(read.window()).or_default() += 1;
        }
        let mut chain = vec![];
        let thirds = self.on_time(0, |read| read.is_past(read.row.ts));
        for l in &near[0] {
            let partners = near[1].iter().filter(|r| equal(l.row.k, r.row.k));
            for r in partners.filter(|r| self.is_within(l.row, r.row)) {
                *counts[1].entry(l.window()).or_default() += 1;
                let after = |x: &&&Read<'_>| (0..=CHAIN_MS).contains(&(x.row.ts - r.row.ts));
                let ends = thirds.iter().filter(|x| equal(x.row.n, r.row.n));
                let ends = ends.filter(after).map(|x| &x.row.id);
                chain.extend(ends.map(|x| format!("{}  {}  {x}", l.row.id, r.row.id)));
            }
        }
        add("chain", chain);
        let [all, pairs] = counts.map(|counts| {
            let counts = counts.iter();
            counts
                .map(|(start, n)| format!("{}  {n}", time_text(*start)))
                .collect()
        });
        add("all_rows", all);
        add("near_counts", pairs);
        // Null is the least, so the last in descending order.
        let mut best = BTreeMap::new();
        for l in &windowed[0] {
            let partners = windowed[1].iter().filter(|r| equal(l.row.k, r.row.k));
            for r in partners.filter(|r| l.window() == r.window()) {
                let rank = (std::cmp::Reverse(r.row.n), &l.row.id, &r.row.id);
                let known = best.entry((l.window(), l.row.k)).or_insert(rank);
                *known = rank.min(*known);
            }
        }
        let best = best.iter().map(|((_, k), (_, id, pid))| {
            let k = k.expect("null equals nothing");
            format!("{k}  {id}  {pid}")
        });
        add("best", best.collect());
    }

    fn counters(&self, side: usize) -> Vec<String> {
        let read = self.sources[side].iter().flatten().count();
        let undecodable = read - self.reads[side].len();
        let is_late = |read: &&Read<'_>| {
            let as_third = side == 0 && read.is_past(read.row.ts);
            read.misses_window() || self.misses_interval(side, read) || as_third
        };
        let late: BTreeSet<&str> = self.reads[side]
            .iter()
            .filter(is_late)
            .map(|read| read.row.id.as_str())
            .collect();
        let (late, on_time) = (late.len(), read - undecodable - late.len());
        vec![format!(
            "read {read}  on_time {on_time}  late {late}  undecodable {undecodable}"
        )]
    }
}

/// Pairs, and rows without a partner where the kind keeps them.
fn joined(
    kind: &str,
    [left, right]: &[Vec<&Read<'_>>; 2],
    matches: impl Fn(&Read<'_>, &Read<'_>) -> bool,
) -> Vec<String> {
    let mut rows = vec![];
    for l in left {
        let partners: Vec<_> = right.iter().filter(|r| matches(l, r)).collect();
        if partners.is_empty() && ["left", "full"].contains(&kind) {
            rows.push(format!("{}  NULL", l.row.id));
        }
        rows.extend(
            partners
                .iter()
                .map(|r| format!("{}  {}", l.row.id, r.row.id)),
        );
    }
    if ["right", "full"].contains(&kind) {
        let alone = right.iter().filter(|r| !left.iter().any(|l| matches(l, r)));
        rows.extend(alone.map(|r| format!("NULL  {}", r.row.id)));
    }
    rows
}

/// A time within a day of 1970-01-01, to the second.
fn time_text(ms: i64) -> String {
    assert_eq!(ms.rem_euclid(1_000), 0);
    let seconds = ms.div_euclid(1_000);
    let day = if seconds < 0 {
        "1969-12-31"
    } else {
        "1970-01-01"
    };
    let second = seconds.rem_euclid(86_400);
    format!(
        "{day} {:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}
