-- All columns of every click, from files to nowhere: what decoding costs.

SET 'execution.checkpointing.interval' = '1 s';

CREATE TABLE clicks (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING
) WITH ('connector' = 'filesystem', 'path' = '${INPUT}', 'format' = 'json');

CREATE TABLE copies (
  event_id STRING, user_id STRING, ts BIGINT, page STRING, referrer STRING, country STRING, device STRING
) WITH ('connector' = 'blackhole');

INSERT INTO copies SELECT * FROM clicks;
