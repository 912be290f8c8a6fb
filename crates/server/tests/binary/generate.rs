//! `generate`: the same events wherever they go.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::support::{command, folder, run};

fn generate(folder: &std::path::Path, to: &str, seed: &str) -> String {
    let arguments = [
        "generate",
        "clicks",
        "--count",
        "5000",
        "--seed",
        seed,
        "--late-fraction",
        "0.01",
        "--bad-fraction",
        "0.01",
        "--to",
        to,
    ];
    let ran = run(folder, &arguments);
    ran.check_ok();
    assert!(ran.stderr.contains("5000 events: "), "{}", ran.stderr);
    ran.stdout
}

#[test]
fn the_same_seed_gives_the_same_bytes_wherever_they_go() {
    let folder = folder();
    generate(folder.path(), "a.jsonl", "42");
    generate(folder.path(), "b.jsonl", "42");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it is text");
    let first = read("a.jsonl");
    assert_eq!(first, read("b.jsonl"));
    assert_eq!(first, generate(folder.path(), "-", "42"));
    assert_eq!(first.lines().count(), 5000);
    assert_ne!(first, generate(folder.path(), "-", "43"));
}

#[test]
fn a_topic_of_the_data_directory_takes_them() {
    let folder = folder();
    generate(folder.path(), "topic:web.clicks", "1");
    let topic = folder.path().join("millstream-data/topics/web.clicks");
    assert!(topic.join("topic.json").exists());
    generate(folder.path(), "topic:web.clicks", "2");
}

#[test]
fn what_is_wrong_is_told() {
    let folder = folder();
    let run = |arguments: &[&str]| {
        run(
            folder.path(),
            &[&["generate", "clicks"], arguments].concat(),
        )
    };
    run(&["--to", "a.jsonl"]).check(2, "expected --count or --duration");
    run(&["--to", "none/a.jsonl", "--count", "1"]).check(2, "none/a.jsonl");
    run(&["--to", "-", "--count", "1", "--bad-fraction", "2"]).check(2, "from 0 to 1");
    let folder = folder.path();
    super::support::write(folder, "kept.jsonl", "kept");
    let both = ["--late-fraction", "0.7", "--bad-fraction", "0.7"];
    run(&[&["--to", "kept.jsonl", "--count", "1"][..], &both].concat()).check(2, "fraction");
    let kept = std::fs::read_to_string(folder.join("kept.jsonl"));
    assert_eq!(kept.expect("it is there"), "kept");
    let nobody = "http://127.0.0.1:9";
    run(&["--to", nobody, "--count", "1"]).check(1, "no answer from http://127.0.0.1:9");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let folder = folder();
    let arguments = ["generate", "clicks", "--to", "-"];
    let mut command = command(folder.path(), &arguments);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary is there");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it is text");
    assert!(line.starts_with('{'), "{line}");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("error"), "{stderr}");
}
