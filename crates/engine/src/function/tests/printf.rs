//! PRINTF. Expected values are those of the documentation of Java's `java.util.Formatter`.

use super::check;

#[test]
fn texts() {
    check(
        "PRINTF('Hello %s, you are %s', 'Ada', 36)",
        "Hello Ada, you are 36",
    );
    check("PRINTF('%2$s %1$s %<s %s', 'a', 'b')", "b a a a");
    check(
        "PRINTF('[%5s|%-5s|%.2s|%S]', 'abc', 'abc', 'abc', 'abc')",
        "[  abc|abc  |ab|ABC]",
    );
    check(
        "PRINTF('%s %s %s', TRUE, 1.5, DECIMAL '1.50')",
        "true 1.5 1.500",
    );
    check("PRINTF('[%3.1s]', 'é😀')", "[  é]");
    check("PRINTF('100%%%n')", "100%\n");
    check("PRINTF('%b %B %b', TRUE, 'x', NULL)", "true TRUE false");
    check("PRINTF('%c%C', 233i, 97i)", "éA");
    check(
        "PRINTF('%s %d %.2f %5s', NULL, NULL:BIGINT, NULL:DOUBLE, NULL)",
        "null null nu  null",
    );
    check("PRINTF(NULL, 'a')", "NULL");
}

#[test]
fn whole_numbers() {
    check(
        "PRINTF('%d|%5d|%-5d|%05d', 42, 42, 42, 42)",
        "42|   42|42   |00042",
    );
    check(
        "PRINTF('%+d|% d|%(d|%(d', 42, 42, -42, 42)",
        "+42| 42|(42)|42",
    );
    check(
        "PRINTF('%,d|%,d|%,d', 1234567, -123, 1000)",
        "1,234,567|-123|1,000",
    );
    check("PRINTF('%06d|%(06d', -42, -42)", "-00042|(0042)");
    check(
        "PRINTF('%x|%X|%#x|%#08x|%o|%#o', 255, 255, 255, 255, 8, 8)",
        "ff|FF|0xff|0x0000ff|10|010",
    );
    check("PRINTF('%x %x', -1, -1i)", "ffffffffffffffff ffffffff");
    check("PRINTF('%d', -9223372036854775808)", "-9223372036854775808");
}

#[test]
fn other_numbers() {
    check(
        "PRINTF('%f|%.2f|%.0f|%#.0f', 3.14159, 3.14159, 2.5, 2.5)",
        "3.141590|3.14|3|3.",
    );
    check(
        "PRINTF('%.2f %.2f %.1f', 1.005, 0.995, 9.96)",
        "1.01 1.00 10.0",
    );
    check("PRINTF('%.3f %.1f', 0.0004, 0.04)", "0.000 0.0");
    check(
        "PRINTF('%,.2f|%010.2f|%-8.1f|', 1234567.891, -3.14159, 2.0)",
        "1,234,567.89|-000003.14|2.0     |",
    );
    check("PRINTF('%.1f', 1e22)", "10000000000000000000000.0");
    check(
        "PRINTF('%e|%.2e|%.0e|%E', 12345.678, 0.00012345, 5.5, 1.0)",
        "1.234568e+04|1.23e-04|6e+00|1.000000E+00",
    );
    check("PRINTF('%.1e %e', 9.96, 0.0)", "1.0e+01 0.000000e+00");
    check(
        "PRINTF('%g %g %g %.3g', 0.0001, 123456.7, 1234567.8, 0.0)",
        "0.000100000 123457 1.23457e+06 0.00",
    );
    check("PRINTF('%g %.0g', 0.00001, 25.0)", "1.00000e-05 3e+01");
    check("PRINTF('%5.1f|%05.1f', NaN, Infinity)", "  NaN|Infinity");
    check("PRINTF('%+f', Infinity)", "+Infinity");
}

#[test]
fn what_does_not_fit() {
    let told = "error: `PRINTF`: format `%y`: `%y` is no conversion that is supported";
    wrong("PRINTF('%y', 1)", told);
    wrong(
        "PRINTF('%d', 'a')",
        "argument 1 of the format: found STRING, expected BIGINT",
    );
    wrong(
        "PRINTF('%s %s', 'a')",
        "the format has 2 arguments, found 1",
    );
}

/// A constant format that is wrong is an error, one from a column gives null.
fn wrong(call: &str, message: &str) {
    let (name, args) = call.split_once('(').unwrap();
    let args: Vec<_> = super::split(args.strip_suffix(')').unwrap())
        .iter()
        .map(|value| super::parse(value))
        .collect();
    let constants = |count: usize| {
        args.iter()
            .enumerate()
            .map(move |(index, array)| match index < count {
                true => super::ColumnarValue::Scalar(
                    super::ScalarValue::try_from_array(array, 0).unwrap(),
                ),
                false => super::ColumnarValue::Array(super::three_rows(array)),
            })
    };
    let found = super::run(name, &constants(1).collect::<Vec<_>>()).unwrap_err();
    assert!(message.ends_with(&found.to_string()), "{found}");
    let columns = super::run(name, &constants(0).collect::<Vec<_>>()).unwrap();
    assert_eq!(super::render(&columns), "NULL", "{call}");
}
