// Numbers, durations, sizes and times as people read them. Pure functions; all times are UTC,
// because the tables' times are, so that chart and query results agree.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** What stands for a value that is not known yet. */
export const UNKNOWN = "–";

/** `1,234,567` */
export function count(value) {
  return Number.isFinite(value) ? whole.format(value) : UNKNOWN;
}

/** `1.2M`, for axes. */
export function compact(value) {
  return short.format(value).replace("K", "k");
}

/** `0.42%` of a whole; `<0.01%` rather than a zero that is not one. */
export function percent(part, total) {
  if (!total) return UNKNOWN;
  const value = (100 * part) / total;
  if (value > 0 && value < 0.01) return "<0.01%";
  return `${value.toFixed(value > 0 && value < 10 ? 2 : 1)}%`;
}

/** Milliseconds as `8 ms`, `12.4 s`, `3 min 5 s`, `2 h 4 min`, `3 d 4 h`. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  if (total < 3600) return pair(total, 60, "min", "s");
  if (total < 86_400) return pair(Math.floor(total / 60), 60, "h", "min");
  return pair(Math.floor(total / 3600), 24, "d", "h");
}

function pair(total, per, big, small) {
  const rest = total % per;
  const head = `${Math.floor(total / per)} ${big}`;
  return rest ? `${head} ${rest} ${small}` : head;
}

/** Bytes as `12.3 MiB`. */
export function bytes(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

// The last millisecond that a Date can be. The watermark of input that has ended lies beyond.
const LAST_TIME_MS = 8.64e15;

/** The least watermark of a pipeline's sources: `{ms}`, `{ended: true}` or `{}` if there is none. */
export function watermarkOf(pipeline) {
  const marks = pipeline.sources.map((source) => source.watermark_ms).filter(Number.isFinite);
  if (!marks.length) return {};
  const least = Math.min(...marks);
  if (least > LAST_TIME_MS) return { ended: true };
  return least < -LAST_TIME_MS ? {} : { ms: least };
}

/** A watermark as a time of day. */
export function watermark(ms) {
  if (!Number.isFinite(ms) || ms < -LAST_TIME_MS) return UNKNOWN;
  return ms > LAST_TIME_MS ? "end" : secondOf(ms);
}

/** `15:06` */
export function minuteOf(ms) {
  return new Date(ms).toISOString().slice(11, 16);
}

/** `15:06:12` */
export function secondOf(ms) {
  return new Date(ms).toISOString().slice(11, 19);
}

/** `2025-06-15 15:06:00`, as SQL writes it. */
export function timestamp(ms) {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** Milliseconds of a timestamp as the server writes it (`2025-06-15 15:06:00[.fff]`), or NaN. */
export function parseTimestamp(text) {
  if (typeof text === "number") return text;
  if (typeof text !== "string") return NaN;
  const iso = text.trim().replace(" ", "T");
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`);
}

/** Bytes, which come as hexadecimal digits, as text; what is not UTF-8 as the replacement character. */
export function bytesAsText(hex) {
  if (typeof hex !== "string" || !/^([0-9a-f]{2})*$/i.test(hex)) return hex;
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** `1 row`, `2 rows` */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A country code as its name, the code itself if there is none. */
export function country(code) {
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}
const regions = new Intl.DisplayNames(["en"], { type: "region" });
