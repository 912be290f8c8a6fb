//! The demo: live, stopped, started again, killed.

use super::support::{Ran, Running, folder, run};

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Without clicks of the time before, unless `arguments` ask for them.
fn demo(arguments: &[&str]) -> Vec<&'static str> {
    let mut all = vec!["demo".to_owned()];
    if !arguments.contains(&"--history") {
        all.extend(["--history".to_owned(), "0s".to_owned()]);
    }
    all.extend(
        LISTEN
            .iter()
            .chain(arguments)
            .map(|text| (*text).to_owned()),
    );
    all.into_iter().map(|text| &*text.leak()).collect()
}

/// The numbers of the line `check: N acknowledged, N read = N on time + N late + N undecodable`.
fn counts(ran: &Ran) -> Vec<u64> {
    let line = ran.stderr.lines().find(|line| line.starts_with("check: "));
    let line = line.unwrap_or_else(|| panic!("no check in {}", ran.stderr));
    line.split(' ')
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[test]
fn it_ends_by_itself_and_every_event_is_accounted_for() {
    let folder = folder();
    let ran = run(
        folder.path(),
        &demo(&["--duration", "3s", "--rate", "1000"]),
    );
    ran.check(0, "http://127.0.0.1:");
    let first = counts(&ran);
    let [acknowledged, read, on_time, late, undecodable] = first[..] else {
        panic!("five numbers in {first:?}");
    };
    assert!(acknowledged > 1000, "{first:?}");
    assert_eq!(read, acknowledged);
    assert_eq!(read, on_time + late + undecodable);
    // Started again, it goes on.
    let ran = run(
        folder.path(),
        &demo(&["--duration", "2s", "--rate", "1000"]),
    );
    ran.check(0, "");
    let second = counts(&ran);
    assert!(second[0] > first[0], "{first:?} then {second:?}");
    assert_eq!(second[0], second[1]);
}

#[test]
fn it_begins_with_a_history_that_has_anomalies_and_goes_on_without_a_hole() {
    let folder = folder();
    let history = ["--history", "15min", "--rate", "200"];
    let mut running = Running::start(folder.path(), &demo(&history));
    running.wait_for("it begins with those of the last 900 s");
    // 14 whole minutes and a part of one, less what is out of order.
    let whole = 14 * 60 * 200 - 3 * 200;
    loop {
        let line = running.wait_for("acknowledged");
        let sent = line.split_whitespace().last().expect("it has words");
        if sent.parse::<u64>().expect("a number") >= whole {
            break;
        }
    }
    running.signal("INT");
    running.end().check(0, "check: ");
    let ran = run(
        folder.path(),
        &demo(&[&history[..], &["--duration", "1s"]].concat()),
    );
    ran.check(0, "it goes on where it was");
    let counts = counts(&ran);
    assert_eq!(counts[0], counts[1], "{counts:?}");
    assert!(
        counts[0] < 2 * whole,
        "the history came again, or minutes went by: {counts:?}"
    );
    let ask = |sql: &str| {
        let data = ["--data-dir", "millstream-demo", "--format", "csv"];
        let ran = run(folder.path(), &[&["sql", sql], &data[..]].concat());
        ran.check_ok();
        let number = ran.stdout.lines().nth(1).and_then(|line| line.parse().ok());
        number.unwrap_or_else(|| panic!("no number in {}", ran.stdout))
    };
    // Chance alone does not come to eight deviations.
    let surges: u64 = ask("SELECT COUNT(*) AS n FROM anomalies WHERE z > 8");
    assert!(surges >= 1, "no surge was found");
    let minutes = "SELECT COUNT(DISTINCT window_start) AS n FROM page_minute_agg";
    let between = "SELECT CAST((MAX(TO_UNIXTIME(window_start)) - MIN(TO_UNIXTIME(window_start))) / 60 AS \
                   BIGINT) + 1 AS n FROM page_minute_agg";
    assert_eq!(ask(minutes), ask(between), "a minute is missing");
}

#[test]
fn ctrl_c_before_its_time_agrees_whatever_is_on_its_way() {
    let folder = folder();
    let arguments = demo(&["--duration", "10min", "--rate", "20000"]);
    for _ in 0..3 {
        let mut running = Running::start(folder.path(), &arguments);
        running.url();
        running.wait_for("acknowledged");
        running.signal("INT");
        running.end().check(0, "check: ");
    }
}

#[test]
fn ctrl_c_stops_it_within_two_seconds() {
    for signal in ["INT", "TERM"] {
        let folder = folder();
        let mut running = Running::start(folder.path(), &demo(&["--rate", "1000"]));
        running.url();
        running.wait_for("acknowledged");
        running.signal(signal);
        let clock = millstream_server::env::RealEnv::new();
        let ran = running.end();
        let took = millstream_core::env::Env::monotonic(&clock);
        ran.check(0, "check: ");
        assert!(took.as_secs_f64() < 2.0, "{signal} took {took:?}");
    }
}

#[test]
fn killed_at_once_it_goes_on_with_nothing_lost_or_counted_twice() {
    let folder = folder();
    for _ in 0..3 {
        let mut running = Running::start(folder.path(), &demo(&["--rate", "2000"]));
        running.url();
        running.wait_for("acknowledged");
        running.signal("KILL");
        assert_eq!(running.end().code, -1);
    }
    let ran = run(
        folder.path(),
        &demo(&["--duration", "1s", "--rate", "1000"]),
    );
    ran.check(0, "check: ");
    let counts = counts(&ran);
    assert_eq!(
        counts[0], counts[1],
        "all that was acknowledged was read once"
    );
}
