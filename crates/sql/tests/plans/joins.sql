-- The kinds of join, each told by its condition.
CREATE TABLE orders (
  id BIGINT, user_id STRING, amount DOUBLE, ts BIGINT, unused STRING,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE payments (
  order_id INT, user_id STRING, ts BIGINT,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '9' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'payments', 'format' = 'json');
CREATE TABLE users (user_id STRING, name STRING, level INT, unused STRING)
WITH ('connector' = 'filesystem', 'path' = '/tmp/users', 'format' = 'json');
CREATE TABLE profiles (user_id STRING, city STRING, unused STRING, PRIMARY KEY (user_id) NOT ENFORCED)
WITH ('connector' = 'clickhouse');
CREATE TABLE named (id BIGINT, name STRING, city STRING) WITH ('connector' = 'print');
CREATE TABLE paid (id BIGINT, late_ms INT, amount DOUBLE) WITH ('connector' = 'print');
CREATE TABLE per_minute (window_start TIMESTAMP(3), user_id STRING, orders BIGINT, payments BIGINT) WITH ('connector' = 'print');
CREATE TABLE unpaid (id BIGINT, window_start TIMESTAMP(3)) WITH ('connector' = 'print');
CREATE TABLE ids (id BIGINT) WITH ('connector' = 'print');

-- A table that ends, and one that is looked up.
INSERT INTO named
SELECT o.id, u.name, p.city
FROM orders AS o
JOIN (SELECT user_id, UPPER(name) AS name FROM users WHERE level > 1) AS u ON u.user_id = o.user_id AND o.amount > 3
LEFT JOIN profiles FOR SYSTEM_TIME AS OF o.rt AS p ON p.user_id = o.user_id;

-- The same with the sides the other way round.
INSERT INTO named
SELECT o.id, u.name, 'x' FROM users AS u RIGHT JOIN orders AS o ON u.user_id = o.user_id;

-- Times within bounds, in ON and in WHERE.
INSERT INTO paid
SELECT o.id, 1, o.amount FROM orders AS o LEFT JOIN payments AS p
ON o.id = p.order_id AND p.rt >= o.rt - INTERVAL '1' SECOND AND p.rt < o.rt + INTERVAL '10' MINUTE AND p.user_id <> 'x';
INSERT INTO paid
SELECT o.id, 2, o.amount FROM orders AS o, payments AS p
WHERE o.id = p.order_id AND o.rt BETWEEN p.rt - INTERVAL '1' HOUR AND p.rt AND o.amount > 1 AND o.user_id = p.user_id;

-- Windows.
CREATE TEMPORARY VIEW orders_per_minute AS
SELECT window_start, window_end, user_id, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(rt), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, user_id;
CREATE TEMPORARY VIEW payments_per_minute AS
SELECT window_start, window_end, user_id, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(rt), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, user_id;
INSERT INTO per_minute
SELECT l.window_start, COALESCE(l.user_id, r.user_id), l.n, r.n
FROM orders_per_minute AS l FULL JOIN payments_per_minute AS r
ON l.user_id = r.user_id AND l.window_start = r.window_start AND l.window_end = r.window_end AND l.n >= r.n;
INSERT INTO unpaid
SELECT id, window_start FROM (SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(rt), INTERVAL '1' MINUTE))) AS o
WHERE amount > 2 AND NOT EXISTS (
  SELECT * FROM (SELECT * FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(rt), INTERVAL '1' MINUTE))) AS p
  WHERE p.order_id = o.id AND p.window_start = o.window_start AND p.window_end = o.window_end AND p.user_id = 'a');
INSERT INTO ids SELECT id FROM orders WHERE user_id IN (SELECT user_id FROM users) AND id > 1;
