-- Windows over windows: the event time of a group is its window's last moment.
CREATE TABLE ads (
  event_id BIGINT, campaign_id STRING, user_id STRING, event_type STRING, bid DOUBLE, event_time BIGINT,
  rt AS TO_TIMESTAMP_LTZ(event_time, 3),
  WATERMARK FOR rt AS rt - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/ads', 'format' = 'json');

CREATE TABLE five_minutes (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), campaign_id STRING, n BIGINT, best_minute BIGINT
) WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/five_minutes', 'format' = 'json');
CREATE TEMPORARY VIEW per_minute AS
SELECT window_time AS rt, campaign_id, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE ads, DESCRIPTOR(rt), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, window_time, campaign_id;
INSERT INTO five_minutes
SELECT window_start, window_end, campaign_id, SUM(n), MAX(n)
FROM TABLE(TUMBLE(TABLE per_minute, DESCRIPTOR(rt), INTERVAL '5' MINUTES))
GROUP BY window_start, window_end, campaign_id;
