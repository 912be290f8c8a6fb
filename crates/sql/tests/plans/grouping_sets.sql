-- GROUPING SETS, ROLLUP, CUBE, GROUPING and GROUPING_ID.
CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/clicks', 'format' = 'json');

CREATE TABLE by_set (window_start TIMESTAMP(3), window_end TIMESTAMP(3), country STRING, device STRING, n BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${OUTPUT}/by_set', 'format' = 'json');
CREATE TABLE with_id (country STRING, device STRING, id BIGINT, no_country BIGINT, n BIGINT)
WITH ('connector' = 'print');
INSERT INTO by_set
SELECT window_start, window_end, country, device, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '5' MINUTES))
GROUP BY window_start, window_end, GROUPING SETS ((country, device), (country), ());
INSERT INTO with_id
SELECT country, device, GROUPING_ID(country, device), GROUPING(country), COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '5' MINUTES))
GROUP BY window_start, window_end, ROLLUP (country, device);
INSERT INTO with_id
SELECT UPPER(country) AS country, device, 0, 0, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '5' MINUTES))
GROUP BY window_start, CUBE (UPPER(country), device), window_end;
INSERT INTO with_id
SELECT country, page, 0, 0, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '5' MINUTES))
GROUP BY GROUPING SETS ((window_start, window_end, page), (window_end, window_start, country, page));
