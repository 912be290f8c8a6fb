-- State that stays: a visit of each user, which does not end while the benchmark runs.
CREATE TABLE clicks (
  user_id STRING, country STRING, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json',
  -- Without end: the state is there when the process is killed.
  'source.monitor-interval' = '1 s'
);

CREATE TABLE visits (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), user_id STRING, clicks BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO visits
SELECT window_start, window_end, user_id, COUNT(*)
FROM TABLE(SESSION(TABLE clicks PARTITION BY user_id, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, user_id;
