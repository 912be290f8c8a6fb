CREATE TABLE clicks (page STRING, n BIGINT, x DOUBLE, tags ARRAY<STRING>, labels MAP<STRING, STRING>, ts BIGINT, event_time AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR event_time AS event_time) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json'); CREATE VIEW minutes AS SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)); CREATE TABLE words (word STRING) WITH ('connector' = 'print');
-- case: a separator from a column
INSERT INTO words SELECT LISTAGG(page, page) FROM minutes GROUP BY window_start, window_end;
-- case: a list of numbers
INSERT INTO words SELECT LISTAGG(n) FROM minutes GROUP BY window_start, window_end;
-- case: a percentage from a column
INSERT INTO words SELECT PERCENTILE(x, x) FROM minutes GROUP BY window_start, window_end;
-- case: a percentage above one
INSERT INTO words SELECT PERCENTILE(x, ARRAY[0.5, 50]) FROM minutes GROUP BY window_start, window_end;
-- case: a percentile of text
INSERT INTO words SELECT PERCENTILE(page, 0.5) FROM minutes GROUP BY window_start, window_end;
-- case: a broken frequency
INSERT INTO words SELECT PERCENTILE(x, 0.5, x) FROM minutes GROUP BY window_start, window_end;
-- case: a distinct frequency
INSERT INTO words SELECT PERCENTILE(DISTINCT x, 0.5, n) FROM minutes GROUP BY window_start, window_end;
-- case: no percentages
INSERT INTO words SELECT PERCENTILE(x, ARRAY[]) FROM minutes GROUP BY window_start, window_end;
-- case: a spread of text
INSERT INTO words SELECT STDDEV_POP(page) FROM minutes GROUP BY window_start, window_end;
-- case: a multiset of arrays
INSERT INTO words SELECT COLLECT(tags) FROM minutes GROUP BY window_start, window_end;
-- case: the last of maps
INSERT INTO words SELECT LAST_VALUE(labels) FROM minutes GROUP BY window_start, window_end;
-- case: the single value of maps
INSERT INTO words SELECT CAST(CARDINALITY(SINGLE_VALUE(labels)) AS STRING) FROM minutes GROUP BY window_start, window_end;
-- case: nulls of a sum
INSERT INTO words SELECT SUM(n) IGNORE NULLS FROM minutes GROUP BY window_start, window_end;
-- case: nulls inside of a sum
INSERT INTO words SELECT SUM(n IGNORE NULLS) FROM minutes GROUP BY window_start, window_end;
-- case: an order within
INSERT INTO words SELECT LISTAGG(page) WITHIN GROUP (ORDER BY n) FROM minutes GROUP BY window_start, window_end;
-- case: an order in a call
INSERT INTO words SELECT ARRAY_AGG(page ORDER BY n) FROM minutes GROUP BY window_start, window_end;
-- case: a slip in an aggregate
INSERT INTO words SELECT STDEV_POP(n) FROM minutes GROUP BY window_start, window_end;
-- case: too many arguments
INSERT INTO words SELECT FIRST_VALUE(page, n) FROM minutes GROUP BY window_start, window_end;
-- case: nulls of a scalar
INSERT INTO words SELECT UPPER(page) IGNORE NULLS FROM minutes GROUP BY window_start, window_end;
-- case: a JSON aggregate over rows
INSERT INTO words SELECT JSON_ARRAYAGG(page) OVER (PARTITION BY page ORDER BY event_time) FROM clicks;
-- case: a key that is a number
INSERT INTO words SELECT JSON_OBJECTAGG(n VALUE page) FROM minutes GROUP BY window_start, window_end;
-- case: a JSON aggregate in a condition
INSERT INTO words SELECT page FROM clicks WHERE JSON_ARRAYAGG(page) = '[]';
-- case: counting arrays
INSERT INTO words SELECT CAST(COUNT(DISTINCT page, tags) AS STRING) FROM minutes GROUP BY window_start, window_end;
-- case: counting two columns
INSERT INTO words SELECT CAST(COUNT(page, n) AS STRING) FROM minutes GROUP BY window_start, window_end;
