-- Anomalies of web clicks: minutes in which a page had far more or fewer views from a country than in
-- the 30 minutes with views before.
--
-- Each minute is compared with the mean and the standard deviation of those before it: more than three
-- deviations apart is an anomaly, once there are ten to compare with. The frame of OVER ends at the
-- current row, so that is taken out of the sums again; they are sums of whole numbers, and exact.
--
-- It reads the topic that web_clicks.sql reads, and is a pipeline of its own, with its own data
-- directory. The file is Flink SQL.

SET 'pipeline.name' = 'web_click_anomalies';

CREATE TABLE clicks (
  page       STRING,
  country    STRING,
  ts         BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH (
  'connector' = 'http',
  'topic' = 'web.clicks',
  'format' = 'json',
  'scan.watermark.idle-timeout' = '30 s'
);

CREATE TABLE anomalies (
  window_start TIMESTAMP(3),
  window_end   TIMESTAMP(3),
  page         STRING,
  country      STRING,
  `views`      BIGINT,
  mean         DOUBLE,
  deviation    DOUBLE,
  z            DOUBLE,        -- null if the views did not vary at all before
  PRIMARY KEY (window_start, page, country) NOT ENFORCED
) WITH ('connector' = 'clickhouse', 'database-name' = 'rt', 'table-name' = 'anomalies');

CREATE TEMPORARY VIEW page_minutes AS
SELECT window_start, window_end, window_time, page, country, COUNT(*) AS `views`
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, window_time, page, country;

-- How many minutes before, the sum of their views, and the sum of the squares.
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

INSERT INTO anomalies
SELECT window_start, window_end, page, country, `views`, mean, deviation,
  CASE WHEN deviation > 0 THEN (`views` - mean) / deviation END
FROM page_compared
WHERE ABS(`views` - mean) > 3 * deviation;
