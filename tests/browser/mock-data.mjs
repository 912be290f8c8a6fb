// The data of the stand-in server: pipelines, tables and answers that move with the clock, the
// same at the same time, so that a reload shows the same hour.

const MINUTE_MS = 60_000;
const RATE = 2_000;
const LATE = 0.01;
const BAD = 0.002;
const STARTED_MS = Date.now();
const BEFORE_START_MS = 52 * MINUTE_MS;
// The watermark of input that has ended: the largest 64-bit number, as JSON.parse reads it.
const ENDED = 9_223_372_036_854_775_807;
const COUNTRIES = ["US", "DE", "IN", "BR", "GB", "JP", "FR", "CA", "ES", "AU"];

const text = (ms, digits = 19) => new Date(ms).toISOString().slice(0, digits).replace("T", " ");
const noise = (seed) => {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return x - Math.floor(x);
};

function readSoFar(scene) {
  if (scene === "start" || scene === "none") return 0;
  const before = scene === "empty" ? 8_000 : BEFORE_START_MS;
  const until = scene === "stalled" ? STARTED_MS : Date.now();
  return Math.round(((until - STARTED_MS + before) * RATE) / 1000);
}

/** `GET /api/v1/pipelines` */
export function pipelines(scene) {
  if (scene === "none") return [];
  const read = readSoFar(scene);
  const now = scene === "stalled" ? STARTED_MS : Date.now();
  const watermark = scene === "start" ? null : now - 12_300 - Math.round(700 * noise(now / 1000));
  const clicks = pipeline("web_clicks", scene, read, scene === "finished" ? ENDED : watermark);
  if (scene === "finished") return [{ ...clicks, state: "finished", lag_ms: null, rate_rows_per_second: 0 }];
  if (scene !== "generic") return [clicks];
  const named = (name) => ({ ...clicks, pipeline: name });
  return [named("iot_minute"), named("saas_events_with_quite_a_long_name")];
}

function pipeline(name, scene, read, watermark) {
  const late = Math.round(read * LATE);
  const dead = Math.round(read * BAD);
  const running = scene !== "stalled";
  return {
    pipeline: name,
    state: running ? "running" : "stalled",
    reason: running ? null : "storage is full: `millstream-demo` has 0 bytes left; reading goes on when there is room",
    incarnation: 0,
    epoch: scene === "start" ? 0 : Math.round(read / RATE),
    parallelism: 2,
    barrier_ms: 1.8 + noise(read),
    epoch_ms: 21 + 9 * noise(read + 1),
    committed_at_ms: Date.now() - 400,
    state_bytes: 3_412_000,
    checkpoint_bytes: 18_340_000,
    rate_rows_per_second: scene === "start" || !running ? 0 : RATE + 240 * (noise(Math.floor(Date.now() / 1000)) - 0.5),
    lag_ms: watermark === null ? null : Date.now() - watermark,
    sources: [
      {
        table: "clicks",
        rows_read: read,
        rows_on_time: read - late - dead,
        rows_late: late,
        rows_undecodable: dead,
        bytes_read: read * 168,
        watermark_ms: watermark,
        splits: [0, 1, 2, 3].map((split) => ({
          split: `web.clicks-${split}`,
          offset: Math.round(read / 4),
          watermark_ms: watermark,
          idle: false,
          ended: false,
          backlog: split,
        })),
      },
    ],
    operators: [
      { node: 0, description: "filter and project `clicks`", rows_in: read, rows_out: read, groups: 0, state_bytes: 0 },
      {
        node: 1,
        description: "TUMBLE(event_time, 1 min) by page, country: COUNT(*), COUNT(DISTINCT user_id)",
        rows_in: read, rows_out: Math.round(read / 40), groups: 8_412, state_bytes: 3_412_000,
      },
    ],
    sinks: [
      { table: "page_minute_agg", role: "results", rows: Math.round(read / 40), bytes: read * 4 },
      { table: "anomalies", role: "results", rows: Math.round(read / 400_000), bytes: read / 5_000 },
      { table: "late_clicks", role: "late-events", rows: late, bytes: late * 150 },
      { table: "dead_clicks", role: "dead-letters", rows: dead, bytes: dead * 150 },
    ],
  };
}

