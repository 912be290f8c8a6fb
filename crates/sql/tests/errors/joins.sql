CREATE TABLE l (id STRING, k STRING, n DOUBLE, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt)
WITH ('connector' = 'kafka', 'topic' = 'l', 'format' = 'json');
CREATE TABLE r (id STRING, k STRING, n DOUBLE, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt)
WITH ('connector' = 'kafka', 'topic' = 'r', 'format' = 'json');
CREATE TABLE whole (k STRING, name STRING) WITH ('connector' = 'filesystem', 'path' = '/tmp/whole', 'format' = 'json');
CREATE TABLE monitored (k STRING, name STRING) WITH ('connector' = 'filesystem', 'path' = '/tmp/whole', 'format' = 'json', 'source.monitor-interval' = '1 s');
CREATE TABLE hot (k STRING, name STRING) WITH ('connector' = 'clickhouse');
CREATE TABLE o (a STRING, b STRING) WITH ('connector' = 'print');
CREATE VIEW lw AS SELECT * FROM TABLE(TUMBLE(TABLE l, DESCRIPTOR(rt), INTERVAL '1' MINUTE));
CREATE VIEW rw AS SELECT * FROM TABLE(TUMBLE(TABLE r, DESCRIPTOR(rt), INTERVAL '1' MINUTE));
CREATE VIEW r5 AS SELECT * FROM TABLE(TUMBLE(TABLE r, DESCRIPTOR(rt), INTERVAL '5' MINUTE));
-- case: keeps all rows
INSERT INTO o SELECT l.id, r.id FROM l JOIN r ON l.k = r.k;
-- case: keeps all rows, with a comma
INSERT INTO o SELECT l.id, r.id FROM l, r WHERE l.k = r.k;
-- case: keeps all rows, outer
INSERT INTO o SELECT l.id, r.id FROM l FULL JOIN r ON l.k = r.k;
-- case: bounded on one side only
INSERT INTO o SELECT l.id, r.id FROM l JOIN r ON l.k = r.k AND l.rt < r.rt + INTERVAL '1' HOUR;
-- case: bounds that no two times fit
INSERT INTO o SELECT l.id, r.id FROM l JOIN r ON l.k = r.k AND l.rt < r.rt AND l.rt > r.rt + INTERVAL '1' HOUR;
-- case: times that are no event times
INSERT INTO o SELECT l.id, r.id FROM l JOIN r ON l.k = r.k AND l.ts BETWEEN r.ts - 1 AND r.ts;
-- case: half a window
INSERT INTO o SELECT l.id, r.id FROM lw AS l JOIN rw AS r ON l.k = r.k AND l.window_start = r.window_start;
-- case: other windows
INSERT INTO o SELECT l.id, r.id FROM lw AS l JOIN r5 AS r ON l.window_start = r.window_start AND l.window_end = r.window_end;
-- case: a table on the wrong side
INSERT INTO o SELECT l.id, w.name FROM l RIGHT JOIN whole AS w ON l.k = w.k;
-- case: a table that is kept whole
INSERT INTO o SELECT l.id, w.name FROM l FULL JOIN whole AS w ON l.k = w.k;
-- case: a table before a left join
INSERT INTO o SELECT l.id, w.name FROM whole AS w LEFT JOIN l ON l.k = w.k;
-- case: files that go on
INSERT INTO o SELECT l.id, w.name FROM l JOIN monitored AS w ON l.k = w.k;
-- case: lookup of files that go on
INSERT INTO o SELECT l.id, w.name FROM l JOIN monitored FOR SYSTEM_TIME AS OF l.rt AS w ON l.k = w.k;
-- case: lookup that keeps the table
INSERT INTO o SELECT l.id, w.name FROM l RIGHT JOIN whole FOR SYSTEM_TIME AS OF l.rt AS w ON l.k = w.k;
-- case: lookup at a time that is none
INSERT INTO o SELECT l.id, w.name FROM l JOIN whole FOR SYSTEM_TIME AS OF l.k AS w ON l.k = w.k;
-- case: lookup without a join
INSERT INTO o SELECT k, name FROM whole FOR SYSTEM_TIME AS OF l.rt;
-- case: a hot table without a join
INSERT INTO o SELECT k, name FROM hot;
-- case: a hot table on the left
INSERT INTO o SELECT l.id, h.name FROM hot AS h JOIN l ON l.k = h.k;
-- case: groups of a hot table
INSERT INTO o SELECT l.id, h.k FROM l JOIN (SELECT k FROM hot UNION ALL SELECT k FROM hot) AS h ON l.k = h.k;
-- case: a hot table within an interval
CREATE TABLE timed (k STRING, rt TIMESTAMP_LTZ(3), WATERMARK FOR rt AS rt) WITH ('connector' = 'clickhouse');
INSERT INTO o SELECT l.id, h.k FROM l JOIN timed AS h ON l.k = h.k AND l.rt BETWEEN h.rt AND h.rt + INTERVAL '1' HOUR;
-- case: using a column of one side
INSERT INTO o SELECT l.id, w.name FROM l JOIN whole AS w USING (id);
-- case: using columns that do not compare
INSERT INTO o SELECT l.id, w.name FROM l JOIN (SELECT CAST(k AS BIGINT) AS k, name FROM whole) AS w USING (k);
-- case: using a column with its table
INSERT INTO o SELECT l.id, w.name FROM l JOIN whole AS w USING (l.k);
-- case: natural
INSERT INTO o SELECT l.id, w.name FROM l NATURAL JOIN whole AS w;
-- case: unknown column in ON
INSERT INTO o SELECT l.id, w.name FROM l JOIN whole AS w ON l.key = w.k;
-- case: ambiguous column
INSERT INTO o SELECT id, w.name FROM l JOIN whole AS w ON k = 'a';
-- case: types that do not compare
INSERT INTO o SELECT l.id, w.name FROM l JOIN whole AS w ON l.ts = w.k;
-- case: a condition that is none
INSERT INTO o SELECT l.id, w.name FROM l JOIN whole AS w ON l.k;
-- case: a subquery of a stream
INSERT INTO o SELECT id, k FROM l WHERE k IN (SELECT k FROM r);
-- case: a subquery within an interval
INSERT INTO o SELECT id, k FROM l WHERE EXISTS (SELECT * FROM r WHERE r.k = l.k AND r.rt BETWEEN l.rt AND l.rt + INTERVAL '1' HOUR);
-- case: a subquery of two columns
INSERT INTO o SELECT id, k FROM l WHERE k IN (SELECT k, name FROM whole);
-- case: a subquery with groups of the outer query
INSERT INTO o SELECT id, k FROM l WHERE EXISTS (SELECT COUNT(*) FROM whole AS w WHERE w.k = l.k GROUP BY w.k);
-- case: a window in ON
INSERT INTO o SELECT l.id, r.id FROM lw AS l JOIN rw AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.missing = 1;
