//! Functions on dates and times.

use super::check;

#[test]
fn times_from_numbers() {
    check(
        "TO_TIMESTAMP_LTZ(1750000000123, 3)",
        "2025-06-15 15:06:40.123",
    );
    check("TO_TIMESTAMP_LTZ(1750000000, 0)", "2025-06-15 15:06:40.000");
    check(
        "TO_TIMESTAMP_LTZ(1750000000, 0i)",
        "2025-06-15 15:06:40.000",
    );
    check("TO_TIMESTAMP_LTZ(-1, 3)", "1969-12-31 23:59:59.999");
    check("TO_TIMESTAMP_LTZ(NULL:BIGINT, 3)", "NULL");
    check(
        "TO_TIMESTAMP_LTZ(253402300799999, 3)",
        "9999-12-31 23:59:59.999",
    );
    check("TO_TIMESTAMP_LTZ(253402300800000, 3)", "NULL");
    check("TO_TIMESTAMP_LTZ(9223372036854775807, 0)", "NULL");
    check(
        "TO_TIMESTAMP_LTZ(1, 6)",
        "error: `TO_TIMESTAMP_LTZ`: found precision 6, expected 0 or 3",
    );
    check("FROM_UNIXTIME(1750000000)", "2025-06-15 15:06:40");
    check("FROM_UNIXTIME(1750000000, 'yyyy/MM')", "2025/06");
    check("FROM_UNIXTIME(NULL:BIGINT)", "NULL");
}

#[test]
fn times_from_text() {
    check(
        "TO_TIMESTAMP('2025-06-15 15:06:40')",
        "2025-06-15 15:06:40.000",
    );
    check(
        "TO_TIMESTAMP('2025-06-15 15:06:40.1239')",
        "2025-06-15 15:06:40.123",
    );
    check("TO_TIMESTAMP('2025-6-5')", "2025-06-05 00:00:00.000");
    check("TO_TIMESTAMP('2025-06-15T15:06:40')", "NULL");
    check("TO_TIMESTAMP('2025-06-15 25:06:40')", "NULL");
    check("TO_TIMESTAMP('nonsense')", "NULL");
    check("TO_TIMESTAMP(NULL)", "NULL");
    check(
        "TO_TIMESTAMP('15.6.25 15h', 'd.M.yy HH''h''')",
        "2025-06-15 15:00:00.000",
    );
    check("TO_TIMESTAMP('15.6.', 'd.M.yy')", "NULL");
    check("TO_TIMESTAMP('2025', NULL)", "NULL");
}

#[test]
fn formats() {
    let at = "TIMESTAMP '2025-06-15 15:06:40.123'";
    check(
        &format!("DATE_FORMAT({at}, 'yyyy-MM-dd HH:mm:ss')"),
        "2025-06-15 15:06:40",
    );
    check("DATE_FORMAT(LTZ '2025-06-15 15:06:40', 'HH:mm')", "15:06");
    check(
        "DATE_FORMAT(MICROS '2025-06-15 15:06:40.123456', 'SSSSSS')",
        "123456",
    );
    check("DATE_FORMAT(DATE '2025-06-15', 'EEE dd')", "Sun 15");
    check(&format!("DATE_FORMAT({at}, NULL)"), "NULL");
    check("DATE_FORMAT(NULL:TIMESTAMP, 'yyyy')", "NULL");
}

#[test]
fn a_wrong_constant_format_fails_early() {
    let constant = datafusion::common::ScalarValue::from("bbb");
    let error = super::prepare("DATE_FORMAT", &[None, Some(constant)]).err();
    assert_eq!(
        error.expect("it fails").to_string(),
        "`DATE_FORMAT`: date pattern `bbb`: `bbb` is not supported"
    );
}

