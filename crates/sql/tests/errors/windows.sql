CREATE TABLE clicks (user_id STRING, ts BIGINT, page STRING, tags ARRAY<STRING>, event_time AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json'); CREATE TABLE timeless (page STRING, at_time TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json'); CREATE TABLE words (page STRING, n BIGINT) WITH ('connector' = 'print');
-- case: hop of no multiple
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '2' MINUTE, INTERVAL '5' MINUTES)) GROUP BY window_start, window_end, page;
-- case: hop without a size
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end, page;
-- case: hop of too many
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '0.001' SECOND, INTERVAL '1' DAY)) GROUP BY window_start, window_end, page;
-- case: cumulate by nothing
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '0' MINUTE, INTERVAL '5' MINUTES)) GROUP BY window_start, window_end, page;
-- case: cumulate with a slide
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(CUMULATE(DATA => TABLE clicks, TIMECOL => DESCRIPTOR(event_time), SLIDE => INTERVAL '1' MINUTE, SIZE => INTERVAL '5' MINUTES)) GROUP BY window_start, window_end, page;
-- case: hop by key
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(HOP(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time), INTERVAL '1' MINUTE, INTERVAL '2' MINUTE)) GROUP BY window_start, window_end, page;
-- case: session without a gap
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time))) GROUP BY window_start, window_end, page;
-- case: session of no gap
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time), INTERVAL '0' SECOND)) GROUP BY window_start, window_end, page;
-- case: session with an offset
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time), INTERVAL '1' MINUTE, INTERVAL '1' SECOND)) GROUP BY window_start, window_end, page;
-- case: session with a size
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(DATA => TABLE clicks PARTITION BY page, TIMECOL => DESCRIPTOR(event_time), SIZE => INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: session of an unknown column
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY (page, usr_id), DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: session of an array
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY tags, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: session grouped without its key
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY page, user_id, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: session with a set without its key
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, ROLLUP(page);
-- case: session assigned to rows
INSERT INTO words SELECT CAST(window_start AS STRING), ts FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time), INTERVAL '1' MINUTE));
-- case: session with a condition on its start
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) WHERE window_start > TIMESTAMP '2025-01-01 00:00:00' GROUP BY window_start, window_end, page;
-- case: split session with a condition on rows
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(SESSION(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) WHERE user_id <> 'x' GROUP BY window_start, window_end, page;
-- case: sessions grouped again
INSERT INTO words SELECT 'x', COUNT(*) FROM (SELECT window_start, window_end, page FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page) GROUP BY window_start, window_end;
-- case: old session in grouping sets
INSERT INTO words SELECT page, COUNT(*) FROM clicks GROUP BY SESSION(event_time, INTERVAL '1' MINUTE), ROLLUP(page);
-- case: old group window of no event time
INSERT INTO words SELECT page, COUNT(*) FROM clicks GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), page;
-- case: old group window without a size
INSERT INTO words SELECT page, COUNT(*) FROM clicks GROUP BY TUMBLE(event_time), page;
-- case: two old group windows
INSERT INTO words SELECT page, COUNT(*) FROM clicks GROUP BY TUMBLE(event_time, INTERVAL '1' MINUTE), HOP(event_time, INTERVAL '1' MINUTE, INTERVAL '2' MINUTE);
-- case: the start of another window
INSERT INTO words SELECT CAST(TUMBLE_START(event_time, INTERVAL '2' MINUTE) AS STRING), COUNT(*) FROM clicks GROUP BY TUMBLE(event_time, INTERVAL '1' MINUTE);
-- case: the start of no window
INSERT INTO words SELECT CAST(TUMBLE_START(event_time, INTERVAL '2' MINUTE) AS STRING), ts FROM clicks;
-- case: group by without a window
INSERT INTO words SELECT page, COUNT(*) FROM clicks GROUP BY page;
-- case: aggregate without group by
INSERT INTO words SELECT 'all', COUNT(*) FROM clicks;
-- case: no window end
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, page;
-- case: not an event time
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: no event time at all
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE timeless, DESCRIPTOR(at_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: a computed event time
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE((SELECT page, event_time + INTERVAL '1' HOUR AS t FROM clicks), DESCRIPTOR(t), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: unknown table in a window
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clickz, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: no descriptor
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, event_time, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: no size
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time))) GROUP BY window_start, window_end, page;
-- case: size of nothing
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '0' SECOND)) GROUP BY window_start, window_end, page;
-- case: wrong interval
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL 'one' MINUTE)) GROUP BY window_start, window_end, page;
-- case: unknown argument
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(DATA => TABLE clicks, TIMECOLUMN => DESCRIPTOR(event_time), SIZE => INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: misspelt window
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBEL(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: column not grouped
INSERT INTO words SELECT user_id, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: window time not grouped
INSERT INTO words SELECT CAST(window_time AS STRING), COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
-- case: group by position
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, 1;
-- case: group by an array
INSERT INTO words SELECT 'x', COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, tags;
-- case: sum of text
INSERT INTO words SELECT page, SUM(page) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: aggregate of an aggregate
INSERT INTO words SELECT page, SUM(COUNT(*)) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: aggregate in where
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) WHERE COUNT(*) > 1 GROUP BY window_start, window_end, page;
-- case: having without group by
INSERT INTO words SELECT page, ts FROM clicks HAVING ts > 1;
-- case: grouping of something else
INSERT INTO words SELECT page, GROUPING(user_id) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: a set without the window
INSERT INTO words SELECT page, COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY GROUPING SETS ((window_start, window_end, page), (page));
-- case: an aggregate for later
INSERT INTO words SELECT GROUP_ID(), COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
-- case: count of two columns
INSERT INTO words SELECT page, COUNT(user_id, page) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, page;
-- case: window over window columns
INSERT INTO words SELECT page, 1 FROM TABLE(TUMBLE((SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))), DESCRIPTOR(window_time), INTERVAL '5' MINUTES));
