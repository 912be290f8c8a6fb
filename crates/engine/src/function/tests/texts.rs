//! Functions on text, regular expressions, digests, conditions.

use super::check;

#[test]
fn case_and_characters() {
    check("UPPER('abc ß é')", "ABC SS É");
    check("UPPER(NULL)", "NULL");
    check("LOWER('ABC É')", "abc é");
    check("INITCAP('hELLO wORLD-x 1st')", "Hello World-X 1st");
    check("REVERSE('aé漢')", "漢éa");
    check("CHAR_LENGTH('aé漢😀')", "4");
    check("CHARACTER_LENGTH('')", "0");
    check("ASCII('a')", "97");
    check("ASCII('')", "0");
    check("ASCII('é')", "-61");
    check("CHR(97)", "a");
    check("CHR(353)", "a");
    check("CHR(-1)", "");
    check("CHR(NULL:BIGINT)", "NULL");
}

#[test]
fn trimming_and_padding() {
    check("TRIM('  a b  ')", "a b");
    check("LTRIM('  a ')", "a ");
    check("RTRIM('  a ')", "  a");
    check("TRIM('xyaxbyx', 'xy')", "axb");
    check("LTRIM('ééa', 'é')", "a");
    check("TRIM('a', NULL)", "NULL");
    check("TRIM('\ta\t')", "\ta\t");
    check("LPAD('hi', 5, 'ab')", "abahi");
    check("RPAD('hi', 5, 'ab')", "hiaba");
    check("LPAD('hello', 2, '?')", "he");
    check("LPAD('漢字', 4, 'é')", "éé漢字");
    check("LPAD('hi', 0, '?')", "");
    check("LPAD('hi', -1, '?')", "NULL");
    check("RPAD('hi', 5, '')", "NULL");
    check("REPEAT('ab', 3)", "ababab");
    check("REPEAT('ab', 0)", "");
    check("REPEAT('ab', -2)", "");
}

#[test]
fn joining_and_replacing() {
    check("CONCAT('a', 'b', 'c')", "abc");
    check("CONCAT('a', NULL, 'c')", "NULL");
    check("CONCAT_WS('-', 'a', NULL, 'c')", "a-c");
    check("CONCAT_WS('-', NULL, NULL)", "");
    check("CONCAT_WS(NULL, 'a', 'b')", "NULL");
    check("REPLACE('aXbXc', 'X', '--')", "a--b--c");
    check("REPLACE('abc', 'X', '')", "abc");
    check("REPLACE('abc', NULL, '')", "NULL");
}

#[test]
fn parts_of_a_text() {
    check("SUBSTRING('hello', 2)", "ello");
    check("SUBSTRING('hello', 2, 3)", "ell");
    check("SUBSTRING('hello', 0, 2)", "he");
    check("SUBSTRING('hello', -3, 2)", "ll");
    check("SUBSTRING('hello', -9, 2)", "");
    check("SUBSTRING('hello', 9)", "");
    check("SUBSTRING('hello', 2, 0)", "");
    check("SUBSTRING('hello', 2, -1)", "NULL");
    check("SUBSTRING('h漢字lo', 2, 2)", "漢字");
    check("SUBSTRING('h漢字lo', -4, 2)", "漢字");
    check("SUBSTR('hello', 4, 100)", "lo");
    check("LEFT('漢字x', 2)", "漢字");
    check("LEFT('abc', -1)", "");
    check("RIGHT('漢字x', 2)", "字x");
    check("RIGHT('abc', 9)", "abc");
    check("SPLIT_INDEX('a/b/c', '/', 1)", "b");
    check("SPLIT_INDEX('/product/7', '/', 0)", "");
    check("SPLIT_INDEX('a//c', '/', 1)", "");
    check("SPLIT_INDEX('a--b', '--', 1i)", "b");
    check("SPLIT_INDEX('a/b', '/', 2)", "NULL");
    check("SPLIT_INDEX('a/b', '/', -1)", "NULL");
    check("SPLIT_INDEX('a/b', '', 0)", "NULL");
    check("SPLIT_INDEX('', '/', 0)", "NULL");
    check("SPLIT_INDEX(NULL, '/', 0)", "NULL");
    check("SPLIT_INDEX('a漢b', '漢', 1)", "b");
}

#[test]
fn positions() {
    check("LOCATE('l', 'hello')", "3");
    check("LOCATE('l', 'hello', 4)", "4");
    check("LOCATE('l', 'hello', 5)", "0");
    check("LOCATE('l', 'hello', 0)", "0");
    check("LOCATE('字', '漢字')", "2");
    check("LOCATE('x', 'hello')", "0");
    check("LOCATE('', 'hello')", "1");
    check("POSITION('lo', 'hello')", "4");
    check("INSTR('hello', 'lo')", "4");
    check("INSTR(NULL, 'lo')", "NULL");
    check("STARTSWITH('hello', 'he')", "TRUE");
    check("ENDSWITH('hello', 'he')", "FALSE");
    check("ENDSWITH('hello', '')", "TRUE");
    check("STARTSWITH('hello', NULL)", "NULL");
}

