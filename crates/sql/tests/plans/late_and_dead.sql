-- Late events and dead letters: declared for clicks, made up for ads, none for views.
SET 'pipeline.name' = 'late';
SET 'execution.checkpointing.interval' = '100 ms';
SET 'table.exec.source.idle-timeout' = '5 s';
SET 'millstream.clicks.late-events' = 'late_clicks';
SET 'millstream.clicks.dead-letters' = 'dead_clicks';
SET 'millstream.seen.late-events' = 'none';
SET 'millstream.seen.dead-letters' = 'none';
CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/clicks', 'format' = 'json');

CREATE TABLE ads (
  event_id BIGINT, campaign_id STRING, user_id STRING, event_type STRING, bid DOUBLE, event_time BIGINT,
  rt AS TO_TIMESTAMP_LTZ(event_time, 3),
  WATERMARK FOR rt AS rt - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/ads', 'format' = 'json');

CREATE TABLE seen (at_time TIMESTAMP(3), WATERMARK FOR at_time AS at_time)
WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'json', 'scan.watermark.idle-timeout' = '1 min');
CREATE TABLE late_clicks (
  late_for STRING, watermark TIMESTAMP(3), window_end TIMESTAMP(3), page STRING, event_time TIMESTAMP_LTZ(3)
) WITH ('connector' = 'clickhouse');
CREATE TABLE dead_clicks (error STRING, raw BYTES, `offset` BIGINT) WITH ('connector' = 'clickhouse');
CREATE TABLE counts (n BIGINT, what STRING) WITH ('connector' = 'print');
EXECUTE STATEMENT SET BEGIN
INSERT INTO counts SELECT COUNT(*), 'clicks' FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end;
INSERT INTO counts SELECT COUNT(*), 'ads' FROM TABLE(TUMBLE(TABLE ads, DESCRIPTOR(rt), INTERVAL '1' DAY))
GROUP BY window_start, window_end;
INSERT INTO counts (what, n) SELECT 'seen', COUNT(*) FROM TABLE(TUMBLE(TABLE seen, DESCRIPTOR(at_time), INTERVAL '10' SECONDS))
GROUP BY window_start, window_end;
END;
