//! The pipelines: each query with the table that it fills and the loop that says what must be in it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::input::Input;
use super::oracle::{self, Answer};

/// A query.
#[derive(Debug)]
pub struct Query {
    /// Name of the table that it fills.
    pub name: &'static str,
    /// The columns, as they are declared.
    pub columns: &'static str,
    /// The primary key, for tables that have one.
    pub key: &'static str,
    /// What it reads.
    pub sources: &'static [&'static str],
    /// The SELECT.
    pub select: &'static str,
    /// Whether it is asked with an allowed lateness too.
    pub takes_late_rows: bool,
    /// What must come out, with an allowed lateness in ms.
    pub answer: fn(&Input, i64) -> Answer,
}

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// A hot table that rows are appended to.
    Table,
    /// A hot table with a primary key.
    KeyedTable,
    /// A topic of the log.
    Topic,
    /// A table of a service far away.
    Remote,
    /// A table of the lake.
    Lake,
}

/// All queries.
pub const QUERIES: [Query; 13] = [
    Query {
        name: "per_key",
        columns: "window_start TIMESTAMP(3), k STRING, n BIGINT, total BIGINT, users BIGINT",
        key: "window_start, k",
        sources: &["clicks"],
        select: "SELECT window_start, k, COUNT(*), SUM(v), COUNT(DISTINCT u)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(rt), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k",
        takes_late_rows: true,
        answer: oracle::per_key,
    },
    Query {
        name: "hops",
        columns: "window_end TIMESTAMP(3), k STRING, n BIGINT, most BIGINT",
        key: "window_end, k",
        sources: &["clicks"],
        select: "SELECT window_end, k, COUNT(*), MAX(v)
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(rt), INTERVAL '5' SECOND, INTERVAL '15' SECOND))
GROUP BY window_start, window_end, k",
        takes_late_rows: true,
        answer: oracle::hop,
    },
    Query {
        name: "cumulated",
        columns: "window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT, total BIGINT",
        key: "window_end",
        sources: &["clicks"],
        select: "SELECT window_start, window_end, COUNT(*), SUM(v)
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(rt), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end",
        takes_late_rows: true,
        answer: oracle::cumulate,
    },
    Query {
        name: "minutes",
        columns: "window_start TIMESTAMP(3), users BIGINT, least BIGINT",
        key: "window_start",
        sources: &["clicks"],
        select: "SELECT window_start, COUNT(DISTINCT u), MIN(v)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(rt), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end",
        takes_late_rows: true,
        answer: oracle::minutes,
    },
    Query {
        name: "best",
        columns: "window_start TIMESTAMP(3), u STRING, n BIGINT, place BIGINT",
        key: "window_start, place",
        sources: &["clicks"],
        select: "SELECT window_start, u, n, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, u ASC) AS place
  FROM (SELECT window_start, window_end, u, COUNT(*) AS n
    FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(rt), INTERVAL '10' SECOND))
    GROUP BY window_start, window_end, u))
WHERE place <= 2",
        takes_late_rows: false,
        answer: oracle::best,
    },
    Query {
        name: "cascade",
        columns: "window_start TIMESTAMP(3), k STRING, n BIGINT, windows BIGINT",
        key: "window_start, k",
        sources: &["clicks"],
        select: "SELECT window_start, k, SUM(n), COUNT(*)
FROM TABLE(TUMBLE(TABLE tens, DESCRIPTOR(rt), INTERVAL '30' SECOND))
GROUP BY window_start, window_end, k",
        takes_late_rows: false,
        answer: oracle::cascade,
    },
    Query {
        name: "copies",
        columns: "seq BIGINT, k STRING",
        key: "seq",
        sources: &["clicks"],
        select: "SELECT seq, k FROM clicks WHERE MOD(v, 3) <> 0",
        takes_late_rows: true,
        answer: oracle::copy,
    },
    Query {
        name: "first_in_window",
        columns: "window_start TIMESTAMP(3), u STRING, seq BIGINT",
        key: "window_start, u",
        sources: &["clicks"],
        select: "SELECT window_start, u, seq FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, u ORDER BY rt ASC) AS place
  FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(rt), INTERVAL '10' SECOND)))
WHERE place = 1",
        takes_late_rows: false,
        answer: oracle::first_in_window,
    },
    Query {
        name: "sessions",
        columns: "window_start TIMESTAMP(3), window_end TIMESTAMP(3), k STRING, n BIGINT, total BIGINT",
        key: "window_start, k",
        sources: &["orders"],
        select: "SELECT window_start, window_end, k, COUNT(*), SUM(v)
FROM TABLE(SESSION(TABLE orders PARTITION BY k, DESCRIPTOR(rt), INTERVAL '4' SECOND))
GROUP BY window_start, window_end, k",
        takes_late_rows: false,
        answer: oracle::sessions,
    },
    Query {
        name: "running",
        columns: "seq BIGINT, total BIGINT, recent BIGINT",
        key: "seq",
        sources: &["orders"],
        select: "SELECT seq,
  SUM(v) OVER (PARTITION BY k ORDER BY rt ROWS BETWEEN 2 PRECEDING AND CURRENT ROW),
  COUNT(*) OVER (PARTITION BY k ORDER BY rt RANGE BETWEEN INTERVAL '5' SECOND PRECEDING AND CURRENT ROW)
FROM orders",
        takes_late_rows: false,
        answer: oracle::over,
    },
    Query {
        name: "firsts",
        columns: "u STRING, seq BIGINT",
        key: "u",
        sources: &["orders"],
        select: "SELECT u, seq FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY rt ASC) AS place FROM orders)
WHERE place = 1",
        takes_late_rows: false,
        answer: oracle::first,
    },
    Query {
        name: "paid",
        columns: "order_seq BIGINT, pay_seq BIGINT",
        key: "order_seq, pay_seq",
        sources: &["orders", "pays"],
        select: "SELECT o.seq, p.seq FROM orders AS o JOIN pays AS p
ON o.k = p.k AND p.rt BETWEEN o.rt - INTERVAL '1' SECOND AND o.rt + INTERVAL '2' SECOND",
        takes_late_rows: false,
        answer: oracle::interval_join,
    },
    Query {
        name: "together",
        columns: "order_seq BIGINT, pay_seq BIGINT",
        key: "order_seq, pay_seq",
        sources: &["orders", "pays"],
        select: "SELECT l.seq, r.seq
FROM (SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(rt), INTERVAL '10' SECOND))) AS l
JOIN (SELECT * FROM TABLE(TUMBLE(TABLE pays, DESCRIPTOR(rt), INTERVAL '10' SECOND))) AS r
ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end",
        takes_late_rows: false,
        answer: oracle::window_join,
    },
];

