CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, country STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json');
CREATE TABLE top_pages (window_start TIMESTAMP(3), country STRING, page STRING, n BIGINT, rank_no BIGINT)
WITH ('connector' = 'clickhouse');
CREATE TABLE clicks_of_users (window_start TIMESTAMP(3), user_id STRING, event_id STRING) WITH ('connector' = 'clickhouse');

CREATE TEMPORARY VIEW per_minute AS
SELECT window_start, window_end, country, page, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, country, page;

-- The number is put out, and part of the condition is not about it.
INSERT INTO top_pages
SELECT window_start, country, page, n, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, country ORDER BY n DESC, page) AS rn
  FROM per_minute)
WHERE rn BETWEEN 2 AND 3 AND n > 1;

-- Nobody needs the number; the order is an expression.
INSERT INTO top_pages
SELECT window_start, country, page, n, 1 FROM (
  SELECT window_start, country, page, n,
    ROW_NUMBER() OVER (PARTITION BY window_end, window_start ORDER BY n * 2 DESC NULLS FIRST) AS rn
  FROM per_minute)
WHERE 2 > rn;

-- The first and the last click of each user and minute.
INSERT INTO clicks_of_users
SELECT window_start, user_id, event_id FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, user_id ORDER BY event_time) AS rn
  FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)))
WHERE rn = 1;

INSERT INTO clicks_of_users
SELECT window_start, user_id, event_id FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, user_id ORDER BY event_time DESC) AS rn
  FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)))
WHERE rn <= 1;
