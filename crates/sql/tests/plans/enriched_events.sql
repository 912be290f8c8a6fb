-- A window function without an aggregate, and many scalar functions.
CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/clicks', 'format' = 'json');

CREATE TABLE enriched (
  event_id STRING, user_id STRING, page STRING, at_text STRING, window_from TIMESTAMP(3), window_to TIMESTAMP(3),
  section STRING, ref_host STRING, is_mobile BOOLEAN, page_no INT, day_hour STRING
) WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/enriched', 'format' = 'json');
INSERT INTO enriched
SELECT event_id, user_id, page, DATE_FORMAT(event_time, 'yyyy-MM-dd HH:mm:ss'), window_start, window_end,
  SPLIT_INDEX(page, '/', 1), REGEXP_EXTRACT(referrer, 'https?://([^/]+)', 1), device = 'mobile',
  CAST(SPLIT_INDEX(page, '/', 2) AS INT),
  CONCAT_WS('-', COALESCE(UPPER(country), '??'), CAST(HOUR(event_time) AS STRING))
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '5' MINUTES))
WHERE user_id IS NOT NULL AND page LIKE '/product/%' AND CHAR_LENGTH(page) < 12;
