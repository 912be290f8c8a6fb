//! Questions as text, answers as text, over tables made here.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use millstream_connectors::hot_table::{self, HotTables, TableDefinition, TableName};
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, SinkPlan, SinkRole};
use millstream_core::sink::SinkContext;
use millstream_core::storage::Storage;
use millstream_core::{Epoch, ErrorKind, Incarnation, Result, ShardIndex, SinkId};
use tokio::runtime::Builder;

use super::{QueryEngine, QueryError, QueryLimits, QueryResult, to_csv, to_json, to_table_text};

const LIMITS: QueryLimits = QueryLimits {
    rows_max: 1000,
    timeout: Duration::from_secs(30),
    memory_bytes: 64 << 20,
};

/// 2025-06-15 15:00:00.
const START_MS: i64 = 1_749_999_600_000;

/// Rows of `rt.page_minute_agg`: for each of `minutes`, two pages.
fn minutes(minutes: std::ops::Range<i64>) -> RecordBatch {
    let twice = || minutes.clone().flat_map(|minute| [minute, minute]);
    let start: TimestampMillisecondArray = twice()
        .map(|minute| Some(START_MS + minute * 60_000))
        .collect();
    let pages: StringArray = minutes
        .clone()
        .flat_map(|_| [Some("/home"), Some("/Cart")])
        .collect();
    let views: Int64Array = twice()
        .enumerate()
        .map(|(i, m)| Some(m * 10 + i as i64 % 2))
        .collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("window_start", Arc::new(start)),
        ("page", Arc::new(pages)),
        ("views", Arc::new(views)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, a)| (n, a, true))).unwrap()
}

/// Commits each batch as an epoch, that is as a part.
fn write(tables: &Arc<HotTables>, name: &str, primary_key: &[usize], parts: &[RecordBatch]) {
    let plan = SinkPlan {
        id: SinkId(0),
        table: name.into(),
        connector: ConnectorConfig {
            connector: "clickhouse".into(),
            options: [].into(),
        },
        schema: parts[0].schema(),
        primary_key: primary_key.to_vec(),
        role: SinkRole::Results,
    };
    let sink = hot_table::sink(tables, &plan).unwrap();
    let context = SinkContext {
        pipeline: "p".into(),
        incarnation: Incarnation(0),
        sink: name.into(),
        run: Epoch(1),
    };
    for (epoch, rows) in parts.iter().enumerate() {
        let epoch = Epoch(epoch as u64 + 1);
        let mut writer = sink.writer(&context, ShardIndex(0)).unwrap();
        writer.write(rows).unwrap();
        let mut prepared = writer.prepare(epoch).unwrap().unwrap();
        for file in &mut prepared.files {
            file.sync().unwrap();
        }
        sink.commit(&context, epoch, &[prepared.staged]).unwrap();
    }
}

/// Four hours of minutes in four parts, read from files.
fn storage() -> MemoryStorage {
    let storage = MemoryStorage::default();
    let tables = HotTables::open(Arc::new(storage.clone())).unwrap();
    let hours: Vec<RecordBatch> = (0..4)
        .map(|hour| minutes(hour * 60..hour * 60 + 60))
        .collect();
    write(&tables, "rt.page_minute_agg", &[0, 1], &hours);
    let odd: [(&str, ArrayRef); 2] = [
        ("Select", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.5), None]))),
    ];
    let odd = RecordBatch::try_from_iter_with_nullable(odd.map(|(n, a)| (n, a, true))).unwrap();
    write(&tables, "Odd", &[], std::slice::from_ref(&odd));
    write(&tables, "a.twice", &[], std::slice::from_ref(&odd));
    write(&tables, "b.twice", &[], &[odd]);
    storage
}

fn engine(limits: QueryLimits) -> QueryEngine {
    QueryEngine::new(HotTables::open(Arc::new(storage())).unwrap(), None, limits).unwrap()
}

fn ask(engine: &QueryEngine, sql: &str) -> Result<QueryResult> {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    match runtime.block_on(engine.query(sql)) {
        Ok(result) => Ok(result),
        Err(QueryError::Failed(error)) => Err(error),
        Err(late @ QueryError::TimedOut(_)) => panic!("{late}"),
    }
}