const column = (name, type) => ({ name, type });
const AGGREGATE = [column("window_start", "TIMESTAMP(3)"), column("window_end", "TIMESTAMP(3)"),
  column("page", "STRING"), column("country", "STRING"), column("views", "BIGINT"), column("visitors", "BIGINT")];
const ANOMALIES = [...AGGREGATE.slice(0, 5), column("mean", "DOUBLE"), column("deviation", "DOUBLE"), column("z", "DOUBLE")];
const LATE_COLUMNS = [column("event_id", "STRING"), column("user_id", "STRING"), column("ts", "BIGINT"),
  column("page", "STRING"), column("country", "STRING"), column("late_for", "STRING"),
  column("window_start", "TIMESTAMP(3)"), column("window_end", "TIMESTAMP(3)"), column("watermark", "TIMESTAMP(3)")];
const DEAD_COLUMNS = [column("raw", "BYTES"), column("source_table", "STRING"), column("split", "STRING"),
  column("offset", "BIGINT"), column("error", "STRING")];

/** `GET /api/v1/tables` */
export function clickTables(scene) {
  if (scene === "none") return [];
  const read = readSoFar(scene);
  const table = (database, name, columns, rows, key = []) =>
    ({ database, name, columns, primary_key: key, rows, bytes: rows * 61 });
  if (scene === "generic") return [table("rt", "sensor_minute", AGGREGATE, 4_100, ["window_start"])];
  return [
    table("rt", "page_minute_agg", AGGREGATE, Math.round(read / 40), ["window_start", "page", "country"]),
    table("rt", "anomalies", ANOMALIES, Math.round(read / 400_000), ["window_start", "page", "country"]),
    table("default", "late_clicks", LATE_COLUMNS, Math.round(read * LATE)),
    table("default", "dead_clicks", DEAD_COLUMNS, Math.round(read * BAD)),
  ];
}

const latestWindow = () => Math.floor((Date.now() - 13_000) / MINUTE_MS) * MINUTE_MS - MINUTE_MS;

/** Rows of the newest window, as the live stream has them. */
export function windowRows(rows) {
  const start = latestWindow();
  return Array.from({ length: rows }, (_, index) => ({
    window_start: text(start), window_end: text(start + MINUTE_MS), page: `/product/${1 + index}`,
    country: COUNTRIES[index % 10], views: 900 - 31 * index, visitors: 700 - 27 * index,
  }));
}

/** The largest BIGINT: not a number that JSON.stringify can write, hence this mark. */
const LARGEST = "@9223372036854775807@";

/** JSON in which the largest BIGINT is a number, as the real server writes it. */
export function toJson(value) {
  return JSON.stringify(value).replaceAll(/"@(\d+)@"/g, "$1");
}

function answer(columns, rows) {
  return { columns, rows, row_count: rows.length, truncated: false, elapsed_ms: 3.4 + noise(rows.length) };
}

function minutes() {
  const latest = latestWindow();
  const count = Math.floor((Date.now() - STARTED_MS + BEFORE_START_MS) / MINUTE_MS) - 1;
  return Array.from({ length: Math.min(count, 60) }, (_, index) => {
    const start = latest - index * MINUTE_MS;
    const wave = 1 + 0.18 * Math.sin(start / 600_000) + 0.08 * (noise(start / MINUTE_MS) - 0.5);
    const views = Math.round(RATE * 58 * wave);
    return [text(start), views, Math.round(views * 0.83)];
  });
}

function top(names) {
  const scale = Math.floor(Date.now() / 10_000) % 7;
  return names.map((name, index) => [name, Math.round((92_000 + 900 * scale * noise(index)) / (index + 1.6))]);
}

/** Three of each of the newest minutes: a surge, a fall, and one whose views never varied before. */
function anomalyRows() {
  return Array.from({ length: 9 }, (_, index) => {
    const start = text(latestWindow() - Math.floor(index / 3) * MINUTE_MS, 23);
    const page = `/product/${7 + 3 * index}`;
    if (index % 3 === 0) return [start, page, COUNTRIES[index], 1_498, 286.4333333333333, 71.33512];
    return index % 3 === 1 ? [start, page, COUNTRIES[index], 211, 268.2, -3.4917] : [start, page, null, 2, 1, null];
  });
}

