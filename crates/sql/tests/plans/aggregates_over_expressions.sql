-- Keys and arguments that are expressions; one call for equal aggregates; grouping by the window again.
CREATE TABLE ads (
  event_id BIGINT, campaign_id STRING, user_id STRING, event_type STRING, bid DOUBLE, event_time BIGINT,
  rt AS TO_TIMESTAMP_LTZ(event_time, 3),
  WATERMARK FOR rt AS rt - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/ads', 'format' = 'json');

CREATE TABLE r (s TIMESTAMP(3), hour_of BIGINT, kind STRING, n BIGINT, total DOUBLE, top DOUBLE) WITH ('connector' = 'print');
INSERT INTO r SELECT window_start, HOUR(rt), LOWER(event_type) || '!', COUNT(*) + COUNT(1), SUM(bid * 2) / COUNT(*), MAX(DISTINCT bid)
FROM TABLE(TUMBLE(TABLE ads, DESCRIPTOR(rt), INTERVAL '1' MINUTE))
WHERE window_start > TIMESTAMP '2025-01-01 00:00:00'
GROUP BY window_start, window_end, HOUR(rt), LOWER(event_type)
HAVING SUM(bid * 2) > 1 AND LOWER(event_type) <> 'x';
INSERT INTO r SELECT window_start, 0, 'all', SUM(n), NULL, NULL FROM (
  SELECT window_start, window_end, campaign_id, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE ads, DESCRIPTOR(rt), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, campaign_id)
GROUP BY window_start, window_end;
