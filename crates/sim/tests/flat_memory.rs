//! What operators remember does not grow with time: each kind of operator with state is fed ten hours of
//! event time, with keys that come and go, and holds in the tenth hour what it held in the second.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_connectors::CATALOG;
use millstream_core::plan::Plan;
use millstream_sim::env::SplitMix;
use millstream_sim::slt::script::Action;
use millstream_sim::slt::world::{Setup, World};

const SOURCES: &str = "
SET 'table.exec.state.ttl' = '20 min';
CREATE TABLE a (k STRING, n INT, x DOUBLE, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR rt AS rt - INTERVAL '10' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json', 'topic.partitions' = '2');
CREATE TABLE b (k STRING, n INT, x DOUBLE, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR rt AS rt - INTERVAL '10' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json', 'topic.partitions' = '2');
CREATE TABLE out (n BIGINT) WITH ('connector' = 'blackhole');
CREATE VIEW aw AS SELECT * FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(rt), INTERVAL '5' MINUTE));
CREATE VIEW bw AS SELECT * FROM TABLE(TUMBLE(TABLE b, DESCRIPTOR(rt), INTERVAL '5' MINUTE));
CREATE VIEW ases AS SELECT window_start, window_end, k, COUNT(*) AS n
  FROM TABLE(SESSION(TABLE a PARTITION BY k, DESCRIPTOR(rt), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end, k;
CREATE VIEW bses AS SELECT window_start, window_end, k, COUNT(*) AS n
  FROM TABLE(SESSION(TABLE b PARTITION BY k, DESCRIPTOR(rt), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end, k;
CREATE VIEW near AS SELECT a.rt AS a_rt, a.k, b.n FROM a JOIN b
  ON a.k = b.k AND b.rt BETWEEN a.rt - INTERVAL '5' MINUTE AND a.rt + INTERVAL '10' MINUTE;
CREATE VIEW everything AS SELECT k, n, rt FROM a UNION ALL SELECT k, n, rt FROM b;
";

/// Queries, each with an operator that remembers something.
const QUERIES: [(&str, &str); 20] = [
    (
        "tumble",
        "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(rt), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, k",
    ),
    (
        "hop",
        "SELECT SUM(n) FROM TABLE(HOP(TABLE a, DESCRIPTOR(rt), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, k",
    ),
    (
        "cumulate",
        "SELECT MAX(n) FROM TABLE(CUMULATE(TABLE a, DESCRIPTOR(rt), INTERVAL '1' MINUTE, INTERVAL '20' MINUTE)) GROUP BY window_start, window_end, k",
    ),
    (
        "distinct",
        "SELECT COUNT(DISTINCT k) FROM TABLE(HOP(TABLE a, DESCRIPTOR(rt), INTERVAL '5' MINUTE, INTERVAL '20' MINUTE)) GROUP BY window_start, window_end",
    ),
    (
        "lists",
        "SELECT CARDINALITY(ARRAY_AGG(k)) FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(rt), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, n",
    ),
    ("session", "SELECT n FROM ases"),
    (
        "session_of_all",
        "SELECT COUNT(*) FROM TABLE(SESSION(TABLE b, DESCRIPTOR(rt), INTERVAL '2' SECOND)) GROUP BY window_start, window_end",
    ),
    (
        "over_rows",
        "SELECT SUM(n) OVER (PARTITION BY k ORDER BY rt ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) FROM a",
    ),
    (
        "over_doubles",
        "SELECT CAST(SUM(x) OVER (PARTITION BY k ORDER BY rt ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS BIGINT) FROM b",
    ),
    (
        "over_range",
        "SELECT MIN(n) OVER (PARTITION BY k ORDER BY rt RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW) FROM a",
    ),
    (
        "over_unbounded",
        "SELECT COUNT(n) OVER (PARTITION BY k ORDER BY rt) FROM b",
    ),
    (
        "lag",
        "SELECT LAG(n, 2) OVER (PARTITION BY k ORDER BY rt) FROM a",
    ),
    (
        "first_of_key",
        "SELECT n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY rt) AS rn FROM a) WHERE rn = 1",
    ),
    (
        "top_n",
        "SELECT n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS rn FROM aw) WHERE rn <= 5",
    ),
    (
        "last_of_window",
        "SELECT n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY rt DESC) AS rn FROM bw) WHERE rn = 1",
    ),
    (
        "window_join",
        "SELECT l.n FROM aw AS l FULL JOIN bw AS r ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end",
    ),
    (
        "session_join",
        "SELECT l.n FROM ases AS l LEFT JOIN bses AS r ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end",
    ),
    (
        "interval_join",
        "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE near, DESCRIPTOR(a_rt), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end",
    ),
    (
        "outer_interval_join",
        "SELECT b.n FROM a FULL JOIN b ON a.k = b.k AND a.n < b.n AND b.rt BETWEEN a.rt AND a.rt + INTERVAL '5' MINUTE",
    ),
    (
        "union",
        "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE everything, DESCRIPTOR(rt), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end, k",
    ),
];

/// Bytes that an operator may hold more: sessions keep up to 4,096 numbers of groups that are over before
/// they pack the others, in each shard. Three bytes that stay of each row would be more.
const SLACK: u64 = 140_000;
const HOURS: i64 = 10;
const ROWS_A_MINUTE: u64 = 12;
/// Minutes of event time between two checkpoints.
const EPOCH: i64 = 4;

fn plan() -> Arc<Plan> {
    let none = BTreeMap::new();
    let queries = QUERIES
        .iter()
        .map(|(_, query)| format!("INSERT INTO out {query};\n"));
    let text = SOURCES.to_owned() + &queries.collect::<String>();
    let script = millstream_sql::Script {
        file: "flat_memory.sql",
        text: &text,
        variables: &none,
        settings: &none,
    };
    match millstream_sql::plan(&script, &CATALOG) {
        Ok(plan) => Arc::new(plan),
        Err(error) => panic!("{error}"),
    }
}

/// Rows of a minute: of keys that are new, and that are not seen again after half an hour.
fn minute(minute: i64, random: &mut SplitMix) -> Vec<Vec<u8>> {
    let rows = (0..ROWS_A_MINUTE).map(|row| {
        let mut below = |bound: u64| i64::try_from(random.below(bound)).expect("small");
        let key = minute - below(30);
        let (n, back) = (below(100), below(8_000));
        let at = i64::try_from(row * 60_000 / ROWS_A_MINUTE).expect("small");
        let ts = minute * 60_000 + at - back;
        format!("{{\"k\":\"k{key}\",\"n\":{n},\"x\":0.{n},\"ts\":{ts}}}").into_bytes()
    });
    rows.collect()
}

/// The most that was held in an hour: bytes by operator, and bytes of all checkpoints.
#[derive(Default)]
struct Most {
    operators: BTreeMap<String, u64>,
    checkpoint: u64,
}

impl Most {
    fn see(&mut self, world: &mut World) {
        let status = world.status();
        for operator in &status.operators {
            let name = format!("node {}: {}", operator.node, operator.description);
            let most = self.operators.entry(name).or_default();
            *most = operator.state_bytes.max(*most);
        }
        self.checkpoint = status.checkpoint_bytes.max(self.checkpoint);
    }
}

#[test]
fn ten_hours_take_no_more_memory_than_two() -> anyhow::Result<()> {
    let setup = Setup {
        parallelism: 2,
        batch_rows: 64,
        is_crashing: false,
    };
    let mut world = World::open(plan(), setup)?;
    let mut random = SplitMix::new(1);
    let (mut second, mut last) = (Most::default(), Most::default());
    for at in 0..HOURS * 60 {
        for topic in ["a", "b"] {
            let action = Action::Input {
                topic: topic.into(),
                partition: u32::try_from(at % 2)?,
                records: minute(at, &mut random),
            };
            world.step(&action)?;
        }
        if at % EPOCH != 0 {
            continue;
        }
        world.step(&Action::Checkpoint)?;
        match at / 60 {
            1 => second.see(&mut world),
            hour if hour == HOURS - 1 => last.see(&mut world),
            _ => {}
        }
    }
    let with_state = last.operators.values().filter(|bytes| **bytes > 0).count();
    assert!(
        with_state >= QUERIES.len(),
        "{with_state} operators remember something"
    );
    for (name, bytes) in &last.operators {
        let before = second.operators[name];
        assert!(
            *bytes <= before * 3 / 2 + SLACK,
            "{name}: {before} bytes, then {bytes}"
        );
    }
    let (before, now) = (second.checkpoint, last.checkpoint);
    assert!(now <= before * 2, "checkpoints: {before} bytes, then {now}");
    Ok(())
}
