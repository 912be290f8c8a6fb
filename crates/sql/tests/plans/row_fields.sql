-- Of `device` one field is read by a filter and one after it; `geo` is also read whole.
CREATE TABLE events (
  id BIGINT,
  device ROW<type STRING, os STRING, model STRING>,
  geo ROW<country STRING, city STRING>,
  at ROW<ms BIGINT, zone STRING>,
  event_time AS TO_TIMESTAMP_LTZ(at.ms, 3),
  WATERMARK FOR event_time AS event_time
) WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'json');
SET 'millstream.events.late-events' = 'none';
SET 'millstream.events.dead-letters' = 'none';
CREATE TABLE phones (id BIGINT, os STRING, city STRING, geo ROW<country STRING, city STRING>)
WITH ('connector' = 'print');
INSERT INTO phones SELECT id, device.os, geo.city, geo FROM events WHERE device.type = 'phone';
