-- Operators, functions and the conversions around them.
CREATE TABLE t (
  i INT, l BIGINT, d DOUBLE, f FLOAT, p DECIMAL(10, 2), s STRING, b BOOLEAN,
  ts TIMESTAMP(3), lt TIMESTAMP_LTZ(6), dt DATE, tm TIME(0), y BYTES, small SMALLINT
) WITH ('connector' = 'filesystem', 'path' = '/t', 'format' = 'json');
CREATE TABLE numbers (a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE, f DOUBLE, g DOUBLE) WITH ('connector' = 'print');
CREATE TABLE texts (a STRING, b STRING, c STRING, d STRING, e STRING, f STRING) WITH ('connector' = 'print');
CREATE TABLE flags (a BOOLEAN, b BOOLEAN, c BOOLEAN, d BOOLEAN, e BOOLEAN, f BOOLEAN) WITH ('connector' = 'print');
CREATE TABLE times (a TIMESTAMP(3), b TIMESTAMP_LTZ(6), c TIMESTAMP(3), d TIMESTAMP(3), e BIGINT, f BIGINT) WITH ('connector' = 'print');
INSERT INTO numbers SELECT i + l, i / 2, p * 1.5, f + p, -d, MOD(l, i), 2147483648 - -1 FROM t;
INSERT INTO numbers SELECT ROUND(p, 1), FLOOR(p), CEIL(d), ABS(i), POWER(i, 2), SIGN(l), small + 1 FROM t;
INSERT INTO numbers SELECT IF(b, i, d), NULLIF(i, 0), IFNULL(f, 0), GREATEST(i, l, 3), 1e3, .5, +i FROM t;
INSERT INTO numbers SELECT CASE i WHEN 1 THEN 1 WHEN 2 THEN 2.5 END, CASE WHEN b THEN NULL ELSE d END,
  TRY_CAST(s AS DOUBLE), CAST('1' AS INT), LOG(2, d), CHAR_LENGTH(s), 5 % small FROM t;
INSERT INTO texts SELECT s || 'x' || s, SUBSTRING(s FROM 2 FOR 3), SUBSTR(s, 2), TRIM(BOTH 'x' FROM s), TRIM(LEADING ' ' FROM s),
  CAST(i AS STRING) FROM t;
INSERT INTO texts SELECT DATE_FORMAT(s, 'yyyy'), DATE_FORMAT(ts, 'yyyy'), FROM_UNIXTIME(l), 'it''s', CAST(NULL AS STRING), NULL FROM t;
INSERT INTO flags SELECT i = l, s LIKE 'a\%', s NOT LIKE s, i BETWEEN 1 AND 5.5, i NOT IN (1, 2, l), NOT b AND TRUE FROM t;
INSERT INTO flags SELECT b IS TRUE, b IS NOT FALSE, b IS UNKNOWN, i IS DISTINCT FROM l, ts > '2025-01-01 00:00:00', s IS NOT NULL FROM t;
INSERT INTO times SELECT ts + INTERVAL '1:30' MINUTE TO SECOND, INTERVAL '2' DAYS + lt, FLOOR(ts TO HOUR), TIMESTAMPADD(DAY, i, ts),
  TIMESTAMPDIFF(SECOND, ts, lt), EXTRACT(DAY FROM dt) FROM t;
INSERT INTO times SELECT TIMESTAMP '2025-06-15 15:06:00', TIMESTAMP '2025-06-15 15:06:00.123456', TO_TIMESTAMP(s), TO_TIMESTAMP(s, 'yyyy'),
  HOUR(tm), LOCATE('a', s) + POSITION('b' IN s) + INSTR(s, 'c') FROM t WHERE dt = DATE '2025-06-15' AND tm < TIME '12:00:00' AND y = X'00ff';