fn text(sql: &str) -> String {
    to_table_text(&ask(&engine(LIMITS), sql).unwrap()).unwrap()
}

/// The answer as CSV.
fn check(sql: &str, expected: &[&str]) {
    let result = ask(&engine(LIMITS), sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let answer = to_csv(&result).unwrap();
    assert_eq!(answer.lines().collect::<Vec<_>>(), expected, "{sql}");
}

fn check_error(sql: &str, expected: &str) {
    let error = ask(&engine(LIMITS), sql)
        .err()
        .unwrap_or_else(|| panic!("{sql} was answered"));
    assert_eq!(error.to_string(), expected, "{sql}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sql}");
}

#[test]
fn rows_are_filtered_grouped_and_ordered() {
    check(
        "SELECT page, SUM(views) AS views, COUNT(*) AS n FROM page_minute_agg \
         WHERE window_start >= '2025-06-15 15:01:00' AND window_start < '2025-06-15 15:03:00' \
         GROUP BY page ORDER BY views DESC",
        &["page,views,n", "/Cart,32,2", "/home,30,2"],
    );
    check(
        "SELECT COUNT(*) FROM rt.page_minute_agg",
        &["count(*)", "480"],
    );
    check(
        "WITH best AS (SELECT page, MAX(views) AS views FROM page_minute_agg GROUP BY page) \
         SELECT a.window_start, best.* FROM best JOIN page_minute_agg AS a \
         ON a.page = best.page AND a.views = best.views ORDER BY page",
        &[
            "window_start,page,views",
            "2025-06-15 18:59:00,/Cart,2391",
            "2025-06-15 18:59:00,/home,2390",
        ],
    );
    check(
        "SELECT views FROM page_minute_agg WHERE page = '/home' ORDER BY 1 LIMIT 2 OFFSET 1;",
        &["views", "10", "20"],
    );
}

#[test]
fn names_keep_their_case_and_can_be_quoted_both_ways() {
    check(
        "SELECT `Select`, \"x\" FROM Odd",
        &["Select,x", "1,0.5", ","],
    );
    check(
        "SELECT SUM(`Select`) AS Total FROM `default`.`Odd`",
        &["Total", "1"],
    );
    check("SELECT COUNT(*) AS n FROM millstream.a.twice", &["n", "2"]);
    check(
        "SELECT count(*) AS n, Max(x) AS m FROM a.twice",
        &["n,m", "2,0.5"],
    );
}

#[test]
fn flinks_functions_can_be_used() {
    check(
        "SELECT DATE_FORMAT(MAX(window_start), 'HH:mm') AS t FROM page_minute_agg",
        &["t", "18:59"],
    );
    check("SELECT CAST(1 AS STRING) || 'x' AS s", &["s", "1x"]);
}

#[test]
fn now_is_one_moment_within_a_query() {
    check(
        "SELECT NOW() = CURRENT_TIMESTAMP AS same, NOW() > TIMESTAMP '2025-01-01 00:00:00' AS \
         later, CURRENT_DATE = CAST(NOW() AS DATE) AS today, COUNT(DISTINCT NOW()) AS moments \
         FROM page_minute_agg",
        &["same,later,today,moments", "true,true,true,1"],
    );
    check(
        "SELECT COUNT(*) AS n FROM page_minute_agg WHERE window_start > NOW()",
        &["n", "0"],
    );
}

#[test]
fn tables_can_be_listed_and_described() {
    let expected = "\
+----------+-----------------+------+
| database | table           | rows |
+----------+-----------------+------+
| a        | twice           | 2    |
| b        | twice           | 2    |
| default  | Odd             | 2    |
| rt       | page_minute_agg | 480  |
+----------+-----------------+------+
4 rows
";
    let mut tables = ask(&engine(LIMITS), "SHOW TABLES").unwrap();
    let projected = tables.batches[0].project(&[0, 1, 2]).unwrap();
    tables.schema = projected.schema();
    tables.batches = vec![projected];
    assert_eq!(to_table_text(&tables).unwrap(), expected);
    let expected = "\
+--------------+--------------+-------------+
| column       | type         | key         |
+--------------+--------------+-------------+
| window_start | TIMESTAMP(3) | primary key |
| page         | STRING       | primary key |
| views        | BIGINT       |             |
+--------------+--------------+-------------+
3 rows
";
    assert_eq!(text("DESCRIBE page_minute_agg"), expected);
    assert_eq!(text("DESC rt.page_minute_agg"), expected);
}

#[test]
fn answers_are_text_json_and_csv() {
    let sql = "SELECT window_start, CAST(window_start AS TIMESTAMP WITH TIME ZONE) AS at, page, \
               NULLIF(views, 0) AS views, views / 4.0 AS quarter FROM page_minute_agg \
               WHERE window_start = TIMESTAMP '2025-06-15 15:00:00' ORDER BY page DESC";
    let result = ask(&engine(LIMITS), sql).unwrap();
    let expected = "\
+---------------------+----------------------+-------+-------+---------+
| window_start        | at                   | page  | views | quarter |
+---------------------+----------------------+-------+-------+---------+
| 2025-06-15 15:00:00 | 2025-06-15 15:00:00Z | /home | NULL  | 0.0     |
| 2025-06-15 15:00:00 | 2025-06-15 15:00:00Z | /Cart | 1     | 0.25    |
+---------------------+----------------------+-------+-------+---------+
2 rows
";
    assert_eq!(to_table_text(&result).unwrap(), expected);
    let expected = concat!(
        r#"[{"window_start":"2025-06-15 15:00:00","at":"2025-06-15 15:00:00Z","page":"/home","#,
        r#""views":null,"quarter":0.0},"#,
        r#"{"window_start":"2025-06-15 15:00:00","at":"2025-06-15 15:00:00Z","page":"/Cart","#,
        r#""views":1,"quarter":0.25}]"#,
    );
    assert_eq!(to_json(&result).unwrap(), expected);
    let expected = "window_start,at,page,views,quarter\n\
                    2025-06-15 15:00:00,2025-06-15 15:00:00Z,/home,,0.0\n\
                    2025-06-15 15:00:00,2025-06-15 15:00:00Z,/Cart,1,0.25\n";
    assert_eq!(to_csv(&result).unwrap(), expected);

    let none = ask(
        &engine(LIMITS),
        "SELECT page FROM page_minute_agg WHERE views < 0",
    )
    .unwrap();
    assert_eq!(
        to_table_text(&none).unwrap(),
        "+------+\n| page |\n+------+\n+------+\n0 rows\n"
    );
    assert_eq!(
        (
            to_json(&none).unwrap().as_str(),
            to_csv(&none).unwrap().as_str()
        ),
        ("[]", "page\n")
    );
}

#[test]
fn infinity_is_spelled_as_in_sql() {
    let sql = "SELECT x, CAST(x AS FLOAT) AS f FROM (VALUES (CAST('Infinity' AS DOUBLE)), \
               (CAST('-Infinity' AS DOUBLE)), (CAST('NaN' AS DOUBLE)), (1.5), (NULL)) AS t(x)";
    let lines = [
        "x,f",
        "Infinity,Infinity",
        "-Infinity,-Infinity",
        "NaN,NaN",
        "1.5,1.5",
        ",",
    ];
    check(sql, &lines);
    let table = text(sql);
    assert!(table.contains("| -Infinity | -Infinity |"), "{table}");
}

#[test]
fn results_have_flinks_types() {
    let sql = "SELECT ROW_NUMBER() OVER (ORDER BY x) AS n, NULL \
               AS nothing, INTERVAL '1' DAY AS i, \
               make_array('c') AS l FROM Odd LIMIT 1";
    let result = ask(&engine(LIMITS), sql).unwrap();
    let types: Vec<String> = result
        .schema
        .fields()
        .iter()
        .map(|field| millstream_core::types::sql_name(field.data_type()))
        .collect();
    assert_eq!(types, ["BIGINT", "STRING", "STRING", "ARRAY<STRING>"]);
    assert_eq!(
        to_json(&result).unwrap(),
        r#"[{"n":1,"nothing":null,"i":"1 days","l":["c"]}]"#
    );
}

#[test]
fn parts_and_row_groups_that_cannot_match_are_not_read() {
    let plan = |filter: &str| {
        let sql = format!("EXPLAIN ANALYZE SELECT SUM(views) FROM page_minute_agg {filter}");
        text(&sql)
    };
    let read = |filter: &str| {
        let plan = plan(filter);
        let line = plan
            .lines()
            .find(|line| line.contains("HotTableExec"))
            .expect("a scan");
        let parts = line
            .split("parts=")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        parts.to_owned()
    };
    assert_eq!(read(""), "4 of 4");
    assert_eq!(
        read("WHERE window_start >= '2025-06-15 18:00:00'"),
        "1 of 4"
    );
    assert_eq!(
        read("WHERE window_start >= TIMESTAMP '2025-06-15 17:59:00'"),
        "2 of 4"
    );
    assert_eq!(read("WHERE views IN (5, 2391)"), "2 of 4");
    assert_eq!(read("WHERE page > 'x'"), "0 of 4");
    assert_eq!(read("WHERE page LIKE '/ho%' AND views < 100"), "1 of 4");
    assert_eq!(read("WHERE page IS NULL"), "0 of 4");
    let plan = plan("WHERE views > 2389");
    assert!(plan.contains("row_groups_read=1"), "{plan}");
    assert!(plan.contains("columns=[views]"), "{plan}");
}

#[test]
fn a_count_of_everything_reads_nothing() {
    let plan = text("EXPLAIN SELECT COUNT(*) FROM page_minute_agg");
    assert!(!plan.contains("HotTableExec"), "{plan}");
    check(
        "SELECT COUNT(*) AS n FROM page_minute_agg WHERE page = '/home'",
        &["n", "240"],
    );
}

#[test]
fn a_limit_stops_the_scan() {
    let plan = text("EXPLAIN SELECT * FROM page_minute_agg LIMIT 3");
    assert!(plan.contains("limit=3"), "{plan}");
    check(
        "SELECT COUNT(*) AS n FROM (SELECT * FROM page_minute_agg LIMIT 3)",
        &["n", "3"],
    );
    check(
        "SELECT page FROM page_minute_agg WHERE views = 2391 LIMIT 3",
        &["page", "/Cart"],
    );
}

#[test]
fn what_is_wrong_is_said() {
    check_error(
        "SELECT * FROM page_minute_ag",
        "no table `page_minute_ag`; did you mean `rt.page_minute_agg`?",
    );
    check_error("SELECT * FROM odd", "no table `odd`; did you mean `Odd`?");
    check_error(
        "SELECT * FROM rt.twice",
        "no table `rt.twice`; did you mean `a.twice` or `b.twice`?",
    );
    check_error(
        "SELECT * FROM nowhere_near",
        "no table `nowhere_near`; SHOW TABLES lists those that there are",
    );
    check_error(
        "SELECT * FROM twice",
        "`twice` is in several databases; expected `a.twice` or `b.twice`",
    );
    check_error(
        "SELECT * FROM other.rt.page_minute_agg",
        "no catalog `other`; expected millstream",
    );
    check_error(
        "DESCRIBE nothing",
        "no table `nothing`; SHOW TABLES lists those that there are",
    );
    check_error(
        "SELECT (1 FROM Odd",
        "line 1, column 11: expected ), found FROM",
    );
    check_error(
        "",
        "found no statement, expected SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN",
    );
    check_error("SELECT 1; SELECT 2", "found 2 statements, expected one");
    check_error(
        "SELECT pagge FROM page_minute_agg",
        "no field named pagge. Valid fields are page_minute_agg.window_start, \
         page_minute_agg.page, page_minute_agg.views",
    );
    let error = ask(&engine(LIMITS), "SELECT nosuch(1)")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("invalid function 'nosuch'"), "{error}");
    let error = ask(
        &engine(LIMITS),
        "SELECT CAST(page AS INT) FROM page_minute_agg",
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "cast error: Cannot cast string '/home' to value of Int32 type"
    );
}

