-- Clicks per minute, page and country, and every click as it came into the lake, decoded once.

SET 'execution.checkpointing.interval' = '1 s';
SET 'millstream.clicks.late-events' = 'none';

CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json');

CREATE TABLE page_minute_agg (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), page STRING, country STRING, `views` BIGINT
) WITH ('connector' = 'blackhole');

CREATE TABLE clicks_raw (
  event_id STRING, user_id STRING, event_time TIMESTAMP_LTZ(3), page STRING, referrer STRING, country STRING,
  device STRING
) WITH ('connector' = 'iceberg', 'catalog-table' = 'lake.clicks_raw');

INSERT INTO page_minute_agg
SELECT window_start, window_end, page, country, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page, country;

INSERT INTO clicks_raw
SELECT event_id, user_id, event_time, page, referrer, country, device FROM clicks;
