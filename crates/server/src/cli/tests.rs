use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[track_caller]
fn check_error(line: &str, expected: &str) {
    let error = parse(line).expect_err("it must be refused");
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(
        text.contains(expected),
        "found `{text}`, expected it to say `{expected}`"
    );
}

#[test]
fn the_commands_are_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_examples() {
    for command in Arguments::command().get_subcommands() {
        let mut all: Vec<_> = command.get_subcommands().cloned().collect();
        if all.is_empty() {
            all.push(command.clone());
        }
        for mut command in all {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{help}");
        }
    }
}

#[test]
fn run_takes_variables_and_settings() {
    let line = "millstream run a.sql --var A=1 --var B=x=y --set k.l=v --summary json --data-dir d \
                --listen 127.0.0.1:0 --log json";
    let arguments = parse(line).expect("it is right");
    assert_eq!(arguments.common.log, Some(LogFormat::Json));
    let Command::Run(run) = arguments.command else {
        panic!("it is `run`");
    };
    let own = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    assert_eq!(run.pipeline.variables, [("A", "1"), ("B", "x=y")].map(own));
    assert_eq!(run.pipeline.settings, [("k.l", "v")].map(own));
    assert_eq!(run.summary, Some(run::SummaryFormat::Json));
    assert_eq!(run.data_dir, Some("d".into()));
}

#[test]
fn what_is_wrong_is_said() {
    check_error("millstream", "Usage");
    check_error("millstream rum a.sql", "unrecognized subcommand");
    check_error("millstream run", "FILE.sql");
    check_error("millstream run a.sql --var A", "expected NAME=VALUE");
    check_error("millstream run a.sql --var =1", "expected NAME=VALUE");
    check_error(
        "millstream run a.sql --summary xml",
        "possible values: json",
    );
    check_error("millstream sql", "<SQL>");
    check_error(
        "millstream sql q --server u --data-dir d",
        "cannot be used with",
    );
    check_error(
        "millstream generate trades --to -",
        "unrecognized subcommand",
    );
    check_error("millstream generate clicks", "--to");
    check_error(
        "millstream generate clicks --to - --late-fraction 1.5",
        "from 0 to 1",
    );
    check_error(
        "millstream generate clicks --to - --duration soon",
        "is not a duration",
    );
    check_error("millstream generate clicks --to s3://b/a", "not built yet");
    check_error("millstream demo --rate 0", "0 is not in");
}