function lateRows() {
  return Array.from({ length: 10 }, (_, index) => {
    const mark = Date.now() - 12_000 - index * 90;
    const start = Math.floor((mark - 300_000) / MINUTE_MS) * MINUTE_MS;
    return [text(start, 23), text(start + MINUTE_MS, 23), text(mark, 23), `e-${1000 + index}`, `u0004${index}2`,
      start + 21_000, `/product/${index * 3}`, COUNTRIES[index], "page_minute_agg"];
  });
}

/** BYTES, as the server writes them. */
const hex = (text) => Buffer.from(text, "utf8").toString("hex");

function deadRows() {
  const errors = ["not JSON: expected `:` at byte 17", "field `ts`: found string \"soon\", expected BIGINT",
    "field `ts`: missing, expected BIGINT", "not JSON: unexpected end at byte 81"];
  return Array.from({ length: 10 }, (_, index) => [
    812_345 - 7 * index, `web.clicks-${index % 4}`, errors[index % 4],
    // Undecodable bytes are whatever somebody sent, markup too.
    hex(index === 2 ? '<img src="/x" alt="markup">' : index % 2 ? '{"event_id":"9f3c2a","user_id":"u000321","ts":"soon","page":"/product/3","country":"DE","device":"mobile","referrer":"https://example.com/autumn"}' : '{"event_id" 77'),
    "clicks",
  ]);
}

/** `POST /api/v1/sql` */
export function answerSql(query, scene) {
  const has = (pattern) => pattern.test(query);
  if (!has(/^\s*(SELECT|WITH|SHOW|DESCRIBE|EXPLAIN)\b/i)) {
    return { error: `1:1: found \`${query.trim().split(/\s/)[0]}\`, expected SELECT, WITH, SHOW, DESCRIBE or EXPLAIN` };
  }
  if (has(/nowhere/)) return { error: "table `nowhere` not found; did you mean `page_minute_agg`?" };
  const empty = scene === "empty" || scene === "start";
  if (has(/MAX\(window_start\)/)) return answer([column("latest", "TIMESTAMP(3)")], [[empty ? null : text(latestWindow(), 23)]]);
  if (has(/^SELECT COUNT\(\*\) FROM "rt"."anomalies"$/)) return answer([column("count(*)", "BIGINT")], [[empty ? 0 : 164]]);
  if (has(/ROW_NUMBER\(\).* FROM "rt"."anomalies"/)) {
    const columns = ["window_start", "page", "country", "views", "mean", "z"];
    return answer(columns.map((name) => ANOMALIES.find((found) => found.name === name)), empty ? [] : anomalyRows());
  }
  if (has(/^SELECT window_start, SUM\(views\) AS views, SUM\(visitors\)/)) return answer(AGGREGATE.slice(0, 3), minutes());
  const named = [column("name", "STRING"), column("views", "BIGINT")];
  if (has(/^SELECT page, SUM/)) return answer(named, top(Array.from({ length: 8 }, (_, index) => `/product/${index + 1}`)));
  if (has(/^SELECT country, SUM/)) return answer(named, top(COUNTRIES.slice(0, 8)));
  const pick = (names, all) => names.map((name) => all.find((candidate) => candidate.name === name));
  if (has(/late_clicks/)) {
    return answer(pick(["window_start", "window_end", "watermark", "event_id", "user_id", "ts", "page", "country", "late_for"], LATE_COLUMNS), lateRows());
  }
  if (has(/dead_clicks/)) return answer(pick(["offset", "split", "error", "raw", "source_table"], DEAD_COLUMNS), deadRows());
  if (has(/9223372036854775807/)) return answer([column("n", "BIGINT")], [[LARGEST]]);
  if (has(/SHOW TABLES/i)) return answer([column("table", "STRING")], clickTables(scene).map(({ name }) => [name]));
  const rows = windowRows(20).map((row, index) => Object.values(row).map((value) => (index === 3 && value === row.country ? null : value)));
  return { ...answer(AGGREGATE, rows), truncated: has(/CROSS JOIN/i) };
}
