CREATE FUNCTION host(url STRING) RETURNS STRING AS LOWER(PARSE_URL(url, 'HOST'));
CREATE FUNCTION net(gross DOUBLE, rate DOUBLE) RETURNS DOUBLE AS gross / (1 + rate);
CREATE TABLE events (body STRING, url STRING, gross INT, bytes BYTES) WITH ('connector' = 'kafka', 'topic' = 'e', 'format' = 'json');
CREATE TABLE results (a STRING, b STRING, c STRING, d BOOLEAN, e STRING, f STRING, g DOUBLE, h STRING, i BIGINT, j DATE, k STRING, l ARRAY<STRING>, m BOOLEAN) WITH ('connector' = 'print');
INSERT INTO results SELECT
  JSON_VALUE(body, 'lax $.a' DEFAULT 1 ON EMPTY ERROR ON ERROR),
  JSON_QUERY(body, '$' WITH ARRAY WRAPPER),
  JSON_OBJECT('k' VALUE JSON_ARRAY(gross), KEY 'n' VALUE NULL),
  body IS NOT JSON ARRAY AND JSON_EXISTS(body, '$.a'),
  host(url),
  OVERLAY(url PLACING 'x' FROM 2 FOR 1),
  net(gross, 0.2) + PI(),
  DECODE(bytes, 'UTF-8'),
  UNIX_TIMESTAMP(body),
  TO_DATE(body, 'yyyy'),
  TYPEOF(gross),
  SPLIT(url, '/'),
  url NOT SIMILAR TO 'a%'
FROM events;
