-- Web clicks: views and visitors for each minute, page and country.
--
--   browsers --> HTTP collector --> topic web.clicks --> clicks --> page_minute_agg
--                                                          |--> late_clicks
--                                                          '--> dead_clicks
--
-- A click carries its own time (`ts`, milliseconds), and clicks may come up to 10 seconds out of
-- order. A minute is counted once its end is 10 seconds behind the newest click, so each row of
-- page_minute_agg is final when it appears. Clicks that come after that are kept in late_clicks,
-- records that are no clicks at all in dead_clicks: every record that the collector accepted is
-- counted in a minute, late, or dead, and never twice.
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
  late_for     STRING,        -- the table whose query did not count it
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

INSERT INTO page_minute_agg
SELECT window_start, window_end, page, country, COUNT(*) AS `views`, COUNT(DISTINCT user_id) AS visitors
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page, country;
