-- Nexmark q8: new users. People who came and opened an auction within the same 10 seconds.
CREATE TABLE nexmark (
  event_type INT,
  person  ROW<id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING,
              state STRING, dateTime TIMESTAMP(3), extra STRING>,
  auction ROW<id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT,
              dateTime TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT,
              extra STRING>,
  bid     ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
              dateTime TIMESTAMP(3), extra STRING>,
  dateTime AS CASE WHEN event_type = 0 THEN person.dateTime
                   WHEN event_type = 1 THEN auction.dateTime ELSE bid.dateTime END,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH (
  'connector' = 'nexmark',
  'events.num' = '${EVENTS:-1000000}',
  'first-event.rate' = '${TPS:-10000}'
);

CREATE VIEW person AS
SELECT person.id, person.name, person.city, person.state, dateTime
FROM nexmark WHERE event_type = 0;

CREATE VIEW auction AS
SELECT auction.id, auction.seller, auction.category, auction.initialBid, auction.expires, dateTime
FROM nexmark WHERE event_type = 1;

CREATE TABLE nexmark_q8 (
  id BIGINT, name STRING, stime TIMESTAMP(3)
) WITH ('connector' = '${SINK:-clickhouse}');

INSERT INTO nexmark_q8
SELECT people.id, people.name, people.window_start
FROM (
  SELECT id, name, window_start, window_end
  FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
  GROUP BY id, name, window_start, window_end
) AS people
JOIN (
  SELECT seller, window_start, window_end
  FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
  GROUP BY seller, window_start, window_end
) AS sellers
ON people.id = sellers.seller AND people.window_start = sellers.window_start
  AND people.window_end = sellers.window_end;
