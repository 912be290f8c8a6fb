CREATE TABLE clicks (user_id STRING, ts BIGINT, event_time AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR event_time AS event_time) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json'); CREATE TABLE late (user_id STRING, late_for STRING) WITH ('connector' = 'clickhouse'); CREATE TABLE keyed (user_id STRING, PRIMARY KEY (user_id) NOT ENFORCED) WITH ('connector' = 'clickhouse'); CREATE TABLE odd (user_id STRING, watermark STRING) WITH ('connector' = 'clickhouse'); CREATE TABLE wrong (user_id BIGINT, `offset` INT, wrld STRING) WITH ('connector' = 'clickhouse'); CREATE TABLE dead (raw BYTES, `offset` INT) WITH ('connector' = 'clickhouse'); CREATE TABLE made (n INT) WITH ('connector' = 'datagen'); CREATE TABLE counts (n BIGINT) WITH ('connector' = 'clickhouse'); INSERT INTO counts SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
-- case: unknown key
SET 'execution.checkpoint' = '1'; SET 'excution.checkpointing.interval' = '1 s';
-- case: unknown key of ours
SET 'millstream.batch-row' = '1';
-- case: unknown key of a table
SET 'millstream.clicks.late-rows' = 'late';
-- case: unknown table
SET 'millstream.click.late-events' = 'late';
-- case: unknown target
SET 'millstream.clicks.late-events' = 'latte';
-- case: allowed lateness
SET 'millstream.clicks.allowed-lateness' = '10 s';
-- case: epochs too short
SET 'execution.checkpointing.interval' = '1 ms';
-- case: not a duration
SET 'execution.checkpointing.interval' = 'soon';
-- case: time zone
SET 'table.local-time-zone' = 'Europe/Berlin';
-- case: late table with a key
SET 'millstream.clicks.late-events' = 'keyed';
-- case: late table with a column of a wrong type
SET 'millstream.clicks.late-events' = 'odd';
-- case: late table with another column
SET 'millstream.clicks.late-events' = 'dead';
-- case: late table that is a source
SET 'millstream.clicks.late-events' = 'made';
-- case: late table that has results
SET 'millstream.clicks.late-events' = 'counts';
-- case: dead letters with a column of a wrong type
SET 'millstream.clicks.dead-letters' = 'dead';
-- case: dead letters with another column
SET 'millstream.clicks.dead-letters' = 'wrong';
-- case: late and dead in one table
SET 'millstream.clicks.late-events' = 'late'; SET 'millstream.clicks.dead-letters' = 'late';
-- case: a table with the name of dead letters
CREATE TABLE clicks_dead (raw STRING) WITH ('connector' = 'clickhouse');
-- case: a name that leaves its folder
SET 'pipeline.name' = '../../x';
-- case: no name
SET 'pipeline.name' = '';
-- case: an epoch that never ends
SET 'execution.checkpointing.interval' = '400 d';
