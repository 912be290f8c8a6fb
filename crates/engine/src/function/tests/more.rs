//! Encodings, parts of texts, angles, and more regular expressions and dates.

use super::check;

#[test]
fn encodings() {
    check("TO_BASE64('hello world')", "aGVsbG8gd29ybGQ=");
    check("FROM_BASE64('aGVsbG8gd29ybGQ=')", "hello world");
    check("FROM_BASE64('aGVsbG8')", "hello");
    check("FROM_BASE64('a')", "NULL");
    check("FROM_BASE64('????')", "NULL");
    check("HEX(20)", "14");
    check("HEX(-1)", "FFFFFFFFFFFFFFFF");
    check("HEX('hello,world')", "68656C6C6F2C776F726C64");
    check("UNHEX('466C696E6B')", "Flink");
    check("UNHEX('4G')", "NULL");
    check("UNHEX('141')", "\0A");
    check("BIN(12)", "1100");
    check("ENCODE('é?', 'US-ASCII')", "??");
    check("ENCODE('a', 'UTF-16BE')", "\0a");
    check("ENCODE('a', NULL)", "NULL");
    check("URL_ENCODE('a b&ü*')", "a+b%26%C3%BC*");
    check("URL_DECODE('a+b%26%C3%BC')", "a b&ü");
    check("URL_DECODE('100%')", "NULL");
    check(
        "SHA2('abc', 224)",
        "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    );
    check("SHA2('abc', 1)", "NULL");
}

#[test]
fn parts() {
    check("OVERLAY('xxxxxtest', 'xxxx', 6)", "xxxxxxxxx");
    check("OVERLAY('xxxxxtest', 'xxxx', 6, 2)", "xxxxxxxxxst");
    check("OVERLAY('abc', 'X', 4)", "abc");
    check("OVERLAY('abc', 'X', 0)", "abc");
    check(
        "TRANSLATE('www.apache.org', 'wapcheorg', ' APCHEcom')",
        "   .APACHE.com",
    );
    check("TRANSLATE('abc', 'ab', 'x')", "xc");
    check("ELT(2, 'a', 'b')", "b");
    check("ELT(3, 'a', 'b')", "NULL");
    check("ELT(0, 'a')", "NULL");
    check("SPLIT('a,b,,c', ',')", "[a, b, , c]");
    check("SPLIT('abc', '')", "[a, b, c]");
    check("SPLIT('aé😀', '')", "[a, é, 😀]");
    check("SPLIT('', ',')", "[]");
    check("SPLIT('', '')", "[]");
    check("SPLIT(',a,', ',')", "[, a, ]");
    check("SPLIT('a', NULL)", "NULL");
    check("SPLIT('abc', '-')", "[abc]");
    check("SPLIT(NULL, '-')", "NULL");
    check("STR_TO_MAP('k1=v1,k2=v2')", "{k1=v1, k2=v2}");
    check(
        "STR_TO_MAP('k1:v1;k2:;k3', ';', ':')",
        "{k1=v1, k2=, k3=NULL}",
    );
    check("STR_TO_MAP('k1=a=b')", "{k1=a=b}");
    check("STR_TO_MAP('')", "{}");
    check("STR_TO_MAP(NULL)", "NULL");
    check(
        "STR_TO_MAP('k1$$v1|k2', '\\|', '\\$\\$')",
        "{k1=v1, k2=NULL}",
    );
}

#[test]
fn parts_of_urls() {
    let url = "'http://user:pass@facebook.com:80/path1/p.php?k1=v1&k2=v2#Ref1'";
    for (part, expected) in [
        ("HOST", "facebook.com"),
        ("PATH", "/path1/p.php"),
        ("QUERY", "k1=v1&k2=v2"),
        ("REF", "Ref1"),
        ("PROTOCOL", "http"),
        ("FILE", "/path1/p.php?k1=v1&k2=v2"),
        ("AUTHORITY", "user:pass@facebook.com:80"),
        ("USERINFO", "user:pass"),
        ("PORT", "NULL"),
    ] {
        check(&format!("PARSE_URL({url}, '{part}')"), expected);
    }
    check(&format!("PARSE_URL({url}, 'QUERY', 'k2')"), "v2");
    check(&format!("PARSE_URL({url}, 'QUERY', 'k3')"), "NULL");
    check("PARSE_URL('no url', 'HOST')", "NULL");
}

#[test]
fn more_regular_expressions() {
    check("REGEXP_COUNT('hello world! Hello everyone!', 'Hello')", "1");
    check("REGEXP_COUNT('abcabcabc', 'abcab')", "1");
    check("REGEXP_COUNT('abcd', 'z')", "0");
    check("REGEXP_INSTR('héllo world', 'wor')", "7");
    check("REGEXP_INSTR('hello', 'z')", "0");
    check("REGEXP_SUBSTR('The Spark', '[a-z]{3}')", "par");
    check("REGEXP_SUBSTR('abc', 'z')", "NULL");
    check("REGEXP_EXTRACT_ALL('ab-c1d2', '[a-z](\\d)')", "[1, 2]");
    check("REGEXP_EXTRACT_ALL('c1d2', '[a-z](\\d)', 0)", "[c1, d2]");
    check("REGEXP_EXTRACT_ALL('c1', '[a-z](\\d)', 2)", "NULL");
    check("REGEXP_EXTRACT_ALL('x', '(z)')", "[]");
    // Cases of Flink's `RegexpFunctionsITCase`.
    check(
        "REGEXP_EXTRACT_ALL('abcdeabde', '(abcdeabde)|([a-z]*)', 2)",
        "[NULL, ]",
    );
    check(
        "REGEXP_EXTRACT_ALL('abcdeabde', 'ab((c)|(.?))de', 2)",
        "[c, NULL]",
    );
    check("REGEXP_EXTRACT_ALL('abcd', '', 0)", "[, , , , ]");
    check("REGEXP_EXTRACT_ALL('abcd', '(abcd)', -1)", "NULL");
    check(
        "REGEXP_COUNT('Helloworld! Hello everyone!', '\\bHello\\b')",
        "1",
    );
    check("REGEXP_COUNT('aab', 'a*')", "3");
    check("REGEXP_COUNT('é', '')", "2");
    check("REGEXP_REPLACE('aab', 'a*', 'x')", "xxbx");
    check(
        "REGEXP_INSTR('Helloworld! Hello everyone!', '\\bHello\\b')",
        "13",
    );
    check("SIMILAR_TO('abc', 'a%')", "TRUE");
    check("SIMILAR_TO('abc', '(b|c)%')", "FALSE");
    check("SIMILAR_TO('abc', '_[a-c]{2}')", "TRUE");
    check("SIMILAR_TO('a.c', 'a.c')", "TRUE");
    check("SIMILAR_TO('abc', 'a.c')", "FALSE");
    check("SIMILAR_TO(NULL, 'a')", "NULL");
    check("SIMILAR_TO('100%', '[0-9]+!%', '!')", "TRUE");
    check("SIMILAR_TO('100x', '[0-9]+!%', '!')", "FALSE");
    check("LIKE_PATTERN('a!%b\\c%', '!')", "a\\%b\\\\c%");
    check("LIKE_PATTERN(NULL, '!')", "NULL");
}

#[test]
fn angles_and_constants() {
    check("SIN(0.0)", "0.0");
    check("COS(0.0)", "1.0");
    check("ATAN2(0.0, 1.0)", "0.0");
    check("COSH(0.0)", "1.0");
    check("DEGREES(0.0)", "0.0");
    check("RADIANS(180)", "3.141592653589793");
    check("COT(NULL:DOUBLE)", "NULL");
}

#[test]
fn dates_out_of_text() {
    check("TO_DATE('2025-06-15')", "2025-06-15");
    check("TO_DATE('15.06.2025', 'dd.MM.yyyy')", "2025-06-15");
    check("TO_DATE('x')", "NULL");
    check("UNIX_TIMESTAMP('1970-01-02 00:00:01')", "86401");
    check("UNIX_TIMESTAMP('02/01/1970', 'dd/MM/yyyy')", "86400");
    check("UNIX_TIMESTAMP('x')", "-9223372036854775808");
    check("UNIX_TIMESTAMP(NULL)", "NULL");
}

#[test]
fn what_would_take_all_memory_is_null() {
    check("REPEAT('abc', 100000000)", "NULL");
    check("REPEAT('', 9000000000000000000)", "");
    check("LPAD('abc', 2000000000, 'x')", "NULL");
    check("RPAD('abc', 9000000000000000000, 'x')", "NULL");
}
