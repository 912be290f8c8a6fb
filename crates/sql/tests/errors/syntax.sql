-- case: unknown statement
DROP TABLE clicks;
-- case: a query by itself
SELECT 1;
-- case: unclosed string
SET 'pipeline.name' = 'x
-- case: double quotes
SET "pipeline.name" = 'x';
-- case: no quotes
SET pipeline.name = 'x';
-- case: unknown variable
CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = '${INPTU}/t');
-- case: misspelt type
CREATE TABLE t (a INT, b STRNG) WITH ('connector' = 'print');
-- case: missing comma
CREATE TABLE t (a INT b STRING) WITH ('connector' = 'print');
-- case: no options
CREATE TABLE t (a INT);
-- case: no columns
CREATE TABLE t WITH ('connector' = 'print');
-- case: like
CREATE TABLE t LIKE s;
-- case: partitioned
CREATE TABLE t (a INT) PARTITIONED BY (a) WITH ('connector' = 'print');
-- case: enforced key
CREATE TABLE t (a INT, PRIMARY KEY (a)) WITH ('connector' = 'print');
-- case: column twice
CREATE TABLE t (a INT, a STRING) WITH ('connector' = 'print');
-- case: option twice
CREATE TABLE t (a INT) WITH ('connector' = 'print', 'connector' = 'print');
-- case: bad decimal
CREATE TABLE t (a DECIMAL(40, 2)) WITH ('connector' = 'print');
-- case: time zone type
CREATE TABLE t (a TIMESTAMP(3) WITH TIME ZONE) WITH ('connector' = 'print');
-- case: catalog name
CREATE TABLE db.t (a INT) WITH ('connector' = 'print');
-- case: create function
CREATE TEMPORARY FUNCTION f AS 'a.b.C';
-- case: overwrite
INSERT OVERWRITE t SELECT 1;
-- case: values
INSERT INTO t VALUES (1, 2);
-- case: missing end
EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT a FROM s;
-- case: hint
INSERT INTO t SELECT a FROM s /*+ OPTIONS('a' = 'b') */;
-- case: missing parenthesis in a subquery
INSERT INTO t
SELECT a FROM (
  SELECT a, COUNT( FROM s
) WHERE a > 1;
-- case: keyword in a nested subquery
INSERT INTO t SELECT a FROM (SELECT a FROM (SELECT a FROM s WHERE) AS x) AS y;
-- case: two statements without semicolon
CREATE TABLE t (a INT) WITH ('connector' = 'print')
CREATE TABLE s (a INT) WITH ('connector' = 'print');
