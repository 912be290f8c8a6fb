-- Views per second, page and country, from files to nowhere: what `hop` is compared with.

SET 'execution.checkpointing.interval' = '1 s';
SET 'millstream.clicks.late-events' = 'none';

CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json');

CREATE TABLE page_second (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), page STRING, country STRING, `views` BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO page_second
SELECT window_start, window_end, page, country, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' SECOND))
GROUP BY window_start, window_end, page, country;
