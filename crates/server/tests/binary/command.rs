//! Command lines, pipeline files and directories that are right or wrong.

use std::net::TcpListener;

use super::support::{folder, run, write};

const COPY: &str = "\
CREATE TABLE a (x BIGINT) WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'json');
CREATE TABLE b (x BIGINT) WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'json');
INSERT INTO b SELECT x FROM a;
";

#[test]
fn help_and_version_are_told() {
    let folder = folder();
    let help = run(folder.path(), &["--help"]);
    help.check_ok();
    for command in [
        "demo",
        "run",
        "check",
        "explain",
        "plan",
        "sql",
        "savepoint",
        "generate",
        "Examples:",
    ] {
        assert!(help.stdout.contains(command), "{command}");
    }
    assert!(
        run(folder.path(), &["--version"])
            .stdout
            .starts_with("millstream ")
    );
    run(folder.path(), &["jump"]).check(2, "unrecognized subcommand");
}

#[test]
fn a_configuration_that_is_not_there_is_refused_by_check_too() {
    let folder = folder();
    write(folder.path(), "copy.sql", COPY);
    for command in ["check", "explain", "run"] {
        let arguments = [
            command,
            "copy.sql",
            "--var",
            "OUT=out",
            "--config",
            "gone.toml",
        ];
        run(folder.path(), &arguments).check(2, "error: `gone.toml`: No such file or directory");
    }
}

#[test]
fn a_name_that_would_leave_the_data_directory_is_refused() {
    let folder = folder();
    write(folder.path(), "copy.sql", COPY);
    for command in ["check", "explain", "run"] {
        let arguments = [
            command,
            "copy.sql",
            "--var",
            "OUT=out",
            "--set",
            "pipeline.name=../../x",
        ];
        let expected = "--set pipeline.name: `pipeline.name`: found `../../x`, expected 1 to 128";
        run(folder.path(), &arguments).check(2, expected);
    }
    assert!(!folder.path().join("millstream-data").exists());
}

#[test]
fn a_right_file_is_told_in_one_line() {
    let folder = folder();
    write(folder.path(), "copy.sql", COPY);
    let ran = run(folder.path(), &["check", "copy.sql", "--var", "OUT=out"]);
    ran.check_ok();
    assert_eq!(
        ran.stdout,
        "copy.sql: ok, pipeline `copy` reads `a` and writes `b`, `a_dead`\n"
    );
    let plan = run(folder.path(), &["explain", "copy.sql", "--var", "OUT=out"]);
    plan.check_ok();
    assert!(
        plan.stdout.contains("source a (filesystem)"),
        "{}",
        plan.stdout
    );
    assert!(
        !folder.path().join("millstream-data").exists(),
        "nothing was started"
    );
}

#[test]
fn a_wrong_file_is_told_with_its_place() {
    let folder = folder();
    write(
        folder.path(),
        "bad.sql",
        &COPY.replace("SELECT x", "SELECT y"),
    );
    for command in ["check", "explain", "run"] {
        let ran = run(folder.path(), &[command, "bad.sql", "--var", "OUT=out"]);
        ran.check(2, "bad.sql:3:22: ");
        assert!(ran.stderr.contains("`y`"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    let ran = run(folder.path(), &["check", "bad.sql"]);
    ran.check(2, "bad.sql:2:");
    assert!(ran.stderr.contains("OUT"), "{}", ran.stderr);
    run(folder.path(), &["check", "none.sql"]).check(2, "error: `none.sql`");
    assert!(
        !folder.path().join("millstream-data").exists(),
        "nothing was started"
    );
}

#[test]
fn a_port_that_is_taken_is_named_before_anything_starts() {
    let folder = folder();
    write(folder.path(), "copy.sql", COPY);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let expected = format!("error: address {address} is in use; choose another with --listen");
    let arguments = ["run", "copy.sql", "--var", "OUT=out", "--listen", &address];
    run(folder.path(), &arguments).check(2, &expected);
    run(folder.path(), &["demo", "--listen", &address]).check(2, &expected);
    assert!(
        !folder.path().join("millstream-data").exists(),
        "nothing was started"
    );
    assert!(
        !folder.path().join("millstream-demo").exists(),
        "nothing was started"
    );
}

#[test]
fn off_loopback_and_wrong_configuration_are_refused() {
    let folder = folder();
    write(folder.path(), "copy.sql", COPY);
    let arguments = [
        "run",
        "copy.sql",
        "--var",
        "OUT=out",
        "--listen",
        "0.0.0.0:80",
    ];
    run(folder.path(), &arguments).check(2, "off loopback needs authentication");
    write(folder.path(), "millstream.toml", "lisen = '127.0.0.1:1'\n");
    let ran = run(folder.path(), &["run", "copy.sql", "--var", "OUT=out"]);
    ran.check(2, "millstream.toml: ");
    assert!(
        ran.stderr.contains("unknown field `lisen`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_data_directory_that_cannot_be_used_is_told() {
    let folder = folder();
    write(folder.path(), "copy.sql", COPY);
    write(folder.path(), "in/a.jsonl", "{\"x\":1}\n");
    write(folder.path(), "file", "");
    let run_on = |dir: &str| {
        run(
            folder.path(),
            &["run", "copy.sql", "--var", "OUT=out", "--data-dir", dir],
        )
    };
    run_on("file").check(2, "is a file");
    write(folder.path(), "newer/VERSION", "millstream data 7\n");
    run_on("newer").check(2, "newer version");
    run(folder.path(), &["sql", "SELECT 1", "--data-dir", "none"]).check(2, "none");
}