#[test]
fn nothing_can_be_changed() {
    let refused = |what: &str| {
        format!(
            "`{what}` cannot be asked here: expected SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN"
        )
    };
    check_error("DROP TABLE Odd", &refused("DROP TABLE"));
    check_error("CREATE TABLE t AS SELECT 1", &refused("CREATE TABLE"));
    check_error(
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc'",
        &refused("CREATE EXTERNAL"),
    );
    check_error("INSERT INTO Odd SELECT 1, 2", &refused("INSERT INTO"));
    check_error("UPDATE Odd SET x = 1", &refused("UPDATE"));
    check_error("DELETE FROM Odd", &refused("DELETE FROM"));
    check_error("COPY Odd TO '/x.csv'", &refused("COPY"));
    check_error("SET datafusion.execution.batch_size = 1", &refused("SET"));
    check_error(
        "EXPLAIN ANALYZE INSERT INTO Odd SELECT 1, 2",
        &refused("INSERT INTO"),
    );
    let into = ask(&engine(LIMITS), "SELECT 1 AS a INTO t")
        .unwrap_err()
        .to_string();
    assert!(into.contains("DDL not supported"), "{into}");
    let file = ask(&engine(LIMITS), "SELECT * FROM '/etc/passwd'")
        .unwrap_err()
        .to_string();
    assert!(file.starts_with("no table `/etc/passwd`"), "{file}");
}