#[test]
fn fields() {
    let at = "TIMESTAMP '2024-12-30 23:59:58.999'";
    for (name, expected) in [
        ("YEAR", "2024"),
        ("QUARTER", "4"),
        ("MONTH", "12"),
        ("WEEK", "1"),
        ("DAYOFMONTH", "30"),
        ("DAYOFYEAR", "365"),
        ("DAYOFWEEK", "2"),
        ("HOUR", "23"),
        ("MINUTE", "59"),
        ("SECOND", "58"),
    ] {
        check(&format!("{name}({at})"), expected);
    }
    check("DAYOFWEEK(DATE '2025-06-15')", "1");
    check("HOUR(TIME '15:06:40')", "15");
    check("HOUR(LTZ '1969-12-31 22:00:00')", "22");
    check("YEAR(NULL:TIMESTAMP)", "NULL");
}

#[test]
fn rounding_to_a_unit() {
    let at = "TIMESTAMP '2025-05-14 15:06:40.123'";
    for (unit, floor, ceil) in [
        ("YEAR", "2025-01-01 00:00:00.000", "2026-01-01 00:00:00.000"),
        (
            "QUARTER",
            "2025-04-01 00:00:00.000",
            "2025-07-01 00:00:00.000",
        ),
        (
            "MONTH",
            "2025-05-01 00:00:00.000",
            "2025-06-01 00:00:00.000",
        ),
        ("WEEK", "2025-05-11 00:00:00.000", "2025-05-18 00:00:00.000"),
        ("DAY", "2025-05-14 00:00:00.000", "2025-05-15 00:00:00.000"),
        ("HOUR", "2025-05-14 15:00:00.000", "2025-05-14 16:00:00.000"),
        (
            "MINUTE",
            "2025-05-14 15:06:00.000",
            "2025-05-14 15:07:00.000",
        ),
        (
            "SECOND",
            "2025-05-14 15:06:40.000",
            "2025-05-14 15:06:41.000",
        ),
    ] {
        check(&format!("FLOOR_TO({at}, '{unit}')"), floor);
        check(&format!("CEIL_TO({at}, '{unit}')"), ceil);
    }
    check(
        "CEIL_TO(TIMESTAMP '2025-05-01 00:00:00', 'MONTH')",
        "2025-05-01 00:00:00.000",
    );
    check("FLOOR_TO(DATE '2025-05-14', 'MONTH')", "2025-05-01");
    check(
        "FLOOR_TO(LTZ '1969-12-31 23:59:59', 'HOUR')",
        "1969-12-31 23:00:00.000",
    );
    check(
        "CEIL_TO(MICROS '2025-05-14 15:06:40.000001', 'SECOND')",
        "2025-05-14 15:06:41.000000",
    );
    check(
        &format!("FLOOR_TO({at}, 'CENTURY')"),
        "error: `FLOOR_TO`: found unit `CENTURY`, expected YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, \
         MINUTE or SECOND",
    );
}

#[test]
fn adding_and_differences() {
    let add = |unit: &str, count: i64, expected: &str| {
        let at = "TIMESTAMP '2025-01-31 15:06:40.123'";
        check(&format!("TIMESTAMPADD('{unit}', {count}, {at})"), expected);
    };
    add("MONTH", 1, "2025-02-28 15:06:40.123");
    add("YEAR", -1, "2024-01-31 15:06:40.123");
    add("QUARTER", 1, "2025-04-30 15:06:40.123");
    add("WEEK", 1, "2025-02-07 15:06:40.123");
    add("DAY", -31, "2024-12-31 15:06:40.123");
    add("SECOND", 20, "2025-01-31 15:07:00.123");
    add("YEAR", i64::MAX, "NULL");
    check("TIMESTAMPADD('DAY', 1, DATE '2025-02-28')", "2025-03-01");

    let diff = |unit: &str, from: &str, to: &str, expected: &str| {
        let call = format!("TIMESTAMPDIFF('{unit}', TIMESTAMP '{from}', TIMESTAMP '{to}')");
        check(&call, expected);
    };
    diff(
        "SECOND",
        "2025-01-01 00:00:00",
        "2025-01-01 00:01:00.999",
        "60",
    );
    diff("MINUTE", "2025-01-01 00:01:59", "2025-01-01 00:00:00", "-1");
    diff("HOUR", "2025-01-01", "2025-01-02", "24");
    diff("DAY", "2025-01-01 12:00:00", "2025-01-03 11:00:00", "1");
    diff("WEEK", "2025-01-01", "2025-01-15", "2");
    diff("MONTH", "2025-01-31", "2025-02-28", "1");
    diff("MONTH", "2025-01-15 10:00:00", "2025-02-15 09:00:00", "0");
    diff("MONTH", "2025-03-15", "2025-01-20", "-1");
    diff("QUARTER", "2025-01-01", "2025-12-31", "3");
    diff("YEAR", "2024-02-29", "2025-02-28", "1");
    diff("SECOND", "1900-01-01", "9999-01-01", "NULL");
}

