-- Views, WITH and subqueries become one tree; projections of projections become one.
CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/clicks', 'format' = 'json');

CREATE TABLE result (a STRING, b STRING, n BIGINT) WITH ('connector' = 'print');
CREATE VIEW named (who, what, at_time) AS SELECT user_id, UPPER(page), event_time FROM clicks WHERE country = 'FR';
CREATE VIEW IF NOT EXISTS named AS SELECT * FROM clicks;
INSERT INTO result (b, a) SELECT n.what, n.who FROM named AS n WHERE n.who IS NOT NULL;
INSERT INTO result
WITH local AS (SELECT * FROM clicks WHERE device <> 'bot')
SELECT who, CAST(window_start AS STRING), COUNT(*) FROM (
  SELECT window_start, window_end, LOWER(user_id) AS who, page
  FROM TABLE(TUMBLE(DATA => TABLE local, TIMECOL => DESCRIPTOR(event_time), SIZE => INTERVAL '1' DAY, OFFSET => INTERVAL -'8' HOURS))
) t WHERE page IS NOT NULL GROUP BY t.window_start, t.window_end, who;
INSERT INTO result
SELECT a, a || b, n FROM (SELECT CONCAT(page, '!') AS a, page AS b, ts AS n FROM clicks) WHERE n > 0;
INSERT INTO result SELECT c2.*, 1 FROM (SELECT page, user_id FROM clicks) AS c2;
INSERT INTO result SELECT page, user_id, ts FROM (SELECT * FROM clicks WHERE ts <> 0) WHERE 10 / ts > 1 AND page <> 'x';
INSERT INTO result SELECT page, user_id, ts FROM clicks WHERE ts <> 0 AND page <> 'x' AND 10 / ts > 1;
