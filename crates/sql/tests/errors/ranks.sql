CREATE TABLE clicks (user_id STRING, ts BIGINT, page STRING, price DOUBLE, tags ARRAY<STRING>, m MAP<STRING, INT>, event_time AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json'); CREATE TABLE words (page STRING, n BIGINT) WITH ('connector' = 'print'); CREATE VIEW w AS SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE));
-- case: rank without a limit
INSERT INTO words SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY ts) FROM w;
-- case: rank with a lower limit only
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY ts) AS rn FROM w) WHERE rn > 2;
-- case: rank with a limit for some rows
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY ts) AS rn FROM w) WHERE rn < 2 OR page = '/';
-- case: one end of a window
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY ts) AS rn FROM w) WHERE rn < 2;
-- case: no order
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end) AS rn FROM w) WHERE rn < 2;
-- case: order by a constant
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY 1) AS rn FROM w) WHERE rn < 2;
-- case: order by a map
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY m) AS rn FROM w) WHERE rn < 2;
-- case: partition by an array
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY tags ORDER BY event_time) AS rn FROM w) WHERE rn < 2;
-- case: a frame of ROW_NUMBER
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY ts ROWS 1 PRECEDING) AS rn FROM w) WHERE rn < 2;
-- case: rank
INSERT INTO words SELECT page, rn FROM (SELECT page, RANK() OVER (PARTITION BY window_start, window_end ORDER BY ts) AS rn FROM w) WHERE rn < 2;
-- case: lead
INSERT INTO words SELECT page, LEAD(ts) OVER (PARTITION BY page ORDER BY event_time) FROM clicks;
-- case: not an aggregate
INSERT INTO words SELECT page, UPPER(page) OVER (PARTITION BY page ORDER BY event_time) FROM clicks;
-- case: two ranks
INSERT INTO words SELECT page, a FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY ts) AS a, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY page) AS b FROM w) WHERE a < 2 AND b < 2;
-- case: top n without a window
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY page ORDER BY price DESC) AS rn FROM clicks) WHERE rn <= 3;
-- case: keep last without a window
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY page ORDER BY event_time DESC) AS rn FROM clicks) WHERE rn = 1;
-- case: keep first without a ttl
INSERT INTO words SELECT page, rn FROM (SELECT page, ROW_NUMBER() OVER (PARTITION BY page ORDER BY event_time) AS rn FROM clicks) WHERE rn = 1;
-- case: over in where
INSERT INTO words SELECT page, ts FROM clicks WHERE COUNT(*) OVER (PARTITION BY page ORDER BY event_time) > 3;
-- case: over beside group by
INSERT INTO words SELECT page, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY COUNT(*)) FROM w GROUP BY window_start, window_end, page;
-- case: over without order
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page) FROM clicks;
-- case: over not by time
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY ts) FROM clicks;
-- case: over descending
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time DESC) FROM clicks;
-- case: over by two columns
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time, ts) FROM clicks;
-- case: two partitions
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time) + COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) FROM clicks;
-- case: rank beside over
INSERT INTO words SELECT page, n FROM (SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY window_time) AS n, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY ts) AS rn FROM w) WHERE rn = 1;
-- case: following
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM clicks;
-- case: ends before the row
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time ROWS BETWEEN 30 PRECEDING AND 1 PRECEDING) FROM clicks;
-- case: rows without a number
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time ROWS BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW) FROM clicks;
-- case: range without an interval
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time RANGE BETWEEN 5 PRECEDING AND CURRENT ROW) FROM clicks;
-- case: groups
INSERT INTO words SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY event_time GROUPS BETWEEN 5 PRECEDING AND CURRENT ROW) FROM clicks;
-- case: unknown window
INSERT INTO words SELECT page, COUNT(*) OVER v FROM clicks WINDOW u AS (PARTITION BY page ORDER BY event_time);
-- case: window of a window
INSERT INTO words SELECT page, COUNT(*) OVER (u ROWS 1 PRECEDING) FROM clicks WINDOW u AS (PARTITION BY page ORDER BY event_time);
-- case: lag by a column
INSERT INTO words SELECT page, LAG(ts, ts) OVER (PARTITION BY page ORDER BY event_time) FROM clicks;
-- case: lag with a default of another type
INSERT INTO words SELECT page, LAG(ts, 1, 'x') OVER (PARTITION BY page ORDER BY event_time) FROM clicks;
-- case: order by time descending
INSERT INTO words SELECT page, ts FROM clicks ORDER BY event_time DESC;
-- case: order by all
INSERT INTO words SELECT page, ts FROM clicks ORDER BY ALL;