#[test]
fn rows_beyond_the_limit_are_cut_off() {
    let limits = QueryLimits {
        rows_max: 3,
        ..LIMITS
    };
    let result = ask(
        &engine(limits),
        "SELECT views FROM page_minute_agg ORDER BY views",
    )
    .unwrap();
    assert_eq!((result.rows(), result.truncated), (3, true));
    let text = to_table_text(&result).unwrap();
    assert!(text.ends_with("\n3 rows (there are more)\n"), "{text}");
    let all = ask(&engine(limits), "SELECT views FROM page_minute_agg LIMIT 3").unwrap();
    assert_eq!((all.rows(), all.truncated), (3, false));
    let tables = ask(&engine(limits), "SHOW TABLES").unwrap();
    assert_eq!((tables.rows(), tables.truncated), (3, true));
}

#[test]
fn a_query_that_takes_too_much_memory_or_time_ends() {
    let limits = QueryLimits {
        memory_bytes: 1 << 20,
        ..LIMITS
    };
    let groups = "SELECT value % 1000003 AS g, COUNT(DISTINCT value) FROM generate_series(1, 300000) GROUP BY 1 ORDER BY 2";
    let error = ask(&engine(limits), groups).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let expected = "the query needs more memory than queries may use; narrow it, for example by a \
                    time range or fewer groups";
    assert_eq!(error.to_string(), expected);
    let limits = QueryLimits {
        timeout: Duration::from_millis(50),
        ..LIMITS
    };
    let forever = "SELECT SUM(value) FROM generate_series(1, 1000000000000)";
    let late = Builder::new_current_thread().enable_time().build().unwrap();
    let error = late.block_on(engine(limits).query(forever)).unwrap_err();
    assert!(matches!(error, QueryError::TimedOut(_)), "{error}");
    let expected = "the query took longer than 0.05 s; narrow it, for example by a time range";
    assert_eq!(error.to_string(), expected);
}

