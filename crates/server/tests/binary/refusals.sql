CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen');
CREATE TABLE o (a BIGINT) WITH ('connector' = 'blackhole');
-- case: a topic's name
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'http', 'format' = 'json', 'topic' = 'web/clicks');
INSERT INTO o SELECT a FROM s;
-- case: an empty topic
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = '');
INSERT INTO o SELECT a FROM s;
-- case: a topic that is written
CREATE TABLE s (a BIGINT) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 'ö');
INSERT INTO s SELECT n FROM numbers;
-- case: real Kafka
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't', 'properties.bootstrap.servers' = 'kafka:9092');
INSERT INTO o SELECT a FROM s;
-- case: no partitions
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't', 'topic.partitions' = '0');
INSERT INTO o SELECT a FROM s;
-- case: partitions that are no number
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't', 'topic.partitions' = 'two');
INSERT INTO o SELECT a FROM s;
-- case: too many partitions
CREATE TABLE s (a BIGINT) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't', 'topic.partitions' = '5000');
INSERT INTO s SELECT n FROM numbers;
-- case: a mode that Flink has
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't', 'scan.startup.mode' = 'timestamp');
INSERT INTO o SELECT a FROM s;
-- case: a mode with a blank
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't', 'scan.bounded.mode' = ' latest-offset');
INSERT INTO o SELECT a FROM s;
-- case: two numbers of partitions
CREATE TABLE s (a BIGINT) WITH ('connector' = 'http', 'format' = 'json', 'topic' = 't', 'topic.partitions' = '2');
CREATE TABLE k (a BIGINT) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't', 'topic.partitions' = '3');
INSERT INTO k SELECT a FROM s;
-- case: an object store
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 's3://bucket/clicks');
INSERT INTO o SELECT a FROM s;
-- case: an object store that is written
CREATE TABLE s (a BIGINT) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'hdfs://n/x');
INSERT INTO s SELECT n FROM numbers;
-- case: no path
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '');
INSERT INTO o SELECT a FROM s;
-- case: an interval
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'x', 'source.monitor-interval' = 'often');
INSERT INTO o SELECT a FROM s;
-- case: an idle timeout
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'x', 'scan.watermark.idle-timeout' = '-1 s');
INSERT INTO o SELECT a FROM s;
-- case: a format
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'csv', 'path' = 'x');
INSERT INTO o SELECT a FROM s;
-- case: no format
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'path' = 'x');
INSERT INTO o SELECT a FROM s;
-- case: a boolean of the format
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'x', 'json.fail-on-missing-field' = 'yes');
INSERT INTO o SELECT a FROM s;
-- case: a choice of the format
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'x', 'json.timestamp-format.standard' = 'RFC 3339');
INSERT INTO o SELECT a FROM s;
-- case: a type that the format cannot read
CREATE TABLE s (a BIGINT, m MAP<INT, STRING>) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'x');
INSERT INTO o SELECT CARDINALITY(m) FROM s;
-- case: a type that the format cannot write
CREATE TABLE s (m MAP<INT, STRING>) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'x');
CREATE TABLE d (m MAP<INT, STRING>) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'y');
INSERT INTO d SELECT m FROM s;
-- case: a real ClickHouse
CREATE TABLE s (a BIGINT) WITH ('connector' = 'clickhouse', 'url' = 'clickhouse://h:8123');
INSERT INTO s SELECT n FROM numbers;
-- case: an empty database
CREATE TABLE s (a BIGINT) WITH ('connector' = 'clickhouse', 'database-name' = '');
INSERT INTO s SELECT n FROM numbers;
-- case: an empty table
CREATE TABLE s (a BIGINT) WITH ('connector' = 'clickhouse', 'table-name' = '');
INSERT INTO s SELECT n FROM numbers;
-- case: a table's name that is too long
CREATE TABLE s (a BIGINT) WITH ('connector' = 'clickhouse', 'table-name' = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx');
INSERT INTO s SELECT n FROM numbers;
-- case: a retention that is no duration
CREATE TABLE s (a BIGINT) WITH ('connector' = 'clickhouse', 'table.retention' = 'a while');
INSERT INTO s SELECT n FROM numbers;
-- case: a retention without a time
CREATE TABLE s (a BIGINT) WITH ('connector' = 'clickhouse', 'table.retention' = '1 d');
INSERT INTO s SELECT n FROM numbers;
-- case: a key that cannot be one
CREATE TABLE k (m MAP<STRING, BIGINT>, PRIMARY KEY (m) NOT ENFORCED) WITH ('connector' = 'clickhouse');
CREATE TABLE s (m MAP<STRING, BIGINT>) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'x');
INSERT INTO k SELECT m FROM s;
-- case: one hot table under two names
CREATE TABLE p (a BIGINT) WITH ('connector' = 'clickhouse', 'table-name' = 'x');
CREATE TABLE q (b STRING) WITH ('connector' = 'clickhouse', 'table-name' = 'x');
INSERT INTO p SELECT n FROM numbers;
INSERT INTO q SELECT CAST(n AS STRING) FROM numbers;
-- case: datagen: rows-per-second 0
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '0');
INSERT INTO o SELECT a FROM s;
-- case: datagen: rows-per-second many
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'rows-per-second' = 'many');
INSERT INTO o SELECT a FROM s;
-- case: datagen: number-of-rows -1
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '-1');
INSERT INTO o SELECT a FROM s;
-- case: datagen: datagen.seed x
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'datagen.seed' = 'x');
INSERT INTO o SELECT a FROM s;
-- case: datagen: fields.a.kind counter
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'fields.a.kind' = 'counter');
INSERT INTO o SELECT a FROM s;
-- case: datagen: fields.a.min low
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'fields.a.min' = 'low');
INSERT INTO o SELECT a FROM s;
-- case: datagen: fields.a.max 1e400
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'fields.a.max' = '1e400');
INSERT INTO o SELECT a FROM s;
-- case: datagen: fields.a.null-rate 1.5
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'fields.a.null-rate' = '1.5');
INSERT INTO o SELECT a FROM s;
-- case: datagen: fields.a.colour x
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'fields.a.colour' = 'x');
INSERT INTO o SELECT a FROM s;
-- case: datagen: an empty range
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'fields.a.min' = '5', 'fields.a.max' = '1');
INSERT INTO o SELECT a FROM s;
-- case: datagen: a sequence without an end
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen', 'fields.a.kind' = 'sequence', 'fields.a.start' = '1');
INSERT INTO o SELECT a FROM s;
-- case: datagen: a length
CREATE TABLE s (t STRING) WITH ('connector' = 'datagen', 'fields.t.length' = '99999999999');
INSERT INTO o SELECT CHAR_LENGTH(t) FROM s;
-- case: datagen: a start
CREATE TABLE s (t TIMESTAMP(3)) WITH ('connector' = 'datagen', 'fields.t.start' = 'yesterday');
INSERT INTO o SELECT HOUR(t) FROM s;
-- case: datagen: a past
CREATE TABLE s (t TIMESTAMP(3)) WITH ('connector' = 'datagen', 'fields.t.max-past' = 'long');
INSERT INTO o SELECT HOUR(t) FROM s;
-- case: datagen: a type
CREATE TABLE s (m MAP<STRING, INT>) WITH ('connector' = 'datagen');
INSERT INTO o SELECT CARDINALITY(m) FROM s;
-- case: nexmark: no events in a second
CREATE TABLE s (event_type INT) WITH ('connector' = 'nexmark', 'first-event.rate' = '0');
INSERT INTO o SELECT event_type FROM s;
-- case: nexmark: a column that events do not have
CREATE TABLE s (event_type INT, colour STRING) WITH ('connector' = 'nexmark');
INSERT INTO o SELECT event_type FROM s WHERE colour = 'red';
-- case: a pipeline's name
SET 'pipeline.name' = '../x';
INSERT INTO o SELECT n FROM numbers;
-- case: names too long for a file
SET 'pipeline.name' = 'pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp';
CREATE TABLE `tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt` (a BIGINT) WITH ('connector' = 'print');
INSERT INTO `tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt` SELECT n FROM numbers;
-- case: a made-up table whose name is too long
SET 'pipeline.name' = 'p';
CREATE TABLE `ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt` (a BIGINT) WITH ('connector' = 'http', 'format' = 'json', 'topic' = 't');
INSERT INTO o SELECT a FROM `ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt`;
