-- The ten pages with the most views of each minute and country, from files to nowhere.

SET 'execution.checkpointing.interval' = '1 s';
SET 'millstream.clicks.late-events' = 'none';

CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json');

CREATE TABLE top_pages (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), country STRING, page STRING, `views` BIGINT, place BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO top_pages
SELECT window_start, window_end, country, page, `views`, place
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY window_start, window_end, country ORDER BY `views` DESC, page) AS place
  FROM (
    SELECT window_start, window_end, country, page, COUNT(*) AS `views`
    FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
    GROUP BY window_start, window_end, country, page
  )
)
WHERE place <= 10;
