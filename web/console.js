// The SQL box: a query, its rows with their types, how long it took, or what was wrong with it.
//
// One query at a time: while one runs, the button cancels it.

import { byId, element, setShown, setText } from "./dom.js";
import { ApiError, runSql, sqlName } from "./api.js";
import { duration, plural } from "./format.js";
import { rowsTable } from "./table.js";

const ROWS_SHOWN_MAX = 500;

const CLICK_EXAMPLES = [
  ["Busiest minutes",
    `SELECT window_start, SUM(views) AS views, COUNT(*) AS groups
FROM page_minute_agg
GROUP BY window_start
ORDER BY views DESC
LIMIT 10`],
  ["Top pages by country",
    `SELECT country, page, SUM(views) AS views
FROM page_minute_agg
GROUP BY country, page
ORDER BY views DESC
LIMIT 20`],
  ["Strongest anomalies",
    `SELECT window_start, page, country, views, mean, z
FROM anomalies
ORDER BY ABS(z) DESC NULLS LAST
LIMIT 20`],
  ["Why undecodable",
    `SELECT error, COUNT(*) AS records
FROM dead_clicks
GROUP BY error
ORDER BY records DESC
LIMIT 20`],
  ["Late by window",
    `SELECT window_start, COUNT(*) AS late
FROM late_clicks
GROUP BY window_start
ORDER BY window_start DESC
LIMIT 20`],
];

export class Console {
  #running = null;
  #exampleKey = "";

  constructor() {
    this.text = byId("sql-text");
    byId("sql-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#running) this.#running.abort();
      else this.run();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (!this.#running) this.run();
    });
  }

  /** Offers examples that fit the tables that there are. */
  update({ tables }) {
    const names = tables.map((table) => table.name);
    const key = names.join();
    if (key === this.#exampleKey) return;
    this.#exampleKey = key;
    const examples = names.includes("page_minute_agg")
      ? CLICK_EXAMPLES.filter(([, query]) => names.some((name) => query.includes(`FROM ${name}\n`)))
      : tables.slice(0, 4).map((table) => [`Rows of ${table.name}`, firstRows(table)]);
    const all = [...examples, ["Tables", "SHOW TABLES"]];
    byId("sql-examples").replaceChildren(
      ...all.map(([name, query]) => {
        const chip = element("button", { type: "button", class: "chip" }, name);
        chip.addEventListener("click", () => this.run(query));
        return chip;
      }),
    );
    if (!this.text.value) this.text.value = all[0][1];
  }

  /** Runs `query`, or what stands in the box. */
  async run(query) {
    if (query !== undefined) this.text.value = query;
    const sql = this.text.value.trim();
    if (!sql) {
      this.text.focus();
      return;
    }
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    setText(byId("sql-run"), "Cancel");
    setText(byId("sql-status"), "Running…");
    try {
      const result = await runSql(sql, running.signal);
      if (this.#running === running) this.#showResult(result);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.#running === running) this.#showError(error);
    } finally {
      if (this.#running === running) {
        this.#running = null;
        setText(byId("sql-run"), "Run");
      }
    }
  }

  #showResult({ columns, rows, row_count: total, truncated, elapsed_ms: elapsed }) {
    const shown = rows.slice(0, ROWS_SHOWN_MAX);
    const notes = [`${plural(total, "row")} in ${duration(elapsed)}`];
    if (truncated) notes.push("cut off at the server's row limit: add a LIMIT or aggregate");
    if (shown.length < rows.length) notes.push(`the first ${plural(shown.length, "row")} are shown`);
    setText(byId("sql-status"), `${notes.join("; ")}.`);
    setShown(byId("sql-error"), false);
    byId("sql-result").replaceChildren(
      ...(columns.length ? [rowsTable(columns, shown, "Query result")] : []),
    );
  }

  #showError(error) {
    setText(byId("sql-status"), "");
    setText(byId("sql-error"), error.message);
    setShown(byId("sql-error"), true);
    byId("sql-result").replaceChildren();
  }
}

/** A query for a look at a table. */
export function firstRows(table) {
  return `SELECT *\nFROM ${sqlName(table)}\nLIMIT 20`;
}
