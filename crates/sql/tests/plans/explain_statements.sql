-- EXPLAIN statements are explained, not run.
CREATE TABLE numbers (n INT, m INT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence');
CREATE TABLE out (n INT) WITH ('connector' = 'blackhole');
EXPLAIN SELECT n, m + 1 FROM numbers WHERE n > 3;
EXPLAIN PLAN FOR INSERT INTO out SELECT n FROM numbers;
BEGIN STATEMENT SET;
INSERT INTO out SELECT n FROM numbers;
INSERT INTO out SELECT m FROM numbers WHERE n IS NULL;
END;
