// Late and undecodable events: how many, which share, and the newest ten of each on request.
//
// What was read is the sum of its three parts, and the panel says so: the engine counts all three.
// Samples are only queried while their list is open.

import { byId, setText } from "./dom.js";
import { ApiError, runSql, sqlName, quoted } from "./api.js";
import { count, duration, parseTimestamp, percent } from "./format.js";
import { rowsTable } from "./table.js";

const SAMPLES = 10;
const REFRESH_MS = 5_000;

/** A list of samples: the sink's role, the columns that come first, how the newest are found. */
const LISTS = {
  late: {
    role: "late-events",
    newest: "watermark",
    first: ["window_start", "window_end", "watermark"],
    none: "No late events so far. An event is late when the watermark of its split has passed the end of its window.",
  },
  dead: {
    role: "dead-letters",
    newest: "offset",
    first: ["offset", "split", "error", "raw"],
    none: "No undecodable records so far. They are kept here with their bytes and the reason.",
  },
};

export class Rejects {
  #pipeline = null;
  #tables = [];
  #loadedAt = { late: 0, dead: 0 };

  constructor() {
    for (const kind of Object.keys(LISTS)) {
      byId(`${kind}-details`).addEventListener("toggle", () => {
        this.#loadedAt[kind] = 0;
        this.#loadIfOpen(kind);
      });
    }
  }

  update({ pipeline, tables }) {
    this.#pipeline = pipeline;
    this.#tables = tables;
    this.#renderCounts();
    for (const kind of Object.keys(LISTS)) this.#loadIfOpen(kind);
  }

  #renderCounts() {
    const sources = this.#pipeline?.sources ?? [];
    const sum = (key) => sources.reduce((total, source) => total + source[key], 0);
    const read = sum("rows_read");
    const parts = { "on-time": sum("rows_on_time"), late: sum("rows_late"), dead: sum("rows_undecodable") };
    for (const [name, rows] of Object.entries(parts)) {
      setText(byId(name), read ? `${count(rows)} (${percent(rows, read)})` : count(rows));
      document.querySelector(`.part.part-${name}`).style.flexGrow = String(rows);
    }
    const whole = parts["on-time"] + parts.late + parts.dead;
    setText(
      byId("rejects-note"),
      read === 0 ? "Nothing read yet."
        : whole === read ? `${count(read)} read, ${count(whole)} accounted for.`
          : `${count(read)} read, but ${count(whole)} accounted for.`,
    );
  }

  async #loadIfOpen(kind) {
    // The page's own clock is only used to pace requests.
    const now = performance.now();
    const waited = now - this.#loadedAt[kind] > REFRESH_MS || this.#loadedAt[kind] === 0;
    if (!byId(`${kind}-details`).open || !waited) return;
    this.#loadedAt[kind] = now;
    const target = byId(`${kind}-samples`);
    const table = this.#tableOf(LISTS[kind].role);
    if (!table) {
      setText(target, "This pipeline counts them but keeps no table of them.");
      return;
    }
    try {
      const result = await runSql(sampleQuery(table, LISTS[kind]));
      if (!result.rows.length) setText(target, LISTS[kind].none);
      else showSamples(target, kind, result);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!error.offline) setText(target, error.message);
    }
  }

  #tableOf(role) {
    const sink = (this.#pipeline?.sinks ?? []).find((candidate) => candidate.role === role);
    return sink && this.#tables.find((table) => table.name === sink.table);
  }
}

function sampleQuery(table, list) {
  const names = table.columns.map((column) => column.name ?? column);
  const first = list.first.filter((name) => names.includes(name));
  const columns = [...first, ...names.filter((name) => !first.includes(name))].map(quoted).join(", ");
  const order = names.includes(list.newest) ? ` ORDER BY ${quoted(list.newest)} DESC` : "";
  return `SELECT ${columns} FROM ${sqlName(table)}${order} LIMIT ${SAMPLES}`;
}

function showSamples(target, kind, { columns, rows }) {
  if (kind === "late") [columns, rows] = withMissedBy(columns, rows);
  const label = kind === "late" ? "Newest late events" : "Newest undecodable records";
  // A reader who has scrolled the old rows keeps the place.
  const left = target.querySelector(".scroll")?.scrollLeft ?? 0;
  target.replaceChildren(rowsTable(columns, rows, label));
  target.querySelector(".scroll").scrollLeft = left;
}

/** How far the watermark was past the window's end: the one number a reader looks for. */
function withMissedBy(columns, rows) {
  const names = columns.map((column) => column.name);
  const end = names.indexOf("window_end");
  const mark = names.indexOf("watermark");
  if (end < 0 || mark < 0) return [columns, rows];
  const missedBy = (row) => duration(parseTimestamp(row[mark]) - parseTimestamp(row[end]));
  return [
    [{ name: "missed by", type: "" }, ...columns],
    rows.map((row) => [missedBy(row), ...row]),
  ];
}
