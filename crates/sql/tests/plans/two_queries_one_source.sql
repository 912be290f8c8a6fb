-- Three queries read one source.
CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/clicks', 'format' = 'json');

CREATE TABLE minute_counts (window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/minute_counts', 'format' = 'json');
CREATE TABLE quarter_counts (window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/quarter_counts', 'format' = 'json');
CREATE TABLE mobile_only (event_id STRING, page STRING)
WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/mobile_only', 'format' = 'json');
INSERT INTO minute_counts SELECT window_start, window_end, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
INSERT INTO quarter_counts SELECT window_start, window_end, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '15' MINUTES)) GROUP BY window_start, window_end;
INSERT INTO mobile_only SELECT event_id, page FROM clicks WHERE device = 'mobile';
