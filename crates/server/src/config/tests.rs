use super::*;

fn load(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config> {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("millstream.toml");
    std::fs::write(&path, text).expect("the folder can be written");
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let flags: Vec<(&str, String)> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    Config::load(Some(&path), &variables.iter().map(own).collect(), &flags)
}

#[track_caller]
fn check_error(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)], expected: &str) {
    let error = load(text, variables, flags).expect_err("it must be refused");
    let message = error.to_string();
    assert!(
        message.contains(expected),
        "found `{message}`, expected it to say `{expected}`"
    );
}

#[test]
fn defaults_are_loopback_and_bounded() {
    let config = load("", &[], &[]).expect("an empty file is fine");
    assert_eq!(config.listen, None);
    assert_eq!(config.collector.body_bytes_max, 8 << 20);
    assert_eq!(config.collector.pending_bytes_max, 64 << 20);
    assert_eq!(config.query.timeout, Duration::from_secs(30));
    assert_eq!(config.log.filter, "warn");
}

#[test]
fn the_later_layer_wins() {
    let text =
        "listen = '127.0.0.1:1'\n[collector]\nbody-bytes-max = '1MiB'\n[query]\nrows-max = 5";
    let config = load(text, &[], &[]).expect("the file is right");
    assert_eq!(config.listen.expect("given").port(), 1);
    assert_eq!(config.collector.body_bytes_max, 1 << 20);
    assert_eq!(config.query.rows_max, 5);

    let variables = [
        ("MILLSTREAM_LISTEN", "localhost:2"),
        ("MILLSTREAM_COLLECTOR_BODY_BYTES_MAX", "2MiB"),
        ("MILLSTREAM_QUERY_ROWS_MAX", "7"),
        ("MILLSTREAM_LOG", "debug"),
        ("MILLSTREAM_SOMETHING_ELSE", "is not ours"),
    ];
    let config = load(text, &variables, &[]).expect("variables are right");
    assert_eq!(config.listen.expect("given").port(), 2);
    assert_eq!(config.collector.body_bytes_max, 2 << 20);
    assert_eq!(config.query.rows_max, 7);
    assert_eq!(config.log.filter, "debug");

    let config = load(text, &variables, &[("listen", "[::1]:3")]).expect("flags are right");
    assert_eq!(config.listen.expect("given").port(), 3);
    assert_eq!(config.query.rows_max, 7, "what the flag does not set stays");
}

#[test]
fn the_lake_is_where_it_is_told() {
    let text = "[iceberg]\nwarehouse = 's3://b/w'\ns3.endpoint = 'http://localhost:9000'\n\
        s3.path-style-access = true";
    let variables = [("MILLSTREAM_ICEBERG_S3_REGION", "eu")];
    let config = load(text, &variables, &[]).expect("the file is right");
    let options: Vec<(&str, &str)> = config
        .iceberg
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        options,
        [
            ("s3.endpoint", "http://localhost:9000"),
            ("s3.path-style-access", "true"),
            ("s3.region", "eu"),
            ("warehouse", "s3://b/w"),
        ]
    );
    check_error("[iceberg]\nwarehouses = 'x'", &[], &[], "warehouses");
    let text = "[iceberg]\ns3.path-style-access = 'yes'";
    check_error(text, &[], &[], "expected `true` or `false`");
}

#[test]
fn unknown_keys_are_refused_with_their_place() {
    check_error("lisen = '127.0.0.1:1'", &[], &[], "unknown field `lisen`");
    check_error("lisen = '127.0.0.1:1'", &[], &[], "line 1");
    check_error(
        "[collector]\nbody = '1MiB'",
        &[],
        &[],
        "unknown field `body`",
    );
    check_error("[lake]\n", &[], &[], "unknown field `lake`");
}

#[test]
fn wrong_values_say_what_was_expected() {
    check_error(
        "[query]\ntimeout = '5 parsecs'",
        &[],
        &[],
        "is not a duration",
    );
    check_error("[query]\nrows-max = 0", &[], &[], "expected at least 1");
    check_error("[query]\nrows-max = 'many'", &[], &[], "invalid type");
    check_error(
        "[pipeline]\nparallelism = 4096",
        &[],
        &[],
        "expected 1 to 1024",
    );
    check_error("[log]\nformat = 'xml'", &[], &[], "unknown variant `xml`");
    check_error(
        "[collector]\nbody-bytes-max = '2MiB'\npending-bytes-max = '1MiB'",
        &[],
        &[],
        "expected at least `collector.body-bytes-max`",
    );
    let variables = [("MILLSTREAM_QUERY_TIMEOUT", "soon")];
    check_error(
        "",
        &variables,
        &[],
        "MILLSTREAM_QUERY_TIMEOUT: `soon` is not a duration",
    );
    check_error(
        "",
        &[("MILLSTREAM_QUERY_ROWS_MAX", "many")],
        &[],
        "MILLSTREAM_QUERY_ROWS_MAX",
    );
    check_error(
        "",
        &[],
        &[("listen", "8080")],
        "--listen: `8080` is not an address",
    );
}

#[test]
fn off_loopback_is_refused() {
    for address in ["0.0.0.0:8080", "192.168.1.1:8080", "[::]:8080"] {
        let expected = "off loopback needs authentication, which is not built yet; use --listen \
                        127.0.0.1:8080";
        check_error(&format!("listen = '{address}'"), &[], &[], expected);
    }
}

#[test]
fn a_named_file_must_be_there() {
    let error = Config::load(Some(Path::new("no-such.toml")), &BTreeMap::new(), &[]);
    let message = error.expect_err("there is no such file").to_string();
    assert!(message.starts_with("`no-such.toml`"), "{message}");
}
