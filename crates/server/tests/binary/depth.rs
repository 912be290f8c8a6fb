//! Scripts that are long or deep: they work or are refused, and never end the process.

use super::support::{folder, run, write};

const TABLES: &str = "\
CREATE TABLE a (x BIGINT, b BOOLEAN, s STRING)
WITH ('connector' = 'datagen', 'number-of-rows' = '20', 'fields.x.min' = '0', 'fields.x.max' = '9');
CREATE TABLE o (x BIGINT) WITH ('connector' = 'clickhouse');
";

fn script(condition: &str) -> String {
    format!("{TABLES}INSERT INTO o SELECT x FROM a WHERE {condition};\n")
}

fn row(part: &str, between: &str, count: usize) -> String {
    vec![part; count].join(between)
}

fn around(open: &str, close: &str, count: usize) -> String {
    script(&format!(
        "{}x{} > 1",
        open.repeat(count),
        close.repeat(count)
    ))
}

#[test]
fn what_is_long_or_as_deep_as_it_may_be_runs() {
    let views: String = (1..=90)
        .map(|n| {
            format!(
                "CREATE VIEW v{n} AS SELECT x + 1 AS x FROM v{} WHERE x > -{n};\n",
                n - 1
            )
        })
        .collect();
    let scripts = [
        script(&row("x = 1", " OR ", 5_000)),
        script(&row("x < 20", " AND ", 5_000)),
        script(&format!("{} > ''", row("s", " || ", 2_000))),
        script(&format!("{} > x", row("x", " + ", 199))),
        around("(", ")", 32),
        around("ABS(", ")", 32),
        around("CASE WHEN b THEN ", " ELSE 2 END", 32),
        around("- ", "", 32),
        format!(
            "{TABLES}CREATE VIEW v0 AS SELECT x FROM a;\n{views}INSERT INTO o SELECT x FROM v90;"
        ),
    ];
    let folder = folder();
    for (index, script) in scripts.iter().enumerate() {
        let file = format!("deep-{index}.sql");
        write(folder.path(), &file, script);
        run(folder.path(), &["check", &file]).check_ok();
        run(folder.path(), &["explain", &file]).check_ok();
        let ran = run(
            folder.path(),
            &["run", &file, "--data-dir", &format!("d{index}")],
        );
        ran.check(0, "20 rows read");
    }
}

#[test]
fn what_is_deeper_is_refused_with_its_place() {
    const COUNT: usize = 10_000;
    let scripts = [
        script(&format!("{} > x", row("1", " + ", COUNT))),
        script(&format!("{}b", "NOT ".repeat(COUNT))),
        around("(", ")", COUNT),
        around("NOT (", ")", COUNT),
        around("ABS(", ")", COUNT),
        around("CASE WHEN b THEN ", " ELSE 2 END", COUNT),
        script(&format!("b{}", " IS TRUE".repeat(COUNT))),
        format!(
            "{TABLES}INSERT INTO o {};",
            row("SELECT x FROM a", " UNION ALL ", COUNT)
        ),
        format!(
            "{TABLES}INSERT INTO o {}a{};",
            "SELECT x FROM (".repeat(COUNT),
            ")".repeat(COUNT)
        ),
        format!(
            "{TABLES}CREATE TABLE t (x {}INT{});",
            "ARRAY<".repeat(COUNT),
            ">".repeat(COUNT)
        ),
    ];
    let folder = folder();
    for script in &scripts {
        write(folder.path(), "deep.sql", script);
        let ran = run(folder.path(), &["check", "deep.sql"]);
        ran.check(2, "nested too deeply: found ");
        assert!(ran.stderr.starts_with("deep.sql:"), "{}", ran.stderr);
    }
}
