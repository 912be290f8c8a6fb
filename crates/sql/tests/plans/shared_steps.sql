-- Steps that are equal are there once, whatever names they give and whichever INSERT they are of.
CREATE TABLE clicks (
  page STRING, country STRING, user_id STRING, price DOUBLE, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time
) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json');
CREATE TABLE countries (code STRING, name STRING) WITH ('connector' = 'filesystem', 'path' = 'countries', 'format' = 'json');

CREATE TABLE by_page (window_start TIMESTAMP(3), page STRING, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE users_of_pages (window_start TIMESTAMP(3), page STRING, users BIGINT, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE best (window_start TIMESTAMP(3), page STRING, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE named (name STRING, page STRING) WITH ('connector' = 'print');
CREATE TABLE prices (price DOUBLE) WITH ('connector' = 'print');
CREATE TABLE pairs (page STRING, n BIGINT, users BIGINT) WITH ('connector' = 'print');

CREATE VIEW minutes AS
SELECT window_start, window_end, window_time, page, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, window_time, page;

-- The same view three times, and a query of the same groups that asks more.
INSERT INTO by_page SELECT window_start, page, n FROM minutes;
INSERT INTO by_page SELECT window_start, page, n FROM minutes;
INSERT INTO best SELECT window_start, page, n FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS rn FROM minutes
) WHERE rn <= 3;
INSERT INTO users_of_pages
SELECT window_start, page, COUNT(DISTINCT user_id), COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page;

-- A view joined with itself: both sides are one node.
INSERT INTO pairs
SELECT a.page, a.n, b.n FROM minutes a JOIN minutes b
ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.page = b.page;

-- The same conditions and expressions under other names, and a table in memory that is read once.
INSERT INTO named SELECT c.name, UPPER(page) AS p FROM clicks JOIN countries AS c ON country = c.code WHERE price > 1;
INSERT INTO named SELECT d.name, UPPER(page) AS q FROM clicks JOIN countries AS d ON country = d.code WHERE price > 1;

-- 0 and -0 are equal as numbers, what is computed of them is not.
INSERT INTO prices SELECT price * 0E0 FROM clicks;
INSERT INTO prices SELECT price * -0E0 FROM clicks;

-- What OVER puts out is what any of the queries needs.
CREATE VIEW visits AS
SELECT page, country, price, COUNT(*) OVER w AS visit, SUM(price) OVER w AS spent FROM clicks
WINDOW w AS (PARTITION BY user_id ORDER BY event_time ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);
INSERT INTO prices SELECT spent FROM visits WHERE visit > 5;
INSERT INTO named SELECT country, page FROM visits WHERE visit = 1;

-- Each call of chance gives values of its own, so these are two samples.
INSERT INTO prices SELECT price FROM clicks WHERE RAND() < 0.1;
INSERT INTO prices SELECT price FROM clicks WHERE RAND() < 0.1;

-- Other windows, keys or conditions are other steps.
INSERT INTO by_page
SELECT window_start, page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '2' MINUTE))
GROUP BY window_start, window_end, page;
INSERT INTO by_page
SELECT window_start, country, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, country;
INSERT INTO by_page
SELECT window_start, page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
WHERE price > 1 GROUP BY window_start, window_end, page;
