CREATE TABLE clicks (
  user_id STRING, page STRING, country STRING, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'clicks', 'format' = 'json');

CREATE TABLE visits (window_start TIMESTAMP(3), who STRING, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE per_hour (window_start TIMESTAMP(3), sessions BIGINT) WITH ('connector' = 'print');

-- The usual one. The condition on rows goes before the window.
INSERT INTO visits
SELECT window_start, user_id, COUNT(*)
FROM TABLE(SESSION(TABLE clicks PARTITION BY user_id, DESCRIPTOR(event_time), INTERVAL '30' MINUTES))
WHERE page <> '/health'
GROUP BY window_start, window_end, user_id
HAVING COUNT(*) > 1;

-- Named arguments, two keys; a column of them is split off by grouping sets.
INSERT INTO visits
SELECT window_start, page, COUNT(DISTINCT user_id)
FROM TABLE(SESSION(
  DATA => TABLE clicks PARTITION BY (country, user_id),
  TIMECOL => DESCRIPTOR(event_time),
  GAP => INTERVAL '1' HOUR))
GROUP BY window_start, window_end, user_id, country, ROLLUP(page);

-- The older syntax: sessions of all keys.
INSERT INTO visits
SELECT SESSION_START(event_time, INTERVAL '5' MINUTE), UPPER(user_id), COUNT(*)
FROM clicks
GROUP BY SESSION(event_time, INTERVAL '5' MINUTE), UPPER(user_id), country;

-- Of everything; windows over sessions, and sessions over windows.
INSERT INTO per_hour
SELECT window_start, COUNT(*)
FROM TABLE(TUMBLE((
  SELECT window_time AS ended FROM TABLE(SESSION(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, window_time), DESCRIPTOR(ended), INTERVAL '1' HOUR))
GROUP BY window_start, window_end;

INSERT INTO per_hour
SELECT window_start, COUNT(*)
FROM TABLE(SESSION((
  SELECT window_time AS ended FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, window_time), DESCRIPTOR(ended), INTERVAL '5' MINUTE))
GROUP BY window_start, window_end;
