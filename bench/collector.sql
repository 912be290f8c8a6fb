-- Something that reads the topic while it is filled: views per minute and page.

CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'http', 'topic' = 'bench.clicks', 'format' = 'json');

CREATE TABLE page_minute (window_start TIMESTAMP(3), page STRING, `views` BIGINT)
WITH ('connector' = 'blackhole');

INSERT INTO page_minute
SELECT window_start, page, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page;
