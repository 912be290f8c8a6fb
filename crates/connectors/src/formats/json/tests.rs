//! Text in, text out: records are decoded and the rows encoded again, so each case shows both.

mod differential;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Schema, SchemaRef, TimeUnit};
use millstream_core::plan::ConnectorConfig;
use millstream_core::source::{Decoded, RawBatch};
use millstream_core::types;

use crate::formats;

pub(super) fn config(options: &[(&str, &str)]) -> ConnectorConfig {
    // Later ones replace earlier ones.
    let options = [("format", "json")]
        .into_iter()
        .chain(options.iter().copied());
    ConnectorConfig {
        connector: "filesystem".into(),
        options: options
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

pub(super) fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

pub(super) fn row(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(schema(fields).fields().clone())
}

pub(super) fn raw<R: AsRef<[u8]>>(records: &[R]) -> RawBatch {
    let mut data = vec![];
    let mut ranges = vec![];
    for record in records {
        let start = data.len() as u32;
        data.extend_from_slice(record.as_ref());
        ranges.push(start..data.len() as u32);
        data.push(b'\n');
    }
    RawBatch {
        data: data.into(),
        offsets: (0..ranges.len() as u64).collect(),
        records: ranges,
        timestamps: None,
    }
}

/// Each record's row as JSON, or `! error`.
pub(super) fn lines(records: usize, decoded: &Decoded) -> Vec<String> {
    let mut lines = vec![String::new(); records];
    for rejected in &decoded.rejected {
        lines[rejected.record as usize] = format!("! {}", rejected.error);
    }
    for (row, text) in encoded(&decoded.rows).into_iter().enumerate() {
        let record = decoded
            .record_of_row
            .as_ref()
            .map_or(row, |records| records[row] as usize);
        assert_eq!(lines[record], "", "a record is a row or rejected, once");
        lines[record] = text;
    }
    lines
}

fn encoded(rows: &RecordBatch) -> Vec<String> {
    let mut encoder = formats::encoder(&config(&[]), &rows.schema()).unwrap();
    let (mut out, mut ends) = (vec![], vec![]);
    encoder.encode(rows, &mut out, &mut ends).unwrap();
    let starts = std::iter::once(0).chain(ends.clone());
    let text = |(start, end): (usize, usize)| String::from_utf8(out[start..end].to_vec()).unwrap();
    starts.zip(ends.clone()).map(text).collect()
}

fn check_with(options: &[(&str, &str)], schema: &SchemaRef, cases: &[(&str, &str)]) {
    let mut decoder = formats::decoder(&config(options), schema).unwrap();
    let records: Vec<&str> = cases.iter().map(|case| case.0).collect();
    // Twice in one decoder: the second batch finds learnt key orders and reused buffers.
    for _ in 0..2 {
        let decoded = decoder.decode(&raw(&records)).unwrap();
        let lines = lines(records.len(), &decoded);
        for ((record, expected), line) in cases.iter().zip(lines) {
            assert_eq!(&line, expected, "from {record}");
        }
    }
    // And each on its own.
    for (record, expected) in cases {
        let mut decoder = formats::decoder(&config(options), schema).unwrap();
        let decoded = decoder.decode(&raw(&[record])).unwrap();
        assert_eq!(&lines(1, &decoded)[0], expected, "from {record}");
    }
}

fn check(data_type: DataType, cases: &[(&str, &str)]) {
    let schema = schema(&[("v", data_type)]);
    let wrapped: Vec<(String, String)> = cases
        .iter()
        .map(|(value, expected)| {
            let expected = match expected.strip_prefix("! ") {
                Some(expected) => format!("! field `v`: found {expected}"),
                None => format!("{{\"v\":{expected}}}"),
            };
            (
                format!("{{\"x\":[{{}},-1.5e3],\"v\":{value}, \"y\" : \"z\"}}"),
                expected,
            )
        })
        .collect();
    let cases: Vec<(&str, &str)> = wrapped
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    check_with(&[], &schema, &cases);
}

#[test]
fn strings_take_everything() {
    check(
        DataType::Utf8,
        &[
            ("\"\"", "\"\""),
            (
                "\"plain text, longer than a word\"",
                "\"plain text, longer than a word\"",
            ),
            (r#""a\"b\\c\/d\n\u00e9\ud83d\ude00""#, r#""a\"b\\c/d\né😀""#),
            ("\"é😀\"", "\"é😀\""),
            ("null", "null"),
            ("12.50", "\"12.50\""),
            ("true", "\"true\""),
            ("{ \"a\" : [ 1 , null ] }", r#""{\"a\":[1,null]}""#),
            ("[]", "\"[]\""),
        ],
    );
}

#[test]
fn integers() {
    check(
        DataType::Int64,
        &[
            ("0", "0"),
            ("-0", "0"),
            ("1750000012589", "1750000012589"),
            ("-9223372036854775808", "-9223372036854775808"),
            (
                "9223372036854775808",
                "! number 9223372036854775808, expected BIGINT",
            ),
            ("1.0", "1"),
            ("1e3", "1000"),
            ("1.5", "! number 1.5, expected BIGINT"),
            ("\" 42 \"", "42"),
            ("\"+42\"", "42"),
            (r#""4\u0032""#, "42"),
            ("\"abc\"", "! string \"abc\", expected BIGINT"),
            ("\"\"", "! string \"\", expected BIGINT"),
            ("true", "! true, expected BIGINT"),
            ("{\"a\":1}", "! object, expected BIGINT"),
            ("[1]", "! array, expected BIGINT"),
            ("null", "null"),
        ],
    );
    check(
        DataType::Int8,
        &[
            ("127", "127"),
            ("-128", "-128"),
            ("128", "! number 128, expected TINYINT"),
        ],
    );
    check(
        DataType::Int16,
        &[
            ("32767", "32767"),
            ("-32769", "! number -32769, expected SMALLINT"),
        ],
    );
    check(
        DataType::Int32,
        &[
            ("-2147483648", "-2147483648"),
            ("2147483648", "! number 2147483648, expected INT"),
        ],
    );
    check(
        DataType::Duration(TimeUnit::Millisecond),
        &[("60000", "60000")],
    );
}

#[test]
fn floating_point_numbers() {
    check(
        DataType::Float64,
        &[
            ("0", "0.0"),
            ("-0", "-0.0"),
            ("108.1", "108.1"),
            ("1e10", "10000000000.0"),
            ("123456789012345678", "1.2345678901234568e17"),
            ("\"1.5\"", "1.5"),
            ("\"NaN\"", "\"NaN\""),
            ("\"-Infinity\"", "\"-Infinity\""),
            ("\"inf\"", "! string \"inf\", expected DOUBLE"),
            ("false", "! false, expected DOUBLE"),
        ],
    );
    check(
        DataType::Float32,
        &[
            ("0.1", "0.1"),
            ("1e39", "! number 1e39, expected FLOAT"),
            ("\"Infinity\"", "\"Infinity\""),
        ],
    );
}

#[test]
fn doubles_are_the_nearest() {
    let schema = schema(&[("v", DataType::Float64)]);
    let mut decoder = formats::decoder(&config(&[]), &schema).unwrap();
    let texts = [
        "0.1",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "5e-324",
        "9007199254740993",
        "123456789.123456789123456789",
        "1e23",
        "8.41e21",
        "0.30000000000000004",
        "1e-400",
        "9223372036854775807",
        "-9007199254740993",
    ];
    let records: Vec<String> = texts
        .iter()
        .map(|text| format!("{{\"v\":{text}}}"))
        .collect();
    let decoded = decoder.decode(&raw(&records)).unwrap();
    let values = decoded.rows.column(0).as_primitive::<Float64Type>();
    for (text, value) in texts.iter().zip(values.values()) {
        assert_eq!(
            value.to_bits(),
            text.parse::<f64>().unwrap().to_bits(),
            "{text}"
        );
    }
}

#[test]
fn booleans_decimals_bytes() {
    check(
        DataType::Boolean,
        &[
            ("true", "true"),
            ("false", "false"),
            ("\"TRUE\"", "true"),
            ("\" false\"", "false"),
            ("\"yes\"", "! string \"yes\", expected BOOLEAN"),
            ("1", "! number 1, expected BOOLEAN"),
            ("null", "null"),
        ],
    );
    check(
        DataType::Decimal128(10, 2),
        &[
            ("1", "1.00"),
            ("-0.005", "-0.01"),
            ("12345678.901", "12345678.90"),
            ("\"7.5\"", "7.50"),
            ("123456789", "! number 123456789, expected DECIMAL(10, 2)"),
        ],
    );
    check(
        DataType::Decimal128(38, 0),
        &[(
            "99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
        )],
    );
    check(
        DataType::Binary,
        &[
            ("\"Zm9vYg==\"", "\"Zm9vYg==\""),
            ("\"\"", "\"\""),
            ("\"Zm9v!\"", "! string \"Zm9v!\", expected BYTES"),
            ("5", "! number 5, expected BYTES"),
        ],
    );
}

#[test]
fn dates_and_times() {
    let form = ", in the form of `json.timestamp-format.standard`";
    let bad = |found: &str, expected: &str| format!("! {found}, expected {expected}{form}");
    check(
        types::timestamp(3),
        &[
            ("\"2025-06-15 15:06:00\"", "\"2025-06-15 15:06:00\""),
            ("\"2025-06-15 15:57:13.590\"", "\"2025-06-15 15:57:13.59\""),
            ("\"2025-06-15 15:57:13.5909\"", "\"2025-06-15 15:57:13.59\""),
            (
                "\"2025-06-15T15:06:00\"",
                &bad("string \"2025-06-15T15:06:00\"", "TIMESTAMP(3)"),
            ),
            (
                "1750000012589",
                &bad("number 1750000012589", "TIMESTAMP(3)"),
            ),
        ],
    );
    check(
        types::timestamp_ltz(9),
        &[
            ("\"2025-06-15 15:06:00Z\"", "\"2025-06-15 15:06:00Z\""),
            (
                "\"2025-06-15 15:06:00.000000001\"",
                "\"2025-06-15 15:06:00.000000001Z\"",
            ),
            ("\"2025-06-15 15:06:00+02:00\"", "\"2025-06-15 13:06:00Z\""),
            (
                "\"9999-06-15 15:06:00\"",
                &bad("string \"9999-06-15 15:06:00\"", "TIMESTAMP_LTZ(9)"),
            ),
        ],
    );
    check(
        DataType::Date32,
        &[
            ("\"2024-02-29\"", "\"2024-02-29\""),
            (
                "\"2025-02-29\"",
                "! string \"2025-02-29\", expected DATE, like `2025-06-15`",
            ),
        ],
    );
    check(
        DataType::Time32(TimeUnit::Millisecond),
        &[("\"15:06:00.5\"", "\"15:06:00.5\"")],
    );
    let iso = [("json.timestamp-format.standard", "ISO-8601")];
    let schema = schema(&[("t", types::timestamp(6)), ("z", types::timestamp_ltz(3))]);
    let record = r#"{"t":"2025-06-15T15:06:00.000001","z":"2025-06-15T15:06:00Z"}"#;
    let row = r#"{"t":"2025-06-15 15:06:00.000001","z":"2025-06-15 15:06:00Z"}"#;
    check_with(&iso, &schema, &[(record, row)]);
}

#[test]
fn nested_values() {
    let geo = row(&[
        ("country", DataType::Utf8),
        ("at", row(&[("lat", DataType::Float64)])),
    ]);
    check(
        geo,
        &[
            (
                r#"{"at":{"lon":1,"lat":2},"city":"x","country":"DE"}"#,
                r#"{"country":"DE","at":{"lat":2.0}}"#,
            ),
            ("{}", r#"{"country":null,"at":null}"#),
            ("null", "null"),
            (r#"{"at":null}"#, r#"{"country":null,"at":null}"#),
            (
                "[1]",
                "! array, expected ROW<country STRING, at ROW<lat DOUBLE>>",
            ),
        ],
    );
    check(
        types::array(DataType::Int32),
        &[
            ("[]", "[]"),
            ("[1, null ,\"3\"]", "[1,null,3]"),
            ("null", "null"),
            ("3", "! number 3, expected ARRAY<INT>"),
        ],
    );
    check(
        types::map(DataType::Utf8, types::array(DataType::Int64)),
        &[
            (
                r#"{"b":[1],"a":null,"\u0063":[]}"#,
                r#"{"b":[1],"a":null,"c":[]}"#,
            ),
            (r#"{"a":"bad","b":[2],"a":[3]}"#, r#"{"a":[3],"b":[2]}"#),
            ("{}", "{}"),
        ],
    );
}

#[test]
fn errors_name_the_way_to_the_value() {
    let device = row(&[("tags", types::array(row(&[("n", DataType::Int32)])))]);
    let schema = schema(&[
        ("device", device),
        ("m", types::map(DataType::Utf8, DataType::Int64)),
    ]);
    check_with(
        &[],
        &schema,
        &[
            (
                r#"{"device":{"tags":[{"n":1},{"n":"x"},{"n":true}]}}"#,
                "! field `device.tags[1].n`: found string \"x\", expected INT",
            ),
            (
                r#"{"m":{"k":[]}}"#,
                "! field `m.k`: found array, expected BIGINT",
            ),
            (
                r#"{"m":{"k":1,"z":2}}"#,
                r#"{"device":null,"m":{"k":1,"z":2}}"#,
            ),
        ],
    );
    let long = format!("{{\"m\":\"{}\"}}", "é".repeat(100));
    let shown = format!(
        "! field `m`: found string \"{}…, expected MAP<STRING, BIGINT>",
        "é".repeat(31)
    );
    check_with(&[], &schema, &[(&long, &shown)]);
}

#[test]
fn what_is_not_json() {
    let schema = schema(&[("a", DataType::Int64)]);
    let deep = |levels: usize| format!("{{\"b\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    check_with(
        &[],
        &schema,
        &[
            ("", "! not JSON: expected a value at byte 0"),
            ("   ", "! not JSON: expected a value at byte 3"),
            ("nope", "! not JSON: expected a value at byte 0"),
            ("[1,2]", "! found array, expected a JSON object"),
            ("[1,2", "! not JSON: expected `,` or `]` at byte 4"),
            ("\"a\"", "! found string \"a\", expected a JSON object"),
            ("null", "! found null, expected a JSON object"),
            ("{\"a\":1", "! not JSON: expected `,` or `}` at byte 6"),
            (
                "{\"a\":1}x",
                "! not JSON: expected the end of the record at byte 7",
            ),
            ("{\"a\":1} \t\r", "{\"a\":1}"),
            ("{\"a\" 1}", "! not JSON: expected `:` at byte 5"),
            ("{\"a\":}", "! not JSON: expected a value at byte 5"),
            (
                "{\"a\":1,}",
                "! not JSON: expected a key in double quotes at byte 7",
            ),
            (
                "{a:1}",
                "! not JSON: expected a key in double quotes at byte 1",
            ),
            (
                "{\"a\":01}",
                "! not JSON: expected no digit after a leading zero at byte 6",
            ),
            (
                "{\"b\":1e999}",
                "! not JSON: expected a number that fits a double at byte 5",
            ),
            (
                "{\"b\":\"\t\"}",
                "! not JSON: expected no control character in a string at byte 6",
            ),
            (
                "{\"b\":\"\\x\"}",
                "! not JSON: expected an escape such as `\\n` at byte 6",
            ),
            (
                "{\"b\":\"\\ud800\"}",
                "! not JSON: expected a low surrogate after a high one at byte 6",
            ),
            (
                "{\"b\":\"x",
                "! not JSON: expected `\"` at the end of a string at byte 7",
            ),
            ("{\"a\":\"x\" ", "! not JSON: expected `,` or `}` at byte 9"),
            (&deep(126), "{\"a\":null}"),
            (
                &deep(127),
                "! not JSON: expected at most 127 levels of nesting at byte 131",
            ),
        ],
    );
    let mut decoder = formats::decoder(&config(&[]), &schema).unwrap();
    let decoded = decoder
        .decode(&raw(&[b"{\"b\":\"\xff\"}".as_slice()]))
        .unwrap();
    assert_eq!(lines(1, &decoded)[0], "! not JSON: invalid UTF-8 at byte 6");
}

#[test]
fn the_last_of_equal_keys_counts() {
    let schema = schema(&[
        ("a", DataType::Int64),
        ("b", DataType::Utf8),
        ("r", row(&[("x", DataType::Int8)])),
    ]);
    check_with(
        &[],
        &schema,
        &[
            (
                r#"{"a":1,"b":"x","a":2,"b":"yy"}"#,
                r#"{"a":2,"b":"yy","r":null}"#,
            ),
            (r#"{"a":"bad","a":2}"#, r#"{"a":2,"b":null,"r":null}"#),
            (
                r#"{"a":2,"a":"bad"}"#,
                "! field `a`: found string \"bad\", expected BIGINT",
            ),
            (r#"{"a":2,"a":null}"#, r#"{"a":null,"b":null,"r":null}"#),
            (
                r#"{"a":"bad","b":1,"r":{"x":300},"a":3}"#,
                "! field `r.x`: found number 300, expected TINYINT",
            ),
            (
                r#"{"r":{"x":300},"\u0072":{"x":3}}"#,
                r#"{"a":null,"b":null,"r":{"x":3}}"#,
            ),
        ],
    );
}

#[test]
fn keys_in_any_order_with_any_spacing() {
    let schema = schema(&[("a", DataType::Int64), ("b", DataType::Int64)]);
    let both = r#"{"a":1,"b":2}"#;
    check_with(
        &[],
        &schema,
        &[
            (r#"{"a":1,"x":0,"y":0,"b":2}"#, both),
            (r#"{"a":1,"y":0,"b":2}"#, both),
            (r#"{"b":2,"a":1}"#, both),
            (r#"{ "b" : 2 , "a" :1 }"#, both),
            (r#"{"a": 1, "x": 0, "y": 0, "b": 2}"#, both),
            (r#"{"z":0,"\u0062":2,"a":1}"#, both),
            (r#"{"A":1}"#, r#"{"a":null,"b":null}"#),
            ("{}", r#"{"a":null,"b":null}"#),
        ],
    );
    // Far more orders than are remembered.
    let mut decoder = formats::decoder(&config(&[]), &schema).unwrap();
    let records: Vec<String> = (0..3000)
        .map(|i| format!("{{\"k{i}\":0,\"b\":{i},\"q{}\":[],\"a\":1}}", i % 7))
        .collect();
    let decoded = decoder.decode(&raw(&records)).unwrap();
    for (index, line) in lines(records.len(), &decoded).iter().enumerate() {
        assert_eq!(line, &format!("{{\"a\":1,\"b\":{index}}}"));
    }
}

#[test]
fn missing_fields_may_be_errors() {
    let strict = [("json.fail-on-missing-field", "true")];
    let schema = schema(&[("a", DataType::Int64), ("r", row(&[("x", DataType::Int8)]))]);
    check_with(
        &strict,
        &schema,
        &[
            (r#"{"a":1,"r":{"x":1}}"#, r#"{"a":1,"r":{"x":1}}"#),
            (r#"{"a":null,"r":null}"#, r#"{"a":null,"r":null}"#),
            (r#"{"r":null}"#, "! field `a`: missing, expected BIGINT"),
            (
                r#"{"a":1,"r":{}}"#,
                "! field `r.x`: missing, expected TINYINT",
            ),
        ],
    );
}

#[test]
fn columns_that_must_not_be_null() {
    let field = Field::new("a", DataType::Int64, false);
    let schema = Arc::new(Schema::new(Fields::from(vec![field])));
    check_with(
        &[],
        &schema,
        &[
            ("{\"a\":1}", "{\"a\":1}"),
            (
                "{\"a\":null}",
                "! field `a`: found null, expected BIGINT NOT NULL",
            ),
            ("{}", "! field `a`: missing, expected BIGINT NOT NULL"),
        ],
    );
}

#[test]
fn rows_without_columns_are_counted() {
    let schema = schema(&[]);
    let mut decoder = formats::decoder(&config(&[]), &schema).unwrap();
    let decoded = decoder
        .decode(&raw(&["{}", "{\"a\":1}", "{", "{}"]))
        .unwrap();
    assert_eq!(decoded.rows.num_rows(), 3);
    assert_eq!(decoded.record_of_row.as_deref(), Some([0, 1, 3].as_slice()));
    assert_eq!(decoded.rejected.len(), 1);
    assert_eq!(encoded(&decoded.rows), ["{}", "{}", "{}"]);
}

#[test]
fn a_bad_record_leaves_nothing_behind() {
    let item = row(&[("s", DataType::Utf8)]);
    let fields = [
        ("s", DataType::Utf8),
        ("b", DataType::Boolean),
        ("l", types::array(item)),
        ("m", types::map(DataType::Utf8, DataType::Utf8)),
        ("y", DataType::Binary),
        ("n", DataType::Int64),
    ];
    let good = r#"{"s":"abc","b":true,"l":[{"s":"x"}],"m":{"k":"v"},"y":"Zm9v","n":1}"#;
    let bad = good.replace("\"n\":1", "\"n\":{}");
    let cut = &good[..good.len() - 1];
    let rejected = "! field `n`: found object, expected BIGINT";
    let not_closed = format!("! not JSON: expected `,` or `}}` at byte {}", cut.len());
    let cases = [
        (good, good),
        (&bad, rejected),
        (good, good),
        (cut, not_closed.as_str()),
        (good, good),
    ];
    check_with(&[], &schema(&fields), &cases);
    let mut decoder = formats::decoder(&config(&[]), &schema(&fields)).unwrap();
    let decoded = decoder.decode(&raw(&[bad.as_str(), cut])).unwrap();
    assert_eq!(decoded.rows.num_rows(), 0);
    let text = decoded.rows.column(0).as_string::<i32>();
    assert!(text.values().is_empty() && text.null_count() == 0);
}

#[test]
fn refuses_what_it_does_not_know() {
    let error = |options: &[(&str, &str)], data_type: DataType| {
        let made = formats::decoder(&config(options), &schema(&[("c", data_type)]));
        made.err().expect("refused").to_string()
    };
    assert_eq!(
        error(&[], types::map(DataType::Int64, DataType::Utf8)),
        "column `c`: keys of a JSON map are STRING, found BIGINT"
    );
    assert_eq!(
        error(&[], DataType::Null),
        "column `c`: the JSON format has no NULL"
    );
    assert_eq!(
        error(
            &[("json.timestamp-format.standard", "RFC")],
            DataType::Int64
        ),
        "`json.timestamp-format.standard`: found `RFC`, expected `SQL` or `ISO-8601`"
    );
    assert_eq!(
        error(&[("json.ignore-parse-errors", "1")], DataType::Int64),
        "`json.ignore-parse-errors`: found `1`, expected `true` or `false`"
    );
    assert_eq!(
        error(&[("format", "xml")], DataType::Int64),
        "unknown format `xml`; expected one of: json"
    );
    let config = ConnectorConfig {
        connector: "x".into(),
        options: BTreeMap::new(),
    };
    let missing = formats::encoder(&config, &schema(&[])).err().unwrap();
    assert_eq!(missing.to_string(), "no `format`; expected one of: json");
}
