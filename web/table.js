// Rows as an HTML table: the SQL box, the samples and the watched table all use it.
//
// Numbers stand right, times and text left; null is shown as such and not as an empty cell, and
// bytes as the text that they mostly are. The table scrolls inside its own frame, never the page.

import { element } from "./dom.js";
import { bytesAsText } from "./format.js";

const NUMERIC = /^(TINYINT|SMALLINT|INT|INTEGER|BIGINT|FLOAT|DOUBLE|DECIMAL|U?INT\d+|FLOAT\d+)/i;
const CELL_CHARACTERS_MAX = 400;

/** `columns`: `[{name, type, numeric?}]`; `rows`: arrays in that order; `label`: what a reader calls it. */
export function rowsTable(columns, rows, label) {
  const numeric = columns.map((column) => column.numeric ?? NUMERIC.test(column.type ?? ""));
  const head = element("tr", {}, ...columns.map((column, index) => headCell(column, numeric[index])));
  const body = element("tbody");
  const shown = (value, index) => (columns[index].type === "BYTES" ? bytesAsText(value) : value);
  for (const row of rows) {
    body.append(element("tr", {}, ...row.map((value, index) => cell(shown(value, index), numeric[index]))));
  }
  const table = element("table", { "aria-label": label }, element("thead", {}, head), body);
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

function headCell(column, isNumeric) {
  const made = element("th", { scope: "col", class: isNumeric && "num" }, column.name);
  if (column.type) made.append(element("small", {}, column.type));
  return made;
}

function cell(value, isNumeric) {
  if (value === null || value === undefined) return element("td", { class: "null" }, "null");
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const classes = isNumeric ? "num" : text.length > 60 ? "long" : undefined;
  const cut = text.length > CELL_CHARACTERS_MAX;
  const shown = cut ? `${text.slice(0, CELL_CHARACTERS_MAX)}…` : text;
  return element("td", { class: classes, title: cut ? text : undefined }, shown);
}