const VIEW: &str = "CREATE TEMPORARY VIEW tens AS
SELECT window_time AS rt, k, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(rt), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, window_time, k;

";

/// A pipeline: which queries, where their rows go, and what they read.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Positions in [`QUERIES`], and the sinks.
    pub queries: Vec<(usize, SinkKind)>,
    /// Whether tables are read from a service far away, not from the topic log; then late rows and
    /// dead letters go there too.
    pub is_remote: bool,
    /// Partitions of each table.
    pub partitions: usize,
    /// How far watermarks stay behind.
    pub delay_ms: i64,
    /// Allowed lateness of `clicks`.
    pub lateness_ms: i64,
}

impl Pipeline {
    /// The queries.
    pub fn queries(&self) -> impl Iterator<Item = (&'static Query, SinkKind)> {
        let queries = self.queries.iter();
        queries.map(|(query, sink)| (&QUERIES[*query], *sink))
    }

    /// What is read.
    pub fn sources(&self) -> BTreeSet<&'static str> {
        let queries = self.queries();
        queries
            .flat_map(|(query, _)| query.sources)
            .copied()
            .collect()
    }

    /// The pipeline's file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut push = |more: String| text.write_str(&more).expect("text can always grow");
        if self.queries().any(|(query, _)| query.name == "firsts") {
            // What would be kept for ever is refused; the input is of a day.
            push("SET 'table.exec.state.ttl' = '1 d';\n".into());
        }
        for source in self.sources() {
            push(self.source(source));
        }
        if self.queries().any(|(query, _)| query.name == "cascade") {
            push(VIEW.into());
        }
        for (query, sink) in self.queries() {
            let Query {
                name, columns, key, ..
            } = query;
            let key = match sink {
                SinkKind::KeyedTable => format!(", PRIMARY KEY ({key}) NOT ENFORCED"),
                _ => String::new(),
            };
            let options = match sink {
                SinkKind::Table | SinkKind::KeyedTable => "'connector' = 'clickhouse'".into(),
                SinkKind::Topic => format!(
                    "'connector' = 'kafka', 'topic' = '{name}', 'format' = 'json', \
                     'topic.partitions' = '2'"
                ),
                SinkKind::Remote => "'connector' = 'remote', 'format' = 'json'".to_owned(),
                // Small enough that some commits are due by size, some by age.
                SinkKind::Lake => "'connector' = 'iceberg', 'commit.target-size' = '4 kb', \
                                   'commit.max-age' = '2 s', 'history.expire.max-snapshot-age-ms' = '3000', \
                                   'history.expire.min-snapshots-to-keep' = '2'"
                    .to_owned(),
            };
            push(format!(
                "CREATE TABLE {name} ({columns}{key}) WITH ({options});\n"
            ));
            push(format!("INSERT INTO {name}\n{};\n\n", query.select));
        }
        text
    }

    fn source(&self, name: &str) -> String {
        let (delay, partitions) = (self.delay_ms, self.partitions);
        let mut text = String::new();
        let mut push = |more: String| text.write_str(&more).expect("text can always grow");
        if name == "clicks" && self.lateness_ms > 0 {
            let lateness = self.lateness_ms;
            push(format!(
                "SET 'millstream.clicks.allowed-lateness' = '{lateness} ms';\n"
            ));
        }
        let options = match self.is_remote {
            true => "'connector' = 'remote', 'format' = 'json'".into(),
            false => format!(
                "'connector' = 'kafka', 'topic' = '{name}', 'format' = 'json', \
                 'topic.partitions' = '{partitions}'"
            ),
        };
        if self.is_remote {
            push(format!(
                "SET 'millstream.{name}.late-events' = '{name}_late';\n"
            ));
            push(format!(
                "SET 'millstream.{name}.dead-letters' = '{name}_dead';\n"
            ));
        }
        push(format!(
            "CREATE TABLE {name} (seq BIGINT, k STRING, u STRING, v BIGINT, ts BIGINT,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '{}.{:03}' SECOND
) WITH ({options});\n",
            delay / 1_000,
            delay % 1_000
        ));
        if self.is_remote {
            push(format!(
                "CREATE TABLE {name}_late (seq BIGINT, late_for STRING) WITH ('connector' = 'remote', 'format' = 'json');
CREATE TABLE {name}_dead (split STRING, `offset` BIGINT) WITH ('connector' = 'remote', 'format' = 'json');\n"
            ));
        }
        text
    }
}
