-- Queries over several inputs, and rows out of arrays.
CREATE TABLE web (
  page STRING, n INT, ts BIGINT, tags ARRAY<STRING>, unused STRING,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'web', 'format' = 'json');
CREATE TABLE app (
  screen STRING, n BIGINT, ts BIGINT,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '9' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'app', 'format' = 'json');
CREATE TABLE per_minute (window_start TIMESTAMP(3), page STRING, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE tags_of (page STRING, tag STRING, pos INT) WITH ('connector' = 'print');

CREATE TEMPORARY VIEW both_of_them AS
SELECT page, n, rt FROM web UNION ALL SELECT screen, n, rt FROM app WHERE n > 1;

INSERT INTO per_minute
SELECT window_start, page, SUM(n)
FROM TABLE(TUMBLE(TABLE both_of_them, DESCRIPTOR(rt), INTERVAL '1' MINUTE))
WHERE page <> '/x'
GROUP BY window_start, window_end, page;

INSERT INTO tags_of
SELECT page, tag, pos FROM web LEFT JOIN UNNEST(tags) WITH ORDINALITY AS t (tag, pos) ON TRUE
WHERE n > 3 AND tag <> 'none';
