CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen'); CREATE TABLE target (n INT) WITH ('connector' = 'blackhole');
-- case: an option of a source
CREATE TABLE t (n INT) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 'taken'); INSERT INTO target SELECT n FROM t;
-- case: an option of a sink
CREATE TABLE t (n INT) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 'taken'); INSERT INTO t SELECT n FROM numbers;
-- case: a column
CREATE TABLE t (n INT, odd INT) WITH ('connector' = 'blackhole'); INSERT INTO t SELECT n, n FROM numbers;
-- case: a table
CREATE TABLE longer (n INT) WITH ('connector' = 'blackhole'); INSERT INTO longer SELECT n FROM numbers;
-- case: a table that is made up
CREATE TABLE brief (n INT) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 't'); INSERT INTO target SELECT n FROM brief;
-- case: what EXPLAIN explains
CREATE TABLE t (n INT) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = 'taken'); EXPLAIN SELECT n FROM t;
