-- Sessions of each user, from files to nowhere: as many keys as users are alive at once.

SET 'execution.checkpointing.interval' = '1 s';
SET 'millstream.clicks.late-events' = 'none';

CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json');

CREATE TABLE visits (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), user_id STRING,
  `views` BIGINT, first_ts BIGINT, last_ts BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO visits
SELECT window_start, window_end, user_id, COUNT(*), MIN(ts), MAX(ts)
FROM TABLE(SESSION(TABLE clicks PARTITION BY user_id, DESCRIPTOR(event_time), INTERVAL '30' MINUTES))
GROUP BY window_start, window_end, user_id;
