SET 'table.exec.emit.early-fire.enabled' = 'true';
SET 'table.exec.emit.early-fire.delay' = '5 s';

CREATE TABLE hits (page STRING, amount DOUBLE, p AS PROCTIME())
WITH ('connector' = 'kafka', 'topic' = 'hits', 'format' = 'json');

CREATE TABLE counts (
  window_start TIMESTAMP(3), page STRING, n BIGINT, written TIMESTAMP_LTZ(3),
  PRIMARY KEY (window_start, page) NOT ENFORCED
) WITH ('connector' = 'clickhouse');

CREATE TABLE running (page STRING, n BIGINT, id STRING) WITH ('connector' = 'clickhouse');

-- An open window shows what it holds; the clock of the result is that of the epoch.
INSERT INTO counts
SELECT window_start, page, COUNT(*), NOW()
FROM TABLE(TUMBLE(TABLE hits, DESCRIPTOR(p), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page;

-- The condition that looks at chance stays where it is written, the other one comes before.
INSERT INTO running
SELECT page, n, UUID() FROM (
  SELECT page, COUNT(*) OVER (PARTITION BY page ORDER BY p ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) AS n
  FROM hits WHERE RAND() < 0.5 AND page <> '/health');
