SET 'table.exec.state.ttl' = '1 d';
CREATE TABLE bids (
  id STRING, who STRING, price DOUBLE, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'bids', 'format' = 'json');
CREATE TABLE results (id STRING, a DOUBLE, b BIGINT, c DOUBLE) WITH ('connector' = 'print');
CREATE TABLE ids (id STRING) WITH ('connector' = 'print');

INSERT INTO results
SELECT id, ROUND(AVG(price * 2) OVER w, 2), COUNT(*) FILTER (WHERE price > 1) OVER (PARTITION BY who ORDER BY event_time),
  LAG(price, 1, 0.0) OVER w
FROM bids
WINDOW w AS (PARTITION BY who ORDER BY event_time RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW);

-- Calls that nobody reads are not computed.
INSERT INTO results
SELECT id, 0, n, 0 FROM (
  SELECT id, COUNT(*) OVER w AS n, SUM(price) OVER w AS total FROM bids
  WINDOW w AS (PARTITION BY who ORDER BY event_time ROWS 9 PRECEDING));

INSERT INTO ids
SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY id ORDER BY event_time) AS rn FROM bids) WHERE rn = 1;

INSERT INTO ids SELECT id FROM (SELECT id, event_time FROM bids ORDER BY event_time, id DESC);
