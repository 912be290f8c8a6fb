// What any pipeline has, whatever it computes: its sources with their splits, operators, sinks,
// its plan, and the tables of the server with a look at their rows as they are committed.

import { byId, element, setShown, setText } from "./dom.js";
import { ApiError, getText, subscribe } from "./api.js";
import { bytes, count, duration, plural, UNKNOWN, watermark } from "./format.js";
import { firstRows } from "./console.js";
import { rowsTable } from "./table.js";

const WATCHED_ROWS = 20;

/** Sources, operators and sinks of the selected pipeline. */
export class Inside {
  #planOf = null;
  #pipeline = null;
  #signature = "";

  constructor() {
    byId("plan-details").addEventListener("toggle", () => this.#loadPlan());
  }

  update({ pipeline }) {
    this.#pipeline = pipeline;
    if (!pipeline) {
      setText(byId("inside-note"), "No pipeline is running on this server.");
      return;
    }
    const held = bytes(pipeline.state_bytes);
    setText(
      byId("inside-note"),
      `${plural(pipeline.parallelism, "shard")}, ${held} of state in memory, ` +
        `${bytes(pipeline.checkpoint_bytes)} checkpointed`,
    );
    const grids = [splitGrid(pipeline), operatorGrid(pipeline), sinkGrid(pipeline)];
    this.#render(grids.filter((grid) => grid.rows.length));
    this.#loadPlan();
  }

  // The tables stay and only their cells change, so that nothing loses its scroll position.
  #render(grids) {
    const signature = JSON.stringify(grids.map((grid) => [grid.label, grid.rows.length]));
    const root = byId("inside");
    if (signature !== this.#signature) {
      this.#signature = signature;
      root.replaceChildren(
        ...grids.flatMap(({ label, columns, rows }) => [
          element("h3", {}, label),
          rowsTable(columns, rows, label),
        ]),
      );
      return;
    }
    const tables = root.querySelectorAll("tbody");
    grids.forEach(({ rows }, at) => {
      rows.forEach((row, line) => {
        row.forEach((value, column) => setText(tables[at].rows[line].cells[column], String(value)));
      });
    });
  }

  async #loadPlan() {
    const name = this.#pipeline?.pipeline;
    if (!name || !byId("plan-details").open || this.#planOf === name) return;
    this.#planOf = name;
    try {
      setText(byId("plan-text"), await getText(`/api/v1/pipelines/${encodeURIComponent(name)}/plan`));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(byId("plan-text"), error.message);
      this.#planOf = null;
    }
  }
}

const text = (name) => ({ name });
const figure = (name) => ({ name, numeric: true });

function splitGrid(pipeline) {
  const rows = pipeline.sources.flatMap((source) =>
    source.splits.map((split) => [
      source.table,
      split.split,
      split.ended ? "ended" : split.idle ? "idle" : "reading",
      count(split.offset),
      split.backlog === null ? UNKNOWN : count(split.backlog),
      watermark(split.watermark_ms),
    ]),
  );
  const columns = [text("source"), text("split"), text("state"), figure("offset"), figure("backlog"),
    figure("watermark")];
  return { label: "Sources", columns, rows };
}

function operatorGrid(pipeline) {
  const rows = pipeline.operators.map((operator) => [
    operator.description,
    count(operator.rows_in),
    count(operator.rows_out),
    count(operator.groups),
    bytes(operator.state_bytes),
  ]);
  const columns = [text("operator"), figure("rows in"), figure("rows out"), figure("groups held"),
    figure("state")];
  return { label: "Operators", columns, rows };
}

function sinkGrid(pipeline) {
  const rows = pipeline.sinks.map((sink) => [sink.table, sink.role, count(sink.rows), bytes(sink.bytes)]);
  const columns = [text("sink"), text("role"), figure("rows committed"), figure("bytes")];
  return { label: "Sinks", columns, rows };
}

