-- Fields of rows as keys and as arguments.
CREATE TABLE events (
  event_id STRING, `timestamp` BIGINT, user_id STRING, event_type STRING,
  geo ROW<country STRING, city STRING>, device ROW<`type` STRING, os STRING>,
  metadata ROW<product_id STRING, category STRING, price DOUBLE>,
  event_time AS TO_TIMESTAMP_LTZ(`timestamp`, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/sessions', 'format' = 'json');
CREATE TABLE by_category (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), category STRING, device STRING, n BIGINT, revenue DOUBLE
) WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/by_category', 'format' = 'json');
INSERT INTO by_category
SELECT window_start, window_end, metadata.category, device.`type`, COUNT(*),
  ROUND(SUM(CASE WHEN event_type = 'purchase' THEN metadata.price ELSE 0 END), 2)
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' MINUTES))
GROUP BY window_start, window_end, metadata.category, device.`type`;
