-- METADATA columns, computed columns over them, and columns that nobody reads.
CREATE TABLE orders (
  id BIGINT COMMENT 'the key', amount DECIMAL(10, 2), unused STRING,
  tags ARRAY<STRING>, counts MAP<STRING, INT>, nested ARRAY<ROW<a INT, b ARRAY<INT>>>,
  at_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  `partition` INT METADATA VIRTUAL,
  `offset` BIGINT METADATA VIRTUAL,
  shard AS `partition` % 4,
  WATERMARK FOR at_time AS at_time - INTERVAL '1' MINUTE
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'properties.group.id' = 'g');
CREATE TABLE result (shard INT, tag STRING, hits INT, deep INT, total DECIMAL(38, 4)) WITH ('connector' = 'blackhole');
INSERT INTO result SELECT shard, tags[1], counts['hits'], o.nested[2].b[1], amount * 1.25 FROM orders AS o;