/** The server's tables; one of them can be watched. */
export class Tables {
  #key = "";
  #unsubscribe = null;
  #watched = null;
  #rows = [];

  /** `runQuery(sql)` shows a query's rows in the SQL box. */
  constructor(runQuery) {
    this.runQuery = runQuery;
    byId("watch-close").addEventListener("click", () => this.#stop());
  }

  update({ tables }) {
    setText(byId("tables-note"), tables.length ? plural(tables.length, "table") : "");
    const key = JSON.stringify(tables.map(({ database, name }) => [database, name]));
    if (key !== this.#key) {
      this.#key = key;
      byId("tables").replaceChildren(tables.length ? this.#grid(tables) : emptyNote());
    }
    const lines = byId("tables").querySelectorAll("tbody tr");
    tables.forEach((table, index) => {
      setText(lines[index].cells[1], count(table.rows));
      setText(lines[index].cells[2], bytes(table.bytes));
    });
  }

  /** Lets go of the connection; `resume` takes it up again. */
  pause() {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
  }

  resume() {
    if (this.#watched && !this.#unsubscribe) this.#watch(this.#watched);
  }

  #grid(tables) {
    const columns = [text("table"), figure("rows"), figure("size"), text("")];
    const rows = tables.map((table) => [`${table.database}.${table.name}`, "", "", ""]);
    const grid = rowsTable(columns, rows, "Tables");
    grid.querySelectorAll("tbody tr").forEach((line, index) => {
      const table = tables[index];
      line.cells[0].title = `primary key: ${(table.primary_key ?? []).join(", ") || "none"}`;
      line.cells[3].className = "actions";
      line.cells[3].replaceChildren(
        action("Query", table, () => {
          byId("sql-title").scrollIntoView({ block: "start" });
          this.runQuery(firstRows(table));
        }),
        action("Watch", table, () => this.#watch(table)),
      );
    });
    return grid;
  }

  #watch(table) {
    this.pause();
    this.#watched = table;
    this.#rows = [];
    setShown(byId("watch"), true);
    setText(byId("watch-title"), `Live: ${table.name}`);
    setText(byId("watch-status"), "Waiting for the next commit…");
    byId("watch-rows").replaceChildren();
    const show = (rows, message) => {
      this.#rows = rows.slice(0, WATCHED_ROWS);
      this.#renderWatched(table);
      setText(byId("watch-status"), message);
    };
    this.#unsubscribe = subscribe(table, {
      limit: WATCHED_ROWS,
      // A snapshot has the newest row first, a commit the newest last.
      snapshot: (rows) => show(rows, rows.length ? "More appears as it is committed." : "No rows yet."),
      rows: (rows) => {
        const newest = rows.slice(-WATCHED_ROWS).reverse();
        show([...newest, ...this.#rows], `${plural(rows.length, "row")} in the last commit.`);
      },
      lagged: () => setText(byId("watch-status"), "Too many rows for this page; some were left out."),
    });
  }

  #renderWatched(table) {
    const columns = table.columns.map((column) => (column.name ? column : { name: column }));
    const rows = this.#rows.map((row) => columns.map(({ name }) => row[name]));
    const left = byId("watch-rows").querySelector(".scroll")?.scrollLeft ?? 0;
    byId("watch-rows").replaceChildren(rowsTable(columns, rows, `Newest rows of ${table.name}`));
    byId("watch-rows").querySelector(".scroll").scrollLeft = left;
  }

  #stop() {
    this.pause();
    this.#watched = null;
    setShown(byId("watch"), false);
  }
}

function action(word, table, act) {
  const made = element("button", { type: "button", class: "quiet", "aria-label": `${word} ${table.name}` }, word);
  made.addEventListener("click", act);
  return made;
}

function emptyNote() {
  return element("p", { class: "waiting" }, "No tables yet. A pipeline's sinks appear here when it starts.");
}
