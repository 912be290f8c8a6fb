-- case: no connector
CREATE TABLE t (a INT) WITH ('path' = 'x');
-- case: unknown connector
CREATE TABLE t (a INT) WITH ('connector' = 'kafak', 'topic' = 'x');
-- case: unknown option
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topik' = 'x', 'format' = 'json');
-- case: missing option
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'format' = 'json');
-- case: missing format
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'x');
-- case: unknown format
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'jsn');
-- case: format where there is none
CREATE TABLE t (a INT) WITH ('connector' = 'print', 'format' = 'json');
-- case: wrong duration
CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json',
  'source.monitor-interval' = 'often');
-- case: wrong choice
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'json', 'scan.startup.mode' = 'earliest');
-- case: wrong number
CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = 'many');
-- case: wrong boolean of the format
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'json', 'json.ignore-parse-errors' = 'yes');
-- case: declared twice
CREATE TABLE t (a INT) WITH ('connector' = 'print');
CREATE TABLE t (b INT) WITH ('connector' = 'print');
-- case: unknown metadata
CREATE TABLE t (a INT, p STRING METADATA FROM 'partitions') WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'json');
-- case: metadata of a wrong type
CREATE TABLE t (a INT, p DOUBLE METADATA FROM 'partition') WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'json');
-- case: computed of computed
CREATE TABLE t (a INT, b AS a + 1, c AS b + 1) WITH ('connector' = 'datagen');
-- case: computed of unknown
CREATE TABLE t (price INT, b AS prize + 1) WITH ('connector' = 'datagen');
-- case: watermark of unknown
CREATE TABLE t (event_time TIMESTAMP(3), WATERMARK FOR evnt_time AS evnt_time) WITH ('connector' = 'datagen');
-- case: watermark of a number
CREATE TABLE t (ts BIGINT, WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
-- case: watermark of microseconds
CREATE TABLE t (ts TIMESTAMP, WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
-- case: watermark expression
CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts + INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
-- case: watermark in months
CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MONTH) WITH ('connector' = 'datagen');
-- case: interval without quotes
CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL 10 SECOND) WITH ('connector' = 'datagen');
-- case: key of unknown column
CREATE TABLE t (page STRING, PRIMARY KEY (pgae) NOT ENFORCED) WITH ('connector' = 'clickhouse');
-- case: a key on a sink that appends
CREATE TABLE s (a INT) WITH ('connector' = 'datagen');
CREATE TABLE t (a INT, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json');
INSERT INTO t SELECT a FROM s;
-- case: a place inside a variable
CREATE TABLE t (a INT) WITH ('connector' = '${INPUT}', 'x' = 'y');
-- case: a place after a variable
CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = '${INPUT}/${OUTPUT}', 'formt' = 'json');
