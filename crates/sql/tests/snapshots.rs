//! Plans and errors as text: each `tests/plans/*.sql` explains to the `.plan` beside it, each
//! `tests/errors/*.sql` fails with the `.error` beside it. `UPDATE_SNAPSHOTS=1` writes them anew.
//!
//! A file of errors holds several scripts, each after a line `-- case: name`; a header before the
//! first is put in front of each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_core::connector::{
    ConnectorCatalog, ConnectorInfo, FormatInfo, OptionInfo, OptionKind, PlanTable, TableError,
    Whole,
};
use millstream_core::plan::Plan;
use millstream_core::{Error, Subject};
use millstream_sql::{Script, explain, plan};

const fn option(key: &'static str, required: bool, kind: OptionKind) -> OptionInfo {
    OptionInfo {
        key,
        required,
        kind,
        help: "what it does",
    }
}

const PLAIN: ConnectorInfo = ConnectorInfo {
    name: "",
    is_source: true,
    is_sink: true,
    is_upsert: false,
    whole: Whole::Never,
    needs_format: true,
    options: &[],
    metadata: &[],
};

const TOPIC: &[OptionInfo] = &[
    option("topic", true, OptionKind::Text),
    option("properties.*", false, OptionKind::Text),
    option(
        "scan.startup.mode",
        false,
        OptionKind::OneOf(&["earliest-offset", "latest-offset"]),
    ),
];

const CATALOG: ConnectorCatalog = ConnectorCatalog {
    connectors: &[
        ConnectorInfo {
            name: "filesystem",
            whole: Whole::Unless("source.monitor-interval"),
            options: &[
                option("path", true, OptionKind::Text),
                option("source.monitor-interval", false, OptionKind::Duration),
            ],
            metadata: &["file.path", "offset"],
            ..PLAIN
        },
        ConnectorInfo {
            name: "kafka",
            options: TOPIC,
            metadata: &["topic", "partition", "offset", "timestamp"],
            ..PLAIN
        },
        ConnectorInfo {
            name: "http",
            options: TOPIC,
            metadata: &["topic", "partition", "offset", "timestamp"],
            ..PLAIN
        },
        ConnectorInfo {
            name: "clickhouse",
            whole: Whole::Always,
            is_source: false,
            is_upsert: true,
            needs_format: false,
            options: &[
                option("database-name", false, OptionKind::Text),
                option("table-name", false, OptionKind::Text),
            ],
            ..PLAIN
        },
        ConnectorInfo {
            name: "iceberg",
            is_source: false,
            needs_format: false,
            options: &[
                option("catalog-database", false, OptionKind::Text),
                option("catalog-table", false, OptionKind::Text),
                option("partitioning", false, OptionKind::Text),
            ],
            ..PLAIN
        },
        ConnectorInfo {
            name: "datagen",
            is_sink: false,
            needs_format: false,
            options: &[
                option("rows-per-second", false, OptionKind::Integer),
                option("fields.*", false, OptionKind::Text),
            ],
            metadata: &["offset"],
            ..PLAIN
        },
        ConnectorInfo {
            name: "print",
            is_source: false,
            needs_format: false,
            ..PLAIN
        },
        ConnectorInfo {
            name: "blackhole",
            is_source: false,
            is_upsert: true,
            needs_format: false,
            ..PLAIN
        },
    ],
    formats: &[FormatInfo {
        name: "json",
        options: &[option(
            "json.ignore-parse-errors",
            false,
            OptionKind::Boolean,
        )],
    }],
    check: refuse,
};

/// As a connector that has no topic called `taken`, no column called `odd` and no table with
/// one of two names.
fn refuse(plan: &Plan) -> Result<(), TableError> {
    let sources = plan.sources.iter().map(|source| {
        let (table, columns) = (PlanTable::Source(source.id), source.shape.schema());
        (table, &source.table, &source.connector, columns)
    });
    let sinks = plan.sinks.iter().map(|sink| {
        let (table, columns) = (PlanTable::Sink(sink.id), sink.schema.clone());
        (table, &sink.table, &sink.connector, columns)
    });
    for (table, name, connector, columns) in sources.chain(sinks) {
        let error = if connector.get("topic") == Some("taken") {
            Error::of_option("topic", "`taken` is no topic")
        } else if columns.field_with_name("odd").is_ok() {
            Error::invalid("no such column").about(Subject::Column("odd".to_owned()))
        } else if name == "longer" || name == "brief_dead" {
            Error::invalid("the name is too long")
        } else {
            continue;
        };
        return Err(TableError { table, error });
    }
    Ok(())
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let entries = fs::read_dir(&folder).expect("the folder of snapshots");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "sql"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    paths
}

fn run(name: &str, text: &str) -> Result<String, String> {
    let pairs = [("INPUT", "/in"), ("OUTPUT", "/out")];
    let variables = pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let script = Script {
        file: name,
        text,
        variables: &variables,
        settings: &BTreeMap::new(),
    };
    explain(&script, &CATALOG).map_err(|diagnostic| diagnostic.to_string())
}

/// Compares with the snapshot, or writes it.
fn check(path: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, found).expect("a snapshot can be written");
        return Ok(());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    match expected == found {
        true => Ok(()),
        false => Err(format!(
            "{}\n--- expected\n{expected}\n--- found\n{found}",
            path.display()
        )),
    }
}

