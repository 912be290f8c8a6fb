CREATE TABLE clicks (page STRING, n BIGINT, x DOUBLE, bytes BYTES) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json'); CREATE TABLE words (word STRING) WITH ('connector' = 'print'); CREATE FUNCTION twice(a BIGINT) RETURNS BIGINT AS a + a;
-- case: a path from a column
INSERT INTO words SELECT JSON_VALUE(page, page) FROM clicks;
-- case: no path
INSERT INTO words SELECT JSON_QUERY(page, 'a.b') FROM clicks;
-- case: JSON that is a number
INSERT INTO words SELECT JSON_VALUE(n, '$.a') FROM clicks;
-- case: JSON of bytes
INSERT INTO words SELECT page FROM clicks WHERE bytes IS JSON;
-- case: another type of JSON
INSERT INTO words SELECT JSON_VALUE(page, '$.a' RETURNING BIGINT) FROM clicks;
-- case: a default of another type
INSERT INTO words SELECT CAST(JSON_VALUE(page, '$.a' RETURNING INT DEFAULT 'x' ON EMPTY) AS STRING) FROM clicks;
-- case: behaviours in the wrong order
INSERT INTO words SELECT JSON_VALUE(page, '$.a' NULL ON ERROR NULL ON EMPTY) FROM clicks;
-- case: an unknown behaviour
INSERT INTO words SELECT JSON_QUERY(page, '$.a' TRUE ON ERROR) FROM clicks;
-- case: a key from a column
INSERT INTO words SELECT JSON_OBJECT(page VALUE n) FROM clicks;
-- case: a key without a value
INSERT INTO words SELECT JSON_OBJECT('a', n) FROM clicks;
-- case: returning rows of JSON
INSERT INTO words SELECT JSON_QUERY(page, '$' RETURNING STRING) FROM clicks;
-- case: decoding text
INSERT INTO words SELECT DECODE(page, 'UTF-8') FROM clicks;
-- case: digits of a double
INSERT INTO words SELECT HEX(x) FROM clicks;
-- case: the current second
INSERT INTO words SELECT CAST(UNIX_TIMESTAMP() AS STRING) FROM clicks;
-- case: an escape in a pattern
INSERT INTO words SELECT page FROM clicks WHERE page SIMILAR TO 'a' ESCAPE '\';
-- case: a function for later
INSERT INTO words SELECT PRINTF('%s', page) FROM clicks;
-- case: a slip in a name
INSERT INTO words SELECT REGEXP_SUBSTRING(page, 'a') FROM clicks;
-- case: a slip in the script's own function
INSERT INTO words SELECT CAST(twise(n) AS STRING) FROM clicks;
-- case: an argument of a wrong type
INSERT INTO words SELECT CAST(twice(page) AS STRING) FROM clicks;
-- case: too many arguments
INSERT INTO words SELECT CAST(twice(n, n) AS STRING) FROM clicks;
-- case: a function that calls itself
CREATE FUNCTION f(a BIGINT) RETURNS BIGINT AS CASE WHEN a > 0 THEN f(a - 1) ELSE 0 END;
-- case: a function that calls a later one
CREATE FUNCTION f(a BIGINT) RETURNS BIGINT AS g(a);
-- case: a function of a column
CREATE FUNCTION f(a BIGINT) RETURNS BIGINT AS a + n;
-- case: a function of another type
CREATE FUNCTION f(a BIGINT) RETURNS INT AS a + 1;
-- case: a function twice
CREATE FUNCTION Twice(a BIGINT) RETURNS BIGINT AS a;
-- case: a function that is built in
CREATE FUNCTION upper(a STRING) RETURNS STRING AS a;
-- case: a parameter twice
CREATE FUNCTION f(a BIGINT, a BIGINT) RETURNS BIGINT AS a;
-- case: an aggregate in a function
CREATE FUNCTION f(a BIGINT) RETURNS BIGINT AS SUM(a);
-- case: a function of a class
CREATE FUNCTION f AS 'com.example.F' LANGUAGE JAVA;
-- case: a function without a type
CREATE FUNCTION f(a BIGINT) AS a;
