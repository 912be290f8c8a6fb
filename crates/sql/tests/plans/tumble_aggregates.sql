-- Every aggregate function, FILTER, HAVING, aggregates inside scalar expressions.
CREATE TABLE ads (
  event_id BIGINT, campaign_id STRING, user_id STRING, event_type STRING, bid DOUBLE, event_time BIGINT,
  rt AS TO_TIMESTAMP_LTZ(event_time, 3),
  WATERMARK FOR rt AS rt - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/ads', 'format' = 'json');

CREATE TABLE metrics (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), campaign_id STRING, impressions BIGINT, clicks BIGINT,
  spend DOUBLE, top_bid DOUBLE, low_bid DOUBLE, mean_id BIGINT, ctr DOUBLE
) WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/metrics', 'format' = 'json');
INSERT INTO metrics
SELECT window_start, window_end, campaign_id,
  COUNT(*) FILTER (WHERE event_type = 'impression'),
  SUM(CASE WHEN event_type = 'click' THEN 1 ELSE 0 END),
  ROUND(SUM(bid), 2), MAX(bid), MIN(bid), AVG(event_id),
  ROUND(CAST(COUNT(*) FILTER (WHERE event_type = 'click') AS DOUBLE) / COUNT(*), 4)
FROM TABLE(TUMBLE(TABLE ads, DESCRIPTOR(rt), INTERVAL '1' MINUTE))
WHERE user_id <> 'u13'
GROUP BY window_start, window_end, campaign_id
HAVING COUNT(*) > 5;