fn report(failures: &[String]) {
    let all = failures.join("\n");
    assert!(
        failures.is_empty(),
        "{all}\nUPDATE_SNAPSHOTS=1 writes them anew"
    );
}

#[test]
fn plans() {
    let mut failures = vec![];
    for path in files("plans") {
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("a script");
        let found = run(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        failures.extend(check(&path.with_extension("plan"), &found).err());
    }
    report(&failures);
}

#[test]
fn errors() {
    let mut failures = vec![];
    let mut cases = 0;
    for path in files("errors") {
        let text = fs::read_to_string(&path).expect("scripts");
        let (header, scripts) = text.split_once("-- case: ").expect("at least one case");
        let mut found = String::new();
        for script in scripts.split("-- case: ") {
            let (name, body) = script.split_once('\n').expect("a line after the name");
            cases += 1;
            match run("x.sql", &format!("{header}{body}")) {
                Ok(plan) => failures.push(format!("case {name} is accepted:\n{plan}")),
                Err(error) => {
                    found.push_str(&format!("{name}\n  {}\n", error.replace('\n', "\n  ")))
                }
            }
        }
        failures.extend(check(&path.with_extension("error"), &found).err());
    }
    assert!(cases >= 40, "{cases} cases");
    report(&failures);
}

#[test]
fn settings_beside_the_script_win() {
    let text = "SET 'pipeline.name' = 'from-script';
        CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen');
        CREATE TABLE target (n INT) WITH ('connector' = 'blackhole');
        INSERT INTO target SELECT n FROM numbers;";
    let plan = |pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let script = Script {
            file: "dir/file.sql",
            text,
            variables: &BTreeMap::new(),
            settings: &pairs.collect(),
        };
        plan(&script, &CATALOG).map_err(|diagnostic| diagnostic.to_string())
    };
    let options = plan(&[]).expect("a plan").options;
    assert_eq!(
        (options.name.as_str(), options.parallelism),
        ("from-script", None)
    );
    let settings = [("pipeline.name", "mine"), ("parallelism.default", "3")];
    let options = plan(&settings).expect("a plan").options;
    assert_eq!(
        (options.name.as_str(), options.parallelism),
        ("mine", Some(3))
    );
    let error = plan(&[("millstream.nmbers.late-events", "none")]).expect_err("a slip");
    assert_eq!(
        error,
        "--set millstream.nmbers.late-events: `millstream.nmbers.late-events`: unknown table \
         `nmbers`\n  did you mean `numbers`?"
    );
}

#[test]
fn a_script_without_inserts_has_no_plan() {
    let (variables, settings) = (BTreeMap::new(), BTreeMap::new());
    let script = Script {
        file: "x.sql",
        text: "-- nothing here\n",
        variables: &variables,
        settings: &settings,
    };
    let error = plan(&script, &CATALOG)
        .expect_err("nothing to run")
        .to_string();
    assert_eq!(
        error,
        "x.sql:1:1: no INSERT INTO: nothing to run\n  write INSERT INTO table SELECT …"
    );
    assert_eq!(explain(&script, &CATALOG).as_deref(), Ok("pipeline x\n"));
}

#[test]
fn a_long_row_means_the_same_as_a_short_one() {
    let plan = |count: usize| {
        let row: Vec<String> = (0..count).map(|n| format!("n = {n}")).collect();
        let text = format!(
            "CREATE TABLE t (n INT) WITH ('connector' = 'datagen');
            CREATE TABLE target (n INT) WITH ('connector' = 'blackhole');
            INSERT INTO target SELECT n FROM t WHERE {};",
            row.join(" OR ")
        );
        run("x.sql", &text).unwrap_or_else(|error| panic!("{error}"))
    };
    assert!(
        plan(3).contains("(((n = 0) OR (n = 1)) OR (n = 2))"),
        "{}",
        plan(3)
    );
    // Cut in the middle: nothing is lost and the order stays.
    let long = plan(17);
    let numbers: Vec<&str> = long.split("(n = ").skip(1).collect();
    let numbers = numbers.iter().filter_map(|part| part.split(')').next());
    let expected: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    assert_eq!(numbers.collect::<Vec<_>>(), expected);
    assert!(long.contains("(n = 7)) OR ((("), "{long}");
}

#[test]
fn views_cannot_add_up_to_more_than_a_stack_holds() {
    let views: String = (1..600)
        .map(|n| format!("CREATE VIEW v{n} AS SELECT n + 1 AS n FROM v{};\n", n - 1))
        .collect();
    let text = format!(
        "CREATE TABLE t (n INT) WITH ('connector' = 'datagen');
        CREATE VIEW v0 AS SELECT n FROM t;
        {views}"
    );
    assert_eq!(
        run("x.sql", &text),
        Err(
            "x.sql:502:21: nested too deeply: found 501 expressions within each other in this query \
             and the views below it, expected at most 500"
                .to_owned()
        )
    );
}

#[test]
fn the_demo_plans() {
    let text = include_str!("../../../pipelines/web_clicks.sql");
    let found = run("web_clicks.sql", text).unwrap_or_else(|error| panic!("{error}"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/web_clicks.plan");
    report(&Vec::from_iter(check(&path, &found).err()));
}
