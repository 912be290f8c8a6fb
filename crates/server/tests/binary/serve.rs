//! The demo: live, stopped, started again, killed.

use super::support::{Ran, Running, folder, run};

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

fn demo(arguments: &[&str]) -> Vec<&'static str> {
    let mut all = vec!["demo".to_owned()];
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
