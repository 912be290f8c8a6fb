-- Where something looks at the windows of HOP before GROUP BY, rows are grouped by the windows that they
-- stand in; without that, by their time.

CREATE TABLE clicks (page STRING, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt)
WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json');
CREATE TEMPORARY VIEW hops AS
SELECT * FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(rt), INTERVAL '5' SECOND, INTERVAL '10' SECOND));
CREATE TABLE counts (window_start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'clickhouse');
CREATE TABLE later (window_start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'clickhouse');

INSERT INTO counts SELECT window_start, COUNT(*) FROM hops GROUP BY window_start, window_end;

INSERT INTO later SELECT window_start, COUNT(*) FROM hops
WHERE window_start >= TIMESTAMP '1970-01-01 00:00:00' GROUP BY window_start, window_end;
