//! Functions on JSON. Expected values are those of Flink's documentation, or follow from it.

use super::check;

#[test]
fn kinds_of_json() {
    check("IS_JSON('1', 'VALUE')", "TRUE");
    check("IS_JSON('abc', 'VALUE')", "FALSE");
    check("IS_JSON(NULL, 'VALUE')", "FALSE");
    check("IS_JSON('\"abc\"', 'SCALAR')", "TRUE");
    check("IS_JSON('{}', 'SCALAR')", "FALSE");
    check("IS_JSON('{}', 'OBJECT')", "TRUE");
    check("IS_JSON('{}', 'ARRAY')", "FALSE");
    check("JSON_LENGTH('[1, 2]')", "2");
    check("JSON_LENGTH('{\"a\": [1, 2, 3]}', '$.a')", "3");
    check("JSON_LENGTH('x')", "NULL");
    check("JSON_LENGTH('null')", "1");
    check("JSON_LENGTH('{\"a\": [true, null]}', '$.a[1]')", "1");
    check("JSON_LENGTH('{\"a\": [1, 2, 3]}', '$.a[*]')", "NULL");
    check("JSON_LENGTH('{\"a\": [[1, 2]]}', '$.a[*]')", "2");
    check("JSON('{\"b\": 1.0, \"a\": [ ]}')", "{\"a\":[],\"b\":1.0}");
    check("JSON(' ')", "NULL");
    check("JSON('{')", "error: `JSON`: `{` is not JSON");
    check("JSON_QUOTE('a\"b')", r#""a\"b""#);
    // Cases of Flink's `JsonFunctionsITCase`.
    check("JSON_QUOTE('a / ≠ 😀')", r#""a \/ \u2260 \ud83d\ude00""#);
    check(r#"JSON_UNQUOTE('"["abc"]"')"#, r#"["abc"]"#);
    check(r#"JSON_UNQUOTE('"""')"#, "\"");
    check(r#"JSON_UNQUOTE('"["\u0041"]"')"#, r#"["A"]"#);
    check(r#"JSON_UNQUOTE('"\uD801\uDC00"')"#, "\u{10400}");
    check(r#"JSON_UNQUOTE('"\u006z"')"#, r#""\u006z""#);
    check(r#"JSON_UNQUOTE('"a ""\uzzzz"')"#, r#""a ""\uzzzz""#);
    check(r#"JSON_UNQUOTE('{"key":1}')"#, r#"{"key":1}"#);
    check(r#"JSON_UNQUOTE('"')"#, "\"");
    check(r#"JSON_UNQUOTE('"a\"')"#, r#""a\""#);
    check(r"JSON_UNQUOTE('\u0022a\u0022')", r"\u0022a\u0022");
    check("JSON_UNQUOTE('\"a\\\"b\"')", "a\"b");
}

#[test]
fn whether_a_path_exists() {
    check("JSON_EXISTS('{\"a\": true}', '$.a')", "TRUE");
    check("JSON_EXISTS('{\"a\": true}', '$.b')", "FALSE");
    check("JSON_EXISTS('{\"a\": [{\"b\": 1}]}', '$.a[0].b')", "TRUE");
    check("JSON_EXISTS('{\"a\": true}', 'strict $.b', 'TRUE')", "TRUE");
    check("JSON_EXISTS('{\"a\": true}', 'lax $.b', 'TRUE')", "FALSE");
    check("JSON_EXISTS('x', '$.b', 'UNKNOWN')", "NULL");
    check("JSON_EXISTS('x', 'lax $.b', 'UNKNOWN')", "FALSE");
    check("JSON_EXISTS('{\"a\": null}', '$.a', 'UNKNOWN')", "NULL");
    check(
        "JSON_EXISTS('{\"a\": null}', 'lax $.a', 'UNKNOWN')",
        "FALSE",
    );
    check("JSON_EXISTS('{\"a\": 1}', '$.items[*]')", "FALSE");
    check("JSON_EXISTS(NULL, '$.b', 'TRUE')", "NULL");
}

#[test]
fn scalars_out_of_json() {
    check("JSON_VALUE('{\"a\": true}', '$.a')", "true");
    check("JSON_VALUE('{\"a\": 1.50}', '$.a')", "1.50");
    check(
        "JSON_VALUE('{\"a\": 123456789.987654321}', '$.a')",
        "123456789.987654321",
    );
    check(
        "JSON_VALUE('{\"a\": 12345678901234567890}', '$.a')",
        "12345678901234567890",
    );
    check(
        "JSON_VALUE('{\"a.b\": [0.998,0.996]}', '$.[\"a.b\"][0]')",
        "0.998",
    );
    check("JSON_VALUE('{\"a\": [1]}', '$.a')", "NULL");
    check(
        "JSON_VALUE('{\"a\": true}', 'lax $.b', 'DEFAULT', 'NULL', 'empty', 'wrong')",
        "empty",
    );
    check(
        "JSON_VALUE('{\"a\": true}', 'strict $.b', 'DEFAULT', 'DEFAULT', 'empty', 'wrong')",
        "wrong",
    );
    check(
        "JSON_VALUE('{\"a\": null}', '$.a', 'DEFAULT', 'DEFAULT', 'empty', 'wrong')",
        "wrong",
    );
    check(
        "JSON_VALUE('{\"a\": null}', 'lax $.a', 'DEFAULT', 'DEFAULT', 'empty', 'wrong')",
        "empty",
    );
    check(
        "JSON_VALUE('{', '$.a', 'NULL', 'DEFAULT', 'empty', 'wrong')",
        "wrong",
    );
    // A lax path suppresses that the text is not JSON, as in Flink; not that it is `null`.
    check(
        "JSON_VALUE('{', 'lax $.a', 'DEFAULT', 'DEFAULT', 'empty', 'wrong')",
        "empty",
    );
    check(
        "JSON_VALUE('null', 'lax $.a', 'DEFAULT', 'DEFAULT', 'empty', 'wrong')",
        "wrong",
    );
    check(
        "JSON_VALUE(NULL, '$.a', 'DEFAULT', 'DEFAULT', 'empty', 'wrong')",
        "NULL",
    );
}

#[test]
fn values_out_of_json() {
    check("JSON_QUERY('{ \"a\": { \"b\": 1 } }', '$.a')", "{\"b\":1}");
    check(
        "JSON_QUERY('{\"z\": 1, \"a\": 2}', '$')",
        "{\"a\":2,\"z\":1}",
    );
    check("JSON_QUERY('[1, 2]', '$')", "[1,2]");
    check("JSON_QUERY(NULL, '$')", "NULL");
    check(
        "JSON_QUERY('{\"a\":[{\"c\":\"c1\"},{\"c\":\"c2\"}]}', 'lax $.a[*].c')",
        "[\"c1\",\"c2\"]",
    );
    check("JSON_QUERY('{}', '$', 'CONDITIONAL')", "[{}]");
    check("JSON_QUERY('[1, 2]', '$', 'CONDITIONAL')", "[1,2]");
    check("JSON_QUERY('[1, 2]', '$', 'UNCONDITIONAL')", "[[1,2]]");
    check("JSON_QUERY('1', '$')", "NULL");
    check("JSON_QUERY('1', '$', 'CONDITIONAL')", "[1]");
    check(
        "JSON_QUERY('{}', 'lax $.invalid', 'WITHOUT', 'EMPTY OBJECT', 'NULL')",
        "{}",
    );
    check(
        "JSON_QUERY('{}', 'strict $.invalid', 'WITHOUT', 'NULL', 'EMPTY ARRAY')",
        "[]",
    );
}

#[test]
fn json_out_of_values() {
    check("JSON_STRING(1)", "1");
    check("JSON_STRING(1.5)", "1.5");
    check("JSON_STRING(TRUE)", "true");
    check("JSON_STRING('Hello')", "\"Hello\"");
    check("JSON_STRING(NULL)", "NULL");
    check("JSON_STRING(DECIMAL '1.50')", "1.500");
    check("JSON_STRING(DATE '2025-06-15')", "\"2025-06-15\"");
    check(
        "JSON_STRING(TIMESTAMP '1990-06-02 13:37:42.001')",
        "\"1990-06-02T13:37:42.001\"",
    );
    check(
        "JSON_STRING(LTZ '1990-06-02 10:00:00')",
        "\"1990-06-02T10:00:00Z\"",
    );
    check("JSON_OBJECT('n')", "{}");
    check(
        "JSON_OBJECT('vvn', 'K2', 'V2', 'K1', 7)",
        "{\"K1\":7,\"K2\":\"V2\"}",
    );
    check("JSON_OBJECT('vn', 'K1', NULL)", "{\"K1\":null}");
    check("JSON_OBJECT('va', 'K1', NULL)", "{}");
    check(
        "JSON_OBJECT('jn', 'K1', '{\"K2\":\"V\"}')",
        "{\"K1\":{\"K2\":\"V\"}}",
    );
    check("JSON_ARRAY('a')", "[]");
    check("JSON_ARRAY('vva', 1, '2')", "[1,\"2\"]");
    check("JSON_ARRAY('vn', NULL)", "[null]");
    check("JSON_ARRAY('va', NULL)", "[]");
    check("JSON_ARRAY('ja', '[1]')", "[[1]]");
}
