-- Views and visitors per minute, page and country.
CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/clicks', 'format' = 'json');

CREATE TABLE per_minute (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), page STRING, country STRING, `views` BIGINT, visitors BIGINT
) WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/per_minute', 'format' = 'json');
INSERT INTO per_minute
SELECT window_start, window_end, page, country, COUNT(*), COUNT(DISTINCT user_id)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page, country;