#[test]
fn regular_expressions() {
    let host = r"'https?://([^/]+)'";
    check(
        &format!("REGEXP_EXTRACT('https://a.b/c', {host}, 1)"),
        "a.b",
    );
    check(
        &format!("REGEXP_EXTRACT('https://a.b/c', {host})"),
        "https://a.b",
    );
    check(&format!("REGEXP_EXTRACT('ftp://a.b/c', {host}, 1)"), "NULL");
    check(
        &format!("REGEXP_EXTRACT('https://a.b/c', {host}, 2)"),
        "NULL",
    );
    check(
        &format!("REGEXP_EXTRACT('https://a.b/c', {host}, -1)"),
        "NULL",
    );
    check(&format!("REGEXP_EXTRACT(NULL, {host}, 1)"), "NULL");
    check("REGEXP_EXTRACT('a', NULL, 1)", "NULL");
    check("REGEXP_EXTRACT('b', '(a)?b', 1)", "NULL");
    check("REGEXP_REPLACE('a1b22', '[0-9]+', '<$0>')", "a<$0>b<$0>");
    check("REGEXP_REPLACE('abc', 'x', 'y')", "abc");
    check("REGEXP('a1', '^[a-z][0-9]$')", "TRUE");
    check("REGEXP('a1', '')", "FALSE");
    // As in Java, classes are ASCII.
    check(r"REGEXP('٣', '\d')", "FALSE");
    check(r"REGEXP('é', '[\w]')", "FALSE");
    check(r"REGEXP('a.c', '\Qa.c\E')", "TRUE");
    check(r"REGEXP('abc', '\Qa.c\E')", "FALSE");
    check(r"REGEXP('a b', '^\S\s\w$')", "TRUE");
    check(r"REGEXP('foo bar', '\bbar\b')", "TRUE");
}

#[test]
fn wrong_patterns_fail_early_if_constant_and_are_null_if_not() {
    use super::{parse, render, run, three_rows};
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::ColumnarValue;
    let text = || ColumnarValue::Array(three_rows(&parse("'a'")));
    let constant = ScalarValue::try_from_array(&parse("'(?=a)'"), 0).unwrap();
    let error = run("REGEXP", &[text(), ColumnarValue::Scalar(constant)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`REGEXP`: `(?=a)` is not a regular expression: look-around, including look-ahead and \
         look-behind, is not supported"
    );
    let column = || ColumnarValue::Array(three_rows(&parse("'(?=a)'")));
    let found = run("REGEXP_SUBSTR", &[text(), column()]).unwrap();
    assert_eq!(render(&found), "NULL");
    assert_eq!(
        render(&run("REGEXP", &[text(), column()]).unwrap()),
        "FALSE"
    );
}

#[test]
fn what_a_text_is_made_of() {
    check("IS_ALPHA('abcé')", "TRUE");
    check("IS_ALPHA('a1')", "FALSE");
    check("IS_ALPHA('')", "FALSE");
    check("IS_ALPHA(NULL)", "FALSE");
    check("IS_ALPHA('Ⅷ')", "FALSE");
    check("IS_DIGIT('12')", "TRUE");
    check("IS_DIGIT('٣')", "TRUE");
    check("IS_DIGIT('½')", "FALSE");
    check("IS_DIGIT('1.2')", "FALSE");
    check("IS_DECIMAL('-1.2e3')", "TRUE");
    check("IS_DECIMAL('1,2')", "FALSE");
    check("IS_DECIMAL(NULL)", "FALSE");
    check("IS_DECIMAL(12)", "TRUE");
}

#[test]
fn digests() {
    check("MD5('abc')", "900150983cd24fb0d6963f7d28e17f72");
    check("SHA1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check(
        "SHA224('abc')",
        "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    );
    check(
        "SHA256('é')",
        "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c",
    );
    check("SHA256(NULL)", "NULL");
}

#[test]
fn conditions() {
    check("COALESCE(NULL, 'b', 'c')", "b");
    check("COALESCE(NULL, NULL)", "NULL");
    check("IFNULL(NULL:BIGINT, 7)", "7");
    check("IFNULL(3, 7)", "3");
    check("NULLIF(3, 3)", "NULL");
    check("NULLIF(3, 4)", "3");
    check("NULLIF(3, NULL:BIGINT)", "3");
    check("NULLIF(NULL:BIGINT, NULL:BIGINT)", "NULL");
    check("IF(TRUE, 1, 2)", "1");
    check("IF(FALSE, 1, 2)", "2");
    check("GREATEST(1, 3, 2)", "3");
    check("LEAST(3, 1, 2)", "1");
    check("GREATEST(1, NULL:BIGINT, 2)", "NULL");
    check("GREATEST('a', 'b')", "b");
    check("LEAST(1.5, -2.5)", "-2.5");
}

#[test]
fn wrong_number_of_arguments() {
    check(
        "UPPER('a', 'b')",
        "error: `UPPER`: found 2 arguments, expected 1",
    );
    check(
        "SUBSTRING('a')",
        "error: `SUBSTRING`: found 1 arguments, expected 2 to 3",
    );
}