/// Each would take many times the limit if only DataFusion counted.
#[test]
fn no_query_takes_far_more_memory_than_queries_may() {
    let engine = engine(QueryLimits {
        memory_bytes: 16 << 20,
        ..LIMITS
    });
    let many = "generate_series(1, 2500000) AS s(v)";
    let long = "(SELECT REPEAT('x', 5000000) AS s)";
    let doubled: Vec<String> = (1..11)
        .map(|n| format!("c{n} AS (SELECT s || s AS s FROM c{})", n - 1))
        .collect();
    let columns = |column: &dyn Fn(usize) -> String| {
        let columns: Vec<String> = (1..100).map(column).collect();
        columns.join(", ")
    };
    let copies = columns(&|n| format!("CASE WHEN LENGTH(s) > {n} THEN s END"));
    let repeats = columns(&|n| format!("REPEAT('x', 5000000 + {n})"));
    for sql in [
        "SELECT REPEAT('x', 2000000000)".to_owned(),
        "SELECT LENGTH(REPEAT('x', 2000000000))".to_owned(),
        format!("SELECT {repeats}"),
        "SELECT LENGTH(LPAD(page, 100000000, page)) FROM page_minute_agg".to_owned(),
        "SELECT REPEAT(page, 1000000) FROM page_minute_agg".to_owned(),
        format!("SELECT REPLACE(s, 'x', s) FROM {long}"),
        format!("SELECT REGEXP_REPLACE(s, '', s) FROM {long}"),
        format!("SELECT CONCAT_WS(s, s, s, s, s, s, s, s, s) FROM {long}"),
        format!("WITH c0 AS (SELECT REPEAT('x', 1000000) AS s), {} SELECT LENGTH(s) FROM c10", doubled.join(", ")),
        format!("SELECT {}'x'{}", "HEX(".repeat(40), ")".repeat(40)),
        format!("SELECT {}'\"'{}", "JSON_QUOTE(".repeat(40), ")".repeat(40)),
        format!("SELECT {}'\"'{}", "JSON_STRING(".repeat(40), ")".repeat(40)),
        format!("SELECT PRINTF('%s%<s%<s%<s%<s', s) FROM {long}"),
        "SELECT CARDINALITY(SPLIT(REPEAT('a,', 4000000), ',')) AS n".to_owned(),
        format!("SELECT COUNT(s) FROM (SELECT COALESCE(NULLIF(page, '/home'), '{}') AS s \
                 FROM page_minute_agg) WHERE LENGTH(s) > 3", "x".repeat(1_000_000)),
        format!("SELECT {copies} FROM (SELECT REPEAT('x', 1000000) AS s)"),
        format!("SELECT MAX(LENGTH(s)) FROM {long}, {many} WHERE LENGTH(s) + v > 0"),
        format!("SELECT MAX(LENGTH(s)) FROM (SELECT STRING_AGG('xxxxxxxxxx', ',') AS s FROM generate_series(1, 300000)) AS a, {many}"),
        format!("SELECT STRING_AGG('xxxxxxxxxx', ',') FROM {many}"),
        format!("SELECT ARRAY_AGG(v) FROM {many}"),
        format!("SELECT ARRAY_AGG(v) OVER () FROM {many}"),
        format!("SELECT SUM(v) OVER (), v FROM {many}"),
        format!("SELECT MAX(s) OVER () FROM (SELECT REPEAT('x', 100000) AS s, v FROM {many})"),
        format!("SELECT v FROM {many} ORDER BY v DESC"),
        format!("SELECT DISTINCT v FROM {many}"),
        format!("SELECT a.v FROM {many} JOIN generate_series(1, 2500000) AS a(v) ON a.v = s.v"),
        "SELECT unnest(a), s FROM (SELECT ARRAY_AGG(v) AS a, STRING_AGG('xxxxxxxxxx', '') AS s \
         FROM generate_series(1, 100000) AS t(v))".to_owned(),
        "WITH RECURSIVE r AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM r) SELECT LENGTH(s) FROM r".to_owned(),
    ] {
        let error = ask(&engine, &sql).err().unwrap_or_else(|| panic!("{sql} was answered"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sql}: {error}");
        let text = error.to_string();
        let is_told = text.starts_with("the query needs more memory") || text.contains("with OVER");
        assert!(is_told, "{}: {text}", &sql[..sql.len().min(80)]);
    }
    for gone in [
        "range(1, 1000000000)",
        "array_repeat(1, 1000000000)",
        "arrow_cast(1, 'Int8')",
    ] {
        let error = ask(&engine, &format!("SELECT {gone}"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("invalid function"), "{error}");
    }
    // What was held has been given back.
    for _ in 0..3 {
        let result = ask(&engine, "SELECT LENGTH(REPEAT('x', 8000000)) AS n").unwrap();
        assert_eq!(to_csv(&result).unwrap(), "n\n8000000\n");
    }
}

#[test]
fn texts_can_be_made_within_the_limit() {
    check(
        "SELECT page || ':' || CAST(COUNT(*) AS STRING) AS p, MAX(REPEAT('x', 3)) AS r, \
         MIN(LPAD(page, 7, '-')) AS l FROM page_minute_agg GROUP BY page, REPLACE(page, '/', '') \
         ORDER BY CONCAT(page, 'a')",
        &["p,r,l", "/Cart:240,xxx,--/Cart", "/home:240,xxx,--/home"],
    );
    check(
        "SELECT LENGTH(REPEAT(page, 1000)) AS n FROM page_minute_agg GROUP BY 1",
        &["n", "5000"],
    );
    check(
        "SELECT ARRAY_TO_STRING(make_array('a', NULL, 'c'), ', ') AS s, 'a' || NULL AS n, \
         REGEXP_REPLACE('aXb', 'X', '--') AS r",
        &["s,n,r", "\"a, c\",,a--b"],
    );
    check(
        "SELECT page, SUM(views) OVER (PARTITION BY page) AS s FROM page_minute_agg \
         ORDER BY page LIMIT 1",
        &["page,s", "/Cart,287040"],
    );
    check("SELECT unnest(make_array(1, 2)) AS u", &["u", "1", "2"]);
}

#[test]
fn a_damaged_part_is_named() {
    let storage = storage();
    let path = "tables/default.Odd/parts/e-p.Odd-0-00000000000000000001-0.parquet";
    let mut bytes = storage.read(path).unwrap();
    bytes[40] ^= 1;
    storage.put(path, &bytes).unwrap();
    let engine =
        QueryEngine::new(HotTables::open(Arc::new(storage)).unwrap(), None, LIMITS).unwrap();
    let error = ask(&engine, "SELECT SUM(x) FROM Odd").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let expected = format!("`{path}`: checksum does not match: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(
        to_csv(&ask(&engine, "SELECT 1 AS a").unwrap()).unwrap(),
        "a\n1\n"
    );
}

#[test]
fn a_table_named_twice_is_read_as_of_one_moment() {
    check(
        "SELECT COUNT(*) AS n FROM rt.page_minute_agg AS a JOIN page_minute_agg AS b \
         ON a.window_start = b.window_start AND a.page = b.page",
        &["n", "480"],
    );
}

#[test]
fn an_empty_table_and_no_tables_can_be_asked() {
    let tables = HotTables::open(Arc::new(MemoryStorage::default())).unwrap();
    let engine = QueryEngine::new(tables.clone(), None, LIMITS).unwrap();
    let error = ask(&engine, "SELECT * FROM t").unwrap_err().to_string();
    assert_eq!(error, "no table `t`; there are no tables yet");
    assert_eq!(ask(&engine, "SHOW TABLES").unwrap().rows(), 0);
    let definition = TableDefinition {
        name: TableName::new("default", "t").unwrap(),
        schema: minutes(0..1).schema(),
        primary_key: vec![],
        retention_ms: None,
    };
    tables.create(&definition).unwrap();
    let result = ask(&engine, "SELECT page FROM t WHERE views > 1").unwrap();
    assert_eq!(to_csv(&result).unwrap(), "page\n");
    let result = ask(&engine, "SELECT COUNT(*) AS n, SUM(views) AS s FROM t").unwrap();
    assert_eq!(to_csv(&result).unwrap(), "n,s\n0,\n");
}

/// What comes back for a statement that is too large in some way: an answer or `InvalidInput`.
fn check_survives(engine: &QueryEngine, sql: &str) {
    if let Err(error) = ask(engine, sql) {
        let begin: String = sql.chars().take(60).collect();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{begin}: {error}");
    }
}

#[test]
fn no_statement_is_deep_enough_to_end_the_process() {
    let engine = engine(LIMITS);
    let from = "FROM page_minute_agg";
    for count in [7, 45, 490, 20_000] {
        let chain = |part: &str, with: &str| vec![part; count].join(with);
        let nest = |open: &str, middle: &str, close: &str| {
            format!("{}{middle}{}", open.repeat(count), close.repeat(count))
        };
        for sql in [
            format!("SELECT {}", chain("1", "+")),
            format!("SELECT {} {from}", chain("views", "-views*")),
            format!("SELECT {}", chain("'a'", "||")),
            format!("SELECT 1 {from} WHERE {}", chain("views = 1", " OR ")),
            format!("SELECT 1 {from} WHERE {}", chain("views <> 1", " AND ")),
            format!("SELECT 1{}", chain("", "::INT")),
            format!("SELECT 1{}", chain("", " IS NULL")),
            format!("SELECT make_array(1){}", chain("", "[1]")),
            chain("SELECT 1", " UNION ALL "),
            nest("(", "SELECT 1", ")"),
            format!("SELECT {}", nest("(", "1", ")")),
            format!("SELECT {} {from}", nest("- ", "views", "")),
            format!("SELECT {}", nest("NOT ", "true", "")),
            format!("SELECT {}", nest("abs(", "1", ")")),
            format!("SELECT {}", nest("CASE WHEN true THEN ", "1", " END")),
            format!("SELECT {}", nest("CAST(", "1", " AS BIGINT)")),
            format!("SELECT CAST(NULL AS {})", nest("ARRAY<", "INT", ">")),
            format!("SELECT * FROM {}", nest("(SELECT * FROM ", "Odd", ")")),
            format!("SELECT * FROM {}", nest("(", "Odd", ")")),
            nest("SELECT (", "SELECT 1", ")"),
            nest("EXPLAIN ", "SELECT 1", ""),
        ] {
            check_survives(&engine, &sql);
        }
    }
}

#[test]
fn long_lists_are_answered() {
    let engine = engine(LIMITS);
    let list = |part: &str, with: &str| vec![part; 3_000].join(with);
    let sum = format!("SELECT {} AS n", vec!["1"; 400].join("+"));
    assert_eq!(to_csv(&ask(&engine, &sum).unwrap()).unwrap(), "n\n400\n");
    let values = list("60", ",");
    check(
        &format!("SELECT COUNT(*) AS n FROM page_minute_agg WHERE views IN ({values})"),
        &["n", "1"],
    );
    check(
        &format!("SELECT COUNT(*) AS n FROM (VALUES {})", list("(1)", ",")),
        &["n", "3000"],
    );
    let branches = list("WHEN 1 THEN 2", " ");
    check(
        &format!("SELECT SUM(CASE views {branches} ELSE 0 END) AS n FROM page_minute_agg"),
        &["n", "2"],
    );
}

#[test]
fn statements_that_grow_as_they_are_planned_are_refused() {
    let levels = |first: &str, next: &dyn Fn(usize) -> String| {
        let with: Vec<String> = (1..30)
            .map(|n| format!("c{n} AS ({})", next(n - 1)))
            .collect();
        format!(
            "WITH c0 AS ({first}), {} SELECT * FROM c29",
            with.join(", ")
        )
    };
    check_error(
        &levels("SELECT 1", &|n| {
            format!("SELECT 1 FROM c{n} AS a, c{n} AS b")
        }),
        "the statement is too large: found 503 or more tables and subqueries, those of WITH counted \
         each time they are named, expected at most 500",
    );
    check_error(
        &levels("SELECT views AS x FROM page_minute_agg", &|n| {
            format!("SELECT x + x AS x FROM c{n}")
        }),
        "the statement is nested too deeply: its columns name columns of subqueries that name \
         columns of subqueries, together 16384 or more times, expected at most 10000",
    );
    check_error(
        "SELECT CAST(NULL AS INT[1000000000])",
        "found the type INT[1000000000], expected ARRAY<…>",
    );
    let few = levels("SELECT 1 AS x", &|n| format!("SELECT x AS x FROM c{n}"));
    assert_eq!(ask(&engine(LIMITS), &few).unwrap().rows(), 1);
}
