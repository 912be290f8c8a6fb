CREATE TABLE clicks (event_id STRING, user_id STRING, ts BIGINT, page STRING, device ROW<os STRING>, tags ARRAY<STRING>, event_time AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json'); CREATE TABLE words (page STRING, n BIGINT) WITH ('connector' = 'print'); CREATE TABLE made (n INT) WITH ('connector' = 'datagen');
-- case: unknown column
INSERT INTO words SELECT pgae, ts FROM clicks;
-- case: column in another case
INSERT INTO words SELECT PAGE, ts FROM clicks;
-- case: unknown table
INSERT INTO words SELECT page, ts FROM click;
-- case: unknown sink
INSERT INTO word SELECT page, ts FROM clicks;
-- case: unknown alias
INSERT INTO words SELECT d.page, ts FROM clicks AS c;
-- case: unknown column of an alias
INSERT INTO words SELECT c.pag, ts FROM clicks AS c;
-- case: unknown field
INSERT INTO words SELECT device.ox, ts FROM clicks;
-- case: field of no row
INSERT INTO words SELECT page.os, ts FROM clicks;
-- case: unknown function
INSERT INTO words SELECT UPER(page), ts FROM clicks;
-- case: the clock where rows only are looked at
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page, NOW();
-- case: a function for later
INSERT INTO words SELECT OBJECT_OF(tags), ts FROM clicks;
-- case: too few arguments
INSERT INTO words SELECT SPLIT_INDEX(page, '/'), ts FROM clicks;
-- case: an argument of a wrong type
INSERT INTO words SELECT UPPER(ts), ts FROM clicks;
-- case: comparing text with a number
INSERT INTO words SELECT page, ts FROM clicks
WHERE page = 3;
-- case: adding text
INSERT INTO words SELECT page + 'x', ts FROM clicks;
-- case: difference of times
INSERT INTO words SELECT page, event_time - event_time FROM clicks;
-- case: condition of a number
INSERT INTO words SELECT page, ts FROM clicks WHERE ts;
-- case: results of different types
INSERT INTO words SELECT CASE WHEN ts > 1 THEN page ELSE 1 END, ts FROM clicks;
-- case: a wrong cast
INSERT INTO words SELECT page, ts FROM clicks WHERE CAST(ts AS TIMESTAMP(3)) IS NULL;
-- case: a sized cast
INSERT INTO words SELECT CAST(page AS VARCHAR(3)), ts FROM clicks;
-- case: a coarse cast
INSERT INTO words SELECT CAST(CAST(event_time AS TIMESTAMP(0)) AS STRING), ts FROM clicks;
-- case: column of a wrong type
INSERT INTO words SELECT page,
  user_id FROM clicks;
-- case: too many columns
INSERT INTO words SELECT page, ts, user_id FROM clicks;
-- case: too few columns
INSERT INTO words SELECT page FROM clicks;
-- case: unknown target column
INSERT INTO words (page, m) SELECT page, ts FROM clicks;
-- case: writing a source
INSERT INTO made SELECT 1 FROM clicks;
-- case: reading a sink
INSERT INTO words SELECT page, n FROM words;
-- case: ambiguous
INSERT INTO words SELECT a, 1 FROM (SELECT page AS a, user_id AS a FROM clicks);
-- case: union without ALL
INSERT INTO words SELECT page, ts FROM clicks UNION SELECT user_id, ts FROM clicks;
-- case: union of other columns
INSERT INTO words SELECT page, ts FROM clicks UNION ALL SELECT user_id FROM clicks;
-- case: union of other types
INSERT INTO words SELECT page, ts FROM clicks UNION ALL SELECT ts, ts FROM clicks;
-- case: intersect
INSERT INTO words SELECT page, ts FROM clicks INTERSECT SELECT user_id, ts FROM clicks;
-- case: order by
INSERT INTO words SELECT page, ts FROM clicks ORDER BY ts;
-- case: limit
INSERT INTO words SELECT page, ts FROM clicks LIMIT 10;
-- case: distinct
INSERT INTO words SELECT DISTINCT page, ts FROM clicks;
-- case: subquery in an expression
INSERT INTO words SELECT page, ts FROM clicks WHERE ts = 1 OR page IN (SELECT page FROM clicks);
-- case: unnest of an unknown column
INSERT INTO words SELECT tag, ts FROM clicks CROSS JOIN UNNEST(labels) AS t (tag);
-- case: unnest of a string
INSERT INTO words SELECT tag, ts FROM clicks CROSS JOIN UNNEST(page) AS t (tag);
-- case: unnest on a condition
INSERT INTO words SELECT page, ts FROM clicks LEFT JOIN UNNEST(page) AS t (tag) ON tag = page;
-- case: right join with unnest
INSERT INTO words SELECT page, ts FROM clicks RIGHT JOIN UNNEST(page) AS t (tag) ON TRUE;
-- case: unnest alone
INSERT INTO words SELECT tag, 1 FROM UNNEST(tags) AS t (tag);
-- case: match recognize
INSERT INTO words SELECT a, 1 FROM clicks MATCH_RECOGNIZE (ORDER BY event_time MEASURES A.page AS a PATTERN (A) DEFINE A AS A.ts > 1);
-- case: select without from
INSERT INTO words SELECT 'a', 1;
-- case: too many names of a view
CREATE VIEW v (a, b, c) AS SELECT page, ts FROM clicks;
