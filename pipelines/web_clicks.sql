-- Web clicks: views and visitors for each minute, page and country, and the minutes that stand out.
--
--   browsers --> HTTP collector --> topic web.clicks --> clicks --> minutes --> page_minute_agg
--                                                          |           '------> anomalies
--                                                          |--> clicks_raw
--                                                          |--> late_clicks
--                                                          '--> dead_clicks
--
-- A click carries its own time (`ts`, milliseconds), and clicks may come up to 10 seconds out of
-- order. A minute is counted once its end is 10 seconds behind the newest click, so each row of
-- page_minute_agg is final when it appears. Clicks that come after that are kept in late_clicks,
-- records that are no clicks at all in dead_clicks: every record that the collector accepted is
-- counted in a minute, late, or dead, and never twice.
--
-- The minutes are counted once, for both tables: the INSERTs read one view. A minute is an anomaly
-- if its views are more than three standard deviations from the mean of the 30 minutes with views
-- that the same page had from the same country before it, once there are ten of them.
--
-- Every click is also kept as it came, in the lake: clicks_raw is a table of Apache Iceberg, which
-- other programs can read. A click is decoded once for both.
--
-- The file is Flink SQL. What Flink has no word for is a SET 'millstream.…', which Flink ignores.

SET 'pipeline.name' = 'web_clicks';
SET 'execution.checkpointing.interval' = '1 s';
SET 'millstream.clicks.late-events' = 'late_clicks';
SET 'millstream.clicks.dead-letters' = 'dead_clicks';

-- What browsers send, as JSON objects, to POST /v1/events/web.clicks.
CREATE TABLE clicks (
  event_id   STRING,
  user_id    STRING,
  ts         BIGINT,
  page       STRING,
  referrer   STRING,
  country    STRING,
  device     STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH (
  'connector' = 'http',
  'topic' = 'web.clicks',
  'format' = 'json',
  -- A partition that nobody writes to does not hold time back for longer than this.
  'scan.watermark.idle-timeout' = '30 s'
);

-- One row for each minute, page and country.
CREATE TABLE page_minute_agg (
  window_start TIMESTAMP(3),
  window_end   TIMESTAMP(3),
  page         STRING,
  country      STRING,
  `views`      BIGINT,
  visitors     BIGINT,
  PRIMARY KEY (window_start, page, country) NOT ENFORCED
) WITH (
  'connector' = 'clickhouse',
  'database-name' = 'rt',
  'table-name' = 'page_minute_agg'
);

-- Minutes in which a page had far more or fewer views from a country than in those before.
CREATE TABLE anomalies (
  window_start TIMESTAMP(3),
  window_end   TIMESTAMP(3),
  page         STRING,
  country      STRING,
  `views`      BIGINT,
  mean         DOUBLE,        -- of the minutes before
  deviation    DOUBLE,        -- their standard deviation
  z            DOUBLE,        -- (views - mean) / deviation; null if they did not vary at all
  PRIMARY KEY (window_start, page, country) NOT ENFORCED
) WITH (
  'connector' = 'clickhouse',
  'database-name' = 'rt',
  'table-name' = 'anomalies'
);

-- All clicks, also those that came too late, a partition for each day.
CREATE TABLE clicks_raw (
  event_id     STRING,
  user_id      STRING,
  ts           BIGINT,
  page         STRING,
  referrer     STRING,
  country      STRING,
  device       STRING,
  event_time   TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'iceberg',
  'catalog-database' = 'lake',
  'catalog-table' = 'clicks_raw',
  'partitioning' = 'day(event_time)'
);

-- Clicks whose minute was counted before they came.
CREATE TABLE late_clicks (
  event_id     STRING,
  user_id      STRING,
  ts           BIGINT,
  page         STRING,
  referrer     STRING,
  country      STRING,
  device       STRING,
  event_time   TIMESTAMP_LTZ(3),
  late_for     STRING,        -- the tables whose queries did not count it
  window_start TIMESTAMP(3),  -- the minute that it missed
  window_end   TIMESTAMP(3),
  watermark    TIMESTAMP(3)   -- how far time was when it came
) WITH (
  'connector' = 'clickhouse',
  'database-name' = 'rt',
  'table-name' = 'late_clicks'
);

-- Records that are not clicks: as they came, from where, and what is wrong with them.
CREATE TABLE dead_clicks (
  raw          BYTES,
  source_table STRING,
  split        STRING,
  `offset`     BIGINT,
  error        STRING
) WITH (
  'connector' = 'clickhouse',
  'database-name' = 'rt',
  'table-name' = 'dead_clicks'
);

CREATE TEMPORARY VIEW page_minutes AS
SELECT window_start, window_end, window_time, page, country,
  COUNT(*) AS `views`, COUNT(DISTINCT user_id) AS visitors
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, window_time, page, country;

-- Of the minutes before each: how many, the sum of their views, and the sum of the squares. The frame
-- of OVER ends at the current row, so that is taken out again; the sums are of whole numbers, and exact.
CREATE TEMPORARY VIEW page_history AS
SELECT window_start, window_end, page, country, `views`,
  COUNT(*) OVER w - 1 AS n,
  SUM(`views`) OVER w - `views` AS total,
  SUM(`views` * `views`) OVER w - `views` * `views` AS squares
FROM page_minutes
WINDOW w AS (PARTITION BY page, country ORDER BY window_time ROWS BETWEEN 30 PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW page_compared AS
SELECT window_start, window_end, page, country, `views`,
  CAST(total AS DOUBLE) / n AS mean,
  SQRT(CAST(n * squares - total * total AS DOUBLE)) / n AS deviation
FROM page_history
WHERE n >= 10;

-- One job, so that the minutes are counted once.
EXECUTE STATEMENT SET
BEGIN

INSERT INTO page_minute_agg
SELECT window_start, window_end, page, country, `views`, visitors
FROM page_minutes;

INSERT INTO anomalies
SELECT window_start, window_end, page, country, `views`, mean, deviation,
  CASE WHEN deviation > 0 THEN (`views` - mean) / deviation END
FROM page_compared
WHERE ABS(`views` - mean) > 3 * deviation;

INSERT INTO clicks_raw
SELECT event_id, user_id, ts, page, referrer, country, device, event_time
FROM clicks;

END;