#[test]
fn time_zones() {
    check(
        "CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')",
        "1969-12-31 16:00:00",
    );
    check(
        "CONVERT_TZ('2025-06-15 12:00:00', 'PST', 'GMT+05:30')",
        "2025-06-16 00:30:00",
    );
    check(
        "CONVERT_TZ('2025-06-15 12:00:00.75', 'GMT-8', 'GMT-0800')",
        "2025-06-15 12:00:00",
    );
    // Clocks in Berlin went from 2:00 to 3:00 on 2025-03-30, and from 3:00 to 2:00 on 2025-10-26.
    check(
        "CONVERT_TZ('2025-03-30 02:30:00', 'Europe/Berlin', 'UTC')",
        "2025-03-30 01:30:00",
    );
    check(
        "CONVERT_TZ('2025-10-26 02:30:00', 'Europe/Berlin', 'UTC')",
        "2025-10-26 01:30:00",
    );
    check("CONVERT_TZ('2025-06-15', 'UTC', 'UTC')", "NULL");
    check("CONVERT_TZ('x', 'UTC', 'UTC')", "NULL");
    check("CONVERT_TZ(NULL, 'UTC', 'UTC')", "NULL");
    check("CONVERT_TZ('2025-06-15 12:00:00', NULL, 'UTC')", "NULL");
    check(
        "TEXT_TO_TIMESTAMP_LTZ('2023-01-01 00:00:00')",
        "2023-01-01 00:00:00.000",
    );
    check(
        "TEXT_TO_TIMESTAMP_LTZ('01/01/2023 00:00', 'dd/MM/yyyy HH:mm')",
        "2023-01-01 00:00:00.000",
    );
    check(
        "TEXT_TO_TIMESTAMP_LTZ('2023-01-01 00:00:00', 'yyyy-MM-dd HH:mm:ss', 'Asia/Shanghai')",
        "2022-12-31 16:00:00.000",
    );
    check(
        "TEXT_TO_TIMESTAMP_LTZ('2025-10-26 02:30:00', 'yyyy-MM-dd HH:mm:ss', 'Europe/Berlin')",
        "2025-10-26 00:30:00.000",
    );
    check("TEXT_TO_TIMESTAMP_LTZ('x')", "NULL");
}

#[test]
fn spans_of_time() {
    let spans = |first: &str, second: &str, expected: &str| {
        check(&format!("OVERLAPS({first}, {second})"), expected);
    };
    spans(
        "TIME '09:00:00', TIME '10:00:00'",
        "TIME '10:15:00', TIME '13:15:00'",
        "FALSE",
    );
    spans(
        "TIME '10:00:00', TIME '09:00:00'",
        "TIME '10:00:00', TIME '11:00:00'",
        "TRUE",
    );
    spans(
        "TIMESTAMP '2025-06-15 12:00:00', TIMESTAMP '2025-06-16 12:00:00'",
        "DATE '2025-06-16', DATE '2025-06-17'",
        "TRUE",
    );
    spans(
        "DATE '2025-06-15', DATE '2025-06-15'",
        "DATE '2025-06-16', DATE '2025-06-17'",
        "FALSE",
    );
}

#[test]
fn times_of_day_are_rounded() {
    check("FLOOR_TO(TIME '12:44:31', 'MINUTE')", "12:44:00");
    check("CEIL_TO(TIME '12:44:31', 'MINUTE')", "12:45:00");
    check("CEIL_TO(TIME '23:44:31', 'HOUR')", "00:00:00");
}
