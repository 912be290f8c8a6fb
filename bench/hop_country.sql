-- Views of the last hour by country, each second, from files to nowhere.

SET 'execution.checkpointing.interval' = '1 s';
SET 'millstream.clicks.late-events' = 'none';

CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json');

CREATE TABLE country_second (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), country STRING, `views` BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO country_second
SELECT window_start, window_end, country, COUNT(*)
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' SECOND, INTERVAL '1' HOUR))
GROUP BY window_start, window_end, country;
